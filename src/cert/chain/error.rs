//! The verifier's errors in words: what was found, with whom, and what to do.

use rustls_pki_types::{CertificateDer, UnixTime};
use webpki::{Error as WebpkiError, InvalidNameContext};

use super::super::crl::CrlFacts;
use super::super::facts::{Facts, date, span};
use super::super::verify::Purpose;
use super::{Trusted, path};

/// Why a chain is not accepted.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum ChainError {
    #[error("certificate {position} of the trust bundle cannot be a trust anchor: {reason}")]
    Anchor { position: usize, reason: String },
    #[error("list {position} of the CRLs cannot be used: {reason}")]
    Crl { position: usize, reason: String },
    #[error(
        "no CA of the trust bundle stands behind it: the chain ends at \"{subject}\", issued by \"{issuer}\", and the trust bundle holds {trusted}; either an intermediate is missing from the chain or the trust bundle is another CA's"
    )]
    UnknownIssuer {
        subject: String,
        issuer: String,
        trusted: String,
    },
    #[error("a certificate of the path expired {ago} ago, at {at}")]
    Expired { ago: String, at: String },
    #[error("a certificate of the path is valid only in {wait}, from {from}; is the clock right?")]
    NotYetValid { wait: String, from: String },
    #[error("a certificate of the path may not be used for {0} authentication (extended key usage)")]
    Purpose(&'static str),
    #[error("it is a CA certificate, which is refused as the certificate of a {0}")]
    CaAsLeaf(&'static str),
    #[error("it is not for the name \"{name}\"; its names are: {presented}")]
    Name { name: String, presented: String },
    #[error("\"{subject}\" has been revoked: it is on the list of \"{issuer}\"; a new certificate is needed")]
    Revoked { subject: String, issuer: String },
    #[error(
        "whether \"{subject}\" has been revoked is not known: there is no list by its issuer \"{issuer}\", only by {lists}; add that CA's list"
    )]
    RevocationUnknown {
        subject: String,
        issuer: String,
        lists: String,
    },
    #[error("the CRL of {issuer} was to be renewed by {by}, {ago} ago; fetch the CA's new list")]
    StaleCrl { issuer: String, by: String, ago: String },
    #[error("the CRL of \"{issuer}\" does not hold: {reason}")]
    CrlSignature { issuer: String, reason: &'static str },
    #[error("its key ({0}) is none that TLS accepts in a handshake")]
    Key(String),
    #[error("the certificate cannot be read by the TLS stack: {0}")]
    Malformed(&'static str),
    #[error("a signature in the path does not hold: {0}")]
    Signature(&'static str),
    #[error("the path to the trust bundle does not hold: {0}")]
    Path(String),
}

impl ChainError {
    /// The stable word for what is wrong.
    #[must_use]
    pub const fn as_str(&self) -> &'static str {
        match self {
            Self::Anchor { .. } => "anchor",
            Self::Crl { .. } => "crl",
            Self::UnknownIssuer { .. } => "unknown_issuer",
            Self::Expired { .. } => "expired",
            Self::NotYetValid { .. } => "not_yet_valid",
            Self::Purpose(_) => "purpose",
            Self::CaAsLeaf(_) => "ca_as_leaf",
            Self::Name { .. } => "name",
            Self::Revoked { .. } => "revoked",
            Self::RevocationUnknown { .. } => "revocation_unknown",
            Self::StaleCrl { .. } => "crl_stale",
            Self::CrlSignature { .. } => "crl_signature",
            Self::Key(_) => "key",
            Self::Malformed(_) => "malformed",
            Self::Signature(_) => "signature",
            Self::Path(_) => "path",
        }
    }
}

/// What was judged, for the words.
#[derive(Clone, Copy)]
pub(super) struct Context<'a> {
    pub(super) chain: &'a [CertificateDer<'a>],
    pub(super) trusted: &'a Trusted,
    pub(super) purpose: Purpose,
    /// The name that was asked for, where one was.
    pub(super) name: Option<&'a str>,
}

impl Context<'_> {
    pub(super) fn explain(&self, error: WebpkiError) -> ChainError {
        use WebpkiError as E;
        let purpose = self.purpose.as_str();
        match error {
            E::CertExpired { time, not_after } => ChainError::Expired {
                ago: span(seconds(time).saturating_sub(seconds(not_after))),
                at: date(seconds(not_after)),
            },
            E::CertNotValidYet { time, not_before } => ChainError::NotYetValid {
                wait: span(seconds(not_before).saturating_sub(seconds(time))),
                from: date(seconds(not_before)),
            },
            E::RequiredEkuNotFoundContext(_) => ChainError::Purpose(purpose),
            E::CaUsedAsEndEntity => ChainError::CaAsLeaf(purpose),
            E::UnknownIssuer => self.unknown_issuer(),
            E::CertNotValidForName(InvalidNameContext { presented, .. }) => ChainError::Name {
                name: self.name.unwrap_or_default().to_owned(),
                presented: if presented.is_empty() {
                    "none (a common name does not count)".to_owned()
                } else {
                    let facts = self.chain.first().and_then(|leaf| Facts::read(leaf).ok());
                    facts.map_or_else(|| presented.join(", "), |facts| facts.names())
                },
            },
            E::CertRevoked => {
                let (subject, issuer) = self.leaf();
                ChainError::Revoked { subject, issuer }
            }
            E::UnknownRevocationStatus => {
                let (subject, issuer) = self.leaf();
                let lists = self
                    .lists()
                    .map(|facts| format!("\"{}\"", facts.issuer))
                    .collect::<Vec<_>>();
                ChainError::RevocationUnknown {
                    subject,
                    issuer,
                    lists: lists.join(", "),
                }
            }
            E::CrlExpired { time, next_update } => {
                let by = seconds(next_update);
                let stale = self.lists().find(|facts| facts.next_update == Some(by));
                ChainError::StaleCrl {
                    issuer: stale.map_or_else(|| "the issuer".to_owned(), |facts| format!("\"{}\"", facts.issuer)),
                    by: date(by),
                    ago: span(seconds(time).saturating_sub(by)),
                }
            }
            E::InvalidCrlSignatureForPublicKey => self.crl("it is signed by another key than the certificate"),
            E::IssuerNotCrlSigner => self.crl("that CA may not sign lists (key usage)"),
            E::BadDer | E::BadDerTime | E::TrailingData(_) => ChainError::Malformed("it is not well-formed DER"),
            E::UnsupportedCertVersion => ChainError::Malformed("it is not of X.509 version 3"),
            E::MalformedExtensions | E::ExtensionValueInvalid => ChainError::Malformed("an extension is malformed"),
            E::InvalidSerialNumber => ChainError::Malformed("its serial number is zero, negative or too long"),
            E::InvalidSignatureForPublicKey => ChainError::Signature("it was made by another key"),
            E::SignatureAlgorithmMismatch => {
                ChainError::Signature("a certificate names two algorithms for its signature")
            }
            E::UnsupportedSignatureAlgorithmContext(_) => {
                ChainError::Signature("its algorithm is not accepted (SHA-1 and MD5 are not)")
            }
            E::UnsupportedSignatureAlgorithmForPublicKeyContext(_) => {
                ChainError::Signature("its algorithm does not go with the issuer's key")
            }
            other => ChainError::Path(in_words(&other)),
        }
    }

    fn unknown_issuer(&self) -> ChainError {
        let end = path(self.chain).last().and_then(|index| self.chain.get(*index));
        let end = end.and_then(|der| Facts::read(der).ok());
        let trusted: Vec<String> = self
            .trusted
            .anchors
            .iter()
            .filter_map(|anchor| Facts::read(anchor).ok())
            .map(|facts| format!("\"{}\"", facts.subject))
            .take(5)
            .collect();
        let (subject, issuer) = end.map_or_else(Default::default, |facts| (facts.subject, facts.issuer));
        ChainError::UnknownIssuer {
            subject,
            issuer,
            trusted: if trusted.is_empty() {
                String::from("nothing")
            } else {
                trusted.join(", ")
            },
        }
    }

    /// Subject and issuer of the leaf.
    fn leaf(&self) -> (String, String) {
        let facts = self.chain.first().and_then(|leaf| Facts::read(leaf).ok());
        facts.map_or_else(Default::default, |facts| (facts.subject, facts.issuer))
    }

    fn lists(&self) -> impl Iterator<Item = CrlFacts> {
        self.trusted.crls.iter().filter_map(|list| CrlFacts::read(list))
    }

    fn crl(&self, reason: &'static str) -> ChainError {
        let (_, issuer) = self.leaf();
        ChainError::CrlSignature { issuer, reason }
    }
}

/// The rest of what the verifier says of a path.
pub(super) fn in_words(error: &WebpkiError) -> String {
    use WebpkiError as E;
    let words = match error {
        E::EndEntityUsedAsCa => "a certificate that is no CA signed another",
        E::PathLenConstraintViolated => "there are more intermediates than a CA allows (path length)",
        E::NameConstraintViolation => "a CA of the path may not issue for that name (name constraints)",
        E::MalformedNameConstraint | E::InvalidNetworkMaskConstraint => "name constraints of a CA are malformed",
        E::UnsupportedNameType => "a kind of name is not supported",
        E::UnsupportedCriticalExtension => "a certificate has a critical extension that is not known",
        E::InvalidCertValidity => "a certificate ends before it begins",
        E::EmptyEkuExtension => "a certificate has an empty extended key usage",
        E::MalformedDnsIdentifier => "a DNS name in a certificate is malformed",
        E::CertDistrusted => "a key of the path is known to be compromised",
        E::MaximumPathDepthExceeded => "it is longer than 6 intermediates",
        E::MaximumPathBuildCallsExceeded
        | E::MaximumSignatureChecksExceeded
        | E::MaximumNameConstraintComparisonsExceeded => "it would take too much work to judge it",
        E::BadDer | E::BadDerTime | E::TrailingData(_) => "a certificate is not well-formed DER",
        E::UnsupportedCertVersion => "a certificate is not of X.509 version 3",
        other => return other.to_string(),
    };
    words.to_owned()
}

fn seconds(time: UnixTime) -> i64 {
    i64::try_from(time.as_secs()).unwrap_or(i64::MAX)
}
