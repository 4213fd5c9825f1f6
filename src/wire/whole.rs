//! A reply that is whole in memory: read from what was written to a caller, and written to one.
//!
//! What is read here was judged and rewritten before (`framing`, `headers`), so nothing of it is refused again; it is
//! only taken apart: head, and content without its framing.

use super::body::{Decoder, Step};
use super::end::EndFinder;
use super::framing::{self, Length};
use super::head::{Bounds, Fields};
use super::headers::{self, write_connection};
use super::name::Name;
use super::reply::Manner;

impl Bounds {
    /// For a head that was judged before by narrower ones.
    pub const JUDGED: Self = Self {
        first_line: 1 << 20,
        bytes: 1 << 21,
        fields: 10_000,
    };
}

/// Fields that describe the content as it was before it was made anew, or that are between the sidecar and that side.
const OF_THE_CONTENT: [&str; 17] = [
    "content-disposition",
    "content-language",
    "content-location",
    "link",
    "location",
    "proxy-authenticate",
    "set-cookie",
    "www-authenticate",
    "content-type",
    "content-encoding",
    "content-range",
    "content-md5",
    "content-digest",
    "repr-digest",
    "accept-ranges",
    "etag",
    "last-modified",
];

/// A whole final reply.
#[derive(Clone, PartialEq, Eq)]
pub struct Whole {
    pub status: u16,
    /// With its empty line.
    pub head: Vec<u8>,
    /// Without framing.
    pub body: Vec<u8>,
}

impl std::fmt::Debug for Whole {
    /// A reply is about a person: only how much there is.
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "{} with {} bytes", self.status, self.body.len())
    }
}

impl Whole {
    /// Takes apart what was written to a caller; `None` when it is not whole.
    #[must_use]
    pub fn read(mut bytes: &[u8], to_head: bool) -> Option<Self> {
        let mut fields = Fields::default();
        loop {
            let end = EndFinder::default().find(bytes, &Bounds::JUDGED).ok()??;
            let (head, rest) = bytes.split_at(end);
            let line = fields.parse_reply(head, &Bounds::JUDGED).ok()?;
            if line.status < 200 {
                bytes = rest; // an interim reply
                continue;
            }
            let framing = framing::reply(&line, &fields, head, to_head).ok()?;
            return Some(Self {
                status: line.status,
                head: head.to_vec(),
                body: unframed(rest, framing.length)?,
            });
        }
    }

    /// A reply of this status and with nothing else.
    #[must_use]
    pub fn bare(status: u16, body: Vec<u8>) -> Self {
        Self {
            status,
            head: format!("HTTP/1.1 {status} \r\n\r\n").into_bytes(),
            body,
        }
    }

    /// The value of the first field of that name.
    #[must_use]
    pub fn field(&self, name: &str) -> Option<Vec<u8>> {
        let mut fields = Fields::default();
        fields.parse_reply(&self.head, &Bounds::JUDGED).ok()?;
        let found = fields
            .iter()
            .find(|field| field.name_span.of(&self.head).eq_ignore_ascii_case(name.as_bytes()));
        found.map(|field| field.value.of(&self.head).to_vec())
    }

    /// Writes it to a caller. `made`: status and content were made anew, as JSON, and fields that describe what was there
    /// before do not go with it.
    pub fn write(&self, out: &mut Vec<u8>, made: Option<(u16, &[u8])>, manner: Manner) {
        let mut fields = Fields::default();
        let (status, body) = made.unwrap_or((self.status, &self.body));
        out.extend_from_slice(b"HTTP/1.1 ");
        headers::decimal(out, u64::from(status));
        let parsed = fields.parse_reply(&self.head, &Bounds::JUDGED);
        match &parsed {
            Ok(line) if made.is_none() => {
                out.push(b' ');
                out.extend_from_slice(line.reason.of(&self.head));
            }
            _ => out.push(b' '),
        }
        out.extend_from_slice(b"\r\n");
        let mut told = false;
        if parsed.is_ok() {
            for field in fields.iter() {
                let name = field.name_span.of(&self.head);
                let stale = made.is_some() && OF_THE_CONTENT.iter().any(|of| name.eq_ignore_ascii_case(of.as_bytes()));
                let framing = match field.name {
                    // A reply to HEAD announces what GET would have brought, unless that would be made anew.
                    Name::ContentLength => !manner.to_head || made.is_some(),
                    Name::Connection | Name::TransferEncoding | Name::HopByHop => true,
                    _ => false,
                };
                if !stale && !framing {
                    told |= field.name == Name::CacheControl;
                    out.extend_from_slice(field.line.of(&self.head));
                }
            }
        }
        if made.is_some() && !body.is_empty() {
            out.extend_from_slice(b"content-type: application/json\r\n");
        }
        if !told {
            out.extend_from_slice(b"cache-control: no-store\r\n");
        }
        let has_content = !manner.to_head && status != 204 && status != 304;
        if has_content {
            out.extend_from_slice(b"content-length: ");
            headers::decimal(out, body.len() as u64);
            out.extend_from_slice(b"\r\n");
        }
        write_connection(out, manner.version, manner.keep_alive);
        out.extend_from_slice(b"\r\n");
        if has_content {
            out.extend_from_slice(body);
        }
    }
}

fn unframed(mut bytes: &[u8], length: Length) -> Option<Vec<u8>> {
    let mut decoder = Decoder::new(length);
    if decoder == Decoder::UntilClose {
        return Some(bytes.to_vec());
    }
    let mut body = Vec::new();
    loop {
        match decoder.step(bytes).ok()? {
            Step::Data { skip, data } => {
                body.extend_from_slice(&bytes[skip..skip + data]);
                decoder.taken(data);
                bytes = &bytes[skip + data..];
            }
            Step::End { .. } => return Some(body),
            Step::More { .. } => return None,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::super::head::Version;
    use super::*;

    const MANNER: Manner = Manner {
        version: Version::Http11,
        keep_alive: true,
        to_head: false,
    };

    #[test]
    fn a_reply_in_any_framing_is_taken_apart_and_interim_ones_are_passed_over() {
        for text in [
            "HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\n{}",
            "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n1\r\n{\r\n1\r\n}\r\n0\r\n\r\n",
            "HTTP/1.1 103 Early\r\nlink: x\r\n\r\nHTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\n{}",
            "HTTP/1.0 200 OK\r\n\r\n{}",
        ] {
            let whole = Whole::read(text.as_bytes(), false).expect(text);
            assert_eq!((whole.status, whole.body.as_slice()), (200, &b"{}"[..]), "{text}");
        }
        for torn in [
            "HTTP/1.1 200 OK\r\nContent-Length: 3\r\n\r\n{}",
            "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n2\r\n{}\r\n",
            "HTTP/1.1 200 OK\r\n",
        ] {
            assert_eq!(Whole::read(torn.as_bytes(), false), None, "{torn}");
        }
    }

    #[test]
    fn what_is_made_anew_does_not_carry_the_description_of_what_was_there() {
        let text =
            "HTTP/1.1 200 OK\r\nETag: \"a\"\r\nX-Kept: 1\r\nContent-Type: text/plain\r\nContent-Length: 2\r\n\r\nab";
        let whole = Whole::read(text.as_bytes(), false).unwrap();
        let mut out = Vec::new();
        whole.write(&mut out, Some((404, b"{}")), MANNER);
        assert_eq!(
            String::from_utf8(out).unwrap(),
            "HTTP/1.1 404 \r\nX-Kept: 1\r\ncontent-type: application/json\r\ncache-control: no-store\r\n\
             content-length: 2\r\n\r\n{}"
        );
        let mut out = Vec::new();
        whole.write(&mut out, None, MANNER);
        assert!(out.ends_with(b"content-length: 2\r\n\r\nab"));
        assert_eq!(whole.field("etag"), Some(b"\"a\"".to_vec()));
    }

    #[test]
    fn a_reply_to_head_announces_a_length_and_has_no_content() {
        let whole = Whole::read(b"HTTP/1.1 200 OK\r\nContent-Length: 20\r\n\r\n", true).unwrap();
        assert!(whole.body.is_empty());
        let manner = Manner {
            to_head: true,
            ..MANNER
        };
        let mut out = Vec::new();
        whole.write(&mut out, None, manner);
        assert!(String::from_utf8(out).unwrap().contains("\r\nContent-Length: 20\r\n"));
    }
}
