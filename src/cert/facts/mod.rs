//! What a certificate says: names, dates, purposes, key, fingerprints.
//!
//! [`Facts`] is plain text and numbers taken from one DER certificate (RFC 5280); nothing here judges them, `verify`
//! does. Text comes from whoever made the certificate, so control characters are written out as escapes before they
//! can reach a log or a terminal. The gateway reads the facts of every caller, so reading costs one parse.

use std::fmt::{self, Write as _};
use std::net::{Ipv4Addr, Ipv6Addr};

use aws_lc_rs::digest;
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use x509_parser::certificate::X509Certificate;
use x509_parser::extensions::{GeneralName, ParsedExtension};
use x509_parser::prelude::FromDer as _;
use x509_parser::public_key::PublicKey;
use x509_parser::x509::{AttributeTypeAndValue, SubjectPublicKeyInfo, X509Name};

/// What one certificate says.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Facts {
    /// 3 for every certificate in use today; 1 has no extensions and no place for names or purposes.
    pub version: u32,
    /// The subject as text, for people.
    pub subject: String,
    pub common_names: Vec<String>,
    pub organisational_units: Vec<String>,
    /// Subject alternative names of kind DNS, as written.
    pub dns_names: Vec<String>,
    /// Subject alternative names of kind URI, as written.
    pub uri_names: Vec<String>,
    /// Subject alternative names of kind IP address, in their usual notation.
    pub ip_names: Vec<String>,
    /// The issuer as text, for people.
    pub issuer: String,
    /// Lower-case hexadecimal, without separators.
    pub serial: String,
    /// First second of validity, since the Unix epoch.
    pub not_before: i64,
    /// Last second of validity, since the Unix epoch.
    pub not_after: i64,
    pub is_ca: bool,
    /// `None`: the certificate does not restrict what its key may do.
    pub key_usage: Option<KeyUsage>,
    /// `None`: the certificate does not restrict its purposes.
    pub purposes: Option<Purposes>,
    pub key: Key,
    /// How the issuer signed it, in words.
    pub signature: String,
    /// The issuer signed with SHA-1 or older, which can be forged.
    pub weak_signature: bool,
    /// SHA-256 of the whole certificate.
    pub sha256: [u8; 32],
    /// SHA-256 of the subject public key info (RFC 7469 section 2.4).
    pub spki_sha256: [u8; 32],
    /// Lower-case hexadecimal.
    pub subject_key_id: Option<String>,
    /// Lower-case hexadecimal.
    pub authority_key_id: Option<String>,
}

/// What the key may do (RFC 5280 section 4.2.1.3), as far as TLS and CAs care.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct KeyUsage {
    pub digital_signature: bool,
    pub key_cert_sign: bool,
    pub crl_sign: bool,
}

/// Extended key usage (RFC 5280 section 4.2.1.12).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Purposes {
    pub client_auth: bool,
    pub server_auth: bool,
    pub any: bool,
}

/// The public key: family and size.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Key {
    pub algorithm: KeyAlgorithm,
    /// 0 where the size is not known.
    pub bits: usize,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum KeyAlgorithm {
    Rsa,
    Ecdsa,
    Ed25519,
    Other,
}

/// The bytes are not a certificate.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum FactsError {
    #[error("not an X.509 certificate ({0})")]
    NotACertificate(String),
    #[error("{0} bytes follow the end of the certificate")]
    TrailingBytes(usize),
    #[error("the extension \"{0}\" is malformed or occurs twice")]
    Extension(&'static str),
}

impl Facts {
    /// Reads a DER certificate.
    pub fn read(der: &[u8]) -> Result<Self, FactsError> {
        let (rest, certificate) =
            X509Certificate::from_der(der).map_err(|error| FactsError::NotACertificate(reason(&error)))?;
        if !rest.is_empty() {
            return Err(FactsError::TrailingBytes(rest.len()));
        }
        let names = alternative_names(&certificate)?;
        let key_usage = certificate
            .key_usage()
            .map_err(|_| FactsError::Extension("key usage"))?
            .map(|extension| KeyUsage {
                digital_signature: extension.value.digital_signature(),
                key_cert_sign: extension.value.key_cert_sign(),
                crl_sign: extension.value.crl_sign(),
            });
        let purposes = certificate
            .extended_key_usage()
            .map_err(|_| FactsError::Extension("extended key usage"))?
            .map(|extension| Purposes {
                client_auth: extension.value.client_auth,
                server_auth: extension.value.server_auth,
                any: extension.value.any,
            });
        let is_ca = certificate
            .basic_constraints()
            .map_err(|_| FactsError::Extension("basic constraints"))?
            .is_some_and(|extension| extension.value.ca);
        let (subject_key_id, authority_key_id) = key_ids(&certificate);
        let (signature, weak_signature) = signature(&certificate);
        let subject = certificate.subject();
        Ok(Self {
            version: certificate.version().0.saturating_add(1),
            subject: printable(&subject.to_string()),
            common_names: texts(subject.iter_common_name()),
            organisational_units: texts(subject.iter_organizational_unit()),
            dns_names: names.dns,
            uri_names: names.uri,
            ip_names: names.ip,
            issuer: printable(&certificate.issuer().to_string()),
            serial: hex(certificate.raw_serial()),
            not_before: certificate.validity().not_before.timestamp(),
            not_after: certificate.validity().not_after.timestamp(),
            is_ca,
            key_usage,
            purposes,
            key: Key::read(certificate.public_key()),
            signature,
            weak_signature,
            sha256: sha256(der),
            spki_sha256: sha256(certificate.public_key().raw),
            subject_key_id,
            authority_key_id,
        })
    }

    /// SHA-256 of the certificate in lower-case hexadecimal.
    #[must_use]
    pub fn fingerprint(&self) -> String {
        hex(&self.sha256)
    }

    /// The public key pin as people write it: `sha256:` and base64.
    #[must_use]
    pub fn spki(&self) -> String {
        spki_text(&self.spki_sha256)
    }

    /// Subject and issuer are the same name.
    #[must_use]
    pub fn is_self_issued(&self) -> bool {
        self.subject == self.issuer
    }

    /// Every alternative name with its kind, in one line for people.
    #[must_use]
    pub fn names(&self) -> String {
        let dns = self.dns_names.iter().map(|name| format!("dns:{name}"));
        let uri = self.uri_names.iter().map(|name| format!("uri:{name}"));
        let ip = self.ip_names.iter().map(|name| format!("ip:{name}"));
        let all: Vec<String> = dns.chain(uri).chain(ip).collect();
        if all.is_empty() {
            String::from("none")
        } else {
            all.join(", ")
        }
    }
}

impl Key {
    pub(super) fn read(info: &SubjectPublicKeyInfo<'_>) -> Self {
        let oid = info.algorithm.algorithm.to_id_string();
        if oid == "1.3.101.112" {
            return Self {
                algorithm: KeyAlgorithm::Ed25519,
                bits: 256,
            };
        }
        match info.parsed() {
            Ok(PublicKey::RSA(rsa)) => {
                let significant = rsa.modulus.iter().position(|byte| *byte != 0).unwrap_or(0);
                let modulus = rsa.modulus.get(significant..).unwrap_or_default();
                let unused = modulus.first().map_or(0, |byte| byte.leading_zeros() as usize);
                Self {
                    algorithm: KeyAlgorithm::Rsa,
                    bits: (modulus.len() * 8).saturating_sub(unused),
                }
            }
            // A P-521 coordinate has 66 bytes, which is 528 bits.
            Ok(PublicKey::EC(point)) => Self {
                algorithm: KeyAlgorithm::Ecdsa,
                bits: if point.key_size() == 528 { 521 } else { point.key_size() },
            },
            _ => Self {
                algorithm: KeyAlgorithm::Other,
                bits: 0,
            },
        }
    }
}

impl fmt::Display for Key {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.algorithm {
            KeyAlgorithm::Rsa => write!(f, "RSA {}", self.bits),
            KeyAlgorithm::Ecdsa => write!(f, "ECDSA P-{}", self.bits),
            KeyAlgorithm::Ed25519 => f.write_str("Ed25519"),
            KeyAlgorithm::Other => f.write_str("unknown algorithm"),
        }
    }
}

/// Seconds since the epoch as people and RFC 3339 write them.
#[must_use]
pub fn date(seconds: i64) -> String {
    // Not as a timestamp: that ends a day before the last moment of 9999, which is what a certificate without an end says.
    let epoch = jiff::civil::date(1970, 1, 1).at(0, 0, 0, 0);
    epoch
        .checked_add(jiff::SignedDuration::from_secs(seconds))
        .map_or_else(|_| format!("second {seconds} since 1970"), |at| format!("{at}Z"))
}

/// A number of seconds in the largest unit that says enough.
#[must_use]
pub fn span(seconds: i64) -> String {
    let (number, unit) = match seconds {
        ..120 => (seconds, "seconds"),
        120..7_200 => (seconds / 60, "minutes"),
        7_200..172_800 => (seconds / 3_600, "hours"),
        _ => (seconds / 86_400, "days"),
    };
    format!("{number} {unit}")
}

/// A distinguished name (DER) as text, for people.
#[must_use]
pub fn name(der: &[u8]) -> String {
    X509Name::from_der(der).map_or_else(
        |_| format!("a name that cannot be read ({} bytes)", der.len()),
        |(_, name)| printable(&name.to_string()),
    )
}

/// The pin of a public key as people write it.
pub(super) fn spki_text(digest: &[u8; 32]) -> String {
    format!("sha256:{}", STANDARD.encode(digest))
}

/// The same of a subject public key info (DER).
#[must_use]
pub fn pin(spki: &[u8]) -> String {
    spki_text(&sha256(spki))
}

/// Lower-case hexadecimal without separators.
#[must_use]
pub fn hex(bytes: &[u8]) -> String {
    bytes
        .iter()
        .fold(String::with_capacity(bytes.len() * 2), |mut text, byte| {
            let _ = write!(text, "{byte:02x}"); // writing to a String cannot fail
            text
        })
}

fn sha256(bytes: &[u8]) -> [u8; 32] {
    let mut out = [0; 32];
    out.copy_from_slice(digest::digest(&digest::SHA256, bytes).as_ref());
    out
}

#[derive(Default)]
struct AlternativeNames {
    dns: Vec<String>,
    uri: Vec<String>,
    ip: Vec<String>,
}

fn alternative_names(certificate: &X509Certificate<'_>) -> Result<AlternativeNames, FactsError> {
    let mut names = AlternativeNames::default();
    let extension = certificate
        .subject_alternative_name()
        .map_err(|_| FactsError::Extension("subject alternative name"))?;
    for name in extension.iter().flat_map(|extension| &extension.value.general_names) {
        match name {
            GeneralName::DNSName(name) => names.dns.push(printable(name)),
            GeneralName::URI(name) => names.uri.push(printable(name)),
            GeneralName::IPAddress(bytes) => names.ip.push(address(bytes)),
            _ => {}
        }
    }
    Ok(names)
}

pub(super) fn address(bytes: &[u8]) -> String {
    if let Ok(four) = <[u8; 4]>::try_from(bytes) {
        Ipv4Addr::from(four).to_string()
    } else if let Ok(sixteen) = <[u8; 16]>::try_from(bytes) {
        Ipv6Addr::from(sixteen).to_string()
    } else {
        format!("malformed ({} bytes)", bytes.len())
    }
}

fn key_ids(certificate: &X509Certificate<'_>) -> (Option<String>, Option<String>) {
    let (mut subject, mut authority) = (None, None);
    for extension in certificate.extensions() {
        match extension.parsed_extension() {
            ParsedExtension::SubjectKeyIdentifier(id) => subject = Some(hex(id.0)),
            ParsedExtension::AuthorityKeyIdentifier(id) => {
                authority = id.key_identifier.as_ref().map(|id| hex(id.0));
            }
            _ => {}
        }
    }
    (subject, authority)
}

/// Names of the signature algorithms that are met in practice (RFC 3279, 4055, 5758, 8410), and whether the digest in
/// them can be forged.
fn signature(certificate: &X509Certificate<'_>) -> (String, bool) {
    let oid = certificate.signature_algorithm.algorithm.to_id_string();
    let (name, weak) = match oid.as_str() {
        "1.2.840.113549.1.1.4" => ("RSA with MD5", true),
        "1.2.840.113549.1.1.5" => ("RSA with SHA-1", true),
        "1.2.840.113549.1.1.10" => ("RSA-PSS", false),
        "1.2.840.113549.1.1.11" => ("RSA with SHA-256", false),
        "1.2.840.113549.1.1.12" => ("RSA with SHA-384", false),
        "1.2.840.113549.1.1.13" => ("RSA with SHA-512", false),
        "1.2.840.10045.4.1" => ("ECDSA with SHA-1", true),
        "1.2.840.10045.4.3.2" => ("ECDSA with SHA-256", false),
        "1.2.840.10045.4.3.3" => ("ECDSA with SHA-384", false),
        "1.2.840.10045.4.3.4" => ("ECDSA with SHA-512", false),
        "1.3.101.112" => ("Ed25519", false),
        other => return (format!("algorithm {other}"), false),
    };
    (name.to_owned(), weak)
}

/// Texts of the given attributes; those in an encoding that is not text are left out, since no pattern can mean them.
fn texts<'a>(attributes: impl Iterator<Item = &'a AttributeTypeAndValue<'a>>) -> Vec<String> {
    attributes
        .filter_map(|attribute| attribute.as_str().ok().map(printable))
        .collect()
}

/// Text from elsewhere as it may be shown: what steers a terminal, or turns the direction of the line, is written out.
#[must_use]
pub fn printable(text: &str) -> String {
    text.chars().fold(String::with_capacity(text.len()), |mut out, c| {
        if c.is_control() || matches!(c, '\u{200e}' | '\u{200f}' | '\u{2028}'..='\u{202e}' | '\u{2066}'..='\u{2069}') {
            out.extend(c.escape_default());
        } else {
            out.push(c);
        }
        out
    })
}

/// The parser's reason without the bytes that it could not read.
fn reason(error: &x509_parser::nom::Err<x509_parser::error::X509Error>) -> String {
    match error {
        x509_parser::nom::Err::Incomplete(_) => String::from("it is cut off"),
        x509_parser::nom::Err::Error(error) | x509_parser::nom::Err::Failure(error) => error.to_string(),
    }
}

#[cfg(test)]
mod tests;
