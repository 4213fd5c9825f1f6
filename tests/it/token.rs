//! Tokens against servers that misbehave and against a certified one: how often they are asked, what they are sent, what is kept.
//!
//! The keeper runs on a thread of its own and the callers on another, as in the program; what the keeper logs is searched at
//! its end for everything that must not be there.

use std::collections::BTreeMap;
use std::fs;
use std::net::SocketAddr;
use std::os::unix::fs::symlink;
use std::path::Path;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::mpsc::{Receiver, Sender, channel};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use delius_sidecar::config::{self, Source, settings};
use delius_sidecar::fault::{Code, Fault};
use delius_sidecar::identity::Generation;
use delius_sidecar::telemetry::metrics::Metrics;
use delius_sidecar::token::{Bearer, Place, Tokens};
use delius_sidecar::transport::dial::Endpoint;
use rustls_pki_types::ServerName;
use tempfile::TempDir;
use tokio::sync::oneshot;
use tokio::task::JoinSet;
use tokio::time::Instant;

use crate::support::bin::{NOMS, Sidecar};
use crate::support::hostile::{Conn, Hostile};
use crate::support::lines::Lines;
use crate::support::peer::Tls;
use crate::support::pki::{Ask, Key, NDH, pki};
use crate::support::raw::Client;
use crate::support::world::{self, World};
use crate::support::{eventually, h2, oauth, patience};

/// The characters that raw Basic credentials would spoil, and others that a form has to encode.
const ODD_ID: &str = "am:1/2+3%4 5-1";
const ODD_SECRET: &str = "s:e/c+r%e t~!$&'()*;=@,<>\"\\^`{|}#?[]";
const USER: &str = "JANE_DOE_GEN";
/// Stands in bodies that must not be repeated.
const LEAK: &str = "do-not-repeat-this";

/// Tokens with their keeper on a thread.
struct Kept {
    tokens: Arc<Tokens>,
    metrics: Arc<Metrics>,
    log: Lines,
    runtime: tokio::runtime::Runtime,
    end: Option<oneshot::Sender<()>>,
    thread: Option<std::thread::JoinHandle<()>>,
    directory: TempDir,
}

impl Kept {
    /// With the identifier and secret of [`write_pair`]; `table` are the lines of `[token.t]` beside the files.
    fn of(table: &str) -> Self {
        let directory = tempfile::Builder::new()
            .prefix("delius-token-")
            .tempdir()
            .expect("a directory");
        write_pair(directory.path(), ODD_ID, ODD_SECRET);
        Self::start(directory, table)
    }

    fn start(directory: TempDir, table: &str) -> Self {
        let kept = Self::idle(directory);
        kept.tokens.apply(&kept.settings(table));
        kept
    }

    fn idle(directory: TempDir) -> Self {
        let metrics = Arc::new(Metrics::new(1));
        let tokens = Tokens::new(metrics.clone());
        let (end, ended) = oneshot::channel::<()>();
        let log = Lines::default();
        let thread = std::thread::spawn({
            let (tokens, lines) = (tokens.clone(), log.clone());
            move || {
                let subscriber = tracing_subscriber::fmt()
                    .with_ansi(false)
                    .with_writer(move || lines.clone());
                let _logging = tracing::subscriber::set_default(subscriber.finish());
                runtime().block_on(async {
                    tokio::select! {
                        () = tokens.keep() => {}
                        _ = ended => {}
                    }
                });
            }
        });
        Self {
            tokens,
            metrics,
            log,
            runtime: runtime(),
            end: Some(end),
            thread: Some(thread),
            directory,
        }
    }

    /// The settings of `[token.t]`, read as a file would be.
    fn settings(&self, table: &str) -> BTreeMap<String, settings::Token> {
        let files = if table.contains("delius-logon") {
            String::new()
        } else {
            let file = |name: &str| self.directory.path().join(name).display().to_string();
            format!(
                "client_id_file = \"{}\"\nclient_secret_file = \"{}\"\n",
                file("client-id"),
                file("client-secret")
            )
        };
        let text = format!(
            "[upstream.ndh]\nurl = \"http://127.0.0.1:1\"\ntoken = \"t\"\n\
             [[route]]\nname = \"a\"\nmatch = \"GET /a\"\n[route.ndh]\nupstream = \"ndh\"\n[token.t]\n{files}{table}\n"
        );
        let source = Source::new("c.toml", text);
        let loaded = config::load_run(&[source], &[]).unwrap_or_else(|problems| panic!("{}", problems.lines()));
        loaded.settings.tokens
    }

    fn fetch_as(&self, user: Option<&str>) -> Result<Arc<Bearer>, Fault> {
        self.runtime
            .block_on(self.tokens.fetch("t", user, Instant::now() + patience()))
    }

    fn fetch(&self) -> Result<Arc<Bearer>, Fault> {
        self.fetch_as(None)
    }

    #[track_caller]
    fn text(&self) -> String {
        text(&self.fetch().unwrap_or_else(|fault| panic!("{fault}\n{}", self.said())))
    }

    fn said(&self) -> String {
        self.log.text()
    }

    fn lines_with(&self, part: &str) -> usize {
        self.said().lines().filter(|line| line.contains(part)).count()
    }

    fn metric(&self, line: &str) -> Option<f64> {
        let text = self.metrics.exposition().expect("text");
        let found = text.lines().find_map(|found| found.strip_prefix(line))?;
        found.trim().parse().ok()
    }

    fn fetched(&self, result: &str) -> f64 {
        let name = format!("delius_sidecar_token_fetches_total{{token=\"t\",result=\"{result}\"}}");
        self.metric(&name).unwrap_or_default()
    }

    fn changed(&self, result: &str) -> f64 {
        let name = format!("delius_sidecar_token_pair_changed_total{{token=\"t\",result=\"{result}\"}}");
        self.metric(&name).unwrap_or_default()
    }

    #[track_caller]
    fn wait(&self, what: &str, mut holds: impl FnMut(&Self) -> bool) {
        let held = eventually(|| holds(self).then_some(()));
        assert!(held.is_some(), "{what}: did not come about; the log:\n{}", self.said());
    }
}

impl Drop for Kept {
    fn drop(&mut self) {
        drop(self.end.take());
        let ended = self.thread.take().map(std::thread::JoinHandle::join);
        if std::thread::panicking() {
            return;
        }
        ended.expect("a thread").expect("the keeper did not panic");
        let said = format!("{}\n{}", self.said(), self.metrics.exposition().expect("text"));
        for secret in [ODD_SECRET, "s2-new-secret", USER, LEAK, "Bearer ", "tok-", "Basic "] {
            assert!(!said.contains(secret), "{secret} stands in\n{said}");
        }
    }
}

fn runtime() -> tokio::runtime::Runtime {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build();
    runtime.expect("a runtime")
}

fn write_pair(directory: &Path, id: &str, secret: &str) {
    fs::write(directory.join("client-id"), id).expect("written");
    fs::write(directory.join("client-secret"), format!("{secret}\n")).expect("written");
}

fn url(address: SocketAddr) -> String {
    format!("url = \"http://{address}/auth/oauth/token\"\n")
}

fn text(bearer: &Bearer) -> String {
    String::from_utf8(bearer.header_value().to_vec()).expect("text")
}

fn answer(status: &str, body: &str) -> String {
    let length = body.len();
    format!("HTTP/1.1 {status}\r\ncontent-type: application/json\r\ncontent-length: {length}\r\n\r\n{body}")
}

fn grant(token: &str, seconds: u64) -> String {
    let body =
        format!("{{\"access_token\":\"{token}\",\"token_type\":\"BeArEr\",\"expires_in\":\"{seconds}\",\"scope\":[]}}");
    answer("200 OK", &body)
}

fn refusal() -> String {
    let body = format!("{{\"error\":\"invalid_client\",\"error_description\":\"{LEAK}\"}}");
    answer("401 Unauthorized", &body)
}

/// Identifier and secret of a request, after base64 and the form's encoding were taken off.
fn credentials(head: &str) -> Option<(String, String)> {
    let value = head
        .lines()
        .find_map(|line| line.strip_prefix("authorization: Basic "))?;
    let pair = String::from_utf8(STANDARD.decode(value.trim()).ok()?).ok()?;
    let (id, secret) = pair.split_once(':')?;
    Some((decoded(id), decoded(secret)))
}

fn decoded(text: &str) -> String {
    let mut out = Vec::new();
    let mut bytes = text.bytes();
    while let Some(byte) = bytes.next() {
        out.push(match byte {
            b'+' => b' ',
            b'%' => {
                let digits: String = bytes.by_ref().take(2).map(char::from).collect();
                u8::from_str_radix(&digits, 16).expect("two digits")
            }
            _ => byte,
        });
    }
    String::from_utf8(out).expect("text")
}

/// A server that answers each request by its number, from 0.
fn server(answers: impl Fn(usize, &str, &str) -> String + Send + Sync + 'static) -> Hostile {
    Hostile::plain(move |number, conn| {
        if let Some((head, body)) = conn.request() {
            let answer = answers(number, &head, &String::from_utf8_lossy(&body));
            conn.write(answer).close();
        }
    })
}

/// A door that the test opens.
fn door() -> (Sender<()>, impl Fn() + Send + Sync) {
    let (open, opened) = channel();
    let opened: Mutex<Receiver<()>> = Mutex::new(opened);
    let wait = move || {
        let _ = opened.lock().expect("a door").recv();
    };
    (open, wait)
}

#[test]
fn one_fetch_serves_everybody_who_waits_and_carries_the_encoded_client() {
    let (open, wait) = door();
    let server = server(move |_, head, body| {
        assert_eq!(credentials(head), Some((ODD_ID.to_owned(), ODD_SECRET.to_owned())));
        assert!(head.starts_with("POST /auth/oauth/token HTTP/1.1\r\n"), "{head}");
        assert_eq!(
            body,
            "grant_type=client_credentials&scope=read+write&auth_source=delius"
        );
        wait();
        grant("tok-1", 1200)
    });
    let extra = "scopes = [\"read\", \"write\"]\nparameters = { auth_source = \"delius\" }";
    let kept = Kept::of(&format!("{}{extra}", url(server.address())));
    let got: Vec<_> = kept.runtime.block_on(async {
        let mut callers = JoinSet::new();
        for _ in 0..100 {
            let tokens = kept.tokens.clone();
            callers.spawn(async move { tokens.fetch("t", None, Instant::now() + patience()).await });
        }
        tokio::task::yield_now().await;
        assert!(kept.tokens.bearer("t", None).is_none());
        assert!(server.wait(|seen| seen.iter().any(|seen| !seen.bytes.is_empty())));
        open.send(()).expect("a server");
        callers.join_all().await
    });
    let first = got[0].as_ref().expect("a token");
    assert!(
        got.iter()
            .all(|got| got.as_ref().is_ok_and(|got| Arc::ptr_eq(got, first)))
    );
    assert_eq!(text(first), "Bearer tok-1");
    let cached = kept.tokens.bearer("t", None).expect("at once");
    assert!(Arc::ptr_eq(&cached, first));
    assert_eq!(server.seen().len(), 1);
    assert!(format!("{cached:?}").contains("Bearer {") && !format!("{cached:?}").contains("tok-1"));
}

#[test]
fn the_grant_may_stand_in_the_query_with_an_empty_body() {
    let server = server(|_, head, body| {
        let line = "POST /auth/oauth/token?grant_type=client_credentials HTTP/1.1\r\n";
        assert!(
            head.starts_with(line) && head.contains("content-length: 0\r\n"),
            "{head}"
        );
        assert_eq!(body, "");
        grant("tok-1", 1200)
    });
    let kept = Kept::of(&format!("{}grant_in = \"query\"", url(server.address())));
    assert_eq!(kept.text(), "Bearer tok-1");
}

#[test]
fn what_passes_by_itself_is_asked_again_and_the_request_waits_for_it() {
    let server = Hostile::plain(|number, conn: &mut Conn| {
        let Some(_) = conn.request() else { return };
        match number {
            0 => conn
                .write(answer("503 Service Unavailable", &format!("<html>{LEAK}")))
                .close(),
            1 => conn.reset(),
            2 => conn
                .write(answer("200 OK", &format!("{{\"access_token\":\"{LEAK}")))
                .close(),
            _ => conn.write(grant("tok-1", 1200)).close(),
        }
    });
    let kept = Kept::of(&url(server.address()));
    assert_eq!(kept.text(), "Bearer tok-1");
    let results = ["server_error", "unreachable", "invalid", "ok"];
    assert_eq!(results.map(|result| kept.fetched(result)), [1.0; 4]);
    assert_eq!(kept.lines_with("no token can be had"), 1, "{}", kept.said());
    kept.wait("the end of it is said", |kept| {
        kept.lines_with("tokens can be had again") == 1
    });
    let expires = kept.metric("delius_sidecar_token_expires_timestamp_seconds{token=\"t\"}");
    assert!(expires.is_some_and(|at| at > 1.7e9));
    assert!(
        kept.metric("delius_sidecar_token_secret_since_timestamp_seconds{token=\"t\"}")
            .is_some()
    );
}

#[test]
fn a_refused_client_raises_one_alarm_and_is_not_asked_for_each_request() {
    let server = server(|_, _, _| refusal());
    let kept = Kept::of(&url(server.address()));
    for _ in 0..50 {
        let fault = kept.fetch().expect_err("refused");
        assert_eq!(fault.code, Code::TokenUnavailable);
        assert!(fault.detail.contains("401 (invalid_client)"), "{fault}");
        assert!(!fault.detail.contains(LEAK) && fault.retry_after.is_some_and(|seconds| seconds > 5));
    }
    assert_eq!(server.seen().len(), 1);
    assert_eq!(kept.lines_with("until somebody acts"), 1);
    assert_eq!(kept.fetched("refused"), 1.0);
}

#[test]
fn a_reply_without_end_is_cut_off_and_never_quoted() {
    let server = Hostile::plain(|_, conn: &mut Conn| {
        let Some(_) = conn.request() else { return };
        conn.write("HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\n");
        for _ in 0..64 {
            conn.write(format!("1000\r\n{}\r\n", LEAK.repeat(300)[..4096].to_owned()));
        }
        conn.hold();
    });
    let kept = Kept::of(&url(server.address()));
    kept.wait("it is cut off", |kept| kept.fetched("invalid") >= 1.0);
    let fault = kept.fetch_within(Duration::from_millis(600)).expect_err("no token");
    assert!(fault.detail.contains("more than 65536 bytes"), "{fault}");
}

#[test]
fn garbage_instead_of_http_is_not_quoted() {
    let server = Hostile::plain(|_, conn: &mut Conn| {
        let Some(_) = conn.request() else { return };
        conn.write(format!("220 {LEAK}\r\n\r\n")).close();
    });
    let kept = Kept::of(&url(server.address()));
    kept.wait("it is noticed", |kept| kept.fetched("invalid") >= 1.0);
    let fault = kept.fetch_within(Duration::from_millis(600)).expect_err("no token");
    assert!(fault.detail.contains("what HTTP does not allow"), "{fault}");
}

#[test]
fn a_redirect_is_not_followed() {
    let elsewhere = server(|_, _, _| grant("tok-1", 1200));
    let target = format!("location: http://{}/token\r\n", elsewhere.address());
    let server = server(move |_, _, _| format!("HTTP/1.1 307 x\r\n{target}content-length: 0\r\n\r\n"));
    let kept = Kept::of(&url(server.address()));
    let fault = kept.fetch().expect_err("no token");
    assert!(fault.detail.contains("it redirects"), "{fault}");
    assert!(elsewhere.seen().is_empty());
}

#[test]
fn a_caller_who_leaves_does_not_cancel_the_fetch() {
    let (open, wait) = door();
    let server = server(move |_, _, _| {
        wait();
        grant("tok-1", 1200)
    });
    let kept = Kept::of(&url(server.address()));
    let fault = kept.fetch_within(Duration::from_millis(50)).expect_err("too soon");
    assert_eq!(fault.code, Code::TokenUnavailable);
    assert!(fault.detail.contains("did not come in time"), "{fault}");
    open.send(()).expect("a server");
    kept.wait("it comes nevertheless", |kept| kept.tokens.bearer("t", None).is_some());
    assert_eq!(server.seen().len(), 1);
}

#[test]
fn a_server_that_says_nothing_costs_one_timeout() {
    let server = Hostile::plain(|_, conn: &mut Conn| {
        conn.request();
        conn.hold();
    });
    let kept = Kept::of(&format!("{}timeout = \"300ms\"", url(server.address())));
    let fault = kept.fetch().expect_err("no token");
    assert!(fault.detail.contains("not answered within 300ms"), "{fault}");
    assert!(kept.fetched("timeout") >= 1.0);
}

#[test]
fn a_token_that_is_over_is_not_sent_although_no_other_can_be_had() {
    let server = server(|number, _, _| match number {
        0 => grant("tok-1", 3),
        _ => answer("500 Internal Server Error", ""),
    });
    let kept = Kept::of(&url(server.address()));
    assert_eq!(kept.text(), "Bearer tok-1");
    kept.wait("it ends", |kept| kept.tokens.bearer("t", None).is_none());
    let fault = kept.fetch().expect_err("no token");
    assert_eq!(fault.code, Code::TokenUnavailable);
    assert!(fault.detail.contains("500"), "{fault}");
    assert!(kept.tokens.bearer("t", None).is_none());
}

#[test]
fn a_refused_token_is_replaced_once_and_an_api_that_refuses_all_sets_off_no_storm() {
    let server = server(|number, _, _| grant(&format!("tok-{number}"), 1200));
    let kept = Kept::of(&url(server.address()));
    let first = kept.fetch().expect("a token");
    kept.tokens.refused("t", None, &first).expect("another can be had");
    assert!(kept.tokens.bearer("t", None).is_none());
    let second = kept.fetch().expect("another");
    assert_eq!(
        (text(&first), text(&second)),
        ("Bearer tok-0".into(), "Bearer tok-1".into())
    );
    for _ in 0..20 {
        let fault = kept.tokens.refused("t", None, &second).expect_err("no third");
        assert_eq!(fault.code, Code::TokenRefused);
        kept.tokens
            .refused("t", None, &first)
            .expect("an older one: take the current");
        assert!(Arc::ptr_eq(&kept.fetch().expect("the current"), &second));
    }
    assert_eq!(server.seen().len(), 2);
}

/// The clients that a server knows, as identifier and secret.
type Clients = Arc<Mutex<Vec<(String, String)>>>;

/// Accepts the clients that the test names, and numbers its tokens.
fn register(clients: &[(&str, &str)]) -> (Clients, Hostile) {
    let own = |(id, secret): &(&str, &str)| ((*id).to_owned(), (*secret).to_owned());
    let known = Arc::new(Mutex::new(clients.iter().map(own).collect::<Vec<_>>()));
    let accepted = known.clone();
    let server = server(move |number, head, _| {
        let known = accepted.lock().expect("clients");
        match credentials(head).filter(|pair| known.contains(pair)) {
            Some(_) => grant(&format!("tok-{number}"), 1200),
            None => refusal(),
        }
    });
    (known, server)
}

/// A secret's volume as Kubernetes makes it: links to a directory that is swapped whole.
fn volume(directory: &Path, version: &str, id: &str, secret: &str) {
    let data = directory.join(version);
    fs::create_dir(&data).expect("made");
    write_pair(&data, id, secret);
    symlink(version, directory.join("..next")).expect("linked");
    fs::rename(directory.join("..next"), directory.join("..data")).expect("swapped");
    for name in ["client-id", "client-secret"] {
        if !directory.join(name).is_symlink() {
            symlink(format!("..data/{name}"), directory.join(name)).expect("linked");
        }
    }
}

#[test]
fn a_changed_pair_is_proven_before_it_replaces_the_old_one() {
    let (known, server) = register(&[("am-1", ODD_SECRET)]);
    let directory = tempfile::tempdir().expect("a directory");
    volume(directory.path(), "..1", "am-1", ODD_SECRET);
    let kept = Kept::start(directory, &url(server.address()));
    let first = kept.fetch().expect("a token");
    // The new client is not known yet: it is refused, said once, and the old one goes on.
    volume(kept.directory.path(), "..2", "am-2", "s2-new-secret");
    // Counted first, then said: what is waited for is the last of it.
    kept.wait("the new pair is refused", |kept| {
        kept.lines_with("a changed client is refused") >= 1
    });
    assert!(Arc::ptr_eq(&kept.fetch().expect("the old one's"), &first));
    assert_eq!(kept.lines_with("a changed client is refused"), 1);
    assert_eq!(kept.changed("refused"), 1.0);
    // What arrives next is accepted, and its token replaces the old one's.
    known
        .lock()
        .expect("clients")
        .push(("am-3".to_owned(), "s2-new-secret".to_owned()));
    volume(kept.directory.path(), "..3", "am-3", "s2-new-secret");
    kept.wait("the next pair is proven", |kept| {
        kept.lines_with("a changed client was proven") >= 1
    });
    assert_eq!(kept.changed("proven"), 1.0);
    let second = kept.fetch().expect("the new one's");
    assert!(!Arc::ptr_eq(&second, &first));
    assert!(kept.said().contains("audit=true") && kept.said().contains("client_id=\"am-3\""));
    assert_eq!(server.seen().len(), 3, "one fetch for each pair");
    assert_eq!(kept.fetched("refused"), 1.0);
}

#[test]
fn files_that_arrive_one_after_the_other_are_tried_as_the_pair_that_they_are() {
    let (known, server) = register(&[("am-1", ODD_SECRET)]);
    let directory = tempfile::tempdir().expect("a directory");
    write_pair(directory.path(), "am-1", ODD_SECRET);
    let kept = Kept::start(directory, &url(server.address()));
    kept.text();
    known
        .lock()
        .expect("clients")
        .push(("am-2".to_owned(), "s2-new-secret".to_owned()));
    fs::write(kept.directory.path().join("client-id"), "am-2").expect("written");
    kept.wait("the first file is noticed", |kept| {
        kept.lines_with("the pair is tried") == 1
    });
    fs::write(kept.directory.path().join("client-secret"), "s2-new-secret").expect("written");
    kept.wait("the pair is proven", |kept| kept.changed("proven") >= 1.0);
    assert_eq!(kept.changed("refused"), 0.0);
    assert_eq!(server.seen().len(), 2, "the mixed pair was never sent");
}

#[test]
fn files_that_come_late_are_used_when_they_come_and_files_that_go_leave_the_pair_in_use() {
    let (_, server) = register(&[("am-1", ODD_SECRET)]);
    let kept = Kept::start(tempfile::tempdir().expect("a directory"), &url(server.address()));
    let fault = kept.fetch().expect_err("no client");
    assert!(
        fault.detail.contains("client-id") && fault.detail.contains("is the secret mounted?"),
        "{fault}"
    );
    write_pair(kept.directory.path(), "am-1", ODD_SECRET);
    kept.wait("the token is there", |kept| kept.tokens.bearer("t", None).is_some());
    fs::remove_file(kept.directory.path().join("client-secret")).expect("removed");
    kept.wait("it is noticed", |kept| kept.changed("unusable") >= 2.0);
    assert!(kept.tokens.bearer("t", None).is_some());
}

#[test]
fn each_user_has_a_token_of_their_own_and_the_oldest_gives_way() {
    let server = server(|number, _, body| {
        let user = body.split("&username=").nth(1).map(decoded);
        grant(&format!("tok-{}-{number}", user.unwrap_or_default()), 1200)
    });
    let kept = Kept::of(&format!(
        "{}username_header = \"x-delius-username\"\nusers = 2",
        url(server.address())
    ));
    let token = |user| text(&kept.fetch_as(Some(user)).expect("a token"));
    let jane = token(USER);
    assert!(jane.starts_with(&format!("Bearer tok-{USER}-")), "{jane}");
    assert_eq!(token(USER), jane);
    assert!(kept.text().starts_with("Bearer tok--"), "the one that names nobody");
    let odd = token("A&b=c%20D");
    assert!(odd.starts_with("Bearer tok-A&b=c%20D-"), "{odd}");
    assert!(kept.tokens.bearer("t", Some(USER)).is_some());
    token("THIRD");
    assert!(
        kept.tokens.bearer("t", Some("A&b=c%20D")).is_none(),
        "the one not used for longest"
    );
    assert!(kept.tokens.bearer("t", Some(USER)).is_some());
    let long = "X".repeat(129);
    for wrong in ["", "two words", "J\u{e4}ne", long.as_str()] {
        let fault = kept.fetch_as(Some(wrong)).expect_err("no user");
        assert_eq!(fault.code, Code::RequestMalformed);
        assert!(
            !fault.detail.contains("words") || !fault.detail.contains("two"),
            "{fault}"
        );
    }
    assert_eq!(server.seen().len(), 4);
}

#[test]
fn a_reload_keeps_the_tokens_of_what_did_not_change() {
    let server = server(|number, _, _| grant(&format!("tok-{number}"), 1200));
    let kept = Kept::of(&url(server.address()));
    let first = kept.fetch().expect("a token");
    kept.tokens.apply(&kept.settings(&url(server.address())));
    assert!(Arc::ptr_eq(&kept.fetch().expect("the same"), &first));
    kept.tokens
        .apply(&kept.settings(&format!("{}scopes = \"read\"", url(server.address()))));
    assert!(!Arc::ptr_eq(&kept.fetch().expect("another"), &first));
    kept.tokens.apply(&BTreeMap::new());
    assert_eq!(kept.fetch().expect_err("none").code, Code::TokenUnavailable);
}

#[test]
fn over_tls_the_secret_is_sent_to_nobody_but_the_server_that_the_bundle_vouches_for() {
    let script = |_: usize, conn: &mut Conn| {
        if conn.handshake() && conn.request().is_some() {
            conn.write(grant("tok-1", 1200)).close();
        }
    };
    let server = Hostile::tls(
        pki().server_config(Tls::V13, &pki().server(Key::Ecdsa), Ask::Nothing),
        script,
    );
    let directory = tempfile::tempdir().expect("a directory");
    write_pair(directory.path(), ODD_ID, ODD_SECRET);
    let bundle = directory.path().join("ca.crt");
    fs::write(&bundle, pki().other_root_pem()).expect("written");
    let table = format!(
        "url = \"https://{}/token\"\nserver_name = \"{NDH}\"\ntrust = \"{}\"",
        server.address(),
        bundle.display()
    );
    let kept = Kept::start(directory, &table);
    kept.wait("it is tried", |kept| kept.fetched("unreachable") >= 1.0);
    let fault = kept.fetch_within(Duration::from_millis(600)).expect_err("no token");
    assert!(fault.detail.contains("certificate"), "{fault}");
    assert!(server.bytes().is_empty(), "nothing was sent");
    fs::write(&bundle, pki().root_pem()).expect("written");
    kept.wait("the right bundle is used", |kept| {
        kept.tokens.bearer("t", None).is_some()
    });
    assert_eq!(kept.text(), "Bearer tok-1");
}

fn logon_place(address: SocketAddr) -> Place {
    let leaf = pki().client(Key::Ecdsa);
    let config = pki().client_config(Tls::V13, Some(&leaf));
    Place {
        endpoint: Endpoint {
            host: address.ip().to_string(),
            port: address.port(),
            server_name: ServerName::try_from(NDH).expect("a name"),
            connect: patience(),
            handshake: patience(),
        },
        host: NDH.to_owned(),
        base_path: "/base".to_owned(),
        generation: Arc::new(Generation::new(
            1,
            Some("am".to_owned()),
            None,
            (*config).clone(),
            Arc::default(),
        )),
    }
}

#[test]
fn a_delius_logon_goes_over_the_upstreams_own_mutual_tls() {
    let unknown = Arc::new(AtomicBool::new(true));
    let still_unknown = unknown.clone();
    let server = Hostile::tls(pki().good_server(), move |_, conn| {
        if !conn.handshake() {
            return;
        }
        let Some((head, body)) = conn.request() else { return };
        assert!(conn.peer().is_some(), "our certificate was shown");
        assert!(head.starts_with("POST /base/api/logon HTTP/1.1\r\n"), "{head}");
        assert!(
            head.contains("content-type: text/plain\r\n") && head.contains("host: ndh.example\r\n"),
            "{head}"
        );
        assert!(!head.to_ascii_lowercase().contains("authorization"), "{head}");
        if still_unknown.load(Ordering::Acquire) {
            conn.write("HTTP/1.1 404 Not Found\r\ncontent-length: 0\r\n\r\n")
                .close();
        } else {
            assert_eq!(body, b"cn=user,ou=people");
            conn.write("HTTP/1.1 200 OK\r\ncontent-length: 8\r\n\r\ntok-1\r\n ")
                .close();
        }
    });
    let directory = tempfile::tempdir().expect("a directory");
    let file = directory.path().join("user");
    fs::write(&file, "cn=user,ou=people\n").expect("written");
    let kept = Kept::idle(directory);
    let address = server.address();
    kept.tokens.set_places(move |upstream| {
        assert_eq!(upstream, "ndh");
        Ok(logon_place(address))
    });
    let table = |extra: &str| {
        kept.settings(&format!(
            "kind = \"delius-logon\"\nupstream = \"ndh\"\nuser_file = \"{}\"\n{extra}",
            file.display()
        ))
    };
    kept.tokens.apply(&table(""));
    let fault = kept.fetch().expect_err("an unknown user");
    assert!(fault.detail.contains("does not know the Delius user"), "{fault}");
    unknown.store(false, Ordering::Release);
    kept.tokens.apply(&table("refresh_ahead = \"30s\""));
    assert_eq!(kept.text(), "Bearer tok-1");
}

#[test]
fn a_logon_waits_for_a_certificate_and_not_for_the_end_of_a_pause() {
    let server = Hostile::tls(pki().good_server(), |_, conn| {
        if conn.handshake() && conn.request().is_some() {
            conn.write("HTTP/1.1 200 OK\r\ncontent-length: 5\r\n\r\ntok-1").close();
        }
    });
    let kept = Kept::idle(tempfile::tempdir().expect("a directory"));
    let place = logon_place(server.address());
    let has = Arc::new(AtomicBool::new(false));
    let there = has.clone();
    kept.tokens.set_places(move |_| match there.load(Ordering::Acquire) {
        true => Ok(place.clone()),
        false => Err(Fault::new(Code::IdentityMissing, "there is no certificate to show")),
    });
    kept.tokens
        .apply(&kept.settings("kind = \"delius-logon\"\nupstream = \"ndh\""));
    // The next pause is a long one by then.
    kept.wait("it was asked for in vain", |kept| kept.fetched("files") >= 5.0);
    let fault = kept.fetch().expect_err("no certificate");
    assert!(fault.detail.contains("no certificate to show"), "{fault}");
    has.store(true, Ordering::Release);
    let since = Instant::now();
    kept.wait("the token is there", |kept| kept.tokens.bearer("t", None).is_some());
    assert!(since.elapsed() < Duration::from_secs(3), "{:?}", since.elapsed());
}

#[test]
fn a_logon_over_http2_is_a_logon() {
    let mut config = pki().good_server();
    config.alpn_protocols = vec![b"h2".to_vec()];
    // It answers with what it was sent: the user's name.
    let server = h2::Upstream::start(config, 100);
    let address = server.address();
    let kept = Kept::idle(tempfile::tempdir().expect("a directory"));
    kept.tokens.set_places(move |_| {
        let leaf = pki().client(Key::Ecdsa);
        let mut config = (*pki().client_config(Tls::V13, Some(&leaf))).clone();
        config.alpn_protocols = vec![b"h2".to_vec(), b"http/1.1".to_vec()];
        let generation = Arc::new(Generation::new(1, None, None, config, Arc::default()));
        Ok(Place {
            base_path: String::new(),
            generation,
            ..logon_place(address)
        })
    });
    let table = "kind = \"delius-logon\"\nupstream = \"ndh\"\npath = \"/echo/logon\"";
    kept.tokens.apply(&kept.settings(table));
    assert_eq!(kept.text(), "Bearer NationalUser");
    assert_eq!(server.seen("/echo/logon").len(), 1);
}

#[test]
fn a_logon_whose_certificate_is_refused_tells_the_identity() {
    let server = pki().server_config(Tls::V13, &pki().server(Key::Ecdsa), Ask::Theirs);
    let server = Hostile::tls(server, |_, conn| {
        conn.handshake();
    });
    let place = logon_place(server.address());
    let generation = place.generation.clone();
    let kept = Kept::idle(tempfile::tempdir().expect("a directory"));
    kept.tokens.set_places(move |_| Ok(place.clone()));
    kept.tokens
        .apply(&kept.settings("kind = \"delius-logon\"\nupstream = \"ndh\""));
    kept.wait("the identity is told", |_| generation.take_refusals() > 0);
    assert!(kept.tokens.bearer("t", None).is_none());
}

#[test]
fn a_certified_server_takes_the_client_and_its_tokens_are_good() {
    let Some(mut server) = oauth::start(&[(ODD_ID, ODD_SECRET)], 1200) else {
        return;
    };
    let table = |grant_in: &str| {
        format!(
            "url = \"http://{}/token\"\nscopes = [\"read\", \"write\"]\nusername_header = \"x-user\"\ngrant_in = \"{grant_in}\"",
            server.address
        )
    };
    let kept = Kept::of(&table("body"));
    let address = server.address;
    let api = move |bearer: &Bearer| {
        let mut client = Client::connect(address);
        client.send(format!(
            "GET /api HTTP/1.1\r\nhost: a\r\nauthorization: {}\r\n\r\n",
            text(bearer)
        ));
        client.reply("GET").expect("a reply").status
    };
    let first = kept.fetch().expect("a token");
    assert_eq!(api(&first), 200);
    assert_eq!(api(&kept.fetch_as(Some(USER)).expect("a token that names a user")), 200);
    // A rotation as HMPPS Auth makes it: a copy of another name lives beside the old client, which ends later.
    server.set_clients(&[(ODD_ID, ODD_SECRET), ("am-2", "s2-new-secret")]);
    write_pair(kept.directory.path(), "am-2", "s2-new-secret");
    kept.wait("the new client is proven", |kept| kept.changed("proven") >= 1.0);
    server.set_clients(&[("am-2", "s2-new-secret")]);
    let second = kept.fetch().expect("a token");
    assert_eq!((api(&first), api(&second)), (200, 200));
    kept.tokens.refused("t", None, &second).expect("another can be had");
    assert_eq!(api(&kept.fetch().expect("a third")), 200);
    // A secret that is wrong is refused, in words that say whose fault it is, and changes nothing.
    write_pair(kept.directory.path(), "am-2", "wrong");
    kept.wait("it is refused", |kept| kept.changed("refused") >= 1.0);
    assert!(kept.said().contains("401 (invalid_client)"), "{}", kept.said());
    assert_eq!(api(&kept.fetch().expect("the old one's")), 200);
}

impl Kept {
    fn fetch_within(&self, time: Duration) -> Result<Arc<Bearer>, Fault> {
        self.runtime
            .block_on(self.tokens.fetch("t", None, Instant::now() + time))
    }
}

/// A sidecar whose one upstream needs a token, an API that answers by the token, and the two servers.
struct Route {
    sidecar: Sidecar,
    api: Hostile,
    auth: Hostile,
}

impl Route {
    /// `grants`: by number of the request; `accepts`: which tokens the API takes.
    fn start(
        grants: impl Fn(usize) -> String + Send + Sync + 'static,
        accepts: impl Fn(&str) -> bool + Send + Sync + 'static,
    ) -> Self {
        let auth = server(move |number, _, _| grants(number));
        let api = Hostile::plain(move |_, conn: &mut Conn| {
            while let Some((head, _)) = conn.request() {
                let mut fields = head.lines().filter_map(|line| line.split_once(": "));
                let token = fields.find(|(name, _)| name.eq_ignore_ascii_case("authorization"));
                let token = token.and_then(|(_, value)| value.strip_prefix("Bearer "));
                match token.is_some_and(&accepts) {
                    true => conn.write(answer("200 OK", "{}")),
                    false => conn.write("HTTP/1.1 401 x\r\nwww-authenticate: Bearer\r\ncontent-length: 0\r\n\r\n"),
                };
            }
        });
        let directory = world::directory();
        write_pair(directory.path(), ODD_ID, ODD_SECRET);
        let file = |name: &str| world::text(&directory.path().join(name).display().to_string());
        let config = World::to_url(&format!("http://{}", api.address()))
            .no_identity()
            .set("upstream.ndh", "token", world::text("t"))
            .set(
                "token.t",
                "url",
                world::text(&format!("http://{}/token", auth.address())),
            )
            .set("token.t", "client_id_file", file("client-id"))
            .set("token.t", "client_secret_file", file("client-secret"))
            .set("token.t", "username_header", world::text("x-delius-username"))
            .write(directory.path());
        Self {
            sidecar: Sidecar::start(directory, &config),
            api,
            auth,
        }
    }

    fn get(&self) -> (u16, Option<String>) {
        let mut client = Client::connect(self.sidecar.listen);
        client.send(format!(
            "GET /p/{NOMS} HTTP/1.1\r\nHost: a\r\nAuthorization: Bearer the-apps-own\r\nX-Delius-Username: {USER}\r\n\r\n"
        ));
        let reply = client.reply("GET").expect("a reply");
        (reply.status, reply.fault().map(str::to_owned))
    }

    fn said_nothing_secret(&self) {
        let printed = self.sidecar.printed();
        for secret in ["tok-", ODD_SECRET, USER, "the-apps-own"] {
            assert!(!printed.contains(secret), "{secret} stands in\n{printed}");
        }
    }
}

#[test]
fn through_the_sidecar_a_refused_token_costs_the_application_nothing() {
    // The API forgets every token that it knew before the test says so, as after a change of keys.
    let route = Route::start(
        |number| grant(&format!("tok-{number}"), 1200),
        |token| !matches!(token, "tok-0" | "tok-1"),
    );
    // One for nobody, ahead; one for the user, refused; one more for the user.
    for _ in 0..2 {
        assert_eq!(route.get(), (200, None), "{}", route.sidecar.printed());
    }
    assert!(route.auth.seen().len() <= 4, "{}", route.auth.seen().len());
    let sent = String::from_utf8_lossy(&route.api.bytes()).into_owned();
    assert!(!sent.contains("the-apps-own") && !sent.contains(USER), "{sent}");
    route.said_nothing_secret();
}

#[test]
fn through_the_sidecar_an_api_that_refuses_every_token_is_no_loop() {
    let route = Route::start(|number| grant(&format!("tok-{number}"), 1200), |_| false);
    for _ in 0..20 {
        assert_eq!(route.get(), (503, Some("token_refused".to_owned())));
    }
    assert!(
        route.auth.seen().len() <= 3,
        "{} token requests",
        route.auth.seen().len()
    );
    assert!(route.api.count("GET /p/") <= 22, "{}", route.api.count("GET /p/"));
    route.said_nothing_secret();
}

#[test]
fn through_the_sidecar_nothing_is_asked_without_a_token() {
    let route = Route::start(|_| refusal(), |_| true);
    for _ in 0..20 {
        assert_eq!(route.get(), (503, Some("token_unavailable".to_owned())));
    }
    assert!(route.api.bytes().is_empty());
    assert!(
        route.auth.seen().len() <= 2,
        "{} token requests",
        route.auth.seen().len()
    );
    route.said_nothing_secret();
}
