//! What happens when a real peer is not installed: said aloud, and tolerated only where nobody asked for it.

use std::path::{Path, PathBuf};

/// The program's path, or `None` after a line that says what is missing. With `CI=true` or
/// `DELIUS_TEST_PEERS=required` a missing peer is a failure: a suite that skips itself proves nothing.
#[allow(clippy::disallowed_methods)]
pub(crate) fn find(program: &str, package: &str) -> Option<PathBuf> {
    let path = std::env::var("PATH").unwrap_or_default();
    let usual = ["/usr/sbin", "/usr/local/sbin", "/sbin"];
    let found = path
        .split(':')
        .chain(usual)
        .filter(|directory| !directory.is_empty())
        .map(|directory| Path::new(directory).join(program))
        .find(|candidate| candidate.is_file());
    if found.is_none() {
        missing(program, &format!("Debian: apt-get install {package}"));
    }
    found
}

/// The same for a file that comes with a peer, and the command that brings it.
pub(crate) fn find_file(path: &str, command: &str) -> Option<PathBuf> {
    let found = Some(PathBuf::from(path)).filter(|path| path.is_file());
    if found.is_none() {
        missing(path, command);
    }
    found
}

#[allow(clippy::disallowed_methods)]
fn missing(what: &str, command: &str) {
    let required = std::env::var_os("CI").is_some_and(|value| !value.is_empty() && value != "false")
        || std::env::var_os("DELIUS_TEST_PEERS").is_some_and(|value| value == "required");
    let said = format!("ABSENT: {what} is not installed ({command})");
    assert!(!required, "{said}; the peers are required here");
    eprintln!("{said}; what this test would have shown is NOT shown");
}
