//! Bytes → [`Bundle`]: leaf, chain and private key that provably fit together.
//!
//! Parse, don't validate: a `Bundle` that exists has at least one certificate, the leaf first, every certificate
//! readable, and the one private key that belongs to the leaf (the public keys were compared). Certificates come as
//! PEM (RFC 7468) or PKCS#12 (RFC 7292); keys as PKCS#8 (RFC 5958), also encrypted, PKCS#1 (RFC 8017) or SEC1
//! (RFC 5915).

mod error;
pub(super) mod pem;
mod protected;

use rustls::Error as TlsError;
use rustls::InconsistentKeys;
use rustls::crypto::aws_lc_rs::sign::any_supported_type;
use rustls::sign::CertifiedKey;
use rustls_pki_types::{CertificateDer, PrivateKeyDer};

use super::chain;
use super::facts::Facts;
use crate::secret::Secret;

pub use error::{LoadError, Part};
pub use pem::is_pkcs12;

/// An identity: certificate chain, leaf first, with the private key of the leaf.
#[derive(Clone, Debug)]
pub struct Bundle {
    chain: Vec<CertificateDer<'static>>,
    facts: Vec<Facts>,
    key: Key,
}

/// The key, out of reach of `Debug`, wiped on drop.
struct Key(Secret<PrivateKeyDer<'static>>);

/// Where certificate and key come from: the content of the files, as read.
#[derive(Clone, Copy)]
pub enum Source<'a> {
    Pem {
        certificate: &'a [u8],
        /// The same content as `certificate` where one file holds both.
        private_key: &'a [u8],
        /// The file of the password, where the key is encrypted.
        password: Option<&'a [u8]>,
    },
    Pkcs12 {
        file: &'a [u8],
        /// The file of the password.
        password: &'a [u8],
    },
}

/// Reads a certificate chain and the key of its first certificate.
pub fn identity(source: Source<'_>) -> Result<Bundle, LoadError> {
    match source {
        Source::Pem {
            certificate,
            private_key,
            password,
        } => {
            let chain = pem::certificates(certificate, Part::Certificate)?;
            let key = pem::private_key(private_key, password.map(protected::password))?;
            fitting(chain, key)
        }
        Source::Pkcs12 { file, password } => {
            let (found, key) = protected::pkcs12(pkcs12_bytes(file)?, protected::password(password))?;
            fitting(chain_of(found, &key)?, key)
        }
    }
}

/// Reads a certificate chain and the key of its first certificate, both PEM and the key not encrypted.
pub fn bundle(chain_pem: &[u8], key_pem: &[u8]) -> Result<Bundle, LoadError> {
    identity(Source::Pem {
        certificate: chain_pem,
        private_key: key_pem,
        password: None,
    })
}

fn fitting(chain: Vec<CertificateDer<'static>>, key: Secret<PrivateKeyDer<'static>>) -> Result<Bundle, LoadError> {
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

/// The certificates of a PKCS#12 file have no order, and a root may be among them that nobody needs: the one that the
/// key belongs to, then its issuers as far as they are there.
fn chain_of(
    mut found: Vec<CertificateDer<'static>>,
    key: &Secret<PrivateKeyDer<'static>>,
) -> Result<Vec<CertificateDer<'static>>, LoadError> {
    let Some(leaf) = matching(&found, key)? else {
        return Ok(found);
    };
    found.swap(0, leaf);
    let path = chain::path(&found);
    let is_root = |index: usize| Facts::read(&found[index]).is_ok_and(|facts| facts.is_ca && facts.is_self_issued());
    let kept = path.iter().filter(|index| **index == 0 || !is_root(**index));
    Ok(kept.map(|index| found[*index].clone()).collect())
}

/// Another kind of file in the place of a PKCS#12 file is told by what it is.
fn pkcs12_bytes(file: &[u8]) -> Result<&[u8], LoadError> {
    match pem::text(file, Part::Pkcs12) {
        Err(LoadError::Pkcs12(_) | LoadError::Der(_)) => Ok(file),
        Err(LoadError::NotPem(_)) => Err(LoadError::NotPkcs12("it is not DER".to_owned())),
        Err(other) => Err(other),
        Ok(_) => Err(LoadError::NotPkcs12("it is PEM".to_owned())),
    }
}

/// Reads a trust bundle: the certificates of CAs, PEM. A certificate that occurs twice is kept once. None is an error:
/// an empty trust bundle would trust nobody, and the reason would show only in handshakes.
pub fn anchors(pem: &[u8]) -> Result<Vec<CertificateDer<'static>>, LoadError> {
    let found = pem::certificates(pem, Part::Trust)?;
    read_facts(&found, Part::Trust)?;
    let mut anchors: Vec<CertificateDer<'static>> = Vec::with_capacity(found.len());
    for certificate in found {
        if !anchors.contains(&certificate) {
            anchors.push(certificate);
        }
    }
    Ok(anchors)
}

/// The certificates of a file, PEM or one DER, in its order and as they are: whether each can be read is not asked.
pub fn certificates(bytes: &[u8], part: Part) -> Result<Vec<CertificateDer<'static>>, LoadError> {
    match pem::certificates(bytes, part) {
        Err(LoadError::Der(_)) => Ok(vec![CertificateDer::from(bytes.to_vec())]),
        read => read,
    }
}

/// Whether the key of a PEM file is that of the certificate: [`LoadError::KeyMismatch`] where it is another's.
pub fn fits(certificate: &CertificateDer<'_>, key_pem: &[u8], password: Option<&[u8]>) -> Result<(), LoadError> {
    let key = pem::private_key(key_pem, password.map(protected::password))?;
    match matching(&[certificate.clone().into_owned()], &key)? {
        Some(_) => Ok(()),
        None => Err(LoadError::KeyMismatch {
            subject: Facts::read(certificate).map_or_else(|_| "?".to_owned(), |facts| facts.subject),
        }),
    }
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

fn tls_reason(error: TlsError) -> String {
    match error {
        TlsError::General(text) => text,
        other => other.to_string(),
    }
}

#[cfg(test)]
mod tests;
