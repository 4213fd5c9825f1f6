//! Reads the places certificates arrive in: whole, or not at all.
//!
//! The files of one generation are read together, parsed, and judged by the same rules as any certificate; only what
//! passes becomes a [`Generation`]. A refusal says which file, what was found and what to do, and which fault requests
//! meet until it is put right.

use std::fs;
use std::io;
use std::path::{Path, PathBuf};

use aws_lc_rs::digest::{Context, SHA256};
use rustls_pki_types::CertificateDer;
use zeroize::Zeroizing;

use super::rotation::Digest;
use crate::cert::facts::Facts;
use crate::cert::load::{self, Bundle, LoadError};
use crate::cert::verify::{self, Finding, Purpose, Severity, What};
use crate::config::settings::{Material, Revocation, Trust};
use crate::fault::{Code, Fault};
use crate::transport::tls::TlsError;

/// Clocks may differ by this much before a date counts, in seconds.
pub const CLOCK_SKEW: i64 = 60;

/// Files that did not become a generation.
#[derive(Debug, thiserror::Error)]
pub enum Refusal {
    #[error("cannot read {}: {error}; check that the secret is mounted and that this user may read it", .path.display())]
    Unreadable { path: PathBuf, error: io::Error },
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

/// Several files, read at one moment, and what tells them from what lay there before.
#[derive(Debug)]
pub struct Sight {
    /// Changes when the content of any file does, or its readability.
    pub mark: Digest,
    files: Vec<(PathBuf, io::Result<Zeroizing<Vec<u8>>>)>,
}

/// A pair that was read and judged, and what was worth a warning. It may be not valid yet.
#[derive(Debug)]
pub struct Pair {
    pub bundle: Bundle,
    pub warnings: Vec<Finding>,
}

/// Whom to believe.
#[derive(Debug)]
pub struct Trusted {
    pub anchors: Vec<CertificateDer<'static>>,
    /// What they say; empty for the system's store, which holds hundreds that nobody here is responsible for.
    pub facts: Vec<Facts>,
}

/// Reads files together, for [`identity`] and [`trusted`].
#[must_use]
pub fn look<'a>(files: impl IntoIterator<Item = &'a Path>) -> Sight {
    let mut mark = Context::new(&SHA256);
    let mut found = Vec::new();
    for path in files {
        let content = fs::read(path).map(Zeroizing::new);
        match &content {
            Ok(bytes) => {
                mark.update(&(bytes.len() as u64).to_be_bytes());
                mark.update(bytes);
            }
            Err(error) => mark.update(format!("{:?}", error.kind()).as_bytes()),
        }
        found.push((path.to_owned(), content));
    }
    Sight {
        mark: finish(mark),
        files: found,
    }
}

/// The certificate chain and its key, judged for `purpose` at `now` (Unix seconds). A beginning in the future is no
/// refusal: such a pair waits for its time.
///
/// # Errors
/// [`Refusal`] with every reason that was found.
pub fn identity(
    sight: &Sight,
    material: &Material,
    purpose: Purpose,
    names: &[String],
    now: i64,
) -> Result<Pair, Refusal> {
    let bundle = bundle(sight, material)?;
    let (refusing, warnings): (Vec<_>, Vec<_>) = verify::findings(&bundle, purpose, names, now, CLOCK_SKEW)
        .into_iter()
        .partition(|finding| finding.severity == Severity::Refuse && finding.what != What::NotYetValid);
    if refusing.is_empty() {
        return Ok(Pair { bundle, warnings });
    }
    Err(Refusal::Unfit {
        path: material.first().to_owned(),
        expired: refusing.iter().any(|finding| finding.what == What::Expired),
        findings: refusing,
    })
}

fn bundle(sight: &Sight, material: &Material) -> Result<Bundle, Refusal> {
    let (certificate, key) = match material {
        Material::Pem {
            certificate,
            private_key,
            ..
        } => (certificate, private_key),
        Material::Pkcs12 { file, .. } => (file, file),
    };
    load::bundle(sight.bytes(certificate)?, sight.bytes(key)?).map_err(|error| Refusal::Pair {
        certificate: certificate.clone(),
        key: key.clone(),
        error,
    })
}

/// The anchors of a trust setting.
///
/// # Errors
/// [`Refusal`] when they cannot be read or there are none.
pub fn trusted(sight: &Sight, trust: &Trust, _crl: Option<&Revocation>) -> Result<Trusted, Refusal> {
    match trust {
        Trust::Bundle(path) => {
            let anchors = load::anchors(sight.bytes(path)?).map_err(|error| Refusal::Bundle {
                path: path.clone(),
                error,
            })?;
            let facts = anchors.iter().filter_map(|der| Facts::read(der).ok()).collect();
            Ok(Trusted { anchors, facts })
        }
        Trust::System => {
            let found = rustls_native_certs::load_native_certs();
            if found.certs.is_empty() {
                let reason = found
                    .errors
                    .first()
                    .map_or_else(|| "no certificate found".to_owned(), ToString::to_string);
                return Err(Refusal::SystemTrust(reason));
            }
            Ok(Trusted {
                anchors: found.certs,
                facts: Vec::new(),
            })
        }
    }
}

/// The hash that tells one chain from another; the key follows from its leaf.
#[must_use]
pub fn digest(bundle: &Bundle) -> Digest {
    let mut chain = Context::new(&SHA256);
    for certificate in bundle.chain() {
        chain.update(certificate);
    }
    finish(chain)
}

/// A hash over a sight and the words that belong to it.
#[must_use]
pub fn digest_with(sight: &Sight, words: &str) -> Digest {
    let mut both = Context::new(&SHA256);
    both.update(&sight.mark);
    both.update(words.as_bytes());
    finish(both)
}

fn finish(context: Context) -> Digest {
    let mut digest = [0; 32];
    digest.copy_from_slice(context.finish().as_ref());
    digest
}

impl Sight {
    /// Not one of the files is there.
    #[must_use]
    pub fn is_absent(&self) -> bool {
        let gone = |content: &io::Result<_>| matches!(content, Err(error) if error.kind() == io::ErrorKind::NotFound);
        self.files.iter().all(|(_, content)| gone(content))
    }

    fn bytes(&self, path: &Path) -> Result<&[u8], Refusal> {
        let unreadable = |error: io::Error| Refusal::Unreadable {
            path: path.to_owned(),
            error,
        };
        match self.files.iter().find(|(own, _)| own == path) {
            Some((_, Ok(bytes))) => Ok(bytes),
            Some((_, Err(error))) => Err(unreadable(io::Error::new(error.kind(), error.to_string()))),
            None => Err(unreadable(io::ErrorKind::NotFound.into())),
        }
    }
}
