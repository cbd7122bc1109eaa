//! uWSGI's log encoders: steps that change a line on its way to a target.

use std::time::{SystemTime, UNIX_EPOCH};

use super::escape;
use crate::options::{Encoder, Encoding};

/// One step.
#[derive(Debug)]
pub(super) enum Step {
    /// Pieces between which the line and the time stand.
    Pieces(Vec<Piece>),
    Prefix(Vec<u8>),
    Suffix(Vec<u8>),
    NewLine,
}

#[derive(Debug, PartialEq, Eq)]
pub(super) enum Piece {
    Text(Vec<u8>),
    Line { in_json: bool, line_feed: bool },
    Seconds,
    Micros,
    Date(std::ffi::CString),
}

impl Step {
    fn new(encoding: &Encoding) -> Step {
        match encoding {
            Encoding::Format(text) => Step::Pieces(pieces(text, false)),
            Encoding::Json(text) => Step::Pieces(pieces(text, true)),
            Encoding::Prefix(text) => Step::Prefix(text.clone().into()),
            Encoding::Suffix(text) => Step::Suffix(text.clone().into()),
            Encoding::NewLine => Step::NewLine,
        }
    }

    fn apply(&self, line: &[u8], out: &mut Vec<u8>) {
        match self {
            Step::Prefix(text) => out.extend([&text[..], line].concat()),
            Step::Suffix(text) => out.extend([line, &text[..]].concat()),
            Step::NewLine => out.extend([line, &b"\n"[..]].concat()),
            Step::Pieces(pieces) => {
                let now = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
                for piece in pieces {
                    match piece {
                        Piece::Text(text) => out.extend_from_slice(text),
                        Piece::Line { in_json: true, line_feed } => {
                            escape::json(line, out);
                            if *line_feed {
                                out.extend_from_slice(b"\\n");
                            }
                        }
                        Piece::Line { in_json: false, line_feed } => {
                            out.extend_from_slice(line);
                            if *line_feed {
                                out.push(b'\n');
                            }
                        }
                        Piece::Seconds => escape::number(now.as_secs(), out),
                        Piece::Micros => escape::number(now.as_micros() as u64, out),
                        Piece::Date(format) => {
                            let mut text = String::new();
                            crate::sys::local_time(format, now.as_secs() as i64, &mut text);
                            out.extend_from_slice(text.as_bytes());
                        }
                    }
                }
            }
        }
    }
}

/// `${msg}` and its like; uWSGI: one that is not known is empty.
fn pieces(text: &str, in_json: bool) -> Vec<Piece> {
    let mut pieces = Vec::new();
    let mut rest = text;
    while let Some(at) = rest.find("${")
        && let Some(len) = rest[at..].find('}')
    {
        pieces.push(Piece::Text(rest[..at].into()));
        match &rest[at + 2..at + len] {
            "msg" => pieces.push(Piece::Line { in_json, line_feed: false }),
            "msgnl" => pieces.push(Piece::Line { in_json, line_feed: true }),
            "unix" => pieces.push(Piece::Seconds),
            "micros" => pieces.push(Piece::Micros),
            name => {
                let date = name.strip_prefix("strftime:");
                pieces.extend(date.and_then(|f| std::ffi::CString::new(f).ok()).map(Piece::Date));
            }
        }
        rest = &rest[at + len + 1..];
    }
    pieces.push(Piece::Text(rest.into()));
    pieces.retain(|piece| *piece != Piece::Text(Vec::new()));
    pieces
}

/// All steps of one target, in order.
#[derive(Debug, Default)]
pub(super) struct Chain {
    steps: Vec<Step>,
    spare: Vec<u8>,
}

impl Chain {
    /// The steps for all loggers and those for the one of this name.
    pub(super) fn new(encoders: &[Encoder], name: Option<&str>) -> Chain {
        let is_for =
            |encoder: &&Encoder| encoder.logger.is_none() || encoder.logger.as_deref() == name;
        let steps = encoders.iter().filter(is_for).map(|encoder| Step::new(&encoder.kind));
        Chain { steps: steps.collect(), spare: Vec::new() }
    }

    pub(super) fn is_empty(&self) -> bool {
        self.steps.is_empty()
    }

    /// What becomes of a line, which comes without its line feed.
    pub(super) fn apply(&mut self, line: &[u8], out: &mut Vec<u8>) {
        out.clear();
        out.extend_from_slice(line);
        for step in &self.steps {
            self.spare.clear();
            step.apply(out, &mut self.spare);
            std::mem::swap(out, &mut self.spare);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn encoded(kinds: &[(Encoding, Option<&str>)], name: Option<&str>, line: &str) -> String {
        let encoder = |(kind, logger): &(Encoding, Option<&str>)| Encoder {
            kind: kind.clone(),
            logger: logger.map(str::to_owned),
        };
        let encoders: Vec<_> = kinds.iter().map(encoder).collect();
        let mut out = Vec::new();
        Chain::new(&encoders, name).apply(line.as_bytes(), &mut out);
        String::from_utf8(out).unwrap()
    }

    #[test]
    fn steps_follow_each_other() {
        let (prefix, suffix) = (Encoding::Prefix("P ".into()), Encoding::Suffix("S".into()));
        let format = Encoding::Format("<${msg}|${nope}>".into());
        let all =
            [(format, Some("one")), (prefix, None), (suffix, None), (Encoding::NewLine, None)];
        assert_eq!(encoded(&all, Some("one"), "a\"b"), "P <a\"b|>S\n");
        assert_eq!(encoded(&all, None, "a"), "P aS\n");
    }

    #[test]
    fn json_escapes_the_line() {
        let json = Encoding::Json(r#"{"u":${unix},"m":"${msg}","y":"${strftime:%Y}"}"#.into());
        let text = encoded(&[(json, None)], None, "a\"b\t\\");
        let value: serde_json::Value = serde_json::from_str(&text).unwrap();
        assert_eq!(value["m"], "a\"b\t\\");
        assert!(
            value["u"].as_u64().unwrap() > 1_700_000_000 && value["y"].as_str().unwrap() > "2024"
        );
    }
}
