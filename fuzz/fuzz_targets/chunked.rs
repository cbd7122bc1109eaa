//! A body that is decoded and encoded again is the same body.
#![no_main]

use libfuzzer_sys::fuzz_target;
use uwring::proto::Limits;
use uwring::proto::chunked::{self, Decoder, Step};

fuzz_target!(|bytes: &[u8]| {
    // The seeds are whole requests: what counts is behind the head.
    let head = bytes.windows(4).position(|end| end == b"\r\n\r\n").map_or(0, |at| at + 4);
    let mut body = bytes[head..].to_vec();
    let Ok(Step { consumed, produced, done }) = decode(&mut body) else {
        return;
    };
    assert!(produced <= consumed && (done || consumed == body.len()));
    let mut coded = Vec::new();
    if produced > 0 {
        chunked::encode_size(produced, &mut coded);
        coded.extend_from_slice(&body[..produced]);
        coded.extend_from_slice(b"\r\n");
    }
    coded.extend_from_slice(chunked::LAST_CHUNK);
    let again = decode(&mut coded).expect("own encoding is valid");
    assert!(again.done && coded[..again.produced] == body[..produced]);
});

fn decode(bytes: &mut [u8]) -> Result<Step, uwring::proto::Reject> {
    Decoder::default().decode(bytes, &Limits::default())
}
