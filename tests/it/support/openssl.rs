//! The `openssl` command, as the people use it who make the files that are read here.

use std::ffi::OsStr;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use super::absent;

/// The command, in one directory.
pub(crate) struct OpenSsl {
    program: PathBuf,
    directory: PathBuf,
}

impl OpenSsl {
    /// `None` where it is not installed, which was said.
    pub(crate) fn find(directory: &Path) -> Option<Self> {
        let program = absent::find("openssl", "openssl")?;
        Some(Self {
            program,
            directory: directory.to_owned(),
        })
    }

    /// Runs it; whether it succeeded.
    #[allow(clippy::disallowed_methods)]
    pub(crate) fn tries<A: AsRef<OsStr>>(&self, arguments: impl IntoIterator<Item = A>) -> bool {
        let output = Command::new(&self.program)
            .args(arguments)
            .current_dir(&self.directory)
            .stdin(Stdio::null())
            .output()
            .expect("openssl runs");
        if !output.status.success() {
            eprintln!("{}", String::from_utf8_lossy(&output.stderr));
        }
        output.status.success()
    }

    /// Runs a command line of words without spaces in them, which must succeed.
    #[track_caller]
    pub(crate) fn run(&self, line: &str) {
        assert!(self.tries(line.split_whitespace()), "openssl {line}");
    }
}
