//! A head that is accepted is one that a strict reader accepts too.
#![no_main]

use libfuzzer_sys::fuzz_target;
use uwring::proto::{Limits, Parsed, http};
use uwring::request::Request;

fuzz_target!(|bytes: &[u8]| {
    let mut request = Request::default();
    if http::parse(bytes, &Limits::default(), &mut request) != Ok(Parsed::Complete) {
        return;
    }
    let head = &bytes[..request.head_len];
    assert!(head.ends_with(b"\r\n\r\n") && !request.method.is_empty() && !request.path.is_empty());
    let line_feeds = head.iter().filter(|byte| **byte == b'\n').count();
    let line_ends = head.windows(2).filter(|pair| pair == b"\r\n").count();
    let carriage_returns = head.iter().filter(|byte| **byte == b'\r').count();
    assert!(line_feeds == line_ends && line_ends == carriage_returns);
    assert!(head.iter().all(|byte| !byte.is_ascii_control() || b"\r\n\t".contains(byte)));
    for field in &request.fields {
        assert!(!field.name.of(head).is_empty() && !field.name.of(head).contains(&b'_'));
        assert_eq!(field.value.of(head), field.value.of(head).trim_ascii());
    }
});
