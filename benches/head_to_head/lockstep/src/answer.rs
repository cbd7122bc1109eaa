//! The bytes of an answer: is it whole, is it the right one, does the connection live on?

#[derive(Clone, Copy, Debug, PartialEq)]
pub enum Progress {
    /// Look again when this many bytes are here.
    Partial {
        bytes_min: usize,
    },
    /// The first `len` bytes are the answer.
    Whole {
        connection_lives: bool,
        len: usize,
    },
    Wrong(&'static str),
}

enum Framing {
    Length(usize),
    Chunked,
    UntilClose,
}

/// Judges all bytes that came since the request; `ended` says that the server closed after them.
pub fn judge(bytes: &[u8], ended: bool, expected: Option<&[u8]>) -> Progress {
    let Some(head_end) = find(bytes, b"\r\n\r\n") else {
        return partial(bytes.len() + 1, ended);
    };
    let (head, body) = (&bytes[..head_end + 2], &bytes[head_end + 4..]);
    let old = head.starts_with(b"HTTP/1.0 200");
    if !old && !head.starts_with(b"HTTP/1.1 200") {
        return Progress::Wrong("the status is not 200");
    }
    let (framing, connection_lives) = match read_head(head, !old) {
        Ok(read) => read,
        Err(why) => return Progress::Wrong(why),
    };
    match framing {
        Framing::Length(length) if body.len() < length => partial(head_end + 4 + length, ended),
        Framing::Length(length) => {
            whole(&body[..length], expected, connection_lives, head_end + 4 + length)
        }
        Framing::Chunked => match join_chunks(body) {
            Ok(Some((joined, len))) => {
                whole(&joined, expected, connection_lives, head_end + 4 + len)
            }
            Ok(None) => partial(bytes.len() + 1, ended),
            Err(why) => Progress::Wrong(why),
        },
        Framing::UntilClose if ended => whole(body, expected, false, bytes.len()),
        Framing::UntilClose => Progress::Partial { bytes_min: bytes.len() + 1 },
    }
}

fn partial(bytes_min: usize, ended: bool) -> Progress {
    if ended { Progress::Wrong("it ends early") } else { Progress::Partial { bytes_min } }
}

fn whole(body: &[u8], expected: Option<&[u8]>, connection_lives: bool, len: usize) -> Progress {
    match expected {
        Some(expected) if expected != body => Progress::Wrong("the body is another"),
        _ => Progress::Whole { connection_lives, len },
    }
}

fn read_head(head: &[u8], lives_by_default: bool) -> Result<(Framing, bool), &'static str> {
    let mut framing = Framing::UntilClose;
    let mut lives = lives_by_default;
    for line in head.split(|&byte| byte == b'\n').skip(1) {
        let Some(colon) = line.iter().position(|&byte| byte == b':') else { continue };
        let (name, value) = (&line[..colon], line[colon + 1..].trim_ascii());
        if name.eq_ignore_ascii_case(b"content-length") {
            let length = std::str::from_utf8(value).ok().and_then(|text| text.parse().ok());
            framing = Framing::Length(length.ok_or("a Content-Length that is no number")?);
        } else if name.eq_ignore_ascii_case(b"transfer-encoding") {
            framing = Framing::Chunked;
        } else if name.eq_ignore_ascii_case(b"connection") {
            lives = match value.to_ascii_lowercase().as_slice() {
                b"close" => false,
                b"keep-alive" => true,
                _ => lives,
            };
        }
    }
    Ok((framing, lives))
}

/// The body and the bytes that it took, or nothing while chunks are missing. Trailers are not
/// expected.
fn join_chunks(bytes: &[u8]) -> Result<Option<(Vec<u8>, usize)>, &'static str> {
    let mut body = Vec::new();
    let mut rest = bytes;
    loop {
        let Some(line_end) = find(rest, b"\r\n") else { return Ok(None) };
        let size = std::str::from_utf8(&rest[..line_end]).ok();
        let size = size.and_then(|text| usize::from_str_radix(text, 16).ok());
        let size = size.ok_or("a chunk size that is no number")?;
        let data = &rest[line_end + 2..];
        if data.len() < size + 2 {
            return Ok(None);
        }
        if &data[size..size + 2] != b"\r\n" {
            return Err("a chunk that does not end where it should");
        }
        body.extend_from_slice(&data[..size]);
        rest = &data[size + 2..];
        if size == 0 {
            return Ok(Some((body, bytes.len() - rest.len())));
        }
    }
}

fn find(bytes: &[u8], wanted: &[u8]) -> Option<usize> {
    bytes.windows(wanted.len()).position(|window| window == wanted)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn judged(bytes: &str, ended: bool) -> Progress {
        judge(bytes.as_bytes(), ended, Some(b"hello"))
    }

    /// The whole of `bytes` is an answer, after which the connection lives or not.
    fn is_whole(bytes: &str, ended: bool, lives: bool) -> bool {
        judged(bytes, ended) == Progress::Whole { connection_lives: lives, len: bytes.len() }
    }

    #[test]
    fn takes_an_answer_of_each_framing() {
        assert!(is_whole("HTTP/1.1 200 OK\r\nContent-Length: 5\r\n\r\nhello", false, true));
        let chunked =
            "HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\n2\r\nhe\r\n3\r\nllo\r\n0\r\n\r\n";
        assert!(is_whole(chunked, false, true));
        assert!(is_whole("HTTP/1.1 200 OK\r\n\r\nhello", true, false));
    }

    #[test]
    fn sees_that_the_connection_ends() {
        let head = "HTTP/1.0 200 OK\r\nContent-Length: 5\r\n";
        assert!(is_whole(&format!("{head}\r\nhello"), false, false));
        assert!(is_whole(&format!("{head}Connection: Keep-Alive\r\n\r\nhello"), false, true));
        let close = "HTTP/1.1 200 OK\r\nConnection: close\r\nContent-Length: 5\r\n\r\nhello";
        assert!(is_whole(close, false, false));
    }

    #[test]
    fn leaves_the_next_answer_alone() {
        for first in [
            "HTTP/1.1 200 OK\r\nContent-Length: 5\r\n\r\nhello",
            "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n5\r\nhello\r\n0\r\n\r\n",
        ] {
            let progress = judged(&format!("{first}HTTP/1.1 200 OK\r\n"), false);
            assert_eq!(progress, Progress::Whole { connection_lives: true, len: first.len() });
        }
    }

    #[test]
    fn waits_at_each_cut_and_then_takes_it() {
        for whole in [
            "HTTP/1.1 200 OK\r\nContent-Length: 5\r\n\r\nhello",
            "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n5\r\nhello\r\n0\r\n\r\n",
        ] {
            for cut in 0..whole.len() {
                let progress = judged(&whole[..cut], false);
                let Progress::Partial { bytes_min } = progress else {
                    panic!("{progress:?} at {cut} of {whole:?}")
                };
                assert!(bytes_min > cut && bytes_min <= whole.len());
                assert_eq!(judged(&whole[..cut], true), Progress::Wrong("it ends early"));
            }
        }
    }

    #[test]
    fn refuses_what_is_not_the_answer() {
        for wrong in [
            "HTTP/1.1 500 No\r\nContent-Length: 5\r\n\r\nhello",
            "HTTP/1.1 200 OK\r\nContent-Length: 5\r\n\r\nhellO",
            "HTTP/1.1 200 OK\r\nContent-Length: 4\r\n\r\nhell",
            "HTTP/1.1 200 OK\r\nContent-Length: x\r\n\r\nhello",
            "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n4\r\nhello\r\n0\r\n\r\n",
        ] {
            assert!(matches!(judged(wrong, false), Progress::Wrong(_)), "{wrong:?}");
        }
    }
}
