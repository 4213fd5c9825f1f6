//! From a certificate to the trust anchors, by the verifier that handshakes use.
//!
//! [`judge`] is RFC 5280 section 6 as webpki does it, with the algorithms and the options of the TLS stack: what passes
//! here passes in a handshake, and the other way round. It stops at the first error; `verify` looks at all.
//!
//! With lists of revoked certificates the leaf is looked up in the list of its issuer; without one by its issuer it is
//! refused. Without any list nothing is looked up.

mod error;

use std::time::Duration;

use rustls::crypto::WebPkiSupportedAlgorithms;
use rustls::crypto::aws_lc_rs::default_provider;
use rustls_pki_types::{CertificateDer, CertificateRevocationListDer, ServerName, TrustAnchor, UnixTime};
use webpki::{
    CertRevocationList, EndEntityCert, Error as WebpkiError, ExpirationPolicy, KeyUsage, OwnedCertRevocationList,
    RevocationCheckDepth, RevocationOptionsBuilder, UnknownStatusPolicy, anchor_from_trusted_cert,
};
use x509_parser::certificate::X509Certificate;
use x509_parser::error::X509Error;
use x509_parser::prelude::FromDer as _;

use super::facts::{Facts, KeyAlgorithm};
use super::load::Bundle;
use super::verify::Purpose;
pub use error::ChainError;
use error::Context;

/// Whom to believe about a certificate, and which certificates were taken back.
#[derive(Clone, Debug, Default)]
pub struct Trusted {
    pub anchors: Vec<CertificateDer<'static>>,
    /// As `crl::read` returns them. Empty: revocation is not looked at.
    pub crls: Vec<CertificateRevocationListDer<'static>>,
    /// A list that was to be renewed is as good as none.
    pub refuse_stale: bool,
}

/// The path that was found.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Path {
    /// The intermediates in use, from the leaf's issuer on.
    pub intermediates: Vec<CertificateDer<'static>>,
    /// Which of the anchors it leads to.
    pub anchor: usize,
}

impl Trusted {
    /// Certificates to believe in, and no look at revocation.
    #[must_use]
    pub fn anchors(anchors: Vec<CertificateDer<'static>>) -> Self {
        Self {
            anchors,
            ..Self::default()
        }
    }
}

/// Whether the bundle chains to one of the anchors for the purpose at `now`: the same code and the same algorithms as
/// in a handshake.
pub fn chain_to(bundle: &Bundle, trusted: &Trusted, purpose: Purpose, now: i64) -> Result<(), ChainError> {
    for (index, anchor) in trusted.anchors.iter().enumerate() {
        if let Some(reason) = unusable_anchor(anchor) {
            let position = index + 1;
            return Err(ChainError::Anchor { position, reason });
        }
    }
    judge(bundle.chain(), trusted, purpose, &[], now).map(drop)
}

/// Why the TLS stack cannot use a certificate as a trust anchor, where it cannot.
#[must_use]
pub fn unusable_anchor(anchor: &CertificateDer<'_>) -> Option<String> {
    anchor_from_trusted_cert(anchor)
        .err()
        .map(|error| error::in_words(&error))
}

/// Whether a peer that trusts so would accept the chain, leaf first and the rest in any order, and for a server under
/// each of the names. An anchor that the TLS stack cannot use is as good as not there.
pub fn judge(
    chain: &[CertificateDer<'_>],
    trusted: &Trusted,
    purpose: Purpose,
    names: &[ServerName<'_>],
    now: i64,
) -> Result<Path, ChainError> {
    let context = Context {
        chain,
        trusted,
        purpose,
        name: None,
    };
    let Some((leaf, intermediates)) = chain.split_first() else {
        return Err(ChainError::Malformed("there is none"));
    };
    let (positions, anchors): (Vec<usize>, Vec<TrustAnchor<'_>>) = trusted
        .anchors
        .iter()
        .enumerate()
        .filter_map(|(index, anchor)| Some((index, anchor_from_trusted_cert(anchor).ok()?)))
        .unzip();
    let lists = lists(trusted)?;
    let lists: Vec<&CertRevocationList<'_>> = lists.iter().collect();
    // The very options of the verifiers that `transport::tls` builds.
    let revocation = RevocationOptionsBuilder::new(&lists).ok().map(|options| {
        options
            .with_depth(RevocationCheckDepth::EndEntity)
            .with_status_policy(UnknownStatusPolicy::Deny)
            .with_expiration_policy(if trusted.refuse_stale {
                ExpirationPolicy::Enforce
            } else {
                ExpirationPolicy::Ignore
            })
            .build()
    });
    let usage = match purpose {
        Purpose::Client => KeyUsage::client_auth(),
        Purpose::Server => KeyUsage::server_auth(),
    };
    let time = UnixTime::since_unix_epoch(Duration::from_secs(u64::try_from(now).unwrap_or_default()));
    let algorithms = default_provider().signature_verification_algorithms;
    let end_entity = EndEntityCert::try_from(leaf).map_err(|error| context.explain(error))?;
    let verified = end_entity
        .verify_for_usage(algorithms.all, &anchors, intermediates, time, usage, revocation, None)
        .map_err(|error| context.explain(error))?;
    let anchor = anchors
        .iter()
        .position(|anchor| std::ptr::eq(anchor, verified.anchor()));
    let found = Path {
        intermediates: verified
            .intermediate_certificates()
            .map(|certificate| certificate.der().into_owned())
            .collect(),
        anchor: anchor
            .and_then(|index| positions.get(index))
            .copied()
            .unwrap_or_default(),
    };
    for name in names {
        let context = Context {
            name: Some(&name.to_str()),
            ..context
        };
        end_entity
            .verify_is_valid_for_subject_name(name)
            .map_err(|error| context.explain(error))?;
    }
    handshake_key(leaf, &end_entity, &algorithms)?;
    Ok(found)
}

/// The lists in the form that the stack keeps them in.
fn lists(trusted: &Trusted) -> Result<Vec<CertRevocationList<'static>>, ChainError> {
    let list = |(index, der): (usize, &CertificateRevocationListDer<'_>)| {
        let list = OwnedCertRevocationList::from_der(der).map_err(|error| ChainError::Crl {
            position: index + 1,
            reason: error::in_words(&error),
        })?;
        Ok(CertRevocationList::from(list))
    };
    trusted.crls.iter().enumerate().map(list).collect()
}

/// After the path, a handshake checks a signature by the leaf's own key, which has to be of a kind and a size that the
/// stack accepts.
fn handshake_key(
    leaf: &CertificateDer<'_>,
    end_entity: &EndEntityCert<'_>,
    algorithms: &WebPkiSupportedAlgorithms,
) -> Result<(), ChainError> {
    let facts = Facts::read(leaf).ok();
    let described = || {
        facts
            .as_ref()
            .map_or_else(|| "of an unknown kind".to_owned(), |facts| facts.key.to_string())
    };
    let mut schemes = algorithms.mapping.iter().flat_map(|(_, algorithms)| algorithms.iter());
    let fits = schemes.any(|algorithm| {
        // Only whether it goes with the key is asked: no signature is empty.
        let verdict = end_entity.verify_signature(*algorithm, &[], &[]);
        !matches!(
            verdict,
            Err(WebpkiError::UnsupportedSignatureAlgorithmForPublicKeyContext(_))
        )
    });
    let rsa = facts.as_ref().filter(|facts| facts.key.algorithm == KeyAlgorithm::Rsa);
    let sized = rsa.is_none_or(|facts| (2048..=8192).contains(&facts.key.bits));
    if fits && sized {
        Ok(())
    } else {
        Err(ChainError::Key(described()))
    }
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

#[cfg(test)]
mod tests;
