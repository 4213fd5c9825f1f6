//! The program's own long-running commands as child processes: started, awaited, ended.
//!
//! A child says that it listens by writing a ready file (whole or not at all) with the addresses that the kernel
//! chose. A child that ends before that is an error with the last lines of its log; a child never outlives its
//! [`Child`] value.

use std::fs::File;
use std::io;
use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::process::{Command, ExitStatus, Stdio};
use std::sync::{Arc, Condvar, Mutex, PoisonError};
use std::time::{Duration, Instant};

use serde::Deserialize;

/// How long a child may take until it listens; generous, for busy machines.
const PATIENCE: Duration = Duration::from_secs(30);
const LOOK_AGAIN: Duration = Duration::from_millis(10);
const LOG_LINES: usize = 12;
/// Settings of the surrounding process must not change what a rehearsal shows.
const OVERRIDES: &str = "DELIUS_SIDECAR";

/// Somebody wants the rehearsal to end: Ctrl-C, SIGTERM.
#[derive(Clone, Debug, Default)]
pub struct Stop(Arc<(Mutex<bool>, Condvar)>);

impl Stop {
    pub fn request(&self) {
        *self.0.0.lock().unwrap_or_else(PoisonError::into_inner) = true;
        self.0.1.notify_all();
    }

    #[must_use]
    pub fn requested(&self) -> bool {
        *self.0.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Waits until the stop is requested, or for `longest`; says whether it was.
    pub fn wait(&self, longest: Duration) -> bool {
        let requested = self.0.0.lock().unwrap_or_else(PoisonError::into_inner);
        let waited = self.0.1.wait_timeout_while(requested, longest, |requested| !*requested);
        *waited.unwrap_or_else(PoisonError::into_inner).0
    }
}

/// Why there is no child.
#[derive(Debug, thiserror::Error)]
pub enum ChildError {
    #[error("cannot start {name} ({program}): {error}")]
    Start {
        name: &'static str,
        program: PathBuf,
        error: io::Error,
    },
    #[error("{name} ended ({status}) before it was listening; the end of its log:\n{log}")]
    Ended {
        name: &'static str,
        status: ExitStatus,
        log: String,
    },
    #[error("{name} was not listening after {} seconds; the end of its log:\n{log}", PATIENCE.as_secs())]
    Late { name: &'static str, log: String },
    #[error("{name} wrote a ready file that cannot be read ({error}): {text}")]
    Ready {
        name: &'static str,
        text: String,
        error: serde_json::Error,
    },
    #[error("interrupted while {name} was starting")]
    Interrupted { name: &'static str },
}

/// Where a child listens.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Deserialize)]
pub struct Ready {
    pub listen: SocketAddr,
    pub observe: Option<SocketAddr>,
}

/// A running child.
#[derive(Debug)]
pub struct Child {
    process: std::process::Child,
    name: &'static str,
    log: PathBuf,
    ready: Ready,
}

impl Child {
    /// Starts `program COMMAND --config CONFIG --ready-file …` and waits until it listens. Ready file and log are
    /// written to `directory`.
    pub fn start(
        program: &Path,
        command: &'static str,
        config: &Path,
        directory: &Path,
        stop: &Stop,
    ) -> Result<Self, ChildError> {
        let ready = directory.join(format!("{command}.ready"));
        let log = directory.join(format!("{command}.log"));
        let failed = |error| ChildError::Start {
            name: command,
            program: program.to_owned(),
            error,
        };
        let output = File::create(&log).map_err(failed)?;
        let mut start = Command::new(program);
        start
            .arg(command)
            .arg("--config")
            .arg(config)
            .arg("--ready-file")
            .arg(&ready);
        start
            .stdin(Stdio::null())
            .stdout(output.try_clone().map_err(failed)?)
            .stderr(output);
        for (name, _) in std::env::vars_os() {
            if name.to_string_lossy().starts_with(OVERRIDES) {
                start.env_remove(name);
            }
        }
        let process = start.spawn().map_err(failed)?;
        // From here on the child is ended with the value, whatever happens.
        let mut child = Self {
            process,
            name: command,
            log,
            ready: Ready {
                listen: SocketAddr::from(([0, 0, 0, 0], 0)),
                observe: None,
            },
        };
        child.ready = child.wait_until_ready(&ready, stop)?;
        Ok(child)
    }

    fn wait_until_ready(&mut self, file: &Path, stop: &Stop) -> Result<Ready, ChildError> {
        let name = self.name;
        let deadline = Instant::now() + PATIENCE;
        loop {
            if let Ok(text) = std::fs::read_to_string(file) {
                return serde_json::from_str(&text).map_err(|error| ChildError::Ready { name, text, error });
            }
            if let Some(status) = self.ended() {
                let log = self.end_of_log();
                return Err(ChildError::Ended { name, status, log });
            }
            if Instant::now() > deadline {
                let log = self.end_of_log();
                return Err(ChildError::Late { name, log });
            }
            if stop.wait(LOOK_AGAIN) {
                return Err(ChildError::Interrupted { name });
            }
        }
    }

    #[must_use]
    pub const fn ready(&self) -> Ready {
        self.ready
    }

    /// How it ended, if it did.
    pub fn ended(&mut self) -> Option<ExitStatus> {
        self.process.try_wait().ok().flatten()
    }

    /// Everything that it logged.
    pub fn log(&self) -> io::Result<String> {
        let log = std::fs::read(&self.log)?;
        Ok(String::from_utf8_lossy(&log).into_owned())
    }

    /// The last lines that it logged.
    #[must_use]
    pub fn end_of_log(&self) -> String {
        let log = self.log().unwrap_or_default();
        let lines: Vec<_> = log.lines().collect();
        lines[lines.len().saturating_sub(LOG_LINES)..].join("\n")
    }
}

impl Drop for Child {
    fn drop(&mut self) {
        // It may have ended already; then there is nothing to kill and its status is collected.
        let _ = self.process.kill();
        let _ = self.process.wait();
    }
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::PermissionsExt;

    use super::*;

    /// A script that stands in for the program; its arguments are those that a real child gets.
    fn start(script: &str, stop: &Stop) -> (Result<Child, ChildError>, tempfile::TempDir) {
        let directory = tempfile::tempdir().unwrap();
        let program = directory.path().join("program");
        std::fs::write(&program, format!("#!/bin/sh\n{script}\n")).unwrap();
        std::fs::set_permissions(&program, std::fs::Permissions::from_mode(0o700)).unwrap();
        let child = Child::start(&program, "run", Path::new("c.toml"), directory.path(), stop);
        (child, directory)
    }

    #[test]
    fn a_child_that_listens_says_where_and_does_not_outlive_its_value() {
        let script = r#"echo "$$" > "$5.pid"; printf '{"listen": "127.0.0.1:1", "observe": "127.0.0.1:2"}' > "$5.new"
            [ "$1 $2 $3 $4" = "run --config c.toml --ready-file" ] && mv "$5.new" "$5" && exec sleep 600"#;
        let (child, directory) = start(script, &Stop::default());
        let mut child = child.unwrap();
        assert_eq!(child.ready().listen, SocketAddr::from(([127, 0, 0, 1], 1)));
        assert_eq!(child.ready().observe, Some(SocketAddr::from(([127, 0, 0, 1], 2))));
        assert_eq!(child.ended(), None);
        let id = std::fs::read_to_string(directory.path().join("run.ready.pid")).unwrap();
        let process = Path::new("/proc").join(id.trim());
        assert!(process.exists());
        drop(child);
        assert!(!process.exists());
    }

    #[test]
    fn a_child_that_ends_early_is_an_error_with_its_last_words() {
        let (child, _directory) = start("echo 'the key does not match' >&2; exit 2", &Stop::default());
        let said = child.unwrap_err().to_string();
        assert!(
            said.contains("exit status: 2") && said.contains("the key does not match"),
            "{said}"
        );
    }

    #[test]
    fn a_stop_ends_the_waiting() {
        let stop = Stop::default();
        stop.request();
        let (child, _directory) = start("exec sleep 600", &stop);
        assert!(matches!(child.unwrap_err(), ChildError::Interrupted { .. }));
    }

    #[test]
    fn a_program_that_is_not_there_is_named() {
        let directory = tempfile::tempdir().unwrap();
        let program = directory.path().join("absent");
        let config = Path::new("c.toml");
        let error = Child::start(&program, "gateway", config, directory.path(), &Stop::default());
        let said = error.unwrap_err().to_string();
        assert!(said.contains("absent") && said.contains("gateway"), "{said}");
    }
}
