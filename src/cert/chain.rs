//! From a bundle to the trust anchors, by the verifier that handshakes use.
//!
//! [`chain_to`] is RFC 5280 section 6 as webpki does it, with the algorithms of the TLS stack's crypto provider: what
//! passes here passes in a handshake, and the other way round. It stops at the first error; `verify` looks at all.

use std::time::Duration;

use rustls::crypto::aws_lc_rs::default_provider;
use rustls_pki_types::{CertificateDer, UnixTime};
use webpki::{EndEntityCert, Error as WebpkiError, KeyUsage, anchor_from_trusted_cert};
use x509_parser::certificate::X509Certificate;
use x509_parser::error::X509Error;
use x509_parser::prelude::FromDer as _;

use super::facts::{Facts, date, span};
use super::load::Bundle;
use super::verify::Purpose;

/// Why a bundle does not chain to the trust anchors.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum ChainError {
    #[error("certificate {position} of the trust bundle cannot be a trust anchor: {reason}")]
    Anchor { position: usize, reason: String },
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
    #[error("the path to the trust bundle does not hold: {0}")]
    Path(String),
}

/// Whether the bundle chains to one of the anchors for the purpose at `now`: the same code and the same algorithms as
/// in a handshake.
pub fn chain_to(bundle: &Bundle, anchors: &[CertificateDer<'_>], purpose: Purpose, now: i64) -> Result<(), ChainError> {
    let mut trusted = Vec::with_capacity(anchors.len());
    for (index, anchor) in anchors.iter().enumerate() {
        trusted.push(anchor_from_trusted_cert(anchor).map_err(|error| ChainError::Anchor {
            position: index + 1,
            reason: error.to_string(),
        })?);
    }
    let (leaf, intermediates) = bundle.chain().split_at(1);
    let usage = match purpose {
        Purpose::Client => KeyUsage::client_auth(),
        Purpose::Server => KeyUsage::server_auth(),
    };
    let time = UnixTime::since_unix_epoch(Duration::from_secs(u64::try_from(now).unwrap_or_default()));
    EndEntityCert::try_from(&leaf[0])
        .and_then(|leaf| {
            let algorithms = default_provider().signature_verification_algorithms.all;
            leaf.verify_for_usage(algorithms, &trusted, intermediates, time, usage, None, None)
                .map(|_| ())
        })
        .map_err(|error| explain(error, bundle, anchors, purpose))
}

/// The positions of the leaf, its issuer, that one's issuer, as far as they are in the chain: by the signatures.
pub(super) fn path(chain: &[CertificateDer<'_>]) -> Vec<usize> {
    let chain: Vec<X509Certificate<'_>> = chain
        .iter()
        .map_while(|der| X509Certificate::from_der(der).map(|(_, parsed)| parsed).ok())
        .collect();
    let mut path = vec![0];
    let mut last = chain.first();
    while let Some(subject) = last {
        let mut others = chain.iter().enumerate().filter(|(index, _)| !path.contains(index));
        let issuer = others.find(|(_, issuer)| signed(issuer, subject));
        path.extend(issuer.map(|(index, _)| index));
        last = issuer.map(|(_, issuer)| issuer);
    }
    path
}

/// Whether `issuer` signed `subject`; where the algorithm cannot be checked, the names decide.
fn signed(issuer: &X509Certificate<'_>, subject: &X509Certificate<'_>) -> bool {
    issuer.subject().as_raw() == subject.issuer().as_raw()
        && matches!(
            subject.verify_signature(Some(issuer.public_key())),
            Ok(()) | Err(X509Error::SignatureUnsupportedAlgorithm)
        )
}

fn explain(error: WebpkiError, bundle: &Bundle, anchors: &[CertificateDer<'_>], purpose: Purpose) -> ChainError {
    let seconds = |time: UnixTime| i64::try_from(time.as_secs()).unwrap_or(i64::MAX);
    match error {
        WebpkiError::CertExpired { time, not_after } => ChainError::Expired {
            ago: span(seconds(time).saturating_sub(seconds(not_after))),
            at: date(seconds(not_after)),
        },
        WebpkiError::CertNotValidYet { time, not_before } => ChainError::NotYetValid {
            wait: span(seconds(not_before).saturating_sub(seconds(time))),
            from: date(seconds(not_before)),
        },
        WebpkiError::RequiredEkuNotFoundContext(_) => ChainError::Purpose(purpose.as_str()),
        WebpkiError::CaUsedAsEndEntity => ChainError::CaAsLeaf(purpose.as_str()),
        WebpkiError::UnknownIssuer => {
            let end = path(bundle.chain())
                .last()
                .and_then(|index| bundle.chain_facts().get(*index));
            let end = end.unwrap_or_else(|| bundle.leaf_facts());
            let subject =
                |anchor: &CertificateDer<'_>| Facts::read(anchor).map(|facts| format!("\"{}\"", facts.subject));
            let trusted: Vec<String> = anchors
                .iter()
                .filter_map(|anchor| subject(anchor).ok())
                .take(5)
                .collect();
            ChainError::UnknownIssuer {
                subject: end.subject.clone(),
                issuer: end.issuer.clone(),
                trusted: if trusted.is_empty() {
                    String::from("nothing")
                } else {
                    trusted.join(", ")
                },
            }
        }
        other => ChainError::Path(other.to_string()),
    }
}

#[cfg(test)]
mod tests {
    use super::super::issue::{Authority, Purposes, Spec, Validity};
    use super::super::load;
    use super::*;

    const DAY: i64 = 86_400;
    const NOW: i64 = 1_800_000_000;

    fn root() -> Authority {
        Authority::new_root("Test Root", Validity::days(NOW - 10 * DAY, 3650)).unwrap()
    }

    fn leaf(authority: &Authority) -> Bundle {
        let spec = Spec::new("allocation-manager", Purposes::Client, Validity::days(NOW - DAY, 365));
        let issued = authority.issue(&spec).unwrap();
        load::bundle(issued.chain_pem.as_bytes(), issued.key_pem.expose().as_bytes()).unwrap()
    }

    #[test]
    fn a_bundle_chains_to_its_own_root_only() {
        let (root, other) = (root(), root());
        let intermediate = root
            .issue_intermediate("Issuing", Validity::days(NOW - DAY, 1000))
            .unwrap();
        let bundle = leaf(&intermediate);
        let trust = |ca: &Authority| vec![ca.certificate().clone()];
        assert_eq!(chain_to(&bundle, &trust(&root), Purpose::Client, NOW), Ok(()));
        let refused = chain_to(&bundle, &trust(&other), Purpose::Client, NOW);
        assert!(refused.is_err(), "same name, other key");
        let stranger = Authority::new_root("Stranger", Validity::days(NOW, 10)).unwrap();
        let refused = chain_to(&bundle, &trust(&stranger), Purpose::Client, NOW).unwrap_err();
        assert_eq!(
            refused,
            ChainError::UnknownIssuer {
                subject: String::from("CN=Issuing"),
                issuer: String::from("CN=Test Root"),
                trusted: String::from("\"CN=Stranger\""),
            }
        );
        assert!(matches!(
            chain_to(&bundle, &[], Purpose::Client, NOW),
            Err(ChainError::UnknownIssuer { .. })
        ));
    }

    #[test]
    fn the_path_verifier_judges_dates_and_purpose_with_words() {
        let root = root();
        let trust = [root.certificate().clone()];
        let bundle = leaf(&root);
        let verdict = |purpose, now| chain_to(&bundle, &trust, purpose, now);
        assert_eq!(verdict(Purpose::Server, NOW), Err(ChainError::Purpose("server")));
        let early = verdict(Purpose::Client, NOW - 2 * DAY).unwrap_err();
        assert!(
            matches!(&early, ChainError::NotYetValid { wait, .. } if wait == "24 hours"),
            "{early:?}"
        );
        let late = verdict(Purpose::Client, NOW + 374 * DAY).unwrap_err();
        assert!(
            matches!(&late, ChainError::Expired { ago, .. } if ago == "10 days"),
            "{late:?}"
        );
        let not_a_certificate = [CertificateDer::from(vec![1, 2, 3])];
        let refused = chain_to(&bundle, &not_a_certificate, Purpose::Client, NOW);
        assert!(
            matches!(refused, Err(ChainError::Anchor { position: 1, .. })),
            "{refused:?}"
        );
    }
}
