//! Commands: parse, dispatch, exit codes. What a command prints, it prints here.
//!
//! Exit codes: 0 done, or drained after SIGTERM; 1 failed while running, or not drained in time; 2 usage or
//! configuration. `run -- COMMAND` ends with the command's own code.

pub mod ca;
pub mod cert;
pub mod check;
pub mod demo;
mod doctor;
mod files;
pub mod operate;
pub mod output;
pub mod rehearse;
pub mod route;
mod run;
pub mod span;
mod stage;
pub mod standin;

use std::ffi::OsString;
use std::process::ExitCode;

use clap::{Parser, Subcommand};

/// Carries the allocation manager's requests to Delius over mutual TLS.
#[derive(Debug, Parser)]
#[command(name = "delius-sidecar", version, max_term_width = 100)]
#[command(after_help = "Examples:\n  \
    delius-sidecar demo                          the whole path on this machine, with no set-up\n  \
    delius-sidecar check --config config/production.toml --no-files\n  \
    delius-sidecar run --config config/production.toml\n\n\
    Exit codes: 0 done or drained, 1 failed while running or not drained in time, 2 usage or configuration.")]
struct Arguments {
    #[command(subcommand)]
    command: Command,
}

#[derive(Debug, Subcommand)]
enum Command {
    Run(run::RunArgs),
    Gateway(run::GatewayArgs),
    Demo(demo::DemoArgs),
    Rehearse(rehearse::RehearseArgs),
    StandIn(standin::StandInArgs),
    Check(check::CheckArgs),
    Doctor(doctor::DoctorArgs),
    /// Inspect, verify, renew, request and pack certificates
    #[command(
        subcommand,
        after_help = "Examples:\n  delius-sidecar cert inspect ndh.example:8443 --ca ca.crt\n  \
                      delius-sidecar cert needs-renewal tls.crt --expires-in 30d"
    )]
    Cert(cert::CertCommand),
    /// Ask the running sidecar about its certificates, and tell it which to use
    #[command(
        subcommand,
        after_help = "Example:\n  delius-sidecar identity status\n  delius-sidecar identity promote --upstream ndh"
    )]
    Identity(operate::IdentityCommand),
    /// Who answers each route, why, and whether the next step of the switch-over may be taken
    #[command(
        subcommand,
        after_help = "Examples:\n  delius-sidecar route status\n  delius-sidecar route report person\n  \
                      delius-sidecar route set person --mode canary --share 5% --reason \"first persons\" --for 8h"
    )]
    Route(route::RouteCommand),
    Wait(operate::WaitArgs),
    Shutdown(operate::ShutdownArgs),
    /// A small certificate authority, for development and staging only
    #[command(
        subcommand,
        after_help = "Example:\n  delius-sidecar ca init --dir certs-dev/ca\n  \
                      delius-sidecar ca issue --dir certs-dev/ca --dns allocation-manager --out certs-dev/client"
    )]
    Ca(ca::CaCommand),
}

/// Runs the program.
#[must_use]
pub fn main() -> ExitCode {
    let arguments = match Arguments::try_parse() {
        Ok(arguments) => arguments,
        Err(error) if error.use_stderr() && asks_for_renewal(std::env::args_os().skip(1)) => {
            let _ = error.print();
            return ExitCode::from(cert::renewal::ERROR);
        }
        // Ends the process: `--help` with 0, wrong usage with 2.
        Err(error) => error.exit(),
    };
    match arguments.command {
        Command::Run(args) => run::run(args),
        Command::Gateway(args) => run::gateway(args),
        Command::Demo(args) => demo::demo(args),
        Command::Rehearse(args) => rehearse::rehearse(&args),
        Command::StandIn(args) => standin::stand_in(args),
        Command::Check(args) => check::check(&args),
        Command::Doctor(args) => doctor::doctor(&args),
        Command::Cert(command) => cert::cert(command),
        Command::Identity(command) => operate::identity(command),
        Command::Route(command) => route::route(command),
        Command::Wait(args) => operate::wait(&args),
        Command::Shutdown(args) => operate::shutdown(&args),
        Command::Ca(command) => ca::ca(command),
    }
}

/// `cert needs-renewal` says with 2 that the file is missing: wrong usage must not say the same.
fn asks_for_renewal(mut arguments: impl Iterator<Item = OsString>) -> bool {
    let mut is = |word: &str| arguments.next().is_some_and(|argument| argument == *word);
    is("cert") && is("needs-renewal")
}

#[cfg(test)]
mod tests {
    use clap::CommandFactory as _;

    use super::*;

    /// Every line of an example that the help would fold, so that it could not be pasted.
    fn folded(command: &clap::Command, found: &mut Vec<String>) {
        let help = command.get_after_help().map(ToString::to_string).unwrap_or_default();
        let examples = help.lines().filter(|line| line.contains("delius-sidecar "));
        found.extend(examples.filter(|line| line.chars().count() > 100).map(str::to_owned));
        command.get_subcommands().for_each(|below| folded(below, found));
    }

    #[test]
    fn the_examples_of_the_help_are_not_folded() {
        let mut found = Vec::new();
        folded(&Arguments::command(), &mut found);
        assert_eq!(found, Vec::<String>::new());
    }
}
