//! Walks `tests/requests/`: each file is what a peer sends, with the expected answer beside it.
//!
//! `NAME.http` or `NAME.uwsgi` holds the raw bytes, `NAME.expect` lines of `key=value`, escaped as
//! Rust does it: `status` for a refusal, `state=partial`, or what the request says.

use std::fs;
use std::path::{Path, PathBuf};

use proptest::prelude::*;

use super::chunked::{self, Decoder};
use super::{Limits, Parsed, Reject, http, uwsgi};
use crate::request::{Body, Range, Request, Version};

/// A file of the corpus.
struct Case {
    path: PathBuf,
    bytes: Vec<u8>,
    expected: String,
}

/// What a server makes of the bytes of a file.
#[derive(Debug, Clone, PartialEq, Eq)]
enum Seen {
    Partial,
    Refused(u16),
    /// The request, its body, and how many bytes came after it.
    Whole(Box<Request>, Vec<u8>, usize),
}

fn cases() -> Vec<Case> {
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/requests");
    let folders = [root.join("valid"), root.join("invalid")];
    let entries = folders.iter().flat_map(|folder| fs::read_dir(folder).expect("is there"));
    let mut cases: Vec<Case> = entries
        .map(|entry| entry.unwrap().path())
        .filter(|path| path.extension().is_some_and(|extension| extension != "expect"))
        .map(|path| Case {
            bytes: fs::read(&path).unwrap(),
            expected: fs::read_to_string(path.with_extension("expect")).unwrap(),
            path,
        })
        .collect();
    cases.sort_by(|a, b| a.path.cmp(&b.path));
    assert!(cases.len() >= 120, "only {} cases", cases.len());
    cases
}

impl Case {
    fn parse(&self, bytes: &[u8], request: &mut Request) -> Result<Parsed, Reject> {
        let limits = Limits::default();
        match self.path.extension().is_some_and(|extension| extension == "uwsgi") {
            true => uwsgi::parse(bytes, &limits, request),
            false => http::parse(bytes, &limits, request),
        }
    }

    /// Parses the file's bytes whole, but a chunked body in two parts.
    fn see(&self, body_cut: usize) -> Seen {
        let mut request = Request::default();
        match self.parse(&self.bytes, &mut request) {
            Ok(Parsed::Complete) => {}
            Ok(Parsed::Partial) => return Seen::Partial,
            Err(reject) => return Seen::Refused(reject.status()),
        }
        let after = &self.bytes[request.head_len..];
        match request.body {
            Body::None => Seen::Whole(request.into(), vec![], after.len()),
            Body::Length(len) => match after.split_at_checked(len as usize) {
                Some((body, rest)) => Seen::Whole(request.into(), body.into(), rest.len()),
                None => Seen::Partial,
            },
            Body::Chunked => match decode(after, body_cut.min(after.len())) {
                Ok(Some((body, rest))) => Seen::Whole(request.into(), body, rest),
                Ok(None) => Seen::Partial,
                Err(reject) => Seen::Refused(reject.status()),
            },
        }
    }
}

/// Decodes a chunked body that comes in two parts: the data, and how many bytes come after it.
fn decode(coded: &[u8], cut: usize) -> Result<Option<(Vec<u8>, usize)>, Reject> {
    let mut decoder = Decoder::default();
    let mut body = Vec::new();
    let mut consumed = 0;
    for part in [&coded[..cut], &coded[cut..]] {
        let mut part = part.to_vec();
        let step = decoder.decode(&mut part, &Limits::default())?;
        assert!(step.done || step.consumed == part.len());
        consumed += step.consumed;
        body.extend_from_slice(&part[..step.produced]);
        if step.done {
            return Ok(Some((body, coded.len() - consumed)));
        }
    }
    Ok(None)
}

/// The places to cut a file: all of them, a selection in the few large files.
fn cuts(len: usize) -> impl Iterator<Item = usize> {
    (0..=len).filter(move |cut| len < 4096 || cut % 499 == 0 || len - cut < 8)
}

/// What `seen` says under a key of an expectation.
fn value_of(key: &str, seen: &Seen, head: &[u8]) -> String {
    let (request, body, rest) = match seen {
        Seen::Partial => return if key == "state" { "partial" } else { "" }.into(),
        Seen::Refused(status) => {
            return if key == "status" { status.to_string() } else { "".into() };
        }
        Seen::Whole(request, body, rest) => (request, body, rest),
    };
    let text = |range: Range| range.of(head).escape_ascii().to_string();
    let yes = |condition: bool| if condition { "yes" } else { "no" }.to_string();
    match key {
        "method" => text(request.method),
        "target" => text(request.target),
        "path" => text(request.path),
        "query" => text(request.query),
        "host" => text(request.host),
        "version" => if request.version == Version::Http10 { "1.0" } else { "1.1" }.to_string(),
        "encoded" => yes(request.path_is_encoded),
        "keep_alive" => yes(request.keep_alive),
        "continues" => yes(request.expects_continue),
        "head_len" => request.head_len.to_string(),
        "body" => body.escape_ascii().to_string(),
        "rest" => rest.to_string(),
        _ => format!("no such key, or a {}-byte body is refused", body.len()),
    }
}

#[test]
fn answers_every_file_of_the_corpus_as_expected() {
    for case in cases() {
        let seen = case.see(0);
        let mut fields = Vec::new();
        for line in case.expected.lines() {
            let (key, value) = line.split_once('=').expect("a line is key=value");
            if key == "field" {
                fields.push(value.to_string());
                continue;
            }
            let found = value_of(key, &seen, &case.bytes);
            assert_eq!(found, value, "{}: {key}: {seen:?}", case.path.display());
        }
        if let (Seen::Whole(request, ..), false) = (&seen, fields.is_empty()) {
            let text = |range: Range| range.of(&case.bytes).escape_ascii();
            let found: Vec<String> = request
                .fields
                .iter()
                .map(|f| format!("{}: {}", text(f.name), text(f.value)))
                .collect();
            assert_eq!(found, fields, "{}", case.path.display());
        }
    }
}

#[test]
fn gives_the_same_answer_wherever_a_head_is_cut() {
    for case in cases() {
        let mut whole = Request::default();
        let answer = case.parse(&case.bytes, &mut whole);
        // One `Request` for all cuts, as on a connection.
        let mut request = Request::default();
        for cut in cuts(case.bytes.len()) {
            let found = case.parse(&case.bytes[..cut], &mut request);
            let name = case.path.display();
            match (answer, found) {
                (Ok(Parsed::Complete), Ok(Parsed::Complete)) => {
                    assert!(cut >= whole.head_len, "{name} at {cut}: too early");
                    assert_eq!(request, whole, "{name} at {cut}");
                }
                (Ok(Parsed::Complete), Ok(Parsed::Partial)) => {
                    assert!(cut < whole.head_len, "{name} at {cut}: too late");
                }
                (Err(expected), Err(reject)) => assert_eq!(reject, expected, "{name} at {cut}"),
                (Err(_) | Ok(Parsed::Partial), Ok(Parsed::Partial)) => {}
                _ => panic!("{name} at {cut}: {found:?} instead of {answer:?}"),
            }
        }
    }
}

#[test]
fn gives_the_same_answer_wherever_a_chunked_body_is_cut() {
    for case in cases() {
        let seen = case.see(0);
        if case.bytes.windows(7).any(|word| word.eq_ignore_ascii_case(b"chunked")) {
            for cut in cuts(case.bytes.len()) {
                assert_eq!(case.see(cut), seen, "{} at {cut}", case.path.display());
            }
        }
    }
}

#[test]
fn refuses_garbage_before_its_head_could_be_complete() {
    for name in
        ["r16_binary_garbage", "r16_tls_hello", "r16_nuls", "r02_bare_line_feeds_everywhere"]
    {
        let case = cases().into_iter().find(|case| case.path.file_stem() == Some(name.as_ref()));
        let case = case.expect("is in the corpus");
        let found = case.parse(&case.bytes[..case.bytes.len() / 2 + 4], &mut Request::default());
        assert!(found.is_err(), "{name}");
    }
}

/// Bytes that come near to a request: pieces of one in any order.
fn nearly_http() -> impl Strategy<Value = Vec<u8>> {
    let piece = prop::sample::select(vec![
        "GET / HTTP/1.1\r\n",
        "POST /a?b HTTP/1.0\r\n",
        "GET http://h HTTP/1.1\r\n",
        "Host: a\r\n",
        "Content-Length: 3\r\n",
        "Transfer-Encoding: chunked\r\n",
        "X: y\r\n",
        "\r\n",
        "\n",
        "\r",
        " ",
        ":",
        "5\r\nabcde\r\n",
        "0\r\n",
        ";a=b",
        "\0",
        "HTTP/",
        "http://",
        "*",
        "#",
        "_",
        "\u{e9}",
    ]);
    prop::collection::vec(piece, 0..12).prop_map(|pieces| pieces.concat().into_bytes())
}

fn any_bytes() -> impl Strategy<Value = Vec<u8>> {
    prop_oneof![nearly_http(), prop::collection::vec(any::<u8>(), 0..300)]
}

proptest! {
    #[test]
    fn answers_any_bytes_the_same_when_cut(
        bytes in any_bytes(),
        cut in any::<prop::sample::Index>(),
    ) {
        let cut = cut.index(bytes.len() + 1);
        let limits = Limits {
            head_bytes_max: 80,
            fields_max: 3,
            target_bytes_max: 9,
            ..Limits::default()
        };
        for parse in [http::parse, uwsgi::parse] {
            let (mut first, mut whole) = (Request::default(), Request::default());
            let early = parse(&bytes[..cut], &limits, &mut first);
            let answer = parse(&bytes, &limits, &mut whole);
            if early != Ok(Parsed::Partial) {
                prop_assert_eq!(early, answer);
                if answer.is_ok() {
                    prop_assert_eq!(first, whole);
                }
            }
        }
        prop_assert_eq!(decode(&bytes, cut), decode(&bytes, 0));
    }

    #[test]
    fn decodes_what_was_encoded(
        body in prop::collection::vec(any::<u8>(), 1..2000),
        chunk in 1..700_usize,
    ) {
        let mut coded = Vec::new();
        for part in body.chunks(chunk) {
            chunked::encode_size(part.len(), &mut coded);
            coded.extend_from_slice(part);
            coded.extend_from_slice(b"\r\n");
        }
        coded.extend_from_slice(chunked::LAST_CHUNK);
        prop_assert_eq!(decode(&coded, coded.len() / 2), Ok(Some((body, 0))));
    }
}
