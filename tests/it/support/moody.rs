//! A server that changes its mind about client certificates, as the other side of a rotation does.

use std::collections::HashSet;
use std::fmt;
use std::sync::{Arc, Mutex};

use rustls::client::danger::HandshakeSignatureValid;
use rustls::pki_types::{CertificateDer, UnixTime};
use rustls::server::NoServerSessionStorage;
use rustls::server::danger::{ClientCertVerified, ClientCertVerifier};
use rustls::{CertificateError, DigitallySignedStruct, DistinguishedName, Error, ServerConfig, SignatureScheme};

use super::peer::Tls;
use super::pki::{Key, Leaf, pki};

/// The certificates that are refused at the moment, in the handshake.
#[derive(Clone, Default)]
pub(crate) struct Mood(Arc<Mutex<HashSet<Vec<u8>>>>);

impl Mood {
    pub(crate) fn refuse(&self, leaf: &Leaf) {
        self.0.lock().expect("mood").insert(leaf.der());
    }

    pub(crate) fn accept(&self, leaf: &Leaf) {
        self.0.lock().expect("mood").remove(&leaf.der());
    }

    /// A good server of this mood. It resumes no session: each connection is judged.
    pub(crate) fn server(&self, tls: Tls) -> ServerConfig {
        let verifier = Moody {
            inner: pki().verifier(),
            mood: self.clone(),
        };
        let mut config = pki().server_config_with(tls, &pki().server(Key::Ecdsa), Arc::new(verifier));
        config.session_storage = Arc::new(NoServerSessionStorage {});
        config.send_tls13_tickets = 0;
        config
    }
}

struct Moody {
    inner: Arc<dyn ClientCertVerifier>,
    mood: Mood,
}

impl fmt::Debug for Moody {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Moody")
    }
}

impl ClientCertVerifier for Moody {
    fn root_hint_subjects(&self) -> &[DistinguishedName] {
        self.inner.root_hint_subjects()
    }

    fn verify_client_cert(
        &self,
        leaf: &CertificateDer<'_>,
        chain: &[CertificateDer<'_>],
        now: UnixTime,
    ) -> Result<ClientCertVerified, Error> {
        if self.mood.0.lock().expect("mood").contains(leaf.as_ref()) {
            return Err(Error::InvalidCertificate(CertificateError::Revoked));
        }
        self.inner.verify_client_cert(leaf, chain, now)
    }

    fn verify_tls12_signature(
        &self,
        message: &[u8],
        certificate: &CertificateDer<'_>,
        signed: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, Error> {
        self.inner.verify_tls12_signature(message, certificate, signed)
    }

    fn verify_tls13_signature(
        &self,
        message: &[u8],
        certificate: &CertificateDer<'_>,
        signed: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, Error> {
        self.inner.verify_tls13_signature(message, certificate, signed)
    }

    fn supported_verify_schemes(&self) -> Vec<SignatureScheme> {
        self.inner.supported_verify_schemes()
    }
}
