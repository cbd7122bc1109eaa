//! One accepted socket, TCP or Unix, as two halves that work at the same time.

use std::future::{Future, poll_fn};
use std::io;
use std::os::fd::{AsRawFd, RawFd};
use std::pin::pin;
use std::rc::Rc;
use std::task::Poll;

use bytes::Bytes;
use monoio::buf::IoBufMut;
use monoio::io::{AsyncReadRent, AsyncWriteRentExt, OwnedReadHalf, OwnedWriteHalf, Splitable};
use monoio::net::{TcpStream, UnixStream};

use super::watch::Watch;

/// An accepted socket.
pub enum Stream {
    Tcp(TcpStream),
    Unix(UnixStream),
}

/// The half that receives.
pub enum ReadHalf {
    Tcp(OwnedReadHalf<TcpStream>),
    Unix(OwnedReadHalf<UnixStream>),
}

/// The half that sends.
pub enum WriteHalf {
    Tcp(OwnedWriteHalf<TcpStream>),
    Unix(OwnedWriteHalf<UnixStream>),
}

impl Stream {
    /// The descriptor, for shutdown(2).
    pub fn fd(&self) -> RawFd {
        match self {
            Stream::Tcp(stream) => stream.as_raw_fd(),
            Stream::Unix(stream) => stream.as_raw_fd(),
        }
    }

    pub fn split(self) -> (ReadHalf, WriteHalf) {
        match self {
            Stream::Tcp(stream) => {
                let (read, write) = stream.into_split();
                (ReadHalf::Tcp(read), WriteHalf::Tcp(write))
            }
            Stream::Unix(stream) => {
                let (read, write) = stream.into_split();
                (ReadHalf::Unix(read), WriteHalf::Unix(write))
            }
        }
    }
}

/// Makes one socket of its halves again; dropped, it is closed without a shutdown before.
pub fn join(read: ReadHalf, write: WriteHalf) -> Option<Stream> {
    match (read, write) {
        (ReadHalf::Tcp(read), WriteHalf::Tcp(write)) => read.reunite(write).ok().map(Stream::Tcp),
        (ReadHalf::Unix(read), WriteHalf::Unix(write)) => {
            read.reunite(write).ok().map(Stream::Unix)
        }
        _ => None,
    }
}

/// What a receive gave: the half and the buffer come back with it.
pub struct Received {
    pub half: ReadHalf,
    pub buffer: Vec<u8>,
    pub result: io::Result<usize>,
}

/// Appends what the peer sends to `buffer`, at most up to its capacity. The driver owns the buffer
/// until the future is done, so the future is not dropped before.
///
/// # Errors
/// The kernel's; `ECANCELED`, with an empty buffer, where the watch stopped it.
pub fn receive(
    mut half: ReadHalf,
    buffer: Vec<u8>,
    watch: Rc<Watch>,
) -> impl Future<Output = Received> {
    let (start, end) = (buffer.len(), buffer.capacity());
    debug_assert!(start < end, "BUG: a receive into a full buffer would look like an end");
    let slice = buffer.slice_mut(start..end);
    // Not an async function, whose arguments have room twice.
    async move {
        // The buffer ends with a read that is dropped: nothing may be in it.
        let stop = watch.stop().filter(|_| start == 0);
        let done = {
            let mut read = pin!(async {
                match &mut half {
                    ReadHalf::Tcp(half) => half.read(slice).await,
                    ReadHalf::Unix(half) => half.read(slice).await,
                }
            });
            poll_fn(|cx| match stop {
                Some(stop) if stop.poll(cx).is_ready() => Poll::Ready(None),
                _ => read.as_mut().poll(cx).map(Some),
            })
            .await
        };
        let (result, buffer) = match done {
            Some((result, slice)) => (result, slice.into_inner()),
            None => (Err(io::Error::from_raw_os_error(libc::ECANCELED)), Vec::new()),
        };
        Received { half, buffer, result }
    }
}

impl WriteHalf {
    /// Sends all of `buffer` and gives it back.
    pub async fn send(&mut self, buffer: Vec<u8>) -> (io::Result<usize>, Vec<u8>) {
        match self {
            WriteHalf::Tcp(half) => half.write_all(buffer).await,
            WriteHalf::Unix(half) => half.write_all(buffer).await,
        }
    }

    /// Sends all of `bytes`.
    pub async fn send_bytes(&mut self, bytes: Bytes) -> io::Result<usize> {
        match self {
            WriteHalf::Tcp(half) => half.write_all(bytes).await.0,
            WriteHalf::Unix(half) => half.write_all(bytes).await.0,
        }
    }
}
