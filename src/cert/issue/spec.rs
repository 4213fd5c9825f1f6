//! What is asked for: names, purposes, key, and both ends of its validity, always explicit.

use std::net::IpAddr;

use rcgen::string::Ia5String;
use rcgen::{BasicConstraints, CertificateParams, IsCa, KeyPair, SanType};

use super::{IssueError, distinguished_name, leaf_params};

const DAY: i64 = 86_400;

/// First and last second of validity, since the Unix epoch.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Validity {
    pub not_before: i64,
    pub not_after: i64,
}

/// What a leaf may be used for (extended key usage).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Purposes {
    Client,
    Server,
    Both,
    /// No extended key usage at all: the certificate does not say.
    Unstated,
    /// Neither side of TLS: code signing. To be refused.
    Other,
}

/// Kind and size of a new key.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum KeyKind {
    EcdsaP256,
    EcdsaP384,
    Ed25519,
    Rsa2048,
}

/// What a leaf shall say. `Spec { dns: vec![…], ..Spec::new("name", Purposes::Client, validity) }`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Spec {
    pub common_name: String,
    pub organisational_unit: Option<String>,
    pub organisation: Option<String>,
    pub dns: Vec<String>,
    pub ip: Vec<IpAddr>,
    pub uri: Vec<String>,
    pub purposes: Purposes,
    pub validity: Validity,
    pub key: KeyKind,
    /// A CA certificate where a leaf belongs, which nobody should accept: for refusal tests.
    pub is_ca: bool,
}

impl Validity {
    /// From a given second on, for a number of days.
    #[must_use]
    pub const fn days(not_before: i64, days: u32) -> Self {
        Self {
            not_before,
            not_after: not_before.saturating_add(DAY * days as i64),
        }
    }
}

impl Spec {
    /// A leaf with a P-256 key and no alternative names yet.
    pub fn new(common_name: impl Into<String>, purposes: Purposes, validity: Validity) -> Self {
        Self {
            common_name: common_name.into(),
            organisational_unit: None,
            organisation: None,
            dns: Vec::new(),
            ip: Vec::new(),
            uri: Vec::new(),
            purposes,
            validity,
            key: KeyKind::EcdsaP256,
            is_ca: false,
        }
    }

    pub(super) fn params(&self) -> Result<CertificateParams, IssueError> {
        let mut params = leaf_params(self.purposes, self.validity)?;
        params.distinguished_name = distinguished_name(
            &self.common_name,
            self.organisational_unit.as_deref(),
            self.organisation.as_deref(),
        );
        params.subject_alt_names = alternative_names(&self.dns, &self.uri, &self.ip)?;
        if self.is_ca {
            params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
        }
        Ok(params)
    }
}

/// Names as a certificate carries them: DNS, then URI, then IP.
pub(super) fn alternative_names(dns: &[String], uri: &[String], ip: &[IpAddr]) -> Result<Vec<SanType>, IssueError> {
    let ascii = |text: &String| {
        Ia5String::try_from(text.as_str()).map_err(|_| IssueError::Name(text.escape_debug().to_string()))
    };
    let dns = dns.iter().map(|name| ascii(name).map(SanType::DnsName));
    let uri = uri.iter().map(|name| ascii(name).map(SanType::URI));
    let ip = ip.iter().map(|ip| Ok(SanType::IpAddress(*ip)));
    dns.chain(uri).chain(ip).collect()
}

impl KeyKind {
    pub(super) fn generate(self) -> Result<KeyPair, IssueError> {
        Ok(KeyPair::generate_for(match self {
            Self::EcdsaP256 => &rcgen::PKCS_ECDSA_P256_SHA256,
            Self::EcdsaP384 => &rcgen::PKCS_ECDSA_P384_SHA384,
            Self::Ed25519 => &rcgen::PKCS_ED25519,
            Self::Rsa2048 => &rcgen::PKCS_RSA_SHA256,
        })?)
    }
}
