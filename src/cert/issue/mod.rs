//! A small CA: root, intermediate, leaf, CSR, CRL, with any validity window.
//!
//! For development, `demo`, rehearsals and every test; never for production. Nothing is left to a default: dates,
//! serial, basic constraints and key usages are set on everything that is issued (the library's own default ends in
//! the year 4096). Leafs of any window can be made, also expired and not yet valid ones, because refusing those is
//! what is rehearsed.

mod authority;
mod request;
mod revocation;
mod spec;

use std::time::Duration;

use aws_lc_rs::signature::Ed25519KeyPair;
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use rcgen::{
    BasicConstraints, CertificateParams, DistinguishedName, DnType, ExtendedKeyUsagePurpose, IsCa, KeyPair,
    KeyUsagePurpose, SerialNumber, date_time_ymd,
};
use rustls_pki_types::{CertificateDer, PrivateKeyDer};

use super::facts::hex;
use super::load::LoadError;
use crate::secret::Secret;

pub use authority::Authority;
pub use request::{Request, Requested, Wish};
pub use revocation::{Reason, Revoked};
pub use spec::{KeyKind, Purposes, Spec, Validity};

/// The last second of the year 9999, the end of what a certificate can say (RFC 5280 section 4.1.2.5).
const LATEST: i64 = 253_402_300_799;

/// A certificate that was signed for a key that stays with its owner.
#[derive(Clone, Debug)]
pub struct Signed {
    /// The leaf, then the intermediates, without the root.
    pub chain_pem: String,
    pub leaf: CertificateDer<'static>,
    /// Lower-case hexadecimal, as [`Authority::crl`] takes it.
    pub serial: String,
}

/// A certificate with its new key.
#[derive(Clone, Debug)]
pub struct Issued {
    /// The leaf, then the intermediates, without the root.
    pub chain_pem: String,
    /// PKCS#8.
    pub key_pem: Secret<String>,
    pub leaf: CertificateDer<'static>,
    /// Lower-case hexadecimal, as [`Authority::crl`] takes it.
    pub serial: String,
}

/// Why nothing was issued.
#[derive(Debug, thiserror::Error)]
pub enum IssueError {
    #[error(
        "the validity from {} to {} is empty or outside the years 1970 to 9999",
        super::facts::date(*.0),
        super::facts::date(*.1)
    )]
    Validity(i64, i64),
    #[error("\"{0}\" cannot stand in a certificate as a name: only ASCII characters can")]
    Name(String),
    #[error("\"{0}\" is not a serial number: expected hexadecimal digits")]
    Serial(String),
    #[error("the certificate request cannot be read: {0}")]
    Request(String),
    #[error("the certificate request is not signed by the key in it: it was changed or damaged after it was made")]
    RequestSignature,
    #[error(
        "the signature of the certificate request (its key is {0}) is of an algorithm that is not checked here; expected one with SHA-256, SHA-384 or SHA-512 by RSA or ECDSA, or Ed25519"
    )]
    RequestAlgorithm(String),
    #[error("the certificate request asks for a CA certificate; only certificates for clients and servers are signed")]
    RequestForCa,
    #[error(
        "the key of the certificate request is {0}; expected RSA of at least 2048 bits, ECDSA P-256, P-384 or P-521, or Ed25519"
    )]
    RequestKey(String),
    #[error("the certificate request cannot be signed as it is: {0}")]
    RequestName(String),
    #[error("the private key cannot be used: {0}")]
    Key(String),
    #[error("the CA cannot be read: {0}")]
    Load(#[from] LoadError),
    #[error("\"{0}\" is not a CA certificate: basic constraints or key usage do not let it sign")]
    NotACa(String),
    #[error("no random bytes are to be had from the system")]
    Random,
    #[error("signing failed: {0}")]
    Sign(#[from] rcgen::Error),
}

/// A certificate that vouches for itself: what a stranger would show.
pub fn self_signed(spec: &Spec) -> Result<Issued, IssueError> {
    let params = spec.params()?;
    let key = spec.key.generate()?;
    let certificate = params.self_signed(&key)?;
    let serial = params.serial_number.as_ref().map(SerialNumber::to_bytes);
    Ok(Issued {
        chain_pem: pem("CERTIFICATE", certificate.der()),
        key_pem: Secret::new(new_key_pem(&key)?),
        leaf: certificate.der().clone(),
        serial: hex(&serial.unwrap_or_default()),
    })
}

fn ca_params(name: &str, validity: Validity, constraints: BasicConstraints) -> Result<CertificateParams, IssueError> {
    let mut params = dated(validity)?;
    params.distinguished_name = distinguished_name(name, None, None);
    params.is_ca = IsCa::Ca(constraints);
    params.key_usages = vec![KeyUsagePurpose::KeyCertSign, KeyUsagePurpose::CrlSign];
    params.use_authority_key_identifier_extension = true;
    Ok(params)
}

fn leaf_params(purposes: Purposes, validity: Validity) -> Result<CertificateParams, IssueError> {
    let mut params = dated(validity)?;
    params.is_ca = IsCa::ExplicitNoCa;
    params.key_usages = vec![KeyUsagePurpose::DigitalSignature];
    params.extended_key_usages = extended_key_usages(purposes);
    Ok(params)
}

fn extended_key_usages(purposes: Purposes) -> Vec<ExtendedKeyUsagePurpose> {
    match purposes {
        Purposes::Client => vec![ExtendedKeyUsagePurpose::ClientAuth],
        Purposes::Server => vec![ExtendedKeyUsagePurpose::ServerAuth],
        Purposes::Both => vec![ExtendedKeyUsagePurpose::ServerAuth, ExtendedKeyUsagePurpose::ClientAuth],
        Purposes::Unstated => Vec::new(),
        Purposes::Other => vec![ExtendedKeyUsagePurpose::CodeSigning],
    }
}

/// The part that is the same for all: dates and an unguessable serial of 16 bytes (RFC 5280 section 4.1.2.2).
fn dated(validity: Validity) -> Result<CertificateParams, IssueError> {
    let mut params = CertificateParams::default();
    let Validity { not_before, not_after } = check(validity)?;
    params.not_before = date_time_ymd(1970, 1, 1) + Duration::from_secs(not_before.unsigned_abs());
    params.not_after = date_time_ymd(1970, 1, 1) + Duration::from_secs(not_after.unsigned_abs());
    let mut serial = [0; 16];
    aws_lc_rs::rand::fill(&mut serial).map_err(|_| IssueError::Random)?;
    serial[0] = (serial[0] & 0x7f) | 0x40; // positive, and always of the same length
    params.serial_number = Some(SerialNumber::from_slice(&serial));
    Ok(params)
}

/// Organisation and unit first, the common name last; empty parts are left out.
fn distinguished_name(
    common_name: &str,
    organisational_unit: Option<&str>,
    organisation: Option<&str>,
) -> DistinguishedName {
    let mut name = DistinguishedName::new();
    if let Some(organisation) = organisation {
        name.push(DnType::OrganizationName, organisation);
    }
    if let Some(unit) = organisational_unit {
        name.push(DnType::OrganizationalUnitName, unit);
    }
    if !common_name.is_empty() {
        name.push(DnType::CommonName, common_name);
    }
    name
}

/// Refuses dates that a certificate cannot say.
fn check(validity: Validity) -> Result<Validity, IssueError> {
    let Validity { not_before, not_after } = validity;
    if not_before < 0 || not_before > not_after || not_after > LATEST {
        return Err(IssueError::Validity(not_before, not_after));
    }
    Ok(validity)
}

/// PKCS#8, version 1 also for Ed25519: version 2, which the library writes, is not read by OpenSSL 3.0.
fn new_key_pem(key: &KeyPair) -> Result<String, IssueError> {
    if key.algorithm() != &rcgen::PKCS_ED25519 {
        return Ok(key.serialize_pem());
    }
    let version_1 = Ed25519KeyPair::from_pkcs8(key.serialized_der())
        .map_err(|_| IssueError::Sign(rcgen::Error::CouldNotParseKeyPair))?
        .to_pkcs8v1()
        .map_err(|_| IssueError::Random)?;
    Ok(pem("PRIVATE KEY", version_1.as_ref()))
}

fn key_to_pem(key: &PrivateKeyDer<'static>) -> String {
    let label = match key {
        PrivateKeyDer::Pkcs1(_) => "RSA PRIVATE KEY",
        PrivateKeyDer::Sec1(_) => "EC PRIVATE KEY",
        _ => "PRIVATE KEY",
    };
    pem(label, key.secret_der())
}

/// RFC 7468 textual encoding.
#[must_use]
pub fn pem(label: &str, der: &[u8]) -> String {
    let base64 = STANDARD.encode(der);
    let mut text = format!("-----BEGIN {label}-----\n");
    for at in (0..base64.len()).step_by(64) {
        text.push_str(&base64[at..base64.len().min(at + 64)]);
        text.push('\n');
    }
    text.push_str(&format!("-----END {label}-----\n"));
    text
}

#[cfg(test)]
mod tests;
