//! Paths: made safe, described by templates, taken apart into captures (RFC 3986 sections 2, 3.3 and 6.2.2).
//!
//! [`normalise`] gives every path exactly one spelling, or refuses it. What passes has no empty segment, no dot
//! segment, no hidden slash and no byte that two servers read differently, so "the route that matched here" and "the
//! resource that was served there" are the same thing. It runs on each request: one pass, no copy unless a byte
//! must change.
//!
//! A [`Template`] is written by the operator; a path holds person identifiers. So template errors quote what they
//! complain about and path errors never do.

use std::fmt;

/// A template has at most this many parameters, so that captures fit into a fixed array.
pub const MAX_PARAMETERS: usize = 8;

/// Why a request path is refused. The words never contain the path: it holds person identifiers.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum PathError {
    #[error("the path does not start with a slash")]
    NotAbsolute,
    #[error("the path has a raw byte that no path may contain (such as a space, a control, a backslash or non-ascii)")]
    ForbiddenByte,
    #[error("the path has a percent sign that two hexadecimal digits do not follow")]
    BrokenEncoding,
    #[error("the path has an encoded slash or backslash: servers disagree on whether it separates segments")]
    EncodedSlash,
    #[error("the path has an encoded control character or NUL")]
    EncodedControl,
    #[error("the path has an empty segment (a doubled or trailing slash)")]
    EmptySegment,
    #[error("the path has a dot segment, plain, encoded or before a semicolon")]
    DotSegment,
}

/// The one spelling of an origin-form path (without query), or why there is none.
///
/// Encoded unreserved characters are decoded, other encodings stay with upper-case digits (RFC 3986 6.2.2).
/// Decoding happens once: `%252e` is the data `%2e` and stays `%252e`, and whoever decodes it twice is at fault.
/// A trailing slash is an empty last segment and refused, but for the path `/` itself: some servers drop it and some
/// do not, so a route with it and one without could be one resource there and two here.
///
/// `scratch` is cleared and used only where the input has to change; keep it between requests.
pub fn normalise<'a>(path: &'a [u8], scratch: &'a mut Vec<u8>) -> Result<&'a str, PathError> {
    if path.first() != Some(&b'/') {
        return Err(PathError::NotAbsolute);
    }
    let mut segment = 1;
    let mut at = 1;
    while let Some(&byte) = path.get(at) {
        match CLASSES[usize::from(byte)] {
            Class::Plain => at += 1,
            Class::Slash => {
                sound(&path[segment..at])?;
                at += 1;
                segment = at;
            }
            Class::Percent => match decode(&path[at..])? {
                Decoded::Canonical => at += 3,
                Decoded::Unreserved(_) | Decoded::LowerCase(_) => {
                    rewrite(path, at, segment, scratch)?;
                    return text(scratch);
                }
            },
            Class::Forbidden => return Err(PathError::ForbiddenByte),
        }
    }
    if path.len() > 1 {
        sound(&path[segment..])?;
    }
    text(path)
}

/// Goes on with the pass at `at`, now into `out`. Everything before `at` stands as it came, so `segment` is the start
/// of the segment under way in both.
fn rewrite(path: &[u8], mut at: usize, mut segment: usize, out: &mut Vec<u8>) -> Result<(), PathError> {
    out.clear();
    out.reserve(path.len());
    out.extend_from_slice(&path[..at]);
    while let Some(&byte) = path.get(at) {
        match CLASSES[usize::from(byte)] {
            Class::Plain => out.push(byte),
            Class::Slash => {
                sound(&out[segment..])?;
                out.push(b'/');
                segment = out.len();
            }
            Class::Percent => {
                match decode(&path[at..])? {
                    Decoded::Canonical => out.extend_from_slice(&path[at..at + 3]),
                    Decoded::LowerCase(encoded) => out.extend_from_slice(&encoded),
                    Decoded::Unreserved(byte) => out.push(byte),
                }
                at += 2;
            }
            Class::Forbidden => return Err(PathError::ForbiddenByte),
        }
        at += 1;
    }
    sound(&out[segment..])
}

/// Judges one segment in its normal spelling.
///
/// Java servers cut `;name=value` off each segment before they resolve dot segments: `/open/..;/secret` passes a
/// proxy that sees the segment `..;` and reaches `/secret` in Tomcat. What stands before the first semicolon must
/// therefore be a sound segment by itself, and so must what stands before an encoded one, for servers that decode first.
fn sound(segment: &[u8]) -> Result<(), PathError> {
    // nearly every segment is decided by its first byte
    match segment.first() {
        None => return Err(PathError::EmptySegment),
        Some(b'.' | b';' | b'%') => {}
        Some(_) => return Ok(()),
    }
    let dots = segment.iter().take_while(|&&byte| byte == b'.').count();
    let ended = matches!(&segment[dots..], [] | [b';', ..] | [b'%', b'3', b'B', ..]);
    match (ended, dots) {
        (true, 0) => Err(PathError::EmptySegment),
        (true, 1 | 2) => Err(PathError::DotSegment),
        _ => Ok(()),
    }
}

enum Decoded {
    /// Stands for a reserved byte and is written as it should be.
    Canonical,
    /// Stands for a reserved byte, with lower-case digits: this is how it should be.
    LowerCase([u8; 3]),
    /// Need not have been encoded.
    Unreserved(u8),
}

/// Reads the `%XX` that `rest` starts with.
fn decode(rest: &[u8]) -> Result<Decoded, PathError> {
    let [_, high, low, ..] = rest else {
        return Err(PathError::BrokenEncoding);
    };
    let value = match (hex(*high), hex(*low)) {
        (Some(high), Some(low)) => high << 4 | low,
        _ => return Err(PathError::BrokenEncoding),
    };
    match value {
        b'/' | b'\\' => Err(PathError::EncodedSlash),
        0..=0x1f | 0x7f => Err(PathError::EncodedControl),
        b'a'..=b'z' | b'A'..=b'Z' | b'0'..=b'9' | b'-' | b'.' | b'_' | b'~' => Ok(Decoded::Unreserved(value)),
        _ if high.is_ascii_lowercase() || low.is_ascii_lowercase() => Ok(Decoded::LowerCase([
            b'%',
            high.to_ascii_uppercase(),
            low.to_ascii_uppercase(),
        ])),
        _ => Ok(Decoded::Canonical),
    }
}

const fn hex(digit: u8) -> Option<u8> {
    match digit {
        b'0'..=b'9' => Some(digit - b'0'),
        b'a'..=b'f' => Some(digit - b'a' + 10),
        b'A'..=b'F' => Some(digit - b'A' + 10),
        _ => None,
    }
}

/// The classes let only ASCII through, so this cannot fail; it is cheaper to ask than to use `unsafe`.
fn text(path: &[u8]) -> Result<&str, PathError> {
    std::str::from_utf8(path).map_err(|_| PathError::ForbiddenByte)
}

#[derive(Clone, Copy)]
enum Class {
    Plain,
    Slash,
    Percent,
    Forbidden,
}

/// `pchar` of RFC 3986 section 3.3, by byte.
static CLASSES: [Class; 256] = {
    let mut classes = [Class::Forbidden; 256];
    let plain = b"abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789-._~!$&'()*+,;=:@";
    let mut at = 0;
    while at < plain.len() {
        classes[plain[at] as usize] = Class::Plain;
        at += 1;
    }
    classes[b'/' as usize] = Class::Slash;
    classes[b'%' as usize] = Class::Percent;
    classes
};

/// A path with named places: `/secure/offenders/nomsNumber/{nomsNumber}/all`, `/{*rest}`.
///
/// `{name}` stands for exactly one segment, `{*name}` for one or more at the end. The literal parts are in their
/// normal spelling, so that comparing them with a normalised path is comparing bytes.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct Template {
    text: Box<str>,
    segments: Box<[Segment]>,
}

#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub(super) enum Segment {
    Literal(Box<str>),
    Parameter(Box<str>),
    /// One or more segments; always the last.
    Rest(Box<str>),
}

impl Template {
    /// Reads a template as the operator wrote it.
    pub fn parse(text: &str) -> Result<Self, TemplateError> {
        let refuse = |problem| TemplateError {
            template: text.to_owned(),
            problem,
        };
        let Some(inside) = text.strip_prefix('/') else {
            return Err(refuse(Problem::NotAbsolute));
        };
        let mut segments = Vec::new();
        if !inside.is_empty() {
            for written in inside.split('/') {
                if let Some(Segment::Rest(name)) = segments.last() {
                    return Err(refuse(Problem::RestNotLast(name.to_string())));
                }
                segments.push(Segment::parse(written).map_err(refuse)?);
            }
        }
        let template = Self {
            text: text.into(),
            segments: segments.into(),
        };
        for (at, name) in template.parameters().enumerate() {
            if at == MAX_PARAMETERS {
                return Err(refuse(Problem::TooMany));
            }
            if template.parameters().take(at).any(|earlier| earlier == name) {
                return Err(refuse(Problem::Duplicate(name.to_owned())));
            }
        }
        Ok(template)
    }

    /// The template as it was written.
    #[must_use]
    pub fn as_str(&self) -> &str {
        &self.text
    }

    /// The names of the parameters, in order.
    pub fn parameters(&self) -> impl Iterator<Item = &str> {
        self.segments.iter().filter_map(|segment| match segment {
            Segment::Literal(_) => None,
            Segment::Parameter(name) | Segment::Rest(name) => Some(&**name),
        })
    }

    /// Appends the path that this template makes of `captures`. They come from a normalised path, so the result is one.
    ///
    /// A name that was not captured leaves `out` as it was: a path with a hole would ask for something else.
    pub fn expand(&self, out: &mut Vec<u8>, captures: &Captures<'_>) -> Result<(), NotCaptured> {
        let start = out.len();
        if self.segments.is_empty() {
            out.push(b'/');
        }
        for segment in &self.segments {
            out.push(b'/');
            match segment {
                Segment::Literal(literal) => out.extend_from_slice(literal.as_bytes()),
                Segment::Parameter(name) | Segment::Rest(name) => match captures.get(name) {
                    Some(value) => out.extend_from_slice(value.as_bytes()),
                    None => {
                        out.truncate(start);
                        return Err(NotCaptured(name.to_string()));
                    }
                },
            }
        }
        Ok(())
    }

    pub(super) fn segments(&self) -> &[Segment] {
        &self.segments
    }
}

impl fmt::Display for Template {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.text)
    }
}

impl Segment {
    fn parse(written: &str) -> Result<Self, Problem> {
        if written.is_empty() {
            return Err(Problem::Empty);
        }
        if let Some(inside) = written.strip_prefix('{').and_then(|rest| rest.strip_suffix('}')) {
            let (name, rest) = match inside.strip_prefix('*') {
                Some(name) => (name, true),
                None => (inside, false),
            };
            let word = |byte: u8| byte.is_ascii_alphanumeric() || byte == b'_';
            if name.is_empty() || !name.bytes().all(word) {
                return Err(Problem::Name(written.to_owned()));
            }
            return Ok(if rest {
                Self::Rest(name.into())
            } else {
                Self::Parameter(name.into())
            });
        }
        if written.contains(['{', '}']) {
            return Err(Problem::PartOfSegment(written.to_owned()));
        }
        let path = format!("/{written}");
        let mut scratch = Vec::new();
        match normalise(path.as_bytes(), &mut scratch) {
            Err(why) => Err(Problem::Literal(written.to_owned(), why)),
            Ok(normal) if normal != path => Err(Problem::Spelling(written.to_owned(), normal[1..].to_owned())),
            Ok(_) => Ok(Self::Literal(written.into())),
        }
    }
}

/// A template that is refused, with what is wrong.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("path template {template:?}: {problem}")]
pub struct TemplateError {
    pub template: String,
    pub problem: Problem,
}

/// What is wrong with a template.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Problem {
    #[error("does not start with a slash")]
    NotAbsolute,
    #[error("has an empty segment: remove the doubled or trailing slash")]
    Empty,
    #[error("segment {0:?} mixes text and a parameter: a parameter fills its whole segment, as in /{{name}}/")]
    PartOfSegment(String),
    #[error("{0:?} is not a parameter: expected {{name}} or {{*name}}, the name of letters, digits and underscores")]
    Name(String),
    #[error("parameter {0:?} occurs twice: give each its own name")]
    Duplicate(String),
    #[error("{{*{0}}} takes the rest of the path, so nothing may follow it")]
    RestNotLast(String),
    #[error("has more than {MAX_PARAMETERS} parameters")]
    TooMany,
    #[error("segment {0:?} can never match: {1}")]
    Literal(String, PathError),
    #[error("segment {0:?} can never match: paths are compared in their normal spelling, write {1:?}")]
    Spelling(String, String),
}

/// A template was expanded with captures that lack one of its names: the configuration was not checked.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("the route captures no parameter {0:?}")]
pub struct NotCaptured(pub String);

/// What a template's parameters stand for in one path. Borrowed from both, nothing allocated.
///
/// The values are person identifiers: they print nowhere, which is why `Debug` shows the names only.
#[derive(Clone, Copy)]
pub struct Captures<'a> {
    template: &'a Template,
    values: [&'a str; MAX_PARAMETERS],
}

impl<'a> Captures<'a> {
    /// `values` in the order of the template's parameters.
    pub(super) const fn new(template: &'a Template, values: [&'a str; MAX_PARAMETERS]) -> Self {
        Self { template, values }
    }

    /// The value of a parameter, in the path's normal spelling.
    #[must_use]
    pub fn get(&self, name: &str) -> Option<&'a str> {
        self.iter().find(|(known, _)| *known == name).map(|(_, value)| value)
    }

    /// Names and values in order.
    pub fn iter(&self) -> impl Iterator<Item = (&'a str, &'a str)> {
        self.template.parameters().zip(self.values)
    }
}

impl fmt::Debug for Captures<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_set().entries(self.template.parameters()).finish()
    }
}
