//! The standard leg misbehaves while it is only compared: the application notices nothing, and what is held is bounded.

use std::time::{Duration, Instant};

use serde_json::{Value, json};

use crate::support::raw::Client;
use crate::support::scripted::{Say, Scripted, token, tokens};
use crate::support::switch::{Scene, Switch, all, legacy, legs, noms, quantile, registrations, standard, wait_for};

const SHADOW: &str = "mode = \"shadow\"";

/// What the ways of misbehaving have in common: status and content of every reply are NDH's, and none comes late.
fn load(scene: &Scene, requests: usize) -> Vec<Duration> {
    let listen = scene.sidecar.listen;
    let threads: Vec<_> = (0..4)
        .map(|thread| {
            std::thread::spawn(move || {
                let mut client = Client::connect(listen);
                let mut times = Vec::new();
                for number in 0..requests / 4 {
                    let person = noms(thread * 1000 + number);
                    let began = Instant::now();
                    let reply = client.get(&all(&person)).expect("a reply");
                    times.push(began.elapsed());
                    let expected = format!("{{ \"tier\" : \"A1\",\n  \"noms\":\"{person}\", \"leg\" : \"ndh\" }}\n");
                    assert_eq!((reply.status, reply.text()), (200, expected));
                }
                times
            })
        })
        .collect();
    threads
        .into_iter()
        .flat_map(|thread| thread.join().expect("load"))
        .collect()
}

/// Peak of its memory, in MiB.
fn peak(scene: &Scene) -> u64 {
    let status = std::fs::read_to_string(format!("/proc/{}/status", scene.sidecar.pid())).expect("its status");
    let line = status.lines().find(|line| line.starts_with("VmHWM:")).expect("a peak");
    let kib: u64 = line
        .split_whitespace()
        .nth(1)
        .and_then(|text| text.parse().ok())
        .expect("a number");
    kib / 1024
}

fn dropped(scene: &Scene) -> u64 {
    let evidence = scene.evidence();
    let reasons = evidence["dropped"].as_object().expect("an object");
    reasons.values().filter_map(Value::as_u64).sum()
}

#[test]
fn a_standard_leg_that_hangs_costs_the_application_nothing() {
    let (ndh, other) = legs();
    other.act(|_| Say::Hang);
    let scene = Switch::new(&ndh.url(), &other.url())
        .table("switch.shadow", "concurrency = 2\nqueue = 4")
        .start();
    let mut alone = load(&scene, 400);
    scene.set("shadow", None);
    let mut shadowed = load(&scene, 400);
    wait_for("it is asked", || other.total() >= 2);
    let (median, worst) = (quantile(&mut shadowed, 0.5), quantile(&mut shadowed, 0.99));
    // A leg that hangs would take 15 s; a busy machine takes its time as well.
    let bound = quantile(&mut alone, 0.5) * 10 + Duration::from_millis(100);
    assert!(
        median < bound,
        "median {median:?}, alone {:?}",
        quantile(&mut alone, 0.5)
    );
    assert!(
        worst < Duration::from_secs(2),
        "99 % within {worst:?}, alone {:?}",
        quantile(&mut alone, 0.99)
    );
    assert_eq!(other.total(), 2, "no more than its places");
    let counted = dropped(&scene);
    assert!(
        (390..=400).contains(&counted),
        "{counted} dropped: {}",
        scene.evidence()
    );
    assert_eq!(scene.evidence()["mismatched"], 0);
}

#[test]
fn what_the_standard_leg_does_wrong_is_counted_and_never_an_error_of_the_application() {
    let (ndh, other) = legs();
    let scene = Switch::new(&ndh.url(), &other.url()).unit(SHADOW).start();
    let html = "Content-Type: text/html\r\n".to_owned();
    let cases: Vec<(&str, Say)> = vec![
        ("500", Say::Json(500, json!({"message": "x"}))),
        (
            "503 as HTML",
            Say::Raw(503, html.clone(), b"<html>busy</html>".to_vec()),
        ),
        ("200 as HTML", Say::Raw(200, html, b"<html>hello</html>".to_vec())),
        ("reset", Say::Reset),
        ("not an object", Say::Json(200, json!([1, 2, 3]))),
        (
            "JSON cut short",
            Say::Raw(200, String::new(), b"{\"nomsId\": \"Q".to_vec()),
        ),
    ];
    let mut count = 0;
    for (name, say) in cases {
        other.act(move |_| say.clone());
        assert_eq!(load(&scene, 8).len(), 8);
        count += 8;
        scene.wait_unit(name, |unit| {
            let reasons = unit["evidence"]["not_comparable"]
                .as_object()
                .cloned()
                .unwrap_or_default();
            reasons.values().filter_map(Value::as_u64).sum::<u64>() == count
        });
    }
    let evidence = scene.evidence();
    assert_eq!(
        (&evidence["compared"], &evidence["mismatched"]),
        (&0.into(), &0.into()),
        "{evidence}"
    );
    assert_eq!(ndh.total() as u64, count, "what cannot be compared is not asked again");
    // JSON of another shape is a difference like any other: it is compared.
    other.act(|_| Say::Json(200, json!({"nothing": "of this"})));
    load(&scene, 4);
    scene.wait_unit("compared", |unit| unit["evidence"]["mismatched"] == 4);
}

#[test]
fn a_leg_that_refuses_our_credentials_is_left_alone_and_said_once() {
    for status in [401, 403] {
        let (ndh, other) = legs();
        let auth = tokens("tok", 600);
        other.act(move |_| Say::Json(status, json!({"message": "no"})));
        let scene = Switch::new(&ndh.url(), &other.url())
            .unit(SHADOW)
            .token(&auth.url())
            .start();
        load(&scene, 4);
        scene.wait_unit("refused", |unit| unit["evidence"]["refuses"]["standard"] == true);
        let asked = other.total();
        load(&scene, 40);
        wait_for("they are dropped", || dropped(&scene) >= 40);
        assert_eq!(other.total(), asked, "{status}: it is asked no more for a while");
        assert!(auth.total() <= 5, "{status}: {} fetches", auth.total());
        let unit = scene.unit("person");
        assert_eq!(unit["decision"]["go"], false);
        assert!(
            unit["decision"]["lacks"].to_string().contains("refused"),
            "{}",
            unit["decision"]
        );
        let said = scene.sidecar.printed();
        let lines = said
            .lines()
            .filter(|line| line.contains("nothing is compared with it for a minute"));
        assert_eq!(lines.count(), 1);
    }
}

#[test]
fn replies_of_a_hundred_megabytes_are_cut_off_and_memory_stays_bounded() {
    let (ndh, other) = legs();
    other.act(|_| Say::Flood(100 << 20));
    let scene = Switch::new(&ndh.url(), &other.url()).unit(SHADOW).start();
    load(&scene, 20);
    let before = peak(&scene);
    let times = load(&scene, 200);
    assert_eq!(times.len(), 200);
    wait_for("all were asked or dropped", || {
        other.total() as u64 + dropped(&scene) >= 220
    });
    let after = peak(&scene);
    assert!(after < before + 40 && after < 200, "{before} MiB, then {after} MiB");
    assert_eq!(scene.evidence()["compared"], 0);
}

#[test]
fn large_replies_of_ndh_are_held_within_a_bound_and_reach_the_application_whole() {
    let body = format!("{{\"tier\": \"A1\", \"text\": \"{}\"}}", "x".repeat(300 * 1024));
    let content = body.clone();
    let ndh = Scripted::start(move |_| Say::Raw(200, String::new(), content.clone().into_bytes()));
    let other = Scripted::start(|_| Say::Hang);
    let scene = Switch::new(&ndh.url(), &other.url())
        .unit(SHADOW)
        .table("switch.shadow", "concurrency = 1\nqueue = 100000\nmemory = \"1MiB\"")
        .start();
    let mut client = scene.client();
    for number in 0..40 {
        let reply = client.get(&all(&noms(number))).expect("a reply");
        assert!(reply.status == 200 && reply.body == body.as_bytes());
    }
    let evidence = scene.evidence();
    // One is under way, and some wait within the bound.
    let counted = dropped(&scene);
    assert!((36..=39).contains(&counted), "{evidence}");
    // Beyond the limit of a reply that is compared, it still streams.
    let body = format!("{{\"text\": \"{}\"}}", "y".repeat(3 << 20));
    let content = body.clone();
    ndh.act(move |_| Say::Raw(200, String::new(), content.clone().into_bytes()));
    let reply = client.get(&all("Q0001AA")).expect("a reply");
    assert!(reply.status == 200 && reply.body == body.as_bytes());
}

#[test]
fn a_token_server_that_hangs_or_is_down_delays_nobody() {
    let (ndh, other) = legs();
    let auth = Scripted::start(|_| Say::Hang);
    let scene = Switch::new(&ndh.url(), &other.url())
        .unit(SHADOW)
        .token(&auth.url())
        .table("token.hmpps-auth", "timeout = \"300ms\"")
        .start();
    let mut times = load(&scene, 200);
    let worst = quantile(&mut times, 0.99);
    assert!(worst < Duration::from_secs(2), "{worst:?}");
    assert_eq!(other.total(), 0, "never without a token");
    auth.act(|_| token("late-1", 600));
    wait_for("compared once a token can be had", || {
        let _ = load(&scene, 4);
        scene.evidence()["matched"].as_u64().unwrap_or(0) > 0
    });
}

#[test]
fn a_standard_api_that_is_not_there_is_no_concern_of_the_application() {
    let ndh = Scripted::start(legacy);
    let nobody = {
        let listener = std::net::TcpListener::bind("127.0.0.1:0").expect("a port");
        format!("http://{}", listener.local_addr().expect("an address"))
    };
    let scene = Switch::new(&ndh.url(), &nobody).unit(SHADOW).start();
    let mut times = load(&scene, 100);
    assert!(quantile(&mut times, 0.99) < Duration::from_secs(2));
    scene.wait_unit("not comparable", |unit| {
        unit["evidence"]["not_comparable"].to_string().contains("standard")
    });
    assert_eq!(scene.evidence()["compared"], 0);
}

#[test]
fn a_caller_that_goes_away_or_reads_slowly_does_no_harm_to_the_comparison() {
    let (ndh, other) = legs();
    ndh.act(|asked| Say::After(Duration::from_millis(50), Box::new(legacy(asked))));
    let scene = Switch::new(&ndh.url(), &other.url()).unit(SHADOW).start();
    for number in 0..10 {
        let mut client = scene.client();
        client.send(format!(
            "GET {} HTTP/1.1\r\nHost: localhost\r\n\r\n",
            all(&noms(number))
        ));
        client.reset();
    }
    assert_eq!(scene.leg(&registrations("Q0001AA")), "ndh");
    scene.wait_unit("compared", |unit| unit["evidence"]["matched"].as_u64() >= Some(1));
    assert_eq!(scene.evidence()["mismatched"], 0);
}

#[test]
fn persons_that_one_leg_does_not_know_are_missing_and_errors_of_ndh_are_not_compared() {
    let (ndh, other) = legs();
    ndh.act(|asked| match asked.segment(1) {
        "Q0001AA" | "Q0003AA" => Say::Json(404, json!({"developerMessage": "nobody"})),
        "Q0004AA" => Say::Json(500, Value::Null),
        _ => legacy(asked),
    });
    other.act(|asked| match asked.segment(0) {
        "Q0002AA" | "Q0003AA" => Say::Json(404, json!({"message": "nobody"})),
        _ => standard(asked),
    });
    let scene = Switch::new(&ndh.url(), &other.url()).unit(SHADOW).start();
    let statuses = ["Q0001AA", "Q0002AA", "Q0003AA", "Q0004AA"].map(|person| scene.get(&all(person)).status);
    assert_eq!(statuses, [404, 200, 404, 500], "as NDH says it");
    let unit = scene.wait_unit("all judged", |unit| {
        let not: u64 = unit["evidence"]["not_comparable"]
            .as_object()
            .map_or(0, |reasons| reasons.values().filter_map(Value::as_u64).sum());
        not == 1 && unit["evidence"]["compared"] == 3
    });
    let evidence = &unit["evidence"];
    assert_eq!(
        (
            &evidence["missing_on_ndh"],
            &evidence["missing_on_standard"],
            &evidence["matched"]
        ),
        (&1.into(), &1.into(), &1.into())
    );
}
