//! A new configuration while requests are under way: all of it comes into force, or none of it does.

use rustix::process::Signal;

use crate::limits::gated;
use crate::support::bin::Sidecar;
use crate::support::eventually;
use crate::support::hostile::{self, Hostile};
use crate::support::pki::pki;
use crate::support::raw::Client;
use crate::support::world::{World, directory, text};

fn start(world: &World) -> Sidecar {
    let directory = directory();
    let config = world.clone().write(directory.path());
    Sidecar::start(directory, &config)
}

/// Puts the configuration in place; the process is told by a signal, or finds out.
fn reload(sidecar: &Sidecar, world: &World, by_signal: bool) {
    sidecar.put_config(&world.clone().write(sidecar.directory()));
    if by_signal {
        sidecar.signal(Signal::HUP);
    }
}

fn status(sidecar: &Sidecar, target: &str) -> u16 {
    Client::connect(sidecar.listen).get(target).expect("a reply").status
}

#[track_caller]
fn becomes(sidecar: &Sidecar, target: &str, wanted: u16) {
    let seen = eventually(|| (status(sidecar, target) == wanted).then_some(()));
    assert!(
        seen.is_some(),
        "{target} never became {wanted}; now {}",
        status(sidecar, target)
    );
}

fn said(sidecar: &Sidecar, part: &str) -> Option<serde_json::Value> {
    sidecar.wait_line(|line| line["message"].as_str().is_some_and(|text| text.contains(part)))
}

#[test]
fn a_new_route_comes_into_force_on_a_signal_and_without_one() {
    let upstream = hostile::echoing();
    for by_signal in [true, false] {
        let world = World::to(upstream.address());
        let sidecar = start(&world);
        let mut kept = Client::connect(sidecar.listen);
        assert_eq!(kept.get("/new/route").expect("a reply").status, 421);
        reload(&sidecar, &world.route("new", "GET /new/{case}", ""), by_signal);
        becomes(&sidecar, "/new/route", 200);
        assert_eq!(
            kept.get("/new/route").expect("a reply").status,
            200,
            "on open connections too"
        );
        assert!(said(&sidecar, "configuration reloaded").is_some());
    }
}

#[test]
fn a_bad_configuration_is_refused_whole_and_the_old_one_stays() {
    let upstream = hostile::echoing();
    let world = World::to(upstream.address());
    let sidecar = start(&world);
    let bad = world
        .clone()
        .route("new", "GET /new/{case}", "")
        .set("listen", "unheard_of", 1)
        .write(sidecar.directory());
    // A warning, which would come first.
    let unused = "[token.unused]\nkind = \"delius-logon\"\nupstream = \"ndh\"\n";
    sidecar.put_config(&format!("{unused}{bad}"));
    sidecar.signal(Signal::HUP);
    let line = said(&sidecar, "refused").expect("an audit line");
    assert!(
        line["error"]
            .as_str()
            .is_some_and(|text| text.contains("unheard_of") && !text.contains("warning")),
        "{line}"
    );
    assert_eq!((status(&sidecar, "/new/route"), status(&sidecar, "/t/x")), (421, 200));
    reload(&sidecar, &world.route("new", "GET /new/{case}", ""), true);
    becomes(&sidecar, "/new/route", 200);
}

#[test]
fn what_cannot_change_while_running_is_refused_and_named() {
    let upstream = hostile::echoing();
    let world = World::to(upstream.address());
    let sidecar = start(&world);
    let changed = world.set("listen", "workers", 2).route("new", "GET /new/{case}", "");
    reload(&sidecar, &changed, true);
    let line = said(&sidecar, "refused").expect("an audit line");
    assert!(
        line["error"].as_str().is_some_and(|text| text.contains("restart")),
        "{line}"
    );
    assert_eq!(status(&sidecar, "/new/route"), 421);
}

#[test]
fn an_upstream_that_moves_away_finishes_what_it_has() {
    let (first, open) = gated();
    let second = hostile::saying("HTTP/1.1 200 OK\r\nX-Second: yes\r\nContent-Length: 0\r\n\r\n");
    let world = World::to(first.address());
    let sidecar = start(&world);
    let mut busy = Client::connect(sidecar.listen);
    busy.send("GET /t/hold HTTP/1.1\r\nHost: a\r\n\r\n");
    assert!(first.wait(|seen| seen.iter().any(|seen| !seen.bytes.is_empty())));
    let moved = world.set(
        "upstream.ndh",
        "url",
        text(&format!("https://127.0.0.1:{}", second.address().port())),
    );
    // `url` is what `to` said; the key set here is overwritten by it.
    let config = moved.write(sidecar.directory());
    let config = config.replace(
        &format!("https://127.0.0.1:{}", first.address().port()),
        &format!("https://127.0.0.1:{}", second.address().port()),
    );
    sidecar.put_config(&config);
    sidecar.signal(Signal::HUP);
    let moved = eventually(|| {
        let reply = Client::connect(sidecar.listen).get("/t/x").expect("a reply");
        reply.header("x-second").is_some().then_some(())
    });
    assert!(moved.is_some());
    open.send(()).expect("the upstream waits");
    let reply = busy.reply("GET").expect("the whole reply");
    assert_eq!((reply.status, reply.header("x-second")), (200, None));
    assert!(
        first.wait(|seen| seen.iter().all(|seen| seen.ended)),
        "nothing is kept towards the old place"
    );
}

#[test]
fn an_upstream_that_changes_between_tls_and_plain_http_is_spoken_to_as_the_configuration_says() {
    // Speaks TLS to whoever begins with a handshake, and plain HTTP to everybody else.
    let upstream = either();
    let port = upstream.address().port();
    let world = World::to(upstream.address());
    let sidecar = start(&world);
    assert_eq!(status(&sidecar, "/t/x"), 200);
    let https = world.clone().write(sidecar.directory());
    let http = https.replace(
        &format!("https://127.0.0.1:{port}"),
        &format!("http://127.0.0.1:{port}"),
    );
    for (config, wanted) in [(http, "plain"), (https, "tls")] {
        sidecar.put_config(&config);
        sidecar.signal(Signal::HUP);
        let spoken = eventually(|| {
            let reply = Client::connect(sidecar.listen).get("/t/x").ok()?;
            (reply.header("x-spoken") == Some(wanted)).then_some(())
        });
        assert!(spoken.is_some(), "never {wanted}:\n{}", sidecar.printed());
    }
}

fn either() -> Hostile {
    Hostile::tls(pki().good_server(), |_, conn| {
        let tls = conn.begins_with_tls();
        if tls && !conn.handshake() {
            return;
        }
        let spoken = if tls { "tls" } else { "plain" };
        while conn.request().is_some() {
            conn.write(format!(
                "HTTP/1.1 200 OK\r\nX-Spoken: {spoken}\r\nContent-Length: 0\r\n\r\n"
            ));
        }
    })
}
