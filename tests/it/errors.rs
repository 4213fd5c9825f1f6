//! Every code of the contract's table, provoked: the status, the header, the problem body, and the access line that
//! carries the code and the route's template and never the path.

use std::net::{Ipv4Addr, SocketAddr, TcpListener};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use delius_sidecar::fault::Code;
use serde_json::Value;

use crate::support::bin::{CODE, NOMS, ROUTE, STATUS, Sidecar};
use crate::support::findings::Findings;
use crate::support::hostile::{self, Hostile, ok};
use crate::support::peer::{DOORS, Peer, Tls};
use crate::support::pki::{Ask, Key, pki};
use crate::support::raw::{Client, Reply};
use crate::support::world::{World, directory, text};
use crate::support::{apache, java};

const TEMPLATE: &str = "/p/{nomsNumber}";

/// Sends one request about a person, and checks everything that the contract says about its refusal.
#[track_caller]
fn provoke(sidecar: &Sidecar, code: Code, status: u16) -> Reply {
    let id = format!("provoke-{code}");
    let mut client = Client::connect(sidecar.listen);
    client.send(format!(
        "GET /p/{NOMS} HTTP/1.1\r\nHost: localhost\r\nX-Request-Id: {id}\r\n\r\n"
    ));
    let reply = client.reply("GET").unwrap_or_else(|broken| panic!("{code}: {broken}"));
    let line = check(sidecar, &reply, code, status, &id);
    assert_eq!(line[ROUTE], TEMPLATE, "{line}");
    reply
}

/// The reply and its access line, whatever the request was.
#[track_caller]
fn check(sidecar: &Sidecar, reply: &Reply, code: Code, status: u16, id: &str) -> Value {
    assert_eq!(
        (reply.status, reply.fault()),
        (status, Some(code.as_str())),
        "{reply:?}\n{}",
        sidecar.printed()
    );
    let kind = reply.header("content-type").unwrap_or_default();
    assert!(kind.starts_with("application/problem+json"), "{reply:?}");
    assert_eq!(reply.header("cache-control"), Some("no-store"), "{reply:?}");
    let body: Value = serde_json::from_slice(&reply.body).expect("a JSON body");
    assert_eq!(
        (&body["code"], &body["status"]),
        (&code.as_str().into(), &status.into()),
        "{body}"
    );
    for secret in [NOMS, "certificate", "alert", "127.0.0.1", "rustls", "ndh.example"] {
        assert!(
            !reply.text().contains(secret),
            "detail goes to the log, never to the caller: {}",
            reply.text()
        );
    }
    let line = sidecar.access_line(id);
    assert_eq!(
        (&line[STATUS], &line[CODE]),
        (&status.into(), &code.as_str().into()),
        "{line}"
    );
    assert!(
        !line.to_string().contains("Z9001"),
        "the access line carries no path: {line}"
    );
    line
}

#[track_caller]
fn retry_after(reply: &Reply) {
    let seconds = reply.header("retry-after").and_then(|value| value.parse::<u32>().ok());
    assert!(seconds.is_some_and(|seconds| (1..=60).contains(&seconds)), "{reply:?}");
}

/// An address where nobody listens.
fn nobody() -> SocketAddr {
    TcpListener::bind((Ipv4Addr::LOCALHOST, 0))
        .and_then(|listener| listener.local_addr())
        .expect("a free port")
}

#[test]
fn request_malformed() {
    let upstream = hostile::echoing();
    let sidecar = World::to(upstream.address()).start();
    let mut client = Client::connect(sidecar.listen);
    client.send(format!(
        "GET /p/{NOMS} HTTP/1.1\r\nHost: a\r\nX-Request-Id: bad\r\nContent-Length: 1, 1\r\n\r\nx"
    ));
    let reply = client.reply("GET").expect("a reply");
    let line = sidecar.wait_line(|line| line[STATUS] == 400).expect("an access line");
    assert_eq!(
        (reply.status, reply.fault()),
        (400, Some("request_malformed")),
        "{reply:?}"
    );
    assert_eq!(line[CODE], "request_malformed", "{line}");
    assert!(!line.to_string().contains(NOMS), "{line}");
}

#[test]
fn request_too_large() {
    let upstream = hostile::echoing();
    let sidecar = World::to(upstream.address())
        .set("listen.limits", "body", "\"10B\"")
        .start();
    let mut client = Client::connect(sidecar.listen);
    client.send(format!(
        "POST /p/{NOMS} HTTP/1.1\r\nHost: a\r\nX-Request-Id: big\r\nContent-Length: 11\r\n\r\n"
    ));
    let reply = client.reply("POST").expect("a reply");
    let line = check(&sidecar, &reply, Code::RequestTooLarge, 413, "big");
    assert_eq!(line[ROUTE], TEMPLATE, "{line}");
}

#[test]
fn request_timeout() {
    let upstream = hostile::echoing();
    let sidecar = World::to(upstream.address())
        .set("listen.limits", "head_time", "\"300ms\"")
        .start();
    let mut client = Client::connect(sidecar.listen);
    client.send(format!("GET /p/{NOMS} HTTP/1.1\r\nHost: a\r\nX-Request-Id: slow\r\n"));
    let reply = client.reply("GET").expect("a reply");
    assert_eq!(
        (reply.status, reply.fault()),
        (408, Some("request_timeout")),
        "{reply:?}"
    );
    let line = sidecar.wait_line(|line| line[STATUS] == 408).expect("an access line");
    assert_eq!(line[CODE], "request_timeout", "{line}");
    assert!(!line.to_string().contains(NOMS), "{line}");
}

#[test]
fn route_unknown() {
    let upstream = hostile::echoing();
    let sidecar = World::to(upstream.address()).start();
    let mut client = Client::connect(sidecar.listen);
    client.send(format!(
        "GET /not/configured/{NOMS} HTTP/1.1\r\nHost: a\r\nX-Request-Id: unknown\r\n\r\n"
    ));
    let reply = client.reply("GET").expect("a reply");
    let line = check(&sidecar, &reply, Code::RouteUnknown, 421, "unknown");
    assert!(!line.to_string().contains("/not/configured"), "{line}");
    assert!(upstream.seen().is_empty());
}

#[test]
fn overloaded() {
    let upstream = Hostile::tls(pki().good_server(), |_, conn| {
        if conn.handshake() {
            conn.hold();
        }
    });
    let sidecar = World::to(upstream.address())
        .set("listen.limits", "in_flight", 1)
        .start();
    let mut holding = Client::connect(sidecar.listen);
    holding.send(format!("GET /p/{NOMS} HTTP/1.1\r\nHost: a\r\n\r\n"));
    assert!(upstream.wait(|seen| seen.iter().any(|seen| !seen.bytes.is_empty())));
    retry_after(&provoke(&sidecar, Code::Overloaded, 503));
}

#[test]
fn circuit_open_and_closed_again() {
    let healthy = Arc::new(AtomicBool::new(false));
    let upstream = Hostile::tls(pki().good_server(), {
        let healthy = Arc::clone(&healthy);
        move |_, conn| {
            if healthy.load(Ordering::Acquire) {
                hostile::echo(conn);
            }
        }
    });
    let sidecar = World::to(upstream.address())
        .set("upstream.ndh.breaker", "connection_faults", 2)
        .set("upstream.ndh.breaker", "open_for", "\"1s\"")
        .start();
    for _ in 0..2 {
        let reply = Client::connect(sidecar.listen).get("/t/x").expect("a reply");
        assert!(
            reply.status >= 502 && reply.fault() != Some("circuit_open"),
            "{reply:?}"
        );
    }
    let dialled = upstream.seen().len();
    retry_after(&provoke(&sidecar, Code::CircuitOpen, 503));
    assert_eq!(
        upstream.seen().len(),
        dialled,
        "an open circuit leaves the upstream alone"
    );
    healthy.store(true, Ordering::Release);
    let healed = crate::support::eventually(|| {
        Client::connect(sidecar.listen)
            .get("/t/x")
            .ok()
            .filter(|reply| reply.status == 200)
    });
    assert!(healed.is_some(), "a probe closes the circuit again");
    for _ in 0..5 {
        assert_eq!(
            Client::connect(sidecar.listen).get("/t/x").expect("a reply").status,
            200
        );
    }
}

#[test]
fn one_bad_person_does_not_open_the_circuit() {
    let upstream = Hostile::tls(pki().good_server(), |_, conn| {
        if !conn.handshake() {
            return;
        }
        while let Some((head, _)) = conn.request() {
            let bad = head.contains(NOMS);
            conn.write(if bad {
                "HTTP/1.1 500 Oops\r\nContent-Length: 0\r\n\r\n".to_owned()
            } else {
                ok("fine")
            });
        }
    });
    let sidecar = World::to(upstream.address()).start();
    let mut client = Client::connect(sidecar.listen);
    for _ in 0..60 {
        let reply = client.get(&format!("/p/{NOMS}")).expect("a reply");
        assert_eq!((reply.status, reply.fault()), (500, None), "{reply:?}");
    }
    assert_eq!(client.get("/p/Z9002XB").expect("a reply").status, 200);
}

#[test]
fn upstream_unreachable_when_nobody_listens() {
    let sidecar = World::to(nobody()).start();
    provoke(&sidecar, Code::UpstreamUnreachable, 503);
}

#[test]
fn upstream_unreachable_when_the_name_is_unknown() {
    let sidecar = World::to_url("https://ndh.invalid:8443").start();
    provoke(&sidecar, Code::UpstreamUnreachable, 503);
}

#[test]
fn upstream_tls() {
    let servers = [
        (
            "another CA",
            pki().server_config(Tls::V13, &pki().server_of_other_root(), Ask::Ours),
        ),
        (
            "another name",
            pki().server_config(Tls::V13, &pki().server_with_other_name(), Ask::Ours),
        ),
        (
            "expired",
            pki().server_config(Tls::V13, &pki().server_expired(), Ask::Ours),
        ),
        (
            "for clients only",
            pki().server_config(Tls::V13, &pki().server_for_clients_only(), Ask::Ours),
        ),
        (
            "another CA, 1.2",
            pki().server_config(Tls::V12, &pki().server_of_other_root(), Ask::Ours),
        ),
        (
            "another name, 1.2",
            pki().server_config(Tls::V12, &pki().server_with_other_name(), Ask::Ours),
        ),
    ];
    for (what, server) in servers {
        let upstream = Hostile::tls(server, |_, conn| hostile::echo(conn));
        let sidecar = World::to(upstream.address()).start();
        provoke(&sidecar, Code::UpstreamTls, 503);
        assert!(upstream.bytes().is_empty(), "{what}: the request went to somebody else");
    }
}

#[test]
fn upstream_tls_when_our_trust_is_another() {
    let upstream = hostile::echoing();
    let sidecar = World::to(upstream.address()).trust(&pki().other_root_pem()).start();
    provoke(&sidecar, Code::UpstreamTls, 503);
    assert!(upstream.bytes().is_empty());
}

#[test]
fn upstream_tls_on_a_port_without_tls() {
    let upstream = Hostile::plain(|_, conn| {
        conn.write("HTTP/1.1 400 Bad Request\r\nContent-Length: 0\r\n\r\n")
            .hold();
    });
    let sidecar = World::to(upstream.address()).start();
    provoke(&sidecar, Code::UpstreamTls, 503);
    assert_eq!(upstream.count(NOMS), 0);
}

#[test]
fn upstream_tls_below_the_lowest_version() {
    let server = pki().server_config(Tls::V12, &pki().server(Key::Ecdsa), Ask::Ours);
    let upstream = Hostile::tls(server, |_, conn| hostile::echo(conn));
    let sidecar = World::to(upstream.address())
        .set("upstream.ndh", "tls_min", text("1.3"))
        .start();
    provoke(&sidecar, Code::UpstreamTls, 503);
}

#[test]
fn identity_rejected_in_the_handshake_and_after_it() {
    for tls in [Tls::V12, Tls::V13] {
        let server = pki().server_config(tls, &pki().server(Key::Ecdsa), Ask::Theirs);
        let upstream = Hostile::tls(server, |_, conn| hostile::echo(conn));
        let sidecar = World::to(upstream.address()).no_breaker().start();
        for _ in 0..3 {
            provoke(&sidecar, Code::IdentityRejected, 503);
        }
        assert!(upstream.bytes().is_empty(), "{tls:?}");
    }
}

/// What real servers do with a certificate of another CA: every door, several times, the code must be the same.
fn rejected_by(peer: &Peer) {
    let mut findings = Findings::default();
    for (tls, server) in DOORS {
        let stranger = pki().client_of_other_root();
        let sidecar = World::to(peer.door(tls, server))
            .identity(&stranger)
            .no_breaker()
            .start();
        for attempt in 0..5 {
            let what = format!("{} {tls:?} {server:?} attempt {attempt}", peer.name);
            let post = "POST /echo/x HTTP/1.1\r\nHost: a\r\nContent-Length: 5\r\n\r\nhello";
            let get = "GET /bytes/16 HTTP/1.1\r\nHost: a\r\n\r\n";
            let mut client = Client::connect(sidecar.listen);
            client.send(if attempt % 2 == 0 { get } else { post });
            if let Some(reply) = findings.take(&what, client.reply("GET")) {
                findings.same(&what, (reply.status, reply.fault()), (503, Some("identity_rejected")));
            }
        }
    }
    findings.finish();
}

#[test]
fn identity_rejected_by_apache() {
    let Some(peer) = apache::start(pki()) else { return };
    rejected_by(&peer);
}

#[test]
fn identity_rejected_by_jsse() {
    let Some(peer) = java::start(pki()) else { return };
    rejected_by(&peer);
}

#[test]
fn identity_expired() {
    let upstream = hostile::echoing();
    let sidecar = World::to(upstream.address()).identity(&pki().client_expired()).start();
    provoke(&sidecar, Code::IdentityExpired, 503);
    assert!(
        upstream.bytes().is_empty(),
        "an expired certificate is not tried on the other side"
    );
}

#[test]
fn identity_missing() {
    for tls in [Tls::V12, Tls::V13] {
        let server = pki().server_config(tls, &pki().server(Key::Ecdsa), Ask::Ours);
        let upstream = Hostile::tls(server, |_, conn| hostile::echo(conn));
        let sidecar = World::to(upstream.address()).no_identity().start();
        provoke(&sidecar, Code::IdentityMissing, 503);
        assert!(upstream.bytes().is_empty());
    }
}

#[test]
fn identity_missing_when_its_files_are_not_there() {
    let upstream = hostile::echoing();
    let sidecar = World::to(upstream.address()).identity_not_delivered().start();
    provoke(&sidecar, Code::IdentityMissing, 503);
    assert!(upstream.seen().is_empty(), "there is nothing to dial with");
}

#[test]
fn upstream_timeout_when_no_reply_comes() {
    let upstream = Hostile::tls(pki().good_server(), |_, conn| {
        if conn.handshake() {
            conn.hold();
        }
    });
    let sidecar = World::to(upstream.address())
        .set("upstream.ndh.timeouts", "first_byte", "\"300ms\"")
        .start();
    provoke(&sidecar, Code::UpstreamTimeout, 504);
    assert_eq!(
        upstream.count("GET "),
        1,
        "a request that may have been processed is not sent again"
    );
}

#[test]
fn upstream_timeout_when_the_handshake_hangs() {
    let upstream = Hostile::tls(pki().good_server(), |_, conn| conn.hold());
    let sidecar = World::to(upstream.address())
        .set("upstream.ndh.timeouts", "handshake", "\"300ms\"")
        .start();
    provoke(&sidecar, Code::UpstreamTimeout, 504);
}

#[test]
fn upstream_timeout_when_the_head_trickles() {
    let upstream = Hostile::tls(pki().good_server(), |_, conn| {
        if conn.handshake() && conn.request().is_some() {
            conn.trickle(ok("late").repeat(100), Duration::from_millis(100));
        }
    });
    let sidecar = World::to(upstream.address())
        .set("upstream.ndh.timeouts", "connect", "\"100ms\"")
        .set("upstream.ndh.timeouts", "handshake", "\"300ms\"")
        .set("upstream.ndh.timeouts", "first_byte", "\"500ms\"")
        .set("upstream.ndh.timeouts", "total", "\"1500ms\"")
        .start();
    provoke(&sidecar, Code::UpstreamTimeout, 504);
}

#[test]
fn upstream_reset_when_the_connection_dies_before_the_reply() {
    let upstream = Hostile::tls(pki().good_server(), |_, conn| {
        if conn.handshake() && conn.request().is_some() {
            conn.reset();
        }
    });
    let sidecar = World::to(upstream.address()).start();
    provoke(&sidecar, Code::UpstreamReset, 502);
}

#[test]
fn upstream_invalid_when_the_reply_is_not_http() {
    let upstream = Hostile::tls(pki().good_server(), |_, conn| {
        if conn.handshake() && conn.request().is_some() {
            conn.write("220 smtp.example ESMTP\r\n\r\n").hold();
        }
    });
    let sidecar = World::to(upstream.address()).start();
    provoke(&sidecar, Code::UpstreamInvalid, 502);
}

/// With a token from this server; the client's files lie in the directory.
fn with_token(world: World, server: SocketAddr, client: &std::path::Path) -> World {
    let file = |name: &str| text(&client.join(name).display().to_string());
    world
        .set("upstream.ndh", "token", text("t"))
        .set("token.t", "url", text(&format!("http://{server}/auth/oauth/token")))
        .set("token.t", "client_id_file", file("client-id"))
        .set("token.t", "client_secret_file", file("client-secret"))
}

#[test]
fn token_unavailable() {
    let upstream = Hostile::tls(pki().good_server(), |_, conn| {
        conn.handshake();
    });
    let client = tempfile::tempdir().expect("a directory");
    let sidecar = with_token(World::to(upstream.address()), nobody(), client.path()).start();
    let reply = provoke(&sidecar, Code::TokenUnavailable, 503);
    retry_after(&reply);
    assert!(upstream.bytes().is_empty(), "nothing is asked without a token");
}

#[test]
fn token_refused() {
    let upstream = Hostile::tls(pki().good_server(), |_, conn| {
        if conn.handshake() {
            while conn.request().is_some() {
                conn.write("HTTP/1.1 401 Unauthorized\r\nContent-Length: 0\r\n\r\n");
            }
        }
    });
    let server = Hostile::plain(|_, conn| {
        if conn.request().is_some() {
            let body = r#"{"access_token":"t","token_type":"bearer","expires_in":1200}"#;
            let length = body.len();
            conn.write(format!("HTTP/1.1 200 OK\r\nContent-Length: {length}\r\n\r\n{body}"))
                .close();
        }
    });
    let client = tempfile::tempdir().expect("a directory");
    for name in ["client-id", "client-secret"] {
        std::fs::write(client.path().join(name), "x").expect("written");
    }
    let sidecar = with_token(World::to(upstream.address()), server.address(), client.path()).start();
    provoke(&sidecar, Code::TokenRefused, 503);
}

#[test]
fn mapping_failed() {
    let upstream = Hostile::tls(pki().good_server(), |_, conn| {
        if conn.handshake() && conn.request().is_some() {
            conn.write("HTTP/1.1 200 OK\r\nContent-Length: 9\r\n\r\n{\"a\": 17}");
        }
    });
    let directory = directory();
    std::fs::write(directory.path().join("no-status.jq"), "{body}").expect("written");
    let leg = "[route.ndh]\nupstream = \"ndh\"\n";
    let config = World::to(upstream.address()).write(directory.path());
    assert!(config.contains(leg), "{config}");
    let config = config.replace(leg, &format!("{leg}response = \"no-status.jq\"\n"));
    let sidecar = Sidecar::start(directory, &config);
    provoke(&sidecar, Code::MappingFailed, 502);
}

/// The table and this file must not drift apart.
#[test]
fn every_code_of_the_table_is_provoked_here() {
    let source = include_str!("errors.rs");
    let missing: Vec<&str> = Code::ALL
        .iter()
        .map(|code| code.as_str())
        .filter(|code| !source.contains(&format!("fn {code}")))
        .collect();
    assert!(missing.is_empty(), "no test provokes {missing:?}");
}

/// A chunked request whose last chunk lies in the buffer when the upstream fails: what follows the fault reply must not
/// be read from the middle of it.
#[test]
fn a_fault_in_the_middle_of_chunked_content_is_the_last_thing_said() {
    let sidecar = World::to(nobody()).no_breaker().start();
    for content in ["0\r\n\r\n", "3\r\nabc\r\n0\r\n\r\n", "0\r\nX-Trailer: y\r\n\r\n"] {
        let mut client = Client::connect(sidecar.listen);
        client.send(format!(
            "POST /t/x HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n{content}"
        ));
        let reply = client.reply("POST").expect("a reply");
        assert_eq!(reply.fault(), Some("upstream_unreachable"), "{reply:?}");
        if reply.header("connection") == Some("close") {
            assert!(client.closed(), "one request, one reply: {content:?}");
        } else {
            let reply = client.get("/nowhere/at/all").expect("a reply");
            assert_eq!(
                reply.fault(),
                Some("route_unknown"),
                "a reply to another request: {content:?}"
            );
        }
    }
}

/// While one request waits to try again, or its caller is slow to take the refusal, others come and go.
#[test]
fn requests_that_fail_at_the_same_time_are_each_told_so() {
    let sidecar = World::to(nobody()).no_breaker().start();
    let mut clients: Vec<Client> = (0..40).map(|_| Client::connect(sidecar.listen)).collect();
    for client in &mut clients {
        client.send("GET /t/x HTTP/1.1\r\nHost: a\r\n\r\n");
    }
    for client in &mut clients {
        let reply = client.reply("GET").expect("a reply");
        assert_eq!(reply.fault(), Some("upstream_unreachable"), "{reply:?}");
    }
}
