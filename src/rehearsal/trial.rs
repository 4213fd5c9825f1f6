//! The lines that `demo --serve` offers, curl's and the program's own, each tried before it is offered.
//!
//! A line is kept as arguments and shown as a shell would read it, so what was tried and what is printed are the same
//! thing. Where curl is not installed its lines are offered untried, and say so.

use std::path::Path;
use std::process::{Command, Stdio};

use serde::Serialize;

use super::scene::{Scene, UNIT, trust};

/// One line to copy into a shell.
#[derive(Clone, Debug, Serialize)]
pub struct Trial {
    pub what: &'static str,
    /// As a shell reads it.
    pub command: String,
    pub outcome: Outcome,
    #[serde(skip)]
    arguments: Vec<String>,
    #[serde(skip)]
    expected: Expected,
}

/// What became of a line when it was tried.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "kebab-case", tag = "outcome", content = "detail")]
pub enum Outcome {
    Untried,
    Works(String),
    Fails(String),
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Expected {
    Status(u16),
    /// No HTTP at all.
    Refused,
    /// The program's own: this exit code.
    Exit(i32),
}

impl Trial {
    fn new(what: &'static str, expected: Expected, arguments: &[&str]) -> Self {
        let words: Vec<_> = arguments.iter().map(|argument| quoted(argument)).collect();
        Self {
            what,
            command: format!("curl {}", words.join(" ")),
            outcome: Outcome::Untried,
            arguments: arguments.iter().map(|argument| (*argument).to_owned()).collect(),
            expected,
        }
    }

    /// One of curl's; otherwise a command of the program itself.
    #[must_use]
    pub fn is_curl(&self) -> bool {
        !matches!(self.expected, Expected::Exit(_))
    }

    /// A command of the program itself.
    fn own(program: &Path, what: &'static str, code: i32, arguments: &[&str]) -> Self {
        let program = program.display().to_string();
        let words = std::iter::once(&*program).chain(arguments.iter().copied());
        let words: Vec<_> = words.map(str::to_owned).collect();
        let shown: Vec<_> = words.iter().map(|word| quoted(word)).collect();
        Self {
            what,
            command: shown.join(" "),
            outcome: Outcome::Untried,
            arguments: words,
            expected: Expected::Exit(code),
        }
    }

    /// Runs the line, if its program is there.
    #[must_use]
    pub fn tried(mut self) -> Self {
        self.outcome = match (self.expected, self.arguments.split_first()) {
            (Expected::Exit(code), Some((program, arguments))) => exits(program, arguments, code),
            _ => self.of_curl(),
        };
        self
    }

    fn of_curl(&self) -> Outcome {
        let quiet = [
            "--silent",
            "--output",
            "/dev/null",
            "--write-out",
            "%{http_code}",
            "--max-time",
            "20",
        ];
        let mut curl = Command::new("curl");
        // The user's own settings (a proxy, above all) are not what is tried here.
        curl.arg("--disable")
            .args(quiet)
            .args(["--noproxy", "*"])
            .args(&self.arguments);
        curl.stdin(Stdio::null());
        let Ok(output) = curl.output() else {
            return Outcome::Untried;
        };
        let status = String::from_utf8_lossy(&output.stdout)
            .parse::<u16>()
            .unwrap_or_default();
        match (self.expected, output.status.success(), status) {
            (Expected::Status(expected), true, found) if expected == found => Outcome::Works(found.to_string()),
            (Expected::Refused, false, 0) => Outcome::Works("refused".to_owned()),
            (expected, _, found) => {
                let code = output.status;
                Outcome::Fails(format!("expected {expected:?}, found status {found}, curl's {code}"))
            }
        }
    }
}

fn exits(program: &str, arguments: &[String], code: i32) -> Outcome {
    let ran = Command::new(program).args(arguments).stdin(Stdio::null()).output();
    match ran {
        Ok(output) if output.status.code() == Some(code) => Outcome::Works(format!("exit code {code}")),
        Ok(output) => {
            let said = String::from_utf8_lossy(&output.stderr).trim().to_owned();
            Outcome::Fails(format!("expected exit code {code}, found {}: {said}", output.status))
        }
        Err(error) => Outcome::Fails(error.to_string()),
    }
}

/// What there is to try on a scene.
#[must_use]
pub fn trials(scene: &Scene, program: &Path) -> Vec<Trial> {
    let stage = scene.stage();
    let file = |name: &str| scene.directory().join(name).display().to_string();
    let app = |path: &str| format!("http://{}{path}", stage.sidecar);
    let all = "/secure/offenders/nomsNumber/Z9001XA/all";
    let door = format!("https://{}{all}", stage.gateway);
    let root = file("trust/ca.crt");
    let mut trials = vec![
        Trial::new("tier and provider of a person", Expected::Status(200), &[&app(all)]),
        Trial::new(
            "a person whom Delius does not know",
            Expected::Status(404),
            &["--include", &app("/secure/offenders/nomsNumber/Z9009XJ/all")],
        ),
        Trial::new(
            "two people under one number",
            Expected::Status(409),
            &["--include", &app("/secure/offenders/nomsNumber/Z9010XK/all")],
        ),
        Trial::new(
            "a path that no route names",
            Expected::Status(421),
            &["--include", &app("/secure/documents")],
        ),
        Trial::new(
            "a write",
            Expected::Status(200),
            &[
                "--request",
                "PUT",
                "--header",
                "content-type: application/json",
                "--data",
                "{\"date\": \"2026-07-27\"}",
                &app("/secure/offenders/nomsNumber/Z9001XA/custody/keyDates/POM2"),
            ],
        ),
    ];
    let callers = [
        (
            "the gateway's door, with the app's own certificate",
            "identity",
            Expected::Status(200),
        ),
        (
            "the same, of the right CA with another name",
            "wrong-name",
            Expected::Status(403),
        ),
        ("the same, of another CA", "stranger", Expected::Refused),
    ];
    for (what, papers, expected) in callers {
        let certificate = file(&format!("{papers}/tls.crt"));
        let key = file(&format!("{papers}/tls.key"));
        let arguments = [
            "--include",
            "--cacert",
            &root,
            "--cert",
            &certificate,
            "--key",
            &key,
            &door,
        ];
        trials.push(Trial::new(what, expected, &arguments));
    }
    if let Some(observe) = scene.observe() {
        let metrics = format!("http://{observe}/metrics");
        trials.push(Trial::new("the sidecar's metrics", Expected::Status(200), &[&metrics]));
    }
    trials.extend(of_the_standard_side(scene));
    trials.extend(of_the_switch_over(scene, program));
    trials
}

/// Who stands at the end of the standard route, asked directly.
fn of_the_standard_side(scene: &Scene) -> Vec<Trial> {
    let side = scene.standard();
    let root = trust(scene.directory()).display().to_string();
    let api = |path: &str| format!("{}{path}", side.api.url());
    vec![
        Trial::new(
            "the standard route through the sidecar, which has a token",
            Expected::Status(200),
            &[&format!("http://{}/case-records/Z9001XA", scene.stage().sidecar)],
        ),
        Trial::new(
            "the same, asked directly, without a token",
            Expected::Status(401),
            &["--include", "--cacert", &root, &api("/case-records/Z9001XA")],
        ),
        Trial::new(
            "how often the standard route was asked, persons as hashes",
            Expected::Status(200),
            &["--cacert", &root, &api("/stand-in/requests")],
        ),
        Trial::new(
            "have the standard stand-in lie about a person's tier",
            Expected::Status(204),
            &[
                "--cacert",
                &root,
                "--request",
                "PUT",
                "--data",
                "{\"currentTier\": \"D-0\"}",
                &api("/stand-in/lie/case-records/Z9002XB"),
            ],
        ),
        Trial::new(
            "the truth again",
            Expected::Status(204),
            &["--cacert", &root, "--request", "DELETE", &api("/stand-in/lie")],
        ),
    ]
}

/// What an operator asks the sidecar, and tells it.
fn of_the_switch_over(scene: &Scene, program: &Path) -> Vec<Trial> {
    let socket = scene.sidecar_control().display().to_string();
    let config = scene.sidecar_config().display().to_string();
    let own = |what, code, words: &[&str], place: [&str; 2]| {
        let arguments: Vec<_> = ["route"].iter().chain(words).copied().chain(place).collect();
        Trial::own(program, what, code, &arguments)
    };
    let control = ["--control", &*socket];
    let set = |mode, reason| ["set", UNIT, "--mode", mode, "--reason", reason, "--for", "1h"];
    let explain = ["explain", "GET", "/secure/offenders/nomsNumber/Z9001XA/all"];
    vec![
        own("who answers, and why", 0, &["status"], control),
        own(
            "GO or NO-GO (exit code 0 or 1), and what is missing",
            1,
            &["report", UNIT],
            control,
        ),
        own(
            "what would happen to a request, leg by leg",
            0,
            &explain,
            ["--config", &config],
        ),
        own(
            "the standard route for everybody",
            0,
            &set("standard", "the lie is told no more"),
            control,
        ),
        own(
            "back to NDH, beside which the standard route is compared",
            0,
            &set("shadow", "look again"),
            control,
        ),
    ]
}

/// A word as a shell needs it.
fn quoted(word: &str) -> String {
    let plain = |c: char| c.is_ascii_alphanumeric() || "-_./:=%@+,".contains(c);
    if !word.is_empty() && word.chars().all(plain) {
        word.to_owned()
    } else {
        format!("'{}'", word.replace('\'', r"'\''"))
    }
}

#[cfg(test)]
mod tests {
    use super::super::delius::Data;
    use super::super::standin::{DeliusStandIn, Options};
    use super::*;

    #[test]
    fn words_survive_the_shell() {
        let words = ["plain-1.0", "two words", "it's", "{\"date\": 1}", "", "$HOME *"];
        let line: Vec<_> = words.iter().map(|word| quoted(word)).collect();
        let mut echoed = Command::new("sh");
        echoed.arg("-c").arg(format!("printf '%s\\n' {}", line.join(" ")));
        let output = echoed.output().unwrap();
        assert_eq!(String::from_utf8(output.stdout).unwrap(), words.join("\n") + "\n");
    }

    #[test]
    fn a_line_works_only_when_it_does_what_it_is_offered_for() {
        if Command::new("curl").arg("--version").output().is_err() {
            eprintln!("curl is not installed: what this test would have shown is NOT shown");
            return;
        }
        let running = DeliusStandIn::start(Options::new(Data::embedded().unwrap())).unwrap();
        let ping = format!("http://{}/health/ping", running.address());
        let tried = |expected, url: &str| Trial::new("", expected, &[url]).tried().outcome;
        assert_eq!(tried(Expected::Status(200), &ping), Outcome::Works("200".to_owned()));
        assert!(matches!(tried(Expected::Status(404), &ping), Outcome::Fails(_)));
        assert!(matches!(tried(Expected::Refused, &ping), Outcome::Fails(_)));
        let tls = ping.replace("http:", "https:");
        assert_eq!(tried(Expected::Refused, &tls), Outcome::Works("refused".to_owned()));
    }
}
