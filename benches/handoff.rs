//! What the crossing costs without anybody to wake: one request from `reserve` to `release`, shard
//! and worker on one thread.

use std::hint::black_box;

use criterion::{Criterion, criterion_group, criterion_main};
use uwring::handoff::{
    Dispatch, DispatchBody, Geometry, Handoff, Queue, ResponseHead, Seat, Stage,
};
use uwring::proto::{Limits, Parsed, http};
use uwring::request::Request;
use uwring::sys::Sharing;

const HEAD: &[u8] = b"GET / HTTP/1.1\r\nHost: 127.0.0.1:8000\r\n\r\n";
const RESPONSE_HEAD: &[u8] = b"200 OK\r\nContent-Type: text/plain\r\nContent-Length: 11\r\n";
const RESPONSE_BODY: &[u8] = b"Hello World";
const SLOTS: usize = 512;

struct Crossing {
    queue: Queue,
    seat: Seat,
    request: Request,
    news: Vec<usize>,
    out: Vec<u8>,
}

impl Crossing {
    fn new(sharing: Sharing) -> Crossing {
        let geometry = Geometry { shards: 1, workers: 1, threads: 1, slots_per_shard: SLOTS };
        let handoff = Handoff::new(geometry, sharing).expect("address space for the slots");
        let mut request = Request::default();
        let parsed = http::parse(HEAD, &Limits::default(), &mut request);
        assert_eq!(parsed, Ok(Parsed::Complete));
        Crossing {
            queue: Queue::new(handoff, 0, vec![0]),
            seat: Seat::new(handoff, 0, 0, 1),
            request,
            news: Vec::new(),
            out: Vec::new(),
        }
    }

    /// `count` requests that are in flight together, each from its head to its last byte.
    fn pass(&mut self, count: usize) {
        let tickets: Vec<_> = (0..count)
            .map(|_| {
                let ticket = self.queue.reserve().expect("a free slot");
                self.queue.submit(&ticket, &dispatch(&self.request));
                ticket
            })
            .collect();
        self.queue.flush();
        for _ in 0..count {
            let call = self.seat.claim().expect("a request waits");
            assert_eq!(black_box(call.head().method()), b"GET");
            call.write(RESPONSE_HEAD);
            call.set_head(ResponseHead {
                head_len: RESPONSE_HEAD.len() as u32,
                status: 200,
                headers: 2,
                length: Some(RESPONSE_BODY.len() as u64),
                flags: 0,
            });
            call.write(RESPONSE_BODY);
            call.finish();
        }
        self.queue.drain(&mut self.news);
        assert_eq!(self.news.len(), count);
        self.news.clear();
        for ticket in tickets {
            let progress = ticket.progress();
            assert_eq!((progress.stage, progress.head.map(|h| h.status)), (Stage::Done, Some(200)));
            self.out.clear();
            let taken = ticket.take_output(progress.pending, &mut self.out);
            assert_eq!(taken, RESPONSE_HEAD.len() + RESPONSE_BODY.len());
            assert!(black_box(&self.out).ends_with(RESPONSE_BODY));
            self.queue.release(&ticket);
        }
        assert_eq!(self.queue.in_use(), 0);
    }
}

fn dispatch(request: &Request) -> Dispatch<'_> {
    Dispatch {
        request,
        head: HEAD,
        remote_addr: b"127.0.0.1",
        remote_port: b"49152",
        listener: 0,
        ends: false,
        body: DispatchBody::Whole(b""),
        arrived_us: 1,
    }
}

type Bench<'b> = &'b mut dyn FnMut(&str, &mut dyn FnMut());

/// Hands each piece to `bench` with its name; `instructions.rs` counts the same pieces.
pub fn pieces(bench: Bench) {
    for (name, sharing) in [("threads", Sharing::Threads), ("processes", Sharing::Processes)] {
        let mut crossing = Crossing::new(sharing);
        for count in [1, 64] {
            let name = format!("crossing between {name}, in flight: {count}");
            bench(&name, &mut || crossing.pass(count));
        }
    }
}

fn criterion(c: &mut Criterion) {
    pieces(&mut |name, piece| {
        c.bench_function(name, |b| b.iter(&mut *piece));
    });
}

criterion_group!(benches, criterion);
criterion_main!(benches);
