//! A real handshake in memory between the configuration that this program would use and a peer that shows a chain.

use std::io;
use std::sync::Arc;

use delius_sidecar::cert::Trusted;
use delius_sidecar::cert::load;
use delius_sidecar::config::settings::TlsVersion;
use delius_sidecar::transport::tls;
use rustls::client::danger::{HandshakeSignatureValid, ServerCertVerified, ServerCertVerifier};
use rustls::pki_types::{CertificateDer, PrivateKeyDer, ServerName, UnixTime};
use rustls::sign::{CertifiedKey, SingleCertAndKey};
use rustls::{
    ClientConfig, ClientConnection, DigitallySignedStruct, Error, ServerConfig, ServerConnection, SignatureScheme,
};

use super::pki::{Key, pki};

/// Whether our side accepts this server under this name.
pub(crate) fn accepts_server(
    trusted: &Trusted,
    chain: Vec<CertificateDer<'static>>,
    key: PrivateKeyDer<'static>,
    name: ServerName<'static>,
) -> Result<(), Error> {
    let ours = tls::client_config(None, trusted, TlsVersion::V1_2, false).expect("a configuration");
    let theirs = ServerConfig::builder_with_provider(tls::provider())
        .with_safe_default_protocol_versions()
        .expect("versions")
        .with_no_client_auth()
        .with_cert_resolver(shown(chain, &key));
    let mut ours = ClientConnection::new(Arc::new(ours), name).expect("a client");
    let mut theirs = ServerConnection::new(Arc::new(theirs)).expect("a server");
    for _ in 0..10 {
        carry(|out| ours.write_tls(out), |bytes| theirs.read_tls(bytes));
        let _ = theirs.process_new_packets();
        carry(|out| theirs.write_tls(out), |bytes| ours.read_tls(bytes));
        ours.process_new_packets()?;
    }
    assert!(!ours.is_handshaking(), "it came to no end");
    Ok(())
}

/// Whether our side accepts this client.
pub(crate) fn accepts_client(
    trusted: &Trusted,
    chain: Vec<CertificateDer<'static>>,
    key: PrivateKeyDer<'static>,
) -> Result<(), Error> {
    let leaf = pki().server(Key::Ecdsa);
    let bundle = load::bundle(leaf.chain_pem.as_bytes(), leaf.key_pem.as_bytes()).expect("a bundle");
    let verifier = tls::client_verifier(trusted).expect("a verifier");
    let ours = tls::server_config(&bundle, verifier, TlsVersion::V1_2).expect("a configuration");
    let theirs = ClientConfig::builder_with_provider(tls::provider())
        .with_safe_default_protocol_versions()
        .expect("versions")
        .dangerous()
        .with_custom_certificate_verifier(Arc::new(Careless))
        .with_client_cert_resolver(shown(chain, &key));
    let name = ServerName::try_from("ndh.example").expect("a name");
    let mut theirs = ClientConnection::new(Arc::new(theirs), name).expect("a client");
    let mut ours = ServerConnection::new(Arc::new(ours)).expect("a server");
    for _ in 0..10 {
        carry(|out| theirs.write_tls(out), |bytes| ours.read_tls(bytes));
        ours.process_new_packets()?;
        carry(|out| ours.write_tls(out), |bytes| theirs.read_tls(bytes));
        let _ = theirs.process_new_packets();
    }
    assert!(!ours.is_handshaking(), "it came to no end");
    Ok(())
}

/// A pair that is shown as it is: whether it fits is for the other side to find out.
fn shown(chain: Vec<CertificateDer<'static>>, key: &PrivateKeyDer<'static>) -> Arc<SingleCertAndKey> {
    let key = rustls::crypto::aws_lc_rs::sign::any_supported_type(key).expect("a key");
    Arc::new(SingleCertAndKey::from(CertifiedKey::new(chain, key)))
}

fn carry(
    mut write: impl FnMut(&mut dyn io::Write) -> io::Result<usize>,
    mut read: impl FnMut(&mut dyn io::Read) -> io::Result<usize>,
) {
    let mut bytes = Vec::new();
    while write(&mut bytes).expect("memory") > 0 {}
    let mut rest = bytes.as_slice();
    while !rest.is_empty() && read(&mut rest).expect("memory") > 0 {}
}

/// A client that looks at nothing: it is the one that is judged.
#[derive(Debug)]
struct Careless;

impl ServerCertVerifier for Careless {
    fn verify_server_cert(
        &self,
        _: &CertificateDer<'_>,
        _: &[CertificateDer<'_>],
        _: &ServerName<'_>,
        _: &[u8],
        _: UnixTime,
    ) -> Result<ServerCertVerified, Error> {
        Ok(ServerCertVerified::assertion())
    }

    fn verify_tls12_signature(
        &self,
        _: &[u8],
        _: &CertificateDer<'_>,
        _: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, Error> {
        Ok(HandshakeSignatureValid::assertion())
    }

    fn verify_tls13_signature(
        &self,
        _: &[u8],
        _: &CertificateDer<'_>,
        _: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, Error> {
        Ok(HandshakeSignatureValid::assertion())
    }

    fn supported_verify_schemes(&self) -> Vec<SignatureScheme> {
        tls::provider().signature_verification_algorithms.supported_schemes()
    }
}
