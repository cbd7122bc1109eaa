//! Gathers what the request line says, after the response's last byte.

use super::listener::Peer;
use super::respond::Sent;
use super::{Logging, Shard};
use crate::handoff::{Ticket, added_var, logvar};
use crate::log::RequestLine;
use crate::proto::uwsgi;
use crate::request::{Body, Fields, Range, Request, Version};
use crate::shared::{now_us, shard as place, worker};
use crate::sys;

/// Variables that an HTTP request has beside its header fields.
const OWN_VARS: usize = 10;

/// The memory of processes, looked up at most once a second each: bytes resident, address space.
#[derive(Default)]
pub(super) struct Memories(Vec<Known>);

#[derive(Clone, Copy)]
struct Known {
    pid: u64,
    second: u64,
    memory: (u64, u64),
}

impl Memories {
    fn of(&mut self, pid: u64, second: u64) -> (u64, u64) {
        let at = self.0.iter().position(|known| known.pid == pid);
        if let Some(known) = at.map(|at| self.0[at])
            && known.second == second
        {
            return known.memory;
        }
        let memory = sys::memory_of(pid as i32);
        let known = Known { pid, second, memory: (memory.resident, memory.address_space) };
        match at {
            Some(at) => self.0[at] = known,
            None => {
                // Workers that are gone.
                self.0.retain(|known| known.second + 60 > second);
                self.0.push(known);
            }
        }
        known.memory
    }
}

impl Logging {
    /// Whether this request gets a line.
    fn wants(&self, sent: &Sent, micros: u64) -> bool {
        self.all
            || (self.status_4xx && (400..500).contains(&sent.status))
            || (self.status_5xx && (500..600).contains(&sent.status))
            || self.slow_us.is_some_and(|limit| micros >= limit)
            || (self.zero && sent.body_bytes == 0)
            || self.big.is_some_and(|limit| sent.body_bytes >= limit)
            || (self.sendfile && sent.is_file)
            || (self.broken && sent.is_broken)
    }
}

/// Writes the line of a request whose connection broke, if it gets one.
pub(super) fn write_broken(
    shard: &Shard,
    request: &Request,
    peer: &Peer,
    ticket: &Ticket,
    arrived_us: u64,
) {
    // No worker has it: nobody can say what it was worth.
    if ticket.signed().0 == 0 {
        return;
    }
    let head = ticket.progress().head.unwrap_or_default();
    let (status, headers) = (head.status, head.headers);
    let sent = Sent { status, headers, is_broken: true, ..Sent::default() };
    write(shard, request, peer, ticket, &sent, arrived_us);
}

/// Writes the line of a request that a worker had, if it gets one.
pub(super) fn write(
    shard: &Shard,
    request: &Request,
    peer: &Peer,
    ticket: &Ticket,
    sent: &Sent,
    arrived_us: u64,
) {
    let (worker, core, app_request) = ticket.signed();
    let row = match (worker as usize).checked_sub(1) {
        Some(index) if index < shard.board.workers() => Some(shard.board.worker(index)),
        _ => None,
    };
    if let Some(row) = row {
        row.add(worker::TX, sent.head_bytes + sent.body_bytes);
    }
    let Some(end_us) = is_wanted(shard, sent, arrived_us, ticket.wants_line()) else { return };
    let mut head = shard.take_buffer();
    ticket.copy_head(request.head_len, &mut head);
    let mut logvars = shard.take_buffer();
    if shard.logging.form.has_logvars() {
        ticket.copy_logvars(&mut logvars);
    }
    let ran = Ran {
        pid: row.map_or(0, |row| row.get(worker::PID)),
        worker,
        app: match (row, ticket.app()) {
            (Some(row), Some(app)) if row.get(worker::HAS_APP) == 1 => app as i32,
            _ => -1,
        },
        number: app_request as i64,
        core,
        switches: 1,
        logvars: &logvars,
    };
    put(shard, request, peer, &head, &ran, sent, (arrived_us, end_us));
    shard.give_buffer(head);
    shard.give_buffer(logvars);
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
    let Some(end_us) = is_wanted(shard, sent, arrived_us, false) else { return };
    let first = shard.workers.first();
    let pid = first.map_or(0, |&index| shard.board.worker(index).get(worker::PID));
    let worker = first.map_or(0, |&index| index as u32 + 1);
    // uWSGI: no app has counted it.
    let ran = Ran { pid, worker, app: -1, number: -1, core: 0, switches: 0, logvars: b"" };
    put(shard, request, peer, head, &ran, sent, (arrived_us, end_us));
}

/// When the request ended, if it gets a line; microseconds since the epoch. `asked`: the app wants
/// one.
fn is_wanted(shard: &Shard, sent: &Sent, arrived_us: u64, asked: bool) -> Option<u64> {
    let logging = &shard.logging;
    if logging.all || logging.some || asked {
        let end_us = sent.ended_us.unwrap_or_else(now_us);
        if asked || logging.wants(sent, end_us.saturating_sub(arrived_us)) {
            return Some(end_us);
        }
    }
    shard.row.bump(place::DONE, 1);
    None
}

/// Who answered.
struct Ran<'r> {
    pid: u64,
    /// From 1.
    worker: u32,
    app: i32,
    /// Requests of this worker so far.
    number: i64,
    core: u32,
    switches: u32,
    /// What the app gave to the line.
    logvars: &'r [u8],
}

fn put(
    shard: &Shard,
    request: &Request,
    peer: &Peer,
    head: &[u8],
    ran: &Ran<'_>,
    sent: &Sent,
    (start_us, end_us): (u64, u64),
) {
    let logging = &shard.logging;
    let var = |name: &[u8]| -> &[u8] { variable(request, peer, head, name) };
    let is_vars = request.kind == Fields::Vars;
    let forwarded = match logging.forwarded_for {
        true => var(b"HTTP_X_FORWARDED_FOR"),
        false => b"",
    };
    let line = RequestLine {
        pid: ran.pid,
        worker: ran.worker,
        app: ran.app,
        number: ran.number,
        total: shard.board.count_request(),
        addr: if forwarded.is_empty() { var(b"REMOTE_ADDR") } else { forwarded },
        user: if is_vars { var(b"REMOTE_USER") } else { b"" },
        vars: request.fields.len() + if is_vars { 0 } else { OWN_VARS },
        // uWSGI counts the vars without the packet's header.
        head_bytes: request.head_len - if is_vars { uwsgi::HEADER_LEN } else { 0 },
        start_us,
        end_us,
        method: request.method.of(head),
        uri: request.target.of(head),
        body_bytes: sent.body_bytes,
        via_sendfile: sent.is_file,
        protocol: if request.version == Version::Http11 { "HTTP/1.1" } else { "HTTP/1.0" },
        status: sent.status,
        headers: sent.headers,
        header_bytes: sent.head_bytes as usize,
        switches: ran.switches,
        core: ran.core,
        content_length: match request.body {
            Body::Length(length) => length,
            _ => 0,
        },
        modifiers: (request.modifier1, request.modifier2),
        write_errors: u32::from(sent.is_broken),
        memory: match logging.form.tells_memory() {
            true => shard.memories.borrow_mut().of(ran.pid, end_us / 1_000_000),
            false => (0, 0),
        },
        var: &|name| match added_var(ran.logvars, name) {
            b"" => var(name),
            added => added,
        },
        logvar: &|name| logvar(ran.logvars, name),
    };
    let mut lines = shard.lines.borrow_mut();
    logging.form.write(&line, &mut shard.clock.borrow_mut(), lines.batch());
    drop(lines);
    shard.turn.raise();
}

/// A variable of the request by its name in environ, as it came: paths are not decoded.
fn variable<'b>(request: &Request, peer: &'b Peer, head: &'b [u8], name: &[u8]) -> &'b [u8] {
    let find = |is_it: &dyn Fn(&[u8]) -> bool| -> &'b [u8] {
        let field = request.fields.iter().find(|field| is_it(field.name.of(head)));
        field.map_or(Range::default(), |field| field.value).of(head)
    };
    if request.kind == Fields::Vars {
        return find(&|own| own == name);
    }
    match name {
        b"REMOTE_ADDR" => peer.addr.as_bytes(),
        b"REMOTE_PORT" => peer.port.as_bytes(),
        b"REQUEST_METHOD" => request.method.of(head),
        b"REQUEST_URI" => request.target.of(head),
        b"PATH_INFO" => request.path.of(head),
        b"QUERY_STRING" => request.query.of(head),
        b"HTTP_HOST" => request.host.of(head),
        b"SERVER_PROTOCOL" if request.version == Version::Http11 => b"HTTP/1.1",
        b"SERVER_PROTOCOL" => b"HTTP/1.0",
        _ => {
            let is_bare = matches!(name, b"CONTENT_TYPE" | b"CONTENT_LENGTH");
            let key = if is_bare { Some(name) } else { name.strip_prefix(b"HTTP_") };
            let Some(key) = key else { return b"" };
            let same = |&own: &u8, &key: &u8| match own {
                b'-' => key == b'_',
                own => own.to_ascii_uppercase() == key,
            };
            find(&|own| {
                own.len() == key.len() && own.iter().zip(key).all(|(own, key)| same(own, key))
            })
        }
    }
}
