//! Requests explained under a written configuration: both legs, both sides of the canary, and no person anywhere.

use super::*;
use crate::config::{self, Source};
use crate::switch::report::{Frame, Unit};
use crate::switch::{Able, Event, Order, Standing as OfUnit};

const CONFIG: &str = r#"
[upstream.ndh]
url = "http://127.0.0.1:9/base"
[upstream.standard]
url = "http://127.0.0.1:8"
[group.person]
mode = "canary"
canary = 0.56
compare = true
fallback = true
[[route]]
name = "offender"
match = "GET /secure/offenders/nomsNumber/{nomsNumber}/all"
person = "nomsNumber"
group = "person"
fields = ["/otherIds/crn"]
[route.ndh]
upstream = "ndh"
view = "view.jq"
[route.standard]
upstream = "standard"
request = "request.jq"
response = "response.jq"
view = "view.jq"
query = "drop"
headers = { "x-from" = "sidecar" }
timeouts = { total = "4s", first_byte = "3s" }
[route.comparison]
ignore = ["/noise"]
equal_status = ["500/409"]
[[route.comparison.known]]
name = "level"
reason = "highest versus latest"
at = ["/level"]
[[route]]
name = "write"
match = "PUT /secure/offenders/nomsNumber/{nomsNumber}/keyDates"
person = "nomsNumber"
[route.ndh]
upstream = "ndh"
"#;

fn settings() -> Settings {
    read(CONFIG)
}

fn read(config: &str) -> Settings {
    let mut source = Source::new("config.toml", config);
    for (name, text) in [
        (
            "request.jq",
            "{path: (\"/case-records/\" + (.params.nomsNumber | ascii_downcase))}",
        ),
        ("response.jq", "{status: .status, body: .body}"),
        ("view.jq", ".body"),
    ] {
        source.programs.insert(name.to_owned(), Ok(text.to_owned()));
    }
    let loaded = config::load_run(&[source], &[]);
    loaded
        .map(|loaded| loaded.settings)
        .unwrap_or_else(|problems| panic!("{}", problems.annotated(config::Style::Plain)))
}

fn configured() -> Standing<'static> {
    Standing::Configured("nobody answers".to_owned())
}

#[track_caller]
fn explained(standing: &Standing<'_>, method: &str, target: &str) -> String {
    let explained = explain(&settings(), standing, method, target).expect("explained");
    let (text, json) = (explained.text(), explained.json().to_string());
    for secret in ["A1234BC", "a1234bc", "G7806VO", "g7806vo"] {
        assert!(
            !text.contains(secret) && !json.contains(secret),
            "a person is printed:\n{text}\n{json}"
        );
    }
    text
}

#[track_caller]
fn says(text: &str, parts: &[&str]) {
    for part in parts {
        assert!(text.contains(part), "{part:?} is not in\n{text}");
    }
}

#[test]
fn a_person_in_the_canary_is_answered_by_standard_and_the_other_leg_is_compared() {
    let text = explained(&configured(), "GET", "/secure/offenders/nomsNumber/A1234BC/all?x=1");
    says(
        &text,
        &[
            "request        GET /secure/offenders/nomsNumber/{nomsNumber}/all",
            "mode           canary 56 %, as the configuration says (nobody answers)",
            "person         {nomsNumber}, among the 56 % of persons in the canary",
            "answers        standard",
            "fallback       ndh, when standard fails",
            "not looked at: /noise",
            "status 500 of ndh is the same as 409 of standard",
            "known: level: highest versus latest",
            "gate           500 samples, mismatches at most 0.1 %",
            "standard: answers the application",
            "request        GET /case-records/{nomsNumber}",
            "made by request.jq",
            "headers set    x-from: sidecar",
            "response       response.jq",
            "ndh: asked when standard fails, and beside it to be compared",
            "request        GET /base/secure/offenders/nomsNumber/{nomsNumber}/all",
            "query          passed on as it came",
            "authorization  none; the application's own is removed",
        ],
    );
}

#[test]
fn a_person_outside_the_canary_is_answered_by_ndh() {
    let text = explained(&configured(), "GET", "/secure/offenders/nomsNumber/g7806vo/all");
    says(
        &text,
        &[
            "not among the 56 %",
            "answers        ndh",
            "ndh: answers the application",
            "standard: asked beside it to be compared; the application never waits for it",
            "query          none came",
        ],
    );
    assert!(!text.contains("fallback "), "{text}");
}

#[test]
fn a_refused_token_is_fetched_anew_and_only_what_may_be_repeated_is_sent_again() {
    let token = "[token.delius]\nkind = \"delius-logon\"\nupstream = \"ndh\"\n";
    let with = |line: &str| {
        let write = "[[route]]\nname = \"write\"\n";
        let config = CONFIG.replace(write, &format!("{write}{line}\n"));
        read(&format!("{config}token = \"delius\"\n{token}"))
    };
    let said = |settings: &Settings| {
        let target = "/secure/offenders/nomsNumber/A1234BC/keyDates";
        explain(settings, &configured(), "PUT", target)
            .expect("explained")
            .text()
    };
    says(
        &said(&with("")),
        &["token delius (logon of the Delius API); refused once, it is fetched anew\n"],
    );
    says(
        &said(&with("idempotent = false")),
        &["refused, it is fetched anew for the next request, and this one is not sent again"],
    );
}

#[test]
fn the_running_sidecar_is_believed_before_the_configuration() {
    let terms = settings().units["person"].terms.clone();
    assert_eq!(terms.able, Able::ALL);
    let mut standing = OfUnit::new("person", terms, None, None, 10).0;
    let order = Order {
        mode: Mode::Ndh,
        share: None,
        reason: "wrong tiers".to_owned(),
        by: "uid 7".to_owned(),
        hold: std::time::Duration::from_secs(60),
    };
    standing.apply(Event::Set(order), 10).expect("set");
    let frame = Frame {
        now: 11,
        known_since: 0,
        quiet_days: 28,
    };
    let report = Report::new(11, vec![Unit::new(&standing, None, &[], frame)]);
    let running = Standing::Running(&report);
    let text = explained(&running, "GET", "/secure/offenders/nomsNumber/A1234BC/all");
    says(
        &text,
        &[
            "mode           ndh, of the running sidecar (set by uid 7: wrong tiers)",
            "all persons go the same way in ndh",
            "compared       no: nothing is compared in ndh",
            "standard: not asked",
        ],
    );
    let text = explained(&running, "PUT", "/secure/offenders/nomsNumber/A1234BC/keyDates");
    says(
        &text,
        &[
            "does not know this unit",
            "unit           this route alone",
            "no: it takes a `view` on both legs",
        ],
    );
}

#[test]
fn what_no_route_takes_is_said_without_its_path() {
    for (method, target, said) in [
        (
            "DELETE",
            "/secure/offenders/nomsNumber/A1234BC/all",
            "421 route_unknown",
        ),
        ("GET", "/A1234BC", "421 route_unknown"),
        ("GET", "A1234BC", "400 request_malformed"),
        ("GET", "/a/../A1234BC", "400 request_malformed"),
    ] {
        let refused = explain(&settings(), &configured(), method, target).expect_err(target);
        assert!(refused.contains(said) && !refused.contains("A1234BC"), "{refused}");
    }
}

#[test]
fn what_the_sidecar_answers_itself_is_no_unknown_route() {
    let text = explained(&configured(), "GET", "/health/ping");
    says(
        &text,
        &["request        GET /health/ping", "answers        the sidecar itself"],
    );
    for (method, target) in [("POST", "/health/ping"), ("GET", "/health/pings")] {
        let refused = explain(&settings(), &configured(), method, target).expect_err("no route");
        assert!(refused.contains("421 route_unknown"), "{refused}");
    }
}
