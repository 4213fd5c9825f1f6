//! `identity …`, `wait`, `shutdown`: what operators and Kubernetes hooks ask of a running process, through its control
//! socket.
//!
//! Nothing is read but the socket, and the configuration to find it: what the process says is what is shown. Exit codes:
//! 0 done, 1 refused, failed, or not in time, 2 usage, or no control socket is configured.

pub(super) mod place;
mod status;

use std::io::{self, Write as _};
use std::path::{Path, PathBuf};
use std::process::ExitCode;
use std::thread;
use std::time::Duration;

use clap::{Args, Subcommand};
use serde_json::{Value, json};

use super::output::Format;
use super::span::duration;
use crate::clock;
use crate::control::client::{self, Answer, AskError};
use crate::identity::status::{Lineage, Report};

use place::Place;

/// For an answer that takes no work.
pub(super) const SOON: Duration = Duration::from_secs(10);
/// For one that may wait for a trial: longer than the process itself waits.
const LATE: Duration = Duration::from_secs(70);
/// Between two looks.
const POLL: Duration = Duration::from_millis(100);

/// Ask the running sidecar about its certificates, and tell it which to use.
#[derive(Debug, Subcommand)]
pub enum IdentityCommand {
    /// What is in use, what comes next, what was refused and why.
    #[command(after_help = "Examples:\n  delius-sidecar identity status\n  \
                            delius-sidecar identity status --identity allocation-manager --output json")]
    Status(StatusArgs),
    /// Look for new certificate files now, instead of when they are noticed.
    #[command(after_help = "Example: delius-sidecar identity stage --identity allocation-manager")]
    Stage(ChangeArgs),
    /// Use the certificate that passed its trial and waits.
    #[command(after_help = "Example: delius-sidecar identity promote --upstream ndh")]
    Promote(ChangeArgs),
    /// Go back to the certificate that was in use before.
    #[command(after_help = "Example:\n  \
                            delius-sidecar identity rollback --upstream ndh --reason \"NDH refuses the new one for /all\"")]
    Rollback(RollbackArgs),
}

/// Which certificates are meant.
#[derive(Args, Clone, Debug, Default)]
pub struct Selection {
    /// Only this identity, by its name in the configuration.
    #[arg(long, value_name = "NAME")]
    identity: Option<String>,
    /// Only towards this upstream.
    #[arg(long, value_name = "NAME")]
    upstream: Option<String>,
}

#[derive(Args, Debug)]
pub struct StatusArgs {
    #[command(flatten)]
    selection: Selection,
    #[command(flatten)]
    place: Place,
    /// How the result is printed.
    #[arg(long, value_enum, default_value_t = Format::Text)]
    output: Format,
}

#[derive(Args, Debug)]
pub struct ChangeArgs {
    #[command(flatten)]
    selection: Selection,
    /// Why, for the audit line.
    #[arg(long, value_name = "TEXT")]
    reason: Option<String>,
    #[command(flatten)]
    place: Place,
    /// How the result is printed.
    #[arg(long, value_enum, default_value_t = Format::Text)]
    output: Format,
}

#[derive(Args, Debug)]
pub struct RollbackArgs {
    #[command(flatten)]
    selection: Selection,
    /// Why, for the audit line and the receipt.
    #[arg(long, value_name = "TEXT")]
    reason: String,
    #[command(flatten)]
    place: Place,
    /// How the result is printed.
    #[arg(long, value_enum, default_value_t = Format::Text)]
    output: Format,
}

/// Wait until the sidecar is ready: for a hook, in an image without a shell.
#[derive(Args, Debug)]
#[command(after_help = "Example: delius-sidecar wait --max 60s\n\n\
                        Exit codes: 0 ready, 1 not in time (and what is still waited for), 2 usage or configuration.")]
pub struct WaitArgs {
    /// The longest time to wait.
    #[arg(long, value_name = "DURATION", default_value = "60s", value_parser = duration)]
    max: Duration,
    #[command(flatten)]
    place: Place,
}

/// Have the sidecar drain and end, and wait until it has: for a preStop hook, in an image without a shell.
#[derive(Args, Debug)]
#[command(after_help = "Example: delius-sidecar shutdown --max 30s\n\n\
                        Exit codes: 0 it has ended, 1 it has not, or was not running, 2 usage or configuration.")]
pub struct ShutdownArgs {
    /// The longest time to wait for its end.
    #[arg(long, value_name = "DURATION", default_value = "60s", value_parser = duration)]
    max: Duration,
    #[command(flatten)]
    place: Place,
}

/// Runs an `identity` command.
#[must_use]
pub fn identity(command: IdentityCommand) -> ExitCode {
    match command {
        IdentityCommand::Status(args) => with(&args.place, |socket| show_status(socket, &args)),
        IdentityCommand::Stage(args) => with(&args.place, |socket| {
            let ChangeArgs { selection, reason, .. } = &args;
            change(socket, "stage", selection, reason.as_deref(), args.output)
        }),
        IdentityCommand::Promote(args) => with(&args.place, |socket| {
            let ChangeArgs { selection, reason, .. } = &args;
            change(socket, "promote", selection, reason.as_deref(), args.output)
        }),
        IdentityCommand::Rollback(args) => with(&args.place, |socket| {
            change(socket, "rollback", &args.selection, Some(&args.reason), args.output)
        }),
    }
}

fn with(place: &Place, run: impl FnOnce(&Path) -> Result<(), Failure>) -> ExitCode {
    with_code(place, |socket| run(socket).map(|()| ExitCode::SUCCESS))
}

/// Finds the socket, then runs what needs it and says how to end.
pub(super) fn with_code(place: &Place, run: impl FnOnce(&Path) -> Result<ExitCode, Failure>) -> ExitCode {
    let socket = match place.socket() {
        Ok(socket) => socket,
        Err(sentence) => {
            let _ = writeln!(io::stderr(), "{}", printable(&sentence));
            return ExitCode::from(2);
        }
    };
    match run(&socket) {
        Ok(code) => code,
        Err(failure) => {
            let _ = writeln!(io::stderr(), "error: {}", printable(&failure.to_string()));
            ExitCode::from(if matches!(failure, Failure::Usage(_)) { 2 } else { 1 })
        }
    }
}

/// What ends a command with 1, or with 2 where other arguments would have helped.
#[derive(Debug, thiserror::Error)]
pub(super) enum Failure {
    #[error(transparent)]
    Unreachable(#[from] AskError),
    #[error("{0}")]
    Refused(String),
    #[error("{0}")]
    Usage(String),
    #[error("what came back on {} is not what this version knows: ask with the binary of the same version", .0.display())]
    Strange(PathBuf),
    #[error("the sidecar is not ready after {max:?}: {seen}")]
    NotReady { max: Duration, seen: String },
    #[error(
        "the sidecar was told to shut down and has not ended after {0:?}; `drain.deadline` in its configuration bounds \
         the drain"
    )]
    NotEnded(Duration),
    #[error("printing failed: {0}")]
    Print(#[from] io::Error),
}

fn show_status(socket: &Path, args: &StatusArgs) -> Result<(), Failure> {
    let answer = said(client::ask(socket, "GET", "/identity", None, SOON), args.output)?;
    let mut report: Report = serde_json::from_value(answer).map_err(|_| Failure::Strange(socket.to_owned()))?;
    let known = names(&report);
    let Selection { identity, upstream } = &args.selection;
    let meant = |wanted: &Option<String>, name: &String| wanted.as_ref().is_none_or(|wanted| wanted == name);
    report
        .lineages
        .retain(|lineage| meant(identity, &lineage.identity) && meant(upstream, side(lineage)));
    if report.lineages.is_empty() && (identity.is_some() || upstream.is_some()) {
        return Err(Failure::Refused(format!(
            "no such certificate is managed; there are: {known}"
        )));
    }
    let mut out = io::stdout().lock();
    match args.output {
        Format::Json => {
            let report = serde_json::to_value(&report).map_err(io::Error::from)?;
            writeln!(out, "{report:#}")?;
        }
        Format::Text => write!(out, "{}", printable(&status::text(&report, clock::unix_seconds())))?,
    }
    Ok(())
}

/// The gateway's own has no upstream; there its name stands for it.
fn side(lineage: &Lineage) -> &String {
    if lineage.upstream.is_empty() {
        &lineage.identity
    } else {
        &lineage.upstream
    }
}

fn names(report: &Report) -> String {
    let one = |lineage: &Lineage| match lineage.upstream.as_str() {
        "" => lineage.identity.clone(),
        upstream => format!("{} towards {upstream}", lineage.identity),
    };
    let all: Vec<String> = report.lineages.iter().map(one).collect();
    if all.is_empty() {
        "none".to_owned()
    } else {
        all.join(", ")
    }
}

fn change(
    socket: &Path,
    command: &str,
    selection: &Selection,
    reason: Option<&str>,
    output: Format,
) -> Result<(), Failure> {
    let mut body = json!({});
    let given = [
        ("identity", selection.identity.as_deref()),
        ("upstream", selection.upstream.as_deref()),
        ("reason", reason),
    ];
    for (key, value) in given {
        if let Some(value) = value {
            body[key] = Value::from(value);
        }
    }
    let target = format!("/identity/{command}");
    let answer = said(client::ask(socket, "POST", &target, Some(&body), LATE), output)?;
    let mut out = io::stdout().lock();
    match (output, answer["done"].as_str()) {
        (Format::Json, _) => writeln!(out, "{answer:#}")?,
        (Format::Text, Some(sentence)) => writeln!(out, "{}", printable(sentence))?,
        (Format::Text, None) => return Err(Failure::Strange(socket.to_owned())),
    }
    Ok(())
}

/// The body of an answer that agrees; a failure as JSON on standard output as well, where JSON was wanted.
pub(super) fn said(asked: Result<Answer, AskError>, output: Format) -> Result<Value, Failure> {
    let (failure, body) = match asked {
        Ok(answer) if answer.status == 200 => return Ok(answer.body),
        Ok(answer) => (Failure::Refused(detail(&answer)), answer.body),
        Err(error) => {
            let body = json!({ "code": "unreachable", "detail": error.to_string() });
            (error.into(), body)
        }
    };
    if output == Format::Json {
        writeln!(io::stdout(), "{body:#}")?;
    }
    Err(failure)
}

fn detail(answer: &Answer) -> String {
    match (answer.body["detail"].as_str(), answer.body["code"].as_str()) {
        (Some(detail), Some(code)) => format!("{detail} ({code})"),
        _ => format!("the answer was {}", answer.status),
    }
}

/// Runs `wait`.
#[must_use]
pub fn wait(args: &WaitArgs) -> ExitCode {
    with(&args.place, |socket| {
        let end = clock::monotonic() + args.max;
        loop {
            let left = end.saturating_sub(clock::monotonic()).clamp(POLL, SOON);
            let seen = match client::ask(socket, "GET", "/ready", None, left) {
                Ok(answer) if answer.status == 200 => return Ok(()),
                Ok(answer) => pending(&answer),
                // Waiting does not help.
                Err(error @ (AskError::Denied(_) | AskError::Foreign { .. })) => return Err(error.into()),
                Err(error) => error.to_string(),
            };
            if clock::monotonic() >= end {
                return Err(Failure::NotReady { max: args.max, seen });
            }
            thread::sleep(POLL);
        }
    })
}

fn pending(answer: &Answer) -> String {
    let Some(conditions) = answer.body["pending"].as_array() else {
        return detail(answer);
    };
    let one = |condition: &Value| {
        let text = |key: &str| condition[key].as_str().unwrap_or("?").to_owned();
        format!("{}: {}", text("name"), text("reason"))
    };
    let all: Vec<String> = conditions.iter().map(one).collect();
    all.join("; ")
}

/// Runs `shutdown`.
#[must_use]
pub fn shutdown(args: &ShutdownArgs) -> ExitCode {
    with(&args.place, |socket| {
        let end = clock::monotonic() + args.max;
        match client::ask(socket, "POST", "/shutdown", None, SOON.min(args.max.max(POLL))) {
            Ok(answer) if answer.status == 200 => {}
            // It was told already.
            Ok(answer) if answer.body["code"] == "shutting_down" => {}
            Ok(answer) => return Err(Failure::Refused(detail(&answer))),
            Err(error) => return Err(error.into()),
        }
        loop {
            // While it drains it may answer, or be too busy to: only an absent one has ended.
            match client::ask(socket, "GET", "/ready", None, POLL * 5) {
                Err(error) if error.is_absent() => return Ok(()),
                _ if clock::monotonic() >= end => return Err(Failure::NotEnded(args.max)),
                _ => thread::sleep(POLL),
            }
        }
    })
}

/// What a certificate or a process says may hold what a terminal would obey.
pub(super) fn printable(text: &str) -> String {
    text.chars()
        .map(|c| if c.is_control() && c != '\n' { '\u{fffd}' } else { c })
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_waited_for_is_said_by_name() {
        let body =
            json!({ "ready": false, "pending": [{ "name": "identity:am", "reason": "no file" }, { "name": "x" }] });
        let said = pending(&Answer { status: 503, body });
        assert_eq!(said, "identity:am: no file; x: ?");
        let leaving = json!({ "code": "shutting_down", "detail": "it goes" });
        let said = pending(&Answer {
            status: 503,
            body: leaving,
        });
        assert_eq!(said, "it goes (shutting_down)");
    }

    #[test]
    fn a_terminal_is_given_nothing_to_obey() {
        assert_eq!(
            printable("CN=\u{1b}[2Jx\u{9b}\r\ny\n"),
            "CN=\u{fffd}[2Jx\u{fffd}\u{fffd}\ny\n"
        );
    }
}
