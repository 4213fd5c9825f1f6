//! A request on its way and back: what crosses, what does not, and that the bytes are the same.
//!
//! First through real servers, in both TLS versions and with both kinds of identity; then, header by header, against
//! an upstream that records exactly what it was sent.

use crate::support::bin::{NOMS, Sidecar};
use crate::support::findings::Findings;
use crate::support::hostile::{self, Conn, Hostile, answer_with_echo, field, fields};
use crate::support::origin;
use crate::support::patience;
use crate::support::peer::{DOORS, Peer, Tls};
use crate::support::pki::{APP, Ask, Key, NDH, pki};
use crate::support::raw::{Client, Reply};
use crate::support::world::World;
use crate::support::{apache, java, nginx};

/// An upstream that echoes each request's head and body as the reply's body.
fn echo() -> Hostile {
    Hostile::tls(pki().good_server(), |_, conn| hostile::echo(conn))
}

/// An upstream that answers every request with these bytes.
fn says(reply: &'static str) -> Hostile {
    Hostile::tls(pki().good_server(), move |_, conn| {
        if conn.handshake() {
            while conn.request().is_some() {
                conn.write(reply);
            }
        }
    })
}

/// One request with these header lines through a fresh sidecar to an echoing upstream: the head as it arrived there.
fn head_upstream(lines: &str) -> String {
    let upstream = echo();
    let sidecar = World::to(upstream.address()).start();
    let mut client = Client::connect(sidecar.listen);
    client.send(format!("GET /t/x HTTP/1.1\r\nHost: localhost:8080\r\n{lines}\r\n"));
    let reply = client.reply("GET").expect("a reply");
    assert_eq!(reply.status, 200, "{reply:?}");
    reply.text()
}

/// What a caller sees of a reply that the upstream sends with these header lines.
fn reply_downstream(reply: &'static str) -> Reply {
    let upstream = says(reply);
    let sidecar = World::to(upstream.address()).start();
    Client::connect(sidecar.listen).get("/t/x").expect("a reply")
}

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

// === request headers ===

#[test]
fn authorization_never_reaches_ndh() {
    let head = head_upstream("Authorization: Bearer secret\r\nauthorization: Basic c2VjcmV0\r\n");
    assert!(!head.to_lowercase().contains("authorization"), "{head}");
    assert!(!head.contains("secret"), "{head}");
}

#[test]
fn hop_by_hop_headers_stay_on_their_hop() {
    let head = head_upstream(
        "Connection: keep-alive, X-Private\r\nX-Private: 1\r\nx-PRIVATE: 2\r\nKeep-Alive: timeout=5\r\nTE: trailers\r\n\
         Trailer: X-T\r\nUpgrade: h2c\r\nHTTP2-Settings: AAMAAABkAAQAAP__\r\nProxy-Connection: keep-alive\r\n\
         Proxy-Authorization: Basic x\r\nProxy-Authenticate: Basic\r\nX-Stays: yes\r\n",
    );
    for name in [
        "x-private",
        "keep-alive",
        "te",
        "trailer",
        "upgrade",
        "http2-settings",
        "proxy-connection",
    ] {
        assert_eq!(field(&head, name), None, "{name} crossed: {head}");
    }
    assert_eq!(field(&head, "proxy-authorization"), None, "{head}");
    assert_eq!(field(&head, "x-stays"), Some("yes"), "{head}");
    assert!(
        fields(&head, "connection")
            .iter()
            .all(|value| !value.to_lowercase().contains("x-private")),
        "{head}"
    );
}

#[test]
fn connection_cannot_name_away_what_the_sidecar_guarantees() {
    let head = head_upstream(
        "Connection: Host, Content-Length, X-Request-Id, traceparent, X-Forwarded-Client-Cert\r\nX-Request-Id: abc\r\n",
    );
    assert_eq!(fields(&head, "host").len(), 1, "{head}");
    assert_eq!(fields(&head, "x-request-id").len(), 1, "{head}");
    assert_eq!(fields(&head, "traceparent").len(), 1, "{head}");
}

#[test]
fn identity_headers_of_a_client_never_cross() {
    let names = [
        "X-Forwarded-Client-Cert",
        "x-forwarded-client-cert",
        "X-SSL-Client-Cert",
        "X-SSL-Client-DN",
        "X-SSL-Client-Verify",
        "Client-Cert",
        "Client-Cert-Chain",
        "X-Client-Cert",
        "X-Client-Cert-Chain",
    ];
    let lines: String = names.iter().map(|name| format!("{name}: forged\r\n")).collect();
    let head = head_upstream(&lines);
    assert!(!head.contains("forged"), "{head}");
}

#[test]
fn host_is_the_upstreams() {
    let head = head_upstream("");
    let hosts = fields(&head, "host");
    assert_eq!(hosts.len(), 1, "{head}");
    assert!(hosts[0] == NDH || hosts[0].starts_with(&format!("{NDH}:")), "{head}");
}

#[test]
fn trace_context_and_request_id_are_carried() {
    let parent = "00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01";
    let head = head_upstream(&format!(
        "traceparent: {parent}\r\ntracestate: a=1,b=2\r\nX-Request-Id: 6d1c5cf8-7c3a-4b4e-9a2f-0c3f6f0a0001\r\n"
    ));
    let found = field(&head, "traceparent").unwrap_or_default();
    assert_eq!(
        found.split('-').nth(1),
        parent.split('-').nth(1),
        "the trace goes on: {head}"
    );
    assert_eq!(field(&head, "tracestate"), Some("a=1,b=2"), "{head}");
    assert_eq!(
        fields(&head, "x-request-id"),
        ["6d1c5cf8-7c3a-4b4e-9a2f-0c3f6f0a0001"],
        "{head}"
    );
}

#[test]
fn trace_context_and_request_id_are_made_where_missing() {
    let (one, two) = (head_upstream(""), head_upstream("traceparent: not-a-parent\r\n"));
    for head in [&one, &two] {
        let parents = fields(head, "traceparent");
        assert_eq!(parents.len(), 1, "{head}");
        let parts: Vec<&str> = parents[0].split('-').collect();
        assert_eq!(
            parts.iter().map(|part| part.len()).collect::<Vec<_>>(),
            [2, 32, 16, 2],
            "{head}"
        );
        assert!(parts[1].bytes().any(|byte| byte != b'0'), "{head}");
        assert_eq!(fields(head, "x-request-id").len(), 1, "{head}");
        assert!(!field(head, "x-request-id").unwrap_or_default().is_empty(), "{head}");
    }
    assert_ne!(field(&one, "traceparent"), field(&two, "traceparent"));
    assert_ne!(field(&one, "x-request-id"), field(&two, "x-request-id"));
}

#[test]
fn letter_case_order_and_repetition_of_other_headers_are_kept() {
    let head = head_upstream("X-MiXeD: One\r\naccept: a/b\r\nX-MiXeD: Two\r\nCOOKIE: c=1\r\nX-Empty:\r\n");
    let kept: Vec<&str> = head
        .lines()
        .filter(|line| {
            ["X-MiXeD", "accept", "COOKIE", "X-Empty"]
                .iter()
                .any(|name| line.starts_with(name))
        })
        .collect();
    assert_eq!(
        kept.iter().map(|line| line.trim_end()).collect::<Vec<_>>(),
        ["X-MiXeD: One", "accept: a/b", "X-MiXeD: Two", "COOKIE: c=1", "X-Empty:"],
        "{head}"
    );
}

#[test]
fn path_and_query_arrive_as_they_were_sent() {
    let upstream = echo();
    let sidecar = World::to(upstream.address()).start();
    let mut client = Client::connect(sidecar.listen);
    for target in [
        "/t/x?a=b&c=%20%2F&d=/../&e=%00",
        "/t/a-b_c.d~e",
        "/t/%41",
        "/t/a%20b",
        "/t/x?",
        "/t/a:b@c!$&'()*+,=",
    ] {
        let reply = client.get(target).expect("a reply");
        let found = reply.text().split(' ').nth(1).unwrap_or_default().to_owned();
        // `%41` may be normalised to `A`; nothing else may change
        assert!(
            found == target || (target == "/t/%41" && found == "/t/A"),
            "{target} arrived as {found}: {reply:?}"
        );
    }
}

// === replies ===

#[test]
fn hop_by_hop_headers_of_a_reply_stay_on_their_hop() {
    let reply = reply_downstream(
        "HTTP/1.1 200 OK\r\nConnection: keep-alive, X-Inner\r\nX-Inner: 1\r\nKeep-Alive: timeout=5\r\n\
         Proxy-Authenticate: Basic\r\nUpgrade: h2c\r\nTrailer: X\r\nX-Stays: yes\r\nContent-Length: 2\r\n\r\nok",
    );
    for name in ["x-inner", "keep-alive", "upgrade", "trailer", "proxy-authenticate"] {
        assert_eq!(reply.values(name).count(), 0, "{name} crossed: {reply:?}");
    }
    assert_eq!((reply.header("x-stays"), reply.text().as_str()), (Some("yes"), "ok"));
}

#[test]
fn a_reply_may_not_pretend_to_be_the_sidecars() {
    let reply =
        reply_downstream("HTTP/1.1 200 OK\r\nX-Delius-Sidecar-Error: upstream_reset\r\nContent-Length: 0\r\n\r\n");
    assert_eq!(reply.fault(), None, "{reply:?}");
}

#[test]
fn no_store_is_added_only_where_nothing_is_said() {
    let silent = reply_downstream("HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n");
    assert_eq!(silent.header("cache-control"), Some("no-store"), "{silent:?}");
    let said = reply_downstream("HTTP/1.1 200 OK\r\nCache-Control: max-age=5\r\nContent-Length: 0\r\n\r\n");
    assert_eq!(said.header("cache-control"), Some("max-age=5"), "{said:?}");
    let missing = reply_downstream("HTTP/1.1 404 Not Found\r\nContent-Length: 0\r\n\r\n");
    assert_eq!(
        (missing.status, missing.header("cache-control")),
        (404, Some("no-store")),
        "{missing:?}"
    );
}

#[test]
fn statuses_of_the_upstream_pass_untouched() {
    let upstream = Hostile::tls(pki().good_server(), |_, conn| {
        if !conn.handshake() {
            return;
        }
        while let Some((head, _)) = conn.request() {
            let status = head
                .split(' ')
                .nth(1)
                .and_then(|path| path.rsplit('/').next())
                .unwrap_or_default();
            conn.write(format!(
                "HTTP/1.1 {status} As I Say\r\nContent-Length: 4\r\nX-MiXeD: Kept\r\n\r\nbody"
            ));
        }
    });
    let sidecar = World::to(upstream.address()).start();
    let mut client = Client::connect(sidecar.listen);
    for status in [200, 201, 202, 301, 400, 401, 403, 404, 409, 410, 422, 500, 501, 503] {
        let reply = client.get(&format!("/t/{status}")).expect("a reply");
        assert_eq!(
            (reply.status, reply.fault(), reply.text().as_str()),
            (status, None, "body")
        );
        assert!(
            reply.headers.contains(&("X-MiXeD".to_owned(), "Kept".to_owned())),
            "{reply:?}"
        );
    }
}

#[test]
fn replies_without_a_body_stay_without_one() {
    for (status, lines) in [(204, ""), (304, "ETag: \"x\"\r\n"), (304, "Content-Length: 10\r\n")] {
        let text: &'static str = Box::leak(format!("HTTP/1.1 {status} X\r\n{lines}\r\n").into_boxed_str());
        let upstream = says(text);
        let sidecar = World::to(upstream.address()).start();
        let mut client = Client::connect(sidecar.listen);
        for _ in 0..2 {
            let reply = client.get("/t/x").expect("a reply");
            assert_eq!((reply.status, reply.body.len()), (status, 0), "{reply:?}");
        }
    }
}

#[test]
fn interim_replies_do_not_disturb_the_final_one() {
    let upstream = says(
        "HTTP/1.1 100 Continue\r\n\r\nHTTP/1.1 103 Early Hints\r\nLink: </x>\r\n\r\n\
         HTTP/1.1 200 OK\r\nContent-Length: 5\r\n\r\nfinal",
    );
    let sidecar = World::to(upstream.address()).start();
    let mut client = Client::connect(sidecar.listen);
    for _ in 0..3 {
        assert_eq!(client.get("/t/x").expect("a reply").text(), "final");
    }
}

// === connections ===

#[test]
fn one_connection_serves_many_requests_on_both_sides() {
    let upstream = echo();
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
    let upstream = echo();
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
    let upstream = echo();
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
    let upstream = says("HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n5\r\nhello\r\n6\r\n world\r\n0\r\n\r\n");
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
    let upstream = echo();
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
    let upstream = echo();
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
    let upstream = echo();
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
    let upstream = echo();
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
    assert_eq!(upstream.count("0\r\n\r\n"), 0, "no terminating chunk was invented");
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
    let upstream = echo();
    let sidecar = World::to(upstream.address()).start();
    let reply = Client::connect(sidecar.listen).get("/health/ping").expect("a reply");
    assert_eq!((reply.status, reply.text().as_str()), (200, "{\"status\":\"UP\"}"));
    assert!(upstream.seen().is_empty(), "nobody dialled the upstream for it");
}

#[test]
fn what_no_route_matches_never_reaches_the_upstream() {
    let upstream = echo();
    let sidecar = World::to(upstream.address()).start();
    for request in [
        "GET /nowhere/at/all HTTP/1.1\r\nHost: a\r\n\r\n",
        "POST /secure/offenders/nomsNumber/Z9001XA/all HTTP/1.1\r\nHost: a\r\nContent-Length: 0\r\n\r\n",
        "get /secure/offenders/nomsNumber/Z9001XA/all HTTP/1.1\r\nHost: a\r\n\r\n",
        "GET /secure/offenders/nomsNumber/Z9001XA/all/ HTTP/1.1\r\nHost: a\r\n\r\n",
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
    let upstream = echo();
    let sidecar = World::to(upstream.address()).start();
    let mut client = Client::connect(sidecar.listen);
    client.send(format!(
        "GET /secure/offenders/nomsNumber/{NOMS}/all?crn=X123456 HTTP/1.1\r\nHost: a\r\nX-Request-Id: one-line\r\n\r\n"
    ));
    assert_eq!(client.reply("GET").expect("a reply").status, 200);
    let line = sidecar.access_line("one-line");
    assert_eq!(line["status"], 200, "{line}");
    let text = line.to_string();
    assert!(text.contains("/secure/offenders/nomsNumber/{nomsNumber}/all"), "{line}");
    assert!(text.contains("ndh"), "{line}");
    assert!(!text.contains("crn") && !text.contains("X123456"), "{line}");
    assert_eq!(sidecar.access_lines().len(), 1, "one line for one request");
}

#[test]
fn a_request_id_that_is_a_person_is_not_printed() {
    let upstream = echo();
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
