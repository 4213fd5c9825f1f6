//! `run`, `run -- COMMAND` and `gateway`: read the configuration, then hand over to `app`.
//!
//! The configuration is judged before anything is bound: exit 2 says that nothing was started.

use std::ffi::OsString;
use std::hash::{DefaultHasher, Hash, Hasher};
use std::io::{self, IsTerminal as _, Write as _};
use std::os::unix::process::ExitStatusExt as _;
use std::path::PathBuf;
use std::process::ExitCode;

use clap::Args;

use super::check::{self, ConfigArgs};
use crate::app::{self, Kind, Origin, Outcome, Start};
use crate::config::{self, Problems, Style};
use crate::telemetry;

/// The sidecar: plain HTTP on loopback, mutual TLS to the upstream.
#[derive(Args, Debug)]
#[command(after_help = "Examples:\n  delius-sidecar run --config config/dev.toml\n  \
                        delius-sidecar run -- bundle exec rake import:delius\n\n\
                        With a COMMAND: starts, waits until ready, runs it, drains, and ends with its exit code.\n\n\
                        Signals: SIGTERM and SIGINT drain, SIGHUP and SIGUSR1 reload.\n\
                        Exit codes: 0 drained, 1 failed or not drained in time, 2 usage or configuration.")]
pub(super) struct RunArgs {
    #[command(flatten)]
    file: ConfigArgs,
    /// Where to write the addresses as bound, as JSON, once everything listens.
    #[arg(long, value_name = "FILE", hide = true)]
    ready_file: Option<PathBuf>,
    /// A command to run beside the sidecar, with its arguments.
    #[arg(last = true, value_name = "COMMAND")]
    command: Vec<OsString>,
}

/// The NDH side of the mutual TLS, for staging and development.
#[derive(Args, Debug)]
#[command(after_help = "Example: delius-sidecar gateway --config config/gateway.toml\n\n\
                        Signals and exit codes as of `run`.")]
pub(super) struct GatewayArgs {
    #[command(flatten)]
    file: ConfigArgs,
    /// Where to write the addresses as bound, as JSON, once everything listens.
    #[arg(long, value_name = "FILE", hide = true)]
    ready_file: Option<PathBuf>,
}

pub(super) fn run(args: RunArgs) -> ExitCode {
    let command = if args.command.is_empty() {
        None
    } else {
        Some(args.command)
    };
    start(args.file.config, false, args.ready_file, command)
}

pub(super) fn gateway(args: GatewayArgs) -> ExitCode {
    start(args.file.config, true, args.ready_file, None)
}

fn start(
    config: Option<PathBuf>,
    gateway: bool,
    ready_file: Option<PathBuf>,
    command: Option<Vec<OsString>>,
) -> ExitCode {
    let mut origin = Files {
        config,
        gateway,
        environment: check::environment(),
    };
    let kind = match origin.load() {
        Ok((kind, warnings)) => {
            show(&warnings);
            kind
        }
        Err(problems) => {
            show(&problems);
            return ExitCode::from(2);
        }
    };
    let log = match &kind {
        Kind::Sidecar(settings) => &settings.log,
        Kind::Gateway(settings) => &settings.log,
    };
    let events = match telemetry::log::init(log) {
        Ok(events) => events,
        Err(error) => {
            let _ = writeln!(io::stderr(), "error: {error}");
            return ExitCode::from(2);
        }
    };
    let outcome = app::run(Start {
        kind,
        origin: Box::new(origin),
        ready_file,
        command,
    });
    events.close();
    match outcome {
        Ok(Outcome::Drained) => ExitCode::SUCCESS,
        Ok(Outcome::Late) => ExitCode::FAILURE,
        // As a shell says it: 128 and the signal's number.
        Ok(Outcome::Command(status)) => {
            let code = status.code().or_else(|| status.signal().map(|signal| 128 + signal));
            ExitCode::from(code.and_then(|code| u8::try_from(code).ok()).unwrap_or(1))
        }
        Err(error) => {
            let _ = writeln!(io::stderr(), "error: {error:#}");
            ExitCode::FAILURE
        }
    }
}

fn show(problems: &Problems) {
    if problems.iter().next().is_some() {
        let style = if io::stderr().is_terminal() {
            Style::Colour
        } else {
            Style::Plain
        };
        let _ = writeln!(io::stderr(), "{}", problems.annotated(style));
    }
}

/// The configuration's files, read again when they change.
struct Files {
    config: Option<PathBuf>,
    gateway: bool,
    environment: Vec<(String, String)>,
}

impl Files {
    fn load(&mut self) -> Result<(Kind, Problems), Problems> {
        let layers = check::read(self.config.as_deref())?;
        if self.gateway {
            let loaded = config::load_gateway(&layers.sources, &self.environment)?;
            Ok((Kind::Gateway(Box::new(loaded.settings)), loaded.warnings))
        } else {
            let loaded = config::load_run(&layers.sources, &self.environment)?;
            Ok((Kind::Sidecar(Box::new(loaded.settings)), loaded.warnings))
        }
    }
}

impl Origin for Files {
    fn fingerprint(&mut self) -> u64 {
        let mut hasher = DefaultHasher::new();
        // What cannot be read hashes as nothing: a file that is being replaced is looked at again.
        if let Ok(layers) = check::read(self.config.as_deref()) {
            for source in &layers.sources {
                source.text.hash(&mut hasher);
                source.programs.hash(&mut hasher);
            }
        }
        hasher.finish()
    }

    fn read(&mut self) -> Result<Kind, String> {
        let refused = |problems: Problems| problems.without_warnings().to_string();
        self.load().map(|(kind, _)| kind).map_err(refused)
    }
}
