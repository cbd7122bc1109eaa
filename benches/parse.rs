//! How long it takes to understand a request: head, packet, chunked body.

use std::hint::black_box;

use criterion::{BatchSize, Criterion, Throughput, criterion_group, criterion_main};
use uwring::proto::{Limits, Parsed, chunked, http, uwsgi};
use uwring::request::{Body, Request};

const ONE_HEADER: &[u8] = b"GET / HTTP/1.1\r\nHost: 127.0.0.1:8000\r\n\r\n";

const BROWSER_HEADERS: &[u8] = b"GET /wp-content/uploads/2010/03/hello-kitty.jpg?v=3 HTTP/1.1\r\n\
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

/// nginx with its stock `uwsgi_params`.
const NGINX_VARS: &[(&str, &str)] = &[
    ("QUERY_STRING", "page=2"),
    ("REQUEST_METHOD", "POST"),
    ("CONTENT_TYPE", "application/json"),
    ("CONTENT_LENGTH", "16"),
    ("REQUEST_URI", "/api/items?page=2"),
    ("PATH_INFO", "/api/items"),
    ("DOCUMENT_ROOT", "/usr/share/nginx/html"),
    ("SERVER_PROTOCOL", "HTTP/1.1"),
    ("REQUEST_SCHEME", "https"),
    ("HTTPS", "on"),
    ("REMOTE_ADDR", "203.0.113.7"),
    ("REMOTE_PORT", "49152"),
    ("SERVER_PORT", "443"),
    ("SERVER_NAME", "example.org"),
    ("HTTP_HOST", "example.org"),
    ("HTTP_USER_AGENT", "Mozilla/5.0 (X11; Linux x86_64; rv:132.0) Gecko/20100101 Firefox/132.0"),
    ("HTTP_ACCEPT", "text/html,application/xhtml+xml,application/xml;q=0.9,*/*;q=0.8"),
    ("HTTP_ACCEPT_LANGUAGE", "en-US,en;q=0.5"),
    ("HTTP_ACCEPT_ENCODING", "gzip, deflate, br"),
    ("HTTP_COOKIE", "sessionid=38afes7a8; csrftoken=u32t4o3tb3gg43"),
];

const DRIPPING_FIELDS: usize = 112;
const BODY_BYTES: usize = 64 * 1024;
const CHUNK_BYTES: usize = 8 * 1024;

type Bench<'b> = &'b mut dyn FnMut(&str, &mut dyn FnMut());

/// Hands each piece to `bench` with its name; `instructions.rs` counts the same pieces.
pub fn pieces(bench: Bench) {
    parse_heads(bench);
    parse_dripping_head(bench);
}

fn parse_heads(bench: Bench) {
    let limits = Limits::default();
    let mut request = Request::default();
    for (name, head, fields) in [("1", ONE_HEADER, 1), ("13", BROWSER_HEADERS, 13)] {
        let mut parse = || http::parse(black_box(head), &limits, &mut request);
        bench(&format!("http head, headers: {name}"), &mut || _ = black_box(parse()));
        assert_eq!(parse(), Ok(Parsed::Complete));
        assert_eq!((request.head_len, request.fields.len()), (head.len(), fields));
    }
    let packet = uwsgi::encode(NGINX_VARS, 0);
    let mut parse = || uwsgi::parse(black_box(&packet), &limits, &mut request);
    bench("uwsgi packet of nginx", &mut || _ = black_box(parse()));
    assert_eq!(parse(), Ok(Parsed::Complete));
    assert_eq!((request.fields.len(), request.body), (NGINX_VARS.len(), Body::Length(16)));
}

/// A client that sends one byte for each packet: all parses of one long head.
fn parse_dripping_head(bench: Bench) {
    let limits = Limits::default();
    let mut request = Request::default();
    let fields = "X-Name: 0123456789012345678901234567890123456789012\r\n".repeat(DRIPPING_FIELDS);
    let head = format!("GET / HTTP/1.0\r\n{fields}\r\n").into_bytes();
    let mut parse =
        || (1..=head.len()).map(|len| http::parse(&head[..len], &limits, &mut request)).last();
    bench("http head of 6 KiB, byte by byte", &mut || _ = black_box(parse()));
    assert_eq!(parse(), Some(Ok(Parsed::Complete)));
    assert_eq!(request.fields.len(), DRIPPING_FIELDS);
}

fn decode_chunks(c: &mut Criterion) {
    let limits = Limits::default();
    let mut coded = Vec::new();
    for _ in 0..BODY_BYTES / CHUNK_BYTES {
        chunked::encode_size(CHUNK_BYTES, &mut coded);
        coded.resize(coded.len() + CHUNK_BYTES, b'x');
        coded.extend_from_slice(b"\r\n");
    }
    coded.extend_from_slice(chunked::LAST_CHUNK);
    let mut group = c.benchmark_group("chunked");
    group.throughput(Throughput::Bytes(BODY_BYTES as u64));
    group.bench_function("decode 64 KiB in chunks of 8 KiB", |b| {
        let decode = |bytes: &mut Vec<u8>| {
            let step = chunked::Decoder::default().decode(bytes, &limits);
            assert!(step.is_ok_and(|step| step.done && step.produced == BODY_BYTES));
        };
        b.iter_batched_ref(|| coded.clone(), decode, BatchSize::SmallInput);
    });
    group.finish();
}

fn criterion(c: &mut Criterion) {
    pieces(&mut |name, piece| {
        c.bench_function(name, |b| b.iter(&mut *piece));
    });
    decode_chunks(c);
}

criterion_group!(benches, criterion);
criterion_main!(benches);
