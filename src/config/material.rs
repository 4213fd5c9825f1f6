//! Where certificate and key lie, and the list of revoked certificates: plain values of the settings.
//!
//! Nothing is read here. What the files must hold is `cert::load`'s business.

use std::path::{Path, PathBuf};

/// The files of one certificate with its key.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Material {
    Pem {
        certificate: PathBuf,
        /// The same file as `certificate` where one file holds both.
        private_key: PathBuf,
        /// Holds the password of an encrypted key.
        password_file: Option<PathBuf>,
    },
    Pkcs12 {
        file: PathBuf,
        /// Where there is no password, this file is empty.
        password_file: PathBuf,
    },
}

impl Material {
    /// Files of the same names in another directory: where the next certificate arrives. A password that lies beside
    /// the certificate belongs to it and arrives with it; one that lies elsewhere stays.
    #[must_use]
    pub fn within(&self, directory: &Path) -> Self {
        let moved = |path: &Path| {
            path.file_name()
                .map_or_else(|| path.to_owned(), |name| directory.join(name))
        };
        let password = |path: &PathBuf| {
            if path.parent() == self.first().parent() {
                moved(path)
            } else {
                path.clone()
            }
        };
        match self {
            Self::Pem {
                certificate,
                private_key,
                password_file,
            } => Self::Pem {
                certificate: moved(certificate),
                private_key: moved(private_key),
                password_file: password_file.as_ref().map(password),
            },
            Self::Pkcs12 { file, password_file } => Self::Pkcs12 {
                file: moved(file),
                password_file: password(password_file),
            },
        }
    }

    /// The file that holds the certificate.
    #[must_use]
    pub fn first(&self) -> &Path {
        match self {
            Self::Pem { certificate, .. } => certificate,
            Self::Pkcs12 { file, .. } => file,
        }
    }

    /// Every file, each once; the certificate's first.
    #[must_use]
    pub fn files(&self) -> Vec<&Path> {
        let (second, password) = match self {
            Self::Pem {
                private_key,
                password_file,
                ..
            } => (Some(private_key), password_file.as_ref()),
            Self::Pkcs12 { password_file, .. } => (None, Some(password_file)),
        };
        let mut files = vec![self.first()];
        for file in second.into_iter().chain(password) {
            if !files.contains(&file.as_path()) {
                files.push(file);
            }
        }
        files
    }
}

/// A list of revoked certificates, and what its age means.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Revocation {
    pub file: PathBuf,
    pub stale: Stale,
}

/// What becomes of certificates when the list was to be renewed and was not.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Stale {
    /// Nobody is accepted until there is a newer list.
    Refuse,
    /// The old list is the best there is.
    Accept,
}

#[cfg(test)]
mod tests {
    use super::*;

    fn pem(key: &str, password: Option<&str>) -> Material {
        Material::Pem {
            certificate: "/etc/identity/tls.crt".into(),
            private_key: key.into(),
            password_file: password.map(Into::into),
        }
    }

    #[test]
    fn the_staged_directory_holds_files_of_the_same_names() {
        let staged = pem("/etc/keys/tls.key", Some("/etc/identity/password")).within(Path::new("/etc/next"));
        assert_eq!(
            staged.files(),
            ["/etc/next/tls.crt", "/etc/next/tls.key", "/etc/next/password"].map(Path::new)
        );
    }

    #[test]
    fn a_password_that_lies_elsewhere_stays_where_it_is() {
        let staged = pem("/etc/identity/tls.key", Some("/run/secrets/password")).within(Path::new("/etc/next"));
        assert_eq!(staged.files()[2], Path::new("/run/secrets/password"));
        let store = |directory: &str, password: &str| Material::Pkcs12 {
            file: Path::new(directory).join("identity.p12"),
            password_file: password.into(),
        };
        assert_eq!(
            store("/etc/a", "/etc/a/password").within(Path::new("/etc/b")),
            store("/etc/b", "/etc/b/password")
        );
        assert_eq!(
            store("/etc/a", "/run/password").within(Path::new("/etc/b")),
            store("/etc/b", "/run/password")
        );
    }

    #[test]
    fn one_file_with_both_is_named_once() {
        assert_eq!(
            pem("/etc/identity/tls.crt", None).files(),
            [Path::new("/etc/identity/tls.crt")]
        );
    }
}
