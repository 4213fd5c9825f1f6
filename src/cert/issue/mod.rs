//! A small CA: root, intermediate, leaf, CSR, CRL, with any validity window.
//!
//! For development, `demo`, rehearsals and every test; never for production. Nothing is left to a default: dates,
//! serial, basic constraints and key usages are set on everything that is issued (the library's own default ends in
//! the year 4096). Leafs of any window can be made, also expired and not yet valid ones, because refusing those is
//! what is rehearsed.

mod spec;

use std::time::Duration;

use aws_lc_rs::signature::Ed25519KeyPair;
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use rcgen::{
    BasicConstraints, CertificateParams, CertificateRevocationListParams, CertificateSigningRequestParams,
    DistinguishedName, DnType, ExtendedKeyUsagePurpose, IsCa, Issuer, KeyIdMethod, KeyPair, KeyUsagePurpose,
    RevocationReason, RevokedCertParams, SerialNumber, date_time_ymd,
};
use rustls_pki_types::{CertificateDer, PrivateKeyDer};

use super::facts::hex;
use super::load::{self, LoadError};
use crate::secret::Secret;

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

/// A CA certificate with its key: a root or an intermediate.
pub struct Authority {
    issuer: Issuer<'static, KeyPair>,
    key_pem: Secret<String>,
    /// Own certificate first, then its issuers up to, without, the root. A root has only itself.
    path: Vec<CertificateDer<'static>>,
    is_root: bool,
}

/// Why nothing was issued.
#[derive(Debug, thiserror::Error)]
pub enum IssueError {
    #[error("the validity from {0} to {1} (seconds since 1970) is empty or outside the years 1970 to 9999")]
    Validity(i64, i64),
    #[error("\"{0}\" cannot stand in a certificate as a name: only ASCII characters can")]
    Name(String),
    #[error("\"{0}\" is not a serial number: expected hexadecimal digits")]
    Serial(String),
    #[error("the certificate request cannot be read or is not signed by its own key: {0}")]
    Request(rcgen::Error),
    #[error("the CA cannot be read: {0}")]
    Load(#[from] LoadError),
    #[error("\"{0}\" is not a CA certificate: basic constraints or key usage do not let it sign")]
    NotACa(String),
    #[error("no random bytes are to be had from the system")]
    Random,
    #[error("signing failed: {0}")]
    Sign(#[from] rcgen::Error),
}

impl Authority {
    /// A new root with its own key.
    pub fn new_root(name: &str, validity: Validity) -> Result<Self, IssueError> {
        let params = ca_params(name, validity, BasicConstraints::Unconstrained)?;
        let key = KeyKind::EcdsaP256.generate()?;
        let certificate = params.self_signed(&key)?;
        Ok(Self {
            key_pem: Secret::new(new_key_pem(&key)?),
            path: vec![certificate.der().clone()],
            issuer: Issuer::new(params, key),
            is_root: true,
        })
    }

    /// An issuing CA below this one; it can sign leafs and no further CA.
    pub fn issue_intermediate(&self, name: &str, validity: Validity) -> Result<Self, IssueError> {
        let params = ca_params(name, validity, BasicConstraints::Constrained(0))?;
        let key = KeyKind::EcdsaP256.generate()?;
        let certificate = params.signed_by(&key, &self.issuer)?;
        let mut path = vec![certificate.der().clone()];
        path.extend_from_slice(self.sent_along());
        Ok(Self {
            key_pem: Secret::new(new_key_pem(&key)?),
            path,
            issuer: Issuer::new(params, key),
            is_root: false,
        })
    }

    /// A CA from its files: its certificate (for an intermediate followed by its issuers) and its key.
    pub fn from_pem(certificate_pem: &[u8], key_pem: &[u8]) -> Result<Self, IssueError> {
        let bundle = load::bundle(certificate_pem, key_pem)?;
        let facts = bundle.leaf_facts();
        if !facts.is_ca || facts.key_usage.is_some_and(|usage| !usage.key_cert_sign) {
            return Err(IssueError::NotACa(facts.subject.clone()));
        }
        let key = KeyPair::try_from(bundle.key())?;
        let own = bundle.chain().iter().zip(bundle.chain_facts());
        let path: Vec<_> = own
            .enumerate()
            .filter(|(index, (_, facts))| *index == 0 || !facts.is_self_issued())
            .map(|(_, (certificate, _))| certificate.clone())
            .collect();
        Ok(Self {
            issuer: Issuer::from_ca_cert_der(&path[0], key)?,
            key_pem: Secret::new(key_to_pem(bundle.key())),
            is_root: facts.is_self_issued(),
            path,
        })
    }

    /// Signs a leaf with a new key.
    pub fn issue(&self, spec: &Spec) -> Result<Issued, IssueError> {
        let mut params = spec.params()?;
        params.use_authority_key_identifier_extension = true;
        let key = spec.key.generate()?;
        let certificate = params.signed_by(&key, &self.issuer)?;
        let signed = self.signed(certificate.der(), &params);
        Ok(Issued {
            chain_pem: signed.chain_pem,
            key_pem: Secret::new(new_key_pem(&key)?),
            leaf: signed.leaf,
            serial: signed.serial,
        })
    }

    /// Signs the key of a certificate request. Subject and alternative names are those that the request asks for;
    /// dates and purposes are the CA's to say, and a request to become a CA is not granted.
    pub fn sign_csr(&self, csr_pem: &str, purposes: Purposes, validity: Validity) -> Result<Signed, IssueError> {
        let mut request = CertificateSigningRequestParams::from_pem(csr_pem).map_err(IssueError::Request)?;
        let mut params = leaf_params(purposes, validity)?;
        params.distinguished_name = request.params.distinguished_name.clone();
        params.subject_alt_names = request.params.subject_alt_names.clone();
        params.use_authority_key_identifier_extension = true;
        request.params = params;
        let certificate = request.signed_by(&self.issuer)?;
        Ok(self.signed(certificate.der(), &request.params))
    }

    /// A list (PEM) of the certificates that this CA takes back.
    pub fn crl(&self, serials: &[impl AsRef<str>], this_update: i64, next_update: i64) -> Result<String, IssueError> {
        check(Validity {
            not_before: this_update,
            not_after: next_update,
        })?;
        let from = date_time_ymd(1970, 1, 1) + Duration::from_secs(this_update.unsigned_abs());
        let to = date_time_ymd(1970, 1, 1) + Duration::from_secs(next_update.unsigned_abs());
        let mut revoked_certs = Vec::with_capacity(serials.len());
        for serial in serials {
            revoked_certs.push(RevokedCertParams {
                serial_number: parse_serial(serial.as_ref())?,
                revocation_time: from,
                reason_code: Some(RevocationReason::Superseded),
                invalidity_date: None,
            });
        }
        let list = CertificateRevocationListParams {
            this_update: from,
            next_update: to,
            crl_number: SerialNumber::from(u64::try_from(this_update).unwrap_or_default()), // grows with every list
            issuing_distribution_point: None,
            revoked_certs,
            key_identifier_method: KeyIdMethod::Sha256,
        };
        Ok(list.signed_by(&self.issuer)?.pem()?)
    }

    /// The CA's own certificate.
    #[must_use]
    pub fn certificate(&self) -> &CertificateDer<'static> {
        &self.path[0] // always its own, see the constructors
    }

    /// The CA's own certificate, PEM: for a root, the trust bundle to hand out.
    #[must_use]
    pub fn certificate_pem(&self) -> String {
        pem("CERTIFICATE", self.certificate())
    }

    /// The CA's key, PEM.
    #[must_use]
    pub const fn key_pem(&self) -> &Secret<String> {
        &self.key_pem
    }

    /// What goes into a chain after the leaf: never the root, since it is trusted from elsewhere or not at all.
    fn sent_along(&self) -> &[CertificateDer<'static>] {
        if self.is_root { &[] } else { &self.path }
    }

    fn signed(&self, leaf: &CertificateDer<'static>, params: &CertificateParams) -> Signed {
        let mut chain_pem = pem("CERTIFICATE", leaf);
        for certificate in self.sent_along() {
            chain_pem.push_str(&pem("CERTIFICATE", certificate));
        }
        let serial = params.serial_number.as_ref().map(SerialNumber::to_bytes);
        Signed {
            chain_pem,
            leaf: leaf.clone(),
            serial: hex(&serial.unwrap_or_default()),
        }
    }
}

impl std::fmt::Debug for Authority {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Authority")
            .field("issuer", &self.issuer)
            .finish_non_exhaustive()
    }
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
    params.distinguished_name = distinguished_name(name, None);
    params.is_ca = IsCa::Ca(constraints);
    params.key_usages = vec![KeyUsagePurpose::KeyCertSign, KeyUsagePurpose::CrlSign];
    params.use_authority_key_identifier_extension = true;
    Ok(params)
}

fn leaf_params(purposes: Purposes, validity: Validity) -> Result<CertificateParams, IssueError> {
    let mut params = dated(validity)?;
    params.is_ca = IsCa::ExplicitNoCa;
    params.key_usages = vec![KeyUsagePurpose::DigitalSignature];
    params.extended_key_usages = match purposes {
        Purposes::Client => vec![ExtendedKeyUsagePurpose::ClientAuth],
        Purposes::Server => vec![ExtendedKeyUsagePurpose::ServerAuth],
        Purposes::Both => vec![ExtendedKeyUsagePurpose::ServerAuth, ExtendedKeyUsagePurpose::ClientAuth],
        Purposes::Unstated => Vec::new(),
    };
    Ok(params)
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

fn distinguished_name(common_name: &str, organisational_unit: Option<&str>) -> DistinguishedName {
    let mut name = DistinguishedName::new();
    if let Some(unit) = organisational_unit {
        name.push(DnType::OrganizationalUnitName, unit);
    }
    name.push(DnType::CommonName, common_name);
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

fn parse_serial(text: &str) -> Result<SerialNumber, IssueError> {
    let wrong = || IssueError::Serial(text.escape_debug().to_string());
    if text.is_empty() || !text.len().is_multiple_of(2) || !text.bytes().all(|digit| digit.is_ascii_hexdigit()) {
        return Err(wrong());
    }
    let bytes = (0..text.len())
        .step_by(2)
        .map(|at| u8::from_str_radix(&text[at..at + 2], 16));
    let bytes: Vec<u8> = bytes.collect::<Result<_, _>>().map_err(|_| wrong())?;
    Ok(SerialNumber::from_slice(&bytes))
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
pub(super) fn pem(label: &str, der: &[u8]) -> String {
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
