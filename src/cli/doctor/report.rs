//! What the doctor found, line by line, and the one verdict over all of it.
//!
//! Every line says what was found; one that is not `ok` says too what was expected and what to do. The verdict names
//! the first cause: lines are kept in the order in which things can go wrong, and what follows from an earlier fault is
//! skipped and not failed.

use std::io::{self, Write as _};

use anstream::AutoStream;
use serde_json::{Value, json};

/// What a line is about.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Subject {
    Process,
    Identity(String),
    Upstream(String),
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum State {
    Skipped,
    Ok,
    Warning,
    Failed,
}

/// One check.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Line {
    pub(super) check: &'static str,
    pub(super) subject: Subject,
    pub(super) state: State,
    pub(super) found: String,
    pub(super) expected: String,
    pub(super) todo: String,
}

/// The checks of one subject, in order.
#[derive(Debug)]
pub(super) struct Lines {
    subject: Subject,
    list: Vec<Line>,
}

impl Lines {
    pub(super) fn about(subject: Subject) -> Self {
        let list = Vec::new();
        Self { subject, list }
    }

    pub(super) fn ok(&mut self, check: &'static str, found: impl Into<String>) {
        self.add(check, State::Ok, found, "", "");
    }

    pub(super) fn skip(&mut self, check: &'static str, because: impl Into<String>) {
        self.add(check, State::Skipped, because, "", "");
    }

    pub(super) fn warn(
        &mut self,
        check: &'static str,
        found: impl Into<String>,
        expected: impl Into<String>,
        todo: impl Into<String>,
    ) {
        self.add(check, State::Warning, found, expected, todo);
    }

    pub(super) fn fail(
        &mut self,
        check: &'static str,
        found: impl Into<String>,
        expected: impl Into<String>,
        todo: impl Into<String>,
    ) {
        self.add(check, State::Failed, found, expected, todo);
    }

    fn add(
        &mut self,
        check: &'static str,
        state: State,
        found: impl Into<String>,
        expected: impl Into<String>,
        todo: impl Into<String>,
    ) {
        self.list.push(Line {
            check,
            subject: self.subject.clone(),
            state,
            found: found.into(),
            expected: expected.into(),
            todo: todo.into(),
        });
    }

    pub(super) fn into_list(self) -> Vec<Line> {
        self.list
    }
}

impl State {
    const fn as_str(self) -> &'static str {
        match self {
            Self::Ok => "ok",
            Self::Warning => "warning",
            Self::Failed => "FAILED",
            Self::Skipped => "skipped",
        }
    }

    /// Taken off again where the output is not a terminal.
    const fn colour(self) -> &'static str {
        match self {
            Self::Ok => "\x1b[32m",
            Self::Warning => "\x1b[33m",
            Self::Failed => "\x1b[1;31m",
            Self::Skipped => "\x1b[2m",
        }
    }
}

impl Subject {
    fn title(&self) -> String {
        match self {
            Self::Process => String::from("this machine"),
            Self::Identity(name) => format!("identity {name}"),
            Self::Upstream(name) => format!("upstream {name}"),
        }
    }
}

/// Whether anything failed.
pub(super) fn failed(lines: &[Line]) -> bool {
    lines.iter().any(|line| line.state == State::Failed)
}

/// The one sentence.
pub(super) fn verdict(lines: &[Line]) -> String {
    let cause = |line: &Line| {
        let title = line.subject.title();
        if line.todo.is_empty() {
            format!("{title}: {}", line.found)
        } else {
            format!("{title}: {}. To do: {}", line.found, line.todo)
        }
    };
    let of = |state| lines.iter().filter(move |line| line.state == state);
    if let Some(first) = of(State::Failed).next() {
        let more = match of(State::Failed).count() - 1 {
            0 => String::new(),
            1 => String::from(" (and 1 more failure, which may follow from it)"),
            more => format!(" (and {more} more failures, which may follow from it)"),
        };
        return format!("the path does not work. {}{more}", cause(first));
    }
    match (of(State::Warning).next(), of(State::Warning).count()) {
        (Some(first), count) => format!("the path works, with {count} to look at. {}", cause(first)),
        (None, _) => String::from("the path works, from the files here to the answer over there"),
    }
}

pub(super) fn json(lines: &[Line], verdict: &str) -> Value {
    let line = |line: &Line| {
        let (identity, upstream) = match &line.subject {
            Subject::Process => (None, None),
            Subject::Identity(name) => (Some(name), None),
            Subject::Upstream(name) => (None, Some(name)),
        };
        json!({
            "check": line.check,
            "identity": identity,
            "upstream": upstream,
            "state": line.state.as_str().to_ascii_lowercase(),
            "found": line.found,
            "expected": line.expected,
            "todo": line.todo,
        })
    };
    json!({
        "verdict": verdict,
        "well": !failed(lines),
        "checks": lines.iter().map(line).collect::<Vec<_>>(),
    })
}

pub(super) fn print(lines: &[Line], verdict: &str) -> io::Result<()> {
    let mut out = AutoStream::auto(io::stdout().lock());
    let mut before = None;
    for line in lines {
        if before != Some(&line.subject) {
            let gap = if before.is_some() { "\n" } else { "" };
            writeln!(out, "{gap}\x1b[1m{}\x1b[0m", line.subject.title())?;
            before = Some(&line.subject);
        }
        let (colour, state) = (line.state.colour(), line.state.as_str());
        writeln!(out, "  {colour}{state:<8}\x1b[0m {:<20} {}", line.check, line.found)?;
        for (what, text) in [("expected", &line.expected), ("to do", &line.todo)] {
            if !text.is_empty() {
                writeln!(out, "{:>31} {what}: {text}", "")?;
            }
        }
    }
    let colour = if failed(lines) { State::Failed } else { State::Ok }.colour();
    writeln!(out, "\n{colour}verdict:\x1b[0m {verdict}")
}

#[cfg(test)]
mod tests {
    use super::*;

    fn lines() -> Vec<Line> {
        let mut lines = Lines::about(Subject::Upstream("ndh".to_owned()));
        lines.ok("tcp", "connected");
        lines.warn("dates", "ends soon", "a month", "renew it");
        lines.fail("server name", "wrong name", "ndh.example", "correct `url`");
        lines.fail("request", "no answer", "an answer", "look");
        lines.skip("clock", "no reply");
        lines.into_list()
    }

    #[test]
    fn the_verdict_names_the_first_failure_and_what_to_do() {
        let said = verdict(&lines());
        assert!(
            said.contains("upstream ndh: wrong name. To do: correct `url` (and 1 more"),
            "{said}"
        );
    }

    #[test]
    fn warnings_are_told_and_are_no_failure() {
        let lines: Vec<Line> = lines().into_iter().filter(|line| line.state != State::Failed).collect();
        assert!(!failed(&lines));
        assert!(verdict(&lines).contains("works, with 1 to look at. upstream ndh: ends soon"));
        assert!(verdict(&lines[..1]).starts_with("the path works"));
    }

    #[test]
    fn the_json_form_has_every_line_with_its_subject() {
        let shown = json(&lines(), "no");
        assert_eq!(shown["checks"].as_array().map(Vec::len), Some(5));
        assert_eq!(
            (&shown["checks"][2]["state"], &shown["well"]),
            (&json!("failed"), &json!(false))
        );
        assert_eq!(shown["checks"][2]["upstream"], json!("ndh"));
    }
}
