//! Canary: a person has one truth, over routes, letter case, connections, workers and a growing share.
//!
//! Two hundred invented people are asked for again and again; which of them standard answers must never depend on how, by
//! which worker, or by which process.

use std::collections::BTreeSet;

use delius_sidecar::switch::share_of;

use crate::support::raw::Client;
use crate::support::switch::{Scene, Switch, all, leg_of, legs, manager, noms, registrations, wait_for};

const PERSONS: usize = 200;

/// Connections, so many that no worker is without.
fn connections(scene: &Scene) -> Vec<Client> {
    (0..8).map(|_| scene.client()).collect()
}

/// Waits until every connection's worker knows the share, by a person whose side it changes.
fn until_known(clients: &mut [Client], before: f64, share: f64) {
    let (least, most) = (before.min(share), before.max(share));
    let moves = |person: &String| (least..most).contains(&share_of("person", person));
    let person = (0..PERSONS).map(noms).find(moves).expect("somebody moves");
    let side = if share > before { "standard" } else { "ndh" };
    for client in clients {
        wait_for("a worker knows the share", || {
            leg_of(&client.get(&all(&person)).expect("a reply")) == side
        });
    }
}

/// The persons whom standard answers, of the first so many; each is asked for by one connection after the other.
fn answered_by_standard(clients: &mut [Client], routes: &[fn(&str) -> String]) -> BTreeSet<String> {
    let mut found = BTreeSet::new();
    let mut turn = (0..clients.len()).cycle();
    for person in (0..PERSONS).map(noms) {
        let mut legs = BTreeSet::new();
        for route in routes {
            for name in [person.clone(), person.to_lowercase()] {
                let client = &mut clients[turn.next().expect("it never ends")];
                let reply = client.get(&route(&name)).expect("a reply");
                assert_eq!(reply.status, 200, "{}", reply.text());
                legs.insert(leg_of(&reply));
            }
        }
        assert_eq!(legs.len(), 1, "{person} was answered by {legs:?}");
        if legs.contains("standard") {
            found.insert(person);
        }
    }
    found
}

#[test]
fn a_person_has_one_truth_and_whoever_is_in_the_canary_stays_in_it_while_it_grows() {
    let (ndh, other) = legs();
    let scene = Switch::new(&ndh.url(), &other.url())
        .table("listen", "workers = 2")
        .unit("mode = \"canary\" # now\ncanary = 0.05")
        .start();
    let routes: [fn(&str) -> String; 2] = [all, registrations];
    let mut clients = connections(&scene);
    let mut before = BTreeSet::new();
    for (share, bounds) in [(0.05, 1..=25), (0.2, 20..=62), (1.0, PERSONS..=PERSONS)] {
        if share > 0.05 {
            scene.set("canary", Some(share));
            until_known(&mut clients, if share > 0.2 { 0.2 } else { 0.05 }, share);
        }
        let now = answered_by_standard(&mut clients, &routes);
        assert!(bounds.contains(&now.len()), "{} of {PERSONS} with {share}", now.len());
        assert!(before.is_subset(&now), "somebody left the canary");
        before = now;
    }
    scene.set("canary", Some(0.2));
    until_known(&mut clients, 1.0, 0.2);
    let again = answered_by_standard(&mut clients, &routes[..1]);
    drop((clients, scene));
    // Another process agrees with the first.
    let scene = Switch::new(&ndh.url(), &other.url())
        .unit("mode = \"canary\" # now\ncanary = 0.2")
        .start();
    assert_eq!(answered_by_standard(&mut connections(&scene), &routes[..1]), again);
}

#[test]
fn a_write_goes_to_the_leg_that_the_person_reads_from() {
    let (ndh, other) = legs();
    let scene = Switch::new(&ndh.url(), &other.url())
        .unit("mode = \"canary\"\ncanary = 0.5")
        .start();
    let mut client = scene.client();
    let mut both = BTreeSet::new();
    for person in (0..30).map(noms) {
        let reply = client.get(&all(&person)).expect("a reply");
        let leg = leg_of(&reply);
        let target = manager(&person);
        client.send(format!(
            "PUT {target} HTTP/1.1\r\nHost: localhost\r\nContent-Length: 0\r\n\r\n"
        ));
        assert_eq!(client.reply("PUT").expect("a reply").status, 200);
        let puts = |leg: &crate::support::scripted::Scripted| {
            leg.count(|asked| asked.method == "PUT" && asked.path.contains(&person))
        };
        let expected = if leg == "standard" { (0, 1) } else { (1, 0) };
        assert_eq!((puts(&ndh), puts(&other)), expected, "reads from {leg}");
        both.insert(leg);
    }
    assert_eq!(both.len(), 2, "all persons had the same leg");
}

#[test]
fn a_path_that_is_written_in_another_way_is_the_same_person() {
    let (ndh, other) = legs();
    let scene = Switch::new(&ndh.url(), &other.url())
        .unit("mode = \"canary\"\ncanary = 0.5")
        .start();
    for person in (0..30).map(noms) {
        let leg = scene.leg(&all(&person));
        let written = format!("%{:02X}{}", person.as_bytes()[0], &person[1..]);
        assert_eq!(scene.leg(&all(&written)), leg, "percent-encoded");
        let query = format!("{}?x=1&y={}", all(&person), noms(999));
        assert_eq!(scene.leg(&query), leg, "with a query");
    }
}
