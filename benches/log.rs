//! A request's line: uWSGI's own form, and a JSON format of ten variables.

use std::hint::black_box;

use criterion::{Criterion, criterion_group, criterion_main};
use uwring::log::{Clock, Form, RequestLine};
use uwring::options::Options;

const JSON: &str = r#"{"time":"%(ltime)","status":%(status),"method":"%(method)","uri":"%(uri)","ms":%(msecs),"size":%(size),"addr":"%(addr)","agent":"%(uagent)","id":"%(var.HTTP_X_REQUEST_ID)","worker":%(wid)}"#;

type Bench<'b> = &'b mut dyn FnMut(&str, &mut dyn FnMut());

/// Hands each piece to `bench` with its name; `instructions.rs` counts the same pieces.
pub fn pieces(bench: Bench) {
    let default = Options::default();
    let json = Options { log_format: Some(JSON.into()), ..Options::default() };
    line(
        bench,
        "log/uWSGI's own line",
        &default,
        b"[pid: 1346|app: 0|req: 56730/281056] 172.31.16.77 () {52 vars in 896 bytes} [",
    );
    line(bench, "log/ten variables as JSON", &json, b"{\"time\":\"");
}

fn line(bench: Bench, name: &str, options: &Options, begin: &[u8]) {
    let form = Form::new(options);
    let mut clock = Clock::default();
    let mut out = Vec::with_capacity(512);
    let line = RequestLine {
        pid: 1346,
        worker: 1,
        app: 0,
        number: 56_730,
        total: 281_056,
        addr: b"172.31.16.77",
        user: b"",
        vars: 26,
        head_bytes: 896,
        start_us: 1_795_405_048_430_732,
        end_us: 1_795_405_048_463_942,
        method: b"POST",
        uri: b"/app/api?page=2",
        body_bytes: 144,
        via_sendfile: false,
        protocol: "HTTP/1.1",
        status: 200,
        headers: 3,
        header_bytes: 121,
        switches: 1,
        core: 0,
        content_length: 0,
        modifiers: (0, 0),
        write_errors: 0,
        memory: (0, 0),
        var: &|name| if name == b"HTTP_USER_AGENT" { b"Mozilla/5.0 (X11; Linux)" } else { b"" },
        logvar: &|_| b"",
    };
    bench(name, &mut || {
        out.clear();
        form.write(black_box(&line), &mut clock, &mut out);
        black_box(out.len());
    });
    assert!(out.starts_with(begin), "{}", String::from_utf8_lossy(&out));
}

fn criterion(c: &mut Criterion) {
    pieces(&mut |name, piece| {
        c.bench_function(name, |b| b.iter(&mut *piece));
    });
}

criterion_group!(benches, criterion);
criterion_main!(benches);
