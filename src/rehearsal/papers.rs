//! The throw-away certificates of a rehearsal, and a caller who shows one of them at the gateway's door.
//!
//! One root with an issuing CA, the two ends that trust it, and two callers who must not get in. Everything is
//! valid for a day. The CA stays at hand, so that a rehearsal can have more certificates of it. The caller is rustls on a blocking socket: whoever is refused must be refused by the gateway,
//! not by the sidecar's own care.

use std::io;
use std::net::{IpAddr, Ipv4Addr, SocketAddr, TcpStream};
use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use rustls::pki_types::pem::PemObject;
use rustls::pki_types::{CertificateDer, PrivateKeyDer, ServerName};

use super::client::{Answer, Ask};
use super::place;
use crate::cert::issue::{Authority, IssueError, Issued, Purposes, Spec, Validity};

/// The name that the application's certificate carries, and that the gateway lets in.
pub const APP: &str = "allocation-manager";
const PATIENCE: Duration = Duration::from_secs(10);
/// Clocks of two processes on one machine agree; certificates are made for worse.
const CLOCK_SKEW: i64 = 300;

/// A root and the CA below it that signs leafs.
#[derive(Debug)]
pub struct Ca {
    pub root: Authority,
    pub issuing: Authority,
}

/// All certificates of one rehearsal.
#[derive(Debug)]
pub struct Papers {
    pub ca: Ca,
    /// What both ends trust, PEM.
    pub root_pem: String,
    /// The CA's list of what it takes back: nothing.
    pub revoked_pem: String,
    pub gateway: Issued,
    pub app: Issued,
    /// The right CA, another name.
    pub wrong_name: Issued,
    /// The right name, another CA.
    pub stranger: Issued,
}

/// What became of a caller at the gateway.
#[derive(Debug)]
pub enum Knock {
    /// An HTTP reply: the TLS layer let the caller in.
    Answered(Answer),
    /// Turned away in the handshake, or right after it as TLS 1.3 does; with what was said.
    Refused(String),
}

impl Ca {
    /// A CA whose names carry `mark`, valid for a day.
    pub fn new(mark: &str, now: i64) -> Result<Self, IssueError> {
        let root = Authority::new_root(&format!("rehearsal root {mark}"), day(now))?;
        let issuing = root.issue_intermediate(&format!("rehearsal issuing CA {mark}"), day(now))?;
        Ok(Self { root, issuing })
    }

    /// A client certificate of this name.
    pub fn client(&self, name: &str, now: i64) -> Result<Issued, IssueError> {
        self.issuing.issue(&client(name, day(now)))
    }

    /// A certificate for the gateway on this machine.
    pub fn gateway(&self, now: i64) -> Result<Issued, IssueError> {
        self.issuing.issue(&Spec {
            dns: vec!["localhost".to_owned()],
            ip: vec![IpAddr::V4(Ipv4Addr::LOCALHOST)],
            ..Spec::new("gateway", Purposes::Server, day(now))
        })
    }

    /// The issuing CA's list of the certificates that it takes back.
    pub fn revoked(&self, serials: &[&str], now: i64) -> Result<String, IssueError> {
        self.issuing.crl(serials, now, day(now).not_after)
    }
}

/// A day, from a moment ago on.
#[must_use]
pub const fn day(now: i64) -> Validity {
    Validity::days(now - CLOCK_SKEW, 1)
}

/// What a client certificate of this name says.
#[must_use]
pub fn client(name: &str, validity: Validity) -> Spec {
    Spec {
        dns: vec![name.to_owned()],
        ..Spec::new(name, Purposes::Client, validity)
    }
}

impl Papers {
    pub fn issue(now: i64) -> Result<Self, IssueError> {
        let ca = Ca::new("1", now)?;
        let other = Authority::new_root("somebody else's root", day(now))?;
        Ok(Self {
            root_pem: ca.root.certificate_pem(),
            revoked_pem: ca.revoked(&[], now)?,
            gateway: ca.gateway(now)?,
            app: ca.client(APP, now)?,
            wrong_name: ca.client("somebody-else", now)?,
            stranger: other.issue(&client(APP, day(now)))?,
            ca,
        })
    }

    /// Writes everything below `directory`: certificates as a mounted Kubernetes TLS secret has them, and for either
    /// end whom it trusts.
    pub fn write(&self, directory: &Path) -> io::Result<()> {
        for (name, issued) in [
            ("gateway", &self.gateway),
            ("identity", &self.app),
            ("wrong-name", &self.wrong_name),
            ("stranger", &self.stranger),
        ] {
            let place = directory.join(name);
            std::fs::create_dir(&place)?;
            place::swap(&place, &place::pair(issued))?;
        }
        for (name, files) in [
            ("trust", &[(place::BUNDLE, &*self.root_pem)][..]),
            (
                "client-ca",
                &[(place::BUNDLE, &self.root_pem), (place::REVOKED, &self.revoked_pem)],
            ),
            ("staged", &[]),
        ] {
            let place = directory.join(name);
            std::fs::create_dir(&place)?;
            place::rename(&place, files)?;
        }
        Ok(())
    }

    /// Calls the gateway with a certificate, or with none. An error means that nothing was learnt.
    pub fn knock(&self, gateway: SocketAddr, with: Option<&Issued>, ask: &Ask<'_>) -> io::Result<Knock> {
        knock(&self.root_pem, gateway, with, ask)
    }
}

/// Calls the gateway as one who trusts these roots.
pub fn knock(roots_pem: &str, gateway: SocketAddr, with: Option<&Issued>, ask: &Ask<'_>) -> io::Result<Knock> {
    let (mut connection, mut stream) = call(roots_pem, gateway, with)?;
    let stream = rustls::Stream::new(&mut connection, &mut stream);
    match ask.exchange(stream, &gateway.to_string()) {
        Ok(answer) => Ok(Knock::Answered(answer)),
        Err(error) => refusal(&error).map(Knock::Refused).ok_or(error),
    }
}

/// The leaf that the gateway shows to a caller.
pub fn served(roots_pem: &str, gateway: SocketAddr, with: &Issued) -> io::Result<CertificateDer<'static>> {
    let (mut connection, mut stream) = call(roots_pem, gateway, Some(with))?;
    while connection.is_handshaking() {
        connection.complete_io(&mut stream)?;
    }
    let leaf = connection.peer_certificates().and_then(|chain| chain.first());
    leaf.map(|leaf| leaf.clone().into_owned())
        .ok_or_else(|| io::Error::other("the gateway showed no certificate"))
}

fn call(
    roots_pem: &str,
    gateway: SocketAddr,
    with: Option<&Issued>,
) -> io::Result<(rustls::ClientConnection, TcpStream)> {
    let config = client_config(roots_pem, with).map_err(io::Error::other)?;
    let name = ServerName::IpAddress(gateway.ip().into());
    let connection = rustls::ClientConnection::new(Arc::new(config), name).map_err(io::Error::other)?;
    let stream = TcpStream::connect_timeout(&gateway, PATIENCE)?;
    stream.set_read_timeout(Some(PATIENCE))?;
    stream.set_write_timeout(Some(PATIENCE))?;
    Ok((connection, stream))
}

fn client_config(roots_pem: &str, with: Option<&Issued>) -> Result<rustls::ClientConfig, rustls::Error> {
    let unreadable = |error: rustls::pki_types::pem::Error| rustls::Error::General(error.to_string());
    let mut roots = rustls::RootCertStore::empty();
    for root in CertificateDer::pem_slice_iter(roots_pem.as_bytes()) {
        roots.add(root.map_err(unreadable)?)?;
    }
    let provider = Arc::new(rustls::crypto::aws_lc_rs::default_provider());
    let builder = rustls::ClientConfig::builder_with_provider(provider)
        .with_safe_default_protocol_versions()?
        .with_root_certificates(roots);
    let Some(issued) = with else {
        return Ok(builder.with_no_client_auth());
    };
    let chain = CertificateDer::pem_slice_iter(issued.chain_pem.as_bytes());
    let chain = chain.collect::<Result<Vec<_>, _>>().map_err(unreadable)?;
    let key = PrivateKeyDer::from_pem_slice(issued.key_pem.expose().as_bytes()).map_err(unreadable)?;
    builder.with_client_auth_cert(chain, key)
}

/// A TLS alert from the other side, or a connection that it cut without a reply. Not a refusal: nobody there, no
/// answer in time, a certificate of the gateway that *we* do not accept.
fn refusal(error: &io::Error) -> Option<String> {
    let inner = error.get_ref().and_then(|inner| inner.downcast_ref::<rustls::Error>());
    if let Some(rustls::Error::AlertReceived(alert)) = inner {
        return Some(format!("TLS alert {alert:?}"));
    }
    let cut = [
        io::ErrorKind::ConnectionReset,
        io::ErrorKind::BrokenPipe,
        io::ErrorKind::UnexpectedEof,
    ];
    (inner.is_none() && cut.contains(&error.kind())).then(|| "connection cut, no reply".to_owned())
}

#[cfg(test)]
mod tests {
    use std::io::{Read, Write};
    use std::net::TcpListener;
    use std::os::unix::fs::PermissionsExt;

    use rustls::server::WebPkiClientVerifier;

    use super::*;
    use crate::clock;

    /// A gateway in miniature: mutual TLS, then 200 for everyone whom the CA vouches for.
    fn door(papers: &Papers, callers: usize) -> SocketAddr {
        let provider = Arc::new(rustls::crypto::aws_lc_rs::default_provider());
        let mut roots = rustls::RootCertStore::empty();
        roots
            .add(CertificateDer::from_pem_slice(papers.root_pem.as_bytes()).unwrap())
            .unwrap();
        let verifier = WebPkiClientVerifier::builder_with_provider(Arc::new(roots), provider.clone());
        let chain = CertificateDer::pem_slice_iter(papers.gateway.chain_pem.as_bytes());
        let key = PrivateKeyDer::from_pem_slice(papers.gateway.key_pem.expose().as_bytes()).unwrap();
        let config = rustls::ServerConfig::builder_with_provider(provider)
            .with_safe_default_protocol_versions()
            .unwrap()
            .with_client_cert_verifier(verifier.build().unwrap())
            .with_single_cert(chain.map(Result::unwrap).collect(), key)
            .unwrap();
        let config = Arc::new(config);
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let address = listener.local_addr().unwrap();
        std::thread::spawn(move || {
            for _ in 0..callers {
                let (mut stream, _) = listener.accept().unwrap();
                let mut connection = rustls::ServerConnection::new(config.clone()).unwrap();
                let mut tls = rustls::Stream::new(&mut connection, &mut stream);
                if tls.read(&mut [0; 4096]).is_ok() {
                    tls.write_all(b"HTTP/1.1 200 OK\r\ncontent-length: 2\r\n\r\nok")
                        .unwrap();
                    connection.send_close_notify();
                    let _ = connection.write_tls(&mut stream);
                }
            }
        });
        address
    }

    #[test]
    fn only_callers_of_the_right_ca_get_an_answer() {
        let papers = Papers::issue(clock::unix_seconds()).unwrap();
        let gateway = door(&papers, 4);
        let knock = |with| papers.knock(gateway, with, &Ask::get("/")).unwrap();
        assert!(matches!(knock(Some(&papers.app)), Knock::Answered(answer) if answer.body == b"ok"));
        assert!(matches!(knock(Some(&papers.wrong_name)), Knock::Answered(_)));
        assert!(matches!(knock(Some(&papers.stranger)), Knock::Refused(_)));
        assert!(matches!(knock(None), Knock::Refused(_)));
    }

    #[test]
    fn a_gateway_that_is_not_there_or_not_ours_is_no_refusal() {
        let papers = Papers::issue(clock::unix_seconds()).unwrap();
        let nobody = TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap();
        assert!(papers.knock(nobody, None, &Ask::get("/")).is_err());
        let theirs = Papers::issue(clock::unix_seconds()).unwrap();
        let gateway = door(&theirs, 1);
        assert!(papers.knock(gateway, Some(&papers.app), &Ask::get("/")).is_err());
    }

    #[test]
    fn keys_are_written_for_their_owner_only() {
        let papers = Papers::issue(clock::unix_seconds()).unwrap();
        let directory = tempfile::tempdir().unwrap();
        papers.write(directory.path()).unwrap();
        for name in ["gateway", "identity", "wrong-name", "stranger"] {
            let key = directory.path().join(name).join("tls.key");
            assert_eq!(key.metadata().unwrap().permissions().mode() & 0o777, 0o600);
            assert!(directory.path().join(name).join("tls.crt").exists());
        }
        assert!(!format!("{papers:?}").contains("PRIVATE KEY"));
    }
}
