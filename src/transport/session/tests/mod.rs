//! Sessions with a rustls server over real sockets, in both versions.

mod broken;

use std::future::Future;
use std::time::Duration;

use proptest::prelude::*;
use rustls::{HandshakeKind, ServerConfig};
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::TcpListener;
use tokio::sync::Notify;
use tokio_rustls::{TlsAcceptor, server::TlsStream};

use super::*;
use crate::cert::Trusted;
use crate::cert::issue::{Authority, Purposes, Spec, Validity};
use crate::cert::load::{self, Bundle};
use crate::clock;
use crate::config::settings::TlsVersion;
use crate::transport::tls;

struct Two {
    client: Arc<ClientConfig>,
    server: Arc<ServerConfig>,
}

fn bundle(authority: &Authority, purposes: Purposes) -> Bundle {
    let validity = Validity::days(clock::unix_seconds() - 86_400, 30);
    let spec = Spec {
        dns: vec![String::from("ndh.example")],
        ..Spec::new("ndh", purposes, validity)
    };
    let issued = authority.issue(&spec).expect("a leaf");
    load::bundle(issued.chain_pem.as_bytes(), issued.key_pem.expose().as_bytes()).expect("a bundle")
}

fn authority() -> Authority {
    Authority::new_root("Session CA", Validity::days(clock::unix_seconds() - 86_400, 30)).expect("a root")
}

impl Two {
    fn of(version: TlsVersion) -> Self {
        let authority = authority();
        let trusted = Trusted::anchors(vec![authority.certificate().clone()]);
        let client = bundle(&authority, Purposes::Client);
        let mut client = tls::client_config(Some(&client), &trusted, version, false).expect("a configuration");
        if version == TlsVersion::V1_2 {
            client = only_1_2(&authority);
        }
        let verifier = tls::client_verifier(&trusted).expect("a verifier");
        let server = tls::server_config(&bundle(&authority, Purposes::Server), verifier, version).expect("TLS");
        Self {
            client: Arc::new(client),
            server: Arc::new(server),
        }
    }

    /// Both ends, each in its own future.
    async fn meet<S, C>(
        &self,
        serve: impl FnOnce(TlsStream<TcpStream>) -> S,
        ask: impl FnOnce(Session) -> C,
    ) -> C::Output
    where
        S: Future<Output = ()>,
        C: Future,
    {
        let listener = TcpListener::bind("127.0.0.1:0").await.expect("a port");
        let address = listener.local_addr().expect("an address");
        let serving = async {
            let (tcp, _) = listener.accept().await.expect("a connection");
            let stream = TlsAcceptor::from(self.server.clone())
                .accept(tcp)
                .await
                .expect("a handshake");
            serve(stream).await;
        };
        let asking = async {
            let tcp = TcpStream::connect(address).await.expect("a connection");
            let name = ServerName::try_from("ndh.example").expect("a name");
            let session = Session::connect(tcp, self.client.clone(), name)
                .await
                .expect("a handshake");
            ask(session).await
        };
        tokio::time::timeout(Duration::from_secs(30), async { tokio::join!(serving, asking).1 })
            .await
            .expect("neither waits for the other for ever")
    }
}

fn only_1_2(authority: &Authority) -> ClientConfig {
    let bundle = bundle(authority, Purposes::Client);
    let anchors = [authority.certificate().clone()];
    ClientConfig::builder_with_provider(tls::provider())
        .with_protocol_versions(&[&rustls::version::TLS12])
        .expect("a version")
        .with_root_certificates(tls::roots(&anchors).expect("roots"))
        .with_client_auth_cert(bundle.chain().to_vec(), bundle.key().clone_key())
        .expect("an identity")
}

fn pattern(bytes: usize) -> Vec<u8> {
    (0..bytes)
        .map(|at| u8::try_from(at * 31 % 251).unwrap_or_default())
        .collect()
}

fn runtime() -> tokio::runtime::Runtime {
    tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()
        .expect("a runtime")
}

fn holds_nothing(session: &Session) -> bool {
    session.is_clean() && session.arrived.capacity() + session.opened.capacity() + session.leaving.capacity() == 0
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(12))]

    #[test]
    fn payload_arrives_whole_both_ways_whatever_the_room_and_the_pieces(
        there in 1_usize..300_000,
        back in 1_usize..600_000,
        piece in 1_usize..100_000,
        room in prop_oneof![1_usize..200, 5_000_usize..70_000],
        old in any::<bool>(),
    ) {
        // A byte at a time through half a megabyte is not what a reader with little room does.
        let back = if room < 200 { back / 20 + 1 } else { back };
        let two = Two::of(if old { TlsVersion::V1_2 } else { TlsVersion::V1_3 });
        let serve = |mut stream: TlsStream<TcpStream>| async move {
            let mut taken = vec![0; there];
            stream.read_exact(&mut taken).await.expect("all of it");
            assert!(taken == pattern(there));
            for part in pattern(back).chunks(piece) {
                stream.write_all(part).await.expect("taken");
                stream.flush().await.expect("sent");
            }
            // Stays until the other side leaves.
            let _ = stream.read(&mut [0]).await;
        };
        let ask = |mut session: Session| async move {
            for part in pattern(there).chunks(piece) {
                session.write_all(part).await.expect("taken");
            }
            session.flush().await.expect("sent");
            let (mut got, mut buffer) = (Vec::new(), vec![0; room]);
            while got.len() < back {
                let count = session.read(&mut buffer).await.expect("more");
                assert!(count > 0);
                got.extend_from_slice(&buffer[..count]);
            }
            assert!(got == pattern(back));
            assert!(holds_nothing(&session), "{} {} {}", session.arrived.len(), session.opened.len(), session.holds);
            session.shutdown().await.expect("a goodbye");
        };
        runtime().block_on(two.meet(serve, ask));
    }
}

#[tokio::test]
async fn a_new_key_is_taken_and_answered_with_the_next_bytes() {
    let two = Two::of(TlsVersion::V1_3);
    let serve = |mut stream: TlsStream<TcpStream>| async move {
        for round in [b"one", b"two"] {
            stream.get_mut().1.refresh_traffic_keys().expect("TLS 1.3");
            stream.write_all(round).await.expect("taken");
            stream.flush().await.expect("sent");
            let mut answer = [0; 3];
            stream
                .read_exact(&mut answer)
                .await
                .expect("the answer, under the new keys");
            assert_eq!(&answer, round);
        }
    };
    let ask = |mut session: Session| async move {
        for _ in 0..2 {
            let mut word = [0; 3];
            session.read_exact(&mut word).await.expect("a word");
            session.write_all(&word).await.expect("taken");
            session.flush().await.expect("sent");
        }
    };
    two.meet(serve, ask).await;
}

#[tokio::test]
async fn a_reader_without_room_keeps_the_session_unclean_and_does_not_keep_it_from_writing() {
    let two = Two::of(TlsVersion::V1_3);
    let serve = |mut stream: TlsStream<TcpStream>| async move {
        stream.write_all(&pattern(40_000)).await.expect("taken");
        stream.flush().await.expect("sent");
        let mut word = [0; 4];
        stream.read_exact(&mut word).await.expect("a word");
        assert_eq!(&word, b"more");
        stream.write_all(b"!").await.expect("taken");
        stream.flush().await.expect("sent");
        let _ = stream.read(&mut word).await;
    };
    let ask = |mut session: Session| async move {
        let mut got = vec![0; 10];
        session.read_exact(&mut got).await.expect("ten bytes");
        assert!(!session.is_clean());
        session.write_all(b"more").await.expect("taken");
        session.flush().await.expect("sent");
        let mut rest = vec![0; 39_990];
        session.read_exact(&mut rest).await.expect("the rest");
        got.extend_from_slice(&rest);
        assert!(got == pattern(40_000));
        session.read_exact(&mut [0]).await.expect("one more");
        assert!(holds_nothing(&session));
    };
    two.meet(serve, ask).await;
}

#[tokio::test]
async fn room_that_is_filled_in_several_reads_may_end_in_the_middle_of_a_record() {
    for version in [TlsVersion::V1_2, TlsVersion::V1_3] {
        let serve = |mut stream: TlsStream<TcpStream>| async move {
            stream.write_all(&pattern(50_000)).await.expect("taken");
            stream.flush().await.expect("sent");
            let _ = stream.read(&mut [0]).await;
        };
        let ask = |mut session: Session| async move {
            let mut got = vec![0; 50_000];
            for part in got.chunks_mut(20_000) {
                session.read_exact(part).await.expect("all of the part");
            }
            assert!(got == pattern(50_000));
        };
        Two::of(version).meet(serve, ask).await;
    }
}

#[tokio::test]
async fn a_server_that_reads_nothing_stops_the_writer_and_loses_nothing() {
    let two = Two::of(TlsVersion::V1_3);
    let bytes = 8 * 1024 * 1024;
    let stopped = Notify::new();
    let stopped = &stopped;
    let serve = |mut stream: TlsStream<TcpStream>| async move {
        stopped.notified().await;
        let mut taken = Vec::new();
        stream.read_to_end(&mut taken).await.expect("all of it");
        assert!(taken == pattern(bytes));
        let _ = stream.shutdown().await;
    };
    let ask = |mut session: Session| async move {
        let all = pattern(bytes);
        let mut sent = 0;
        while sent < bytes {
            let wrote = std::future::poll_fn(|cx| {
                let wrote = Pin::new(&mut session).poll_write(cx, &all[sent..]);
                if wrote.is_pending() {
                    stopped.notify_one();
                }
                wrote
            });
            sent += wrote.await.expect("taken");
        }
        session.shutdown().await.expect("a goodbye");
        let _ = session.read_to_end(&mut Vec::new()).await;
    };
    two.meet(serve, ask).await;
}

#[tokio::test]
async fn a_second_handshake_resumes_the_first_session() {
    let two = Two::of(TlsVersion::V1_3);
    for expected in [HandshakeKind::Full, HandshakeKind::Resumed] {
        let serve = |mut stream: TlsStream<TcpStream>| async move {
            stream.write_all(b"x").await.expect("taken");
            stream.flush().await.expect("sent");
            let _ = stream.read(&mut [0]).await;
        };
        let ask = |mut session: Session| async move {
            session
                .read_exact(&mut [0])
                .await
                .expect("a byte, and tickets before it");
            session.agreed().handshake_kind()
        };
        assert_eq!(two.meet(serve, ask).await, Some(expected));
    }
}
