//! The other side changes its mind about certificates: what becomes of requests, and how soon the right one is in use.

use std::os::unix::fs::PermissionsExt as _;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Arc, Barrier, Mutex};
use std::time::{Duration, Instant};

use rustix::process::Signal;

use crate::support::bin::Sidecar;
use crate::support::eventually;
use crate::support::h2::Upstream;
use crate::support::hostile::{self, Hostile};
use crate::support::moody::Mood;
use crate::support::peer::Tls;
use crate::support::pki::{Key, Leaf, pki};
use crate::support::raw::Client;
use crate::support::world::{World, text};

fn put(sidecar: &Sidecar, leaf: &Leaf) {
    for (name, pem) in [("tls.crt", &leaf.chain_pem), ("tls.key", &leaf.key_pem)] {
        let part = sidecar.directory().join("part");
        std::fs::write(&part, pem).expect("write a file");
        std::fs::set_permissions(&part, std::fs::Permissions::from_mode(0o600)).expect("its mode");
        std::fs::rename(part, sidecar.directory().join(name)).expect("rename");
    }
}

fn world(upstream: &Hostile) -> World {
    World::to(upstream.address())
        .no_breaker()
        .set("upstream.ndh", "trial", text("GET /health"))
}

/// One request on each connection, so that each is judged anew.
fn judging(mood: &Mood, tls: Tls) -> Hostile {
    Hostile::tls(mood.server(tls), |_, conn| {
        if conn.handshake() && conn.request().is_some() {
            conn.write("HTTP/1.1 200 OK\r\nConnection: close\r\nContent-Length: 0\r\n\r\n");
        }
    })
}

#[track_caller]
fn promoted(sidecar: &Sidecar, leaf: &Leaf) {
    let line = sidecar
        .wait_line(|line| line["message"] == "identity taken into use" && line["serial"] == leaf.serial.as_str());
    assert!(
        line.is_some(),
        "{} was not promoted:\n{}",
        leaf.serial,
        sidecar.printed()
    );
}

#[test]
fn no_request_is_lost_when_the_other_side_begins_to_refuse_what_was_promoted() {
    for tls in [Tls::V12, Tls::V13] {
        let mood = Mood::default();
        let upstream = judging(&mood, tls);
        let sidecar = world(&upstream).set("listen", "workers", 2).start();
        let next = pki().client(Key::Ecdsa);
        put(&sidecar, &next);
        promoted(&sidecar, &next);
        let (stop, sent) = (AtomicBool::new(false), AtomicU64::new(0));
        let failed = Mutex::new(Vec::new());
        std::thread::scope(|scope| {
            for method in ["GET", "POST", "PATCH"] {
                let (stop, sent, failed, listen) = (&stop, &sent, &failed, sidecar.listen);
                scope.spawn(move || {
                    let mut client = Client::connect(listen);
                    while !stop.load(Ordering::Relaxed) {
                        client.send(format!(
                            "{method} /t/x HTTP/1.1\r\nHost: a\r\nContent-Length: 3\r\n\r\nabc"
                        ));
                        match client.reply(method) {
                            Ok(reply) if reply.status == 200 => {}
                            other => {
                                failed.lock().expect("failed").push(format!("{method}: {other:?}"));
                                client = Client::connect(listen);
                            }
                        }
                        sent.fetch_add(1, Ordering::Relaxed);
                    }
                });
            }
            let more = |count: u64| {
                let before = sent.load(Ordering::Relaxed);
                eventually(|| (sent.load(Ordering::Relaxed) > before + count).then_some(()))
            };
            let well = more(20);
            mood.refuse(&next);
            let back = eventually(|| sidecar.printed().contains("FELL BACK").then_some(()));
            let after = more(20);
            stop.store(true, Ordering::Relaxed);
            assert!(
                well.is_some() && back.is_some() && after.is_some(),
                "{}",
                sidecar.printed()
            );
        });
        let failed = failed.into_inner().expect("failed");
        assert!(failed.is_empty(), "{tls:?}: {failed:#?}");
    }
}

#[test]
fn no_request_that_shares_a_refused_connection_is_lost() {
    let mood = Mood::default();
    let mut config = mood.server(Tls::V13);
    config.alpn_protocols = vec![b"h2".to_vec()];
    let upstream = Upstream::start(config, 100);
    let sidecar = World::to(upstream.address())
        .no_breaker()
        .set("upstream.ndh", "http2", true)
        .start();
    let next = pki().client(Key::Ecdsa);
    put(&sidecar, &next);
    promoted(&sidecar, &next);
    let status = |path: &str| {
        let mut client = Client::connect(sidecar.listen);
        client.send(format!("POST {path} HTTP/1.1\r\nHost: a\r\nContent-Length: 0\r\n\r\n"));
        client.reply("POST").expect("a reply").status
    };
    assert_eq!(status("/t/nothing"), 200);
    mood.refuse(&next);
    // The connection is accepted; it ends.
    assert_eq!(status("/t/goaway"), 200);
    let together = Barrier::new(8);
    let statuses: Vec<u16> = std::thread::scope(|scope| {
        let one = || {
            scope.spawn(|| {
                together.wait();
                status("/t/nothing")
            })
        };
        let all: Vec<_> = (0..8).map(|_| one()).collect();
        all.into_iter().map(|thread| thread.join().expect("no panic")).collect()
    });
    assert_eq!(statuses, [200; 8], "{}", sidecar.printed());
}

#[test]
fn a_refusal_that_nobody_can_take_the_place_of_is_answered_at_once() {
    let mood = Mood::default();
    let upstream = judging(&mood, Tls::V13);
    let first = pki().client(Key::Ecdsa);
    let sidecar = world(&upstream).identity(&first).start();
    mood.refuse(&first);
    let begun = Instant::now();
    let reply = Client::connect(sidecar.listen).get("/t/x").expect("a reply");
    assert_eq!(reply.fault(), Some("identity_rejected"));
    assert!(begun.elapsed() < Duration::from_millis(800), "{:?}", begun.elapsed());
}

#[test]
fn a_server_that_refuses_with_a_400_as_nginx_does_gets_the_old_one_back() {
    let refused = Arc::<Mutex<Option<Vec<u8>>>>::default();
    let list = refused.clone();
    let upstream = Hostile::tls(pki().good_server(), move |_, conn| {
        if !conn.handshake() {
            return;
        }
        let peer = conn.peer();
        while let Some((head, body)) = conn.request() {
            if head.contains("/t/bad") || (peer.is_some() && peer == *list.lock().expect("list")) {
                conn.write("HTTP/1.1 400 Bad Request\r\nConnection: close\r\nContent-Length: 0\r\n\r\n");
                return;
            }
            hostile::answer_with_echo(conn, &head, &body);
        }
    });
    let sidecar = world(&upstream).start();
    let next = pki().client(Key::Ecdsa);
    put(&sidecar, &next);
    promoted(&sidecar, &next);
    let status = |path: &str| Client::connect(sidecar.listen).get(path).expect("a reply").status;
    assert_eq!(status("/t/bad"), 400, "a bad request is no refusal");
    assert_eq!(status("/t/x"), 200);
    assert!(!sidecar.printed().contains("FELL BACK"), "{}", sidecar.printed());
    *refused.lock().expect("list") = Some(next.der());
    let back = eventually(|| {
        // So that the next one dials.
        status("/t/bad");
        sidecar.printed().contains("FELL BACK").then_some(())
    });
    assert!(back.is_some(), "{}", sidecar.printed());
    assert_eq!(status("/t/x"), 200);
}

#[test]
fn a_certificate_that_waits_comes_into_use_soon_after_the_other_side_has_changed_over() {
    let mood = Mood::default();
    let upstream = judging(&mood, Tls::V13);
    let (first, next) = (pki().client(Key::Ecdsa), pki().client(Key::Ecdsa));
    mood.refuse(&next);
    let sidecar = world(&upstream).identity(&first).start();
    put(&sidecar, &next);
    let said = sidecar.wait_line(|line| {
        line["message"]
            .as_str()
            .is_some_and(|text| text.contains("the other side refuses it"))
    });
    assert!(said.is_some(), "{}", sidecar.printed());
    mood.refuse(&first);
    mood.accept(&next);
    let begun = Instant::now();
    let well = eventually(|| (Client::connect(sidecar.listen).get("/t/x").ok()?.status == 200).then_some(()));
    assert!(well.is_some(), "{}", sidecar.printed());
    assert!(begun.elapsed() < Duration::from_secs(6), "{:?}", begun.elapsed());
}

#[test]
fn a_signal_does_not_leave_a_certificate_to_its_pause() {
    let mood = Mood::default();
    let upstream = judging(&mood, Tls::V13);
    let next = pki().client(Key::Ecdsa);
    mood.refuse(&next);
    let sidecar = world(&upstream).start();
    put(&sidecar, &next);
    let said = sidecar.wait_line(|line| {
        line["message"]
            .as_str()
            .is_some_and(|text| text.contains("the other side refuses it"))
    });
    assert!(said.is_some(), "{}", sidecar.printed());
    mood.accept(&next);
    let begun = Instant::now();
    sidecar.signal(Signal::HUP);
    promoted(&sidecar, &next);
    assert!(begun.elapsed() < Duration::from_secs(6), "{:?}", begun.elapsed());
}

#[test]
fn each_of_two_promotions_in_a_row_has_its_receipt() {
    let open = Arc::<AtomicBool>::default();
    let gate = open.clone();
    let upstream = Hostile::tls(pki().good_server(), move |_, conn| {
        if !conn.handshake() {
            return;
        }
        while let Some((head, body)) = conn.request() {
            if head.contains("/t/hold") {
                let _ = eventually(|| (gate.load(Ordering::Relaxed) || conn.is_over()).then_some(()));
            }
            hostile::answer_with_echo(conn, &head, &body);
        }
    });
    let sidecar = world(&upstream).start();
    let mut busy = Client::connect(sidecar.listen);
    busy.send("GET /t/hold HTTP/1.1\r\nHost: a\r\n\r\n");
    assert!(upstream.wait(|seen| seen.iter().any(|seen| !seen.bytes.is_empty())));
    for _ in 0..2 {
        let next = pki().client(Key::Ecdsa);
        put(&sidecar, &next);
        promoted(&sidecar, &next);
    }
    open.store(true, Ordering::Relaxed);
    assert_eq!(busy.reply("GET").expect("a reply").status, 200);
    for retired in [1, 2] {
        let line = sidecar.wait_line(|line| {
            line["retired"] == retired
                && line["message"]
                    .as_str()
                    .is_some_and(|text| text.starts_with("receipt: "))
        });
        assert!(line.is_some(), "of generation {retired}:\n{}", sidecar.printed());
    }
}
