//! Writes the head for the other side from the spans of the one that came (RFC 9110 section 7.6).
//!
//! What never crosses: hop-by-hop fields and those that `Connection` names; identity headers, which only the side
//! that terminated the TLS may set; framing fields, which are written anew. What always leaves: the upstream's
//! `Host`, a `traceparent`, an `x-request-id`; and on replies `Cache-Control: no-store` where there is none.

use super::framing::{Length, options};
use super::head::{Field, Fields, RequestLine, StatusLine, Version, is_token};
use super::name::Name;

/// How to write a request's head.
#[derive(Clone, Copy, Debug)]
pub struct RequestRules<'a> {
    /// `Host` of the upstream.
    pub host: &'a [u8],
    /// The application's `Authorization` is passed on.
    pub pass_authorization: bool,
    /// Framing of the content as it leaves.
    pub length: Length,
    /// Whole lines, with CRLF, to put in: identity headers of the gateway, what a leg sets, its token.
    pub set: &'a [u8],
    /// Names that do not cross, whatever they are; usually none.
    pub without: &'a [Box<str>],
    /// Put in where the request has none: whole value.
    pub trace_parent: &'a [u8],
    /// Put in where the request has none: whole value.
    pub request_id: &'a [u8],
}

/// Appends the head's fields and the empty line; the request line is already in `out`.
pub fn write_request(out: &mut Vec<u8>, raw: &[u8], fields: &Fields, rules: &RequestRules<'_>) {
    line(out, b"Host", rules.host);
    let (mut traced, mut identified) = (false, false);
    let nominations = Nominations::of(fields, raw);
    for field in fields.iter() {
        let crosses = match field.name {
            Name::Host
            | Name::Connection
            | Name::ContentLength
            | Name::TransferEncoding
            | Name::HopByHop
            | Name::Identity
            // The sidecar answers the expectation itself: it asks for the content when there is somewhere to send it.
            | Name::Expect => false,
            Name::Authorization => rules.pass_authorization,
            Name::CacheControl | Name::SidecarError | Name::Other => true,
            Name::TraceParent => is_trace_parent(field.value.of(raw)),
            Name::XRequestId => is_request_id(field.value.of(raw)),
        };
        if crosses && !nominations.include(field, raw) && !names(rules.without, field.name_span.of(raw)) {
            // The first one of each counts; a second one would make two readers disagree about which it is.
            let seen = match field.name {
                Name::TraceParent => std::mem::replace(&mut traced, true),
                Name::XRequestId => std::mem::replace(&mut identified, true),
                _ => false,
            };
            if !seen {
                out.extend_from_slice(field.line.of(raw));
            }
        }
    }
    if !traced {
        line(out, b"traceparent", rules.trace_parent);
    }
    if !identified {
        line(out, b"x-request-id", rules.request_id);
    }
    out.extend_from_slice(rules.set);
    write_length(out, rules.length);
    out.extend_from_slice(b"\r\n");
}

fn names(list: &[Box<str>], name: &[u8]) -> bool {
    list.iter().any(|listed| name.eq_ignore_ascii_case(listed.as_bytes()))
}

/// Whether a leg may set this field: framing, connection and credentials are the sidecar's own affair.
#[must_use]
pub fn may_be_set(name: &str) -> bool {
    const OWN: [&str; 9] = [
        "authorization",
        "connection",
        "content-length",
        "expect",
        "host",
        "te",
        "trailer",
        "transfer-encoding",
        "upgrade",
    ];
    !name.is_empty() && name.bytes().all(is_token) && !OWN.iter().any(|own| name.eq_ignore_ascii_case(own))
}

/// How to write a reply's head.
#[derive(Clone, Copy, Debug)]
pub struct ReplyRules {
    /// Framing of the content as it leaves; [`Length::Empty`] keeps the announced length of the upstream, which a
    /// reply to HEAD and a 304 may carry.
    pub length: Length,
    /// What the caller speaks.
    pub version: Version,
    /// The connection to the caller stays open.
    pub keep_alive: bool,
}

/// Writes the whole head of a reply.
pub fn write_reply(out: &mut Vec<u8>, raw: &[u8], status: &StatusLine, fields: &Fields, rules: &ReplyRules) {
    out.extend_from_slice(b"HTTP/1.1 ");
    decimal(out, u64::from(status.status));
    out.push(b' ');
    out.extend_from_slice(status.reason.of(raw));
    out.extend_from_slice(b"\r\n");
    let nominations = Nominations::of(fields, raw);
    let mut cache_control = false;
    for field in fields.iter() {
        let crosses = match field.name {
            Name::Connection | Name::TransferEncoding | Name::HopByHop | Name::SidecarError => false,
            Name::ContentLength => rules.length == Length::Empty && status.status != 204 && status.status >= 200,
            _ => true,
        };
        if crosses && !nominations.include(field, raw) {
            cache_control |= field.name == Name::CacheControl;
            out.extend_from_slice(field.line.of(raw));
        }
    }
    if status.status < 200 {
        out.extend_from_slice(b"\r\n");
        return;
    }
    if !cache_control {
        line(out, b"Cache-Control", b"no-store");
    }
    write_length(out, rules.length);
    write_connection(out, rules.version, rules.keep_alive);
    out.extend_from_slice(b"\r\n");
}

/// Writes `Connection` where the version's default is not what will happen.
pub fn write_connection(out: &mut Vec<u8>, version: Version, keep_alive: bool) {
    match (version, keep_alive) {
        (Version::Http11, true) | (Version::Http10, false) => {}
        (Version::Http11, false) => line(out, b"Connection", b"close"),
        (Version::Http10, true) => line(out, b"Connection", b"keep-alive"),
    }
}

fn write_length(out: &mut Vec<u8>, length: Length) {
    match length {
        Length::Empty | Length::UntilClose => {}
        Length::Known(bytes) => {
            out.extend_from_slice(b"Content-Length: ");
            decimal(out, bytes);
            out.extend_from_slice(b"\r\n");
        }
        Length::Chunked => line(out, b"Transfer-Encoding", b"chunked"),
    }
}

fn line(out: &mut Vec<u8>, name: &[u8], value: &[u8]) {
    out.extend_from_slice(name);
    out.extend_from_slice(b": ");
    out.extend_from_slice(value);
    out.extend_from_slice(b"\r\n");
}

/// Appends a number in decimal.
pub fn decimal(out: &mut Vec<u8>, mut number: u64) {
    let mut digits = [0u8; 20];
    let mut at = digits.len();
    loop {
        at -= 1;
        digits[at] = b'0' + (number % 10) as u8;
        number /= 10;
        if number == 0 {
            break;
        }
    }
    out.extend_from_slice(&digits[at..]);
}

/// The names that `Connection` declares to belong to this connection only.
enum Nominations<'a> {
    /// Nothing beyond `close` and `keep-alive`: the usual case, settled without a look at each field.
    None,
    Some {
        fields: &'a Fields,
        raw: &'a [u8],
    },
}

impl<'a> Nominations<'a> {
    fn of(fields: &'a Fields, raw: &'a [u8]) -> Self {
        let usual = |option: &[u8]| option.eq_ignore_ascii_case(b"close") || option.eq_ignore_ascii_case(b"keep-alive");
        if fields
            .named(Name::Connection)
            .all(|field| options(field.value.of(raw)).all(usual))
        {
            Self::None
        } else {
            Self::Some { fields, raw }
        }
    }

    fn include(&self, field: &Field, raw: &[u8]) -> bool {
        match self {
            Self::None => false,
            Self::Some { fields, raw: of } => {
                let name = field.name_span.of(raw);
                fields
                    .named(Name::Connection)
                    .any(|nominating| options(nominating.value.of(of)).any(|option| option.eq_ignore_ascii_case(name)))
            }
        }
    }
}

/// The path and query of a request's target, in origin-form.
#[must_use]
pub fn path_and_query<'a>(line: &RequestLine, raw: &'a [u8]) -> (&'a [u8], &'a [u8]) {
    let target = line.target.of(raw);
    let target = super::framing::absolute(target).map_or(target, |(_, path)| if path.is_empty() { b"/" } else { path });
    let at = memchr::memchr(b'?', target).unwrap_or(target.len());
    target.split_at(at)
}

/// A request id that is safe to carry and to log: visible ASCII, 1 to 128 bytes, no quoting characters.
#[must_use]
pub fn is_request_id(value: &[u8]) -> bool {
    (1..=128).contains(&value.len())
        && value
            .iter()
            .all(|b| b.is_ascii_alphanumeric() || matches!(b, b'-' | b'_' | b'.' | b':' | b'/' | b'+' | b'=' | b'@'))
}

/// `version-trace-parent-flags` (W3C Trace Context section 3.2).
#[must_use]
pub fn is_trace_parent(value: &[u8]) -> bool {
    let hex = |part: &[u8]| part.iter().all(|b| matches!(b, b'0'..=b'9' | b'a'..=b'f'));
    value.len() >= 55
        && (value.len() == 55 || value[55] == b'-')
        && value[2] == b'-'
        && value[35] == b'-'
        && value[52] == b'-'
        && hex(&value[..2])
        && &value[..2] != b"ff"
        && hex(&value[3..35])
        && hex(&value[36..52])
        && hex(&value[53..55])
        && value[3..35].iter().any(|b| *b != b'0')
        && value[36..52].iter().any(|b| *b != b'0')
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
    const RULES: RequestRules<'static> = RequestRules {
        host: b"ndh.example",
        pass_authorization: false,
        length: Length::Empty,
        set: b"",
        without: &[],
        trace_parent: b"00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-00",
        request_id: b"made-here",
    };

    fn forward(fields: &str, rules: &RequestRules<'_>) -> String {
        let raw = format!("GET / HTTP/1.1\r\n{fields}\r\n");
        let mut parsed = Fields::default();
        parsed.parse_request(raw.as_bytes(), &BOUNDS).unwrap();
        let mut out = Vec::new();
        write_request(&mut out, raw.as_bytes(), &parsed, rules);
        String::from_utf8(out).unwrap()
    }

    fn answer(status: u16, fields: &str, length: Length) -> String {
        let raw = format!("HTTP/1.1 {status} Some Reason\r\n{fields}\r\n");
        let mut parsed = Fields::default();
        let line = parsed.parse_reply(raw.as_bytes(), &BOUNDS).unwrap();
        let mut out = Vec::new();
        let rules = ReplyRules {
            length,
            version: Version::Http11,
            keep_alive: true,
        };
        write_reply(&mut out, raw.as_bytes(), &line, &parsed, &rules);
        String::from_utf8(out).unwrap()
    }

    #[test]
    fn only_what_belongs_to_the_request_crosses() {
        let out = forward(
            "Host: 127.0.0.1:8080\r\nAuthorization: Bearer t\r\nConnection: keep-alive, X-Private\r\nX-Private: 1\r\n\
             Keep-Alive: 5\r\nTE: trailers\r\nUpgrade: h2c\r\nHTTP2-Settings: x\r\nProxy-Authorization: y\r\n\
             X-Forwarded-Client-Cert: By=me\r\nx_ssl_client_verify: SUCCESS\r\nExpect: 100-continue\r\nAcCept: a\r\n",
            &RULES,
        );
        assert_eq!(
            out,
            "Host: ndh.example\r\nAcCept: a\r\ntraceparent: 00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-00\r\n\
             x-request-id: made-here\r\n\r\n"
        );
    }

    #[test]
    fn the_authorisation_crosses_only_when_the_leg_says_so() {
        assert!(
            forward(
                "Authorization: Bearer t\r\n",
                &RequestRules {
                    pass_authorization: true,
                    ..RULES
                }
            )
            .contains("Bearer t")
        );
        assert!(!forward("Authorization: Bearer t\r\n", &RULES).contains("Bearer"));
    }

    #[test]
    fn ids_are_carried_once_and_replaced_when_unusable() {
        let out = forward("X-Request-Id: abc-1\r\nx-request-id: abc-2\r\n", &RULES);
        assert!(
            out.contains("X-Request-Id: abc-1\r\n") && !out.contains("abc-2") && !out.contains("made-here"),
            "{out}"
        );
        let out = forward("X-Request-Id: a b\"c\r\ntraceparent: nonsense\r\n", &RULES);
        assert!(
            out.contains("made-here") && !out.contains("nonsense") && !out.contains("a b"),
            "{out}"
        );
    }

    #[test]
    fn replies_say_no_store_unless_the_upstream_said_something() {
        assert!(answer(200, "Content-Length: 5\r\n", Length::Known(5)).contains("Cache-Control: no-store\r\n"));
        let own = answer(200, "cache-control: max-age=1\r\n", Length::Chunked);
        assert!(
            own.contains("cache-control: max-age=1") && !own.contains("no-store"),
            "{own}"
        );
    }

    #[test]
    fn the_length_of_a_reply_is_written_once() {
        assert_eq!(
            answer(200, "content-length: 5\r\n", Length::Known(5))
                .matches("ength: 5")
                .count(),
            1
        );
        assert_eq!(
            answer(200, "content-length: 5\r\n", Length::Empty)
                .matches("ength: 5")
                .count(),
            1
        );
        assert!(!answer(204, "content-length: 5\r\n", Length::Empty).contains("ength"));
        let chunked = answer(200, "Transfer-Encoding: chunked\r\nTrailer: x\r\n", Length::Chunked);
        assert_eq!(chunked.matches("chunked").count(), 1);
        assert!(!chunked.contains("Trailer"));
    }

    #[test]
    fn an_upstream_cannot_speak_as_the_sidecar() {
        assert!(!answer(503, "X-Delius-Sidecar-Error: overloaded\r\n", Length::Known(0)).contains("overloaded"));
    }

    proptest! {
        #[test]
        fn what_connection_names_never_crosses(name in "[A-Za-z][A-Za-z-]{0,12}", close in any::<bool>()) {
            let usual = ["close", "keep-alive", "host", "x-request-id", "traceparent", "connection"];
            prop_assume!(!usual.contains(&name.to_ascii_lowercase().as_str()));
            let also = if close { "close, " } else { "" };
            let out = forward(&format!("{name}: secret-value\r\nConnection: {also}{}\r\n", name.to_ascii_uppercase()), &RULES);
            prop_assert!(!out.contains("secret-value"));
        }

        #[test]
        fn numbers_are_written_in_decimal(number in any::<u64>()) {
            let mut out = Vec::new();
            decimal(&mut out, number);
            prop_assert_eq!(out, number.to_string().into_bytes());
        }
    }
}
