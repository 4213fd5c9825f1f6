//! Header by header: what crosses, what is made, what stays on its hop. Both ways.

use crate::support::hostile::{self, Hostile, field, fields};
use crate::support::pki::{NDH, pki};
use crate::support::raw::{Client, Reply};
use crate::support::world::World;

/// One request with these header lines through a fresh sidecar to an echoing upstream: the head as it arrived there.
fn head_upstream(lines: &str) -> String {
    let upstream = hostile::echoing();
    let sidecar = World::to(upstream.address()).start();
    let mut client = Client::connect(sidecar.listen);
    client.send(format!("GET /t/x HTTP/1.1\r\nHost: localhost:8080\r\n{lines}\r\n"));
    let reply = client.reply("GET").expect("a reply");
    assert_eq!(reply.status, 200, "{reply:?}");
    reply.text()
}

/// What a caller sees of a reply that the upstream sends with these header lines.
fn reply_downstream(reply: &'static str) -> Reply {
    let upstream = hostile::saying(reply);
    let sidecar = World::to(upstream.address()).start();
    Client::connect(sidecar.listen).get("/t/x").expect("a reply")
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
    let upstream = hostile::echoing();
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
        let upstream = hostile::saying(text);
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
    let upstream = hostile::saying(
        "HTTP/1.1 100 Continue\r\n\r\nHTTP/1.1 103 Early Hints\r\nLink: </x>\r\n\r\n\
         HTTP/1.1 200 OK\r\nContent-Length: 5\r\n\r\nfinal",
    );
    let sidecar = World::to(upstream.address()).start();
    let mut client = Client::connect(sidecar.listen);
    for _ in 0..3 {
        assert_eq!(client.get("/t/x").expect("a reply").text(), "final");
    }
}
