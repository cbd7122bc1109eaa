//! The stats as uWSGI's JSON: the same keys, in the same order (facts: uwsgi, section 5).

use serde::Serialize;

use super::Source;
use crate::shared::{app, core, shard, worker};

#[derive(Serialize)]
struct Server<'a> {
    version: &'a str,
    listen_queue: u64,
    listen_queue_errors: u64,
    signal_queue: u64,
    load: u64,
    pid: i32,
    uid: u32,
    gid: u32,
    cwd: String,
    locks: [u8; 0],
    sockets: Vec<SocketEntry<'a>>,
    workers: Vec<Worker>,
    /// uwring's own: what its shards did.
    shards: Vec<Shard>,
}

#[derive(Serialize)]
struct SocketEntry<'a> {
    name: &'a str,
    proto: &'a str,
    queue: u64,
    max_queue: u64,
    shared: u64,
    can_offload: u64,
}

#[derive(Serialize)]
struct Worker {
    id: usize,
    pid: u64,
    accepting: u64,
    requests: u64,
    delta_requests: u64,
    exceptions: u64,
    harakiri_count: u64,
    signals: u64,
    signal_queue: u64,
    status: &'static str,
    rss: u64,
    vsz: u64,
    running_time: u64,
    last_spawn: u64,
    respawn_count: u64,
    tx: u64,
    avg_rt: u64,
    apps: Vec<App>,
    #[serde(skip_serializing_if = "Option::is_none")]
    cores: Option<Vec<Core>>,
}

#[derive(Serialize)]
struct App {
    id: usize,
    modifier1: u64,
    mountpoint: String,
    startup_time: u64,
    requests: u64,
    exceptions: u64,
    chdir: &'static str,
}

#[derive(Serialize)]
struct Core {
    id: usize,
    requests: u64,
    static_requests: u64,
    routed_requests: u64,
    offloaded_requests: u64,
    write_errors: u64,
    read_errors: u64,
    in_request: u64,
    vars: [u8; 0],
    req_info: RequestInfo,
}

#[derive(Serialize)]
struct RequestInfo {
    #[serde(skip_serializing_if = "Option::is_none")]
    request_start: Option<u64>,
}

#[derive(Serialize)]
struct Shard {
    id: usize,
    accepted: u64,
    connections: u64,
    parked: u64,
    requests: u64,
    rejected: u64,
    turns: u64,
    gathered: u64,
    held: u64,
    /// Connections that went to the shard where their packets arrive.
    moved: u64,
    batch_scheduling: bool,
    doorbells: u64,
    worker_sends: u64,
    panics: u64,
    log_lines_dropped: u64,
    tx: u64,
}

/// The whole document.
pub(super) fn text(source: &Source, minified: bool, cores: bool) -> String {
    let board = source.board;
    let (uid, gid) = crate::sys::user();
    let workers: Vec<_> =
        (0..board.workers()).map(|index| worker_entry(source, index, cores)).collect();
    let server = Server {
        version: &source.version,
        listen_queue: source.sockets.iter().map(|socket| socket.queue()).sum(),
        listen_queue_errors: 0,
        signal_queue: 0,
        load: workers.iter().filter(|worker| worker.status == "busy").count() as u64,
        pid: source.pid,
        uid,
        gid,
        cwd: std::env::current_dir().map_or_else(|_| String::new(), |d| d.display().to_string()),
        locks: [],
        sockets: source
            .sockets
            .iter()
            .map(|socket| SocketEntry {
                name: &socket.name,
                proto: &socket.proto,
                queue: socket.queue(),
                max_queue: socket.max_queue,
                shared: 0,
                can_offload: 0,
            })
            .collect(),
        workers,
        shards: (0..board.shards()).map(|index| shard_entry(source, index)).collect(),
    };
    let result = if minified {
        serde_json::to_string(&server)
    } else {
        // uWSGI indents with tabs.
        let mut out = Vec::new();
        let format = serde_json::ser::PrettyFormatter::with_indent(b"\t");
        let mut serializer = serde_json::Serializer::with_formatter(&mut out, format);
        server.serialize(&mut serializer).map(|()| String::from_utf8_lossy(&out).into_owned())
    };
    result.unwrap_or_else(|error| format!("{{\"error\":\"{error}\"}}"))
}

fn worker_entry(source: &Source, index: usize, with_cores: bool) -> Worker {
    let row = source.board.worker(index);
    let cores: Vec<_> =
        (0..source.board.threads()).map(|thread| core_entry(source, index, thread)).collect();
    let is_busy = cores.iter().any(|core| core.in_request == 1);
    Worker {
        id: index + 1,
        pid: row.get(worker::PID),
        accepting: u64::from(row.get(worker::READY) != 0),
        requests: row.get(worker::REQUESTS),
        delta_requests: row.get(worker::REQUESTS),
        exceptions: row.get(worker::EXCEPTIONS),
        harakiri_count: row.get(worker::HARAKIRIS),
        signals: 0,
        signal_queue: 0,
        status: match row.get(worker::PID) {
            0 => "cheap",
            _ if is_busy => "busy",
            _ => "idle",
        },
        rss: 0,
        vsz: 0,
        running_time: row.get(worker::RUNNING_US),
        last_spawn: row.get(worker::LAST_SPAWN),
        respawn_count: row.get(worker::SPAWNS),
        tx: row.get(worker::TX),
        avg_rt: row.get(worker::AVG_RT_US),
        apps: if row.get(worker::HAS_APP) == 1 { apps(source, index) } else { Vec::new() },
        cores: with_cores.then_some(cores),
    }
}

fn apps(source: &Source, index: usize) -> Vec<App> {
    let worker = source.board.worker(index);
    let app = |(id, mountpoint): (usize, &String)| {
        // The only app has what its worker has.
        let own = source.board.app(index, id);
        let of = |place, only| own.map_or_else(|| worker.get(only), |row| row.get(place));
        App {
            id,
            modifier1: 0,
            mountpoint: mountpoint.clone(),
            startup_time: worker.get(worker::STARTUP_S),
            requests: of(app::REQUESTS, worker::REQUESTS),
            exceptions: of(app::EXCEPTIONS, worker::EXCEPTIONS),
            chdir: "",
        }
    };
    source.mountpoints.iter().enumerate().map(app).collect()
}

fn core_entry(source: &Source, index: usize, thread: usize) -> Core {
    let row = source.board.core(index, thread);
    let in_request = row.get(core::IN_REQUEST);
    Core {
        id: thread,
        requests: row.get(core::REQUESTS),
        static_requests: static_requests(source, index, thread),
        routed_requests: 0,
        offloaded_requests: 0,
        write_errors: row.get(core::WRITE_ERRORS),
        read_errors: row.get(core::READ_ERRORS),
        in_request,
        // uWSGI lists the running request's variables, cookies and passwords with them: not here.
        vars: [],
        req_info: RequestInfo {
            request_start: (in_request == 1).then(|| row.get(core::REQUEST_START)),
        },
    }
}

/// Files are sent by shards; uWSGI's readers look for them at a core. Shard s has worker s.
fn static_requests(source: &Source, index: usize, thread: usize) -> u64 {
    match thread {
        0 if index < source.board.shards() => source.board.shard(index).get(shard::STATIC),
        _ => 0,
    }
}

fn shard_entry(source: &Source, index: usize) -> Shard {
    let row = source.board.shard(index);
    Shard {
        id: index,
        accepted: row.get(shard::ACCEPTED),
        connections: row.get(shard::OPEN),
        parked: row.get(shard::PARKED),
        requests: row.get(shard::REQUESTS),
        rejected: row.get(shard::REJECTED),
        turns: row.get(shard::TURNS),
        gathered: row.get(shard::GATHERED),
        held: row.get(shard::HELD),
        moved: row.get(shard::MOVED),
        batch_scheduling: row.get(shard::BATCH) == 1,
        doorbells: row.get(shard::BELLS),
        worker_sends: row.get(shard::OWN_SENDS),
        panics: row.get(shard::PANICS),
        log_lines_dropped: row.get(shard::LOG_DROPPED),
        tx: row.get(shard::TX),
    }
}
