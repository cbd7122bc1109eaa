//! Messages from the control thread to a shard, and from shard to shard: rare, so a lock serves.

use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

/// A queue of messages that one side puts and the other takes. Putting wakes nobody.
pub struct Mailbox<T>(Arc<Mutex<Vec<T>>>);

impl<T> Mailbox<T> {
    pub fn put(&self, message: T) {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).push(message);
    }

    /// All messages so far, oldest first.
    pub fn take(&self) -> Vec<T> {
        std::mem::take(&mut *self.0.lock().unwrap_or_else(PoisonError::into_inner))
    }
}

impl<T> Default for Mailbox<T> {
    fn default() -> Self {
        Mailbox(Arc::default())
    }
}

impl<T> Clone for Mailbox<T> {
    fn clone(&self) -> Self {
        Mailbox(Arc::clone(&self.0))
    }
}

/// A mailbox that its owner closes: what is put then goes back, so that nothing is lost.
pub struct Inbox<T>(Arc<Mutex<Option<Vec<T>>>>);

impl<T> Inbox<T> {
    fn letters(&self) -> MutexGuard<'_, Option<Vec<T>>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// # Errors
    /// The message, if the owner takes no more.
    pub fn put(&self, message: T) -> Result<(), T> {
        match &mut *self.letters() {
            Some(letters) => {
                letters.push(message);
                Ok(())
            }
            None => Err(message),
        }
    }

    /// All messages so far, oldest first.
    pub fn take(&self) -> Vec<T> {
        self.letters().as_mut().map(std::mem::take).unwrap_or_default()
    }

    /// The same, and there will be no more.
    pub fn close(&self) -> Vec<T> {
        self.letters().take().unwrap_or_default()
    }
}

impl<T> Default for Inbox<T> {
    fn default() -> Self {
        Inbox(Arc::new(Mutex::new(Some(Vec::new()))))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_closed_inbox_gives_back_what_is_put() {
        let inbox = Inbox::default();
        inbox.put(1).expect("it is open");
        assert_eq!(inbox.take(), [1]);
        inbox.put(2).expect("it is open");
        assert_eq!(inbox.close(), [2]);
        assert_eq!(inbox.put(3), Err(3));
        assert!(inbox.take().is_empty() && inbox.close().is_empty());
    }
}
