//! A new certificate under load: found in whatever way its files arrive, tried, promoted without a lost request; and
//! whatever is not fit never takes the place of what works.

use std::os::unix::fs::PermissionsExt as _;
use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

use rustix::process::Signal;
use serde_json::Value;

use crate::support::bin::Sidecar;
use crate::support::eventually;
use crate::support::hostile::{self, Hostile};
use crate::support::moody::Mood;
use crate::support::peer::Tls;
use crate::support::pki::{Ask, Key, Leaf, pki};
use crate::support::raw::Client;
use crate::support::world::{World, directory, text};

/// A sidecar whose trial request is `GET /health`.
fn world(upstream: &Hostile) -> World {
    World::to(upstream.address())
        .no_breaker()
        .set("upstream.ndh", "trial", text("GET /health"))
}

fn put(directory: &Path, name: &str, pem: &str) {
    let file = directory.join(name);
    std::fs::write(&file, pem).expect("write a file");
    std::fs::set_permissions(&file, std::fs::Permissions::from_mode(0o600)).expect("its mode");
}

fn rename_into(directory: &Path, leaf: &Leaf) {
    for (name, pem) in [("tls.crt", &leaf.chain_pem), ("tls.key", &leaf.key_pem)] {
        put(directory, "part", pem);
        std::fs::rename(directory.join("part"), directory.join(name)).expect("rename");
    }
}

fn said(sidecar: &Sidecar, part: &str) -> Option<Value> {
    sidecar.wait_line(|line| line["message"].as_str().is_some_and(|text| text.contains(part)))
}

fn is_promotion(line: &Value, serial: &str) -> bool {
    line["message"] == "identity taken into use" && line["serial"] == serial
}

/// The audit line of the promotion of this certificate.
#[track_caller]
fn promoted(sidecar: &Sidecar, leaf: &Leaf) -> Value {
    let line = sidecar.wait_line(|line| is_promotion(line, &leaf.serial));
    line.unwrap_or_else(|| panic!("{} was not promoted:\n{}", leaf.serial, sidecar.printed()))
}

/// The certificate with which the newest connection came.
fn shown(upstream: &Hostile) -> Option<Vec<u8>> {
    upstream.seen().iter().rev().find_map(|seen| seen.peer.clone())
}

/// Requests without a pause, until told to stop.
struct Load {
    stop: Arc<AtomicBool>,
    sent: Arc<AtomicU64>,
    thread: Option<JoinHandle<Vec<String>>>,
}

impl Load {
    fn on(sidecar: &Sidecar) -> Self {
        let (stop, sent) = (Arc::<AtomicBool>::default(), Arc::<AtomicU64>::default());
        let (stopped, count, address) = (stop.clone(), sent.clone(), sidecar.listen);
        let thread = std::thread::spawn(move || {
            let mut failed = Vec::new();
            let mut client = Client::connect(address);
            while !stopped.load(Ordering::Relaxed) {
                match client.get("/t/x") {
                    Ok(reply) if reply.status == 200 => {}
                    other => {
                        failed.push(format!("{other:?}"));
                        client = Client::connect(address);
                    }
                }
                count.fetch_add(1, Ordering::Relaxed);
            }
            failed
        });
        Self {
            stop,
            sent,
            thread: Some(thread),
        }
    }

    /// Waits until it has gone on for a while.
    fn goes_on(&self) {
        let before = self.sent.load(Ordering::Relaxed);
        assert!(eventually(|| (self.sent.load(Ordering::Relaxed) > before + 20).then_some(())).is_some());
    }

    #[track_caller]
    fn ends_without_a_failure(mut self) {
        self.goes_on();
        self.stop.store(true, Ordering::Relaxed);
        let failed = self.thread.take().expect("once").join().expect("no panic");
        assert!(failed.is_empty(), "{failed:#?}");
    }
}

#[test]
fn files_that_are_renamed_into_place_are_promoted_under_load_with_a_receipt() {
    let upstream = hostile::echoing();
    let sidecar = world(&upstream).start();
    let load = Load::on(&sidecar);
    load.goes_on();
    let next = pki().client(Key::Ecdsa);
    rename_into(sidecar.directory(), &next);
    let line = promoted(&sidecar, &next);
    assert_eq!(
        (&line["generation"], &line["why"], &line["audit"]),
        (&2.into(), &"trial_passed".into(), &true.into())
    );
    let receipt = said(&sidecar, "receipt: generation 2 in use since").expect("a receipt");
    assert_eq!(
        (&receipt["retired"], &receipt["requests_failed"]),
        (&1.into(), &0.into()),
        "{receipt}"
    );
    load.ends_without_a_failure();
    assert_eq!(shown(&upstream), Some(next.der()));
    assert!(
        !upstream
            .seen()
            .iter()
            .any(|seen| seen.resumed && seen.peer == Some(next.der()) && seen.bytes.is_empty())
    );
}

#[test]
fn certificate_and_key_that_are_rewritten_in_place_one_after_the_other_are_promoted_when_both_are_there() {
    let upstream = hostile::echoing();
    let sidecar = world(&upstream).start();
    let load = Load::on(&sidecar);
    let next = pki().client(Key::Ecdsa);
    put(sidecar.directory(), "tls.crt", &next.chain_pem);
    let refused = said(&sidecar, "not taken into use").expect("the half is named");
    assert!(
        refused["reason"]
            .as_str()
            .is_some_and(|reason| reason.contains("does not belong")),
        "{refused}"
    );
    put(sidecar.directory(), "tls.key", &next.key_pem);
    promoted(&sidecar, &next);
    load.ends_without_a_failure();
}

#[test]
fn a_swap_of_the_directory_behind_a_symlink_is_promoted_as_kubernetes_does_it() {
    let upstream = hostile::echoing();
    let first = pki().client(Key::Ecdsa);
    let directory = directory();
    let secret = directory.path().join("secret");
    let version = |name: &str, leaf: &Leaf| {
        let path = secret.join(name);
        std::fs::create_dir_all(&path).expect("a directory");
        put(&path, "tls.crt", &leaf.chain_pem);
        put(&path, "tls.key", &leaf.key_pem);
    };
    version("..2026_1", &first);
    std::os::unix::fs::symlink("..2026_1", secret.join("..data")).expect("a link");
    for name in ["tls.crt", "tls.key"] {
        std::os::unix::fs::symlink(format!("..data/{name}"), secret.join(name)).expect("a link");
    }
    let path = |name: &str| text(&secret.join(name).display().to_string());
    let world = world(&upstream)
        .no_identity()
        .set("identity.allocation-manager", "certificate", path("tls.crt"))
        .set("identity.allocation-manager", "private_key", path("tls.key"))
        .set("upstream.ndh", "identity", text("allocation-manager"));
    let config = world.write(directory.path());
    let sidecar = Sidecar::start(directory, &config);
    let load = Load::on(&sidecar);
    let next = pki().client(Key::Ecdsa);
    version("..2026_2", &next);
    std::os::unix::fs::symlink("..2026_2", secret.join("..data_tmp")).expect("a link");
    std::fs::rename(secret.join("..data_tmp"), secret.join("..data")).expect("the swap");
    promoted(&sidecar, &next);
    load.ends_without_a_failure();
    assert_eq!(shown(&upstream), Some(next.der()));
}

#[test]
fn nothing_unfit_takes_the_place_of_what_works() {
    let upstream = hostile::echoing();
    let sidecar = world(&upstream).start();
    let load = Load::on(&sidecar);
    let good = pki().client(Key::Ecdsa);
    let cases: [(&str, String, String, &str); 6] = [
        (
            "another key",
            good.chain_pem.clone(),
            pki().client(Key::Ecdsa).key_pem,
            "does not belong",
        ),
        ("garbage", "garbage".to_owned(), good.key_pem.clone(), "not PEM"),
        ("an empty file", String::new(), good.key_pem.clone(), "empty"),
        (
            "expired",
            pki().client_expired().chain_pem,
            pki().client_expired().key_pem,
            "",
        ),
        (
            "for servers",
            pki().client_for_servers_only().chain_pem,
            String::new(),
            "",
        ),
        (
            "half a file",
            good.chain_pem[..good.chain_pem.len() / 2].to_owned(),
            good.key_pem.clone(),
            "",
        ),
    ];
    for (name, chain, key, reason) in cases {
        put(sidecar.directory(), "tls.crt", &chain);
        put(sidecar.directory(), "tls.key", &key);
        let line = sidecar.wait_line(|line| {
            let text = line["reason"].as_str().unwrap_or_default();
            line["message"]
                .as_str()
                .is_some_and(|text| text.contains("not taken into use"))
                && text.contains(reason)
        });
        assert!(line.is_some(), "{name} was not refused:\n{}", sidecar.printed());
    }
    load.ends_without_a_failure();
    assert!(!sidecar.printed().contains("\"generation\":2"), "nothing came of any");
    rename_into(sidecar.directory(), &good);
    promoted(&sidecar, &good);
}

/// Answers 403 to whoever is not on the list; `GET /health` is the trial.
fn listing(allowed: Arc<AtomicBool>) -> Hostile {
    let first = Arc::new(std::sync::Mutex::new(None));
    Hostile::tls(pki().good_server(), move |_, conn| {
        if !conn.handshake() {
            return;
        }
        let peer = conn.peer();
        let known = first.lock().expect("first").get_or_insert(peer.clone()).clone();
        while let Some((head, body)) = conn.request() {
            if peer == known || allowed.load(Ordering::Relaxed) {
                hostile::answer_with_echo(conn, &head, &body);
            } else {
                conn.write("HTTP/1.1 403 Forbidden\r\nContent-Length: 0\r\n\r\n");
            }
        }
    })
}

#[test]
fn a_certificate_that_is_not_on_the_other_sides_list_waits_until_it_is() {
    let allowed = Arc::<AtomicBool>::default();
    let upstream = listing(allowed.clone());
    let sidecar = world(&upstream).start();
    let load = Load::on(&sidecar);
    load.goes_on();
    let next = pki().client(Key::Ecdsa);
    rename_into(sidecar.directory(), &next);
    let line = said(&sidecar, "the other side refuses it").expect("said");
    assert!(
        line["reason"].as_str().is_some_and(|reason| reason.contains("403")),
        "{line}"
    );
    allowed.store(true, Ordering::Relaxed);
    // It would be tried again by itself, 10 s after it was refused; a signal asks for it now.
    sidecar.signal(Signal::HUP);
    promoted(&sidecar, &next);
    load.ends_without_a_failure();
}

#[test]
fn a_certificate_of_another_ca_fails_its_trial_although_tls_refuses_it_only_after_the_handshake() {
    let upstream = hostile::echoing();
    let sidecar = world(&upstream).start();
    let load = Load::on(&sidecar);
    rename_into(sidecar.directory(), &pki().client_of_other_root());
    assert!(
        said(&sidecar, "the other side refuses it").is_some(),
        "{}",
        sidecar.printed()
    );
    load.ends_without_a_failure();
}

#[test]
fn when_the_other_side_begins_to_refuse_the_new_certificate_the_old_one_comes_back() {
    for tls in [Tls::V12, Tls::V13] {
        let mood = Mood::default();
        let upstream = Hostile::tls(mood.server(tls), |_, conn| {
            // One request on each connection, so that each is judged anew.
            if conn.handshake()
                && let Some((head, body)) = conn.request()
            {
                let reply = format!(
                    "HTTP/1.1 200 OK\r\nConnection: close\r\nContent-Length: {}\r\n\r\n",
                    head.len() + body.len()
                );
                conn.write(reply).write(head).write(body);
            }
        });
        let old = pki().client(Key::Ecdsa);
        let sidecar = world(&upstream).identity(&old).start();
        let next = pki().client(Key::Ecdsa);
        rename_into(sidecar.directory(), &next);
        promoted(&sidecar, &next);
        mood.refuse(&next);
        let back = eventually(|| {
            let _ = Client::connect(sidecar.listen).get("/t/x");
            sidecar.printed().contains("FELL BACK").then_some(())
        });
        assert!(back.is_some(), "{}", sidecar.printed());
        let reply = Client::connect(sidecar.listen).get("/t/x").expect("a reply");
        assert_eq!(reply.status, 200);
        assert_eq!(shown(&upstream), Some(old.der()));
        mood.accept(&next);
    }
}

#[test]
fn with_the_old_one_at_its_end_and_nobody_to_ask_the_new_one_is_promoted_untried_and_loudly() {
    let upstream = hostile::echoing();
    let sidecar = world(&upstream).identity(&pki().client_between(-60, 1800)).start();
    assert_eq!(
        Client::connect(sidecar.listen).get("/t/x").expect("a reply").status,
        200
    );
    drop(upstream);
    let next = pki().client(Key::Ecdsa);
    rename_into(sidecar.directory(), &next);
    assert_eq!(promoted(&sidecar, &next)["why"], "about_to_expire");
    assert!(said(&sidecar, "ALARM: promoted UNTRIED").is_some());
}

#[test]
fn unreachable_is_not_rejected_and_the_old_one_stays_until_it_can_be_asked() {
    let upstream = hostile::echoing();
    let sidecar = world(&upstream).start();
    let address = upstream.address();
    drop(upstream);
    let next = pki().client(Key::Ecdsa);
    rename_into(sidecar.directory(), &next);
    assert!(
        said(&sidecar, "the other side could not be asked").is_some(),
        "{}",
        sidecar.printed()
    );
    assert!(!sidecar.printed().contains(&format!("\"serial\":\"{}\"", next.serial)));
    let _upstream = Hostile::tls_on(address, pki().good_server(), |_, conn| hostile::echo(conn));
    promoted(&sidecar, &next);
}

#[test]
fn one_that_is_not_valid_yet_waits_for_its_first_second() {
    let upstream = hostile::echoing();
    let sidecar = world(&upstream).start();
    let begun = Instant::now();
    let next = pki().client_between(4, 3600);
    rename_into(sidecar.directory(), &next);
    let line = said(&sidecar, "found a new certificate").expect("said");
    assert!(
        line["next"].as_str().is_some_and(|next| next.contains("first second")),
        "{line}"
    );
    promoted(&sidecar, &next);
    assert!(begun.elapsed() > Duration::from_secs(3), "{:?}", begun.elapsed());
}

#[test]
fn no_request_uses_a_certificate_past_its_end_although_its_connections_are_open() {
    // A server that does not look at it: the sidecar's own judgement is wanted.
    let config = pki().server_config(Tls::V13, &pki().server(Key::Ecdsa), Ask::Nothing);
    let upstream = Hostile::tls(config, |_, conn| hostile::echo(conn));
    // Valid for three more seconds, with the minute by which clocks may differ.
    let sidecar = world(&upstream).identity(&pki().client_between(-3600, -57)).start();
    let mut client = Client::connect(sidecar.listen);
    assert_eq!(client.get("/t/x").expect("a reply").status, 200);
    let fault = eventually(|| {
        let reply = client.get("/t/x").expect("a reply");
        (reply.status == 503).then(|| reply.fault().map(str::to_owned))
    });
    assert_eq!(fault.flatten().as_deref(), Some("identity_expired"));
    let next = pki().client(Key::Ecdsa);
    rename_into(sidecar.directory(), &next);
    assert_eq!(promoted(&sidecar, &next)["why"], "nothing_to_lose");
    let well = eventually(|| (client.get("/t/x").expect("a reply").status == 200).then_some(()));
    assert!(well.is_some());
}

#[test]
fn files_that_are_mounted_late_are_waited_for_and_named() {
    let upstream = hostile::echoing();
    let directory = directory();
    let path = |name: &str| text(&directory.path().join(name).display().to_string());
    let world = world(&upstream)
        .no_identity()
        .set("identity.allocation-manager", "certificate", path("late/tls.crt"))
        .set("identity.allocation-manager", "private_key", path("late/tls.key"))
        .set("upstream.ndh", "identity", text("allocation-manager"));
    let config = world.write(directory.path());
    let sidecar = Sidecar::start(directory, &config);
    let observe = sidecar.observe.expect("it observes");
    let ready = Client::connect(observe).get("/readyz").expect("a reply");
    assert_eq!(ready.status, 503);
    assert!(
        ready.text().contains("late/tls.crt") || sidecar.printed().contains("late/tls.crt"),
        "{}",
        ready.text()
    );
    let late = sidecar.directory().join("late");
    std::fs::create_dir(&late).expect("the mount");
    let leaf = pki().client(Key::Ecdsa);
    rename_into(&late, &leaf);
    promoted(&sidecar, &leaf);
    let ready = eventually(|| (Client::connect(observe).get("/readyz").ok()?.status == 200).then_some(()));
    assert!(ready.is_some());
    assert_eq!(
        Client::connect(sidecar.listen).get("/t/x").expect("a reply").status,
        200
    );
}

#[test]
fn new_trust_is_tried_before_it_replaces_the_old_one() {
    let upstream = hostile::echoing();
    let sidecar = world(&upstream).start();
    let load = Load::on(&sidecar);
    put(sidecar.directory(), "ca.crt", &pki().other_root_pem());
    assert!(
        said(&sidecar, "the other side could not be asked").is_some(),
        "{}",
        sidecar.printed()
    );
    put(
        sidecar.directory(),
        "ca.crt",
        &(pki().other_root_pem() + &pki().root_pem()),
    );
    let line = sidecar.wait_line(|line| line["message"] == "identity taken into use" && line["why"] == "trial_passed");
    assert!(line.is_some(), "{}", sidecar.printed());
    load.ends_without_a_failure();
}

#[test]
fn an_end_that_comes_near_is_said_once() {
    let upstream = hostile::echoing();
    let sidecar = world(&upstream)
        .identity(&pki().client_between(-3600, 6 * 86_400))
        .start();
    assert!(said(&sidecar, "ends within 7 days").is_some(), "{}", sidecar.printed());
    let next = pki().client_between(-3600, 6 * 86_400 + 600);
    rename_into(sidecar.directory(), &next);
    promoted(&sidecar, &next);
    let of_leaf = |text: &str| {
        text.matches("the certificate \\\"CN=allocation-manager\\\" ends within 7 days")
            .count()
    };
    let twice = eventually(|| (of_leaf(&sidecar.printed()) >= 2).then_some(()));
    assert!(
        twice.is_some(),
        "once for each of the two certificates:\n{}",
        sidecar.printed()
    );
    assert_eq!(of_leaf(&sidecar.printed()), 2);
}
