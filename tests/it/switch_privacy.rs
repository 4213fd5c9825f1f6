//! One search through everything that is said: no person, no name, no token, no secret stands in logs at their most
//! talkative, metrics, the status page, reports or the state file, whatever goes wrong.

use std::collections::BTreeMap;

use serde_json::{Value, json};

use crate::support::raw::Client;
use crate::support::scripted::{Say, Scripted, token};
use crate::support::switch::{CLIENT, CLIENT_SECRET, SHORT, Scene, Switch, all, manager, registrations, wait_for};

/// Two persons: recognisable, and as nobody else is called.
const PERSON: &str = "Q7351ZK";
const OTHER: &str = "Q7352ZK";
const CRN: &str = "Q735199";
const NAME: &str = "Zebediah-Quillfeather";
const ADDRESS: &str = "17 Nowhere Crescent";
const TOKEN: &str = "eyJub3RoaW5n.privacy-token";
const OF_APP: &str = "app-bearer-that-must-not-travel";
const USER: &str = "WILHELMINA_OFFICER_GEN";
const QUERY: &str = "free-text-of-a-query";
const BODY: &str = "content-of-a-write";

const UNSAYABLE: [&str; 12] = [
    PERSON,
    OTHER,
    CRN,
    NAME,
    ADDRESS,
    TOKEN,
    OF_APP,
    USER,
    QUERY,
    BODY,
    CLIENT_SECRET,
    "D2-tier-of-somebody",
];

/// Whether one of them stands there, in any letter case or encoding that a program would use.
fn found(text: &str) -> Option<String> {
    let lower = text.to_lowercase();
    UNSAYABLE.iter().find_map(|word| {
        let word = word.to_lowercase();
        let encoded = word.replace(' ', "%20");
        let line = lower
            .lines()
            .find(|line| line.contains(&word) || line.contains(&encoded))?;
        Some(format!("{word} stands in: {line}"))
    })
}

#[track_caller]
fn silent(place: &str, text: &str) {
    if let Some(found) = found(text) {
        panic!("{place}: {found}");
    }
}

fn record(person: &str, tier: &str) -> Value {
    json!({"nomsId": person, "crn": CRN, "currentTier": tier, "tier": tier, "name": NAME, "address": ADDRESS,
           "byPerson": {PERSON: tier, CRN: NAME}, "leg": "standard"})
}

/// Everything that can be asked about this sidecar.
fn everything(scene: &Scene) -> BTreeMap<String, String> {
    let mut said = BTreeMap::new();
    for page in ["/metrics", "/", "/health", "/info", "/readyz"] {
        said.insert(page.to_owned(), scene.page(page));
    }
    let answer = scene.ask("GET", "/route", None);
    said.insert("GET /route".to_owned(), answer.body.to_string());
    for arguments in [
        &["route", "status"][..],
        &["route", "status", "--output", "json"],
        &["route", "report"],
        &["route", "report", "--output", "json"],
        &["identity", "status"],
    ] {
        said.insert(arguments.join(" "), scene.command(arguments).1);
    }
    said.insert("log".to_owned(), scene.sidecar.printed());
    said
}

fn drive(scene: &Scene) -> usize {
    let mut client = scene.client();
    let fields = format!(
        "Authorization: Bearer {OF_APP}\r\nX-Delius-Username: {USER}\r\nUser-Agent: {NAME}\r\nX-Request-Id: {PERSON}\r\n\
         Referer: http://localhost/{PERSON}\r\n"
    );
    let mut count = 0;
    for person in [PERSON, OTHER, &PERSON.to_lowercase()] {
        for (method, target, content) in [
            ("GET", format!("{}?note={QUERY}", all(person)), ""),
            ("GET", registrations(person), ""),
            ("HEAD", all(person), ""),
            ("PUT", manager(person), BODY),
            ("GET", format!("/nowhere/{person}/{CRN}"), ""),
            ("GET", format!("/secure/../{person}"), ""),
            ("BREW", all(person), ""),
        ] {
            client.send(format!(
                "{method} {target} HTTP/1.1\r\nHost: localhost\r\n{fields}Content-Length: {}\r\n\r\n{content}",
                content.len()
            ));
            match client.reply(method) {
                Ok(reply) => {
                    count += 1;
                    if let Some(code) = reply.fault() {
                        // The identifier of the request is the caller's own.
                        let mut problem: Value = serde_json::from_slice(&reply.body).unwrap_or_default();
                        if let Some(problem) = problem.as_object_mut() {
                            problem.remove("request_id");
                        }
                        silent(code, &problem.to_string());
                    }
                    if reply.status == 400 {
                        client = scene.client();
                    }
                }
                Err(_) => client = scene.client(),
            }
        }
        // Not HTTP at all.
        let mut broken = Client::connect(scene.sidecar.listen);
        broken.send(format!(
            "GET {} HTTP/1.1\r\nHost: a\r\nHost : {person}\r\n\r\n",
            all(person)
        ));
        let _ = broken.reply("GET");
    }
    count
}

fn through_everything(level: &str, format: &str) {
    let ndh = Scripted::start(|asked| Say::Json(200, record(asked.segment(1), "A1")));
    let other = Scripted::start(|asked| Say::Json(200, record(asked.segment(0), "A1")));
    let auth = Scripted::start(|_| token(TOKEN, 600));
    let place = tempfile::tempdir().expect("a directory");
    let state = place.path().join("switch.json");
    let scene = Switch::new(&ndh.url(), &other.url())
        .token(&auth.url())
        .table(
            "token.hmpps-auth",
            "username_header = \"x-delius-username\"\ntimeout = \"1s\"",
        )
        .table("log", &format!("level = \"{level}\""))
        .only("log", &format!("format = \"{format}\"\nlevel = \"{level}\""))
        .table("switch", &format!("state = {:?}", state.display().to_string()))
        .table("upstream.ndh.timeouts", SHORT)
        .table("upstream.standard.timeouts", SHORT)
        .unit("mode = \"shadow\"\ncompare = true\nfallback = true")
        .only("group.person.gate", "window_samples = 6\nmin_samples = 2")
        .program(
            "view.jq",
            "if .status == 200 then {tier: .body.tier, by: .body.byPerson} else null end",
        )
        .program("response.jq", "{status: .status, body: (.body | .tier = .currentTier)}")
        .of("registrations", "fields = [\"/tier\", \"/leg\"]")
        .start();
    let html = "Content-Type: text/html\r\n".to_owned();
    let page = format!("<html>{NAME} {PERSON} {CRN}</html>").into_bytes();
    let misbehaviour: Vec<Say> = vec![
        Say::Json(200, record(PERSON, "A1")),
        Say::Json(200, record(PERSON, "D2-tier-of-somebody")),
        Say::Json(
            404,
            json!({"message": format!("Person with nomsId of {PERSON} not found")}),
        ),
        Say::Json(500, json!({"message": format!("{NAME} {PERSON} broke")})),
        Say::Raw(503, html.clone(), page.clone()),
        Say::Raw(200, html, page),
        Say::Raw(
            200,
            String::new(),
            format!("{{\"nomsId\": \"{PERSON}\", \"name\": {NAME}").into_bytes(),
        ),
        Say::Raw(200, format!("X-Bad Name: {PERSON}\r\n"), Vec::new()),
        Say::Json(200, json!([PERSON, NAME])),
        Say::Json(200, json!({PERSON: NAME, "currentTier": {CRN: ADDRESS}})),
        Say::Json(401, json!({"message": PERSON})),
        Say::Json(403, json!({"message": PERSON})),
        Say::Reset,
        Say::Hang,
    ];
    let mut answered = 0;
    for (number, say) in misbehaviour.iter().enumerate() {
        let said = say.clone();
        other.act(move |_| said.clone());
        for mode in ["shadow", "standard"] {
            let reason = format!("attempt {number} about {PERSON} and {CRN}");
            let body = json!({"unit": "person", "mode": mode, "reason": reason, "for": "1h"});
            let _ = scene.ask("POST", "/route/set", Some(&body));
            answered += drive(&scene);
        }
    }
    // The other leg, and the token server, and the files.
    other.act(|asked| Say::Json(200, record(asked.segment(0), "A1")));
    for say in misbehaviour.into_iter().filter(|say| !matches!(say, Say::Hang)) {
        ndh.act(move |_| say.clone());
        answered += drive(&scene);
    }
    for say in [
        Say::Json(
            401,
            json!({"error": "invalid_client", "error_description": CLIENT_SECRET}),
        ),
        Say::Json(
            200,
            json!({"access_token": format!("{TOKEN} with space"), "token_type": "bearer", "expires_in": 5}),
        ),
        Say::Json(
            200,
            json!({"access_token": TOKEN, "token_type": USER, "expires_in": "soon"}),
        ),
        Say::Raw(
            500,
            String::new(),
            format!("{USER} {CLIENT_SECRET} {TOKEN}").into_bytes(),
        ),
    ] {
        auth.act(move |_| say.clone());
        crate::support::switch::write_pair(
            scene.sidecar.directory(),
            CLIENT,
            &format!("{CLIENT_SECRET}-{answered}"),
        );
        answered += drive(&scene);
    }
    assert!(answered > 300, "{answered} replies");
    wait_for("the state is kept", || state.exists());
    for (place, text) in everything(&scene) {
        silent(&place, &text);
    }
    silent("the state file", &std::fs::read_to_string(&state).expect("a state"));
    // It was not silent for having said nothing.
    let log = scene.sidecar.printed();
    assert!(
        log.contains("/secure/offenders/nomsNumber/{nomsNumber}/all") && log.len() > 20_000,
        "{}",
        log.len()
    );
    drop(scene);
}

#[test]
fn at_trace_level_in_json_nothing_is_said_of_anybody() {
    through_everything("trace", "json");
}

#[test]
fn at_debug_level_in_text_nothing_is_said_of_anybody() {
    through_everything("debug", "text");
}
