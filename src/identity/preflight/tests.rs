//! The table of statuses, and real TLS servers that accept, refuse late, say nothing, close, or talk nonsense.

use std::sync::Arc;

use rustls::server::WebPkiClientVerifier;
use rustls::{RootCertStore, ServerConfig, SupportedProtocolVersion};
use rustls_pki_types::{PrivateKeyDer, ServerName, pem::PemObject as _};
use tokio::io::AsyncReadExt as _;
use tokio::net::TcpListener;
use tokio_rustls::TlsAcceptor;

use super::*;
use crate::cert::Trusted;
use crate::cert::issue::{Authority, Purposes, Spec, Validity};
use crate::cert::load;
use crate::clock;
use crate::config::settings::TlsVersion;

const V12: &SupportedProtocolVersion = &rustls::version::TLS12;
const V13: &SupportedProtocolVersion = &rustls::version::TLS13;

fn request(proves: bool) -> Request {
    Request {
        method: "GET".to_owned(),
        target: "/health".to_owned(),
        host: b"ndh.example".to_vec(),
        authorization: None,
        first_byte: Duration::from_secs(5),
        proves,
    }
}

#[derive(Debug, PartialEq)]
enum Kind {
    Passed,
    Rejected,
    Unreachable,
}
use Kind::{Passed, Rejected, Unreachable};

fn kind(verdict: &Verdict) -> Kind {
    match verdict {
        Verdict::Passed(_) => Passed,
        Verdict::Rejected(_) => Rejected,
        Verdict::Unreachable(_) | Verdict::ServerRevoked(_) => Unreachable,
    }
}

#[test]
fn a_status_says_what_the_table_says() {
    // status, verdict of a configured trial, verdict of one that only looks for a late refusal
    let table = [
        (Some(200), Passed, Passed),
        (Some(204), Passed, Passed),
        (Some(302), Passed, Passed),
        (Some(400), Rejected, Rejected),
        (Some(401), Rejected, Passed),
        (Some(403), Rejected, Passed),
        (Some(404), Passed, Passed),
        (Some(405), Passed, Passed),
        (Some(406), Passed, Passed),
        (Some(409), Passed, Passed),
        (Some(429), Passed, Passed),
        (Some(495), Rejected, Rejected),
        (Some(496), Rejected, Rejected),
        (Some(500), Unreachable, Passed),
        (Some(501), Unreachable, Passed),
        (Some(503), Unreachable, Passed),
        (Some(101), Unreachable, Unreachable),
        (Some(999), Unreachable, Unreachable),
        (None, Unreachable, Unreachable),
    ];
    for (status, proving, looking) in table {
        assert_eq!(kind(&judge(status, &request(true), "ndh:8443")), proving, "{status:?}");
        assert_eq!(kind(&judge(status, &request(false), "ndh:8443")), looking, "{status:?}");
    }
}

#[test]
fn sentences_say_what_was_asked_and_how_much_it_proves() {
    let said = |status, proves| judge(status, &request(proves), "ndh:8443").sentence().to_owned();
    assert!(said(Some(503), true).contains("answers 503 to GET /health: that says nothing of the certificate"));
    assert!(said(Some(404), false).contains("only that was proven"));
    assert!(said(Some(404), true).contains("name a path that exists"));
    assert!(said(None, true).contains("without a word right after the handshake"));
}

/// A server and a client that know each other, or not.
struct World {
    root: Authority,
    other: Authority,
}

impl World {
    fn new() -> Self {
        let root = |name| Authority::new_root(name, validity()).unwrap();
        Self {
            root: root("Root"),
            other: root("Other"),
        }
    }

    fn server(&self, version: &'static SupportedProtocolVersion, trusted: &Authority) -> ServerConfig {
        let spec = Spec {
            dns: vec!["ndh.example".to_owned()],
            ..Spec::new("ndh.example", Purposes::Server, validity())
        };
        let issued = self.root.issue(&spec).unwrap();
        let mut roots = RootCertStore::empty();
        roots.add(trusted.certificate().clone()).unwrap();
        let verifier = WebPkiClientVerifier::builder_with_provider(Arc::new(roots), tls::provider());
        ServerConfig::builder_with_provider(tls::provider())
            .with_protocol_versions(&[version])
            .unwrap()
            .with_client_cert_verifier(verifier.build().unwrap())
            .with_single_cert(
                vec![issued.leaf.clone()],
                PrivateKeyDer::from_pem_slice(issued.key_pem.expose().as_bytes()).unwrap(),
            )
            .unwrap()
    }

    fn client(&self) -> Arc<ClientConfig> {
        self.client_trusting(&self.root)
    }

    fn client_trusting(&self, trusted: &Authority) -> Arc<ClientConfig> {
        let spec = Spec::new("allocation-manager", Purposes::Client, validity());
        let issued = self.root.issue(&spec).unwrap();
        let bundle = load::bundle(issued.chain_pem.as_bytes(), issued.key_pem.expose().as_bytes()).unwrap();
        let trust = Trusted::anchors(vec![trusted.certificate().clone()]);
        let config = tls::client_config(Some(&bundle), &trust, TlsVersion::V1_2, false).unwrap();
        Arc::new(config)
    }
}

fn validity() -> Validity {
    Validity::days(clock::unix_seconds() - 86_400, 30)
}

/// What the server does once the handshake is done and the request was read.
#[derive(Clone, Copy)]
enum Then {
    Say(&'static str),
    Close,
    Reset,
    Silence,
}

/// Serves one connection; the trial of it.
async fn tried(server: ServerConfig, then: Then, client_config: &Arc<ClientConfig>, request: &Request) -> Trial {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let endpoint = endpoint(listener.local_addr().unwrap().port());
    let acceptor = TlsAcceptor::from(Arc::new(server));
    let serving = async move {
        let (tcp, _) = listener.accept().await.unwrap();
        let Ok(mut stream) = acceptor.accept(tcp).await else {
            return std::future::pending().await;
        };
        let mut seen = Vec::new();
        while !seen.ends_with(b"\r\n\r\n") {
            if stream.read_buf(&mut seen).await.unwrap_or(0) == 0 {
                break;
            }
        }
        match then {
            Then::Say(text) => {
                stream.write_all(text.as_bytes()).await.unwrap();
                let _ = stream.shutdown().await;
            }
            Then::Close => {
                let _ = stream.shutdown().await;
            }
            Then::Reset => {
                let _ = stream.get_ref().0.set_zero_linger();
                drop(stream);
            }
            Then::Silence => {}
        }
        std::future::pending().await
    };
    tokio::select! {
        seen = trial(&endpoint, client_config, request, "ndh:8443") => seen,
        () = serving => unreachable!("the server outlives the trial"),
    }
}

fn endpoint(port: u16) -> Endpoint {
    Endpoint {
        host: "127.0.0.1".to_owned(),
        port,
        server_name: ServerName::try_from("ndh.example").unwrap(),
        connect: Duration::from_secs(5),
        handshake: Duration::from_secs(5),
    }
}

const OK: Then = Then::Say("HTTP/1.1 200 OK\r\ndate: Sat, 21 Nov 2026 12:00:00 GMT\r\ncontent-length: 0\r\n\r\n");

#[tokio::test]
async fn an_answer_passes_and_shows_chain_version_status_and_date() {
    let world = World::new();
    for (version, name) in [(V12, "TLSv1.2"), (V13, "TLSv1.3")] {
        let seen = tried(world.server(version, &world.root), OK, &world.client(), &request(true)).await;
        assert_eq!(kind(&seen.verdict), Passed, "{seen:?}");
        assert_eq!((seen.server_version, seen.status), (Some(name), Some(200)));
        assert_eq!(seen.server_chain.len(), 1);
        assert_eq!(seen.date.as_deref(), Some("Sat, 21 Nov 2026 12:00:00 GMT"));
    }
}

#[tokio::test]
async fn a_certificate_of_another_ca_is_rejected_early_and_late() {
    let world = World::new();
    for version in [V12, V13] {
        let seen = tried(
            world.server(version, &world.other),
            OK,
            &world.client(),
            &request(false),
        )
        .await;
        assert_eq!(kind(&seen.verdict), Rejected, "{seen:?}");
        assert_eq!(
            seen.fault.as_ref().map(|fault| fault.code),
            Some(Code::IdentityRejected)
        );
        let late = version.version == rustls::ProtocolVersion::TLSv1_3;
        assert_eq!(
            seen.server_version.is_some(),
            late,
            "only TLS 1.3 finishes the handshake first"
        );
    }
}

#[tokio::test]
async fn an_allow_list_rejects_with_403() {
    let world = World::new();
    let refuse = Then::Say("HTTP/1.1 403 Forbidden\r\ncontent-length: 0\r\n\r\n");
    let seen = tried(world.server(V13, &world.root), refuse, &world.client(), &request(true)).await;
    assert_eq!((kind(&seen.verdict), seen.status), (Rejected, Some(403)));
}

#[tokio::test]
async fn silence_closing_and_nonsense_say_nothing_of_the_certificate() {
    let world = World::new();
    let hasty = Request {
        first_byte: Duration::from_millis(200),
        ..request(true)
    };
    let patient = request(true);
    for version in [V12, V13] {
        for (then, request, words) in [
            (Then::Silence, &hasty, "did not answer GET /health within 200ms"),
            (Then::Close, &patient, "without a word right after the handshake"),
            (Then::Reset, &patient, "without a word right after the handshake"),
            (
                Then::Say("SSH-2.0-server\r\n\r\n"),
                &patient,
                "what HTTP/1.1 does not allow",
            ),
            (
                Then::Say("HTTP/1.1 200 OK\r\nx"),
                &patient,
                "in the middle of its answer",
            ),
        ] {
            let seen = tried(world.server(version, &world.root), then, &world.client(), request).await;
            assert_eq!(kind(&seen.verdict), Unreachable, "{seen:?}");
            assert!(seen.verdict.sentence().contains(words), "{words}: {seen:?}");
            assert!(seen.server_version.is_some() && seen.status.is_none());
        }
    }
}

#[tokio::test]
async fn an_interim_reply_is_not_the_answer() {
    let world = World::new();
    let then = Then::Say("HTTP/1.1 103 Early Hints\r\n\r\nHTTP/1.1 204 No Content\r\n\r\n");
    let seen = tried(world.server(V13, &world.root), then, &world.client(), &request(true)).await;
    assert_eq!(seen.status, Some(204), "{seen:?}");
}

#[tokio::test]
async fn a_head_without_end_is_not_read_beyond_the_bound() {
    let world = World::new();
    let endless: &'static str = Box::leak(format!("HTTP/1.1 200 OK\r\nx: {}", "x".repeat(100 << 10)).into_boxed_str());
    let server = world.server(V13, &world.root);
    let seen = tried(server, Then::Say(endless), &world.client(), &request(true)).await;
    assert!(seen.verdict.sentence().contains("larger than the limit"), "{seen:?}");
}

#[tokio::test]
async fn a_server_that_we_do_not_trust_or_that_is_not_there_is_unreachable() {
    let world = World::new();
    let stranger = world.client_trusting(&world.other);
    let seen = tried(world.server(V13, &world.root), OK, &stranger, &request(true)).await;
    assert_eq!(kind(&seen.verdict), Unreachable, "{seen:?}");
    assert_eq!(seen.fault.map(|fault| fault.code), Some(Code::UpstreamTls));
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let gone = endpoint(listener.local_addr().unwrap().port());
    drop(listener);
    let seen = trial(&gone, &world.client(), &request(true), "ndh:8443").await;
    assert_eq!(kind(&seen.verdict), Unreachable, "{seen:?}");
    assert!(seen.verdict.sentence().contains("connecting to"), "{seen:?}");
}
