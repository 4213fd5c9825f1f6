//! The peers themselves, proven without the sidecar: what they let in, what they keep out, what they echo.
//!
//! If one of these fails, nothing that the other files say about a peer means anything.

use crate::support::findings::Findings;
use crate::support::hostile::{self, Hostile};
use crate::support::origin;
use crate::support::peer::{DOORS, Peer, Tls};
use crate::support::pki::{APP, Ask, Key, NDH, pki};
use crate::support::raw::{Broken, Client, Reply};
use crate::support::{apache, java, nginx};

fn ask(
    peer: &Peer,
    tls: Tls,
    server: Key,
    leaf: Option<&crate::support::pki::Leaf>,
    request: &str,
) -> Result<Reply, Broken> {
    let config = pki().client_config(tls, leaf);
    let mut client = Client::connect_tls(peer.door(tls, server), NDH, &config).map_err(|_| Broken::Closed)?;
    client.send(request);
    client.reply(request.split(' ').next().unwrap_or_default())
}

/// Every door lets our identities in and carries bytes unchanged; every door keeps strangers out.
fn prove(peer: &Peer, refuses_with_400: bool) {
    let mut findings = Findings::default();
    for (tls, server) in DOORS {
        let door = format!("{} {tls:?} {server:?}", peer.name);
        for identity in [Key::Rsa, Key::Ecdsa] {
            let leaf = pki().client(identity);
            let get = "GET /bytes/65536 HTTP/1.1\r\nHost: ndh.example\r\nAuthorization: Bearer x\r\n\r\n";
            if let Some(reply) = findings.take(&door, ask(peer, tls, server, Some(&leaf), get)) {
                findings.same(&door, reply.status, 200);
                findings.check(reply.body == origin::pattern(65536), || format!("{door}: bytes differ"));
                findings.same(&door, reply.header("x-seen-verify"), Some("SUCCESS"));
                let name = reply.header("x-seen-dn").unwrap_or_default();
                findings.check(name.contains(APP), || format!("{door}: client name {name:?}"));
                findings.same(&door, reply.header("x-seen-authorization"), Some("<Bearer x>"));
                let protocol = if tls == Tls::V12 { "TLSv1.2" } else { "TLSv1.3" };
                findings.same(&door, reply.header("x-seen-protocol"), Some(protocol));
            }
            let post = "POST /echo/x HTTP/1.1\r\nHost: ndh.example\r\nTransfer-Encoding: chunked\r\n\r\n\
                        5\r\nhello\r\n7\r\n, world\r\n0\r\n\r\n";
            if let Some(reply) = findings.take(&door, ask(peer, tls, server, Some(&leaf), post)) {
                findings.same(&door, reply.text(), "hello, world".to_owned());
            }
        }
        let strangers = [
            ("no certificate", None),
            ("other root", Some(pki().client_of_other_root())),
            ("expired", Some(pki().client_expired())),
            ("not yet valid", Some(pki().client_not_yet_valid())),
            ("for servers only", Some(pki().client_for_servers_only())),
        ];
        for (kind, leaf) in strangers {
            let get = "GET /bytes/16 HTTP/1.1\r\nHost: ndh.example\r\n\r\n";
            match ask(peer, tls, server, leaf.as_ref(), get) {
                Ok(reply) => findings.check(refuses_with_400 && reply.status == 400, || {
                    format!("{door}: a stranger ({kind}) was let in with {}", reply.status)
                }),
                Err(_) => findings.check(!refuses_with_400, || format!("{door}: expected 400 for {kind}")),
            }
        }
    }
    findings.finish();
}

#[test]
fn nginx_admits_ours_and_refuses_strangers_with_400() {
    let Some(peer) = nginx::start(pki()) else { return };
    prove(&peer, true);
    let stored = std::fs::read_dir(peer.directory.path().join("www"))
        .map(Iterator::count)
        .unwrap_or_default();
    assert_eq!(stored, 3, "files to serve");
}

#[test]
fn apache_admits_ours_and_refuses_strangers_in_the_handshake() {
    let Some(peer) = apache::start(pki()) else { return };
    prove(&peer, false);
}

#[test]
fn jsse_admits_ours_and_refuses_strangers_in_the_handshake() {
    let Some(peer) = java::start(pki()) else { return };
    prove(&peer, false);
}

#[test]
fn the_hostile_upstream_records_what_it_got() {
    for tls in [Tls::V12, Tls::V13] {
        let config = pki().server_config(tls, &pki().server(Key::Ecdsa), Ask::Ours);
        let upstream = Hostile::tls(config, |_, conn| hostile::echo(conn));
        let leaf = pki().client(Key::Ecdsa);
        let client = pki().client_config(tls, Some(&leaf));
        let mut client = Client::connect_tls(upstream.address(), NDH, &client).expect("handshake");
        let reply = client.get("/t/x").expect("a reply");
        assert_eq!(reply.status, 200);
        assert!(reply.text().starts_with("GET /t/x HTTP/1.1\r\n"), "{reply:?}");
        assert!(upstream.wait(|seen| seen[0].shaken && !seen[0].bytes.is_empty()));
        assert_eq!(upstream.seen()[0].peer, Some(leaf.der()));
        assert_eq!(upstream.count("GET /t/x"), 1);
    }
}

#[test]
fn the_hostile_upstream_resets_and_cuts_as_told() {
    let leaf = pki().client(Key::Ecdsa);
    let upstream = Hostile::tls(pki().good_server(), |_, conn| {
        if conn.handshake() && conn.head().is_some() {
            conn.write("HTTP/1.1 200 OK\r\nContent-Length: 100\r\n\r\nhalf").reset();
        }
    });
    let config = pki().client_config(Tls::V13, Some(&leaf));
    let mut client = Client::connect_tls(upstream.address(), NDH, &config).expect("handshake");
    // a reset may overtake bytes that were not read yet: cut short, or nothing at all, but never whole
    assert!(matches!(client.get("/"), Err(Broken::Truncated(..) | Broken::Closed)));
}

#[test]
fn the_hostile_upstream_refuses_a_stranger_by_alert() {
    let leaf = pki().client(Key::Ecdsa);
    for tls in [Tls::V12, Tls::V13] {
        let config = pki().server_config(tls, &pki().server(Key::Ecdsa), Ask::Theirs);
        let upstream = Hostile::tls(config, |_, conn| hostile::echo(conn));
        let config = pki().client_config(tls, Some(&leaf));
        let outcome = Client::connect_tls(upstream.address(), NDH, &config).map(|mut client| client.get("/"));
        match tls {
            // under TLS 1.2 the handshake itself fails; under 1.3 the client only learns when it reads
            Tls::V12 => assert!(outcome.is_err()),
            Tls::V13 => assert!(matches!(outcome, Ok(Err(_))), "rejection arrives late"),
        }
        assert!(upstream.bytes().is_empty());
    }
}
