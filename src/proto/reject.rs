//! `Reject`: why the bytes of a peer are refused.

use std::fmt;

/// One kind of refusal. The peer gets the status, the log gets the text; the connection ends.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Reject {
    EmptyLines,
    LineEnd,
    Method,
    Target,
    TargetForm,
    TargetTooLong,
    Connect,
    VersionSyntax,
    VersionUnsupported,
    FieldName,
    FieldSpaceBeforeColon,
    FieldFolded,
    FieldValue,
    FieldsTooMany,
    HeadTooLarge,
    HostMissing,
    HostRepeated,
    HostInvalid,
    ContentTypeRepeated,
    LengthInvalid,
    LengthRepeated,
    LengthBesideCoding,
    CodingBefore11,
    CodingInvalid,
    CodingUnknown,
    Expectation,
    BodyTooLarge,
    /// A body that the client asks about before it sends it.
    ExpectedTooLarge,
    ChunkSize,
    ChunkExtension,
    ChunkEnd,
    TrailerInvalid,
    TrailerForbidden,
    TrailersTooLarge,
    PacketEmpty,
    /// Of the PROXY protocol.
    Introduction,
    PacketMalformed,
    /// The head or the body did not come in time. The parsers never give it: they know no clock.
    RequestTimeout,
}

impl Reject {
    /// The status code of the response.
    pub fn status(self) -> u16 {
        self.describe().0
    }

    /// The reason phrase of the response's status line.
    pub fn reason(self) -> &'static str {
        match self.status() {
            405 => "Method Not Allowed",
            408 => "Request Timeout",
            413 => "Content Too Large",
            414 => "URI Too Long",
            417 => "Expectation Failed",
            431 => "Request Header Fields Too Large",
            501 => "Not Implemented",
            505 => "HTTP Version Not Supported",
            _ => "Bad Request",
        }
    }

    /// Status and log text, one row for each kind.
    fn describe(self) -> (u16, &'static str) {
        match self {
            Reject::EmptyLines => (400, "too many empty lines before the request line"),
            Reject::LineEnd => (400, "a line does not end in CR LF"),
            Reject::Method => (400, "the method is not a token"),
            Reject::Target => (400, "the request target is empty or holds a forbidden byte"),
            Reject::TargetForm => (400, "the request target is neither a path nor an http URI"),
            Reject::TargetTooLong => (414, "the request target is over the limit"),
            Reject::Connect => (405, "CONNECT is for proxies"),
            Reject::VersionSyntax => (400, "the request line does not end in an HTTP version"),
            Reject::VersionUnsupported => (505, "the HTTP version is neither 1.0 nor 1.1"),
            Reject::FieldName => (400, "a field name is empty, unfinished or not a token"),
            Reject::FieldSpaceBeforeColon => (400, "white space before a field's colon"),
            Reject::FieldFolded => (400, "a header line starts with white space"),
            Reject::FieldValue => (400, "a field value holds a control byte"),
            Reject::FieldsTooMany => (431, "more header fields or vars than the limit"),
            Reject::HeadTooLarge => (431, "the request head is over the limit (buffer-size)"),
            Reject::HostMissing => (400, "HTTP/1.1 without a Host"),
            Reject::HostRepeated => (400, "more than one Host field"),
            Reject::HostInvalid => (400, "the host is not a valid name, address or port"),
            Reject::ContentTypeRepeated => (400, "more than one Content-Type field"),
            Reject::LengthInvalid => (400, "the content length is not a plain decimal number"),
            Reject::LengthRepeated => (400, "more than one Content-Length field"),
            Reject::LengthBesideCoding => (400, "Content-Length beside Transfer-Encoding"),
            Reject::CodingBefore11 => (400, "Transfer-Encoding in HTTP/1.0"),
            Reject::CodingInvalid => (400, "Transfer-Encoding does not end in one `chunked`"),
            Reject::CodingUnknown => (501, "a transfer coding other than chunked"),
            Reject::Expectation => (417, "an expectation other than 100-continue"),
            Reject::BodyTooLarge => (413, "the body is over the limit (limit-post)"),
            Reject::ExpectedTooLarge => (413, "the body is over the limit (http-manage-expect)"),
            Reject::ChunkSize => (400, "a chunk size is not a plain hexadecimal number"),
            Reject::ChunkExtension => (400, "a chunk extension is malformed or too long"),
            Reject::ChunkEnd => (400, "a chunk does not end in CR LF where its size says"),
            Reject::TrailerInvalid => (400, "a trailer field is malformed"),
            Reject::TrailerForbidden => (400, "a trailer field that belongs in the head"),
            Reject::TrailersTooLarge => (431, "the trailer fields are over the limit"),
            Reject::PacketEmpty => (400, "a uwsgi packet without vars"),
            Reject::PacketMalformed => (400, "a var is unnamed or runs past the uwsgi packet"),
            Reject::Introduction => (400, "what begins as the PROXY protocol is none"),
            Reject::RequestTimeout => (408, "the request did not come in time"),
        }
    }
}

impl fmt::Display for Reject {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.describe().1)
    }
}

impl std::error::Error for Reject {}

#[cfg(test)]
mod tests {
    use super::Reject;

    #[test]
    fn names_the_phrase_of_every_status() {
        assert_eq!((Reject::LineEnd.status(), Reject::LineEnd.reason()), (400, "Bad Request"));
        for reject in [
            Reject::Connect,
            Reject::RequestTimeout,
            Reject::BodyTooLarge,
            Reject::TargetTooLong,
            Reject::Expectation,
            Reject::HeadTooLarge,
            Reject::CodingUnknown,
            Reject::VersionUnsupported,
        ] {
            assert_ne!(reject.reason(), "Bad Request", "{reject:?} {}", reject.status());
        }
    }

    #[test]
    fn says_in_words_what_was_wrong() {
        assert_eq!(Reject::HostMissing.to_string(), "HTTP/1.1 without a Host");
    }
}
