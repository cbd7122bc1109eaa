//! A request that a file answers, without a worker.

use std::future::Future;
use std::io;
use std::ops::Range;
use std::rc::Rc;
use std::sync::Arc;

use bytes::Buf;

use super::body::Rest;
use super::connection::Connection;
use super::errand::{Report, Task};
use super::exchange::{Next, after};
use super::respond::{PIECE_BYTES, Sent};
use super::stream::Received;
use super::{Shard, refusal, request_log, sendfile};
use crate::files::{Answer, Asked, Body, Cached, Files, Found, Outcome, Piece, Wanted};
use crate::request::Request;
use crate::response::{self, Added, encode_head, version_text};
use crate::shared::shard as place;
use crate::sys;

/// So much of a body goes out in one send with the head; more is sent from where it lies.
const COPY_BYTES: u64 = 16 * 1024;

/// What to look for, if a rule fits the request.
pub(super) fn wanted<F: Future<Output = Received>>(
    connection: &mut Connection<F>,
    request: &Request,
) -> Option<Wanted> {
    let files = connection.shard.files.as_ref()?;
    files.wanted(connection.reader.bytes(), request)
}

/// Answers with the file; None if there is none, and the app is asked.
pub(super) async fn serve<F: Future<Output = Received>>(
    connection: &mut Connection<F>,
    request: &Request,
    wanted: Wanted,
    arrived_us: u64,
) -> Option<Next> {
    let shard = Rc::clone(&connection.shard);
    let files = shard.files.as_ref()?;
    let mut rest = Rest::of(request);
    connection.out.clear();
    connection.out.extend_from_slice(version_text(connection.is_http(), request.version));
    let outcome = find(&shard, files, &wanted).await;
    // A body that nobody reads ends the connection.
    let keep_alive = shard.keeps(request, connection.is_http()) && rest.is_done();
    let sent = match outcome {
        Outcome::Missing(_) => return None,
        Outcome::Found(found, _) => {
            shard.row.bump(place::STATIC, 1);
            let head = connection.reader.bytes();
            let asked = Asked::new(head, request, &wanted);
            let now_s = arrived_us / 1_000_000;
            // Digits that no file is likely to have in it.
            let boundary = arrived_us.wrapping_mul(0x9e37_79b9_7f4a_7c15);
            let answer = files.answer(&asked, &found, now_s, boundary, &mut connection.out);
            send(connection, request, &found, answer, keep_alive, arrived_us).await
        }
        Outcome::Failed(why) => {
            crate::log::line(format_args!("{why}"));
            fail(connection, request, keep_alive).await
        }
    };
    shard.row.bump(place::TX, sent.head_bytes + sent.body_bytes);
    let head = connection.reader.bytes();
    request_log::write_own(&shard, request, &connection.peer, head, &sent, arrived_us);
    connection.reader.consume(request.head_len);
    if sent.is_broken {
        return Some(Next::Close);
    }
    let left = rest.left();
    Some(after(connection, &mut rest, left, &sent).await)
}

/// From the cache, or by a helper that looks.
async fn find(shard: &Shard, files: &Files, wanted: &Wanted) -> Outcome {
    let search = match files.cached(wanted, shard.watches.now_s()) {
        Cached::Fresh(found) => return Outcome::Found(found, crate::files::Place::Remembered),
        Cached::Stale(search) => search,
    };
    let Report::Searched(outcome) = shard.errand(Task::Search(search)).await else {
        return Outcome::Failed("BUG: a helper panicked while it looked for a file".into());
    };
    files.remember(wanted, &outcome, shard.watches.now_s());
    if let Outcome::Missing(escapes) = &outcome {
        escapes.iter().for_each(|line| crate::log::line(format_args!("{line}")));
    }
    outcome
}

/// Sends the head that was begun in `out`, then the body.
async fn send<F: Future<Output = Received>>(
    connection: &mut Connection<F>,
    request: &Request,
    found: &Found,
    answer: Answer,
    keep_alive: bool,
    arrived_us: u64,
) -> Sent {
    let is_http = connection.is_http();
    let shard = Rc::clone(&connection.shard);
    let added = Added {
        length: None,
        date: None,
        chunked: false,
        connection: response::Connection::of(is_http, keep_alive, request.version),
    };
    {
        let mut date = shard.date.borrow_mut();
        let date = is_http.then(|| date.line(arrived_us));
        connection.out.extend_from_slice(&shard.amendment.lines);
        encode_head(&Added { date, ..added }, &mut connection.out);
    }
    let mut sent = Sent {
        keep_alive,
        status: answer.status,
        headers: answer.fields + shard.amendment.count,
        head_bytes: connection.out.len() as u64,
        ..Sent::default()
    };
    let bytes = &mut sent.body_bytes;
    let body = match answer.body {
        Body::None => Ok(true),
        Body::One(range) => send_span(connection, found, range, bytes).await,
        Body::Several(pieces) => send_pieces(connection, found, pieces, bytes).await,
    };
    let whole = match body {
        Ok(whole) => flush(connection).await.map(|()| whole),
        Err(error) => Err(error),
    };
    connection.watch.clear_write();
    // uWSGI's line says so of files, but for empty ones.
    sent.is_file = sent.body_bytes > 0;
    // A file that shrank: the client sees that bytes are missing, since the connection ends.
    sent.keep_alive &= matches!(whole, Ok(true));
    sent.is_broken = whole.is_err();
    sent
}

async fn send_pieces<F: Future<Output = Received>>(
    connection: &mut Connection<F>,
    found: &Found,
    pieces: Vec<Piece>,
    body_bytes: &mut u64,
) -> io::Result<bool> {
    for piece in pieces {
        match piece {
            Piece::Text(text) => {
                connection.out.extend_from_slice(&text);
                *body_bytes += text.len() as u64;
            }
            Piece::Span(range) => {
                if !send_span(connection, found, range, body_bytes).await? {
                    return Ok(false);
                }
            }
        }
    }
    Ok(true)
}

/// Sends bytes of the file behind what is in `out`; false if it has shrunk meanwhile. Small ones
/// are left in `out`.
async fn send_span<F: Future<Output = Received>>(
    connection: &mut Connection<F>,
    found: &Found,
    range: Range<u64>,
    body_bytes: &mut u64,
) -> io::Result<bool> {
    let len = range.end - range.start;
    let Some(content) = found.content() else {
        let Some(file) = found.file() else {
            return flush(connection).await.map(|()| false);
        };
        let (shard, fd) = (Rc::clone(&connection.shard), connection.fd);
        let mut range = range;
        *body_bytes += sendfile::begin(&shard, fd, &mut connection.out, &file, &mut range)?;
        flush(connection).await?;
        let sending = sendfile::send(&shard, &connection.watch, fd, Arc::clone(&file), range);
        let sending = sending.await?;
        *body_bytes += sending.bytes;
        return Ok(sending.is_whole);
    };
    // Both ends lie in it: it is as long as the file was.
    let mut bytes = content.slice(range.start as usize..range.end as usize);
    *body_bytes += len;
    if connection.out.len() as u64 + len <= COPY_BYTES {
        connection.out.extend_from_slice(&bytes);
        return Ok(true);
    }
    let head = connection.out.len();
    let sent = sys::send_both_now(connection.fd, &connection.out, &bytes)?;
    connection.out.drain(..sent.min(head));
    bytes.advance(sent.saturating_sub(head));
    flush(connection).await?;
    while !bytes.is_empty() {
        let piece = bytes.split_to(bytes.len().min(PIECE_BYTES));
        set_deadline(connection);
        connection.writer.send_bytes(piece).await?;
    }
    Ok(true)
}

fn set_deadline<F: Future<Output = Received>>(connection: &Connection<F>) {
    let shard = &connection.shard;
    connection.watch.set_write(shard.watches.now_s() + shard.timeouts.write_s);
}

async fn flush<F: Future<Output = Received>>(connection: &mut Connection<F>) -> io::Result<()> {
    if connection.out.is_empty() {
        return Ok(());
    }
    set_deadline(connection);
    let out = std::mem::take(&mut connection.out);
    let (result, out) = connection.writer.send(out).await;
    connection.out = out;
    connection.out.clear();
    result.map(drop)
}

/// The disk failed: the app is not asked for what it does not have.
async fn fail<F: Future<Output = Received>>(
    connection: &mut Connection<F>,
    request: &Request,
    keep_alive: bool,
) -> Sent {
    let said = response::Connection::of(connection.is_http(), keep_alive, request.version);
    connection.out.clear();
    refusal::write(500, "Internal Server Error", "", said, &mut connection.out);
    if request.is_head
        && let Some(end) = connection.out.windows(4).position(|four| four == b"\r\n\r\n")
    {
        connection.out.truncate(end + 4);
    }
    let head_bytes = connection.out.len() as u64;
    let is_broken = flush(connection).await.is_err();
    connection.watch.clear_write();
    Sent { keep_alive, status: 500, headers: 2, head_bytes, is_broken, ..Sent::default() }
}
