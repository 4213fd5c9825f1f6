//! The curl lines that `demo --serve` offers, each tried before it is offered.
//!
//! A line is kept as arguments and shown as a shell would read it, so what was tried and what is printed are the same
//! thing. Where curl is not installed the lines are offered untried, and say so.

use std::process::{Command, Stdio};

use serde::Serialize;

use super::scene::Scene;

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

    /// Runs the line, if curl is there.
    #[must_use]
    pub fn tried(mut self) -> Self {
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
            return self;
        };
        let status = String::from_utf8_lossy(&output.stdout)
            .parse::<u16>()
            .unwrap_or_default();
        self.outcome = match (self.expected, output.status.success(), status) {
            (Expected::Status(expected), true, found) if expected == found => Outcome::Works(found.to_string()),
            (Expected::Refused, false, 0) => Outcome::Works("refused".to_owned()),
            (expected, _, found) => {
                let code = output.status;
                Outcome::Fails(format!("expected {expected:?}, found status {found}, curl's {code}"))
            }
        };
        self
    }
}

/// What there is to try on a scene.
#[must_use]
pub fn trials(scene: &Scene) -> Vec<Trial> {
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
    trials
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
