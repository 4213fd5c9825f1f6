//! The real `doctor`, and what it said.

use std::path::Path;
use std::process::{Command, Stdio};

use serde_json::Value;

/// The doctor on this configuration, still to be told what to print.
pub(crate) fn command(config: &Path) -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_delius-sidecar"));
    command.args(["doctor", "--config"]).arg(config).stdin(Stdio::null());
    command
}

/// What the doctor said.
pub(crate) struct Said {
    pub(crate) code: Option<i32>,
    pub(crate) report: Value,
    /// On both outputs.
    pub(crate) printed: String,
    /// Looked at are all lines of a check that are about a token, or about an upstream with one; else its first line.
    of_tokens: bool,
}

impl Said {
    pub(crate) fn of(config: &Path, arguments: &[&str]) -> Self {
        let output = command(config).args(["--output", "json"]).args(arguments).output();
        let output = output.expect("start the binary");
        let said = String::from_utf8_lossy(&output.stdout);
        let printed = format!("{said}{}", String::from_utf8_lossy(&output.stderr));
        let report = serde_json::from_str(&said);
        Self {
            code: output.status.code(),
            report: report.unwrap_or_else(|_| panic!("no JSON of {}: {printed}", config.display())),
            printed,
            of_tokens: false,
        }
    }

    pub(crate) fn of_tokens(config: &Path, arguments: &[&str]) -> Self {
        Self {
            of_tokens: true,
            ..Self::of(config, arguments)
        }
    }

    /// What is said of this check, all words in one.
    pub(crate) fn line(&self, check: &str) -> String {
        let checks = self.report["checks"].as_array().map(Vec::as_slice).unwrap_or_default();
        let with_token = |line: &Value| !line["token"].is_null() || line["routes"] == true;
        let of_check = checks
            .iter()
            .filter(|line| line["check"] == check && (!self.of_tokens || with_token(line)));
        let lines = of_check.take(if self.of_tokens { checks.len() } else { 1 });
        let words =
            lines.flat_map(|line| ["state", "found", "expected", "todo"].map(|key| line[key].as_str().unwrap_or("")));
        match words.collect::<Vec<_>>().join(" | ") {
            none if none.is_empty() => format!("no line {check}: {:#}", self.report),
            said => said,
        }
    }

    pub(crate) fn verdict(&self) -> &str {
        self.report["verdict"].as_str().unwrap_or_default()
    }

    #[track_caller]
    pub(crate) fn has(&self, check: &str, words: &[&str]) {
        let line = self.line(check);
        for word in words {
            assert!(
                line.contains(word),
                "{check}: {word:?} is not in: {line}\n{:#}",
                self.report
            );
        }
    }

    /// This check failed, is the first that did, and the verdict says so.
    #[track_caller]
    pub(crate) fn fails(&self, check: &str, words: &[&str]) {
        self.has(check, &["failed"]);
        self.has(check, words);
        assert_eq!(self.code, Some(1), "{:#}", self.report);
        assert!(
            self.verdict().starts_with("the path does not work"),
            "{}",
            self.verdict()
        );
        assert!(
            self.verdict().contains(words[0]),
            "{:?} is not in: {}",
            words[0],
            self.verdict()
        );
    }

    #[track_caller]
    pub(crate) fn is_well(&self) {
        assert_eq!(self.code, Some(0), "{:#}", self.report);
        assert!(self.verdict().starts_with("the path works"), "{}", self.verdict());
    }
}
