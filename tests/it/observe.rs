//! The observe port of the real binary: probes that are about this process alone, metrics that name no person.

use crate::support::bin::{CRN, NOMS, Sidecar};
use crate::support::pki::{APP, Key, pki};
use crate::support::raw::{Client, Reply};
use crate::support::world::{World, directory, text};
use crate::support::{eventually, hostile};

fn look(sidecar: &Sidecar, path: &str) -> Reply {
    let observe = sidecar.observe.expect("an observe address");
    Client::connect(observe).get(path).expect("a reply")
}

fn body(reply: &Reply) -> String {
    String::from_utf8_lossy(&reply.body).into_owned()
}

/// The value of the first sample whose line begins so.
fn sample(metrics: &str, name: &str, labels: &[&str]) -> Option<f64> {
    metrics
        .lines()
        .find(|line| line.starts_with(name) && labels.iter().all(|label| line.contains(label)))
        .and_then(|line| line.rsplit(' ').next()?.parse().ok())
}

#[test]
fn probes_do_not_depend_on_the_upstream() {
    let nobody = {
        let listener = std::net::TcpListener::bind("127.0.0.1:0").expect("a port");
        listener.local_addr().expect("own address")
    };
    let sidecar = World::to(nobody).start();
    for _ in 0..30 {
        let reply = Client::connect(sidecar.listen).get("/t/x").expect("a reply");
        assert_eq!(reply.status, 503);
    }
    for path in [
        "/livez",
        "/readyz",
        "/startupz",
        "/health",
        "/health/liveness",
        "/health/readiness",
        "/health/ping",
        "/info",
    ] {
        let reply = look(&sidecar, path);
        assert_eq!(reply.status, 200, "{path}: {reply:?}");
    }
    assert!(body(&look(&sidecar, "/health")).contains(r#""status":"UP""#));
    assert_eq!(look(&sidecar, "/secure").status, 404);
}

#[test]
fn metrics_count_what_happened_and_name_nobody() {
    let upstream = hostile::echoing();
    let sidecar = World::to(upstream.address()).set("listen", "workers", 2).start();
    let sent = 12;
    for _ in 0..sent {
        let mut client = Client::connect(sidecar.listen);
        assert_eq!(client.get(&format!("/p/{NOMS}")).expect("a reply").status, 200);
        assert_eq!(
            client.get(&format!("/nowhere/{CRN}/at/all")).expect("a reply").status,
            421
        );
        client.send(format!("{NOMS} /p/{CRN} HTTP/1.1\r\nHost: a\r\n\r\n"));
        assert_eq!(client.reply("GET").expect("a reply").status, 200);
    }
    let metrics = eventually(|| {
        let text = body(&look(&sidecar, "/metrics"));
        let count = sample(
            &text,
            "delius_sidecar_http_server_requests_total",
            &["/p/{nomsNumber}", "\"GET\"", "\"200\""],
        )?;
        (count == f64::from(sent)).then_some(text)
    });
    let metrics = metrics.unwrap_or_else(|| panic!("not counted:\n{}", body(&look(&sidecar, "/metrics"))));
    for (name, labels) in [
        ("delius_sidecar_http_server_requests_total", &["\"421\""][..]),
        (
            "delius_sidecar_http_server_request_duration_seconds_bucket",
            &["/p/{nomsNumber}", "30"],
        ),
        ("delius_sidecar_certificate_not_after_timestamp_seconds", &[APP]),
    ] {
        let value = sample(&metrics, name, labels);
        assert!(
            value.is_some_and(|value| value > 0.0),
            "{name} {labels:?}: {value:?} in\n{metrics}"
        );
    }
    for path in ["/metrics", "/", "/certs"] {
        let text = body(&look(&sidecar, path));
        assert!(
            !text.contains(NOMS) && !text.contains(CRN),
            "{path} names a person:\n{text}"
        );
    }
}

#[test]
fn an_identity_that_arrives_late_makes_it_ready_and_is_used() {
    let upstream = hostile::echoing();
    let directory = directory();
    let file = |name: &str| text(&directory.path().join(name).display().to_string());
    let config = World::to(upstream.address())
        .no_identity()
        .set("identity.late", "certificate", file("late.crt"))
        .set("identity.late", "private_key", file("late.key"))
        .set("upstream.ndh", "identity", text("late"))
        .write(directory.path());
    let sidecar = Sidecar::start(directory, &config);
    let ready = look(&sidecar, "/readyz");
    assert_eq!(ready.status, 503, "{ready:?}");
    assert!(
        body(&ready).contains("late.crt"),
        "it says what is missing: {}",
        body(&ready)
    );
    assert_eq!(look(&sidecar, "/livez").status, 200, "a restart would not help");
    let reply = Client::connect(sidecar.listen).get("/t/x").expect("a reply");
    assert_eq!((reply.status, reply.fault()), (503, Some("identity_missing")));
    // As a kubelet would not do it, and people do: one file, then the other.
    let leaf = pki().client(Key::Ecdsa);
    std::fs::write(sidecar.directory().join("late.crt"), &leaf.chain_pem).expect("deliver the chain");
    std::fs::write(sidecar.directory().join("late.key"), &leaf.key_pem).expect("deliver the key");
    assert!(eventually(|| (look(&sidecar, "/readyz").status == 200).then_some(())).is_some());
    let served = eventually(|| {
        let reply = Client::connect(sidecar.listen).get("/t/x").expect("a reply");
        (reply.status == 200).then_some(())
    });
    assert!(served.is_some());
}

#[test]
fn one_upstream_without_an_identity_does_not_keep_another_from_getting_its_own() {
    let upstream = hostile::echoing();
    let directory = directory();
    let file = |name: &str| text(&directory.path().join(name).display().to_string());
    let url = text(&format!("https://127.0.0.1:{}", upstream.address().port()));
    let mut config = World::to(upstream.address())
        .no_identity()
        .set("identity.late", "certificate", file("late.crt"))
        .set("identity.late", "private_key", file("late.key"))
        .set("upstream.ndh", "identity", text("late"))
        .set("identity.never", "certificate", file("never.crt"))
        .set("identity.never", "private_key", file("never.key"))
        .set("upstream.other", "identity", text("never"))
        .set("upstream.other", "trust", file("ca.crt"))
        .set("upstream.other", "url", url)
        .write(directory.path());
    config.push_str("[[route]]\nname = \"other\"\nmatch = \"GET /other/{case}\"\n[route.ndh]\nupstream = \"other\"\n");
    let sidecar = Sidecar::start(directory, &config);
    let ask = |target: &str| Client::connect(sidecar.listen).get(target).expect("a reply").status;
    assert_eq!((ask("/t/x"), ask("/other/x")), (503, 503));
    let leaf = pki().client(Key::Ecdsa);
    std::fs::write(sidecar.directory().join("late.key"), &leaf.key_pem).expect("deliver the key");
    std::fs::write(sidecar.directory().join("late.crt"), &leaf.chain_pem).expect("deliver the chain");
    assert!(
        eventually(|| (ask("/t/x") == 200).then_some(())).is_some(),
        "its files are there:\n{}",
        sidecar.printed()
    );
    assert_eq!(ask("/other/x"), 503);
    assert_eq!(look(&sidecar, "/readyz").status, 503, "the other one still waits");
}

const VIEW: &str = "{tier: .body.tier}";
const RESPONSE: &str = "{status, body: (if .body then {tier: .body.tier, \"from\": \"standard\"} else null end)}";
const TWO_PARTS: &str = "{parts: {one: {path: \"/one/\\(.params.noms)\"}, two: {path: \"/two/\\(.params.noms)\"}}}";
const BOTH: &str = "{status: 200, body: {one: .parts.one.body.tier, two: .parts.two.body.tier}}";
const NO_STATUS: &str = "{status: 99}";

/// A service that knows a tier for everybody, except where the path makes it fail.
fn tiers(tier: &'static str) -> hostile::Hostile {
    hostile::Hostile::plain(move |_, conn| {
        while let Some((head, _)) = conn.request() {
            let (status, body) = if tier == "A1" && head.contains(FAILS) {
                ("503 Service Unavailable", "{\"status\": 503}".to_owned())
            } else {
                (
                    "200 OK",
                    format!("{{\"tier\": {tier:?}, \"padding\": \"{}\"}}", "x".repeat(200)),
                )
            };
            let length = body.len();
            conn.write(format!(
                "HTTP/1.1 {status}\r\nContent-Type: application/json\r\nContent-Length: {length}\r\n\r\n{body}"
            ));
        }
    })
}

/// The standard leg fails whoever is asked for by this number.
const FAILS: &str = "Z9002XB";

/// A group in `standard` that falls back and is compared; a route in parts; one whose mapping fails.
fn switched(ndh: &hostile::Hostile, standard: &hostile::Hostile) -> Sidecar {
    let directory = directory();
    for (name, program) in [
        ("view", VIEW),
        ("response", RESPONSE),
        ("parts", TWO_PARTS),
        ("both", BOTH),
        ("broken", NO_STATUS),
    ] {
        std::fs::write(directory.path().join(format!("{name}.jq")), program).expect("write a program");
    }
    let config = format!(
        r#"
[listen]
address = "127.0.0.1:0"
[observe]
address = "127.0.0.1:0"
[log]
format = "json"
[drain]
quiet = "50ms"
deadline = "2s"
[upstream.ndh]
url = "http://{}"
timeouts = {{ connect = "1s", first_byte = "5s", total = "10s" }}
[upstream.standard]
url = "http://{}"
timeouts = {{ connect = "1s", first_byte = "5s", total = "10s" }}
[group.person]
mode = "standard"
fallback = true
compare = true
[[route]]
name = "tier"
match = "GET /p/{{noms}}"
group = "person"
person = "noms"
[route.ndh]
upstream = "ndh"
view = "view.jq"
[route.standard]
upstream = "standard"
response = "response.jq"
view = "view.jq"
[route.comparison]
again_after = "1s"
[[route]]
name = "parts"
match = "GET /parts/{{noms}}"
mode = "standard"
[route.ndh]
upstream = "ndh"
[route.standard]
upstream = "standard"
parts = ["one", "two"]
request = "parts.jq"
response = "both.jq"
[[route]]
name = "broken"
match = "GET /broken/{{noms}}"
mode = "standard"
[route.ndh]
upstream = "ndh"
[route.standard]
upstream = "standard"
response = "broken.jq"
"#,
        ndh.address(),
        standard.address()
    );
    Sidecar::start(directory, &config)
}

fn ask(sidecar: &Sidecar, path: &str, id: &str) -> Reply {
    let mut client = Client::connect(sidecar.listen);
    client.send(format!("GET {path} HTTP/1.1\r\nHost: a\r\nX-Request-Id: {id}\r\n\r\n"));
    client.reply("GET").expect("a whole reply")
}

#[test]
fn a_request_is_one_line_whichever_legs_it_took() {
    let (ndh, standard) = (tiers("B2"), tiers("A1"));
    let sidecar = switched(&ndh, &standard);
    let bytes = |reply: &Reply| serde_json::Value::from(reply.body.len());

    let reply = ask(&sidecar, &format!("/p/{NOMS}"), "mapped");
    assert_eq!(
        (reply.status, body(&reply).contains("\"from\"")),
        (200, true),
        "{reply:?}"
    );
    let line = sidecar.access_line("mapped");
    for (field, value) in [
        ("leg", "standard"),
        ("upstream", "standard"),
        ("unit", "person"),
        ("mode", "standard"),
    ] {
        assert_eq!(line[field], value, "{line}");
    }
    assert_eq!((&line["attempts"], &line["reply_bytes"]), (&1.into(), &bytes(&reply)));
    assert!(
        line["first_byte_ms"].is_number() && line.get("fallback").is_none(),
        "{line}"
    );

    let reply = ask(&sidecar, &format!("/p/{FAILS}"), "fallen");
    assert_eq!((reply.status, body(&reply).contains("B2")), (200, true), "{reply:?}");
    let line = sidecar.access_line("fallen");
    for (field, value) in [
        ("leg", "ndh"),
        ("upstream", "ndh"),
        ("mode", "standard"),
        ("fallback", "status_503"),
        ("level", "info"),
    ] {
        assert_eq!(line[field], value, "{line}");
    }
    assert_eq!((&line["attempts"], &line["reply_bytes"]), (&2.into(), &bytes(&reply)));

    let reply = ask(&sidecar, &format!("/parts/{NOMS}"), "parts");
    assert_eq!(body(&reply), r#"{"one":"A1","two":"A1"}"#);
    let line = sidecar.access_line("parts");
    assert_eq!((&line["attempts"], &line["reply_bytes"]), (&2.into(), &bytes(&reply)));
    assert!(line["first_byte_ms"].is_number(), "{line}");

    // The leg has answered, its reply cannot be used, and the caller is told so.
    let reply = ask(&sidecar, &format!("/broken/{NOMS}"), "broken");
    assert!(reply.status >= 500 && reply.fault().is_some(), "{reply:?}");
    let line = sidecar.access_line("broken");
    assert_eq!(line["error.type"], reply.fault().unwrap_or_default(), "{line}");
    assert!(line.get("aborted").is_none(), "{line}");

    let lines = sidecar.access_lines();
    assert_eq!(lines.len(), 4, "{lines:?}");
    assert!(!sidecar.printed().contains(FAILS), "{}", sidecar.printed());
}

#[test]
fn the_switch_over_is_shown_in_figures_and_in_words() {
    let (ndh, standard) = (tiers("B2"), tiers("A1"));
    let sidecar = switched(&ndh, &standard);
    assert_eq!(ask(&sidecar, &format!("/p/{NOMS}"), "one").status, 200);
    assert_eq!(ask(&sidecar, &format!("/p/{FAILS}"), "two").status, 200);
    // Both legs are asked again before the difference counts, and the counters follow every second.
    let metrics = eventually(|| {
        let text = body(&look(&sidecar, "/metrics"));
        let labels = [
            "unit=\"person\"",
            "route=\"/p/{noms}\"",
            "pointer=\"/tier\"",
            "kind=\"value\"",
        ];
        let differences = sample(&text, "delius_sidecar_differences_total", &labels)?;
        let fallbacks = sample(&text, "delius_sidecar_fallbacks_total", &labels[..2])?;
        (differences >= 1.0 && fallbacks >= 1.0).then_some(text)
    });
    let metrics = metrics.unwrap_or_else(|| panic!("not counted:\n{}", body(&look(&sidecar, "/metrics"))));
    for (name, labels, value) in [
        ("route_mode", &["person", "mode=\"standard\""][..], 1.0),
        ("route_mode", &["person", "mode=\"ndh\""], 0.0),
        ("route_standard_share", &["person"], 1.0),
        ("route_events_total", &["person", "rolled_back"], 0.0),
        ("comparisons_total", &["person", "verdict=\"mismatch\""], 1.0),
        ("comparisons_asked_again_total", &["person"], 1.0),
        ("leg_answers_total", &["person", "standard", "application"], 2.0),
        ("leg_errors_total", &["person", "standard"], 1.0),
        ("gate_go", &["person"], 0.0),
        ("gate_lacks", &["person", "samples"], 1.0),
        ("ndh_withdrawable", &["person"], 0.0),
        ("comparisons_held_bytes", &[], 0.0),
    ] {
        let found = sample(&metrics, &format!("delius_sidecar_{name}"), labels);
        assert_eq!(found, Some(value), "{name} {labels:?} in\n{metrics}");
    }
    let page = body(&look(&sidecar, "/"));
    for part in [
        "Switch-over",
        "<strong>standard</strong>",
        "1 mismatched",
        "<code>/tier</code> value: 1",
        "NO-GO",
    ] {
        assert!(page.contains(part), "{part}:\n{page}");
    }
    for text in [&metrics, &page] {
        assert!(!text.contains(NOMS) && !text.contains(FAILS), "{text}");
    }
    every_metric_is_documented(&metrics);
}

/// Every metric has its row in the document.
#[track_caller]
fn every_metric_is_documented(metrics: &str) {
    let document = include_str!("../../docs/operations.md");
    let described = metrics
        .lines()
        .filter_map(|line| line.strip_prefix("# TYPE delius_sidecar_"));
    let mut seen = 0;
    for line in described {
        let (name, kind) = line.split_once(' ').expect("a name and a type");
        let suffix = match kind {
            "counter" => "_total",
            "info" => "_info",
            _ => "",
        };
        assert!(
            document.contains(&format!("`{name}{suffix}`")),
            "{name}{suffix} has no row"
        );
        seen += 1;
    }
    assert!(seen > 40, "{seen}");
}
