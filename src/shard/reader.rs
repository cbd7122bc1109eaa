//! `Reader`: the receiving half of a connection, its buffer and its armed read.
//!
//! A read that was armed is never dropped, unless its watch says that it may be: the kernel may
//! already have put bytes into its buffer. It is one pinned future that lives in the reader, across
//! replies too, so a peer that leaves or sends its next request is seen while the app still runs.

use std::future::Future;
use std::io;
use std::pin::Pin;
use std::rc::Rc;
use std::task::{Context, Poll, ready};

use super::stream::{ReadHalf, Received, receive};
use super::watch::Watch;

/// Bytes that a connection's buffer starts with. Most heads fit, and an idle connection costs
/// little. A uwsgi packet is longer and its connection has one request.
pub const HTTP_BUFFER_BYTES: usize = 1024;
pub const PACKET_BUFFER_BYTES: usize = 4 * 1024;
/// By so much a buffer grows at least. It stays that large, so only the first long head of a
/// connection costs a second read.
const GROWTH_BYTES: usize = 3 * 1024;
/// A larger buffer is given back between two requests.
const KEPT_BYTES: usize = 16 * 1024;
/// Free bytes that a read of a body wants, so that an upload does not come in small pieces.
const BODY_READ_BYTES: usize = 64 * 1024;

/// See the module's head. `F` is the future that `receive` makes.
pub struct Reader<F> {
    arm: fn(ReadHalf, Vec<u8>, Rc<Watch>) -> F,
    armed: Pin<Box<Option<F>>>,
    half: Option<ReadHalf>,
    watch: Rc<Watch>,
    buffer: Vec<u8>,
    /// The peer will send no more; set together with `failed` if it was an error.
    ended: bool,
    failed: bool,
}

/// A reader of `half`, with a buffer to start with and what it holds already.
pub fn reader(
    half: ReadHalf,
    buffer: Vec<u8>,
    watch: Rc<Watch>,
) -> Reader<impl Future<Output = Received>> {
    Reader {
        arm: receive,
        armed: Box::pin(None),
        half: Some(half),
        watch,
        buffer,
        ended: false,
        failed: false,
    }
}

impl<F: Future<Output = Received>> Reader<F> {
    /// Bytes that are here and not used yet. Empty while a read is armed.
    pub fn bytes(&mut self) -> &mut Vec<u8> {
        debug_assert!(!self.is_armed(), "BUG: the buffer belongs to the armed read");
        &mut self.buffer
    }

    /// How many bytes are here.
    pub fn buffered(&self) -> usize {
        self.buffer.len()
    }

    /// Drops the first `len` bytes.
    pub fn consume(&mut self, len: usize) {
        self.buffer.drain(..len);
    }

    pub fn is_armed(&self) -> bool {
        self.armed.is_some()
    }

    /// The connection is broken: nothing can be sent either.
    pub fn has_failed(&self) -> bool {
        self.failed
    }

    /// Arms a read into the free part of the buffer. No effect when one is armed or the peer ended.
    pub fn arm(&mut self, is_body: bool) {
        if self.is_armed() || self.ended {
            return;
        }
        let mut buffer = std::mem::take(&mut self.buffer);
        let free = buffer.capacity() - buffer.len();
        if is_body && free < BODY_READ_BYTES / 2 {
            buffer.reserve(BODY_READ_BYTES);
        } else if free < 256 {
            buffer.reserve_exact(GROWTH_BYTES.max(buffer.len()));
        }
        let half = self.half.take().expect("BUG: without an armed read the half is here");
        let future = (self.arm)(half, buffer, Rc::clone(&self.watch));
        self.armed.as_mut().set(Some(future));
    }

    /// Polls the armed read. Ready when none is armed (any more).
    pub fn poll(&mut self, cx: &mut Context<'_>) -> Poll<()> {
        let Some(armed) = self.armed.as_mut().as_pin_mut() else {
            return Poll::Ready(());
        };
        let received = ready!(armed.poll(cx));
        self.armed.as_mut().set(None);
        self.half = Some(received.half);
        self.buffer = received.buffer;
        match received.result {
            Ok(0) => self.ended = true,
            Ok(_) => {}
            Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
            // Our own cancel, which loses nothing: the connection moves.
            Err(error) if error.raw_os_error() == Some(libc::ECANCELED) => {}
            Err(_) => (self.ended, self.failed) = (true, true),
        }
        Poll::Ready(())
    }

    /// Whether bytes are here that were not asked for, without waiting for any.
    pub async fn has_more(&mut self) -> bool {
        std::future::poll_fn(|cx| Poll::Ready(self.poll(cx).is_ready())).await;
        !self.is_armed() && !self.buffer.is_empty()
    }

    /// Waits for more bytes. Returns false when no more will come.
    pub async fn more(&mut self, is_body: bool) -> bool {
        if self.ended {
            return false;
        }
        self.arm(is_body);
        std::future::poll_fn(|cx| self.poll(cx)).await;
        !self.ended
    }

    /// Waits for the armed read, which must be about to end, and gives the half back.
    pub async fn into_half(mut self) -> Option<ReadHalf> {
        std::future::poll_fn(|cx| self.poll(cx)).await;
        self.half
    }

    /// Gives the memory of a large buffer back while the connection is idle.
    pub fn shrink(&mut self) {
        if !self.is_armed() && self.buffer.is_empty() && self.buffer.capacity() > KEPT_BYTES {
            self.buffer = Vec::with_capacity(HTTP_BUFFER_BYTES);
        }
    }
}
