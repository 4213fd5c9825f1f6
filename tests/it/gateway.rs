//! The gateway from both sides: ours get through as themselves, and nobody else gets through at all.

use std::net::SocketAddr;

use crate::support::bin::{NOMS, STATUS, Sidecar};
use crate::support::findings::Findings;
use crate::support::gateway;
use crate::support::hostile::{self, Hostile, fields};
use crate::support::origin;
use crate::support::peer::Tls;
use crate::support::pki::{APP, Key, Leaf, NDH, pki};
use crate::support::raw::{Broken, Client, Reply};
use crate::support::world::World;

/// A gateway that lets the allocation manager read, in front of this service.
fn gateway(service: SocketAddr) -> Sidecar {
    let routes = r#"["GET /p/{nomsNumber}", "* /t/{case}", "* /echo/{case}", "GET /bytes/{size}"]"#;
    gateway::start(service, routes, &pki().root_pem(), "")
}

fn plain_echo() -> Hostile {
    Hostile::plain(|_, conn| hostile::go_on(conn))
}

fn ask(gateway: &Sidecar, tls: Tls, leaf: Option<&Leaf>, request: &str) -> Result<Reply, Broken> {
    let config = pki().client_config(tls, leaf);
    let mut client = Client::connect_tls(gateway.listen, NDH, &config).map_err(|_| Broken::Closed)?;
    client.send(request);
    client.reply(request.split(' ').next().unwrap_or_default())
}

fn get(path: &str) -> String {
    format!("GET {path} HTTP/1.1\r\nHost: {NDH}\r\n\r\n")
}

#[test]
fn the_allocation_manager_gets_through_as_itself() {
    let service = plain_echo();
    let gateway = gateway(service.address());
    for tls in [Tls::V12, Tls::V13] {
        for key in [Key::Rsa, Key::Ecdsa] {
            let request = format!(
                "GET /p/{NOMS} HTTP/1.1\r\nHost: {NDH}\r\nX-Forwarded-Client-Cert: Subject=forged\r\n\
                 x-forwarded-client-cert: forged\r\nX-SSL-Client-DN: forged\r\nClient-Cert: forged\r\n\r\n"
            );
            let reply = ask(&gateway, tls, Some(&pki().client(key)), &request).expect("a reply");
            let head = reply.text();
            assert_eq!(reply.status, 200, "{reply:?}");
            assert!(!head.contains("forged"), "{head}");
            let identity = fields(&head, "x-forwarded-client-cert");
            assert!(identity.len() == 1 && identity[0].contains(APP), "{head}");
        }
    }
}

#[test]
fn strangers_are_kept_out() {
    let service = plain_echo();
    let gateway = gateway(service.address());
    let strangers = [
        ("no certificate", None),
        ("another CA", Some(pki().client_of_other_root())),
        ("expired", Some(pki().client_expired())),
        ("not yet valid", Some(pki().client_not_yet_valid())),
        ("for servers only", Some(pki().client_for_servers_only())),
    ];
    let mut findings = Findings::default();
    for (kind, leaf) in &strangers {
        for tls in [Tls::V12, Tls::V13] {
            match ask(&gateway, tls, leaf.as_ref(), &get(&format!("/p/{NOMS}"))) {
                Err(_) => findings.check(true, String::new),
                Ok(reply) => findings.check(reply.status == 403 && reply.body.is_empty(), || {
                    format!("{kind} under {tls:?} saw {} {:?}", reply.status, reply.text())
                }),
            }
        }
    }
    findings.check(service.seen().is_empty(), || {
        format!("a stranger reached the service: {:?}", service.seen())
    });
    findings.finish();
}

#[test]
fn the_right_ca_is_not_enough() {
    let service = plain_echo();
    let gateway = gateway(service.address());
    for tls in [Tls::V12, Tls::V13] {
        let other = pki().client_named("some-other-service");
        let reply = ask(&gateway, tls, Some(&other), &get(&format!("/p/{NOMS}"))).expect("a reply");
        assert_eq!(
            (reply.status, reply.text().as_str(), reply.fault()),
            (403, "", None),
            "{reply:?}"
        );
    }
    assert!(service.seen().is_empty(), "nobody asked the service");
    let line = gateway.wait_line(|line| line[STATUS] == 403).expect("an access line");
    let reason = line["detail"].as_str().unwrap_or_default();
    assert!(
        reason.contains("no rule admits the certificate of dns:some-other-service"),
        "the operator is told who and why: {line}"
    );
    let metrics = Client::connect(gateway.observe.expect("an observe address"))
        .get("/metrics")
        .expect("metrics")
        .text();
    assert!(
        metrics.contains("delius_sidecar_gateway_refusals_total{reason=\"peer\"} 2"),
        "{metrics}"
    );
}

#[test]
fn ours_may_do_only_what_a_rule_says() {
    let service = plain_echo();
    let gateway = gateway(service.address());
    let ours = pki().client(Key::Ecdsa);
    for request in [
        format!("POST /p/{NOMS} HTTP/1.1\r\nHost: {NDH}\r\nContent-Length: 0\r\n\r\n"),
        get("/other"),
        get(&format!("/p/{NOMS}/more")),
    ] {
        let reply = ask(&gateway, Tls::V13, Some(&ours), &request).expect("a reply");
        assert_eq!(
            (reply.status, reply.text().as_str()),
            (403, ""),
            "{request:?}: {reply:?}"
        );
    }
    assert!(service.seen().is_empty(), "nobody asked the service");
}

#[test]
fn a_doubtful_head_is_refused_here_too() {
    let service = plain_echo();
    let gateway = gateway(service.address());
    let ours = pki().client(Key::Ecdsa);
    for lines in [
        "Content-Length: 4\r\nTransfer-Encoding: chunked\r\n",
        "Content-Length: 2, 2\r\n",
        "X : y\r\n",
        "X: a\r\n b\r\n",
    ] {
        let request = format!("POST /t/x HTTP/1.1\r\nHost: a\r\n{lines}\r\n0\r\n\r\n");
        let reply = ask(&gateway, Tls::V13, Some(&ours), &request).expect("a reply");
        assert_eq!(reply.status, 400, "{lines:?}: {reply:?}");
    }
    assert!(service.bytes().is_empty());
}

#[test]
fn requests_in_one_tls_record_are_all_answered() {
    let service = plain_echo();
    let gateway = gateway(service.address());
    let config = pki().client_config(Tls::V13, Some(&pki().client(Key::Ecdsa)));
    let mut client = Client::connect_tls(gateway.listen, NDH, &config).expect("a handshake");
    let count = 200;
    client.send(
        (0..count)
            .map(|number| get(&format!("/t/{number}")))
            .collect::<String>(),
    );
    for number in 0..count {
        let reply = client
            .reply("GET")
            .unwrap_or_else(|broken| panic!("request {number}: {broken}"));
        assert!(
            reply.text().starts_with(&format!("GET /t/{number} ")),
            "request {number}: {reply:?}"
        );
    }
}

#[test]
fn large_bodies_pass_both_ways() {
    let service = origin::start();
    let gateway = gateway(service.address());
    let config = pki().client_config(Tls::V13, Some(&pki().client(Key::Ecdsa)));
    let mut client = Client::connect_tls(gateway.listen, NDH, &config).expect("a handshake");
    assert!(client.get("/bytes/1048576").expect("a reply").body == origin::pattern(1 << 20));
    let body = origin::pattern(700_000);
    client
        .send(format!(
            "POST /echo/x HTTP/1.1\r\nHost: a\r\nContent-Length: {}\r\n\r\n",
            body.len()
        ))
        .send(&body);
    assert!(client.reply("POST").expect("a reply").body == body);
}

#[test]
fn plain_http_is_not_answered() {
    let service = plain_echo();
    let gateway = gateway(service.address());
    let mut client = Client::connect(gateway.listen);
    client.send(get("/t/x"));
    let answer = client.rest().expect("the connection is closed");
    assert!(!answer.starts_with(b"HTTP/"), "{}", answer.escape_ascii());
    assert!(service.seen().is_empty());
}

#[test]
fn the_sidecar_and_the_gateway_together() {
    let service = origin::start();
    let gateway = gateway(service.address());
    for (leaf, status) in [
        (pki().client(Key::Ecdsa), 200),
        (pki().client(Key::Rsa), 200),
        (pki().client_named("other"), 403),
    ] {
        let sidecar = World::to(gateway.listen).identity(&leaf).start();
        let reply = Client::connect(sidecar.listen).get("/bytes/65536").expect("a reply");
        assert_eq!(reply.status, status);
        assert!(status != 200 || reply.body == origin::pattern(65536));
    }
    let sidecar = World::to(gateway.listen)
        .identity(&pki().client_of_other_root())
        .start();
    let reply = Client::connect(sidecar.listen).get("/bytes/1").expect("a reply");
    assert_eq!(
        (reply.status, reply.fault()),
        (503, Some("identity_rejected")),
        "{reply:?}"
    );
}

/// The service has written a part of its reply and pauses; the peer is slow to read it, so that the end of the part
/// waits in the gateway's TLS session. All of it must arrive before the service goes on. Which sizes end there depends
/// on the kernel's buffers, so there are many.
#[test]
fn a_slow_peer_gets_all_that_the_service_has_said_so_far() {
    let (open, gate) = std::sync::mpsc::channel::<()>();
    let gate = std::sync::Mutex::new(gate);
    let service = Hostile::plain(move |_, conn| {
        while let Some(head) = conn.head() {
            let part: usize = head.split(['/', ' ']).find_map(|word| word.parse().ok()).unwrap_or(0);
            conn.write("HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n");
            conn.write(format!("{part:x}\r\n"))
                .write(vec![b'x'; part])
                .write("\r\n");
            let _ = gate
                .lock()
                .map(|gate| gate.recv_timeout(crate::support::patience() * 2));
            conn.write("0\r\n\r\n");
        }
    });
    let gateway = gateway(service.address());
    let config = pki().client_config(Tls::V13, Some(&pki().client(Key::Ecdsa)));
    for part in (256..=640).step_by(24).map(|kib| kib * 1024) {
        let mut client = Client::connect_narrowly(gateway.listen, NDH, &config).expect("a handshake");
        client.send(get(&format!("/t/{part}")));
        assert_eq!(client.sip(b'x', part), part, "and then nothing");
        open.send(()).expect("the service waits");
        assert!(client.first_byte(), "and then the end");
    }
}
