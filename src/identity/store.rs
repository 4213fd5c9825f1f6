//! Reads the places certificates arrive in: whole, or not at all.
//!
//! The files of one generation are read together, parsed, and judged by the same rules as any certificate; only what
//! passes becomes a [`Generation`]. A refusal says which file, what was found and what to do, and which fault requests
//! meet until it is put right.

use std::fs;
use std::io;
use std::path::{Path, PathBuf};

use aws_lc_rs::digest::{Context, SHA256};
use rustls_pki_types::{CertificateDer, CertificateRevocationListDer};
use zeroize::Zeroizing;

use super::rotation::Digest;
use crate::cert::Trusted;
use crate::cert::crl::{self, CrlError, CrlFacts};
use crate::cert::facts::Facts;
use crate::cert::load::{self, Bundle, LoadError, Source};
use crate::cert::verify::{self, Finding, Purpose, Severity, What};
use crate::config::settings::{Material, Revocation, Stale, Trust};
use crate::fault::{Code, Fault};
use crate::transport::tls::TlsError;

/// Clocks may differ by this much before a date counts, in seconds.
pub const CLOCK_SKEW: i64 = 60;

/// The largest file that is read; lists of revoked certificates can be long.
const LARGEST: u64 = 64 << 20;

/// Files that did not become a generation.
#[derive(Debug, thiserror::Error)]
pub enum Refusal {
    #[error("cannot read {}: {error}; check that the secret is mounted and that this user may read it", .path.display())]
    Unreadable { path: PathBuf, error: io::Error },
    #[error("{}: {error}", .files.iter().map(|file| file.display().to_string()).collect::<Vec<_>>().join(" and "))]
    Identity { files: Vec<PathBuf>, error: LoadError },
    #[error("{}: {error}", .path.display())]
    Bundle { path: PathBuf, error: LoadError },
    #[error("{}: {}", .path.display(), .findings.iter().map(ToString::to_string).collect::<Vec<_>>().join("; "))]
    Unfit {
        path: PathBuf,
        findings: Vec<Finding>,
        expired: bool,
    },
    #[error("{}: {error}", .path.display())]
    Crl { path: PathBuf, error: CrlError },
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

/// Whom to believe, and what that says.
#[derive(Debug)]
pub struct Believed {
    pub trusted: Trusted,
    /// Of the anchors; empty for the system's store, which holds hundreds that nobody here is responsible for.
    pub facts: Vec<Facts>,
    pub crls: Vec<CrlFacts>,
}

/// Reads files together, for [`identity`] and [`trusted`].
#[must_use]
pub fn look<'a>(files: impl IntoIterator<Item = &'a Path>) -> Sight {
    let mut mark = Context::new(&SHA256);
    let mut found = Vec::new();
    for path in files {
        let content = read(path).map(Zeroizing::new);
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

/// The thread that looks also answers probes: a pipe or a device must not hold it up.
fn read(path: &Path) -> io::Result<Vec<u8>> {
    let facts = fs::metadata(path)?;
    if !facts.is_file() && !facts.is_dir() {
        return Err(io::Error::new(io::ErrorKind::InvalidInput, "it is no regular file"));
    }
    if facts.len() > LARGEST {
        return Err(io::Error::new(
            io::ErrorKind::FileTooLarge,
            format!("it is larger than {LARGEST} bytes"),
        ));
    }
    fs::read(path)
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
    let source = match material {
        Material::Pem {
            certificate,
            private_key,
            password_file,
        } => Source::Pem {
            certificate: sight.bytes(certificate)?,
            private_key: sight.bytes(private_key)?,
            password: password_file.as_deref().map(|file| sight.bytes(file)).transpose()?,
        },
        Material::Pkcs12 { file, password_file } => Source::Pkcs12 {
            file: sight.bytes(file)?,
            password: sight.bytes(password_file)?,
        },
    };
    load::identity(source).map_err(|error| Refusal::Identity {
        files: material.files().into_iter().map(Path::to_owned).collect(),
        error,
    })
}

/// Refuses a pair that stands on a list of revoked certificates.
///
/// # Errors
/// [`Refusal`] that says on which.
pub fn not_revoked(
    pair: &Pair,
    material: &Material,
    lists: &[CertificateRevocationListDer<'_>],
) -> Result<(), Refusal> {
    match verify::revocation(&pair.bundle, lists) {
        None => Ok(()),
        Some(finding) => Err(Refusal::Unfit {
            path: material.first().to_owned(),
            findings: vec![finding],
            expired: false,
        }),
    }
}

/// The anchors of a trust setting and the lists of revoked certificates that go with them.
///
/// # Errors
/// [`Refusal`] when they cannot be read or there are none.
pub fn believed(sight: &Sight, trust: &Trust, revocation: Option<&Revocation>) -> Result<Believed, Refusal> {
    let (anchors, facts) = match trust {
        Trust::Bundle(path) => {
            let anchors = load::anchors(sight.bytes(path)?).map_err(|error| Refusal::Bundle {
                path: path.clone(),
                error,
            })?;
            let facts = anchors.iter().filter_map(|der| Facts::read(der).ok()).collect();
            (anchors, facts)
        }
        Trust::System => (of_the_system()?, Vec::new()),
    };
    let crls = match revocation {
        Some(revocation) => crl::read(sight.bytes(&revocation.file)?).map_err(|error| Refusal::Crl {
            path: revocation.file.clone(),
            error,
        })?,
        None => Vec::new(),
    };
    Ok(Believed {
        facts,
        crls: crls.iter().filter_map(|der| CrlFacts::read(der)).collect(),
        trusted: Trusted {
            anchors,
            crls,
            refuse_stale: revocation.is_some_and(|revocation| revocation.stale == Stale::Refuse),
        },
    })
}

fn of_the_system() -> Result<Vec<CertificateDer<'static>>, Refusal> {
    let found = rustls_native_certs::load_native_certs();
    if found.certs.is_empty() {
        let first = found.errors.first();
        let reason = first.map_or_else(|| "no certificate found".to_owned(), ToString::to_string);
        return Err(Refusal::SystemTrust(reason));
    }
    Ok(found.certs)
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

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_pipe_and_a_file_beyond_all_bounds_are_refused_and_do_not_hold_anybody_up() {
        let directory = tempfile::tempdir().expect("a directory");
        let (pipe, huge) = (directory.path().join("pipe"), directory.path().join("huge"));
        let mode = rustix::fs::Mode::RUSR | rustix::fs::Mode::WUSR;
        rustix::fs::mknodat(rustix::fs::CWD, &pipe, rustix::fs::FileType::Fifo, mode, 0).expect("a pipe");
        let file = fs::File::create(&huge).expect("a file");
        file.set_len(LARGEST + 1).expect("a hole");
        let sight = look([pipe.as_path(), huge.as_path()]);
        for (path, reason) in [(&pipe, "no regular file"), (&huge, "larger than")] {
            let refusal = sight.bytes(path).expect_err("refused").to_string();
            assert!(refusal.contains(reason), "{refusal}");
        }
    }
}
