//! The control socket and the commands that use it: who may connect, what is refused, what bad clients cannot do.
//!
//! Here the socket is served in this process, in front of a main thread made for the test that answers as it is told; the
//! commands are the real binary. `rotation` has the same against a real sidecar.

use std::io::{Read as _, Write as _};
use std::os::unix::fs::PermissionsExt as _;
use std::os::unix::net::UnixStream;
use std::path::{Path, PathBuf};
use std::process::{Command as Binary, Output, Stdio};
use std::sync::{Arc, Mutex};
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

use delius_sidecar::control::client::{self, Answer};
use delius_sidecar::control::{self, Asked, Command, Refusal, Reply, Which};
use delius_sidecar::identity::status::{Certificate, Generation, Lineage, Report};
use serde_json::{Value, json};
use tempfile::TempDir;
use tokio::sync::{mpsc, oneshot};

use crate::support::eventually;
use crate::support::lines::Lines;

type Decide = dyn FnMut(&Command) -> Option<Result<Reply, Refusal>> + Send;

/// A process with a control socket whose main thread answers by `decide`; what that leaves open is answered with the next
/// question whether it is ready.
struct Served {
    directory: TempDir,
    /// Of the main thread.
    log: Lines,
    asked: Arc<Mutex<Vec<(Command, String)>>>,
    end: Option<oneshot::Sender<()>>,
    thread: Option<JoinHandle<()>>,
}

impl Served {
    fn start(mut decide: Box<Decide>) -> Self {
        let directory = tempfile::tempdir().expect("a directory");
        let listener = control::bind(&directory.path().join("control.sock")).expect("bound");
        let asked = Arc::new(Mutex::new(Vec::new()));
        let (end, mut ended) = oneshot::channel();
        let heard = asked.clone();
        let log = Lines::default();
        let lines = log.clone();
        let thread = std::thread::spawn(move || {
            let subscriber = tracing_subscriber::fmt()
                .with_ansi(false)
                .with_writer(move || lines.clone());
            let _logging = tracing::subscriber::set_default(subscriber.finish());
            let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build();
            runtime.expect("a runtime").block_on(async move {
                let (commands, mut received) = mpsc::channel::<Asked>(8);
                let serving = tokio::spawn(control::serve(listener, commands));
                let mut open = Vec::new();
                loop {
                    let asked = tokio::select! {
                        asked = received.recv() => asked.expect("served"),
                        _ = &mut ended => break,
                    };
                    heard
                        .lock()
                        .expect("heard")
                        .push((asked.command.clone(), asked.by.clone()));
                    if asked.command == Command::Ready {
                        open.drain(..)
                            .for_each(|reply: oneshot::Sender<_>| drop(reply.send(done())));
                    }
                    match decide(&asked.command) {
                        Some(answer) => drop(asked.reply.send(answer)),
                        None => open.push(asked.reply),
                    }
                    if asked.command == Command::Shutdown {
                        // As a process does: the answer goes out, then it drains, then everything ends.
                        tokio::time::sleep(Duration::from_millis(300)).await;
                        break;
                    }
                }
                serving.abort();
                let _ = serving.await;
            });
        });
        Self {
            directory,
            log,
            asked,
            end: Some(end),
            thread: Some(thread),
        }
    }

    fn answering(answer: Result<Reply, Refusal>) -> Self {
        Self::start(Box::new(move |_| Some(answer.clone())))
    }

    fn socket(&self) -> PathBuf {
        self.directory.path().join("control.sock")
    }

    fn asked(&self) -> Vec<Command> {
        let asked = self.asked.lock().expect("heard");
        asked.iter().map(|(command, _)| command.clone()).collect()
    }

    fn ask(&self, method: &str, target: &str, body: Option<&Value>) -> Answer {
        client::ask(&self.socket(), method, target, body, Duration::from_secs(20)).expect("an answer")
    }

    /// Bytes as they are; everything that comes back until the connection ends.
    fn raw(&self, bytes: &[u8]) -> String {
        let mut stream = UnixStream::connect(self.socket()).expect("connected");
        // It may be closed before all is written.
        let _ = stream.write_all(bytes);
        let mut reply = Vec::new();
        let _ = stream.read_to_end(&mut reply);
        String::from_utf8_lossy(&reply).into_owned()
    }

    /// The real binary, with this socket.
    fn run(&self, line: &str) -> Output {
        let socket = self.socket();
        command(&format!("{line} --control {}", socket.display()))
    }
}

impl Drop for Served {
    fn drop(&mut self) {
        drop(self.end.take());
        let joined = self.thread.take().map(JoinHandle::join);
        assert!(
            std::thread::panicking() || joined.is_none_or(|joined| joined.is_ok()),
            "the process panicked"
        );
    }
}

fn command(line: &str) -> Output {
    Binary::new(env!("CARGO_BIN_EXE_delius-sidecar"))
        .args(line.split_whitespace().map(|word| word.replace('_', " ")))
        .env_remove("DELIUS_SIDECAR_CONFIG")
        .stdin(Stdio::null())
        .output()
        .expect("start the binary")
}

fn out(output: &Output) -> String {
    String::from_utf8_lossy(&output.stdout).into_owned()
}

fn error(output: &Output) -> String {
    String::from_utf8_lossy(&output.stderr).into_owned()
}

#[track_caller]
fn ended(output: &Output, code: i32) {
    assert_eq!(output.status.code(), Some(code), "{}{}", out(output), error(output));
}

fn done() -> Result<Reply, Refusal> {
    Ok(Reply::Done("generation 2 is in use".to_owned()))
}

fn report() -> Report {
    let leaf = Certificate {
        subject: "CN=allocation-manager\u{1b}[2J".to_owned(),
        not_after: "2027-01-01T00:00:00Z".to_owned(),
        ..Certificate::default()
    };
    let lineage = |upstream: &str| Lineage {
        identity: "allocation-manager".to_owned(),
        upstream: upstream.to_owned(),
        in_use: Some(Generation {
            number: 2,
            chain: vec![leaf.clone()],
            ..Generation::default()
        }),
        ..Lineage::default()
    };
    Report {
        lineages: vec![lineage("ndh"), lineage("other")],
    }
}

#[test]
fn each_request_reaches_the_main_thread_as_what_it_is_with_who_asked() {
    let process = Served::answering(done());
    let which = Which {
        identity: Some("am".to_owned()),
        upstream: Some("ndh".to_owned()),
    };
    let body = json!({ "identity": "am", "upstream": "ndh", "reason": "refused for /all" });
    for target in ["/identity/stage", "/identity/promote", "/identity/rollback"] {
        let answer = process.ask("POST", target, Some(&body));
        assert_eq!(answer.status, 200, "{answer:?}");
        assert_eq!(answer.body, json!({ "done": "generation 2 is in use" }));
    }
    process.ask("GET", "/ready", None);
    process.ask("GET", "/identity", None);
    let expected = [
        Command::Stage(which.clone()),
        Command::Promote(which.clone()),
        Command::RollBack(which, "refused for /all".to_owned()),
        Command::Ready,
        Command::Status,
    ];
    assert_eq!(process.asked(), expected);
    let uid = rustix::process::getuid().as_raw();
    let by = format!("uid {uid} pid {}", std::process::id());
    assert!(process.asked.lock().expect("heard").iter().all(|(_, who)| *who == by));
}

#[test]
fn a_refusal_keeps_its_status_its_code_and_its_sentence() {
    for (status, code) in [
        (404, "no_such_identity"),
        (409, "nothing_to_promote"),
        (503, "shutting_down"),
    ] {
        let process = Served::answering(Err(Refusal::new(status, code, "because")));
        let answer = process.ask("POST", "/identity/promote", None);
        assert_eq!(answer.status, status);
        assert_eq!(
            answer.body,
            json!({ "status": status, "code": code, "detail": "because" })
        );
        let raw = process.raw(b"POST /identity/promote HTTP/1.1\r\nhost: x\r\ncontent-length: 0\r\n\r\n");
        assert!(raw.contains("content-type: application/problem+json"), "{raw}");
        assert!(raw.contains("cache-control: no-store"), "{raw}");
    }
}

#[test]
fn a_main_thread_that_has_gone_or_drops_the_question_is_shutting_down() {
    let process = Served::start(Box::new(|command| match command {
        Command::Promote(_) => None,
        _ => Some(done()),
    }));
    let socket = process.socket();
    let waiting = std::thread::spawn(move || {
        client::ask(&socket, "POST", "/identity/promote", None, Duration::from_secs(20)).map(|answer| answer.status)
    });
    eventually(|| (process.asked().len() == 1).then_some(())).expect("asked");
    drop(process);
    // Its connection is closed with the listener, or it is told first.
    let ended = waiting.join().expect("the client ends");
    assert!(!matches!(ended, Ok(200)), "{ended:?}");
}

#[test]
fn only_the_user_may_connect_and_the_socket_goes_with_the_process() {
    let process = Served::answering(done());
    let socket = process.socket();
    let mode = std::fs::symlink_metadata(&socket).expect("there").permissions().mode();
    assert_eq!(mode & 0o7777, 0o600);
    assert!(control::bind(&socket).is_err(), "it is in use");
    process.ask("POST", "/shutdown", None);
    assert!(
        eventually(|| (!socket.exists()).then_some(())).is_some(),
        "the file is left"
    );
}

#[test]
fn what_is_not_asked_rightly_never_reaches_the_main_thread() {
    let process = Served::answering(done());
    for (method, target, body, status, code) in [
        ("GET", "/", None, 404, "no_such_path"),
        ("POST", "/identity/stage/", None, 404, "no_such_path"),
        ("POST", "/identity", None, 405, "method_not_allowed"),
        ("GET", "/identity/stage", None, 405, "method_not_allowed"),
        ("GET", "/shutdown", None, 405, "method_not_allowed"),
        ("POST", "/identity/rollback", None, 400, "reason_missing"),
        (
            "POST",
            "/identity/rollback",
            Some(json!({ "reason": " " })),
            400,
            "body_malformed",
        ),
        (
            "POST",
            "/identity/stage",
            Some(json!({ "identiti": "am" })),
            400,
            "body_malformed",
        ),
        ("POST", "/identity/stage", Some(json!(["am"])), 400, "body_malformed"),
        (
            "POST",
            "/identity/stage",
            Some(json!({ "reason": "a\nb" })),
            400,
            "body_malformed",
        ),
        (
            "POST",
            "/shutdown",
            Some(json!({ "upstream": "ndh" })),
            400,
            "body_malformed",
        ),
        (
            "POST",
            "/identity/stage",
            Some(json!({ "reason": "x".repeat(17_000) })),
            413,
            "body_too_large",
        ),
    ] {
        let answer = process.ask(method, target, body.as_ref());
        assert_eq!(
            (answer.status, &answer.body["code"]),
            (status, &json!(code)),
            "{method} {target}"
        );
    }
    assert_eq!(process.asked(), []);
}

#[test]
fn junk_and_oversized_messages_are_refused_and_the_next_client_is_served() {
    let process = Served::answering(done());
    let chunks = format!("{:x}\r\n{}\r\n", 10_000, "x".repeat(10_000)).repeat(4);
    let huge_head = format!("GET /ready HTTP/1.1\r\nhost: x\r\nx-y: {}\r\n\r\n", "y".repeat(70_000));
    let many = format!("GET /ready HTTP/1.1\r\n{}\r\n", "a: b\r\n".repeat(200));
    for (bytes, expected) in [
        (
            b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03 \r\n\r\n".to_vec(),
            "HTTP/1.1 400",
        ),
        (b"SSH-2.0-OpenSSH_9.9\r\n\r\n".to_vec(), "HTTP/1.1 400"),
        (huge_head.into_bytes(), "HTTP/1.1 431"),
        (many.into_bytes(), "HTTP/1.1 431"),
        (
            b"POST /shutdown HTTP/1.1\r\nhost: x\r\ncontent-length: 999999999999\r\n\r\n".to_vec(),
            "HTTP/1.1 413",
        ),
        (
            format!("POST /shutdown HTTP/1.1\r\nhost: x\r\ntransfer-encoding: chunked\r\n\r\n{chunks}0\r\n\r\n")
                .into_bytes(),
            "HTTP/1.1 413",
        ),
    ] {
        let reply = process.raw(&bytes);
        assert!(reply.starts_with(expected), "{expected}: {reply}");
    }
    assert_eq!(process.asked(), []);
    assert_eq!(process.ask("POST", "/identity/stage", None).status, 200);
}

#[test]
fn those_who_dawdle_are_closed_and_hold_nobody_up_for_long() {
    let process = Served::answering(done());
    // As many as have a place: half say nothing, half send a body that never ends.
    let mut slow: Vec<UnixStream> = (0..16)
        .map(|_| UnixStream::connect(process.socket()).expect("connected"))
        .collect();
    for stream in slow.iter_mut().step_by(2) {
        stream
            .write_all(b"POST /identity/stage HTTP/1.1\r\nhost: x\r\ncontent-length: 100\r\n\r\n{")
            .expect("written");
    }
    let begun = Instant::now();
    assert_eq!(process.ask("POST", "/identity/promote", None).status, 200);
    assert!(
        begun.elapsed() < Duration::from_secs(15),
        "held up for {:?}",
        begun.elapsed()
    );
    for (index, stream) in slow.iter_mut().enumerate() {
        let mut reply = String::new();
        let _ = stream.read_to_string(&mut reply);
        let late = reply.starts_with("HTTP/1.1 408") && reply.contains("body_late");
        assert!(late || (index % 2 == 1 && !reply.contains("200")), "{index}: {reply}");
    }
    assert_eq!(process.asked(), [Command::Promote(Which::default())]);
}

#[test]
fn one_that_waits_does_not_keep_another_waiting() {
    let (told, open) = std::sync::mpsc::channel();
    let process = Served::start(Box::new(move |command| match command {
        Command::Promote(_) => {
            told.send(()).expect("told");
            None
        }
        _ => Some(done()),
    }));
    let socket = process.socket();
    let waiting =
        std::thread::spawn(move || client::ask(&socket, "POST", "/identity/promote", None, Duration::from_secs(20)));
    open.recv_timeout(Duration::from_secs(10)).expect("asked");
    assert_eq!(process.ask("GET", "/identity", None).status, 200);
    assert!(!waiting.is_finished());
    drop(process);
    let _ = waiting.join().expect("the client ends");
}

#[test]
fn a_command_goes_to_its_end_and_its_audit_line_also_when_the_one_who_asked_has_left() {
    let process = Served::start(Box::new(|command| match command {
        Command::Promote(_) => None,
        _ => Some(Ok(Reply::Report(Report::default()))),
    }));
    let mut stream = UnixStream::connect(process.socket()).expect("connected");
    stream
        .write_all(b"POST /identity/promote HTTP/1.1\r\nhost: x\r\ncontent-length: 0\r\n\r\n")
        .expect("written");
    eventually(|| (process.asked().len() == 1).then_some(())).expect("asked");
    drop(stream);
    // By the time that others are served it is known that this one has left; then the promotion comes to its end.
    for target in ["/identity", "/identity", "/ready"] {
        process.ask("GET", target, None);
    }
    process
        .log
        .says(&["command=\"promote\"", "result=\"done\"", "generation 2 is in use"]);
}

#[test]
fn whatever_may_change_something_leaves_an_audit_line_and_looking_does_not() {
    let process = Served::start(Box::new(|command| match command {
        Command::Stage(_) => Some(Err(Refusal::new(404, "no_such_identity", "there is no am"))),
        _ => Some(done()),
    }));
    process.ask("GET", "/identity", None);
    process.ask("POST", "/identity/stage", Some(&json!({ "identity": "am" })));
    process.ask("POST", "/identity/rollback", Some(&json!({ "reason": "refused" })));
    process.ask("POST", "/shutdown", None);
    let by = format!("uid {} pid {}", rustix::process::getuid().as_raw(), std::process::id());
    let log = &process.log;
    log.says(&[
        "audit=true",
        "command=\"stage\"",
        &by,
        "identity=am",
        "result=\"no_such_identity\"",
    ]);
    log.says(&[
        "audit=true",
        "command=\"rollback\"",
        &by,
        "reason=refused",
        "result=\"done\"",
    ]);
    log.says(&["audit=true", "command=\"shutdown\"", &by, "result=\"done\""]);
    let text = log.text();
    assert!(!text.contains("command=\"status\""), "{text}");
}

#[test]
fn status_is_shown_for_people_and_for_programs_and_only_of_what_is_meant() {
    let process = Served::answering(Ok(Reply::Report(report())));
    let all = process.run("identity status");
    ended(&all, 0);
    assert!(out(&all).contains("allocation-manager, towards ndh") && out(&all).contains("towards other"));
    assert!(!out(&all).contains('\u{1b}'), "a terminal would obey");

    let one = process.run("identity status --upstream ndh --output json");
    ended(&one, 0);
    let shown: Report = serde_json::from_slice(&one.stdout).expect("the report");
    assert_eq!(shown.lineages, report().lineages[..1]);

    let none = process.run("identity status --identity nobody");
    ended(&none, 1);
    assert!(
        error(&none).contains("there are: allocation-manager towards ndh"),
        "{}",
        error(&none)
    );
}

#[test]
fn changes_are_asked_for_with_what_was_typed_and_end_with_1_when_refused() {
    let process = Served::answering(done());
    let promoted = process.run("identity promote --identity am --upstream ndh");
    ended(&promoted, 0);
    assert_eq!(out(&promoted), "generation 2 is in use\n");
    let back = process.run("identity rollback --reason wrong_unit --output json");
    ended(&back, 0);
    let shown: Value = serde_json::from_slice(&back.stdout).expect("JSON");
    assert_eq!(shown, json!({ "done": "generation 2 is in use" }));
    ended(&process.run("identity stage"), 0);
    let which = Which {
        identity: Some("am".to_owned()),
        upstream: Some("ndh".to_owned()),
    };
    let expected = [
        Command::Promote(which),
        Command::RollBack(Which::default(), "wrong unit".to_owned()),
        Command::Stage(Which::default()),
    ];
    assert_eq!(process.asked(), expected);
    let unreasoned = process.run("identity rollback");
    ended(&unreasoned, 2);
    assert!(error(&unreasoned).contains("--reason"), "{}", error(&unreasoned));

    let process = Served::answering(Err(Refusal::new(409, "nothing_to_promote", "no certificate waits")));
    let refused = process.run("identity promote --output json");
    ended(&refused, 1);
    assert_eq!(error(&refused), "error: no certificate waits (nothing_to_promote)\n");
    let shown: Value = serde_json::from_slice(&refused.stdout).expect("JSON");
    assert_eq!(shown["code"], "nothing_to_promote");
}

#[test]
fn wait_ends_when_ready_and_says_what_is_missing_when_not() {
    let mut looks = 0;
    let process = Served::start(Box::new(move |_| {
        looks += 1;
        let pending = vec![("identity:am".to_owned(), "no file yet".to_owned())];
        let ready = looks > 3;
        let pending = if ready { Vec::new() } else { pending };
        Some(Ok(Reply::Ready { ready, pending }))
    }));
    let impatient = process.run("wait --max 1ms");
    ended(&impatient, 1);
    assert!(
        error(&impatient).contains("identity:am: no file yet"),
        "{}",
        error(&impatient)
    );
    ended(&process.run("wait --max 60s"), 0);
    assert!(process.asked().iter().all(|command| *command == Command::Ready));
}

#[test]
fn wait_begins_before_there_is_a_socket() {
    let directory = tempfile::tempdir().expect("a directory");
    let socket = directory.path().join("control.sock");
    let waiting = {
        let line = format!("wait --max 60s --control {}", socket.display());
        std::thread::spawn(move || command(&line))
    };
    let process = Served::answering(Ok(Reply::Ready {
        ready: true,
        pending: Vec::new(),
    }));
    assert!(!waiting.is_finished());
    std::fs::rename(process.socket(), &socket).expect("it appears");
    ended(&waiting.join().expect("it ends"), 0);
}

#[test]
fn shutdown_returns_when_the_process_has_gone() {
    let process = Served::answering(Ok(Reply::Done("draining".to_owned())));
    let told = process.run("shutdown --max 30s");
    ended(&told, 0);
    assert!(!process.socket().exists(), "it returned too early");
    assert_eq!(process.asked()[0], Command::Shutdown);

    let again = process.run("shutdown --max 30s");
    ended(&again, 1);
    assert!(error(&again).contains("is the sidecar running"), "{}", error(&again));

    let stubborn = Served::answering(Err(Refusal::shutting_down()));
    let late = stubborn.run("shutdown --max 50ms");
    ended(&late, 1);
    assert!(error(&late).contains("has not ended"), "{}", error(&late));
}

#[test]
fn without_a_way_to_the_socket_the_commands_say_which_way_was_tried() {
    let directory = tempfile::tempdir().expect("a directory");
    let missing = directory.path().join("control.sock");
    for line in ["identity status", "identity promote", "shutdown", "wait --max 10ms"] {
        let absent = command(&format!("{line} --control {}", missing.display()));
        ended(&absent, 1);
        assert!(
            error(&absent).contains(&missing.display().to_string()),
            "{}",
            error(&absent)
        );
        assert!(
            error(&absent).contains("is [control] in its configuration?"),
            "{}",
            error(&absent)
        );
    }
    let file = directory.path().join("config.toml");
    let text = "[upstream.ndh]\nurl = \"http://127.0.0.1:9\"\n[[route]]\nname = \"all\"\nmatch = \"GET /{file}\"\n\
                [route.ndh]\nupstream = \"ndh\"\n";
    let with_config = |line: &str, text: &str| {
        std::fs::write(&file, text).expect("written");
        Binary::new(env!("CARGO_BIN_EXE_delius-sidecar"))
            .args(line.split_whitespace())
            .arg("--config")
            .arg(&file)
            .output()
            .expect("start the binary")
    };
    let unconfigured = with_config("identity status", text);
    ended(&unconfigured, 2);
    assert!(
        error(&unconfigured).contains("[control]\n    socket = "),
        "{}",
        error(&unconfigured)
    );
    let broken = with_config("shutdown", "[listen\n");
    ended(&broken, 2);
    assert!(error(&broken).contains("--control PATH"), "{}", error(&broken));

    let process = Served::answering(done());
    let configured = format!("[control]\nsocket = \"{}\"\n{text}", process.socket().display());
    ended(&with_config("identity stage", &configured), 0);
    assert_eq!(process.asked().len(), 1);
}

#[test]
fn what_is_no_control_socket_is_named_as_such() {
    let directory = tempfile::tempdir().expect("a directory");
    let path = directory.path().join("control.sock");
    let listener = std::os::unix::net::UnixListener::bind(&path).expect("bound");
    let foreign = std::thread::spawn(move || {
        let (mut stream, _) = listener.accept().expect("accepted");
        let _ = stream.write_all(b"SSH-2.0-x\r\n\r\n");
        let _ = stream.shutdown(std::net::Shutdown::Write);
        let _ = stream.read_to_end(&mut Vec::new());
    });
    let asked = command(&format!("identity status --control {}", path.display()));
    ended(&asked, 1);
    assert!(
        error(&asked).contains("is not this program's control socket"),
        "{}",
        error(&asked)
    );
    foreign.join().expect("it ends");
    assert!(Path::new(&path).exists());
}
