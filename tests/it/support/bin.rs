//! The real binary, as a container would run it: a configuration file, signals, its output.
//!
//! Output is captured line by line from the start. On drop the process is asked to end (SIGTERM), is waited for, and
//! everything it ever printed is searched for the persons of the tests: a NOMS number or CRN there fails the test
//! whatever the test was about.

use std::io::{BufRead, BufReader, Read};
use std::net::SocketAddr;
use std::os::unix::process::CommandExt;
use std::path::Path;
use std::process::{Child, Command, ExitStatus, Stdio};
use std::sync::{Arc, Condvar, Mutex};
use std::thread::JoinHandle;
use std::time::Instant;

use rustix::process::{Pid, Signal, kill_process};
use serde_json::Value;
use tempfile::TempDir;

use super::{eventually, patience};

/// The persons in every path of these tests. Invented; they must never be printed.
pub(crate) const NOMS: &str = "Z9001XA";
pub(crate) const CRN: &str = "Z900001";

#[derive(Default)]
struct Output {
    lines: Mutex<Vec<String>>,
    grown: Condvar,
}

pub(crate) struct Sidecar {
    child: Child,
    pub(crate) listen: SocketAddr,
    pub(crate) observe: Option<SocketAddr>,
    output: Arc<Output>,
    readers: Vec<JoinHandle<()>>,
    ended: Option<ExitStatus>,
    directory: TempDir,
}

impl Sidecar {
    /// Starts `delius-sidecar run` on this configuration in this directory and waits until it listens.
    pub(crate) fn start(directory: TempDir, config: &str) -> Self {
        match Self::try_start("run", directory, config) {
            Ok(sidecar) => sidecar,
            Err((status, printed)) => panic!("it did not start: {status}\n{printed}\n--- configuration\n{config}"),
        }
    }

    /// The same for a configuration that may be refused: then how it ended and what it printed.
    pub(crate) fn try_start(command: &str, directory: TempDir, config: &str) -> Result<Self, (String, String)> {
        Self::try_start_with(command, directory, config, &[])
    }

    /// The same with more arguments, such as `--` and a command.
    pub(crate) fn try_start_with(
        command: &str,
        directory: TempDir,
        config: &str,
        arguments: &[&str],
    ) -> Result<Self, (String, String)> {
        let file = directory.path().join("config.toml");
        let ready = directory.path().join("ready.json");
        std::fs::write(&file, config).expect("write a configuration");
        let mut child = Command::new(env!("CARGO_BIN_EXE_delius-sidecar"))
            .arg(command)
            .arg("--config")
            .arg(&file)
            .arg("--ready-file")
            .arg(&ready)
            .args(arguments)
            .env_remove("RUST_LOG")
            .stdin(Stdio::null())
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            .process_group(0)
            .spawn()
            .expect("start the binary");
        let output = Arc::new(Output::default());
        let readers = vec![
            follow(child.stdout.take().expect("piped"), &output),
            follow(child.stderr.take().expect("piped"), &output),
        ];
        let found = eventually(|| match (read_ready(&ready), child.try_wait()) {
            (Some(ready), _) => Some(Ok(ready)),
            (None, Ok(Some(status))) => Some(Err(status.to_string())),
            _ => None,
        });
        let mut sidecar = Self {
            child,
            listen: SocketAddr::from(([0; 4], 0)),
            observe: None,
            output,
            readers,
            ended: None,
            directory,
        };
        match found.unwrap_or_else(|| Err("it wrote no ready file in time".to_owned())) {
            Ok((listen, observe)) => {
                sidecar.listen = listen;
                sidecar.observe = observe;
                Ok(sidecar)
            }
            Err(status) => {
                sidecar.stop();
                Err((status, sidecar.printed()))
            }
        }
    }

    /// Where its configuration and its certificates are.
    pub(crate) fn directory(&self) -> &Path {
        self.directory.path()
    }

    /// Its process.
    pub(crate) fn pid(&self) -> u32 {
        self.child.id()
    }

    /// Puts another configuration in place of the one it was started with, whole at any moment.
    pub(crate) fn put_config(&self, config: &str) {
        let beside = self.directory().join("config.part");
        std::fs::write(&beside, config).expect("write a configuration");
        std::fs::rename(beside, self.directory().join("config.toml")).expect("put a configuration in place");
    }

    /// Everything printed so far, one text.
    pub(crate) fn printed(&self) -> String {
        self.output.lines.lock().expect("output").join("\n")
    }

    /// The access line with this request id, waiting for it.
    #[track_caller]
    pub(crate) fn access_line(&self, request_id: &str) -> Value {
        self.wait_line(|line| is_access(line) && line["request_id"] == request_id)
            .unwrap_or_else(|| panic!("no access line for {request_id} in:\n{}", self.printed()))
    }

    /// The first JSON line that satisfies the condition, waiting for it.
    pub(crate) fn wait_line(&self, mut wanted: impl FnMut(&Value) -> bool) -> Option<Value> {
        let deadline = Instant::now() + patience();
        let mut lines = self.output.lines.lock().expect("output");
        let mut next = 0;
        loop {
            for line in &lines[next..] {
                if let Ok(line) = serde_json::from_str::<Value>(line)
                    && wanted(&line)
                {
                    return Some(line);
                }
            }
            next = lines.len();
            let left = deadline.saturating_duration_since(Instant::now());
            if left.is_zero() {
                return None;
            }
            lines = self.output.grown.wait_timeout(lines, left).expect("output").0;
        }
    }

    /// All access lines so far.
    pub(crate) fn access_lines(&self) -> Vec<Value> {
        let lines = self.output.lines.lock().expect("output");
        lines
            .iter()
            .filter_map(|line| serde_json::from_str(line).ok())
            .filter(is_access)
            .collect()
    }

    pub(crate) fn signal(&self, signal: Signal) {
        if let Some(pid) = i32::try_from(self.child.id()).ok().and_then(Pid::from_raw) {
            let _ = kill_process(pid, signal);
        }
    }

    /// Replaces a piece of the configuration file and has it read again.
    pub(crate) fn substitute(&self, from: &str, to: &str) {
        let file = self.directory.path().join("config.toml");
        let text = std::fs::read_to_string(&file).expect("read the configuration");
        assert!(text.contains(from), "no {from} in\n{text}");
        std::fs::write(&file, text.replace(from, to)).expect("write the configuration");
        self.signal(Signal::HUP);
    }

    /// Waits for the process to end by itself.
    pub(crate) fn wait(&mut self) -> Option<ExitStatus> {
        if self.ended.is_none() {
            self.ended = eventually(|| self.child.try_wait().ok().flatten());
        }
        self.ended
    }

    /// SIGTERM, then patience, then SIGKILL. Returns how it ended.
    pub(crate) fn stop(&mut self) -> Option<ExitStatus> {
        self.signal(Signal::TERM);
        let ended = self.wait();
        if ended.is_none() {
            let _ = self.child.kill();
            let _ = self.child.wait();
        }
        for reader in self.readers.drain(..) {
            let _ = reader.join();
        }
        ended
    }
}

impl Drop for Sidecar {
    fn drop(&mut self) {
        let ended = self.stop();
        let printed = self.printed();
        if std::thread::panicking() {
            let lines: Vec<&str> = printed.lines().collect();
            let tail = lines[lines.len().saturating_sub(40)..].join("\n");
            eprintln!("--- the sidecar printed (last lines)\n{tail}\n---");
            return;
        }
        assert!(ended.is_some(), "the sidecar did not end after SIGTERM:\n{printed}");
        for person in [NOMS, CRN] {
            let lines: Vec<&str> = printed.lines().filter(|line| line.contains(person)).collect();
            assert!(lines.is_empty(), "a person's number was printed:\n{}", lines.join("\n"));
        }
        assert!(!printed.contains("panicked at"), "the sidecar panicked:\n{printed}");
    }
}

/// Where an access line says what the caller saw.
pub(crate) const STATUS: &str = "http.response.status_code";
/// Where it says which route this was, as a template.
pub(crate) const ROUTE: &str = "http.route";
/// Where it carries the code of a failure.
pub(crate) const CODE: &str = "error.type";

fn is_access(line: &Value) -> bool {
    line.get("request_id").is_some() && line.get(STATUS).is_some()
}

fn follow(stream: impl Read + Send + 'static, output: &Arc<Output>) -> JoinHandle<()> {
    let output = Arc::clone(output);
    std::thread::spawn(move || {
        for line in BufReader::new(stream).split(b'\n').map_while(Result::ok) {
            output
                .lines
                .lock()
                .expect("output")
                .push(String::from_utf8_lossy(&line).into_owned());
            output.grown.notify_all();
        }
    })
}

fn read_ready(file: &Path) -> Option<(SocketAddr, Option<SocketAddr>)> {
    let text = std::fs::read_to_string(file).ok()?;
    let value: Value = serde_json::from_str(&text).ok()?;
    let address = |name: &str| {
        value
            .get(name)
            .and_then(Value::as_str)
            .and_then(|text| text.parse().ok())
    };
    // On a Unix socket the address is none of the network's: the test knows it.
    let listen = match value.get("listen").and_then(Value::as_str)? {
        unix if unix.starts_with("unix:") => SocketAddr::from(([0; 4], 0)),
        _ => address("listen")?,
    };
    Some((listen, address("observe")))
}
