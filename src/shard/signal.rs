//! A wake-up between two tasks of one shard. No atomics: it never leaves the thread.

use std::cell::{Cell, RefCell};
use std::task::{Context, Poll, Waker};

/// One task waits, any other raises.
#[derive(Default)]
pub struct Signal {
    raised: Cell<bool>,
    waiter: RefCell<Option<Waker>>,
}

impl Signal {
    pub fn raise(&self) {
        if !self.raised.replace(true)
            && let Some(waker) = self.waiter.borrow_mut().take()
        {
            waker.wake();
        }
    }

    /// Whether it was raised and nobody has heard of it.
    pub fn is_raised(&self) -> bool {
        self.raised.get()
    }

    /// Takes a raised signal back without waiting.
    pub fn take(&self) -> bool {
        self.raised.replace(false)
    }

    pub fn poll(&self, cx: &mut Context<'_>) -> Poll<()> {
        if self.raised.replace(false) {
            return Poll::Ready(());
        }
        let mut waiter = self.waiter.borrow_mut();
        match &mut *waiter {
            Some(waker) if waker.will_wake(cx.waker()) => {}
            other => *other = Some(cx.waker().clone()),
        }
        Poll::Pending
    }

    pub async fn wait(&self) {
        std::future::poll_fn(|cx| self.poll(cx)).await;
    }
}
