//! `route …`: who answers, with what evidence, and an operator's say in it, through the control socket.
//!
//! What the process says is what is shown; only `explain` reads the configuration as well. Exit codes: 0 done, or GO;
//! 1 refused, failed, or NO-GO; 2 usage, what is looked at is no unit, or no control socket is configured.

mod explain;
mod report;
mod status;

use std::io::{self, Write as _};
use std::path::Path;
use std::process::ExitCode;

use clap::{Args, Subcommand};
use serde_json::{Value, json};

use super::operate::place::Place;
use super::operate::{Failure, SOON, printable, said, with_code};
use super::output::{self, Format, Show};
use super::span;
use crate::clock;
use crate::control::client;
use crate::switch::report::{Report, Unit};
use crate::switch::{Mode, parse_share};

/// Who answers each route, why, and whether the next step of the switch-over may be taken.
#[derive(Debug, Subcommand)]
pub enum RouteCommand {
    /// Who answers now: mode, share, override, roll-back, evidence in a line.
    #[command(after_help = "Examples:\n  delius-sidecar route status\n  \
                            delius-sidecar route status person --output json")]
    Status(StatusArgs),
    /// Put a unit into another mode for a while, whatever the configuration says.
    #[command(after_help = "Examples:\n  \
                      delius-sidecar route set person --mode ndh --reason \"wrong tiers\" --for 8h\n  \
                      delius-sidecar route set person --mode canary --share 5% --reason \"first persons\" --for 2h\n\n\
                      The configuration is the wish for all pods; this is for one, and ends by itself. After a roll-back,\n\
                      canary and standard take a reason that is new.")]
    Set(SetArgs),
    /// End override and roll-back: the configured mode rules again, at once.
    #[command(
        after_help = "Examples:\n  delius-sidecar route reset person --reason \"the mapping is repaired\"\n  \
                            delius-sidecar route reset person --reason \"a new mapping\" --evidence"
    )]
    Reset(ResetArgs),
    /// GO or NO-GO for the next step, and exactly what is missing.
    #[command(
        after_help = "Examples:\n  delius-sidecar route report\n  delius-sidecar route report person --output json\n\n\
                      Exit codes: 0 GO for every unit shown, 1 NO-GO, refused or failed, 2 no such UNIT, usage or\n\
                      configuration.\n\
                      Without UNIT, what has no standard leg at all is shown and does not count."
    )]
    Report(ReportArgs),
    /// What would happen to a request, leg by leg. The person in the path is used and not printed.
    #[command(after_help = "Examples:\n  \
                      delius-sidecar route explain GET /secure/offenders/nomsNumber/A1234BC/all\n  \
                      delius-sidecar route explain GET /file --config config/production.toml --output json\n\n\
                      The mode is that of the running sidecar if one answers, else the configured one.")]
    Explain(ExplainArgs),
}

#[derive(Args, Debug)]
pub struct StatusArgs {
    /// Only this group or route, by its name in the configuration.
    #[arg(value_name = "UNIT")]
    unit: Option<String>,
    #[command(flatten)]
    place: Place,
    /// How the result is printed.
    #[arg(long, value_enum, default_value_t = Format::Text)]
    output: Format,
}

#[derive(Args, Debug)]
pub struct ReportArgs {
    /// Only this group or route, by its name in the configuration.
    #[arg(value_name = "UNIT")]
    unit: Option<String>,
    #[command(flatten)]
    place: Place,
    /// How the result is printed.
    #[arg(long, value_enum, default_value_t = Format::Text)]
    output: Format,
}

#[derive(Args, Debug)]
pub struct SetArgs {
    /// The group or route, by its name in the configuration.
    #[arg(value_name = "UNIT")]
    unit: String,
    /// ndh, shadow, canary or standard.
    #[arg(long, value_name = "MODE")]
    mode: Mode,
    /// With canary: the share of persons that standard answers, such as 5% or 0.05; otherwise the configured one.
    #[arg(long, value_name = "SHARE", value_parser = parse_share)]
    share: Option<f64>,
    /// Why, for the audit line and for whoever looks next. Name no person.
    #[arg(long, value_name = "TEXT")]
    reason: String,
    /// How long, such as 8h or 30m; then the configuration rules again.
    #[arg(long = "for", value_name = "DURATION", value_parser = span::parse_positive)]
    hold: i64,
    #[command(flatten)]
    place: Place,
    /// How the result is printed.
    #[arg(long, value_enum, default_value_t = Format::Text)]
    output: Format,
}

#[derive(Args, Debug)]
pub struct ResetArgs {
    /// The group or route, by its name in the configuration.
    #[arg(value_name = "UNIT")]
    unit: String,
    /// Why, for the audit line. Name no person.
    #[arg(long, value_name = "TEXT")]
    reason: String,
    /// Begin the evidence anew as well.
    #[arg(long)]
    evidence: bool,
    #[command(flatten)]
    place: Place,
    /// How the result is printed.
    #[arg(long, value_enum, default_value_t = Format::Text)]
    output: Format,
}

#[derive(Args, Debug)]
pub struct ExplainArgs {
    /// As the application would send it.
    #[arg(value_name = "METHOD")]
    method: String,
    /// As the application would send it, with the query if there is one.
    #[arg(value_name = "PATH")]
    path: String,
    #[command(flatten)]
    place: Place,
    /// How the result is printed.
    #[arg(long, value_enum, default_value_t = Format::Text)]
    output: Format,
}

/// Runs a `route` command.
#[must_use]
pub fn route(command: RouteCommand) -> ExitCode {
    match command {
        RouteCommand::Status(args) => with_code(&args.place, |socket| {
            let report = ask(socket, args.unit.as_deref(), args.output)?;
            print(&report, args.output, || status::text(&report, clock::unix_seconds()))?;
            Ok(ExitCode::SUCCESS)
        }),
        RouteCommand::Report(args) => with_code(&args.place, |socket| {
            let report = ask(socket, args.unit.as_deref(), args.output)?;
            print(&report, args.output, || report::text(&report, clock::unix_seconds()))?;
            Ok(if go(&report, args.unit.is_some()) {
                ExitCode::SUCCESS
            } else {
                ExitCode::FAILURE
            })
        }),
        RouteCommand::Set(args) => with_code(&args.place, |socket| {
            let mut body = json!({
                "unit": args.unit,
                "mode": args.mode,
                "reason": args.reason,
                "for": format!("{}s", args.hold),
            });
            if let Some(share) = args.share {
                body["share"] = Value::from(share);
            }
            change(socket, "/route/set", &body, args.output)
        }),
        RouteCommand::Reset(args) => with_code(&args.place, |socket| {
            let body = json!({ "unit": args.unit, "reason": args.reason, "evidence": args.evidence });
            change(socket, "/route/reset", &body, args.output)
        }),
        RouteCommand::Explain(args) => show_explanation(&args),
    }
}

/// What the process says of all units, or of the one that is meant.
fn ask(socket: &Path, unit: Option<&str>, output: Format) -> Result<Report, Failure> {
    let answer = said(client::ask(socket, "GET", "/route", None, SOON), output)?;
    let report = serde_json::from_value(harmless(answer));
    let mut report: Report = report.map_err(|_| Failure::Strange(socket.to_owned()))?;
    if let Some(wanted) = unit {
        let unknown = report.unknown(wanted);
        report.units.retain(|unit| unit.unit == wanted);
        if report.units.is_empty() {
            return Err(Failure::Usage(unknown));
        }
    }
    Ok(report)
}

fn show_explanation(args: &ExplainArgs) -> ExitCode {
    let settings = match args.place.settings() {
        Ok(settings) => settings,
        Err(sentence) => {
            let _ = writeln!(io::stderr(), "{}", printable(&sentence));
            return ExitCode::from(2);
        }
    };
    let report = running(&args.place);
    let standing = match &report {
        Ok(report) => explain::Standing::Running(report),
        Err(why) => explain::Standing::Configured(why.clone()),
    };
    let explained = explain::explain(&settings, &standing, &args.method, &args.path);
    output::finish(explained.map_err(anyhow::Error::msg).and_then(|explained| {
        let said = Said {
            text: printable(&explained.text()),
            json: explained.json(),
        };
        Ok(output::print(&said, args.output)?)
    }))
}

/// What the running sidecar says, or why none does, in words.
fn running(place: &Place) -> Result<Report, String> {
    let socket = place
        .socket()
        .map_err(|_| "no control socket is configured".to_owned())?;
    let answer = client::ask(&socket, "GET", "/route", None, SOON).map_err(|error| error.to_string())?;
    if answer.status != 200 {
        return Err(format!("the running sidecar answers {}", answer.status));
    }
    serde_json::from_value(harmless(answer.body)).map_err(|_| Failure::Strange(socket).to_string())
}

fn change(socket: &Path, target: &str, body: &Value, output: Format) -> Result<ExitCode, Failure> {
    let answer = said(client::ask(socket, "POST", target, Some(body), SOON), output)?;
    let Some(sentence) = answer["done"].as_str() else {
        return Err(Failure::Strange(socket.to_owned()));
    };
    let text = format!("{}\n", printable(sentence));
    output::print(&Said { text, json: answer }, output)?;
    Ok(ExitCode::SUCCESS)
}

/// GO for all that counts: the one that was named, else every unit that has a standard leg.
fn go(report: &Report, named: bool) -> bool {
    let counts = |unit: &&Unit| named || unit.configured.able.standard;
    let mut counted = report.units.iter().filter(counts).peekable();
    counted.peek().is_some() && counted.all(|unit| unit.decision.go)
}

struct Said {
    text: String,
    json: Value,
}

impl Show for Said {
    fn text(&self) -> String {
        self.text.clone()
    }

    fn json(&self) -> Value {
        self.json.clone()
    }
}

fn print(report: &Report, format: Format, text: impl FnOnce() -> String) -> Result<(), Failure> {
    let said = match format {
        Format::Text => Said {
            text: text(),
            json: Value::Null,
        },
        Format::Json => Said {
            text: String::new(),
            json: serde_json::to_value(report).map_err(io::Error::from)?,
        },
    };
    Ok(output::print(&said, format)?)
}

/// What somebody once typed may hold what a terminal would obey; colours are put on afterwards.
fn harmless(value: Value) -> Value {
    match value {
        Value::String(text) => Value::String(printable(&text)),
        Value::Array(items) => items.into_iter().map(harmless).collect(),
        Value::Object(fields) => fields
            .into_iter()
            .map(|(key, value)| (printable(&key), harmless(value)))
            .collect(),
        plain => plain,
    }
}

#[cfg(test)]
mod tests;
