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
