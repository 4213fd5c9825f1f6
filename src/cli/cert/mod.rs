//! `cert …`: what operators ask about certificates, with the judgement of the TLS stack.

pub mod verify;

use std::process::ExitCode;

use clap::Subcommand;

/// Inspect, verify, renew, request and pack certificates.
#[derive(Debug, Subcommand)]
pub enum CertCommand {
    Verify(verify::Verify),
}

/// Runs a `cert` command.
#[must_use]
pub fn cert(command: CertCommand) -> ExitCode {
    match command {
        CertCommand::Verify(args) => verify::verify(&args),
    }
}
