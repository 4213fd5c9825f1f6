//! How sessions end: goodbyes, connections that just end, peers that are not trusted or speak no TLS.

use super::*;

#[tokio::test]
async fn a_goodbye_is_an_end_and_a_connection_that_just_ends_is_an_error() {
    for version in [TlsVersion::V1_2, TlsVersion::V1_3] {
        let two = Two::of(version);
        let polite = |mut stream: TlsStream<TcpStream>| async move {
            stream.write_all(b"bye").await.expect("taken");
            stream.shutdown().await.expect("a goodbye");
        };
        let all = |mut session: Session| async move {
            let mut text = String::new();
            session.read_to_string(&mut text).await.map(|_| text)
        };
        assert_eq!(two.meet(polite, all).await.expect("an end"), "bye");
        let rude = |mut stream: TlsStream<TcpStream>| async move {
            stream.write_all(b"bye").await.expect("taken");
            stream.flush().await.expect("sent");
            drop(stream.into_inner().0);
        };
        let error = two.meet(rude, all).await.expect_err("no goodbye");
        assert_eq!(error.kind(), io::ErrorKind::UnexpectedEof);
    }
}

#[tokio::test]
async fn a_server_that_is_not_trusted_is_told_why() {
    let two = Two::of(TlsVersion::V1_3);
    let stranger = Two::of(TlsVersion::V1_3);
    let listener = TcpListener::bind("127.0.0.1:0").await.expect("a port");
    let address = listener.local_addr().expect("an address");
    let serving = async {
        let (tcp, _) = listener.accept().await.expect("a connection");
        let refused = TlsAcceptor::from(two.server.clone()).accept(tcp).await;
        refused.expect_err("no handshake").to_string()
    };
    let asking = async {
        let tcp = TcpStream::connect(address).await.expect("a connection");
        let name = ServerName::try_from("ndh.example").expect("a name");
        Session::connect(tcp, stranger.client.clone(), name)
            .await
            .expect_err("no trust")
    };
    let (told, error) = tokio::join!(serving, asking);
    assert!(error.get_ref().is_some_and(|inner| inner.is::<Error>()), "{error}");
    // Its certificate is not one of our authority's: whichever way the verifier puts it, it is said.
    assert!(told.contains("alert"), "{told}");
}

#[tokio::test]
async fn what_is_no_tls_is_an_error_and_not_the_end_of_the_task() {
    let garbage: [&[u8]; 5] = [
        b"HTTP/1.1 400 Bad Request\r\nContent-Length: 0\r\n\r\n",
        b"\x16\x03\x03\x00\x02ab",
        b"\x16\x03\x03\x00\x04\x02\x00\xff\xff\x15\x03\x03\x00\x02\x02\x28",
        b"\x15\x03\x03\x00\x02\x02\x28",
        &[0xff; 200_000],
    ];
    for bytes in garbage {
        let two = Two::of(TlsVersion::V1_3);
        let listener = TcpListener::bind("127.0.0.1:0").await.expect("a port");
        let address = listener.local_addr().expect("an address");
        let serving = async {
            let (mut tcp, _) = listener.accept().await.expect("a connection");
            let _ = tcp.write_all(bytes).await;
            let _ = tcp.shutdown().await;
            let _ = tcp.read_to_end(&mut Vec::new()).await;
        };
        let asking = async {
            let tcp = TcpStream::connect(address).await.expect("a connection");
            let name = ServerName::try_from("ndh.example").expect("a name");
            Session::connect(tcp, two.client.clone(), name)
                .await
                .expect_err("no handshake")
        };
        let ((), error) = tokio::join!(serving, asking);
        assert!(
            matches!(error.kind(), io::ErrorKind::InvalidData | io::ErrorKind::UnexpectedEof),
            "{error:?}"
        );
    }
}

#[tokio::test]
async fn a_session_that_failed_stays_failed_whatever_is_asked_of_it() {
    for version in [TlsVersion::V1_2, TlsVersion::V1_3] {
        let serve = |mut stream: TlsStream<TcpStream>| async move {
            let (tcp, _) = stream.get_mut();
            tcp.write_all(b"\x17\x03\x03\x00\x20 this was not encrypted, by nobody")
                .await
                .expect("taken");
            let _ = tcp.read_to_end(&mut Vec::new()).await;
        };
        let ask = |mut session: Session| async move {
            for _ in 0..2 {
                let error = session.read(&mut [0; 100]).await.expect_err("no payload");
                assert!(error.get_ref().is_some_and(|inner| inner.is::<Error>()), "{error}");
                session.write_all(b"x").await.expect_err("nothing can be sent");
                session.shutdown().await.expect_err("nor a goodbye");
            }
        };
        Two::of(version).meet(serve, ask).await;
    }
}

#[tokio::test]
async fn payload_before_an_error_is_read_and_the_session_is_not_clean_then() {
    let two = Two::of(TlsVersion::V1_3);
    let there = Notify::new();
    let there = &there;
    let serve = |mut stream: TlsStream<TcpStream>| async move {
        stream.write_all(b"a whole reply").await.expect("taken");
        stream.flush().await.expect("sent");
        let (tcp, _) = stream.get_mut();
        tcp.write_all(b"\x17\x03\x03\x00\x20 this was not encrypted, by nobo")
            .await
            .expect("taken");
        there.notify_one();
        // Says nothing more, and leaves last.
        let _ = tcp.read_to_end(&mut Vec::new()).await;
    };
    let ask = |mut session: Session| async move {
        there.notified().await;
        let mut got = [0; 100];
        assert_eq!(session.read(&mut got).await.expect("the reply"), 13);
        // Both came at once, or the rest comes now.
        if session.is_clean() {
            session.read(&mut got).await.expect_err("garbage");
        }
        assert!(!session.is_clean());
        session.write_all(b"x").await.expect_err("nothing can be sent");
        session.read(&mut got).await.expect_err("nor is anything waited for");
    };
    two.meet(serve, ask).await;
}
