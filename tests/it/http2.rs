//! HTTP/2 towards an upstream that chooses it: to the caller nothing is different.
//!
//! Against an HTTP/2 server that asks for our certificate, on some paths ill behaved; and against nginx.

use crate::support::bin::{NOMS, Sidecar};
use crate::support::h2::{GATHERED, Upstream};
use crate::support::hostile::{self, Hostile};
use crate::support::peer::Tls;
use crate::support::pki::{Ask, Key, NDH, pki};
use crate::support::raw::{Broken, Client};
use crate::support::world::{World, text};
use crate::support::{eventually, nginx, origin};

fn server() -> rustls::ServerConfig {
    let mut config = pki().good_server();
    config.alpn_protocols = vec![b"h2".to_vec(), b"http/1.1".to_vec()];
    config
}

fn upstream() -> Upstream {
    Upstream::start(server(), 100)
}

fn world(upstream: &Upstream) -> World {
    World::to(upstream.address())
        .set("upstream.ndh", "http2", true)
        .set("listen.limits", "body", text("64MiB"))
}

/// What a request came to: status, fault code.
fn outcome(sidecar: &Sidecar, request: &str) -> (u16, Option<String>) {
    let mut client = Client::connect(sidecar.listen);
    client.send(request);
    let reply = client
        .reply(request.split(' ').next().unwrap_or_default())
        .unwrap_or_else(|broken| panic!("{request:.60}: {broken}"));
    (reply.status, reply.fault().map(str::to_owned))
}

fn get(path: &str) -> String {
    format!("GET {path} HTTP/1.1\r\nHost: localhost\r\n\r\n")
}

#[test]
fn content_comes_back_byte_for_byte_on_one_connection() {
    let upstream = upstream();
    let sidecar = world(&upstream).start();
    let mut client = Client::connect(sidecar.listen);
    for size in [0, 1, 2 << 10, 64 << 10, 3 << 20] {
        for path in [format!("/bytes/{size}"), format!("/p/{NOMS}")] {
            let reply = client.get(&path).expect("a reply");
            assert_eq!(reply.status, 200, "{path}");
            assert_eq!(reply.header("cache-control"), Some("no-store"), "{path}");
            if path.starts_with("/bytes") {
                assert_eq!(reply.header("content-length"), Some(size.to_string().as_str()));
                assert!(reply.body == origin::pattern(size), "{path}: the bytes differ");
            }
        }
    }
    assert_eq!(upstream.connections(), 1);
}

#[test]
fn a_reply_of_unknown_length_is_chunked_or_ends_with_the_connection() {
    let upstream = upstream();
    let sidecar = world(&upstream).route("open", "GET /bytes/{size}/open", "").start();
    let size = 300_000;
    let mut client = Client::connect(sidecar.listen);
    for _ in 0..2 {
        let reply = client.get(&format!("/bytes/{size}/open")).expect("a reply");
        assert_eq!(reply.header("transfer-encoding"), Some("chunked"));
        assert!(reply.body == origin::pattern(size), "the bytes differ");
    }
    client.send(format!("GET /bytes/{size}/open HTTP/1.0\r\n\r\n"));
    let reply = client.reply("GET").expect("a reply");
    assert!(reply.by_close && reply.body == origin::pattern(size));
    // no content at all: an announced nothing
    let reply = Client::connect(sidecar.listen).get("/t/nothing").expect("a reply");
    assert_eq!((reply.status, reply.header("content-length")), (200, Some("0")));
}

#[test]
fn content_streams_both_ways_at_once() {
    let upstream = upstream();
    let sidecar = world(&upstream).start();
    let mut client = Client::connect(sidecar.listen);
    let body = origin::pattern(3 << 20);
    for method in ["POST", "PUT"] {
        // far beyond all windows: it passes only if what comes back is taken meanwhile
        let sender = std::thread::spawn({
            let (body, listen) = (body.clone(), sidecar.listen);
            move || {
                let mut client = Client::connect(listen);
                client.send(format!(
                    "{method} /echo/known HTTP/1.1\r\nHost: a\r\nContent-Length: {}\r\n\r\n",
                    body.len()
                ));
                for piece in body.chunks(50_000) {
                    client.send(piece);
                }
                client.reply(method).map(|reply| reply.body == body)
            }
        });
        assert_eq!(sender.join().expect("the sender"), Ok(true), "{method}");
    }
    let body = &body[..300_000];
    client.send("POST /echo/chunked HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n");
    for piece in body.chunks(10_000) {
        client.send(format!("{:x}\r\n", piece.len())).send(piece).send("\r\n");
    }
    client.send("0\r\n\r\n");
    let reply = client.reply("POST").expect("a reply");
    assert!(reply.status == 200 && reply.body == body, "the bytes differ");
    // that reply began before the request was whole, so the connection ended with it
    let mut client = Client::connect(sidecar.listen);
    // small content that comes with its head, and none
    for body in ["", "x", "0123456789"] {
        client.send(format!(
            "POST /echo/small HTTP/1.1\r\nHost: a\r\nContent-Length: {}\r\n\r\n{body}",
            body.len()
        ));
        assert_eq!(client.reply("POST").expect("a reply").text(), body);
    }
    client.send("POST /echo/late HTTP/1.1\r\nHost: a\r\nContent-Length: 5\r\nExpect: 100-continue\r\n\r\n");
    assert!(client.first_byte(), "nobody asked for the content");
    client.send("hello");
    let reply = client.reply("POST").expect("a reply");
    assert_eq!((reply.interim.as_slice(), reply.text().as_str()), (&[100][..], "hello"));
    assert_eq!(upstream.connections(), 1);
}

#[test]
fn heads_are_rewritten_by_the_same_rules() {
    let upstream = upstream();
    let sidecar = world(&upstream).start();
    let mut client = Client::connect(sidecar.listen);
    client.send(
        "GET /t/head?q=%20&r='1 HTTP/1.1\r\nHost: localhost\r\nAuthorization: Bearer prison-side\r\nTE: trailers\r\n\
         Connection: x-once\r\nX-Once: 1\r\nX-Forwarded-Client-Cert: By=me\r\nX-Request-Id: from-the-app\r\n\r\n",
    );
    let reply = client.reply("GET").expect("a reply");
    let port = upstream.address().port();
    let text = reply.text();
    let first = text.lines().next().unwrap_or_default();
    assert!(
        first == format!("GET https://{NDH}:{port}/t/head?q=%20&r='1")
            || first == format!("GET https://{NDH}/t/head?q=%20&r='1"),
        "{first}"
    );
    for absent in [
        "authorization",
        "te:",
        "x-once",
        "connection",
        "x-forwarded-client-cert",
        "host:",
    ] {
        assert!(!text.to_lowercase().contains(absent), "{absent} in\n{text}");
    }
    assert!(
        text.contains("x-request-id: from-the-app\n") && text.contains("traceparent: 00-"),
        "{text}"
    );
    assert_eq!(reply.fault(), None, "only the sidecar says that it failed");

    for (path, status) in [("/t/empty", 204), ("/t/interim", 200)] {
        let reply = client.get(path).expect("a reply");
        assert_eq!(
            (reply.status, reply.body.len(), reply.interim.len()),
            (status, 0, 0),
            "{path}"
        );
    }
    let reply = client.get("/t/trailers").expect("a reply");
    assert_eq!((reply.text().as_str(), reply.trailers.len()), ("12345", 0));
    client.send("HEAD /bytes/2048 HTTP/1.1\r\nHost: localhost\r\n\r\n");
    let reply = client.reply("HEAD").expect("a reply");
    assert_eq!((reply.status, reply.header("content-length")), (200, Some("2048")));
    // and the connection goes on
    assert_eq!(client.get("/bytes/10").expect("a reply").body, origin::pattern(10));
}

#[test]
fn requests_at_once_share_a_connection() {
    let upstream = upstream();
    let sidecar = world(&upstream).start();
    // the upstream answers none of them before all have come
    let clients: Vec<_> = (0..GATHERED)
        .map(|_| {
            let mut client = Client::connect(sidecar.listen);
            client.send(get("/t/gather"));
            client
        })
        .collect();
    for mut client in clients {
        assert_eq!(client.reply("GET").expect("a reply").status, 200);
    }
    assert_eq!(upstream.connections(), 1);
}

#[test]
fn beyond_the_streams_that_a_server_allows_there_is_another_connection() {
    let upstream = Upstream::start(server(), 8);
    let sidecar = world(&upstream).start();
    // so that the limit is known
    assert_eq!(outcome(&sidecar, &get("/t/x")).0, 200);
    let clients: Vec<_> = (0..GATHERED)
        .map(|_| {
            let mut client = Client::connect(sidecar.listen);
            client.send(get("/t/gather"));
            client
        })
        .collect();
    for mut client in clients {
        assert_eq!(client.reply("GET").expect("a reply").status, 200);
    }
    assert!(
        (3..=4).contains(&upstream.connections()),
        "{} connections",
        upstream.connections()
    );
}

#[test]
fn a_new_generation_has_its_own_connection_and_the_old_one_finishes_what_it_carries() {
    let upstream = upstream();
    let sidecar = world(&upstream).set("upstream.ndh", "tls_min", text("1.2")).start();
    let mut held = Client::connect(sidecar.listen);
    held.send(get("/t/held"));
    assert!(eventually(|| (!upstream.seen("/t/held").is_empty()).then_some(())).is_some());
    sidecar.substitute("tls_min = \"1.2\"", "tls_min = \"1.3\"");
    let moved = eventually(|| {
        assert_eq!(outcome(&sidecar, &get("/t/x")), (200, None));
        // The first one, the trial's, and the new generation's.
        (upstream.connections() == 3 && upstream.open() == 2).then_some(())
    });
    assert!(moved.is_some(), "the connection of the old generation is still used");
    assert_eq!(outcome(&sidecar, &get("/t/release")), (200, None));
    assert_eq!(held.reply("GET").expect("a reply").status, 200);
    assert!(
        eventually(|| (upstream.open() == 1).then_some(())).is_some(),
        "it is not closed"
    );
    assert_eq!(upstream.connections(), 3);
}

#[test]
fn an_idle_connection_is_closed_in_time() {
    let upstream = upstream();
    let sidecar = world(&upstream)
        .set("upstream.ndh.pool", "idle_time", text("1s"))
        .start();
    assert_eq!(outcome(&sidecar, &get("/t/x")).0, 200);
    assert_eq!(upstream.open(), 1);
    assert!(
        eventually(|| (upstream.open() == 0).then_some(())).is_some(),
        "it stays open"
    );
    assert_eq!(outcome(&sidecar, &get("/t/x")).0, 200);
    assert_eq!(upstream.connections(), 2);
}

#[test]
fn requests_that_wait_for_one_dial_share_its_failure() {
    let upstream = Hostile::tls(server(), |_, conn| conn.hold());
    let sidecar = World::to(upstream.address())
        .set("upstream.ndh", "http2", true)
        .set("upstream.ndh.timeouts", "handshake", text("1s"))
        .no_breaker()
        .start();
    let clients: Vec<_> = (0..10)
        .map(|_| {
            let mut client = Client::connect(sidecar.listen);
            client.send(get("/t/x"));
            client
        })
        .collect();
    for mut client in clients {
        let reply = client.reply("GET").expect("a reply");
        assert_eq!((reply.status, reply.fault()), (504, Some("upstream_timeout")));
    }
    assert_eq!(upstream.seen().len(), 1);
}

#[test]
fn a_server_may_decline() {
    let mut config = pki().good_server();
    config.alpn_protocols = vec![b"http/1.1".to_vec()];
    for config in [config, pki().good_server()] {
        let upstream = Hostile::tls(config, |_, conn| hostile::echo(conn));
        let sidecar = World::to(upstream.address()).set("upstream.ndh", "http2", true).start();
        let mut client = Client::connect(sidecar.listen);
        for _ in 0..3 {
            assert_eq!(client.get("/t/x").expect("a reply").status, 200);
        }
        assert_eq!(upstream.seen().len(), 1);
    }
}

#[test]
fn without_the_setting_http2_is_not_offered() {
    let upstream = Hostile::tls(server(), |_, conn| hostile::echo(conn));
    let sidecar = World::to(upstream.address()).start();
    assert_eq!(outcome(&sidecar, &get("/t/x")), (200, None));
}

#[test]
fn a_stream_that_is_reset_is_a_502_and_is_not_asked_again() {
    let upstream = upstream();
    let sidecar = world(&upstream).no_breaker().start();
    for asked in 1..=3 {
        assert_eq!(
            outcome(&sidecar, &get("/t/reset")),
            (502, Some("upstream_reset".to_owned()))
        );
        assert_eq!(upstream.seen("/t/reset").len(), asked);
    }
    assert_eq!(outcome(&sidecar, &get("/bytes/5")).0, 200);
    assert_eq!(upstream.connections(), 1, "the connection is the others' as well");
}

#[test]
fn a_refused_stream_was_not_processed_and_is_asked_again_whatever_the_method() {
    let upstream = upstream();
    let sidecar = world(&upstream).start();
    let request = "POST /t/refuse HTTP/1.1\r\nHost: a\r\nContent-Length: 2\r\n\r\nok";
    assert_eq!(outcome(&sidecar, request), (200, None));
    assert_eq!(upstream.seen("/t/refuse").len(), 2);
}

#[test]
fn a_refused_stream_whose_content_is_gone_is_a_502() {
    let upstream = upstream();
    let sidecar = world(&upstream).start();
    let mut client = Client::connect(sidecar.listen);
    client.send("POST /t/refuse HTTP/1.1\r\nHost: a\r\nContent-Length: 200000\r\n\r\n");
    client.send(vec![b'x'; 200_000]);
    let reply = client.reply("POST").expect("a reply");
    assert_eq!(
        upstream.seen("/t/refuse").len(),
        if reply.status == 502 { 1 } else { 2 }
    );
    // asked again only where nothing of the content had been taken yet; then all of it must have crossed
    assert!(matches!(reply.status, 502 | 200), "{}", reply.status);
}

#[test]
fn after_a_goaway_the_next_request_has_a_new_connection() {
    let upstream = upstream();
    let sidecar = world(&upstream).start();
    for round in 1..=3 {
        assert_eq!(outcome(&sidecar, &get("/t/goaway")), (200, None));
        // a request that crossed the announcement is asked again: it was certainly not processed
        let request = "POST /t/after HTTP/1.1\r\nHost: a\r\nContent-Length: 2\r\n\r\nok";
        assert_eq!(outcome(&sidecar, request), (200, None), "round {round}");
    }
    assert!((2..=4).contains(&upstream.connections()), "{}", upstream.connections());
    let seen = upstream.seen("/t/after");
    assert_eq!(seen.len(), 3, "none was processed twice");
}

#[test]
fn a_connection_that_dies_takes_its_requests_with_it() {
    let upstream = upstream();
    let sidecar = world(&upstream).no_breaker().start();
    let reset = (502, Some("upstream_reset".to_owned()));
    assert_eq!(outcome(&sidecar, &get("/t/die")), reset, "a new connection");
    assert_eq!(outcome(&sidecar, &get("/t/x")).0, 200);
    assert_eq!(
        outcome(&sidecar, &get("/t/die-once")).0,
        200,
        "one that was in use before"
    );
    assert_eq!(upstream.seen("/t/die-once").len(), 2);
    let post = "POST /t/die HTTP/1.1\r\nHost: a\r\nContent-Length: 2\r\n\r\nok";
    assert_eq!(outcome(&sidecar, post), reset);
    assert_eq!(upstream.seen("/t/die").len(), 2);
}

#[test]
fn a_slow_upstream_is_a_504_and_its_stream_is_reset() {
    let upstream = upstream();
    let sidecar = world(&upstream)
        .set("upstream.ndh.timeouts", "first_byte", text("300ms"))
        .start();
    assert_eq!(
        outcome(&sidecar, &get("/t/slow")),
        (504, Some("upstream_timeout".to_owned()))
    );
    assert!(
        eventually(|| upstream.seen("/t/slow")[0].reset.then_some(())).is_some(),
        "not reset"
    );
    assert_eq!(outcome(&sidecar, &get("/t/x")).0, 200);
    assert_eq!(upstream.connections(), 1);
}

#[test]
fn what_is_not_http2_after_all_is_invalid() {
    for garbage in ["HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n", "\0\0\0\x01\x04\0\0\0\0"] {
        let upstream = Hostile::tls(server(), move |_, conn| {
            if conn.handshake() {
                conn.write(garbage);
                conn.hold();
            }
        });
        let sidecar = World::to(upstream.address())
            .set("upstream.ndh", "http2", true)
            .no_breaker()
            .start();
        let invalid = (502, Some("upstream_invalid".to_owned()));
        assert_eq!(outcome(&sidecar, &get("/t/x")), invalid, "{garbage:?}");
    }
}

#[test]
fn a_caller_that_leaves_has_its_stream_reset() {
    let upstream = upstream();
    let sidecar = world(&upstream).start();
    let mut client = Client::connect(sidecar.listen);
    client.send(get("/t/slow"));
    assert!(eventually(|| (!upstream.seen("/t/slow").is_empty()).then_some(())).is_some());
    client.reset();
    assert!(
        eventually(|| upstream.seen("/t/slow")[0].reset.then_some(())).is_some(),
        "not reset"
    );
    assert_eq!(upstream.connections(), 1);
}

#[test]
fn content_beyond_the_limit_is_a_413() {
    let upstream = upstream();
    let sidecar = world(&upstream)
        .route("small", "POST /echo/limited", "body = \"1KiB\"")
        .start();
    let mut client = Client::connect(sidecar.listen);
    client.send("POST /echo/limited HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n800\r\n");
    client.send(vec![b'x'; 0x800]).send("\r\n0\r\n\r\n");
    let reply = client.reply("POST");
    // the echo may have begun; then the reply is cut
    match reply {
        Ok(reply) => assert_eq!((reply.status, reply.fault()), (413, Some("request_too_large"))),
        Err(broken) => assert!(matches!(broken, Broken::Truncated(..)), "{broken}"),
    }
    assert!(
        eventually(|| upstream
            .seen("/echo/limited")
            .iter()
            .all(|seen| !seen.whole)
            .then_some(()))
        .is_some()
    );
}

#[test]
fn a_reply_that_is_not_as_long_as_announced_never_looks_whole() {
    let upstream = upstream();
    let sidecar = world(&upstream).no_breaker().start();
    for path in ["/t/short", "/t/long", "/t/half"] {
        let mut client = Client::connect(sidecar.listen);
        client.send(format!("POST {path} HTTP/1.1\r\nHost: a\r\nContent-Length: 1\r\n\r\nx"));
        match client.reply("POST") {
            Ok(reply) => assert_eq!(reply.status, 502, "{path}: {reply:?}"),
            Err(broken) => assert!(
                matches!(broken, Broken::Truncated(..) | Broken::Closed),
                "{path}: {broken}"
            ),
        }
    }
    assert_eq!(outcome(&sidecar, &get("/bytes/5")).0, 200);
}

#[test]
fn a_reply_that_comes_before_the_request_is_whole_passes() {
    let upstream = upstream();
    let sidecar = world(&upstream).start();
    let mut client = Client::connect(sidecar.listen);
    client.send("POST /t/early HTTP/1.1\r\nHost: a\r\nContent-Length: 1000000\r\n\r\n");
    let reply = client.reply("POST").expect("a reply");
    assert_eq!((reply.status, reply.header("connection")), (403, Some("close")));
}

#[test]
fn neither_side_is_sent_more_than_the_other_takes() {
    let upstream = upstream();
    let sidecar = world(&upstream)
        .set("upstream.ndh.timeouts", "idle", text("30s"))
        .start();
    // an upload that nobody reads: the windows, our buffers, the kernel's; not the 64 MiB that are offered
    let mut client = Client::connect(sidecar.listen);
    client.send("POST /t/deaf HTTP/1.1\r\nHost: a\r\nContent-Length: 67108864\r\n\r\n");
    let taken = client.send_until_stuck(64 << 20);
    assert!(taken < 16 << 20, "{taken} bytes were taken");
    drop(client);
    // a download that nobody takes
    let mut client = Client::connect(sidecar.listen);
    client.send(get("/t/endless"));
    assert!(client.first_byte());
    let mut last = 0;
    let still = eventually(|| {
        let now = upstream.moved();
        std::thread::sleep(std::time::Duration::from_millis(200));
        (now == std::mem::replace(&mut last, now) && now > 0).then_some(now)
    });
    let sent = still.expect("it goes on sending");
    assert!(sent < 16 << 20, "{sent} bytes were sent");
    // and the connection still serves others
    assert_eq!(outcome(&sidecar, &get("/bytes/100000")).0, 200);
    assert_eq!(upstream.connections(), 1);
}

#[test]
fn a_refusal_of_our_certificate_is_known_for_what_it_is() {
    for tls in [Tls::V12, Tls::V13] {
        let mut config = pki().server_config(tls, &pki().server(Key::Ecdsa), Ask::Theirs);
        config.alpn_protocols = vec![b"h2".to_vec()];
        let upstream = Upstream::start(config, 100);
        let sidecar = world(&upstream).no_breaker().start();
        for _ in 0..3 {
            let (status, fault) = outcome(&sidecar, &get("/t/x"));
            assert_eq!((status, fault.as_deref()), (503, Some("identity_rejected")), "{tls:?}");
        }
    }
}

#[test]
fn nginx_speaks_it_too() {
    let Some(peer) = nginx::start(pki()) else { return };
    let sidecar = World::to(peer.door(Tls::V13, Key::Ecdsa))
        .set("upstream.ndh", "http2", true)
        .set("listen.limits", "body", text("64MiB"))
        .start();
    let mut client = Client::connect(sidecar.listen);
    let mut connections = std::collections::BTreeSet::new();
    for (path, size) in [("/2k", 2 << 10), ("/1m", 1 << 20), ("/bytes/300000", 300_000)] {
        let reply = client.get(path).expect("a reply");
        assert_eq!(
            (reply.status, reply.header("x-seen-version")),
            (200, Some("HTTP/2.0")),
            "{path}"
        );
        assert!(reply.body == origin::pattern(size), "{path}: the bytes differ");
        let connection = reply
            .header("x-seen-connection")
            .unwrap_or_default()
            .split('/')
            .next()
            .map(str::to_owned);
        connections.insert(connection);
    }
    let body = origin::pattern(2 << 20);
    client.send(format!(
        "POST /echo/x HTTP/1.1\r\nHost: a\r\nContent-Length: {}\r\n\r\n",
        body.len()
    ));
    client.send(&body);
    let reply = client.reply("POST").expect("a reply");
    assert!(reply.status == 200 && reply.body == body, "the bytes differ");
    assert_eq!(connections.len(), 1);
}
