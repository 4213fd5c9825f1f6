//! PEM (RFC 7468), looked at before it is parsed.
//!
//! The PEM reader skips what it does not know: an encrypted key looks to it like an empty file. So the labels are
//! looked at here first, and each usual mix-up gets its own error with what to do.

use rustls_pki_types::pem::{Error as PemError, PemObject as _, SectionKind};
use rustls_pki_types::{CertificateDer, PrivateKeyDer};

use super::error::{LoadError, Part};
use super::protected;
use crate::secret::Secret;

/// Every certificate of a PEM file; at least one.
pub(super) fn certificates(pem: &[u8], part: Part) -> Result<Vec<CertificateDer<'static>>, LoadError> {
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
pub(super) fn private_key(pem: &[u8], password: Option<&[u8]>) -> Result<Secret<PrivateKeyDer<'static>>, LoadError> {
    let part = Part::PrivateKey;
    let pem = text(pem, part)?;
    let labels = labels(pem);
    // RFC 1421 headers: the base64 that follows them is encrypted, although the label looks plain.
    if lines(pem).any(|line| line.starts_with(b"DEK-Info:") || line.starts_with(b"Proc-Type:")) {
        return Err(LoadError::LegacyEncryption);
    }
    let encrypted = labels.iter().filter(|label| *label == "ENCRYPTED PRIVATE KEY").count();
    let mut keys = PrivateKeyDer::pem_slice_iter(pem)
        .map(|key| key.map(Secret::new))
        .collect::<Result<Vec<_>, _>>()
        .map_err(|error| damaged(part, &error))?;
    match (keys.len() + encrypted, keys.pop(), password) {
        (1, Some(key), _) => Ok(key),
        (1, None, Some(password)) => protected::private_key(pem, password),
        (1, None, None) => Err(LoadError::EncryptedKey),
        (0, ..) => Err(if labels.iter().any(|label| label.ends_with("PUBLIC KEY")) {
            LoadError::PublicKeyInstead
        } else if labels.iter().any(|label| label == "CERTIFICATE") {
            LoadError::CertificateInstead
        } else {
            LoadError::Missing {
                part,
                found: listed(&labels),
            }
        }),
        (many, ..) => Err(LoadError::ManyKeys(many)),
    }
}

/// The bytes as PEM, without a byte order mark; the cases that are no PEM at all.
pub(in crate::cert) fn text(pem: &[u8], part: Part) -> Result<&[u8], LoadError> {
    let pem = pem.strip_prefix(b"\xef\xbb\xbf").unwrap_or(pem);
    let java = [(b"\xfe\xed\xfe\xed", "JKS"), (b"\xce\xce\xce\xce", "JCEKS")];
    if let Some((_, kind)) = java.into_iter().find(|(magic, _)| pem.starts_with(*magic)) {
        return Err(LoadError::JavaKeystore { part, kind });
    }
    if pem.iter().all(u8::is_ascii_whitespace) {
        Err(LoadError::Empty(part))
    } else if lines(pem).any(|line| line.starts_with(b"-----BEGIN ")) {
        Ok(pem)
    } else {
        Err(match pem {
            store if is_pkcs12(store) => LoadError::Pkcs12(part),
            // Lists of revoked certificates grow beyond what a length of two bytes can say.
            [0x30, 0x80..=0x84, ..] => LoadError::Der(part),
            // An Ed25519 key is short enough for a length of one byte.
            [0x30, length, ..] if usize::from(*length) + 2 == pem.len() => LoadError::Der(part),
            _ => LoadError::NotPem(part),
        })
    }
}

/// Whether it is a store: a sequence that begins with the number 3 (RFC 7292 section 4), not with another sequence.
#[must_use]
pub fn is_pkcs12(bytes: &[u8]) -> bool {
    matches!(
        bytes,
        [0x30, 0x80, 2, 1, 3, ..]
            | [0x30, 0x81, _, 2, 1, 3, ..]
            | [0x30, 0x82, _, _, 2, 1, 3, ..]
            | [0x30, 0x83, _, _, _, 2, 1, 3, ..]
    )
}

fn lines(pem: &[u8]) -> impl Iterator<Item = &[u8]> {
    pem.split(|byte| *byte == b'\n' || *byte == b'\r')
}

/// What each section of the file says it is.
pub(in crate::cert) fn labels(pem: &[u8]) -> Vec<String> {
    lines(pem)
        .filter_map(|line| line.strip_prefix(b"-----BEGIN "))
        .map(|rest| {
            let label = String::from_utf8_lossy(rest);
            label.trim_end().trim_end_matches('-').chars().take(40).collect()
        })
        .collect()
}

pub(in crate::cert) fn listed(labels: &[String]) -> String {
    let quoted: Vec<String> = labels.iter().take(5).map(|label| format!("{label:?}")).collect();
    quoted.join(", ")
}

/// The PEM reader's reason, without a byte of the file.
pub(in crate::cert) fn damaged(part: Part, error: &PemError) -> LoadError {
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
