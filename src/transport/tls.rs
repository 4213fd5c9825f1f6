//! TLS by rustls: the crypto provider, configurations made from a bundle, and rustls' errors in our words.
//!
//! A configuration belongs to one generation: its own certificate resolver, its own verifier, its own session store.
//! Sharing any of them would let a session of an old certificate be resumed after rotation.

use std::fmt;
use std::io;
use std::sync::{Arc, OnceLock};

use rustls::client::{Resumption, WebPkiServerVerifier};
use rustls::crypto::CryptoProvider;
use rustls::server::danger::ClientCertVerifier;
use rustls::server::{ServerSessionMemoryCache, WebPkiClientVerifier};
use rustls::{
    AlertDescription, CertificateError, ClientConfig, Error, InvalidMessage, ProtocolVersion, RootCertStore,
    ServerConfig, SupportedProtocolVersion,
};
use rustls_pki_types::CertificateDer;

use crate::cert::Trusted;
use crate::cert::load::Bundle;
use crate::config::settings::TlsVersion;
use crate::fault::{Code, Fault};

/// Sessions that a generation remembers for resumption.
const CLIENT_SESSIONS: usize = 64;
const SERVER_SESSIONS: usize = 1024;

/// The only crypto provider in the program; always passed explicitly.
pub fn provider() -> Arc<CryptoProvider> {
    static PROVIDER: OnceLock<Arc<CryptoProvider>> = OnceLock::new();
    PROVIDER
        .get_or_init(|| Arc::new(rustls::crypto::aws_lc_rs::default_provider()))
        .clone()
}

/// Draws from the random generator once: its first use on a thread seeds it, which would else be a part of the first
/// request's handshake (docs/decisions/0023).
pub fn warm_up() {
    let mut drawn = [0; 32];
    // A failure shows again, with words, in the first handshake.
    let _ = provider().secure_random.fill(&mut drawn);
}

/// A configuration that could not be made.
#[derive(Debug, thiserror::Error)]
pub enum TlsError {
    #[error("certificate {position} of the trust bundle cannot be used as a trust anchor: {reason}")]
    Anchor { position: usize, reason: String },
    #[error("the certificate and key cannot be used for TLS: {0}")]
    Identity(String),
    #[error("the client CA bundle or its CRL cannot be used: {0}")]
    ClientCa(String),
    #[error("the trust bundle or its CRL cannot be used: {0}")]
    Trust(String),
}

pub(super) fn roots(anchors: &[CertificateDer<'static>]) -> Result<RootCertStore, TlsError> {
    let mut store = RootCertStore::empty();
    for (index, anchor) in anchors.iter().enumerate() {
        store.add(anchor.clone()).map_err(|e| TlsError::Anchor {
            position: index + 1,
            reason: e.to_string(),
        })?;
    }
    Ok(store)
}

fn versions(min: TlsVersion) -> &'static [&'static SupportedProtocolVersion] {
    static FROM_1_2: &[&SupportedProtocolVersion] = &[&rustls::version::TLS13, &rustls::version::TLS12];
    static FROM_1_3: &[&SupportedProtocolVersion] = &[&rustls::version::TLS13];
    match min {
        TlsVersion::V1_2 => FROM_1_2,
        TlsVersion::V1_3 => FROM_1_3,
    }
}

/// The configuration of one generation towards one upstream. With lists of revoked certificates the server's
/// certificate must be known not to be on its issuer's; `cert::chain` judges with the same options.
///
/// # Errors
/// [`TlsError`] when an anchor or the identity cannot be used.
pub fn client_config(
    identity: Option<&Bundle>,
    trusted: &Trusted,
    min: TlsVersion,
    http2: bool,
) -> Result<ClientConfig, TlsError> {
    let mut verifier = WebPkiServerVerifier::builder_with_provider(Arc::new(roots(&trusted.anchors)?), provider())
        .with_crls(trusted.crls.iter().cloned())
        .only_check_end_entity_revocation();
    if trusted.refuse_stale {
        verifier = verifier.enforce_revocation_expiration();
    }
    let builder = ClientConfig::builder_with_provider(provider())
        .with_protocol_versions(versions(min))
        .map_err(|e| TlsError::Identity(e.to_string()))?
        .with_webpki_verifier(verifier.build().map_err(|e| TlsError::Trust(e.to_string()))?);
    let mut config = match identity {
        Some(bundle) => builder
            .with_client_auth_cert(bundle.chain().to_vec(), bundle.key().clone_key())
            .map_err(|e| TlsError::Identity(e.to_string()))?,
        None => builder.with_no_client_auth(),
    };
    config.resumption = Resumption::in_memory_sessions(CLIENT_SESSIONS);
    if http2 {
        config.alpn_protocols = vec![b"h2".to_vec(), b"http/1.1".to_vec()];
    }
    Ok(config)
}

/// What judges the certificates of callers: one is required. With lists of revoked certificates it must be known not to
/// be on its issuer's; `cert::chain` judges with the same options.
///
/// # Errors
/// [`TlsError`] when the client CA cannot be used.
pub fn client_verifier(trusted: &Trusted) -> Result<Arc<dyn ClientCertVerifier>, TlsError> {
    let mut verifier = WebPkiClientVerifier::builder_with_provider(Arc::new(roots(&trusted.anchors)?), provider())
        .with_crls(trusted.crls.iter().cloned())
        .only_check_end_entity_revocation();
    if trusted.refuse_stale {
        verifier = verifier.enforce_revocation_expiration();
    }
    verifier.build().map_err(|e| TlsError::ClientCa(e.to_string()))
}

/// The configuration of the gateway's front.
///
/// # Errors
/// [`TlsError`] when the bundle cannot be used.
pub fn server_config(
    bundle: &Bundle,
    verifier: Arc<dyn ClientCertVerifier>,
    min: TlsVersion,
) -> Result<ServerConfig, TlsError> {
    let mut config = ServerConfig::builder_with_provider(provider())
        .with_protocol_versions(versions(min))
        .map_err(|e| TlsError::Identity(e.to_string()))?
        .with_client_cert_verifier(verifier)
        .with_single_cert(bundle.chain().to_vec(), bundle.key().clone_key())
        .map_err(|e| TlsError::Identity(e.to_string()))?;
    config.session_storage = ServerSessionMemoryCache::new(SERVER_SESSIONS);
    config.alpn_protocols = vec![b"http/1.1".to_vec()];
    Ok(config)
}

/// A protocol version as it is written in logs and metrics.
#[must_use]
pub fn version(version: Option<ProtocolVersion>) -> &'static str {
    match version {
        Some(ProtocolVersion::TLSv1_3) => "TLSv1.3",
        Some(ProtocolVersion::TLSv1_2) => "TLSv1.2",
        _ => "unknown",
    }
}

/// Why TLS failed: the fixed list of metric labels.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Failure {
    /// The other side refuses our certificate, or the lack of one.
    OurCertificate,
    /// The other side says that our certificate has expired.
    OurCertificateExpired,
    /// The server's certificate does not lead to a trusted authority.
    UnknownIssuer,
    /// The server's certificate is for another name.
    Name,
    /// The server's certificate is expired or not yet valid.
    Dates,
    /// The server's certificate has been revoked.
    ServerRevoked,
    /// The CRL does not say whether the server's certificate has been revoked: it is another CA's, or out of date.
    ServerRevocationUnknown,
    /// The server's certificate is unacceptable for another reason.
    ServerCertificate,
    /// No common version or cipher suite.
    Protocol,
    /// What answered does not speak TLS.
    NotTls,
    /// The connection was closed or reset.
    Closed,
    Timeout,
    Other,
}

impl Failure {
    /// The metric label.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::OurCertificate => "our_certificate_refused",
            Self::OurCertificateExpired => "our_certificate_expired",
            Self::UnknownIssuer => "unknown_issuer",
            Self::Name => "name_mismatch",
            Self::Dates => "server_certificate_dates",
            Self::ServerRevoked => "server_revoked",
            Self::ServerRevocationUnknown => "server_revocation_unknown",
            Self::ServerCertificate => "server_certificate",
            Self::Protocol => "protocol",
            Self::NotTls => "not_tls",
            Self::Closed => "closed",
            Self::Timeout => "timeout",
            Self::Other => "other",
        }
    }
}

/// Turns an error of a TLS stream into a reason and a fault. Works for reads after the handshake too: under TLS 1.3 a
/// refusal of our certificate arrives only then.
#[must_use]
pub fn judge(error: &io::Error, when: &str, peer: &dyn fmt::Display) -> (Failure, Fault) {
    let Some(tls) = error.get_ref().and_then(|inner| inner.downcast_ref::<Error>()) else {
        let sentence = format!("{peer} closed the connection {when} ({error})");
        return (Failure::Closed, Fault::new(Code::UpstreamReset, sentence));
    };
    let (failure, code) = match tls {
        Error::AlertReceived(alert) => of_alert(*alert),
        Error::InvalidCertificate(reason) => (of_certificate(reason), Code::UpstreamTls),
        Error::InvalidCertRevocationList(_) => (Failure::ServerRevocationUnknown, Code::UpstreamTls),
        Error::InvalidMessage(InvalidMessage::InvalidContentType) => (Failure::NotTls, Code::UpstreamTls),
        Error::PeerIncompatible(_) => (Failure::Protocol, Code::UpstreamTls),
        _ => (Failure::Other, Code::UpstreamTls),
    };
    (
        failure,
        Fault::new(code, format!("{peer} {when}: {tls}; {}", advice(failure))),
    )
}

fn of_alert(alert: AlertDescription) -> (Failure, Code) {
    use AlertDescription as A;
    match alert {
        A::CertificateExpired => (Failure::OurCertificateExpired, Code::IdentityExpired),
        A::CertificateRequired
        | A::NoCertificate
        | A::BadCertificate
        | A::UnsupportedCertificate
        | A::CertificateRevoked
        | A::CertificateUnknown
        | A::UnknownCA
        | A::AccessDenied => (Failure::OurCertificate, Code::IdentityRejected),
        A::ProtocolVersion | A::HandshakeFailure | A::InsufficientSecurity | A::NoApplicationProtocol => {
            (Failure::Protocol, Code::UpstreamTls)
        }
        _ => (Failure::Other, Code::UpstreamTls),
    }
}

fn of_certificate(reason: &CertificateError) -> Failure {
    use CertificateError as E;
    match reason {
        E::Expired | E::ExpiredContext { .. } | E::NotValidYet | E::NotValidYetContext { .. } => Failure::Dates,
        E::NotValidForName | E::NotValidForNameContext { .. } => Failure::Name,
        E::UnknownIssuer => Failure::UnknownIssuer,
        E::Revoked => Failure::ServerRevoked,
        E::UnknownRevocationStatus | E::ExpiredRevocationList | E::ExpiredRevocationListContext { .. } => {
            Failure::ServerRevocationUnknown
        }
        _ => Failure::ServerCertificate,
    }
}

/// What the person on call should look at.
fn advice(failure: Failure) -> &'static str {
    match failure {
        Failure::OurCertificate => {
            "it refuses our client certificate: check that its CA and its allow-list know the certificate in use"
        }
        Failure::OurCertificateExpired => {
            "it says that our client certificate has expired: rotate it, or compare the clocks"
        }
        Failure::UnknownIssuer => {
            "the server's certificate does not lead to the configured trust bundle: check `trust`"
        }
        Failure::Name => "the server's certificate is for another name: check `url` and `server_name`",
        Failure::Dates => "the server's certificate is not valid now: tell its operators, and compare the clocks",
        Failure::ServerRevoked => "the CRL says that the server's certificate was revoked: tell its operators",
        Failure::ServerRevocationUnknown => {
            "the file in `crl` does not tell whether the server's certificate was revoked: fetch its CA's newest list"
        }
        Failure::ServerCertificate => "the server's certificate is not acceptable",
        Failure::Protocol => "no TLS version or cipher suite in common, or it wants a certificate that it did not get",
        Failure::NotTls => "what answers there does not speak TLS: check the port",
        Failure::Closed | Failure::Timeout | Failure::Other => "look at its log for the same moment",
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn judged(error: Error) -> (Failure, Code) {
        let (failure, fault) = judge(
            &io::Error::new(io::ErrorKind::InvalidData, error),
            "during the handshake",
            &"ndh:8443",
        );
        (failure, fault.code)
    }

    #[test]
    fn a_refusal_of_our_certificate_is_told_from_a_fault_of_the_server() {
        assert_eq!(
            judged(Error::AlertReceived(AlertDescription::UnknownCA)),
            (Failure::OurCertificate, Code::IdentityRejected)
        );
        assert_eq!(
            judged(Error::AlertReceived(AlertDescription::CertificateRequired)).1,
            Code::IdentityRejected
        );
        assert_eq!(
            judged(Error::AlertReceived(AlertDescription::CertificateExpired)).1,
            Code::IdentityExpired
        );
        assert_eq!(
            judged(Error::InvalidCertificate(CertificateError::UnknownIssuer)),
            (Failure::UnknownIssuer, Code::UpstreamTls)
        );
        assert_eq!(
            judged(Error::InvalidCertificate(CertificateError::Expired)).0,
            Failure::Dates
        );
        assert_eq!(
            judged(Error::InvalidMessage(InvalidMessage::InvalidContentType)).0,
            Failure::NotTls
        );
    }

    #[test]
    fn a_closed_connection_is_not_a_verdict_on_a_certificate() {
        let (failure, fault) = judge(
            &io::ErrorKind::UnexpectedEof.into(),
            "during the handshake",
            &"ndh:8443",
        );
        assert_eq!((failure, fault.code), (Failure::Closed, Code::UpstreamReset));
    }
}
