//! A handshake that looks and does not judge: what a server shows and asks for.
//!
//! For diagnosis only (`cert inspect host:port`, `doctor`): whatever certificate the server shows is accepted and
//! recorded, and no byte of a request is sent. This file is the only place where rustls' verification is replaced;
//! its configuration never leaves [`look`], so that no connection that carries a request can be made with it. RFC 8446
//! section 4.4, RFC 5246 section 7.4.

use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use rustls::client::danger::{HandshakeSignatureValid, ServerCertVerified, ServerCertVerifier};
use rustls::client::{ResolvesClientCert, Resumption, WebPkiServerVerifier};
use rustls::crypto::{CryptoProvider, verify_tls12_signature, verify_tls13_signature};
use rustls::sign::CertifiedKey;
use rustls::{CertificateError, ClientConfig, DigitallySignedStruct, Error, ProtocolVersion, SignatureScheme};
use rustls_pki_types::{CertificateDer, ServerName, UnixTime};
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::time::{Instant, timeout, timeout_at};
use tokio_rustls::{TlsConnector, client::TlsStream};

use super::dial::{DialError, Endpoint, connect};
use super::tls::{self, Failure};
use crate::cert::facts;
use crate::cert::load::Bundle;
use crate::fault::{Code, Fault};

/// Under TLS 1.3 a refusal of the client's certificate comes after the handshake: as long is listened for it.
const AFTERWARDS: Duration = Duration::from_millis(300);

/// What a server showed.
#[derive(Clone, Debug, Default)]
pub struct Seen {
    /// As sent, leaf first; nothing of it was verified.
    pub chain: Vec<CertificateDer<'static>>,
    /// `TLSv1.2` or `TLSv1.3`; `unknown` where the handshake did not get so far.
    pub version: &'static str,
    /// The cipher suite, as rustls names it.
    pub suite: String,
    /// The key exchange group, where one was used.
    pub group: String,
    /// The protocol that the server chose of `h2` and `http/1.1`.
    pub alpn: Option<String>,
    /// The server wants, or at least would take, a client certificate.
    pub asked_for_certificate: bool,
    /// The client's certificate was sent.
    pub sent_certificate: bool,
    /// The CAs that the server says it accepts, as text for people; may be empty although it asks.
    pub issuers: Vec<String>,
    /// Why the server's proof that it holds the key of its certificate could not be confirmed.
    pub unproven: Option<String>,
    /// What went wrong after the server had shown its certificate: in the handshake, or just after it.
    pub failure: Option<(Failure, Fault)>,
}

/// Shakes hands and records what it sees. The client certificate is shown when the server asks, whoever it is.
///
/// # Errors
/// [`DialError`] when it did not come to a server certificate.
pub async fn look(endpoint: &Endpoint, identity: Option<&Bundle>) -> Result<Seen, DialError> {
    let recorder = Arc::new(Recorder::new(identity).map_err(DialError::before_dialling)?);
    let config = recorder.config().map_err(DialError::before_dialling)?;
    let tcp = connect(endpoint).await?;
    let connector = TlsConnector::from(Arc::new(config));
    let deadline = Instant::now() + endpoint.handshake;
    let shaken = timeout_at(deadline, connector.connect(endpoint.server_name.clone(), tcp)).await;
    let mut seen = recorder.seen();
    let error = match shaken {
        Ok(Ok(mut stream)) => {
            seen.describe(&stream);
            seen.failure = afterwards(&mut stream, endpoint).await;
            return Ok(seen);
        }
        Ok(Err(error)) => tls::judge(&error, "during the TLS handshake", endpoint),
        Err(_) => late(endpoint),
    };
    if seen.chain.is_empty() {
        let (failure, fault) = error;
        return Err(DialError {
            fault,
            handshake: Some(failure),
            refused: false,
        });
    }
    seen.failure = Some(error);
    Ok(seen)
}

impl Seen {
    /// Whether a connection that matters would have taken this certificate: by the verifier of such connections.
    ///
    /// # Errors
    /// Why not, in words.
    pub fn verify(&self, anchors: &[CertificateDer<'static>], name: &ServerName<'_>, now: i64) -> Result<(), String> {
        let roots = tls::roots(anchors).map_err(|error| error.to_string())?;
        let verifier = WebPkiServerVerifier::builder_with_provider(Arc::new(roots), tls::provider())
            .build()
            .map_err(|error| error.to_string())?;
        let Some((leaf, intermediates)) = self.chain.split_first() else {
            return Err(String::from("it showed no certificate"));
        };
        let now = UnixTime::since_unix_epoch(Duration::from_secs(u64::try_from(now).unwrap_or_default()));
        match verifier.verify_server_cert(leaf, intermediates, name, &[], now) {
            Ok(_) => Ok(()),
            Err(Error::InvalidCertificate(CertificateError::UnknownIssuer)) => Err(String::from(
                "it does not lead to any of the given CAs, or an intermediate is missing from what the server sends",
            )),
            Err(error) => Err(facts::printable(&error.to_string())),
        }
    }

    fn describe(&mut self, stream: &TlsStream<tokio::net::TcpStream>) {
        let session = stream.get_ref().1;
        self.version = tls::version(session.protocol_version());
        if let Some(suite) = session.negotiated_cipher_suite() {
            self.suite = format!("{:?}", suite.suite());
        }
        if let Some(group) = session.negotiated_key_exchange_group() {
            self.group = format!("{:?}", group.name());
        }
        let text = |name: &[u8]| facts::printable(&String::from_utf8_lossy(name));
        self.alpn = session.alpn_protocol().map(text);
    }
}

/// Listens for a refusal, and leaves in good order.
async fn afterwards(stream: &mut TlsStream<tokio::net::TcpStream>, endpoint: &Endpoint) -> Option<(Failure, Fault)> {
    let mut byte = [0; 1];
    match timeout(AFTERWARDS, stream.read(&mut byte)).await {
        Ok(Err(error)) => Some(tls::judge(&error, "just after the TLS handshake", endpoint)),
        Ok(Ok(0)) => {
            let closed = std::io::ErrorKind::UnexpectedEof.into();
            Some(tls::judge(&closed, "just after the TLS handshake", endpoint))
        }
        // It waits for a request, as it should, or speaks first, as some protocols do.
        Ok(Ok(_)) | Err(_) => {
            let _ = timeout(AFTERWARDS, stream.shutdown()).await;
            None
        }
    }
}

fn late(endpoint: &Endpoint) -> (Failure, Fault) {
    let sentence = format!(
        "the TLS handshake with {endpoint} did not finish within {:?}; check that it is the TLS port",
        endpoint.handshake
    );
    (Failure::Timeout, Fault::new(Code::UpstreamTimeout, sentence))
}

/// Accepts every server certificate, shows the client's to whoever asks, and writes down both.
#[derive(Debug)]
struct Recorder {
    provider: Arc<CryptoProvider>,
    identity: Option<Arc<CertifiedKey>>,
    seen: Mutex<Seen>,
}

impl Recorder {
    fn new(identity: Option<&Bundle>) -> Result<Self, Fault> {
        let provider = tls::provider();
        let certified = |bundle: &Bundle| {
            CertifiedKey::from_der(bundle.chain().to_vec(), bundle.key().clone_key(), &provider)
                .map(Arc::new)
                .map_err(|e| {
                    Fault::new(
                        Code::IdentityMissing,
                        format!("the client certificate cannot be used: {e}"),
                    )
                })
        };
        let identity = identity.map(certified).transpose()?;
        Ok(Self {
            identity,
            seen: Mutex::new(Seen {
                version: tls::version(None),
                ..Seen::default()
            }),
            provider,
        })
    }

    fn config(self: &Arc<Self>) -> Result<ClientConfig, Fault> {
        let builder = ClientConfig::builder_with_provider(self.provider.clone())
            .with_safe_default_protocol_versions()
            .map_err(|e| Fault::new(Code::UpstreamTls, format!("TLS cannot be set up: {e}")))?;
        let mut config = builder
            .dangerous()
            .with_custom_certificate_verifier(self.clone())
            .with_client_cert_resolver(self.clone());
        config.resumption = Resumption::disabled();
        config.alpn_protocols = vec![b"h2".to_vec(), b"http/1.1".to_vec()];
        Ok(config)
    }

    fn seen(&self) -> Seen {
        self.seen.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }

    fn note(&self, note: impl FnOnce(&mut Seen)) {
        note(&mut self.seen.lock().unwrap_or_else(PoisonError::into_inner));
    }

    fn signature(&self, proof: Result<HandshakeSignatureValid, Error>) -> HandshakeSignatureValid {
        proof.unwrap_or_else(|error| {
            self.note(|seen| seen.unproven = Some(error.to_string()));
            HandshakeSignatureValid::assertion()
        })
    }
}

impl ServerCertVerifier for Recorder {
    fn verify_server_cert(
        &self,
        end_entity: &CertificateDer<'_>,
        intermediates: &[CertificateDer<'_>],
        _: &ServerName<'_>,
        _: &[u8],
        _: UnixTime,
    ) -> Result<ServerCertVerified, Error> {
        let all = std::iter::once(end_entity).chain(intermediates);
        let chain = all.map(|certificate| certificate.clone().into_owned()).collect();
        self.note(|seen| seen.chain = chain);
        Ok(ServerCertVerified::assertion())
    }

    fn verify_tls12_signature(
        &self,
        message: &[u8],
        cert: &CertificateDer<'_>,
        dss: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, Error> {
        self.note(|seen| seen.version = tls::version(Some(ProtocolVersion::TLSv1_2)));
        let algorithms = &self.provider.signature_verification_algorithms;
        Ok(self.signature(verify_tls12_signature(message, cert, dss, algorithms)))
    }

    fn verify_tls13_signature(
        &self,
        message: &[u8],
        cert: &CertificateDer<'_>,
        dss: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, Error> {
        self.note(|seen| seen.version = tls::version(Some(ProtocolVersion::TLSv1_3)));
        let algorithms = &self.provider.signature_verification_algorithms;
        Ok(self.signature(verify_tls13_signature(message, cert, dss, algorithms)))
    }

    fn supported_verify_schemes(&self) -> Vec<SignatureScheme> {
        self.provider.signature_verification_algorithms.supported_schemes()
    }
}

impl ResolvesClientCert for Recorder {
    fn resolve(&self, issuers: &[&[u8]], _: &[SignatureScheme]) -> Option<Arc<CertifiedKey>> {
        self.note(|seen| {
            seen.asked_for_certificate = true;
            seen.sent_certificate = self.identity.is_some();
            seen.issuers = issuers.iter().map(|name| facts::name(name)).collect();
        });
        self.identity.clone()
    }

    fn has_certs(&self) -> bool {
        // Also without one: only who could have one is asked.
        true
    }
}

#[cfg(test)]
mod tests {
    use tokio::net::TcpListener;
    use tokio_rustls::TlsAcceptor;

    use super::*;
    use crate::cert::Trusted;
    use crate::cert::issue::{Authority, Purposes, Spec, Validity};
    use crate::cert::load;
    use crate::config::settings::TlsVersion;

    fn authority(name: &str) -> Authority {
        Authority::new_root(name, Validity::days(1_700_000_000, 10)).expect("a root")
    }

    fn leaf(authority: &Authority, purposes: Purposes) -> Bundle {
        let spec = Spec {
            dns: vec![String::from("ndh.example")],
            ..Spec::new("ndh", purposes, Validity::days(1_700_000_000, 10))
        };
        let issued = authority.issue(&spec).expect("a leaf");
        load::bundle(issued.chain_pem.as_bytes(), issued.key_pem.expose().as_bytes()).expect("a bundle")
    }

    /// One handshake with a server that asks for certificates of `client_ca`; its own has long expired.
    async fn looked(client_ca: &Authority, identity: Option<&Bundle>) -> Result<Seen, DialError> {
        let bundle = leaf(client_ca, Purposes::Server);
        let trusted = Trusted::anchors(vec![client_ca.certificate().clone()]);
        let verifier = tls::client_verifier(&trusted).expect("a verifier");
        let config = tls::server_config(&bundle, verifier, TlsVersion::V1_2).expect("TLS");
        let listener = TcpListener::bind("127.0.0.1:0").await.expect("a port");
        let port = listener.local_addr().expect("an address").port();
        let serve = async {
            let (tcp, _) = listener.accept().await.expect("a connection");
            if let Ok(mut stream) = TlsAcceptor::from(Arc::new(config)).accept(tcp).await {
                let _ = stream.read(&mut [0; 1]).await;
            }
        };
        let endpoint = endpoint(port);
        tokio::join!(serve, look(&endpoint, identity)).1
    }

    fn endpoint(port: u16) -> Endpoint {
        Endpoint {
            host: String::from("127.0.0.1"),
            port,
            server_name: ServerName::try_from("ndh.example").expect("a name"),
            connect: Duration::from_secs(10),
            handshake: Duration::from_secs(10),
        }
    }

    #[tokio::test]
    async fn an_expired_server_is_seen_with_what_it_asks_for_and_its_refusal() {
        let authority = authority("Asking CA");
        let seen = looked(&authority, None).await.expect("it is seen");
        assert_eq!(seen.chain.len(), 1);
        assert_eq!((seen.version, seen.alpn.as_deref()), ("TLSv1.3", Some("http/1.1")));
        assert!(seen.asked_for_certificate && !seen.sent_certificate && seen.unproven.is_none());
        assert_eq!(seen.issuers, ["CN=Asking CA"]);
        let (failure, fault) = seen.failure.expect("the refusal that comes after the handshake");
        assert_eq!((failure, fault.code), (Failure::OurCertificate, Code::IdentityRejected));
    }

    #[tokio::test]
    async fn the_certificate_is_shown_to_who_asks_for_it() {
        let authority = authority("Asking CA");
        let stranger = self::authority("Stranger");
        let theirs = leaf(&stranger, Purposes::Client);
        let seen = looked(&authority, Some(&theirs)).await.expect("it is seen");
        assert!(seen.sent_certificate);
        // It belongs to a stranger and has expired; the server says the latter.
        assert_eq!(seen.failure.expect("refused").0, Failure::OurCertificateExpired);
    }

    #[tokio::test]
    async fn what_speaks_no_tls_and_what_is_not_there_are_errors() {
        let listener = TcpListener::bind("127.0.0.1:0").await.expect("a port");
        let endpoint = endpoint(listener.local_addr().expect("an address").port());
        let plain = async {
            let (mut tcp, _) = listener.accept().await.expect("a connection");
            let _ = tcp.write_all(b"HTTP/1.1 400 Bad Request\r\n\r\n").await;
            let _ = tcp.read(&mut [0; 1024]).await;
        };
        let error = tokio::join!(plain, look(&endpoint, None)).1.expect_err("no TLS");
        assert_eq!(error.handshake, Some(Failure::NotTls));
        drop(listener);
        let error = look(&endpoint, None).await.expect_err("nobody listens");
        assert_eq!((error.handshake, error.refused), (None, true));
    }
}
