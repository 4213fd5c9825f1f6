//! Why bytes did not become a bundle or a list of trust anchors: which file, what was found, what to do.
//!
//! No text here ever holds a byte of a key or of a password.

use super::super::facts::FactsError;

/// Reads as the end of "file F: ".
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
        "the {0} file is PKCS#12, not PEM; configure it as `pkcs12` with a `password_file`, or take chain and key out with \"openssl pkcs12 -in FILE -nodes\" into files of mode 0600"
    )]
    Pkcs12(Part),
    #[error(
        "the {part} file is a Java keystore ({kind}), which is not read; convert it with \"keytool -importkeystore -srckeystore FILE -destkeystore NEW.p12 -deststoretype PKCS12\" and configure that as `pkcs12`"
    )]
    JavaKeystore { part: Part, kind: &'static str },
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
        "the private key is encrypted, and no password is known; name the file that holds its password in `password_file`, or decrypt it with \"openssl pkey -in FILE\" into a file of mode 0600"
    )]
    EncryptedKey,
    #[error(
        "the private key is encrypted in the old way (\"DEK-Info\" header), which is not read; convert it with \"openssl pkcs8 -topk8 -v2 aes-256-cbc -in FILE -out NEW\" and the same password"
    )]
    LegacyEncryption,
    #[error(
        "the private key is encrypted by {0}, which is not read; convert it with \"openssl pkcs8 -topk8 -v2 aes-256-cbc -in FILE -out NEW\" and the same password"
    )]
    KeyEncryption(String),
    #[error(
        "the password does not open the {0} file; certificate and password may be of different generations, or the password file holds more than the password (one line end after it is left out)"
    )]
    WrongPassword(Part),
    #[error("the password of the {0} file is not UTF-8 text, which it has to be")]
    PasswordEncoding(Part),
    #[error(
        "the file is not PKCS#12: {0}; expected what \"openssl pkcs12 -export\" writes; PEM files are configured as `certificate` and `private_key`"
    )]
    NotPkcs12(String),
    #[error(
        "the PKCS#12 file is protected in a way that is not read ({0}); write it again with \"openssl pkcs12 -in FILE -nodes\" and \"openssl pkcs12 -export\""
    )]
    Pkcs12Protection(String),
    #[error("the PKCS#12 file holds no {0}; export it with certificate and private key")]
    Pkcs12Without(Part),
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
    /// One file with certificate and key.
    Pkcs12,
    /// A list of revoked certificates.
    Crl,
}

impl LoadError {
    /// The file to look at first.
    #[must_use]
    pub const fn part(&self) -> Part {
        match self {
            Self::Empty(part)
            | Self::NotPem(part)
            | Self::Der(part)
            | Self::Pkcs12(part)
            | Self::JavaKeystore { part, .. }
            | Self::DamagedPem { part, .. }
            | Self::Missing { part, .. }
            | Self::KeyInstead(part)
            | Self::WrongPassword(part)
            | Self::PasswordEncoding(part)
            | Self::UnreadableCertificate { part, .. } => *part,
            Self::NotPkcs12(_) | Self::Pkcs12Protection(_) | Self::Pkcs12Without(_) => Part::Pkcs12,
            Self::LeafNotFirst { .. } => Part::Certificate,
            Self::CertificateInstead
            | Self::PublicKeyInstead
            | Self::EncryptedKey
            | Self::LegacyEncryption
            | Self::KeyEncryption(_)
            | Self::ManyKeys(_)
            | Self::UnusableKey(_)
            | Self::KeyMismatch { .. } => Part::PrivateKey,
        }
    }

    /// Whether the password is what is wrong.
    #[must_use]
    pub const fn is_about_the_password(&self) -> bool {
        matches!(self, Self::WrongPassword(_) | Self::PasswordEncoding(_))
    }
}

impl Part {
    const fn expected(self) -> &'static str {
        match self {
            Self::PrivateKey => {
                "one \"PRIVATE KEY\", \"RSA PRIVATE KEY\", \"EC PRIVATE KEY\" or \"ENCRYPTED PRIVATE KEY\""
            }
            Self::Certificate | Self::Trust => "\"CERTIFICATE\"",
            Self::Pkcs12 => "one private key with its certificate",
            Self::Crl => "\"X509 CRL\"",
        }
    }

    const fn openssl(self) -> &'static str {
        match self {
            Self::PrivateKey => "pkey",
            Self::Certificate | Self::Trust => "x509",
            Self::Pkcs12 => "pkcs12",
            Self::Crl => "crl",
        }
    }
}

impl std::fmt::Display for Part {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(match self {
            Self::Certificate => "certificate",
            Self::PrivateKey => "private key",
            Self::Trust => "trust bundle",
            Self::Pkcs12 => "PKCS#12",
            Self::Crl => "CRL",
        })
    }
}
