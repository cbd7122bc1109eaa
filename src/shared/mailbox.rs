//! Messages from the control thread to a shard: rare, so a lock serves.

use std::sync::{Arc, Mutex, PoisonError};

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
