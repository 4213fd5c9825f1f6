//! A request on its way and back: what crosses, what does not, and that the bytes are the same.
//!
//! First through real servers, in both TLS versions and with both kinds of identity; then, header by header, against
//! an upstream that records exactly what it was sent.

use crate::support::bin::{NOMS, ROUTE, STATUS, Sidecar};
use crate::support::findings::Findings;
use crate::support::hostile::{self, Conn, Hostile, answer_with_echo};
use crate::support::origin;
use crate::support::patience;
use crate::support::peer::{DOORS, Peer, Tls};
use crate::support::pki::{APP, Ask, Key, NDH, pki};
use crate::support::raw::{Client, Reply};
use crate::support::world::World;
use crate::support::{apache, java, nginx};

// === real peers ===

fn through(peer: &Peer) {
    let mut findings = Findings::default();
    for (tls, server) in DOORS {
        for identity in [Key::Rsa, Key::Ecdsa] {
            let leaf = pki().client(identity);
            let sidecar = World::to(peer.door(tls, server)).identity(&leaf).start();
            let what = format!("{} {tls:?} server {server:?} identity {identity:?}", peer.name);
            carries(&mut findings, &what, &sidecar, tls, &leaf.serial);
        }
    }
    findings.finish();
}

fn carries(findings: &mut Findings, what: &str, sidecar: &Sidecar, tls: Tls, serial: &str) {
    let mut client = Client::connect(sidecar.listen);
    for size in [0, 2 << 10, 64 << 10, 1 << 20] {
        let Some(reply) = findings.take(what, client.get(&format!("/bytes/{size}"))) else {
            return;
        };
        findings.same(format!("{what} GET {size}"), reply.status, 200);
        findings.check(reply.body == origin::pattern(size), || {
            format!("{what} GET {size}: the bytes differ")
        });
        findings.same(
            format!("{what} cache-control"),
            reply.header("cache-control"),
            Some("no-store"),
        );
    }

    client.send("HEAD /bytes/2048 HTTP/1.1\r\nHost: localhost\r\n\r\n");
    if let Some(reply) = findings.take(format!("{what} HEAD"), client.reply("HEAD")) {
        findings.same(
            format!("{what} HEAD"),
            (reply.status, reply.header("content-length")),
            (200, Some("2048")),
        );
    }

    let body = origin::pattern(300 << 10);
    client.send(format!(
        "POST /echo/length HTTP/1.1\r\nHost: localhost\r\nContent-Length: {}\r\n\r\n",
        body.len()
    ));
    client.send(&body);
    if let Some(reply) = findings.take(format!("{what} POST"), client.reply("POST")) {
        findings.check(reply.status == 200 && reply.body == body, || {
            format!("{what} POST: {reply:.200?}")
        });
    }

    client.send("PUT /echo/chunked HTTP/1.1\r\nHost: localhost\r\nTransfer-Encoding: chunked\r\n\r\n");
    for piece in body.chunks(10_000) {
        client.send(format!("{:x}\r\n", piece.len())).send(piece).send("\r\n");
    }
    client.send("0\r\n\r\n");
    if let Some(reply) = findings.take(format!("{what} PUT"), client.reply("PUT")) {
        findings.check(reply.status == 200 && reply.body == body, || {
            format!("{what} PUT: {reply:.200?}")
        });
    }

    client.send(
        "GET /bytes/16 HTTP/1.1\r\nHost: localhost\r\nAuthorization: Bearer prison-side\r\n\
         X-Forwarded-Client-Cert: By=me\r\nX-Request-Id: from-the-app\r\n\r\n",
    );
    if let Some(reply) = findings.take(format!("{what} headers"), client.reply("GET")) {
        let seen = |name: &str| reply.header(name).unwrap_or("absent").to_owned();
        findings.same(
            format!("{what} authorization"),
            seen("x-seen-authorization"),
            "<>".to_owned(),
        );
        findings.same(
            format!("{what} client cert header"),
            seen("x-seen-xfcc"),
            "<>".to_owned(),
        );
        findings.same(
            format!("{what} request id"),
            seen("x-seen-request-id"),
            "<from-the-app>".to_owned(),
        );
        findings.check(seen("x-seen-host").starts_with(NDH), || {
            format!("{what} host {}", seen("x-seen-host"))
        });
        findings.check(seen("x-seen-dn").contains(APP), || {
            format!("{what} name {}", seen("x-seen-dn"))
        });
        findings.check(seen("x-seen-traceparent").len() == 57, || {
            format!("{what} {}", seen("x-seen-traceparent"))
        });
        let found = seen("x-seen-serial").to_lowercase();
        let bare = |text: &str| text.trim_start_matches('0').to_owned();
        findings.same(format!("{what} serial"), bare(&found), bare(serial));
        let protocol = if tls == Tls::V12 { "TLSv1.2" } else { "TLSv1.3" };
        findings.same(format!("{what} protocol"), seen("x-seen-protocol"), protocol.to_owned());
    }

    // the same connection to the peer serves caller after caller
    let connection = |reply: &Reply| {
        reply
            .header("x-seen-connection")
            .map(|text| text.split('/').next().map(str::to_owned))
    };
    let first = client.get("/bytes/1").ok().and_then(|reply| connection(&reply));
    let second = Client::connect(sidecar.listen)
        .get("/bytes/1")
        .ok()
        .and_then(|reply| connection(&reply));
    findings.same(format!("{what} reuses its connection"), second, first);
}

#[test]
fn nginx_answers_through_the_sidecar() {
    let Some(peer) = nginx::start(pki()) else { return };
    through(&peer);
    // and files that nginx sends by sendfile, without the service behind
    let sidecar = World::to(peer.door(Tls::V13, Key::Ecdsa)).start();
    let mut client = Client::connect(sidecar.listen);
    for (file, size) in [("2k", 2 << 10), ("64k", 64 << 10), ("1m", 1 << 20)] {
        let reply = client.get(&format!("/{file}")).expect("a reply");
        assert_eq!(reply.status, 200);
        assert!(reply.body == origin::pattern(size), "{file}: the bytes differ");
    }
    let missing = client.get("/no-such-person").expect("a reply");
    assert_eq!(
        (missing.status, missing.fault()),
        (404, None),
        "a 404 of the upstream passes untouched"
    );
}

#[test]
fn apache_answers_through_the_sidecar() {
    let Some(peer) = apache::start(pki()) else { return };
    through(&peer);
}

#[test]
fn jsse_answers_through_the_sidecar() {
    let Some(peer) = java::start(pki()) else { return };
    through(&peer);
    let sidecar = World::to(peer.door(Tls::V13, Key::Ecdsa)).start();
    let mut client = Client::connect(sidecar.listen);
    let reply = client.get("/bytes/100000?chunked").expect("a reply");
    assert!(reply.body == origin::pattern(100_000), "a chunked reply arrives whole");
}

#[test]
fn a_server_that_asks_for_no_certificate_is_served_too() {
    let server = pki().server_config(Tls::V13, &pki().server(Key::Ecdsa), Ask::Nothing);
    let upstream = Hostile::tls(server, |_, conn| hostile::echo(conn));
    let sidecar = World::to(upstream.address()).start();
    assert_eq!(
        Client::connect(sidecar.listen).get("/t/x").expect("a reply").status,
        200
    );
    assert_eq!(upstream.seen()[0].peer, None);
}

// === connections ===

#[test]
fn one_connection_serves_many_requests_on_both_sides() {
    let upstream = hostile::echoing();
    let sidecar = World::to(upstream.address()).start();
    let mut client = Client::connect(sidecar.listen);
    for number in 0..20 {
        let reply = client.get(&format!("/t/{number}")).expect("a reply");
        assert!(reply.text().starts_with(&format!("GET /t/{number} ")), "{reply:?}");
    }
    assert_eq!(upstream.seen().len(), 1, "one upstream connection for twenty requests");
}

#[test]
fn pipelined_requests_are_answered_in_order() {
    let upstream = hostile::echoing();
    let sidecar = World::to(upstream.address()).start();
    let mut client = Client::connect(sidecar.listen);
    let requests: String = (0..10)
        .map(|number| format!("GET /t/{number} HTTP/1.1\r\nHost: a\r\n\r\n"))
        .collect();
    let posted = "POST /t/10 HTTP/1.1\r\nHost: a\r\nContent-Length: 3\r\n\r\nabcGET /t/11 HTTP/1.1\r\nHost: a\r\n\r\n";
    client.send(requests + posted);
    for number in 0..12 {
        let reply = client.reply("GET").expect("a reply");
        assert!(
            reply.text().contains(&format!("/t/{number} HTTP/1.1")),
            "{number}: {reply:?}"
        );
    }
}

#[test]
fn an_http_1_0_caller_is_answered_in_its_own_way() {
    let upstream = hostile::echoing();
    let sidecar = World::to(upstream.address()).start();
    let mut client = Client::connect(sidecar.listen);
    client.send("GET /t/x HTTP/1.0\r\n\r\n");
    let reply = client.reply("GET").expect("a reply");
    assert_eq!(reply.status, 200);
    assert!(client.closed(), "HTTP/1.0 without keep-alive ends after the reply");
    assert!(reply.text().starts_with("GET /t/x HTTP/1.1\r\n"), "{reply:?}");

    let mut client = Client::connect(sidecar.listen);
    for _ in 0..2 {
        client.send("GET /t/x HTTP/1.0\r\nConnection: keep-alive\r\n\r\n");
        let reply = client.reply("GET").expect("a reply");
        assert_eq!(reply.status, 200);
        assert!(
            reply
                .header("connection")
                .is_some_and(|value| value.eq_ignore_ascii_case("keep-alive")),
            "{reply:?}"
        );
    }
}

#[test]
fn an_http_1_0_caller_never_sees_chunks() {
    let upstream =
        hostile::saying("HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n5\r\nhello\r\n6\r\n world\r\n0\r\n\r\n");
    let sidecar = World::to(upstream.address()).start();
    let mut client = Client::connect(sidecar.listen);
    client.send("GET /t/x HTTP/1.0\r\nConnection: keep-alive\r\n\r\n");
    let reply = client.reply("GET").expect("a reply");
    assert_eq!(
        (reply.text().as_str(), reply.values("transfer-encoding").count()),
        ("hello world", 0),
        "{reply:?}"
    );
}

#[test]
fn connection_close_is_honoured_and_said() {
    let upstream = hostile::echoing();
    let sidecar = World::to(upstream.address()).start();
    let mut client = Client::connect(sidecar.listen);
    client.send("GET /t/x HTTP/1.1\r\nHost: a\r\nConnection: close\r\n\r\nGET /t/after HTTP/1.1\r\nHost: a\r\n\r\n");
    let reply = client.reply("GET").expect("a reply");
    assert!(
        reply
            .header("connection")
            .is_some_and(|value| value.eq_ignore_ascii_case("close")),
        "{reply:?}"
    );
    assert!(client.closed());
    assert_eq!(upstream.count("/t/after"), 0, "what follows a close is not served");
}

#[test]
fn a_caller_that_waits_for_100_continue_is_told_to_go_on() {
    let upstream = hostile::echoing();
    let sidecar = World::to(upstream.address()).start();
    let mut client = Client::connect(sidecar.listen);
    client.send("POST /t/x HTTP/1.1\r\nHost: a\r\nExpect: 100-continue\r\nContent-Length: 5\r\n\r\n");
    assert!(client.first_byte(), "something comes before the body is sent");
    client.send("hello");
    let reply = client.reply("POST").expect("a reply");
    assert_eq!((reply.status, reply.interim.as_slice()), (200, &[100][..]));
    assert!(reply.text().ends_with("\r\n\r\nhello"), "{reply:?}");
    assert_eq!(
        client.get("/t/next").expect("a reply").status,
        200,
        "the connection is still in step"
    );
}

#[test]
fn a_caller_that_closes_its_half_is_still_answered() {
    let upstream = hostile::echoing();
    let sidecar = World::to(upstream.address()).start();
    let mut client = Client::connect(sidecar.listen);
    client
        .send("POST /t/x HTTP/1.1\r\nHost: a\r\nContent-Length: 5\r\n\r\nhello")
        .half_close();
    let reply = client.reply("POST").expect("a reply");
    assert!(reply.text().ends_with("hello"), "{reply:?}");
    assert!(client.closed());
}

#[test]
fn a_request_body_streams_before_it_is_complete() {
    let upstream = hostile::echoing();
    let sidecar = World::to(upstream.address()).start();
    for (framing, first, last) in [
        ("Content-Length: 10", "first", "final"),
        (
            "Transfer-Encoding: chunked",
            "5\r\nfirst\r\n",
            "5\r\nfinal\r\n0\r\n\r\n",
        ),
    ] {
        let before = upstream.count("first");
        let mut client = Client::connect(sidecar.listen);
        client.send(format!("POST /t/x HTTP/1.1\r\nHost: a\r\n{framing}\r\n\r\n{first}"));
        let arrived = upstream.wait(|seen| {
            seen.iter()
                .map(|seen| String::from_utf8_lossy(&seen.bytes).matches("first").count())
                .sum::<usize>()
                > before
        });
        assert!(arrived, "{framing}: the first half waits for the second");
        client.send(last);
        let reply = client.reply("POST").expect("a reply");
        assert!(reply.text().ends_with("\r\n\r\nfirstfinal"), "{reply:?}");
    }
}

#[test]
fn a_reply_body_streams_before_it_is_complete() {
    let (release, released) = std::sync::mpsc::channel::<()>();
    let released = std::sync::Mutex::new(released);
    let upstream = Hostile::tls(pki().good_server(), move |_, conn| {
        if conn.handshake() && conn.request().is_some() {
            conn.write("HTTP/1.1 200 OK\r\nContent-Length: 10\r\n\r\nfirst");
            let _ = released.lock().map(|gate| gate.recv_timeout(patience()));
            conn.write("final").hold();
        }
    });
    let sidecar = World::to(upstream.address()).start();
    let mut client = Client::connect(sidecar.listen);
    client.send("GET /t/x HTTP/1.1\r\nHost: a\r\n\r\n");
    assert!(
        client.first_byte(),
        "the reply begins while the upstream still holds its end back"
    );
    release.send(()).expect("the upstream waits");
    assert_eq!(client.reply("GET").expect("a reply").text(), "firstfinal");
}

#[test]
fn a_reply_that_comes_before_the_body_was_sent_gets_through() {
    let upstream = Hostile::tls(pki().good_server(), |_, conn| {
        if conn.handshake() && conn.head().is_some() {
            conn.write("HTTP/1.1 403 Forbidden\r\nContent-Length: 6\r\nConnection: close\r\n\r\nreason")
                .close();
            conn.hold();
        }
    });
    let sidecar = World::to(upstream.address()).start();
    let mut client = Client::connect(sidecar.listen);
    client.send("POST /t/x HTTP/1.1\r\nHost: a\r\nContent-Length: 100\r\n\r\nonly this much");
    let reply = client.reply("POST").expect("a reply");
    assert_eq!((reply.status, reply.text().as_str()), (403, "reason"));
    assert!(
        client.closed(),
        "the rest of the body is owed, so the connection cannot go on"
    );
}

#[test]
fn a_connection_that_still_owes_a_body_is_not_lent_again() {
    let upstream = Hostile::tls(pki().good_server(), |_, conn| {
        if !conn.handshake() {
            return;
        }
        while let Some(head) = conn.head() {
            if head.starts_with("POST /t/early ") {
                conn.write("HTTP/1.1 200 OK\r\nContent-Length: 5\r\n\r\nearly");
                continue; // and reads what comes next as a request, as a broken server would
            }
            let Some(body) = conn.body(&head) else { return };
            answer_with_echo(conn, &head, &body);
        }
    });
    let sidecar = World::to(upstream.address()).start();
    for round in 0..5 {
        let mut client = Client::connect(sidecar.listen);
        client.send("POST /t/early HTTP/1.1\r\nHost: a\r\nContent-Length: 100\r\n\r\nonly this much");
        assert_eq!(client.reply("POST").expect("a reply").text(), "early");
        let target = format!("/t/after-{round}");
        let after = Client::connect(sidecar.listen).get(&target).expect("a reply");
        assert!(
            after.text().starts_with(&format!("GET {target} ")),
            "round {round}: {after:?}"
        );
        assert!(client.closed());
    }
}

#[test]
fn many_callers_at_once_each_get_their_own_answer() {
    let upstream = hostile::echoing();
    let sidecar = World::to(upstream.address()).set("listen", "workers", 2).start();
    let callers: Vec<_> = (0..16_usize)
        .map(|caller| {
            let listen = sidecar.listen;
            std::thread::spawn(move || {
                let mut client = Client::connect(listen);
                for number in 0..40 {
                    let body = format!("{caller}-{number}-").repeat(1 + (caller * 7 + number * 131) % 4000);
                    let length = body.len();
                    client.send(format!(
                        "POST /t/{caller}-{number} HTTP/1.1\r\nHost: a\r\nContent-Length: {length}\r\n\r\n{body}"
                    ));
                    let reply = client.reply("POST").expect("a reply");
                    let text = reply.text();
                    assert!(
                        text.starts_with(&format!("POST /t/{caller}-{number} "))
                            && text.ends_with(&format!("\r\n\r\n{body}")),
                        "{text:.200}"
                    );
                }
            })
        })
        .collect();
    let lost = callers
        .into_iter()
        .map(std::thread::JoinHandle::join)
        .filter(Result::is_err)
        .count();
    assert_eq!(lost, 0, "callers that got somebody else's answer, or none");
}

#[test]
fn a_caller_that_gives_up_mid_body_leaves_no_whole_request_upstream() {
    let upstream = Hostile::tls(pki().good_server(), |_, conn: &mut Conn| {
        if conn.handshake() {
            while let Some((head, body)) = conn.request() {
                answer_with_echo(conn, &head, &body);
            }
        }
    });
    let sidecar = World::to(upstream.address()).start();
    for (framing, part) in [
        ("Content-Length: 100", "part"),
        ("Transfer-Encoding: chunked", "4\r\npart\r\n"),
    ] {
        let mut client = Client::connect(sidecar.listen);
        client.send(format!("POST /t/x HTTP/1.1\r\nHost: a\r\n{framing}\r\n\r\n{part}"));
        let open = |seen: &[hostile::Seen]| {
            seen.iter()
                .filter(|seen| seen.bytes.ends_with(b"part") || seen.bytes.ends_with(b"part\r\n"))
                .count()
        };
        assert!(upstream.wait(|seen| open(seen) > 0), "{framing}: the part arrives");
        client.reset();
        assert!(
            upstream.wait(|seen| seen.iter().all(|seen| seen.ended)),
            "{framing}: the upstream connection ends"
        );
    }
    assert_eq!(upstream.count("\r\n0\r\n\r\n"), 0, "no terminating chunk was invented");
    assert_eq!(
        Client::connect(sidecar.listen).get("/t/x").expect("a reply").status,
        200
    );
}

#[test]
fn a_large_body_passes_in_bounded_memory_when_the_upstream_is_slow() {
    let upstream = Hostile::tls(pki().good_server(), |_, conn| {
        if conn.handshake() && conn.head().is_some() {
            conn.hold_unread();
        }
    });
    let sidecar = World::to(upstream.address())
        .set("listen.limits", "body", "\"64MiB\"")
        .start();
    let mut client = Client::connect(sidecar.listen);
    client.send(format!(
        "POST /t/x HTTP/1.1\r\nHost: a\r\nContent-Length: {}\r\n\r\n",
        64 << 20
    ));
    let took = client.send_until_stuck(64 << 20);
    assert!(
        took < 48 << 20,
        "{took} bytes vanished into the sidecar while the upstream read nothing"
    );
}

// === answered here ===

#[test]
fn health_ping_is_answered_without_the_upstream() {
    let upstream = hostile::echoing();
    let sidecar = World::to(upstream.address()).start();
    let reply = Client::connect(sidecar.listen).get("/health/ping").expect("a reply");
    assert_eq!((reply.status, reply.text().as_str()), (200, "{\"status\":\"UP\"}"));
    assert!(upstream.seen().is_empty(), "nobody dialled the upstream for it");
}

#[test]
fn what_no_route_matches_never_reaches_the_upstream() {
    let upstream = hostile::echoing();
    let sidecar = World::to(upstream.address()).start();
    for request in [
        "GET /nowhere/at/all HTTP/1.1\r\nHost: a\r\n\r\n",
        "POST /secure/offenders/nomsNumber/Z9001XA/all HTTP/1.1\r\nHost: a\r\nContent-Length: 0\r\n\r\n",
        "get /secure/offenders/nomsNumber/Z9001XA/all HTTP/1.1\r\nHost: a\r\n\r\n",
        "GET /Secure/offenders/nomsNumber/Z9001XA/all HTTP/1.1\r\nHost: a\r\n\r\n",
    ] {
        let mut client = Client::connect(sidecar.listen);
        client.send(request);
        let reply = client
            .reply("GET")
            .unwrap_or_else(|broken| panic!("{request:?}: {broken}"));
        assert_eq!(
            (reply.status, reply.fault()),
            (421, Some("route_unknown")),
            "{request:?}"
        );
    }
    assert!(upstream.seen().is_empty(), "nobody dialled the upstream for it");
}

#[test]
fn the_access_line_names_the_template_and_never_the_person() {
    let upstream = hostile::echoing();
    let sidecar = World::to(upstream.address()).start();
    let mut client = Client::connect(sidecar.listen);
    client.send(format!(
        "GET /secure/offenders/nomsNumber/{NOMS}/all?crn=X123456 HTTP/1.1\r\nHost: a\r\nX-Request-Id: one-line\r\n\r\n"
    ));
    assert_eq!(client.reply("GET").expect("a reply").status, 200);
    let line = sidecar.access_line("one-line");
    assert_eq!(line[STATUS], 200, "{line}");
    assert_eq!(line[ROUTE], "/secure/offenders/nomsNumber/{nomsNumber}/all", "{line}");
    assert_eq!(line["leg"], "ndh", "{line}");
    let text = line.to_string();
    assert!(!text.contains("crn") && !text.contains("X123456"), "{line}");
    assert_eq!(sidecar.access_lines().len(), 1, "one line for one request");
}

#[test]
fn a_request_id_that_is_a_person_is_not_printed() {
    let upstream = hostile::echoing();
    let sidecar = World::to(upstream.address()).start();
    let mut client = Client::connect(sidecar.listen);
    client.send(format!(
        "GET /p/{NOMS} HTTP/1.1\r\nHost: a\r\nX-Request-Id: {NOMS}\r\n\r\n"
    ));
    assert_eq!(client.reply("GET").expect("a reply").status, 200);
    // the search for it is made when the sidecar is dropped; the line must have been written by then
    client.send("GET /t/x HTTP/1.1\r\nHost: a\r\nX-Request-Id: after\r\n\r\n");
    assert_eq!(client.reply("GET").expect("a reply").status, 200);
    sidecar.access_line("after");
}
