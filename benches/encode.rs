//! The server's part of a response head, and the framing of a chunk.

use std::hint::black_box;

use criterion::{Criterion, criterion_group, criterion_main};
use uwring::proto::chunked;
use uwring::response::{Added, Connection, encode_head};

const APP_LINES: &[u8] = b"HTTP/1.1 200 OK\r\nContent-Type: text/plain\r\nContent-Length: 11\r\n";
const DATE: &str = "Date: Sun, 22 Nov 2026 18:28:18 GMT\r\n";

type Bench<'b> = &'b mut dyn FnMut(&str, &mut dyn FnMut());

/// Hands each piece to `bench` with its name; `instructions.rs` counts the same pieces.
pub fn pieces(bench: Bench) {
    head(bench);
    chunk(bench);
}

fn head(bench: Bench) {
    let added =
        Added { length: None, date: Some(DATE), chunked: false, connection: Connection::Unsaid };
    let mut out = Vec::with_capacity(512);
    bench("encode/head of a kept connection", &mut || {
        out.clear();
        out.extend_from_slice(black_box(APP_LINES));
        encode_head(black_box(&added), &mut out);
        black_box(out.len());
    });
    assert_eq!(out, [APP_LINES, DATE.as_bytes(), b"\r\n"].concat());
}

fn chunk(bench: Bench) {
    let mut out = Vec::with_capacity(64);
    bench("encode/size of a chunk", &mut || {
        out.clear();
        chunked::encode_size(black_box(65_536), &mut out);
        black_box(out.len());
    });
    assert_eq!(out, b"10000\r\n");
}

fn criterion(c: &mut Criterion) {
    pieces(&mut |name, piece| {
        c.bench_function(name, |b| b.iter(&mut *piece));
    });
}

criterion_group!(benches, criterion);
criterion_main!(benches);
