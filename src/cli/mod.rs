//! Commands: parse, dispatch, exit codes.

pub mod certificate;
pub mod check;
pub mod demo;
pub mod standin;

/// Runs the program.
pub fn main() -> std::process::ExitCode {
    std::process::ExitCode::SUCCESS
}
