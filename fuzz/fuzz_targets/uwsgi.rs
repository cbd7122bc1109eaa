//! The vars of a packet that is accepted fill it without a gap.
#![no_main]

use libfuzzer_sys::fuzz_target;
use uwring::proto::uwsgi::{self, Packet};
use uwring::proto::{Limits, Parsed};
use uwring::request::Request;

fuzz_target!(|bytes: &[u8]| {
    let mut request = Request::default();
    let parsed = uwsgi::parse(bytes, &Limits::default(), &mut request);
    if parsed != Ok(Parsed::Complete) || Packet::of(request.modifier1) != Packet::Request {
        return;
    }
    let vars = request.fields.iter();
    let sizes = vars.map(|var| 4 + usize::from(var.name.len) + usize::from(var.value.len));
    assert_eq!(uwsgi::HEADER_LEN + sizes.sum::<usize>(), request.head_len);
    assert!(request.head_len <= bytes.len());
});
