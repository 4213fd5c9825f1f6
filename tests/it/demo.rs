//! The README's first command, as its reader runs it: the real binary, which starts itself as gateway and sidecar.

use std::io::Read as _;
use std::net::{SocketAddr, TcpStream};
use std::path::Path;
use std::process::{Child, Command, Stdio};

use rustix::process::{Pid, Signal, kill_process};
use serde_json::Value;
use tempfile::TempDir;

use crate::support::eventually;
use crate::support::raw::Client;

/// A demo that is left running; it gets SIGTERM in the end, and then has to clean up after itself.
struct Served {
    child: Child,
    told: Value,
    files: TempDir,
}

fn demo(files: &Path) -> Command {
    let mut demo = Command::new(env!("CARGO_BIN_EXE_delius-sidecar"));
    demo.args(["demo", "--output", "json"])
        .env("TMPDIR", files)
        .stdin(Stdio::null());
    demo
}

impl Served {
    fn start() -> Self {
        let files = tempfile::tempdir().expect("a directory");
        let mut child = demo(files.path())
            .arg("--serve")
            .stdout(Stdio::piped())
            .spawn()
            .expect("start the demo");
        let mut stdout = child.stdout.take().expect("piped");
        let (mut printed, mut chunk) = (Vec::new(), [0; 4096]);
        let told = loop {
            let read = stdout.read(&mut chunk).expect("read what the demo prints");
            printed.extend_from_slice(&chunk[..read]);
            match serde_json::from_slice(&printed) {
                Ok(told) => break told,
                Err(_) if read > 0 => {}
                Err(error) => panic!("{error}: {}", String::from_utf8_lossy(&printed)),
            }
        };
        Self { child, told, files }
    }

    /// The curl lines: what for, the line, and the status or `refused`.
    fn lines(&self) -> Vec<(String, String, String)> {
        self.offered("curl")
    }

    fn offered(&self, kind: &str) -> Vec<(String, String, String)> {
        let lines = self.told[kind].as_array().expect(kind);
        let text = |value: &Value| value.as_str().unwrap_or_default().to_owned();
        lines
            .iter()
            .map(|line| {
                (
                    text(&line["what"]),
                    text(&line["command"]),
                    text(&line["outcome"]["detail"]),
                )
            })
            .collect()
    }

    /// SIGTERM, then patience: a demo that is killed leaves its children behind.
    fn end(&mut self) -> Option<i32> {
        if let (Ok(None), Ok(pid)) = (self.child.try_wait(), i32::try_from(self.child.id()))
            && let Some(pid) = Pid::from_raw(pid)
        {
            let _ = kill_process(pid, Signal::TERM);
        }
        eventually(|| self.child.try_wait().ok().flatten()).and_then(|status| status.code())
    }

    fn stop(mut self) -> (Option<i32>, Vec<String>) {
        let code = self.end();
        let left = std::fs::read_dir(self.files.path()).expect("the directory");
        let left = left.flatten().map(|file| file.path().display().to_string()).collect();
        (code, left)
    }
}

impl Drop for Served {
    fn drop(&mut self) {
        self.end();
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// `curl http://ADDRESS/PATH` without anything that needs curl.
fn plain_get(line: &str) -> Option<(SocketAddr, String)> {
    let url = line.strip_prefix("curl ")?;
    let url = url.strip_prefix("--include ").unwrap_or(url);
    let (address, path) = url.strip_prefix("http://")?.split_once('/')?;
    Some((address.parse().ok()?, format!("/{path}")))
}

#[test]
fn the_demo_shows_every_step_and_leaves_nothing_behind() {
    let files = tempfile::tempdir().expect("a directory");
    let output = demo(files.path()).output().expect("run the demo");
    let printed = String::from_utf8_lossy(&output.stdout);
    let told: Value = serde_json::from_str(&printed).unwrap_or_else(|error| panic!("{error}: {printed}"));
    assert_eq!(output.status.code(), Some(0), "{printed}");
    let steps = told["steps"].as_array().expect("steps");
    let titles: Vec<&str> = steps.iter().filter_map(|step| step["title"].as_str()).collect();
    for topic in [
        "tier",
        "no such person",
        "token",
        "stranger",
        "no route",
        "write",
        "rotated under load",
        "both sides are asked",
        "gate",
        "canary",
        "by OAuth",
        "roll back by themselves",
    ] {
        assert!(titles.iter().any(|title| title.contains(topic)), "{topic}: {titles:?}");
    }
    for step in steps {
        assert_eq!(step["verdict"], "shown", "{step:#}");
    }
    assert_eq!((&told["shown"], &told["failed"]), (&steps.len().into(), &0.into()));
    let said = |topic: &str| {
        let step = steps
            .iter()
            .find(|step| step["title"].as_str().is_some_and(|title| title.contains(topic)));
        step.expect(topic)["lines"].to_string()
    };
    for known in [
        "resourcing-default",
        "resourcing-scope-or-defect",
        "mappa-highest-versus-latest",
        "mappa-rule-too-wide",
    ] {
        assert!(
            said("both sides are asked").contains(known),
            "{known}: {}",
            said("both sides are asked")
        );
    }
    let gate = said("gate");
    assert!(
        gate.contains("NO-GO for canary") && gate.contains("\"GO for canary"),
        "{gate}"
    );
    assert!(said("by OAuth").contains("NDH 0"), "{}", said("by OAuth"));
    assert!(
        said("roll back").contains("rolled back from standard to shadow"),
        "{}",
        said("roll back")
    );
    let left = std::fs::read_dir(files.path()).expect("the directory").count();
    assert_eq!(left, 0, "files are left in the temporary directory");
}

#[test]
fn what_demo_serve_offers_works_for_whoever_copies_it() {
    let served = Served::start();
    let lines = served.lines();
    let plain: Vec<_> = lines
        .iter()
        .filter_map(|(what, line, _)| Some((what, plain_get(line)?)))
        .collect();
    assert!(plain.len() >= 5, "{lines:?}");
    let expected = [
        ("tier", 200),
        ("does not know", 404),
        ("two people", 409),
        ("no route", 421),
        ("which has a token", 200),
        ("metrics", 200),
    ];
    for (topic, status) in expected {
        let (what, (address, path)) = plain
            .iter()
            .find(|(what, _)| what.contains(topic))
            .unwrap_or_else(|| panic!("no line about {topic}: {lines:?}"));
        let mut client = Client::connect(*address);
        client.send(format!("GET {path} HTTP/1.1\r\nhost: {address}\r\n\r\n"));
        assert_eq!(client.reply("GET").expect("a reply").status, status, "{what}");
    }
    if Command::new("curl").arg("--version").output().is_ok() {
        for (what, line, outcome) in &lines {
            let line = line.replacen(
                "curl ",
                "curl --disable --noproxy '*' --max-time 20 --silent --write-out '\\n%{http_code}' ",
                1,
            );
            let output = Command::new("sh").arg("-c").arg(&line).output().expect("a shell");
            let printed = String::from_utf8_lossy(&output.stdout).into_owned();
            let status = printed.lines().last().unwrap_or_default();
            let refused = outcome == "refused" && !output.status.success() && status == "000";
            assert!(
                refused || status == outcome,
                "{what}: expected {outcome}\n{line}\n{printed}"
            );
        }
    } else {
        eprintln!("curl is not installed: its lines were tried without TLS only");
    }
    let commands = served.offered("commands");
    for words in ["status", "report", "explain", "set"] {
        let word = format!(" route {words} ");
        assert!(
            commands.iter().any(|(_, line, _)| line.contains(&word)),
            "{words}: {commands:?}"
        );
    }
    for (what, line, outcome) in &commands {
        let output = Command::new("sh").arg("-c").arg(line).output().expect("a shell");
        let code = output.status.code().unwrap_or(-1);
        let errors = String::from_utf8_lossy(&output.stderr);
        assert_eq!(&format!("exit code {code}"), outcome, "{what}: {line}\n{errors}");
        assert!(!output.stdout.is_empty(), "{what}: {line}");
    }
    let gateway = lines
        .iter()
        .find(|(what, _, _)| what.contains("gateway"))
        .and_then(|(_, line, _)| line.split("https://").nth(1))
        .expect("the gateway's line");
    let gateway: SocketAddr = gateway
        .split('/')
        .next()
        .and_then(|text| text.parse().ok())
        .expect("an address");
    let (code, left) = served.stop();
    assert_eq!(code, Some(0));
    assert!(left.is_empty(), "left behind: {left:?}");
    assert!(TcpStream::connect(gateway).is_err(), "the gateway outlives the demo");
}
