//! Gathers what the request line says, after the response's last byte.

use super::Shard;
use super::listener::Peer;
use super::respond::Sent;
use crate::handoff::Ticket;
use crate::log::{RequestLine, write_request_line};
use crate::proto::uwsgi;
use crate::request::{Fields, Range, Request, Version};
use crate::shared::{now_us, shard as place, worker};

/// Variables that an HTTP request has beside its header fields.
const OWN_VARS: usize = 10;

/// Writes the line of a request that a worker had, if it gets one.
pub(super) fn write(
    shard: &Shard,
    request: &Request,
    peer: &Peer,
    ticket: &Ticket,
    sent: &Sent,
    arrived_us: u64,
) {
    let (number, core, app_request) = ticket.signed();
    let row = match (number as usize).checked_sub(1) {
        Some(index) if index < shard.board.workers() => Some(shard.board.worker(index)),
        _ => None,
    };
    if let Some(row) = row {
        row.add(worker::TX, sent.head_bytes + sent.body_bytes);
    }
    if !is_wanted(shard, sent) {
        shard.row.bump(place::DONE, 1);
        return;
    }
    let mut head = shard.take_buffer();
    ticket.copy_head(request.head_len, &mut head);
    let ran = Ran {
        pid: row.map_or(0, |row| row.get(worker::PID)),
        app: match (row, ticket.app()) {
            (Some(row), Some(app)) if row.get(worker::HAS_APP) == 1 => app as i32,
            _ => -1,
        },
        number: app_request as i64,
        core,
        switches: 1,
    };
    put(shard, request, peer, &head, &ran, sent, arrived_us);
    shard.give_buffer(head);
}

/// Writes the line of a request that the shard answered by itself, if it gets one. `head` begins
/// with the request's.
pub(super) fn write_own(
    shard: &Shard,
    request: &Request,
    peer: &Peer,
    head: &[u8],
    sent: &Sent,
    arrived_us: u64,
) {
    if !is_wanted(shard, sent) {
        shard.row.bump(place::DONE, 1);
        return;
    }
    let pid = shard.workers.first().map_or(0, |&index| shard.board.worker(index).get(worker::PID));
    // uWSGI: no app has counted it.
    let ran = Ran { pid, app: -1, number: -1, core: 0, switches: 0 };
    put(shard, request, peer, head, &ran, sent, arrived_us);
}

fn is_wanted(shard: &Shard, sent: &Sent) -> bool {
    let logging = &shard.logging;
    logging.all
        || (logging.status_4xx && (400..500).contains(&sent.status))
        || (logging.status_5xx && (500..600).contains(&sent.status))
}

/// Who answered.
struct Ran {
    pid: u64,
    app: i32,
    /// Requests of this worker so far.
    number: i64,
    core: u32,
    switches: u32,
}

fn put(
    shard: &Shard,
    request: &Request,
    peer: &Peer,
    head: &[u8],
    ran: &Ran,
    sent: &Sent,
    arrived_us: u64,
) {
    let total = shard.board.count_request();
    let var = |name: &[u8]| -> Range {
        let of = |field: &&crate::request::Field| field.name.of(head) == name;
        request.fields.iter().find(of).map_or(Range::default(), |field| field.value)
    };
    let is_vars = request.kind == Fields::Vars;
    let (addr, user) = match is_vars {
        true => (var(b"REMOTE_ADDR").of(head), var(b"REMOTE_USER").of(head)),
        false => (peer.addr.as_bytes(), &b""[..]),
    };
    let line = RequestLine {
        pid: ran.pid,
        app: ran.app,
        number: ran.number,
        total,
        addr,
        user,
        vars: request.fields.len() + if is_vars { 0 } else { OWN_VARS },
        // uWSGI counts the vars without the packet's header.
        head_bytes: request.head_len - if is_vars { uwsgi::HEADER_LEN } else { 0 },
        start_s: (arrived_us / 1_000_000) as i64,
        method: request.method.of(head),
        uri: request.target.of(head),
        body_bytes: sent.body_bytes,
        millis: sent.ended_us.unwrap_or_else(now_us).saturating_sub(arrived_us) / 1000,
        via_sendfile: sent.is_file,
        protocol: if request.version == Version::Http11 { "HTTP/1.1" } else { "HTTP/1.0" },
        status: sent.status,
        headers: sent.headers,
        header_bytes: sent.head_bytes as usize,
        switches: ran.switches,
        core: ran.core,
    };
    let mut lines = shard.lines.borrow_mut();
    write_request_line(&line, &mut shard.clock.borrow_mut(), lines.batch());
    drop(lines);
    shard.turn.raise();
}
