//! What a request costs inside a worker: environ alone, and the whole call of a tiny app.
//!
//! Shard and worker share one thread, so a figure of the call holds the crossing too: take off what
//! `benches/handoff.rs` says.

use std::hint::black_box;

use criterion::{Criterion, criterion_group, criterion_main};
use uwring::handoff::{Dispatch, DispatchBody, Geometry, Handoff, Queue, Seat, Stage};
use uwring::proto::{Limits, Parsed, http};
use uwring::python::{Config, Py, Runtime};
use uwring::request::Request;
use uwring::shared::Board;
use uwring::sys::Sharing;
use uwring::wsgi::{AppSource, Builder, Fixed, Loaded, Local, Place, Plan};

const ONE_HEADER: &str = "GET / HTTP/1.1\r\nHost: 127.0.0.1:8000\r\n\r\n";

const BROWSER_HEADERS: &str = "GET /wp-content/uploads/2010/03/hello-kitty.jpg?v=3 HTTP/1.1\r\n\
    Host: www.kittyhell.com\r\n\
    Connection: keep-alive\r\n\
    sec-ch-ua: \"Chromium\";v=\"130\", \"Not?A_Brand\";v=\"99\"\r\n\
    sec-ch-ua-mobile: ?0\r\n\
    Upgrade-Insecure-Requests: 1\r\n\
    User-Agent: Mozilla/5.0 (X11; Linux x86_64) AppleWebKit/537.36 (KHTML, like Gecko) \
    Chrome/130.0.0.0 Safari/537.36\r\n\
    Accept: text/html,application/xhtml+xml,application/xml;q=0.9,*/*;q=0.8\r\n\
    Sec-Fetch-Site: same-origin\r\n\
    Sec-Fetch-Mode: navigate\r\n\
    Referer: https://www.kittyhell.com/tag/photography/\r\n\
    Accept-Encoding: gzip, deflate, br\r\n\
    Accept-Language: ja,en-us;q=0.7,en;q=0.3\r\n\
    Cookie: wp_ozh_wsa_visits=2; wp_ozh_wsa_visit_lasttime=xxxxxxxxxx; \
    __utma=xxxxxxxxx.xxxxxxxxxx.xxxxxxxxxx.xxxxxxxxxx.xxxxxxxxxx.x\r\n\r\n";

const HEADS: [(&str, &str); 2] = [("1", ONE_HEADER), ("13", BROWSER_HEADERS)];
const APP: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/benches/head_to_head/apps/hello.py");

fn plan() -> Plan {
    let geometry = Geometry { shards: 1, workers: 1, threads: 1, slots_per_shard: 8 };
    Plan {
        handoff: Handoff::new(geometry, Sharing::Threads).expect("address space for the slots"),
        board: Board::new(1, 1, 1, 1).expect("memory for the counters"),
        place: Place {
            apps: vec![AppSource { file: Some(APP.to_owned()), ..AppSource::default() }],
            ..Place::default()
        },
        fixed: Fixed {
            http_vars: Vec::new(),
            multithread: false,
            multiprocess: false,
            core: None,
            ports: vec!["8000".to_owned()],
            hostname: "bench".to_owned(),
            version: "0".to_owned(),
        },
        facts: uwring::api::Facts::default(),
        strict: false,
        file_wrapper: true,
        gc: uwring::options::Gc::Frozen,
        limit_as: None,
        on_exception: Default::default(),
        catch_exceptions: false,
        amendment: Default::default(),
    }
}

fn parsed(head: &str) -> Request {
    let mut request = Request::default();
    let result = http::parse(head.as_bytes(), &Limits::default(), &mut request);
    assert_eq!(result, Ok(Parsed::Complete));
    request
}

fn dispatch<'a>(request: &'a Request, head: &'a str) -> Dispatch<'a> {
    Dispatch {
        request,
        head: head.as_bytes(),
        remote_addr: b"127.0.0.1",
        remote_port: b"49152",
        listener: 0,
        ends: false,
        body: DispatchBody::Whole(b""),
        arrived_us: 1,
    }
}

type Bench<'b> = &'b mut dyn FnMut(&str, &mut dyn FnMut());

fn build_environ(bench: Bench, py: Py<'_>, plan: &Plan, queue: &mut Queue, seat: &Seat) {
    let mut builder = Builder::new(py, &plan.fixed, &py.none(), &py.none(), None);
    let input = py.none();
    for (name, head) in HEADS {
        let request = parsed(head);
        let ticket = queue.reserve().expect("a free slot");
        queue.submit(&ticket, &dispatch(&request, head));
        let call = seat.claim().expect("a request waits");
        let mut build = || builder.build(py, &call, &call.head(), black_box(&input));
        bench(&format!("environ, headers: {name}"), &mut || drop(black_box(build())));
        let host = build().get(&py.str("HTTP_HOST")).map(|host| host.to_text());
        assert!(host.is_some_and(|host| head.contains(&format!("Host: {host}\r\n"))));
        call.finish();
        queue.release(&ticket);
    }
}

fn call_app(bench: Bench, py: Py<'_>, plan: &Plan, queue: &mut Queue, seat: &Seat) {
    let (loaded, error) = Loaded::new(py, plan, 1).ok().expect("an interpreter that is prepared");
    assert!(error.is_none(), "the app is loaded: {}", error.map(|e| e.text).unwrap_or_default());
    let mut local = Local::new(py, plan, seat, &loaded).ok().expect("the thread's own objects");
    let mut out = Vec::new();
    for (name, head) in HEADS {
        let request = parsed(head);
        let mut call = || {
            let ticket = queue.reserve().expect("a free slot");
            queue.submit(&ticket, &dispatch(&request, head));
            let call = seat.claim().expect("a request waits");
            local.run(py, call, std::time::Instant::now());
            let progress = ticket.progress();
            assert_eq!((progress.stage, progress.head.map(|h| h.status)), (Stage::Done, Some(200)));
            out.clear();
            ticket.take_output(progress.pending, &mut out);
            assert!(out.ends_with(b"Hello World"));
            queue.release(&ticket);
        };
        bench(&format!("call of a tiny app, headers: {name}"), &mut call);
    }
}

/// Hands each piece to `bench` with its name; `instructions.rs` counts the same pieces.
pub fn pieces(bench: Bench) {
    let executable = option_env!("UWRING_BASE_PYTHON").unwrap_or("python3").to_owned();
    let config = Config { executable, argv: vec!["bench".to_owned()], ..Config::default() };
    let runtime = Runtime::start(&config).expect("a Python that starts");
    let plan = plan();
    let mut queue = Queue::new(plan.handoff, 0, vec![0]);
    let seat = Seat::new(plan.handoff, 0, 0, 1);
    runtime.main().attach(|py| {
        build_environ(bench, py, &plan, &mut queue, &seat);
        call_app(bench, py, &plan, &mut queue, &seat);
    });
}

fn criterion(c: &mut Criterion) {
    pieces(&mut |name, piece| {
        c.bench_function(name, |b| b.iter(&mut *piece));
    });
}

criterion_group!(benches, criterion);
criterion_main!(benches);
