//! Splits a head into spans (RFC 9112 sections 2 to 5).
//!
//! Invariants of [`Fields`] that were parsed: every line ended in CRLF; no bare CR, LF or NUL anywhere; names are tokens
//! directly followed by the colon; values hold no control character but HTAB; no line was folded. The spans point
//! into the bytes that were parsed, and mean something only together with them.

use memchr::{memchr, memchr_iter};

use super::name::Name;

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

    /// Parses a whole request head: `raw` is what `wire::end` delimited.
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

    fn parse(&mut self, raw: &[u8], first: usize, bounds: &Bounds) -> Result<(), HeadError> {
        self.list.clear();
        let mut at = first;
        for lf in memchr_iter(b'\n', &raw[first..]) {
            let lf = first + lf;
            let Some(content) = raw[at..lf].strip_suffix(b"\r") else {
                return Err(HeadError::BareLf);
            };
            if content.is_empty() {
                return Ok(());
            }
            if self.list.len() == bounds.fields {
                return Err(HeadError::TooManyFields);
            }
            self.list.push(field(content, at)?);
            at = lf + 1;
        }
        Err(HeadError::BareCr)
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
    // What ends the name has to be the colon: one pass instead of two.
    let colon = content
        .iter()
        .position(|b| !is_token(*b))
        .filter(|at| content[*at] == b':');
    let colon = colon.filter(|at| *at > 0).ok_or(HeadError::FieldName)?;
    let name = &content[..colon];
    let (mut start, mut end) = (colon + 1, content.len());
    while start < end && matches!(content[start], b' ' | b'\t') {
        start += 1;
    }
    while start < end && matches!(content[end - 1], b' ' | b'\t') {
        end -= 1;
    }
    if !is_field_value(&content[start..end]) {
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

/// Whether all bytes may stand in a field value. Looks at every byte even after a bad one: without the early exit the
/// compiler looks at many at once, and a bearer token is long.
pub fn is_field_value(value: &[u8]) -> bool {
    !value.iter().fold(false, |bad, b| bad | !is_value(*b))
}

/// A byte that a field value may hold: visible, space, HTAB, or obs-text.
fn is_value(byte: u8) -> bool {
    (byte >= 0x20) & (byte != 0x7f) | (byte == b'\t')
}

#[cfg(test)]
mod tests;
