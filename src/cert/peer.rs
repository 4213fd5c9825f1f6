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
mod tests {
    use super::super::issue::{self, Purposes, Spec, Validity};
    use super::*;

    fn facts(spec: &Spec) -> Facts {
        Facts::read(&issue::self_signed(spec).unwrap().leaf).unwrap()
    }

    fn plain_spec() -> Spec {
        Spec::new("allocation-manager", Purposes::Client, Validity::days(1_800_000_000, 1))
    }

    fn with_dns(names: &[&str]) -> Facts {
        let dns = names.iter().map(ToString::to_string).collect();
        facts(&Spec { dns, ..plain_spec() })
    }

    fn with_uri(name: &str) -> Facts {
        facts(&Spec {
            uri: vec![name.to_owned()],
            ..plain_spec()
        })
    }

    fn pattern(kind: &str, text: &str) -> Pattern {
        Pattern::parse(kind, text).unwrap()
    }

    #[test]
    fn a_dns_pattern_means_one_name_whatever_its_case() {
        let manager = with_dns(&["other.example", "Allocation-Manager.Apps.Example"]);
        for matching in [
            "allocation-manager.apps.example",
            "ALLOCATION-MANAGER.apps.example",
            "other.example.",
        ] {
            assert!(pattern("dns", matching).matches(&manager), "{matching}");
        }
        for other in [
            "apps.example",
            "manager.apps.example",
            "allocation-manager.apps.example.com",
            "x",
        ] {
            assert!(!pattern("dns", other).matches(&manager), "{other}");
        }
    }

    #[test]
    fn a_dns_pattern_never_looks_at_the_common_name() {
        let facts = facts(&plain_spec());
        assert_eq!(facts.common_names, ["allocation-manager"]);
        assert!(!pattern("dns", "allocation-manager").matches(&facts));
        assert!(pattern("cn", "allocation-manager").matches(&facts));
    }

    #[test]
    fn a_dns_wildcard_stands_for_one_whole_label() {
        let wildcard = pattern("dns", "*.apps.example");
        let matches = |name| wildcard.matches(&with_dns(&[name]));
        assert!(matches("a.apps.example"));
        assert!(matches("A.APPS.example"));
        for not in [
            "apps.example",
            "a.b.apps.example",
            ".apps.example",
            "*.apps.example",
            "aapps.example",
            "a.apps.examplex",
        ] {
            assert!(!matches(not), "{not}");
        }
    }

    #[test]
    fn a_wildcard_certificate_is_not_a_host() {
        assert!(!pattern("dns", "a.apps.example").matches(&with_dns(&["*.apps.example"])));
    }

    #[test]
    fn a_uri_pattern_without_wildcard_is_exact() {
        let manager = with_uri("spiffe://trust.example/ns/allocation-manager");
        assert!(pattern("uri", "spiffe://trust.example/ns/allocation-manager").matches(&manager));
        for other in [
            "spiffe://trust.example/ns/allocation-manager/",
            "spiffe://trust.example/ns",
            "spiffe://TRUST.example/ns/allocation-manager",
            "https://trust.example/ns/allocation-manager",
        ] {
            assert!(!pattern("uri", other).matches(&manager), "{other}");
        }
    }

    #[test]
    fn a_uri_wildcard_stands_for_one_segment_and_two_stars_for_any_number_at_the_end() {
        let table = [
            ("spiffe://t/ns/*/sa", "spiffe://t/ns/a/sa", true),
            ("spiffe://t/ns/*/sa", "spiffe://t/ns/a/b/sa", false),
            ("spiffe://t/ns/*/sa", "spiffe://t/ns//sa", false),
            ("spiffe://t/ns/*/sa", "spiffe://t/ns/../sa", false),
            ("spiffe://t/ns/*/sa", "spiffe://t/ns/a%2Fb/sa", false),
            ("spiffe://t/ns/*", "spiffe://t/ns/a", true),
            ("spiffe://t/ns/*", "spiffe://t/ns", false),
            ("spiffe://t/ns/*", "spiffe://t/ns/a/", false),
            ("spiffe://t/ns/*", "spiffe://t/ns/a/b", false),
            ("spiffe://t/ns/*", "spiffe://t/ns/a?b", false),
            ("spiffe://t/ns/**", "spiffe://t/ns", true),
            ("spiffe://t/ns/**", "spiffe://t/ns/a", true),
            ("spiffe://t/ns/**", "spiffe://t/ns/a/b/c", true),
            ("spiffe://t/ns/**", "spiffe://t/ns/a/../../b", false),
            ("spiffe://t/ns/**", "spiffe://t/nsx/a", false),
            ("spiffe://t/**", "spiffe://t", true),
            ("spiffe://t/**", "spiffe://t.evil/a", false),
            ("spiffe://t/*/x/**", "spiffe://t/a/x", true),
            ("spiffe://t/*/x/**", "spiffe://t/a/y/z", false),
        ];
        for (text, name, expected) in table {
            assert_eq!(
                pattern("uri", text).matches(&with_uri(name)),
                expected,
                "{text} on {name}"
            );
        }
    }

    #[test]
    fn a_common_name_counts_only_where_it_is_the_only_one() {
        let mut facts = facts(&plain_spec());
        assert!(!pattern("cn", "Allocation-Manager").matches(&facts));
        facts.common_names.push(String::from("second"));
        assert!(!pattern("cn", "allocation-manager").matches(&facts));
        assert!(!pattern("cn", "second").matches(&facts));
    }

    #[test]
    fn an_organisational_unit_may_be_one_of_several() {
        let mut facts = facts(&Spec {
            organisational_unit: Some(String::from("HMPPS")),
            ..plain_spec()
        });
        facts.organisational_units.push(String::from("NDH"));
        assert!(pattern("ou", "HMPPS").matches(&facts) && pattern("ou", "NDH").matches(&facts));
        assert!(!pattern("ou", "hmpps").matches(&facts));
    }

    #[test]
    fn pins_and_fingerprints_mean_one_key_and_one_certificate() {
        let (one, two) = (facts(&plain_spec()), facts(&plain_spec()));
        let pin = pattern("spki", &one.spki());
        assert!(pin.matches(&one) && !pin.matches(&two));
        let plain = one.fingerprint();
        let pairs: Vec<&str> = (0..64).step_by(2).map(|at| &plain[at..at + 2]).collect();
        for text in [plain.clone(), plain.to_uppercase(), pairs.join(":")] {
            let fingerprint = pattern("fingerprint", &text);
            assert!(fingerprint.matches(&one) && !fingerprint.matches(&two), "{text}");
        }
    }

    #[test]
    fn a_pattern_prints_so_that_it_can_be_read_again() {
        let digest = "ab".repeat(32);
        let pin = format!("sha256:{}", STANDARD.encode([7; 32]));
        let all = [
            ("dns", "*.apps.example"),
            ("uri", "spiffe://t/ns/**"),
            ("cn", "Allocation Manager"),
            ("ou", "HMPPS: staging"),
            ("spki", pin.as_str()),
            ("fingerprint", digest.as_str()),
        ];
        for (kind, text) in all {
            let printed = pattern(kind, text).to_string();
            assert_eq!(printed, format!("{kind}:{text}"));
            let (kind, text) = printed.split_once(':').unwrap();
            assert_eq!(pattern(kind, text), pattern(kind, text));
        }
    }

    #[test]
    fn what_is_not_a_pattern_is_refused_with_its_reason() {
        let refused = |kind, text| Pattern::parse(kind, text).unwrap_err();
        assert_eq!(refused("san", "x"), PatternError::UnknownKind(String::from("san")));
        for kind in ["dns", "uri", "cn", "ou"] {
            assert!(matches!(refused(kind, " "), PatternError::Empty(_)), "{kind}");
            assert!(
                matches!(refused(kind, "a\nb"), PatternError::Unprintable { .. }),
                "{kind}"
            );
        }
        for text in ["*", "*.", "*.example", "a.*.example", "*a.b.example", "**.b.example"] {
            assert!(matches!(refused("dns", text), PatternError::DnsWildcard(_)), "{text}");
        }
        for text in ["a..b", ".a", "a b", "zürich", "a/b", "https://a", "a:443"] {
            assert!(matches!(refused("dns", text), PatternError::NotADnsName(_)), "{text}");
        }
        for text in ["name", "spiffe:/t/x", "spiffe://", "://t/x", "spiffe:///x"] {
            assert!(matches!(refused("uri", text), PatternError::NotAUri(_)), "{text}");
        }
        for text in [
            "*://t/x",
            "spiffe://*/x",
            "spiffe://t/a*",
            "spiffe://t/**/x",
            "spiffe://t/***",
        ] {
            assert!(matches!(refused("uri", text), PatternError::UriWildcard(_)), "{text}");
        }
        let short = format!("sha256:{}", STANDARD.encode([7; 31]));
        let bare = STANDARD.encode([7; 32]);
        for text in ["", "sha256:", "sha256:%%%", short.as_str(), bare.as_str()] {
            assert!(matches!(refused("spki", text), PatternError::NotAPin(_)), "{text}");
        }
        let odd = "ab".repeat(31) + "a";
        let colons = "a:".repeat(31) + "a";
        let sign = "+1".repeat(32);
        let wide = "é".repeat(32);
        for text in [
            "",
            "zz",
            &odd,
            &"ab".repeat(33),
            &colons,
            &sign,
            &wide,
            &"g1".repeat(32),
        ] {
            assert!(
                matches!(refused("fingerprint", text), PatternError::NotAFingerprint(_)),
                "{text}"
            );
        }
    }
}
