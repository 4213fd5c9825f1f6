//! Finds the end of a head and splits it into spans (RFC 9112 sections 2 to 5).
//!
//! Invariants of a [`Head`] that exists: every line ended in CRLF; no bare CR, LF or NUL anywhere; names are tokens
//! directly followed by the colon; values hold no control character but HTAB; no line was folded. The spans point
//! into the bytes that were parsed, so a `Head` is only meaningful together with them.

use memchr::memchr;

/// A half-open range of bytes in the head.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Span {
    start: u32,
    end: u32,
}

impl Span {
    fn new(start: usize, end: usize) -> Self {
        // Heads are bounded far below 4 GiB by `Bounds`.
        Self {
            start: start as u32,
            end: end as u32,
        }
    }

    /// The bytes of this span in `raw`, the bytes the head was parsed from.
    #[must_use]
    pub fn of(self, raw: &[u8]) -> &[u8] {
        raw.get(self.start as usize..self.end as usize).unwrap_or_default()
    }
}

/// One header field.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Field {
    /// What the proxy has to know about this name.
    pub name: Name,
    /// The name as written.
    pub name_span: Span,
    /// The value without surrounding whitespace.
    pub value: Span,
    /// The whole line with its CRLF, as written.
    pub line: Span,
}

/// The names that mean something to a proxy; everything else is [`Name::Other`].
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Name {
    Authorization,
    CacheControl,
    Connection,
    ContentLength,
    Expect,
    Host,
    TraceParent,
    TransferEncoding,
    XRequestId,
    /// Belongs to one connection only (RFC 9110 section 7.6.1), whether or not `Connection` names it.
    HopByHop,
    /// Says who a client certificate belongs to: only the side that terminated the TLS may set it.
    Identity,
    /// `x-delius-sidecar-error`: only the sidecar itself says so.
    SidecarError,
    Other,
}

/// The first line of a request.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct RequestLine {
    pub method: Span,
    pub target: Span,
    pub version: Version,
}

/// The first line of a reply.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct StatusLine {
    pub version: Version,
    pub status: u16,
    /// The reason phrase; may be empty.
    pub reason: Span,
}

#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Version {
    Http10,
    #[default]
    Http11,
}

/// Bounds on a head while it arrives.
#[derive(Clone, Copy, Debug)]
pub struct Bounds {
    pub first_line: usize,
    pub bytes: usize,
    pub fields: usize,
}

/// Why a head was refused. The texts never contain what was sent: a target carries a person's identifier.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum HeadError {
    #[error("what arrived is not HTTP/1: it does not begin with a token (TLS on the plain port?)")]
    NotHttp,
    #[error("the head has a line that ends in a bare LF")]
    BareLf,
    #[error("the head has a CR that no LF follows")]
    BareCr,
    #[error("the first line is not `method target version` with single spaces")]
    RequestLine,
    #[error("the method is not a token")]
    Method,
    #[error("the target holds a byte that a URI cannot")]
    Target,
    #[error("the version is neither HTTP/1.1 nor HTTP/1.0")]
    Version,
    #[error("the first line of the reply is not `HTTP/1.x status reason`")]
    StatusLine,
    #[error("a header line is folded (begins with whitespace)")]
    Folded,
    #[error("a header line has no colon, no name, or whitespace before the colon")]
    FieldName,
    #[error("a header value holds a control character")]
    FieldValue,
    #[error("the first line is longer than the limit")]
    FirstLineTooLong,
    #[error("the head is larger than the limit")]
    TooManyBytes,
    #[error("the head has more fields than the limit")]
    TooManyFields,
}

/// Looks for the end of a head while bytes arrive; remembers how far it looked.
#[derive(Debug, Default)]
pub struct EndFinder {
    line_start: usize,
    seen: usize,
    first_line_done: bool,
}

impl EndFinder {
    /// `buffer` holds the head from its first byte, and has only grown since the last call. Answers the length of the
    /// head (with the empty line) once it is whole.
    ///
    /// # Errors
    /// As soon as what has arrived can no longer become an acceptable head: a bare LF at once, not after a timeout.
    pub fn find(&mut self, buffer: &[u8], bounds: &Bounds) -> Result<Option<usize>, HeadError> {
        while let Some(offset) = memchr(b'\n', &buffer[self.seen..]) {
            let lf = self.seen + offset;
            if lf == 0 || buffer[lf - 1] != b'\r' || lf - 1 < self.line_start {
                return Err(HeadError::BareLf);
            }
            if !self.first_line_done {
                self.first_line_done = true;
                if lf + 1 > bounds.first_line {
                    return Err(HeadError::FirstLineTooLong);
                }
            }
            if lf + 1 > bounds.bytes {
                return Err(HeadError::TooManyBytes);
            }
            let empty = lf - 1 == self.line_start;
            self.seen = lf + 1;
            if empty {
                return Ok(Some(lf + 1));
            }
            self.line_start = lf + 1;
        }
        self.seen = buffer.len();
        if buffer.first().is_some_and(|b| !is_token(*b)) {
            return Err(HeadError::NotHttp);
        }
        if !self.first_line_done && buffer.len() > bounds.first_line {
            return Err(HeadError::FirstLineTooLong);
        }
        if buffer.len() > bounds.bytes {
            return Err(HeadError::TooManyBytes);
        }
        Ok(None)
    }
}

/// The header fields of one head; reused from request to request so that nothing is allocated for them.
#[derive(Debug, Default)]
pub struct Fields {
    list: Vec<Field>,
}

impl Fields {
    /// The fields in the order they came.
    pub fn iter(&self) -> impl Iterator<Item = &Field> {
        self.list.iter()
    }

    /// The fields of one name.
    pub fn named(&self, name: Name) -> impl Iterator<Item = &Field> {
        self.list.iter().filter(move |field| field.name == name)
    }

    /// Parses a whole request head: `raw` is what [`EndFinder`] delimited.
    ///
    /// # Errors
    /// [`HeadError`] when anything in it could be read in two ways.
    pub fn parse_request(&mut self, raw: &[u8], bounds: &Bounds) -> Result<RequestLine, HeadError> {
        let (line, rest) = first_line(raw)?;
        let parsed = request_line(line)?;
        self.parse(raw, rest, bounds)?;
        Ok(parsed)
    }

    /// Parses a whole reply head.
    ///
    /// # Errors
    /// As for requests.
    pub fn parse_reply(&mut self, raw: &[u8], bounds: &Bounds) -> Result<StatusLine, HeadError> {
        let (line, rest) = first_line(raw)?;
        let parsed = status_line(line)?;
        self.parse(raw, rest, bounds)?;
        Ok(parsed)
    }

    fn parse(&mut self, raw: &[u8], mut at: usize, bounds: &Bounds) -> Result<(), HeadError> {
        self.list.clear();
        loop {
            let length = memchr(b'\n', &raw[at..]).ok_or(HeadError::BareCr)? + 1;
            let line = &raw[at..at + length];
            let Some(content) = line.strip_suffix(b"\r\n") else {
                return Err(HeadError::BareLf);
            };
            if content.is_empty() {
                return Ok(());
            }
            if self.list.len() == bounds.fields {
                return Err(HeadError::TooManyFields);
            }
            self.list.push(field(content, at)?);
            at += length;
        }
    }
}

/// Splits off the first line; answers it without CRLF, and where the fields begin.
fn first_line(raw: &[u8]) -> Result<(&[u8], usize), HeadError> {
    let lf = memchr(b'\n', raw).ok_or(HeadError::BareCr)?;
    let line = raw[..lf].strip_suffix(b"\r").ok_or(HeadError::BareLf)?;
    if memchr(b'\r', line).is_some() {
        return Err(HeadError::BareCr);
    }
    Ok((line, lf + 1))
}

fn request_line(line: &[u8]) -> Result<RequestLine, HeadError> {
    let first = memchr(b' ', line).ok_or(HeadError::RequestLine)?;
    let second = first + 1 + memchr(b' ', &line[first + 1..]).ok_or(HeadError::RequestLine)?;
    let (method, target) = (&line[..first], &line[first + 1..second]);
    if method.is_empty() || !method.iter().all(|b| is_token(*b)) {
        return Err(HeadError::Method);
    }
    // Visible ASCII only. What a path may hold is judged more closely in `route::path`.
    if target.is_empty() || !target.iter().all(|b| matches!(b, 0x21..=0x7e)) {
        return Err(HeadError::Target);
    }
    let version = version(&line[second + 1..])?;
    Ok(RequestLine {
        method: Span::new(0, first),
        target: Span::new(first + 1, second),
        version,
    })
}

fn status_line(line: &[u8]) -> Result<StatusLine, HeadError> {
    if line.len() < 12 || line[8] != b' ' {
        return Err(HeadError::StatusLine);
    }
    let version = version(&line[..8])?;
    let digits = &line[9..12];
    if !digits.iter().all(u8::is_ascii_digit) {
        return Err(HeadError::StatusLine);
    }
    let status = digits.iter().fold(0u16, |n, d| n * 10 + u16::from(d - b'0'));
    if !(100..600).contains(&status) {
        return Err(HeadError::StatusLine);
    }
    // `HTTP/1.1 200` without the space is against the grammar but has only one meaning, and old servers send it.
    let reason = match line.get(12) {
        None => Span::new(12, 12),
        Some(b' ') => Span::new(13, line.len()),
        Some(_) => return Err(HeadError::StatusLine),
    };
    if !reason.of(line).iter().all(|b| is_value(*b)) {
        return Err(HeadError::StatusLine);
    }
    Ok(StatusLine {
        version,
        status,
        reason,
    })
}

fn version(text: &[u8]) -> Result<Version, HeadError> {
    match text {
        b"HTTP/1.1" => Ok(Version::Http11),
        b"HTTP/1.0" => Ok(Version::Http10),
        _ => Err(HeadError::Version),
    }
}

/// One header line without its CRLF; `at` is where it begins in the head.
fn field(content: &[u8], at: usize) -> Result<Field, HeadError> {
    if matches!(content[0], b' ' | b'\t') {
        return Err(HeadError::Folded);
    }
    let colon = memchr(b':', content).ok_or(HeadError::FieldName)?;
    let name = &content[..colon];
    if name.is_empty() || !name.iter().all(|b| is_token(*b)) {
        return Err(HeadError::FieldName);
    }
    let (mut start, mut end) = (colon + 1, content.len());
    while start < end && matches!(content[start], b' ' | b'\t') {
        start += 1;
    }
    while start < end && matches!(content[end - 1], b' ' | b'\t') {
        end -= 1;
    }
    if !content[start..end].iter().all(|b| is_value(*b)) {
        return Err(if content.contains(&b'\r') {
            HeadError::BareCr
        } else {
            HeadError::FieldValue
        });
    }
    Ok(Field {
        name: Name::of(name),
        name_span: Span::new(at, at + colon),
        value: Span::new(at + start, at + end),
        line: Span::new(at, at + content.len() + 2),
    })
}

impl Name {
    /// Classifies a field name, whatever its letter case.
    #[must_use]
    pub fn of(name: &[u8]) -> Self {
        let is = |known: &str| name.eq_ignore_ascii_case(known.as_bytes());
        // By length first: most names that occur are settled by one comparison or none.
        match name.len() {
            2 if is("te") => Self::HopByHop,
            4 if is("host") => Self::Host,
            6 if is("expect") => Self::Expect,
            7 if is("trailer") || is("upgrade") => Self::HopByHop,
            10 if is("connection") => Self::Connection,
            10 if is("keep-alive") => Self::HopByHop,
            11 if is("traceparent") => Self::TraceParent,
            12 if is("x-request-id") => Self::XRequestId,
            13 if is("authorization") => Self::Authorization,
            13 if is("cache-control") => Self::CacheControl,
            14 if is("content-length") => Self::ContentLength,
            14 if is("http2-settings") => Self::HopByHop,
            16 if is("proxy-connection") => Self::HopByHop,
            17 if is("transfer-encoding") => Self::TransferEncoding,
            18 if is("proxy-authenticate") => Self::HopByHop,
            19 if is("proxy-authorization") => Self::HopByHop,
            22 if is("x-delius-sidecar-error") => Self::SidecarError,
            25 if is("proxy-authentication-info") => Self::HopByHop,
            _ if is_identity(name) => Self::Identity,
            _ => Self::Other,
        }
    }
}

/// Names by which terminating proxies tell who the client certificate belongs to. An underscore is read as a hyphen by
/// CGI-like servers, so `x_ssl_client_cert` is the same name in disguise.
fn is_identity(name: &[u8]) -> bool {
    const PREFIXES: [&str; 5] = [
        "x-ssl-client-",
        "x-client-cert",
        "client-cert",
        "ssl-client-",
        "x-amzn-mtls-",
    ];
    const NAMES: [&str; 5] = [
        "x-forwarded-client-cert",
        "x-forwarded-tls-client-cert",
        "x-forwarded-ssl-client-cert",
        "ssl-client-cert",
        "x-ssl-cert",
    ];
    let same = |a: &u8, b: &u8| a.to_ascii_lowercase() == *b || (*a == b'_' && *b == b'-');
    let starts = |known: &str| name.len() >= known.len() && name.iter().zip(known.as_bytes()).all(|(a, b)| same(a, b));
    matches!(name[0] | 0x20, b'x' | b'c' | b's')
        && (PREFIXES.iter().any(|p| starts(p)) || NAMES.iter().any(|n| n.len() <= name.len() && starts(n)))
}

/// `tchar` of RFC 9110 section 5.6.2.
#[must_use]
pub fn is_token(byte: u8) -> bool {
    const TABLE: [bool; 256] = {
        let mut table = [false; 256];
        let (mut i, set) = (
            0,
            b"!#$%&'*+-.^_`|~0123456789abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ",
        );
        while i < set.len() {
            table[set[i] as usize] = true;
            i += 1;
        }
        table
    };
    TABLE[byte as usize]
}

/// A byte that a field value may hold: visible, space, HTAB, or obs-text.
fn is_value(byte: u8) -> bool {
    byte >= 0x20 && byte != 0x7f || byte == b'\t'
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    const BOUNDS: Bounds = Bounds {
        first_line: 100,
        bytes: 1000,
        fields: 5,
    };

    fn parse(raw: &[u8]) -> Result<(RequestLine, Fields), HeadError> {
        let end = EndFinder::default().find(raw, &BOUNDS)?.expect("a whole head");
        let mut fields = Fields::default();
        let line = fields.parse_request(&raw[..end], &BOUNDS)?;
        Ok((line, fields))
    }

    #[test]
    fn a_plain_request_is_split_into_spans() {
        let raw = b"GET /a?b=c HTTP/1.1\r\nHost: x\r\nX-Empty:\r\nX-Spaced: \t a b \t\r\n\r\nrest";
        let (line, fields) = parse(raw).unwrap();
        assert_eq!(line.method.of(raw), b"GET");
        assert_eq!(line.target.of(raw), b"/a?b=c");
        let seen: Vec<_> = fields.iter().map(|f| (f.name_span.of(raw), f.value.of(raw))).collect();
        assert_eq!(
            seen,
            [(&b"Host"[..], &b"x"[..]), (b"X-Empty", b""), (b"X-Spaced", b"a b")]
        );
    }

    #[test]
    fn what_can_be_read_in_two_ways_is_refused() {
        for (raw, error) in [
            (&b"GET / HTTP/1.1\nHost: x\n\n"[..], HeadError::BareLf),
            (b"GET / HTTP/1.1\r\nHost: x\n\r\n", HeadError::BareLf),
            (b"GET / HTTP/1.1\r\nHost: x\ry\r\n\r\n", HeadError::BareCr),
            (b"GET / HTTP/1.1\r\nHost: x\r\n y\r\n\r\n", HeadError::Folded),
            (b"GET / HTTP/1.1\r\n Host: x\r\n\r\n", HeadError::Folded),
            (b"GET / HTTP/1.1\r\nHost : x\r\n\r\n", HeadError::FieldName),
            (b"GET / HTTP/1.1\r\n: x\r\n\r\n", HeadError::FieldName),
            (b"GET / HTTP/1.1\r\nHost\r\n\r\n", HeadError::FieldName),
            (b"GET / HTTP/1.1\r\nA: \0\r\n\r\n", HeadError::FieldValue),
            (b"GET  / HTTP/1.1\r\n\r\n", HeadError::Target),
            (b"GET / HTTP/1.1 \r\n\r\n", HeadError::Version),
            (b"GET /\r\n\r\n", HeadError::RequestLine),
            (b"GET / HTTP/1.2\r\n\r\n", HeadError::Version),
            (b"PRI * HTTP/2.0\r\n\r\n", HeadError::Version),
            (b"G(T / HTTP/1.1\r\n\r\n", HeadError::Method),
            (b"GET /\xc3\xa9 HTTP/1.1\r\n\r\n", HeadError::Target),
            (
                b"GET / HTTP/1.1\r\na:1\r\nb:1\r\nc:1\r\nd:1\r\ne:1\r\nf:1\r\n\r\n",
                HeadError::TooManyFields,
            ),
        ] {
            assert_eq!(parse(raw).err(), Some(error), "{}", String::from_utf8_lossy(raw));
        }
    }

    #[test]
    fn limits_act_before_the_head_is_whole() {
        let mut finder = EndFinder::default();
        assert_eq!(finder.find(&[b'a'; 100], &BOUNDS), Ok(None));
        assert_eq!(finder.find(&[b'a'; 101], &BOUNDS), Err(HeadError::FirstLineTooLong));
        let mut long = b"GET / HTTP/1.1\r\n".to_vec();
        long.resize(1001, b'a');
        assert_eq!(EndFinder::default().find(&long, &BOUNDS), Err(HeadError::TooManyBytes));
    }

    #[test]
    fn status_lines_are_read_strictly() {
        let status = |line: &[u8]| status_line(line).map(|l| l.status);
        assert_eq!(status(b"HTTP/1.1 200 OK"), Ok(200));
        assert_eq!(status(b"HTTP/1.0 404 "), Ok(404));
        assert_eq!(status(b"HTTP/1.1 204"), Ok(204));
        for bad in [
            &b"HTTP/1.1  200 OK"[..],
            b"HTTP/1.1 20 OK",
            b"HTTP/1.1 2000 OK",
            b"HTTP/2.0 200 OK",
            b"http/1.1 200 OK",
            b"HTTP/1.1 099 x",
            b"HTTP/1.1 600 x",
        ] {
            assert!(status(bad).is_err(), "{}", String::from_utf8_lossy(bad));
        }
    }

    #[test]
    fn identity_headers_are_known_in_every_disguise() {
        for name in [
            "X-Forwarded-Client-Cert",
            "x-ssl-client-verify",
            "X_SSL_CLIENT_CERT",
            "Client-Cert",
            "client-cert-chain",
            "X-Client-Cert-Dn",
            "x-amzn-mtls-clientcert",
        ] {
            assert_eq!(Name::of(name.as_bytes()), Name::Identity, "{name}");
        }
        for name in ["x-request-ids", "client", "x-ssl", "cookie"] {
            assert_eq!(Name::of(name.as_bytes()), Name::Other, "{name}");
        }
    }

    #[test]
    fn a_tls_hello_on_the_plain_port_is_refused_at_once() {
        assert_eq!(
            EndFinder::default().find(b"\x16\x03\x01\x02", &BOUNDS),
            Err(HeadError::NotHttp)
        );
    }

    proptest! {
        #[test]
        fn whatever_is_accepted_httparse_reads_the_same_way(raw in "(GET|P[A-Z\\(]{0,3}) /[a-z%\\x00-\\x20]{0,4} HTTP/1\\.[0-2](\r?\n([A-Za-z: \t\r\\x00\\x7f-]{0,12}))*\r\n\r\n") {
            if let Ok((line, fields)) = parse(raw.as_bytes()) {
                let mut storage = [httparse::EMPTY_HEADER; 64];
                let mut oracle = httparse::Request::new(&mut storage);
                prop_assert!(matches!(oracle.parse(raw.as_bytes()), Ok(httparse::Status::Complete(_))));
                prop_assert_eq!(oracle.method.unwrap().as_bytes(), line.method.of(raw.as_bytes()));
                prop_assert_eq!(oracle.path.unwrap().as_bytes(), line.target.of(raw.as_bytes()));
                let ours: Vec<_> = fields.iter().map(|f| (f.name_span.of(raw.as_bytes()), f.value.of(raw.as_bytes()))).collect();
                let theirs: Vec<_> = oracle.headers.iter().map(|h| (h.name.as_bytes(), h.value)).collect();
                prop_assert_eq!(ours, theirs);
            }
        }

        #[test]
        fn the_end_is_found_wherever_the_bytes_are_cut(cut in 0usize..40) {
            let raw = b"GET / HTTP/1.1\r\nHost: x\r\nA: b\r\n\r\ntail";
            let mut finder = EndFinder::default();
            let early = finder.find(&raw[..cut.min(raw.len())], &BOUNDS).unwrap();
            let found = match early { Some(end) => Some(end), None => finder.find(raw, &BOUNDS).unwrap() };
            prop_assert_eq!(found, Some(raw.len() - 4));
        }

        #[test]
        fn no_bytes_make_it_panic(raw in proptest::collection::vec(any::<u8>(), 0..200)) {
            let mut fields = Fields::default();
            let _ = EndFinder::default().find(&raw, &BOUNDS);
            let _ = fields.parse_request(&raw, &BOUNDS);
            let _ = fields.parse_reply(&raw, &BOUNDS);
        }
    }
}
