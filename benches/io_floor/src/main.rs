//! Accept, read, parse, answer, and go on or close, on one monoio thread; no Python.
//!
//!     io_floor ADDRESS ring|direct
//!
//! `ring` accepts through the ring, `direct` polls the listener and calls accept4(2). A request
//! with
//! `Connection: close` is answered and closed.

use std::net::SocketAddr;
use std::os::fd::{AsRawFd, FromRawFd};

use monoio::buf::IoBufMut;
use monoio::io::{AsyncReadRent, AsyncWriteRentExt};
use monoio::net::{TcpListener, TcpStream};

const ANSWER: &[u8] = b"HTTP/1.1 200 OK\r\nContent-Type: text/plain\r\nContent-Length: 11\r\n\r\nHello World";

async fn serve(mut stream: TcpStream) {
    let mut buffer: Vec<u8> = Vec::with_capacity(8192);
    let mut out: Vec<u8> = Vec::with_capacity(256);
    loop {
        let start = buffer.len();
        let end = buffer.capacity();
        let (result, slice) = stream.read(buffer.slice_mut(start..end)).await;
        buffer = slice.into_inner();
        if !matches!(result, Ok(count) if count > 0) {
            return;
        }
        let mut headers = [httparse::EMPTY_HEADER; 64];
        let mut request = httparse::Request::new(&mut headers);
        let Ok(httparse::Status::Complete(len)) = request.parse(&buffer) else { continue };
        let close = request
            .headers
            .iter()
            .any(|header| header.name == "Connection" && header.value == b"close");
        buffer.drain(..len);
        out.extend_from_slice(ANSWER);
        let (result, back) = stream.write_all(out).await;
        out = back;
        out.clear();
        if close || result.is_err() {
            return;
        }
    }
}

fn main() {
    let mut args = std::env::args().skip(1);
    let address: SocketAddr = args.next().expect("ADDRESS").parse().expect("host:port");
    let direct = args.next().as_deref() == Some("direct");
    let listener = std::net::TcpListener::bind(address).expect("bind");
    listener.set_nonblocking(true).expect("non-blocking");
    let on: i32 = 1;
    // SAFETY: an int of the length passed.
    unsafe {
        libc::setsockopt(listener.as_raw_fd(), libc::IPPROTO_TCP, libc::TCP_NODELAY, (&raw const on).cast(), 4);
    }
    let mut builder = io_uring::IoUring::builder();
    builder.setup_clamp().setup_cqsize(16384).setup_submit_all();
    builder.setup_single_issuer().setup_defer_taskrun();
    let mut runtime = monoio::RuntimeBuilder::<monoio::IoUringDriver>::new()
        .uring_builder(builder)
        .with_entries(4096)
        .build()
        .expect("io_uring");
    println!("ready");
    runtime.block_on(async move {
        let listener = TcpListener::from_std(listener).expect("listener");
        loop {
            if direct {
                let _ = listener.readable(false).await;
                // SAFETY: no address is asked for; the descriptor is new and ours.
                unsafe {
                    let fd = libc::accept4(listener.as_raw_fd(), std::ptr::null_mut(), std::ptr::null_mut(), libc::SOCK_CLOEXEC);
                    if fd >= 0 {
                        let stream = std::net::TcpStream::from_raw_fd(fd);
                        monoio::spawn(serve(TcpStream::from_std(stream).expect("stream")));
                    }
                }
            } else if let Ok((stream, _)) = listener.accept().await {
                monoio::spawn(serve(stream));
            }
        }
    });
}
