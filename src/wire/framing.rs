//! Where a message ends (RFC 9112 section 6), and which messages are refused because two readers could disagree.
//!
//! One rule on both sides: at most one `Content-Length` of plain digits, or exactly `Transfer-Encoding: chunked` on
//! HTTP/1.1, never both. RFC 9112 lets a recipient repair some of what is refused here; a proxy between two parties
//! that might repair it differently must not.

use super::head::{Fields, RequestLine, StatusLine, Version};
use super::name::Name;

/// How long the content of a message is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Length {
    /// No content, whatever the fields say (or none was announced).
    Empty,
    /// That many bytes.
    Known(u64),
    /// Chunked transfer coding.
    Chunked,
    /// Until the connection is closed: replies only.
    UntilClose,
}

/// What the fields of a request say about its framing and its connection.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct RequestFraming {
    pub length: Length,
    /// The caller keeps the connection open for another request.
    pub keep_alive: bool,
    /// The caller waits for `100 Continue` before it sends its content.
    pub expects_continue: bool,
}

/// What the fields of a reply say about its framing and its connection.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct ReplyFraming {
    pub length: Length,
    /// The connection may carry another request after this reply.
    pub reusable: bool,
}

/// Why a message's framing was refused.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum FramingError {
    #[error("both Content-Length and Transfer-Encoding are present")]
    LengthAndEncoding,
    #[error("Content-Length is repeated")]
    RepeatedLength,
    #[error("Content-Length is not a plain decimal number")]
    MalformedLength,
    #[error("Transfer-Encoding is repeated or is not exactly `chunked`")]
    UnknownEncoding,
    #[error("Transfer-Encoding is not defined for HTTP/1.0")]
    EncodingOnHttp10,
    #[error("an HTTP/1.1 request needs exactly one Host")]
    Host,
    #[error("Host is not a host with an optional port")]
    MalformedHost,
    #[error("the target names another authority than Host")]
    AuthorityMismatch,
    #[error("Expect is something else than 100-continue")]
    UnknownExpectation,
    #[error("the upstream switched protocols, which nobody asked for")]
    SwitchedProtocols,
}

/// Judges a request head.
///
/// # Errors
/// [`FramingError`] when two readers could disagree about where the request ends or whom it is for.
pub fn request(line: &RequestLine, fields: &Fields, raw: &[u8]) -> Result<RequestFraming, FramingError> {
    let length = match length(fields, raw, line.version)? {
        Length::UntilClose => Length::Empty,
        announced => announced,
    };
    let mut hosts = fields.named(Name::Host);
    match (hosts.next(), hosts.next(), line.version) {
        (_, Some(_), _) | (None, _, Version::Http11) => return Err(FramingError::Host),
        (Some(host), None, _) => {
            let host = host.value.of(raw);
            if !is_authority(host) {
                return Err(FramingError::MalformedHost);
            }
            if absolute(line.target.of(raw)).is_some_and(|(authority, _)| !authority.eq_ignore_ascii_case(host)) {
                return Err(FramingError::AuthorityMismatch);
            }
        }
        (None, None, Version::Http10) => {}
    }
    let mut expects_continue = false;
    for field in fields.named(Name::Expect) {
        if !field.value.of(raw).eq_ignore_ascii_case(b"100-continue") {
            return Err(FramingError::UnknownExpectation);
        }
        // RFC 9110 section 10.1.1: an expectation of an HTTP/1.0 client is ignored.
        expects_continue = line.version == Version::Http11 && !matches!(length, Length::Empty | Length::Known(0));
    }
    Ok(RequestFraming {
        length,
        keep_alive: keeps_alive(line.version, fields, raw),
        expects_continue,
    })
}

/// Judges a reply head; `to_head` says that the request's method was HEAD.
///
/// # Errors
/// [`FramingError`] when two readers could disagree about where the reply ends.
pub fn reply(line: &StatusLine, fields: &Fields, raw: &[u8], to_head: bool) -> Result<ReplyFraming, FramingError> {
    if line.status == 101 {
        return Err(FramingError::SwitchedProtocols);
    }
    let announced = length(fields, raw, line.version)?;
    let keeps = keeps_alive(line.version, fields, raw);
    if to_head || line.status < 200 || matches!(line.status, 204 | 304) {
        // A 204 that announces content is against RFC 9110 section 15.3.5: whether bytes follow is anybody's guess.
        let contradicts = line.status == 204 && !matches!(announced, Length::UntilClose | Length::Known(0));
        return Ok(ReplyFraming {
            length: Length::Empty,
            reusable: keeps && !contradicts,
        });
    }
    Ok(ReplyFraming {
        length: announced,
        reusable: keeps && announced != Length::UntilClose,
    })
}

/// The announced length; [`Length::UntilClose`] when nothing is announced.
fn length(fields: &Fields, raw: &[u8], version: Version) -> Result<Length, FramingError> {
    let mut found = Length::UntilClose;
    for field in fields.iter() {
        match (field.name, found) {
            (Name::ContentLength, Length::UntilClose) => found = Length::Known(decimal(field.value.of(raw))?),
            (Name::ContentLength, Length::Known(_)) => return Err(FramingError::RepeatedLength),
            (Name::TransferEncoding, Length::UntilClose) => {
                if version == Version::Http10 {
                    return Err(FramingError::EncodingOnHttp10);
                }
                if !field.value.of(raw).eq_ignore_ascii_case(b"chunked") {
                    return Err(FramingError::UnknownEncoding);
                }
                found = Length::Chunked;
            }
            (Name::TransferEncoding, Length::Chunked) => return Err(FramingError::UnknownEncoding),
            (Name::ContentLength | Name::TransferEncoding, _) => return Err(FramingError::LengthAndEncoding),
            _ => {}
        }
    }
    Ok(found)
}

fn decimal(text: &[u8]) -> Result<u64, FramingError> {
    // 19 digits always fit into 64 bits.
    if text.is_empty() || text.len() > 19 || !text.iter().all(u8::is_ascii_digit) {
        return Err(FramingError::MalformedLength);
    }
    Ok(text.iter().fold(0, |n, d| n * 10 + u64::from(d - b'0')))
}

fn keeps_alive(version: Version, fields: &Fields, raw: &[u8]) -> bool {
    let mut keep = version == Version::Http11;
    for field in fields.named(Name::Connection) {
        for option in options(field.value.of(raw)) {
            if option.eq_ignore_ascii_case(b"close") {
                return false;
            }
            keep |= option.eq_ignore_ascii_case(b"keep-alive");
        }
    }
    keep
}

/// The comma-separated members of a list field.
pub fn options(value: &[u8]) -> impl Iterator<Item = &[u8]> {
    value
        .split(|b| *b == b',')
        .map(<[u8]>::trim_ascii)
        .filter(|option| !option.is_empty())
}

/// Splits an absolute-form target into authority and path (RFC 9112 section 3.2.2).
#[must_use]
pub fn absolute(target: &[u8]) -> Option<(&[u8], &[u8])> {
    let scheme = target.get(..7)?;
    if !scheme.eq_ignore_ascii_case(b"http://") {
        return None;
    }
    let rest = &target[7..];
    let end = rest
        .iter()
        .position(|b| matches!(b, b'/' | b'?' | b'#'))
        .unwrap_or(rest.len());
    Some(rest.split_at(end))
}

/// `uri-host [ ":" port ]`, loosely: no userinfo, no path, no whitespace, something in it.
fn is_authority(host: &[u8]) -> bool {
    !host.is_empty()
        && host
            .iter()
            .all(|b| b.is_ascii_alphanumeric() || matches!(b, b'-' | b'.' | b'_' | b'~' | b':' | b'[' | b']' | b'%'))
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::super::head::Bounds;
    use super::*;

    const BOUNDS: Bounds = Bounds {
        first_line: 1000,
        bytes: 10_000,
        fields: 100,
    };

    fn judge(fields: &str) -> Result<RequestFraming, FramingError> {
        let raw = format!("POST / HTTP/1.1\r\nHost: x\r\n{fields}\r\n");
        let mut parsed = Fields::default();
        let line = parsed.parse_request(raw.as_bytes(), &BOUNDS).unwrap();
        request(&line, &parsed, raw.as_bytes())
    }

    fn judge_reply(status: u16, version: &str, fields: &str, to_head: bool) -> Result<ReplyFraming, FramingError> {
        let raw = format!("{version} {status} x\r\n{fields}\r\n");
        let mut parsed = Fields::default();
        let line = parsed.parse_reply(raw.as_bytes(), &BOUNDS).unwrap();
        reply(&line, &parsed, raw.as_bytes(), to_head)
    }

    #[test]
    fn one_length_or_chunked_is_accepted() {
        assert_eq!(judge("").unwrap().length, Length::Empty);
        assert_eq!(judge("Content-Length: 12\r\n").unwrap().length, Length::Known(12));
        assert_eq!(judge("transfer-encoding: Chunked\r\n").unwrap().length, Length::Chunked);
    }

    #[test]
    fn every_doubtful_length_is_refused() {
        use FramingError as E;
        for (fields, error) in [
            (
                "Content-Length: 1\r\nTransfer-Encoding: chunked\r\n",
                E::LengthAndEncoding,
            ),
            (
                "Transfer-Encoding: chunked\r\nContent-Length: 1\r\n",
                E::LengthAndEncoding,
            ),
            ("Content-Length: 1\r\nContent-Length: 1\r\n", E::RepeatedLength),
            ("Content-Length: 1\r\nContent-Length: 2\r\n", E::RepeatedLength),
            ("Content-Length: +1\r\n", E::MalformedLength),
            ("Content-Length: -1\r\n", E::MalformedLength),
            ("Content-Length: 0x1\r\n", E::MalformedLength),
            ("Content-Length: 1, 1\r\n", E::MalformedLength),
            ("Content-Length: 1 1\r\n", E::MalformedLength),
            ("Content-Length:\r\n", E::MalformedLength),
            ("Content-Length: 18446744073709551616\r\n", E::MalformedLength),
            ("Transfer-Encoding: gzip, chunked\r\n", E::UnknownEncoding),
            ("Transfer-Encoding: chunked, chunked\r\n", E::UnknownEncoding),
            ("Transfer-Encoding: identity\r\n", E::UnknownEncoding),
            ("Transfer-Encoding: \"chunked\"\r\n", E::UnknownEncoding),
            ("Transfer-Encoding:\r\n", E::UnknownEncoding),
            (
                "Transfer-Encoding: chunked\r\nTransfer-Encoding: chunked\r\n",
                E::UnknownEncoding,
            ),
            (
                "Transfer-Encoding: chunked\r\nTransfer-Encoding: identity\r\n",
                E::UnknownEncoding,
            ),
            ("Host: y\r\n", E::Host),
            ("Expect: 200-maybe\r\n", E::UnknownExpectation),
        ] {
            assert_eq!(judge(fields), Err(error), "{fields}");
        }
    }

    #[test]
    fn a_reply_without_content_may_announce_a_length() {
        let head = judge_reply(200, "HTTP/1.1", "Content-Length: 5\r\n", true).unwrap();
        assert_eq!(
            head,
            ReplyFraming {
                length: Length::Empty,
                reusable: true
            }
        );
        let not_modified = judge_reply(304, "HTTP/1.1", "Content-Length: 5\r\n", false).unwrap();
        assert_eq!(
            not_modified,
            ReplyFraming {
                length: Length::Empty,
                reusable: true
            }
        );
        assert!(
            !judge_reply(204, "HTTP/1.1", "Content-Length: 5\r\n", false)
                .unwrap()
                .reusable
        );
        assert!(judge_reply(204, "HTTP/1.1", "", false).unwrap().reusable);
    }

    #[test]
    fn a_reply_without_a_length_ends_with_its_connection() {
        let framing = judge_reply(200, "HTTP/1.1", "", false).unwrap();
        assert_eq!(
            framing,
            ReplyFraming {
                length: Length::UntilClose,
                reusable: false
            }
        );
        assert!(
            !judge_reply(200, "HTTP/1.0", "Content-Length: 1\r\n", false)
                .unwrap()
                .reusable
        );
        assert!(
            judge_reply(
                200,
                "HTTP/1.0",
                "Content-Length: 1\r\nConnection: keep-alive\r\n",
                false
            )
            .unwrap()
            .reusable
        );
        assert_eq!(
            judge_reply(101, "HTTP/1.1", "", false),
            Err(FramingError::SwitchedProtocols)
        );
    }

    #[test]
    fn an_absolute_target_must_agree_with_host() {
        let with = |target: &str, host: &str| {
            let raw = format!("GET {target} HTTP/1.1\r\nHost: {host}\r\n\r\n");
            let mut fields = Fields::default();
            let line = fields.parse_request(raw.as_bytes(), &BOUNDS).unwrap();
            request(&line, &fields, raw.as_bytes()).map(|_| ())
        };
        assert_eq!(with("http://a:80/x", "A:80"), Ok(()));
        assert_eq!(with("http://a/x", "b"), Err(FramingError::AuthorityMismatch));
        assert_eq!(with("/x", "user@b"), Err(FramingError::MalformedHost));
        assert_eq!(with("/x", ""), Err(FramingError::MalformedHost));
    }

    proptest! {
        #[test]
        fn whatever_is_accepted_has_one_reading(lengths in proptest::collection::vec("[0-9+, x]{0,4}", 0..3), encodings in proptest::collection::vec("(chunked|identity|gzip, chunked|)", 0..3)) {
            let mut fields = String::new();
            for value in &lengths { fields += &format!("Content-Length: {value}\r\n"); }
            for value in &encodings { fields += &format!("Transfer-Encoding: {value}\r\n"); }
            if let Ok(framing) = judge(&fields) {
                prop_assert!(lengths.len() + encodings.len() <= 1);
                match framing.length {
                    Length::Known(n) => prop_assert_eq!(lengths[0].trim().parse::<u64>().unwrap(), n),
                    Length::Chunked => prop_assert_eq!(encodings[0].as_str(), "chunked"),
                    Length::Empty => prop_assert!(lengths.is_empty() && encodings.is_empty()),
                    Length::UntilClose => prop_assert!(false),
                }
            }
        }
    }
}
