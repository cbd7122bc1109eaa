//! The same bytes, cut anywhere, give the same result. The last byte chooses the cut.
#![no_main]

use libfuzzer_sys::fuzz_target;
use uwring::proto::chunked::Decoder;
use uwring::proto::{Limits, Parsed, Reject, http, uwsgi};
use uwring::request::Request;

fuzz_target!(|bytes: &[u8]| {
    let Some((cut, bytes)) = bytes.split_last() else {
        return;
    };
    let cut = bytes.len() * usize::from(*cut) / 255;
    let limits =
        Limits { head_bytes_max: 4000, fields_max: 9, target_bytes_max: 99, ..Limits::default() };
    for parse in [http::parse, uwsgi::parse] {
        let (mut first, mut whole) = (Request::default(), Request::default());
        let early = parse(&bytes[..cut], &limits, &mut first);
        if early != Ok(Parsed::Partial) {
            assert_eq!(early, parse(bytes, &limits, &mut whole));
            assert!(early.is_err() || first == whole);
        }
    }
    assert_eq!(decode(bytes, cut, &limits), decode(bytes, 0, &limits));
});

fn decode(bytes: &[u8], cut: usize, limits: &Limits) -> Result<(Vec<u8>, bool), Reject> {
    let mut decoder = Decoder::default();
    let (mut body, mut done) = (Vec::new(), false);
    for part in [&bytes[..cut], &bytes[cut..]] {
        let mut part = part.to_vec();
        let step = decoder.decode(&mut part, limits)?;
        body.extend_from_slice(&part[..step.produced]);
        done = step.done;
    }
    Ok((body, done))
}
