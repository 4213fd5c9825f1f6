//! `cert verify`: would the other side accept this?

use std::process::ExitCode;

use clap::Args;

/// Would the other side accept this certificate?
#[derive(Args, Debug)]
pub struct Verify {}

/// Runs `cert verify`.
#[must_use]
pub fn verify(_args: &Verify) -> ExitCode {
    ExitCode::FAILURE
}
