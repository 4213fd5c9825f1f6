//! PEM bytes → [`Bundle`]: leaf, chain and private key that provably fit together.
//!
//! Parse, don't validate: a `Bundle` that exists has at least one certificate, the leaf first, every certificate
//! readable, and the one private key that belongs to the leaf (the public keys were compared). PEM is RFC 7468; keys
//! may be PKCS#8 (RFC 5958), PKCS#1 (RFC 8017) or SEC1 (RFC 5915), unencrypted.
//!
//! The PEM reader skips what it does not know: an encrypted key looks to it like an empty file. So the labels are
//! looked at here first, and each usual mix-up gets its own error with what to do.

use rustls::Error as TlsError;
use rustls::InconsistentKeys;
use rustls::crypto::aws_lc_rs::sign::any_supported_type;
use rustls::sign::CertifiedKey;
use rustls_pki_types::pem::{Error as PemError, PemObject as _, SectionKind};
use rustls_pki_types::{CertificateDer, PrivateKeyDer};

use super::facts::{Facts, FactsError};
use crate::secret::Secret;

/// An identity: certificate chain, leaf first, with the private key of the leaf.
#[derive(Clone, Debug)]
pub struct Bundle {
    chain: Vec<CertificateDer<'static>>,
    facts: Vec<Facts>,
    key: Key,
}

/// The key, out of reach of `Debug`, wiped on drop.
struct Key(Secret<PrivateKeyDer<'static>>);

/// Why bytes did not become a [`Bundle`] or a list of trust anchors. Reads as the end of "file F: ".
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum LoadError {
    #[error("the {0} file is empty")]
    Empty(Part),
    #[error("the {0} file is not PEM: no \"-----BEGIN\" line was found")]
    NotPem(Part),
    #[error(
        "the {0} file is DER, not PEM; convert it with \"openssl {tool} -inform DER -in FILE\"",
        tool = .0.openssl()
    )]
    Der(Part),
    #[error(
        "the {0} file is PKCS#12, not PEM; take chain and key out with \"openssl pkcs12 -in FILE -nodes\" into files of mode 0600"
    )]
    Pkcs12(Part),
    #[error("the {part} file is damaged PEM: {reason}")]
    DamagedPem { part: Part, reason: String },
    #[error("the {part} file holds no {part}, but: {found}; expected {expected}", expected = .part.expected())]
    Missing { part: Part, found: String },
    #[error("a private key was found where the {0} belongs and no certificate; are the two files swapped?")]
    KeyInstead(Part),
    #[error("a certificate was found where the private key belongs and no key; are the two files swapped?")]
    CertificateInstead,
    #[error(
        "a public key was found where the private key belongs; the private key is the file that the CSR was made with"
    )]
    PublicKeyInstead,
    #[error(
        "the private key is encrypted ({0}), and no password is known; decrypt it with \"openssl pkey -in FILE\" into a file of mode 0600"
    )]
    EncryptedKey(&'static str),
    #[error("the private key file holds {0} private keys, and which one is meant cannot be known; keep one")]
    ManyKeys(usize),
    #[error("certificate {position} of {total} in the {part} file cannot be read: {reason}")]
    UnreadableCertificate {
        part: Part,
        position: usize,
        total: usize,
        reason: FactsError,
    },
    #[error(
        "the private key cannot be used: {0}; expected RSA of at least 2048 bits, ECDSA P-256, P-384 or P-521, or Ed25519"
    )]
    UnusableKey(String),
    #[error(
        "the private key belongs to certificate {position} of {total}; put that certificate first, then its issuers in order"
    )]
    LeafNotFirst { position: usize, total: usize },
    #[error(
        "the private key does not belong to the certificate \"{subject}\"; certificate and key are of different generations, or one was written before the other"
    )]
    KeyMismatch { subject: String },
}

/// Which of the files is meant.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Part {
    Certificate,
    PrivateKey,
    Trust,
}

/// Reads a certificate chain and the key of its first certificate, both PEM.
pub fn bundle(chain_pem: &[u8], key_pem: &[u8]) -> Result<Bundle, LoadError> {
    let chain = certificates(chain_pem, Part::Certificate)?;
    let key = private_key(key_pem)?;
    let facts = read_facts(&chain, Part::Certificate)?;
    match matching(&chain, &key)? {
        Some(0) => Ok(Bundle {
            chain,
            facts,
            key: Key(key),
        }),
        Some(index) => Err(LoadError::LeafNotFirst {
            position: index + 1,
            total: chain.len(),
        }),
        None => Err(LoadError::KeyMismatch {
            subject: facts.first().map(|leaf| leaf.subject.clone()).unwrap_or_default(),
        }),
    }
}

/// Reads a trust bundle: the certificates of CAs, PEM. A certificate that occurs twice is kept once. None is an error:
/// an empty trust bundle would trust nobody, and the reason would show only in handshakes.
pub fn anchors(pem: &[u8]) -> Result<Vec<CertificateDer<'static>>, LoadError> {
    let found = certificates(pem, Part::Trust)?;
    read_facts(&found, Part::Trust)?;
    let mut anchors: Vec<CertificateDer<'static>> = Vec::with_capacity(found.len());
    for certificate in found {
        if !anchors.contains(&certificate) {
            anchors.push(certificate);
        }
    }
    Ok(anchors)
}

impl Bundle {
    /// The chain, leaf first.
    #[must_use]
    pub fn chain(&self) -> &[CertificateDer<'static>] {
        &self.chain
    }

    /// The private key of the leaf.
    #[must_use]
    pub const fn key(&self) -> &PrivateKeyDer<'static> {
        self.key.0.expose()
    }

    /// What the leaf says.
    #[must_use]
    pub fn leaf_facts(&self) -> &Facts {
        &self.facts[0] // at least one: see `bundle`
    }

    /// What every certificate of the chain says, leaf first.
    #[must_use]
    pub fn chain_facts(&self) -> &[Facts] {
        &self.facts
    }
}

impl Clone for Key {
    fn clone(&self) -> Self {
        Self(Secret::new(self.0.expose().clone_key()))
    }
}

impl std::fmt::Debug for Key {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        self.0.fmt(f)
    }
}

impl Part {
    const fn expected(self) -> &'static str {
        match self {
            Self::PrivateKey => "one \"PRIVATE KEY\", \"RSA PRIVATE KEY\" or \"EC PRIVATE KEY\"",
            Self::Certificate | Self::Trust => "\"CERTIFICATE\"",
        }
    }

    const fn openssl(self) -> &'static str {
        match self {
            Self::PrivateKey => "pkey",
            Self::Certificate | Self::Trust => "x509",
        }
    }
}

impl std::fmt::Display for Part {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(match self {
            Self::Certificate => "certificate",
            Self::PrivateKey => "private key",
            Self::Trust => "trust bundle",
        })
    }
}

/// Every certificate of a PEM file; at least one.
fn certificates(pem: &[u8], part: Part) -> Result<Vec<CertificateDer<'static>>, LoadError> {
    let pem = text(pem, part)?;
    let certificates: Vec<_> = CertificateDer::pem_slice_iter(pem)
        .collect::<Result<_, _>>()
        .map_err(|error| damaged(part, &error))?;
    if certificates.is_empty() {
        let labels = labels(pem);
        return Err(if labels.iter().any(|label| label.ends_with("PRIVATE KEY")) {
            LoadError::KeyInstead(part)
        } else {
            LoadError::Missing {
                part,
                found: listed(&labels),
            }
        });
    }
    Ok(certificates)
}

/// The one private key of a PEM file. Certificates beside it are tolerated: some tools write both into one file.
fn private_key(pem: &[u8]) -> Result<Secret<PrivateKeyDer<'static>>, LoadError> {
    let part = Part::PrivateKey;
    let pem = text(pem, part)?;
    let labels = labels(pem);
    if labels.iter().any(|label| label == "ENCRYPTED PRIVATE KEY") {
        return Err(LoadError::EncryptedKey("PKCS#8 \"ENCRYPTED PRIVATE KEY\""));
    }
    // RFC 1421 headers: the base64 that follows them is encrypted, although the label looks plain.
    if lines(pem).any(|line| line.starts_with(b"DEK-Info:") || line.starts_with(b"Proc-Type:")) {
        return Err(LoadError::EncryptedKey("legacy \"DEK-Info\" header"));
    }
    let mut keys = PrivateKeyDer::pem_slice_iter(pem)
        .map(|key| key.map(Secret::new))
        .collect::<Result<Vec<_>, _>>()
        .map_err(|error| damaged(part, &error))?;
    match (keys.len(), keys.pop()) {
        (1, Some(key)) => Ok(key),
        (0, _) | (_, None) => Err(if labels.iter().any(|label| label.ends_with("PUBLIC KEY")) {
            LoadError::PublicKeyInstead
        } else if labels.iter().any(|label| label == "CERTIFICATE") {
            LoadError::CertificateInstead
        } else {
            LoadError::Missing {
                part,
                found: listed(&labels),
            }
        }),
        (many, _) => Err(LoadError::ManyKeys(many)),
    }
}

/// The index of the certificate whose public key is that of the private key.
fn matching(
    chain: &[CertificateDer<'static>],
    key: &Secret<PrivateKeyDer<'static>>,
) -> Result<Option<usize>, LoadError> {
    let signer = any_supported_type(key.expose()).map_err(|error| LoadError::UnusableKey(tls_reason(error)))?;
    for (index, certificate) in chain.iter().enumerate() {
        match CertifiedKey::new(vec![certificate.clone()], signer.clone()).keys_match() {
            Ok(()) => return Ok(Some(index)),
            Err(TlsError::InconsistentKeys(InconsistentKeys::KeyMismatch)) => {}
            Err(error) => return Err(LoadError::UnusableKey(tls_reason(error))),
        }
    }
    Ok(None)
}

fn read_facts(certificates: &[CertificateDer<'static>], part: Part) -> Result<Vec<Facts>, LoadError> {
    let total = certificates.len();
    let read = |(index, certificate): (usize, &CertificateDer<'static>)| {
        Facts::read(certificate).map_err(|reason| LoadError::UnreadableCertificate {
            part,
            position: index + 1,
            total,
            reason,
        })
    };
    certificates.iter().enumerate().map(read).collect()
}

/// The bytes as PEM, without a byte order mark; the cases that are no PEM at all.
fn text(pem: &[u8], part: Part) -> Result<&[u8], LoadError> {
    let pem = pem.strip_prefix(b"\xef\xbb\xbf").unwrap_or(pem);
    if pem.iter().all(u8::is_ascii_whitespace) {
        Err(LoadError::Empty(part))
    } else if lines(pem).any(|line| line.starts_with(b"-----BEGIN ")) {
        Ok(pem)
    } else {
        Err(match pem {
            // A sequence that begins with the number 3 (RFC 7292 section 4), then any other sequence.
            [0x30, 0x80, 2, 1, 3, ..] | [0x30, 0x81, _, 2, 1, 3, ..] | [0x30, 0x82, _, _, 2, 1, 3, ..] => {
                LoadError::Pkcs12(part)
            }
            [0x30, 0x80..=0x82, ..] => LoadError::Der(part),
            // An Ed25519 key is short enough for a length of one byte.
            [0x30, length, ..] if usize::from(*length) + 2 == pem.len() => LoadError::Der(part),
            _ => LoadError::NotPem(part),
        })
    }
}

fn lines(pem: &[u8]) -> impl Iterator<Item = &[u8]> {
    pem.split(|byte| *byte == b'\n' || *byte == b'\r')
}

/// What each section of the file says it is.
fn labels(pem: &[u8]) -> Vec<String> {
    lines(pem)
        .filter_map(|line| line.strip_prefix(b"-----BEGIN "))
        .map(|rest| {
            let label = String::from_utf8_lossy(rest);
            label.trim_end().trim_end_matches('-').chars().take(40).collect()
        })
        .collect()
}

fn listed(labels: &[String]) -> String {
    let quoted: Vec<String> = labels.iter().take(5).map(|label| format!("{label:?}")).collect();
    quoted.join(", ")
}

/// The PEM reader's reason, without a byte of the file.
fn damaged(part: Part, error: &PemError) -> LoadError {
    let reason = match error {
        PemError::MissingSectionEnd { end_marker } => {
            let label = SectionKind::try_from(end_marker.as_slice()).map_or("a", |_| "the last");
            format!("{label} section has no \"-----END\" line; the file is cut off")
        }
        PemError::IllegalSectionStart { .. } => String::from("a \"-----BEGIN\" line does not end in five dashes"),
        PemError::Base64Decode(_) => String::from("a section is not base64"),
        PemError::SectionTooLarge => String::from("a section is larger than any certificate or key"),
        _ => String::from("it cannot be read"),
    };
    LoadError::DamagedPem { part, reason }
}

fn tls_reason(error: TlsError) -> String {
    match error {
        TlsError::General(text) => text,
        other => other.to_string(),
    }
}

#[cfg(test)]
mod tests;
