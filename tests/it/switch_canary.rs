//! Canary: a person has one truth, over routes, letter case, connections, workers and a growing share.
//!
//! Two hundred invented people are asked for again and again; which of them standard answers must never depend on how, by
//! which worker, or by which process.

use std::collections::BTreeSet;

use crate::support::switch::{Scene, Switch, all, legs, manager, noms, registrations};

const PERSONS: usize = 200;

/// The persons whom standard answers, of the first so many.
fn answered_by_standard(scene: &Scene, routes: &[fn(&str) -> String]) -> BTreeSet<String> {
    let mut client = scene.client();
    let mut found = BTreeSet::new();
    for person in (0..PERSONS).map(noms) {
        let mut legs = BTreeSet::new();
        for route in routes {
            for name in [person.clone(), person.to_lowercase()] {
                let reply = client.get(&route(&name)).expect("a reply");
                assert_eq!(reply.status, 200, "{}", reply.text());
                legs.insert(crate::support::switch::leg_of(&reply));
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
    let mut before = BTreeSet::new();
    for (share, bounds) in [(0.05, 1..=25), (0.2, 20..=62), (1.0, PERSONS..=PERSONS)] {
        if share > 0.05 {
            scene.set("canary", Some(share));
            scene.wait_unit("the share", |unit| unit["effective"]["share"] == share);
            // Two workers take it in on their own.
            std::thread::sleep(std::time::Duration::from_millis(50));
        }
        let now = answered_by_standard(&scene, &routes);
        assert!(bounds.contains(&now.len()), "{} of {PERSONS} with {share}", now.len());
        assert!(before.is_subset(&now), "somebody left the canary");
        before = now;
    }
    scene.set("canary", Some(0.2));
    scene.wait_unit("the share", |unit| unit["effective"]["share"] == 0.2);
    std::thread::sleep(std::time::Duration::from_millis(50));
    let again = answered_by_standard(&scene, &routes[..1]);
    drop(scene);
    // Another process agrees with the first.
    let scene = Switch::new(&ndh.url(), &other.url())
        .unit("mode = \"canary\" # now\ncanary = 0.2")
        .start();
    assert_eq!(answered_by_standard(&scene, &routes[..1]), again);
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
        let leg = crate::support::switch::leg_of(&reply);
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
