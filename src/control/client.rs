//! Asking a running process through its control socket: one request, one answer, and words for every way it can fail.
//!
//! Blocking, for commands. The other end is the same program, so of HTTP only what that sends is read.

use std::io::{self, Read as _, Write as _};
use std::path::{Path, PathBuf};
use std::thread;
use std::time::Duration;

use serde_json::Value;
use socket2::Socket;

use super::socket;
use crate::clock;

/// More than any report.
const LARGEST: usize = 16 << 20;
/// Between two attempts while more wait than may.
const BUSY: Duration = Duration::from_millis(20);

/// What came back.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Answer {
    pub status: u16,
    pub body: Value,
}

/// Why there is no answer.
#[derive(Debug, thiserror::Error)]
pub enum AskError {
    #[error(
        "there is no control socket at {}: is the sidecar running, and is [control] in its configuration?", .0.display()
    )]
    Missing(PathBuf),
    #[error("nobody answers on the control socket {}: the sidecar that made it has ended", .0.display())]
    Deserted(PathBuf),
    #[error(
        "permission denied on the control socket {}: only the user that the sidecar runs as may use it; run this as that \
         user, for example with `kubectl exec` in the sidecar's own container", .0.display()
    )]
    Denied(PathBuf),
    #[error("no answer on the control socket {} within {after:.1?}", path.display())]
    Late { path: PathBuf, after: Duration },
    #[error("asking on the control socket {} failed: {error}", path.display())]
    Io { path: PathBuf, error: io::Error },
    #[error("what answers on {} is not this program's control socket: {what}", path.display())]
    Foreign { path: PathBuf, what: &'static str },
}

impl AskError {
    /// No process listens there.
    #[must_use]
    pub const fn is_absent(&self) -> bool {
        matches!(self, Self::Missing(_) | Self::Deserted(_))
    }
}

/// Sends one request and waits for its answer, at most for `patience` in all.
///
/// # Errors
/// [`AskError`]; an answer that refuses is an answer.
pub fn ask(
    path: &Path,
    method: &str,
    target: &str,
    body: Option<&Value>,
    patience: Duration,
) -> Result<Answer, AskError> {
    let end = clock::monotonic() + patience;
    let failed = |error: io::Error| explain(path, error, patience);
    let mut stream = connect(path, end).map_err(failed)?;
    let body = body.map(Value::to_string).unwrap_or_default();
    let length = body.len();
    let request = format!(
        "{method} {target} HTTP/1.1\r\nhost: control\r\ncontent-type: application/json\r\ncontent-length: {length}\r\n\r\n{body}"
    );
    stream.set_write_timeout(Some(left(end))).map_err(failed)?;
    stream.write_all(request.as_bytes()).map_err(failed)?;
    let bytes = receive(stream, end).map_err(failed)?;
    read(&bytes).map_err(|what| AskError::Foreign {
        path: path.to_owned(),
        what,
    })
}

/// What is left of the time; never zero, which the system takes for "for ever".
fn left(end: Duration) -> Duration {
    end.saturating_sub(clock::monotonic()).max(Duration::from_millis(1))
}

fn connect(path: &Path, end: Duration) -> io::Result<Socket> {
    loop {
        match socket::connect(path) {
            Err(error) if error.kind() == io::ErrorKind::WouldBlock && clock::monotonic() < end => thread::sleep(BUSY),
            done => return done,
        }
    }
}

fn receive(mut stream: Socket, end: Duration) -> io::Result<Vec<u8>> {
    let mut bytes = Vec::new();
    let mut buffer = [0; 8192];
    loop {
        if clock::monotonic() >= end {
            return Err(io::ErrorKind::TimedOut.into());
        }
        stream.set_read_timeout(Some(left(end)))?;
        match stream.read(&mut buffer) {
            Ok(0) => return Ok(bytes),
            Ok(read) => bytes.extend_from_slice(&buffer[..read]),
            Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
            // Closed over what we still sent; the answer stands before it.
            Err(error) if error.kind() == io::ErrorKind::ConnectionReset && !bytes.is_empty() => return Ok(bytes),
            Err(error) => return Err(error),
        }
        if bytes.len() > LARGEST {
            return Err(io::Error::other(
                "the answer is larger than any that this program gives",
            ));
        }
    }
}

fn read(bytes: &[u8]) -> Result<Answer, &'static str> {
    let end = bytes
        .windows(4)
        .position(|four| four == b"\r\n\r\n")
        .ok_or("the answer is not HTTP, or broke off")?;
    let head = std::str::from_utf8(&bytes[..end]).map_err(|_| "the answer is not HTTP")?;
    let body = &bytes[end + 4..];
    let mut lines = head.split("\r\n");
    let status = lines
        .next()
        .and_then(|line| line.strip_prefix("HTTP/1.1 "))
        .and_then(|rest| rest.get(..3)?.parse().ok())
        .ok_or("the answer is not HTTP")?;
    let length = lines
        .filter_map(|line| line.split_once(':'))
        .find(|(name, _)| name.eq_ignore_ascii_case("content-length"))
        .and_then(|(_, value)| value.trim().parse::<usize>().ok());
    if length != Some(body.len()) {
        return Err("the answer broke off");
    }
    let body = if body.is_empty() {
        Value::Null
    } else {
        serde_json::from_slice(body).map_err(|_| "the answer is not JSON")?
    };
    Ok(Answer { status, body })
}

fn explain(path: &Path, error: io::Error, after: Duration) -> AskError {
    let path = path.to_owned();
    match error.kind() {
        io::ErrorKind::NotFound | io::ErrorKind::NotADirectory => AskError::Missing(path),
        io::ErrorKind::ConnectionRefused => AskError::Deserted(path),
        io::ErrorKind::PermissionDenied => AskError::Denied(path),
        io::ErrorKind::TimedOut | io::ErrorKind::WouldBlock => AskError::Late { path, after },
        _ => AskError::Io { path, error },
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_answer_is_read_whole_or_not_at_all() {
        let good = b"HTTP/1.1 409 Conflict\r\nContent-Length: 8\r\n\r\n{\"a\": 1}";
        let answer = read(good).expect("an answer");
        assert_eq!((answer.status, &answer.body["a"]), (409, &Value::from(1)));
        assert_eq!(
            read(b"HTTP/1.1 431 x\r\ncontent-length: 0\r\n\r\n").map(|a| a.status),
            Ok(431)
        );
        for wrong in [
            &good[..good.len() - 1],
            b"",
            b"SSH-2.0-x\r\n\r\n",
            b"HTTP/1.1 \r\n\r\n",
            b"HTTP/1.1 2\r\n\r\n",
            b"HTTP/1.1 200 OK\r\n\r\n",
            b"HTTP/1.1 200 OK\r\ncontent-length: 1\r\n\r\nx",
            b"HTTP/1.1 200 OK\r\ncontent-length: 1",
            b"\xff\r\n\r\n",
        ] {
            assert!(read(wrong).is_err(), "{}", String::from_utf8_lossy(wrong));
        }
    }

    #[test]
    fn without_a_sidecar_the_error_says_so() {
        let directory = tempfile::tempdir().expect("a directory");
        let path = directory.path().join("control.sock");
        let asked =
            |path: &Path| ask(path, "GET", "/ready", None, Duration::from_secs(5)).expect_err("nobody is there");
        let missing = asked(&path);
        assert!(
            missing.is_absent() && missing.to_string().contains("is the sidecar running"),
            "{missing}"
        );
        drop(std::os::unix::net::UnixListener::bind(&path).expect("bound"));
        let deserted = asked(&path);
        assert!(
            deserted.is_absent() && deserted.to_string().contains("has ended"),
            "{deserted}"
        );
        std::fs::write(directory.path().join("file"), "x").expect("written");
        assert!(asked(&directory.path().join("file/control.sock")).is_absent());
        let long = asked(&directory.path().join("x".repeat(200)));
        assert!(!long.is_absent() && long.to_string().contains("xxx"), "{long}");
    }

    #[test]
    fn one_who_accepts_and_says_nothing_is_left_in_time() {
        let directory = tempfile::tempdir().expect("a directory");
        let path = directory.path().join("control.sock");
        let _silent = std::os::unix::net::UnixListener::bind(&path).expect("bound");
        let asked = ask(&path, "GET", "/ready", None, Duration::from_millis(50));
        assert!(matches!(asked, Err(AskError::Late { .. })), "{asked:?}");
    }
}
