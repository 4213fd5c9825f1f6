//! Reads the places certificates arrive in: whole, or not at all.
//!
//! The files of one generation are read together, parsed, and judged by the same rules as any certificate; only what
//! passes becomes a [`Generation`]. A refusal says which file, what was found and what to do, and which fault requests
//! meet until it is put right.

use std::fs;
use std::path::{Path, PathBuf};

use rustls_pki_types::CertificateDer;

use super::Generation;
use crate::cert::Trusted;
use crate::cert::load::{self, Bundle, LoadError};
use crate::cert::verify::{self, Finding, Purpose, Severity};
use crate::config::settings::{Identity, Material, TlsVersion, Trust};
use crate::fault::{Code, Fault};
use crate::transport::tls::{self, TlsError};

/// Clocks may differ by this much before a date counts, in seconds.
pub const CLOCK_SKEW: i64 = 60;

/// Files that did not become a generation.
#[derive(Debug, thiserror::Error)]
pub enum Refusal {
    #[error("cannot read {}: {error}; check that the secret is mounted and that this user may read it", .path.display())]
    Unreadable { path: PathBuf, error: std::io::Error },
    #[error("{} and {}: {error}", .certificate.display(), .key.display())]
    Pair {
        certificate: PathBuf,
        key: PathBuf,
        error: LoadError,
    },
    #[error("{}: {error}", .path.display())]
    Bundle { path: PathBuf, error: LoadError },
    #[error("{}: {}", .path.display(), .findings.iter().map(ToString::to_string).collect::<Vec<_>>().join("; "))]
    Unfit {
        path: PathBuf,
        findings: Vec<Finding>,
        expired: bool,
    },
    #[error("the operating system's trust store: {0}; name a bundle in `trust`, or put a store into the image")]
    SystemTrust(String),
    #[error(transparent)]
    Tls(#[from] TlsError),
}

impl Refusal {
    /// What a request meets while this stands.
    #[must_use]
    pub fn fault(&self) -> Fault {
        let code = match self {
            Self::Unfit { expired: true, .. } => Code::IdentityExpired,
            _ => Code::IdentityMissing,
        };
        Fault::new(code, self.to_string())
    }
}

/// A pair that was read and judged, and what was worth a warning.
#[derive(Debug)]
pub struct Pair {
    pub bundle: Bundle,
    pub warnings: Vec<Finding>,
}

/// Reads a certificate chain and its key and judges them for `purpose` at `now` (Unix seconds).
///
/// # Errors
/// [`Refusal`] with every reason that was found.
pub fn pair(material: &Material, purpose: Purpose, names: &[String], now: i64) -> Result<Pair, Refusal> {
    let (certificate, key) = match material {
        Material::Pem {
            certificate,
            private_key,
            ..
        } => (certificate, private_key),
        Material::Pkcs12 { file, .. } => (file, file),
    };
    let (chain_pem, key_pem) = (read(certificate)?, zeroize::Zeroizing::new(read(key)?));
    let bundle = load::bundle(&chain_pem, &key_pem).map_err(|error| Refusal::Pair {
        certificate: certificate.clone(),
        key: key.clone(),
        error,
    })?;
    let (refusing, warnings): (Vec<_>, Vec<_>) = verify::findings(&bundle, purpose, names, now, CLOCK_SKEW)
        .into_iter()
        .partition(|finding| finding.severity == Severity::Refuse);
    if refusing.is_empty() {
        return Ok(Pair { bundle, warnings });
    }
    let expired = bundle
        .chain_facts()
        .iter()
        .any(|facts| now > facts.not_after + CLOCK_SKEW);
    Err(Refusal::Unfit {
        path: certificate.clone(),
        findings: refusing,
        expired,
    })
}

/// Reads a trust bundle.
///
/// # Errors
/// [`Refusal`] when it cannot be read or holds no certificate.
pub fn anchors(path: &Path) -> Result<Vec<CertificateDer<'static>>, Refusal> {
    load::anchors(&read(path)?).map_err(|error| Refusal::Bundle {
        path: path.to_owned(),
        error,
    })
}

/// The anchors of a trust setting.
///
/// # Errors
/// [`Refusal`] when there are none.
pub fn trust(trust: &Trust) -> Result<Vec<CertificateDer<'static>>, Refusal> {
    match trust {
        Trust::Bundle(path) => anchors(path),
        Trust::System => {
            let found = rustls_native_certs::load_native_certs();
            if found.certs.is_empty() {
                let reason = found
                    .errors
                    .first()
                    .map_or_else(|| "no certificate found".to_owned(), ToString::to_string);
                return Err(Refusal::SystemTrust(reason));
            }
            Ok(found.certs)
        }
    }
}

/// A generation that was read from its files.
#[derive(Debug)]
pub struct Loaded {
    pub generation: Generation,
    /// What the chain says, leaf first, for metrics and the status page.
    pub chain: Vec<crate::cert::facts::Facts>,
    /// What the trust bundle says.
    pub anchors: Vec<crate::cert::facts::Facts>,
    pub warnings: Vec<Finding>,
}

/// Reads everything that one upstream's generation is made of.
///
/// # Errors
/// [`Refusal`]: nothing half-read is ever used.
pub fn generation(
    number: u64,
    identity: Option<(&str, &Identity)>,
    trusted: &Trust,
    tls_min: TlsVersion,
    http2: bool,
    now: i64,
) -> Result<Loaded, Refusal> {
    let anchors = trust(trusted)?;
    let pair = identity
        .map(|(_, files)| pair(&files.material, Purpose::Client, &files.expect_dns, now))
        .transpose()?;
    let bundle = pair.as_ref().map(|pair| &pair.bundle);
    let config = tls::client_config(bundle, &Trusted::anchors(anchors.clone()), tls_min, http2)?;
    let chain = bundle.map(|bundle| bundle.chain_facts().to_vec()).unwrap_or_default();
    let not_after = chain.iter().map(|facts| facts.not_after).min();
    let name = identity.map(|(name, _)| name.to_owned());
    let known = anchors
        .iter()
        .filter_map(|der| crate::cert::facts::Facts::read(der).ok());
    Ok(Loaded {
        generation: Generation::new(number, name, not_after, config),
        chain,
        // The system's store holds hundreds that nobody here is responsible for.
        anchors: if *trusted == Trust::System {
            Vec::new()
        } else {
            known.collect()
        },
        warnings: pair.map(|pair| pair.warnings).unwrap_or_default(),
    })
}

fn read(path: &Path) -> Result<Vec<u8>, Refusal> {
    fs::read(path).map_err(|error| Refusal::Unreadable {
        path: path.to_owned(),
        error,
    })
}
