//! The PROXY protocol, versions 1 and 2: who the client behind a balancer is. It stands before the
//! first request of a connection, or not at all.

use std::net::{Ipv4Addr, Ipv6Addr};

use super::Reject;

/// Version 1 is a line of at most so many bytes, its end included.
const LINE_BYTES_MAX: usize = 107;
const SIGNATURE: &[u8] = b"\r\n\r\n\0\r\nQUIT\n";
const HEADER_BYTES: usize = 16;
/// Addresses and what a balancer may add behind them.
const REST_BYTES_MAX: usize = 4096;

/// What the first bytes of a connection say.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Introduction {
    /// More bytes are needed to tell.
    Partial,
    /// A request begins at once.
    Absent,
    /// The first `len` bytes introduce this client; None keeps the connection's own peer (health
    /// checks of the balancer, unix sockets).
    Complete { len: usize, client: Option<Client> },
}

/// The client's address and port, as REMOTE_ADDR and REMOTE_PORT have them.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Client {
    pub addr: String,
    pub port: String,
}

/// Reads the start of a connection.
///
/// # Errors
/// A line or header that is broken or too long.
pub fn parse(bytes: &[u8]) -> Result<Introduction, Reject> {
    let begins = |start: &[u8]| {
        let len = start.len().min(bytes.len());
        bytes[..len] == start[..len]
    };
    if begins(SIGNATURE) && !bytes.is_empty() {
        return binary(bytes);
    }
    if begins(b"PROXY ") {
        return line(bytes);
    }
    Ok(Introduction::Absent)
}

/// `PROXY TCP4 192.0.2.1 192.0.2.2 40000 80\r\n`.
fn line(bytes: &[u8]) -> Result<Introduction, Reject> {
    let head = &bytes[..bytes.len().min(LINE_BYTES_MAX)];
    let Some(end) = head.windows(2).position(|two| two == b"\r\n") else {
        return match head.len() {
            LINE_BYTES_MAX => Err(Reject::Introduction),
            _ => Ok(Introduction::Partial),
        };
    };
    let text = std::str::from_utf8(&head[..end]).map_err(|_| Reject::Introduction)?;
    let words: Vec<_> = text.split(' ').collect();
    let client = match words.as_slice() {
        ["PROXY", "UNKNOWN", ..] => None,
        ["PROXY", family, source, target, port, target_port] => {
            let is_address = |text: &str| match *family {
                "TCP4" => text.parse::<Ipv4Addr>().is_ok(),
                "TCP6" => text.parse::<Ipv6Addr>().is_ok(),
                _ => false,
            };
            let is_port = |text: &str| {
                text.bytes().all(|byte| byte.is_ascii_digit()) && text.parse::<u16>().is_ok()
            };
            if ![source, target].iter().all(|text| is_address(text))
                || ![port, target_port].iter().all(|text| is_port(text))
            {
                return Err(Reject::Introduction);
            }
            Some(Client { addr: (*source).to_owned(), port: (*port).to_owned() })
        }
        _ => return Err(Reject::Introduction),
    };
    Ok(Introduction::Complete { len: end + 2, client })
}

/// Version 2: a signature, version and command, family, length, then the addresses.
fn binary(bytes: &[u8]) -> Result<Introduction, Reject> {
    let Some((head, rest)) = bytes.split_at_checked(HEADER_BYTES) else {
        return Ok(Introduction::Partial);
    };
    let (command, family) = (head[12], head[13]);
    let len = usize::from(u16::from_be_bytes([head[14], head[15]]));
    if command >> 4 != 2 || command & 0x0f > 1 || len > REST_BYTES_MAX {
        return Err(Reject::Introduction);
    }
    let Some(told) = rest.get(..len) else { return Ok(Introduction::Partial) };
    let port = |at: usize| u16::from_be_bytes([told[at], told[at + 1]]).to_string();
    // Command 0 is the balancer itself; families are IPv4, IPv6, unix.
    let client = match (command & 0x0f, family >> 4) {
        (1, 1) => {
            let addr: [u8; 4] =
                told.get(..4).and_then(|a| a.try_into().ok()).ok_or(Reject::Introduction)?;
            (told.len() >= 12)
                .then(|| Client { addr: Ipv4Addr::from(addr).to_string(), port: port(8) })
        }
        (1, 2) => {
            let addr: [u8; 16] =
                told.get(..16).and_then(|a| a.try_into().ok()).ok_or(Reject::Introduction)?;
            (told.len() >= 36)
                .then(|| Client { addr: Ipv6Addr::from(addr).to_string(), port: port(32) })
        }
        _ => return Ok(Introduction::Complete { len: HEADER_BYTES + len, client: None }),
    };
    let client = Some(client.ok_or(Reject::Introduction)?);
    Ok(Introduction::Complete { len: HEADER_BYTES + len, client })
}

/// The line of version 1 that introduces a client, for whoever goes on with its connection.
pub fn encode(client: &Client) -> String {
    let (family, nobody) = match client.addr.contains(':') {
        true => ("TCP6", "::"),
        false => ("TCP4", "0.0.0.0"),
    };
    format!("PROXY {family} {} {nobody} {} 0\r\n", client.addr, client.port)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn told(addr: &str, port: &str) -> Option<Client> {
        Some(Client { addr: addr.to_owned(), port: port.to_owned() })
    }

    #[test]
    fn a_line_introduces_the_client() {
        for (line, client) in [
            ("PROXY TCP4 192.0.2.1 192.0.2.2 40000 80\r\n", told("192.0.2.1", "40000")),
            ("PROXY TCP6 2001:db8::1 ::1 1 65535\r\n", told("2001:db8::1", "1")),
            ("PROXY UNKNOWN\r\n", None),
            ("PROXY UNKNOWN a b c d\r\n", None),
        ] {
            let bytes = format!("{line}GET / HTTP/1.1\r\n");
            let expected = Introduction::Complete { len: line.len(), client };
            assert_eq!(parse(bytes.as_bytes()), Ok(expected), "{line}");
            for cut in 0..line.len() {
                assert_eq!(
                    parse(&line.as_bytes()[..cut]),
                    Ok(Introduction::Partial),
                    "{cut} {line}"
                );
            }
        }
        for request in ["GET / HTTP/1.1\r\n", "PROPFIND / HTTP/1.1\r\n", "\r\nGET /"] {
            assert_eq!(parse(request.as_bytes()), Ok(Introduction::Absent), "{request}");
        }
    }

    #[test]
    fn a_broken_line_is_a_bad_request() {
        for line in [
            "PROXY TCP4 192.0.2.1 192.0.2.2 40000\r\n",
            "PROXY TCP4 192.0.2.256 192.0.2.2 40000 80\r\n",
            "PROXY TCP4 192.0.2.1 192.0.2.2 70000 80\r\n",
            "PROXY TCP4 192.0.2.1 192.0.2.2 +1 80\r\n",
            "PROXY TCP6 192.0.2.1 192.0.2.2 1 80\r\n",
            "PROXY TCP4  192.0.2.1 192.0.2.2 1 80\r\n",
            "PROXY UDP4 192.0.2.1 192.0.2.2 1 80\r\n",
            "PROXY \r\n",
        ] {
            assert_eq!(parse(line.as_bytes()), Err(Reject::Introduction), "{line}");
        }
        let endless = format!("PROXY UNKNOWN {}", "a".repeat(200));
        assert_eq!(parse(endless.as_bytes()), Err(Reject::Introduction));
    }

    #[test]
    fn a_binary_header_introduces_the_client() {
        let header = |command: u8, family: u8, rest: &[u8]| {
            let mut bytes = SIGNATURE.to_vec();
            bytes.extend([command, family]);
            bytes.extend((rest.len() as u16).to_be_bytes());
            bytes.extend(rest);
            bytes
        };
        let four = header(0x21, 0x11, &[192, 0, 2, 1, 192, 0, 2, 2, 0x9c, 0x40, 0, 80, 1, 2, 3]);
        let complete =
            |bytes: &[u8], client| Ok(Introduction::Complete { len: bytes.len(), client });
        assert_eq!(parse(&four), complete(&four, told("192.0.2.1", "40000")));
        for cut in 1..four.len() {
            assert_eq!(parse(&four[..cut]), Ok(Introduction::Partial), "{cut}");
        }
        let mut addresses = [0_u8; 36];
        (addresses[15], addresses[33]) = (1, 7);
        let six = header(0x21, 0x21, &addresses);
        assert_eq!(parse(&six), complete(&six, told("::1", "7")));
        let local = header(0x20, 0, &[]);
        assert_eq!(parse(&local), complete(&local, None));
        for broken in [header(0x31, 0x11, &[]), header(0x21, 0x11, &[1, 2]), header(0x22, 0, &[])] {
            assert_eq!(parse(&broken), Err(Reject::Introduction), "{broken:?}");
        }
    }

    #[test]
    fn an_introduction_can_be_repeated() {
        for (addr, port) in [("192.0.2.1", "40000"), ("2001:db8::1", "1")] {
            let client = told(addr, port);
            let line = encode(client.as_ref().expect("it is one"));
            let expected = Introduction::Complete { len: line.len(), client };
            assert_eq!(parse(line.as_bytes()), Ok(expected));
        }
    }
}
