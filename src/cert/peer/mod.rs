//! Name patterns: which certificates are meant. `dns`, `uri`, `cn`, `ou`, `spki`, `fingerprint`.
//!
//! A pattern decides who is let in, so doubt means no match: a `dns` pattern looks at subject alternative names only
//! and never at the common name (RFC 9525 section 2); a wildcard stands for one whole label or path segment; a
//! certificate's own wildcard is not a host; a subject with two common names has none. A [`Pattern`] that exists is
//! well-formed.

use std::fmt;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;

use super::facts::{Facts, hex, spki_text};

/// One thing to ask of a certificate.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Pattern {
    /// A DNS subject alternative name; lower case, `*.` in front stands for one label.
    Dns(String),
    /// A URI subject alternative name; a path segment `*` stands for one segment, `**` at the end for any number.
    Uri(String),
    /// The subject's only common name, exactly.
    Cn(String),
    /// One of the subject's organisational units, exactly.
    Ou(String),
    /// SHA-256 of the public key.
    Spki([u8; 32]),
    /// SHA-256 of the certificate.
    Fingerprint([u8; 32]),
}

/// Why a text is not a pattern.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum PatternError {
    #[error("\"{0}\" is not a kind of peer pattern; expected dns, uri, cn, ou, spki or fingerprint")]
    UnknownKind(String),
    #[error("the {0} pattern is empty, which would mean every certificate or none; write the name that is meant")]
    Empty(&'static str),
    #[error(
        "the dns pattern \"{0}\" is not a DNS name; expected labels of letters, digits, \"-\" and \"_\" with dots between"
    )]
    NotADnsName(String),
    #[error(
        "the dns pattern \"{0}\" has a wildcard that is not the whole first label before at least two more; expected for example \"*.apps.example\""
    )]
    DnsWildcard(String),
    #[error(
        "the uri pattern \"{0}\" has no scheme and authority; expected for example \"spiffe://trust.example/ns/app\""
    )]
    NotAUri(String),
    #[error(
        "the uri pattern \"{0}\" has a wildcard outside the path or beside other text; \"*\" stands for a whole path segment, \"**\" only for the end"
    )]
    UriWildcard(String),
    #[error("the {kind} pattern \"{text}\" has characters that cannot be printed")]
    Unprintable { kind: &'static str, text: String },
    #[error("the spki pattern \"{0}\" is not \"sha256:\" and 44 characters of base64 (a SHA-256 digest)")]
    NotAPin(String),
    #[error("the fingerprint pattern \"{0}\" is not 64 hexadecimal digits (SHA-256), with or without colons")]
    NotAFingerprint(String),
}

impl Pattern {
    /// Reads a pattern of the kind that the configuration names.
    pub fn parse(kind: &str, text: &str) -> Result<Self, PatternError> {
        match kind {
            "dns" => dns(text).map(Self::Dns),
            "uri" => uri(text).map(Self::Uri),
            "cn" => plain("cn", text).map(Self::Cn),
            "ou" => plain("ou", text).map(Self::Ou),
            "spki" => pin(text).map(Self::Spki),
            "fingerprint" => fingerprint(text).map(Self::Fingerprint),
            other => Err(PatternError::UnknownKind(other.escape_debug().to_string())),
        }
    }

    /// Whether the certificate is meant.
    #[must_use]
    pub fn matches(&self, facts: &Facts) -> bool {
        match self {
            Self::Dns(pattern) => facts.dns_names.iter().any(|name| dns_matches(pattern, name)),
            Self::Uri(pattern) => facts.uri_names.iter().any(|name| uri_matches(pattern, name)),
            Self::Cn(expected) => matches!(facts.common_names.as_slice(), [only] if only == expected),
            Self::Ou(expected) => facts.organisational_units.contains(expected),
            Self::Spki(digest) => facts.spki_sha256 == *digest,
            Self::Fingerprint(digest) => facts.sha256 == *digest,
        }
    }
}

impl fmt::Display for Pattern {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Dns(text) => write!(f, "dns:{text}"),
            Self::Uri(text) => write!(f, "uri:{text}"),
            Self::Cn(text) => write!(f, "cn:{text}"),
            Self::Ou(text) => write!(f, "ou:{text}"),
            Self::Spki(digest) => write!(f, "spki:{}", spki_text(digest)),
            Self::Fingerprint(digest) => write!(f, "fingerprint:{}", hex(digest)),
        }
    }
}

fn dns(text: &str) -> Result<String, PatternError> {
    let plain = plain("dns", text)?;
    let name = plain.strip_suffix('.').unwrap_or(&plain).to_ascii_lowercase();
    let rest = name.strip_prefix("*.").unwrap_or(&name);
    if rest.contains('*') || (rest.len() != name.len() && !rest.contains('.')) {
        return Err(PatternError::DnsWildcard(plain));
    }
    if name.len() > 253 || !rest.split('.').all(is_label) {
        return Err(PatternError::NotADnsName(plain));
    }
    Ok(name)
}

/// Letters, digits, hyphen, and the underscore that internal names have.
fn is_label(label: &str) -> bool {
    let allowed = |byte: u8| byte.is_ascii_alphanumeric() || byte == b'-' || byte == b'_';
    (1..=63).contains(&label.len()) && label.bytes().all(allowed)
}

fn dns_matches(pattern: &str, name: &str) -> bool {
    let name = name.strip_suffix('.').unwrap_or(name);
    match pattern.strip_prefix("*.") {
        None => name.eq_ignore_ascii_case(pattern),
        Some(parent) => name
            .split_once('.')
            .is_some_and(|(label, rest)| is_label(label) && rest.eq_ignore_ascii_case(parent)),
    }
}

fn uri(text: &str) -> Result<String, PatternError> {
    let plain = plain("uri", text)?;
    let Some((scheme, rest)) = plain.split_once("://") else {
        return Err(PatternError::NotAUri(plain));
    };
    let (authority, path) = rest.split_once('/').unwrap_or((rest, ""));
    if scheme.is_empty() || authority.is_empty() {
        return Err(PatternError::NotAUri(plain));
    }
    let segments: Vec<&str> = path.split('/').collect();
    let misplaced = |(index, segment): (usize, &&str)| match *segment {
        "*" => false,
        "**" => index + 1 != segments.len(),
        other => other.contains('*'),
    };
    if scheme.contains('*') || authority.contains('*') || segments.iter().enumerate().any(misplaced) {
        return Err(PatternError::UriWildcard(plain));
    }
    Ok(plain)
}

/// Exact, byte for byte, but for wildcards. A wildcard never stands for nothing, for a dot segment or for percent
/// escapes (which may hide a slash), and never matches in a URI with query or fragment, where a slash does not part
/// segments.
fn uri_matches(pattern: &str, name: &str) -> bool {
    if !pattern.contains('*') {
        return pattern == name;
    }
    if name.contains(['?', '#']) {
        return false;
    }
    let is_segment = |segment: &str| !matches!(segment, "" | "." | "..") && !segment.contains('%');
    let mut names = name.split('/');
    for expected in pattern.split('/') {
        match (expected, names.next()) {
            ("**", found) => return found.into_iter().chain(names).all(is_segment),
            ("*", Some(found)) if is_segment(found) => {}
            (expected, Some(found)) if expected == found && expected != "*" => {}
            _ => return false,
        }
    }
    names.next().is_none()
}

fn plain(kind: &'static str, text: &str) -> Result<String, PatternError> {
    if text.trim().is_empty() {
        return Err(PatternError::Empty(kind));
    }
    if text.chars().any(char::is_control) {
        let text = text.escape_debug().to_string();
        return Err(PatternError::Unprintable { kind, text });
    }
    Ok(text.to_owned())
}

fn pin(text: &str) -> Result<[u8; 32], PatternError> {
    text.strip_prefix("sha256:")
        .and_then(|base64| STANDARD.decode(base64).ok())
        .and_then(|bytes| bytes.try_into().ok())
        .ok_or_else(|| PatternError::NotAPin(text.escape_debug().to_string()))
}

fn fingerprint(text: &str) -> Result<[u8; 32], PatternError> {
    let wrong = || PatternError::NotAFingerprint(text.escape_debug().to_string());
    let pairs: Vec<&str> = if text.contains(':') {
        text.split(':').collect()
    } else {
        (0..text.len())
            .step_by(2)
            .map_while(|at| text.get(at..at + 2))
            .collect()
    };
    if pairs.len() != 32 || (!text.contains(':') && text.len() != 64) {
        return Err(wrong());
    }
    let mut digest = [0; 32];
    for (byte, pair) in digest.iter_mut().zip(pairs) {
        if pair.len() != 2 || !pair.bytes().all(|digit| digit.is_ascii_hexdigit()) {
            return Err(wrong());
        }
        *byte = u8::from_str_radix(pair, 16).map_err(|_| wrong())?;
    }
    Ok(digest)
}

#[cfg(test)]
mod tests;
