//! Load through every change of the mode, by an operator and by the configuration: no request fails, none is doubled.
//!
//! Each request carries a number in its query, which both legs see: who was asked how often is counted request by request.

use std::collections::BTreeMap;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::sync::{Arc, RwLock};
use std::time::Duration;

use crate::support::raw::Client;
use crate::support::scripted::{Asked, Scripted, tokens};
use crate::support::switch::{Scene, Switch, all, legs, manager, noms, registrations, wait_for};

/// Requests of one phase by their number.
#[derive(Default)]
struct Sent {
    /// `GET` or `PUT`, phase, person.
    requests: Vec<(String, String, String)>,
    failures: Vec<String>,
}

/// Load over many connections until it is told to stop; a request belongs to the phase in which it was sent and answered.
struct Load {
    phase: Arc<RwLock<String>>,
    stop: Arc<AtomicBool>,
    done: Arc<AtomicUsize>,
    threads: Vec<std::thread::JoinHandle<Sent>>,
}

impl Load {
    fn start(scene: &Scene) -> Self {
        let phase = Arc::new(RwLock::new("ndh".to_owned()));
        let (stop, done) = (Arc::new(AtomicBool::new(false)), Arc::new(AtomicUsize::new(0)));
        let listen = scene.sidecar.listen;
        let threads = (0..12).map(|thread| {
            let (phase, stop, done) = (phase.clone(), stop.clone(), done.clone());
            std::thread::spawn(move || {
                let mut sent = Sent::default();
                let mut client = Client::connect(listen);
                let mut number = 0;
                while !stop.load(Ordering::Relaxed) {
                    let phase = phase.read().expect("phase");
                    let person = noms(number * 7 % 40);
                    let (method, path) = match number % 6 {
                        0 => ("PUT", manager(&person)),
                        1 => ("DELETE", manager(&person)),
                        2 | 3 => ("GET", registrations(&person)),
                        _ => ("GET", all(&person)),
                    };
                    let id = format!("{method}-{}-{thread}-{number}", *phase);
                    let content = if method == "PUT" {
                        "Content-Length: 2\r\n\r\n{}"
                    } else {
                        "\r\n"
                    };
                    client.send(format!(
                        "{method} {path}?id={id} HTTP/1.1\r\nHost: localhost\r\n{content}"
                    ));
                    match client.reply(method) {
                        Ok(reply) if reply.status == 200 => {}
                        Ok(reply) => sent.failures.push(format!("{id}: {} {}", reply.status, reply.text())),
                        Err(broken) => {
                            sent.failures.push(format!("{id}: {broken}"));
                            client = Client::connect(listen);
                        }
                    }
                    sent.requests.push((id, phase.clone(), person));
                    number += 1;
                    drop(phase);
                    done.fetch_add(1, Ordering::Relaxed);
                    // The writer of the phase must have its turn.
                    std::thread::sleep(Duration::from_millis(1));
                }
                sent
            })
        });
        Self {
            threads: threads.collect(),
            phase,
            stop,
            done,
        }
    }

    fn phase(&self, name: &str) {
        name.clone_into(&mut self.phase.write().expect("phase"));
    }

    /// Waits for so many more requests.
    fn more(&self, count: usize) {
        let from = self.done.load(Ordering::Relaxed);
        wait_for("load", || self.done.load(Ordering::Relaxed) >= from + count);
    }

    fn end(self) -> Vec<Sent> {
        self.stop.store(true, Ordering::Relaxed);
        let ended = self.threads.into_iter().map(|thread| thread.join().expect("load"));
        ended.collect()
    }
}

fn by_id(leg: &Scripted) -> BTreeMap<String, usize> {
    let mut counts = BTreeMap::new();
    let id = |asked: &Asked| asked.query.strip_prefix("id=").unwrap_or_default().to_owned();
    for asked in leg.asked() {
        *counts.entry(id(&asked)).or_default() += 1;
    }
    counts
}

/// Load through a change into each of these modes, by `change`; what was asked of whom is then counted, request by request.
fn through(scene: &Scene, legs: (&Scripted, &Scripted), modes: &[&str], change: impl Fn(&str)) {
    let load = Load::start(scene);
    load.more(150);
    for mode in modes {
        load.phase(&format!("before.{mode}"));
        load.more(30);
        change(mode);
        // The workers take the new plan in at their next turn.
        load.more(60);
        load.phase(mode);
        load.more(200);
    }
    let sent = load.end();
    let failures: Vec<_> = sent.iter().flat_map(|sent| &sent.failures).collect();
    assert!(failures.is_empty(), "{} failed: {failures:?}", failures.len());
    // What is compared is asked a little later.
    let quiet = || {
        let before = legs.1.total();
        std::thread::sleep(Duration::from_millis(100));
        legs.1.total() == before
    };
    wait_for("the comparisons end", quiet);
    let (ndh, standard) = (by_id(legs.0), by_id(legs.1));
    let mut truth: BTreeMap<(String, String), (usize, usize)> = BTreeMap::new();
    for (id, phase, person) in sent.iter().flat_map(|sent| &sent.requests) {
        let count = |leg: &BTreeMap<String, usize>| leg.get(id).copied().unwrap_or(0);
        let asked = (count(&ndh), count(&standard));
        let right = match (id.split('-').next(), phase.as_str()) {
            (Some("GET"), "ndh") => asked == (1, 0),
            (Some("GET"), "shadow") => asked.0 == 1 && asked.1 <= 1,
            (Some("GET"), "standard") => asked == (0, 1),
            (Some("GET"), "canary") => asked == (1, 0) || asked == (0, 1),
            (Some("GET"), _) => asked.0 <= 1 && asked.1 <= 1 && asked != (0, 0),
            (_, "ndh" | "shadow") => asked == (1, 0),
            (_, "standard") => asked == (0, 1),
            _ => asked == (1, 0) || asked == (0, 1),
        };
        assert!(right, "{id} in {phase}: asked of ndh and standard {asked:?}");
        if phase == "canary" {
            let of_person = truth.entry((phase.clone(), person.clone())).or_default();
            *of_person = (of_person.0 + asked.0, of_person.1 + asked.1);
        }
    }
    for ((_, person), (ndh, standard)) in &truth {
        assert!(
            *ndh == 0 || *standard == 0,
            "{person} was answered by both legs: {ndh}, {standard}"
        );
    }
    if modes.contains(&"canary") {
        let by = |leg: fn(&(usize, usize)) -> usize| truth.values().any(|asked| leg(asked) > 0);
        assert!(
            by(|asked| asked.0) && by(|asked| asked.1),
            "the canary had one leg only"
        );
    }
}

const WAY: [&str; 6] = ["shadow", "canary", "standard", "ndh", "standard", "shadow"];

#[test]
fn load_goes_through_every_change_by_an_operator_with_no_request_failed_or_doubled() {
    let (ndh, other) = legs();
    let auth = tokens("tok", 600);
    let scene = Switch::new(&ndh.url(), &other.url()).token(&auth.url()).start();
    through(&scene, (&ndh, &other), &WAY, |mode| {
        scene.set(mode, (mode == "canary").then_some(0.4));
    });
    assert_eq!(auth.total(), 1);
    assert_eq!(scene.evidence()["mismatched"], 0);
}

#[test]
fn load_goes_through_every_change_by_the_configuration_with_no_request_failed_or_doubled() {
    let (ndh, other) = legs();
    let auth = tokens("tok", 600);
    let scene = Switch::new(&ndh.url(), &other.url())
        .token(&auth.url())
        .unit("mode = \"ndh\" # now\ncanary = 0.4")
        .start();
    let now = RwLock::new("ndh".to_owned());
    through(&scene, (&ndh, &other), &WAY, |mode| {
        let mut now = now.write().expect("now");
        scene
            .sidecar
            .substitute(&format!("mode = \"{now}\" # now"), &format!("mode = \"{mode}\" # now"));
        mode.clone_into(&mut now);
        scene.wait_mode(mode);
    });
}
