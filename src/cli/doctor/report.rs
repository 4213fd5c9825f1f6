//! What the doctor found, line by line, and the one verdict over all of it.
//!
//! Every line says what was found; one that is not `ok` says too what was expected and what to do. The verdict names
//! the first cause: lines are kept in the order in which things can go wrong, and what follows from an earlier fault is
//! skipped and not failed.

use std::fmt::Write as _;

use serde_json::{Value, json};

use crate::cli::output::{Show, Tone, paint};
use crate::telemetry::mask::masked;

/// What a line is about.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum Subject {
    Process,
    Identity(String),
    /// The next certificate of an identity, where one is staged.
    Staged(String),
    Upstream(String),
    /// A `[token.NAME]`.
    Token(String),
    /// An upstream that is asked with a token.
    Leg(String, String),
    /// What answers which routes.
    Routes,
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
    /// It failed, and breaks nothing that is in use.
    softened: bool,
}

/// Of warnings, from the lightest.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
enum Gravity {
    /// Who may read a file, or the way: it works all the same.
    Custody,
    Usual,
    /// Nothing says that the token will be taken, or something says that it will not.
    Unproven,
    /// It does not work, and nothing needs it yet.
    Broken,
}

/// Everything that was found.
#[derive(Debug)]
pub(super) struct Report {
    pub(super) lines: Vec<Line>,
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
            found: masked(found.into()),
            expected: masked(expected.into()),
            todo: masked(todo.into()),
            softened: false,
        });
    }

    /// What failed here does not break the path: it is worth a warning.
    pub(super) fn soften(&mut self) {
        for line in self.list.iter_mut().filter(|line| line.state == State::Failed) {
            line.state = State::Warning;
            line.softened = true;
        }
    }

    /// The same where nothing is asked of this yet.
    pub(super) fn not_in_use(&mut self) {
        for line in self.list.iter_mut().filter(|line| line.state == State::Failed) {
            line.found
                .push_str(" (not in use yet: every unit that needs it is in mode \"ndh\", or no route names it)");
        }
        self.soften();
    }

    pub(super) const fn subject(&self) -> &Subject {
        &self.subject
    }

    pub(super) fn failed(&self) -> bool {
        self.list.iter().any(|line| line.state == State::Failed)
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

    const fn tone(self) -> Tone {
        match self {
            Self::Ok => Tone::Good,
            Self::Warning => Tone::Warning,
            Self::Failed => Tone::Bad,
            Self::Skipped => Tone::Quiet,
        }
    }
}

impl Subject {
    fn title(&self) -> String {
        match self {
            Self::Process => String::from("this machine"),
            Self::Identity(name) => format!("identity {name}"),
            Self::Staged(name) => format!("identity {name}, staged"),
            Self::Upstream(name) => format!("upstream {name}"),
            Self::Token(name) => format!("token {name}"),
            Self::Leg(upstream, token) => format!("upstream {upstream} with token {token}"),
            Self::Routes => String::from("routes"),
        }
    }
}

impl Report {
    /// Whether anything failed.
    pub(super) fn failed(&self) -> bool {
        self.lines.iter().any(|line| line.state == State::Failed)
    }

    /// The one sentence.
    pub(super) fn verdict(&self) -> String {
        let of = |state| self.lines.iter().filter(move |line| line.state == state);
        if let Some(first) = of(State::Failed).next() {
            let more = match of(State::Failed).count() - 1 {
                0 => String::new(),
                1 => String::from(" (and 1 more failure, which may follow from it)"),
                more => format!(" (and {more} more failures, which may follow from it)"),
            };
            return format!("the path does not work. {}{more}", first.cause());
        }
        let count = of(State::Warning).count();
        // Of equal ones the first.
        match of(State::Warning).min_by_key(|line| std::cmp::Reverse(line.gravity())) {
            Some(worst) => format!("the path works, with {count} to look at. {}", worst.cause()),
            None => String::from("the path works, from the files here to the answer over there"),
        }
    }
}

impl Line {
    /// Of a warning: how near it is to a path that does not work.
    fn gravity(&self) -> Gravity {
        let of_token = matches!(self.subject, Subject::Token(_) | Subject::Leg(..));
        match self.check {
            _ if self.softened => Gravity::Broken,
            "token roles" | "token client" | "token dates" => Gravity::Unproven,
            "request" if of_token => Gravity::Unproven,
            "key file" | "password file" | "client id file" | "client secret file" | "user file" | "mount" | "tls" => {
                Gravity::Custody
            }
            _ => Gravity::Usual,
        }
    }

    fn cause(&self) -> String {
        let title = self.subject.title();
        if self.todo.is_empty() {
            format!("{title}: {}", self.found)
        } else {
            format!("{title}: {}. To do: {}", self.found, self.todo)
        }
    }

    fn json(&self) -> Value {
        let (identity, upstream, token) = match &self.subject {
            Subject::Process | Subject::Routes => (None, None, None),
            Subject::Identity(name) | Subject::Staged(name) => (Some(name), None, None),
            Subject::Upstream(name) => (None, Some(name), None),
            Subject::Token(name) => (None, None, Some(name)),
            Subject::Leg(upstream, token) => (None, Some(upstream), Some(token)),
        };
        json!({
            "check": self.check,
            "identity": identity,
            "upstream": upstream,
            "token": token,
            "routes": matches!(self.subject, Subject::Routes),
            "staged": matches!(self.subject, Subject::Staged(_)),
            "state": self.state.as_str().to_ascii_lowercase(),
            "found": self.found,
            "expected": self.expected,
            "todo": self.todo,
        })
    }
}

impl Show for Report {
    fn text(&self) -> String {
        let mut out = String::new();
        let mut before = None;
        // Writing to a String cannot fail.
        for line in &self.lines {
            if before != Some(&line.subject) {
                let gap = if before.is_some() { "\n" } else { "" };
                let _ = writeln!(out, "{gap}{}", paint(Tone::Heading, &line.subject.title()));
                before = Some(&line.subject);
            }
            let state = paint(line.state.tone(), &format!("{:<8}", line.state.as_str()));
            let _ = writeln!(out, "  {state} {:<20} {}", line.check, line.found);
            for (what, text) in [("expected", &line.expected), ("to do", &line.todo)] {
                if !text.is_empty() {
                    let _ = writeln!(out, "{:>31} {what}: {text}", "");
                }
            }
        }
        let tone = if self.failed() { Tone::Bad } else { Tone::Good };
        let _ = writeln!(out, "\n{} {}", paint(tone, "verdict:"), self.verdict());
        out
    }

    fn json(&self) -> Value {
        json!({
            "verdict": self.verdict(),
            "well": !self.failed(),
            "checks": self.lines.iter().map(Line::json).collect::<Vec<_>>(),
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn report() -> Report {
        let mut lines = Lines::about(Subject::Upstream("ndh".to_owned()));
        lines.ok("tcp", "connected");
        lines.warn("dates", "ends soon", "a month", "renew it");
        lines.fail("server name", "wrong name", "ndh.example", "correct `url`");
        lines.fail("request", "no answer", "an answer", "look");
        lines.skip("clock", "no reply");
        let lines = lines.into_list();
        Report { lines }
    }

    #[test]
    fn the_verdict_names_the_first_failure_and_what_to_do() {
        let said = report().verdict();
        assert!(
            said.contains("upstream ndh: wrong name. To do: correct `url` (and 1 more"),
            "{said}"
        );
    }

    #[test]
    fn warnings_are_told_and_are_no_failure() {
        let mut report = report();
        report.lines.retain(|line| line.state != State::Failed);
        assert!(!report.failed());
        assert!(
            report
                .verdict()
                .contains("works, with 1 to look at. upstream ndh: ends soon")
        );
        report.lines.truncate(1);
        assert!(report.verdict().starts_with("the path works, from"));
    }

    #[test]
    fn of_warnings_the_verdict_names_the_worst() {
        let mut lines = Lines::about(Subject::Token("t".to_owned()));
        lines.warn("client secret file", "everybody may read it", "0400", "defaultMode");
        lines.warn("tls", "in the clear", "TLS", "https");
        lines.warn("token life", "short", "long", "shorten");
        lines.warn("token roles", "none", "the role", "have it given");
        lines.warn("token dates", "odd", "now", "clocks");
        let mut list = lines.into_list();
        let said = |list: &[Line]| Report { lines: list.to_vec() }.verdict();
        assert!(
            said(&list).contains("with 5 to look at. token t: none"),
            "{}",
            said(&list)
        );
        let mut lines = Lines::about(Subject::Upstream("ndh".to_owned()));
        lines.fail("tcp", "refused", "a connection", "start it");
        lines.not_in_use();
        list.extend(lines.into_list());
        assert!(said(&list).contains("upstream ndh: refused"), "{}", said(&list));
        list.truncate(2);
        assert!(said(&list).contains("token t: everybody"), "{}", said(&list));
    }

    #[test]
    fn the_json_form_has_every_line_with_its_subject() {
        let shown = report().json();
        assert_eq!(shown["checks"].as_array().map(Vec::len), Some(5));
        assert_eq!(
            (&shown["checks"][2]["state"], &shown["well"]),
            (&json!("failed"), &json!(false))
        );
        assert_eq!(shown["checks"][2]["upstream"], json!("ndh"));
    }
}
