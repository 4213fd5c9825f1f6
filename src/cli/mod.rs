//! stub
pub mod certificate;
pub mod check;
/// Runs the program.
pub fn main() -> std::process::ExitCode {
    std::process::ExitCode::SUCCESS
}
