//! The end of the process: what is under way is finished, what comes meanwhile is served, and the exit code says so.

use std::process::{Command, Stdio};
use std::time::Instant;

use rustix::process::Signal;

use crate::limits::gated;
use crate::support::bin::Sidecar;
use crate::support::raw::Client;
use crate::support::world::{World, directory, text};
use crate::support::{eventually, hostile, patience};

#[track_caller]
fn code(sidecar: &mut Sidecar) -> Option<i32> {
    let ended = sidecar.wait();
    assert!(ended.is_some(), "it did not end:\n{}", sidecar.printed());
    ended.and_then(|status| status.code())
}

fn said(sidecar: &Sidecar, part: &str) -> bool {
    let wanted = |line: &serde_json::Value| line["message"].as_str().is_some_and(|text| text.contains(part));
    sidecar.wait_line(wanted).is_some()
}

#[test]
fn an_idle_connection_holds_up_nobody() {
    let upstream = hostile::echoing();
    for signal in [Signal::TERM, Signal::INT] {
        let mut sidecar = World::to(upstream.address())
            .set("drain", "deadline", text("60s"))
            .start();
        let mut kept = Client::connect(sidecar.listen);
        assert_eq!(kept.get("/t/x").expect("a reply").status, 200);
        let mut silent = Client::connect(sidecar.listen);
        sidecar.signal(signal);
        assert_eq!(code(&mut sidecar), Some(0), "{signal:?}");
        assert!(kept.closed() && silent.closed());
        assert!(said(&sidecar, "drained"));
    }
}

#[test]
fn what_is_under_way_is_finished_and_what_comes_meanwhile_is_served() {
    let (upstream, open) = gated();
    let mut sidecar = World::to(upstream.address())
        .set("drain", "deadline", text("60s"))
        .start();
    let mut busy = Client::connect(sidecar.listen);
    busy.send("GET /t/hold HTTP/1.1\r\nHost: a\r\n\r\n");
    assert!(upstream.wait(|seen| seen.iter().any(|seen| !seen.bytes.is_empty())));
    sidecar.signal(Signal::TERM);
    assert!(said(&sidecar, "draining"));
    let mut late = Client::connect(sidecar.listen);
    let reply = eventually(|| {
        let reply = late.get("/t/late").expect("a reply");
        // The workers learn of the drain a moment after the line was written.
        if reply.header("connection") != Some("close") {
            return None;
        }
        Some(reply)
    });
    assert_eq!(reply.map(|reply| reply.status), Some(200));
    assert!(late.closed(), "the reply said so");
    open.send(()).expect("the upstream waits");
    assert_eq!(busy.reply("GET").expect("the whole reply").status, 200);
    assert_eq!(code(&mut sidecar), Some(0));
}

#[test]
fn what_is_not_finished_at_the_deadline_is_cut_and_said() {
    let (upstream, _open) = gated();
    for workers in [1, 2] {
        let mut sidecar = World::to(upstream.address())
            .set("listen", "workers", workers)
            .set("drain", "deadline", text("300ms"))
            .start();
        let mut busy = Client::connect(sidecar.listen);
        busy.send("GET /t/hold HTTP/1.1\r\nHost: a\r\n\r\n");
        let number = if workers == 1 { 1 } else { 2 };
        assert!(upstream.wait(|seen| seen.iter().filter(|seen| !seen.bytes.is_empty()).count() == number));
        let since = Instant::now();
        sidecar.signal(Signal::TERM);
        assert_eq!(code(&mut sidecar), Some(1), "{workers} workers");
        assert!(since.elapsed() < patience() / 2, "{:?}", since.elapsed());
        assert!(said(&sidecar, "not drained in time"));
        assert!(busy.reply("GET").is_err());
    }
}

/// Whoever reads stdout has stopped. Serving goes on, and so does the way out.
#[test]
fn a_reader_of_the_log_that_stopped_reading_stops_nothing_else() {
    let upstream = hostile::echoing();
    let directory = directory();
    let config = World::to(upstream.address())
        .set("log", "level", text("debug"))
        .write(directory.path());
    let (file, ready) = (
        directory.path().join("config.toml"),
        directory.path().join("ready.json"),
    );
    std::fs::write(&file, &config).expect("write a configuration");
    let mut child = Command::new(env!("CARGO_BIN_EXE_delius-sidecar"))
        .args(["run", "--config"])
        .arg(&file)
        .arg("--ready-file")
        .arg(&ready)
        .stdin(Stdio::null())
        .stdout(Stdio::piped())
        .stderr(Stdio::null())
        .spawn()
        .expect("start the binary");
    // Held, and never read: a pipe takes 64 KiB.
    let unread = child.stdout.take();
    let listen = eventually(|| {
        let text = std::fs::read_to_string(&ready).ok()?;
        let value: serde_json::Value = serde_json::from_str(&text).ok()?;
        value["listen"].as_str()?.parse().ok()
    })
    .expect("it listens");
    let mut client = Client::connect(listen);
    for number in 0..1000 {
        let reply = client
            .get("/t/x")
            .unwrap_or_else(|broken| panic!("request {number}: {broken}"));
        assert_eq!(reply.status, 200);
    }
    let pid = i32::try_from(child.id()).ok().and_then(rustix::process::Pid::from_raw);
    let signal = |signal| rustix::process::kill_process(pid.expect("a pid"), signal).expect("send a signal");
    // Each reload is an event of the main thread.
    for _ in 0..3 {
        signal(Signal::HUP);
        assert_eq!(client.get("/t/x").expect("a reply").status, 200);
    }
    signal(Signal::TERM);
    let ended = eventually(|| child.try_wait().ok().flatten());
    let _ = child.kill();
    let _ = child.wait();
    drop(unread);
    assert_eq!(ended.and_then(|status| status.code()), Some(0));
}
