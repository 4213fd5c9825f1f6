//! `stand-in auth` and `stand-in standard` as commands: a token, a case record, every refusal, TLS, faults, a lie.
//!
//! Two processes, as in staging: the read API fetches the keys of the other over the network.

use std::fs;
use std::io::{BufRead as _, BufReader, Read as _};
use std::net::SocketAddr;
use std::path::Path;
use std::process::{Child, ChildStdout, Command, Stdio};

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use rustix::process::{Pid, Signal, kill_process};
use serde_json::{Value, json};
use tempfile::TempDir;

use crate::support::eventually;
use crate::support::peer::Tls;
use crate::support::pki::{Key, pki};
use crate::support::raw::{Broken, Client, Reply};

const RECORD: &str = "/case-records/Z9001XA";
const GRANT: &str = "/auth/oauth/token?grant_type=client_credentials";

/// A stand-in that serves; it gets SIGTERM in the end, and then has to end well.
struct StandIn {
    child: Child,
    stdout: BufReader<ChildStdout>,
    url: String,
}

impl StandIn {
    fn start(place: &Path, line: &str) -> Self {
        let mut child = Command::new(env!("CARGO_BIN_EXE_delius-sidecar"))
            .arg("stand-in")
            .args(line.split_whitespace())
            .args(["--listen", "127.0.0.1:0"])
            .current_dir(place)
            .stdin(Stdio::null())
            .stdout(Stdio::piped())
            .spawn()
            .expect("start the binary");
        let mut stdout = BufReader::new(child.stdout.take().expect("piped"));
        let mut said = String::new();
        stdout.read_line(&mut said).expect("what it says first");
        let url = said.trim_end().rsplit(' ').next().unwrap_or_default().to_owned();
        assert!(url.starts_with("http"), "{line}: {said:?}");
        Self { child, stdout, url }
    }

    fn address(&self) -> SocketAddr {
        let (_, address) = self.url.split_once("://").expect("a url");
        address.parse().expect("an address")
    }

    fn client(&self) -> Client {
        if self.url.starts_with("https") {
            let config = pki().client_config(Tls::V13, None);
            Client::connect_tls(self.address(), "localhost", &config).expect("a handshake")
        } else {
            Client::connect(self.address())
        }
    }

    fn try_send(&self, method: &str, target: &str, headers: &str, body: &str) -> Result<Reply, Broken> {
        let length = body.len();
        let request =
            format!("{method} {target} HTTP/1.1\r\nHost: localhost\r\nContent-Length: {length}\r\n{headers}\r\n{body}");
        self.client().send(request).reply(method)
    }

    #[track_caller]
    fn send(&self, method: &str, target: &str, headers: &str, body: &str) -> Reply {
        let reply = self.try_send(method, target, headers, body);
        reply.unwrap_or_else(|broken| panic!("{method} {target}: {broken:?}"))
    }

    /// Asks for a token as this client.
    #[track_caller]
    fn grant(&self, pair: &str) -> Reply {
        self.send("POST", GRANT, &basic(pair), "")
    }

    /// The header that lets in whoever has this token.
    #[track_caller]
    fn bearer(&self, pair: &str) -> String {
        let answer = json(&self.grant(pair));
        let token = answer["access_token"].as_str().unwrap_or_else(|| panic!("{answer}"));
        format!("Authorization: Bearer {token}\r\n")
    }

    /// A GET with this header; the status alone.
    #[track_caller]
    fn status(&self, target: &str, header: &str) -> u16 {
        self.send("GET", target, header, "").status
    }
}

impl Drop for StandIn {
    fn drop(&mut self) {
        let pid = i32::try_from(self.child.id()).ok().and_then(Pid::from_raw);
        let _ = kill_process(pid.expect("a process"), Signal::TERM);
        let ended = eventually(|| self.child.try_wait().ok().flatten());
        let mut rest = String::new();
        if ended.is_none() {
            let _ = self.child.kill();
            let _ = self.child.wait();
        }
        let _ = self.stdout.read_to_string(&mut rest);
        if !std::thread::panicking() {
            assert!(ended.is_some_and(|status| status.success()), "{ended:?}");
            assert!(rest.contains("requests answered"), "{rest}");
        }
    }
}

/// Secrets of three clients: the usual one with what needs encoding, its copy, and one without the role.
fn place() -> TempDir {
    let place = tempfile::tempdir().expect("a directory");
    let clients = place.path().join("clients");
    fs::create_dir(&clients).expect("made");
    for (name, secret) in [("sidecar", "s:+/ %"), ("sidecar-1", "second"), ("poor", "third")] {
        fs::write(clients.join(name), format!("{secret}\n")).expect("written");
    }
    place
}

const SIDECAR: &str = "sidecar:s%3A%2B%2F+%25";
const AUTH: &str = "auth --clients clients --without-role poor";

fn pair(place: &Path) -> (StandIn, StandIn) {
    let auth = StandIn::start(place, AUTH);
    let standard = StandIn::start(place, &format!("standard --auth {}", auth.url));
    (auth, standard)
}

fn basic(pair: &str) -> String {
    format!("Authorization: Basic {}\r\n", STANDARD.encode(pair))
}

#[track_caller]
fn json(reply: &Reply) -> Value {
    serde_json::from_slice(&reply.body).unwrap_or_else(|_| panic!("no JSON: {reply:?}"))
}

#[test]
fn a_token_opens_a_case_record_and_each_request_is_counted() {
    let place = place();
    let (auth, standard) = pair(place.path());
    let bearer = auth.bearer(SIDECAR);
    let record = standard.send("GET", RECORD, &bearer, "");
    assert_eq!((record.status, json(&record)["crn"].clone()), (200, json!("Z900001")));
    assert_eq!(
        json(&standard.send("GET", "/case-records/Z900001", &bearer, "")),
        json(&record)
    );
    assert_eq!(standard.status("/case-records/Z900001/risks/mappa", &bearer), 200);
    assert_eq!(standard.status("/case-records/Z900001/risks/rosh", &bearer), 200);
    assert_eq!(standard.status(RECORD, &bearer), 200);
    let counted = standard.send("GET", "/stand-in/requests", "", "");
    let rows = json(&counted);
    let rows = rows.as_array().expect("rows").clone();
    let doubled: Vec<_> = rows.iter().filter(|row| row["requests"] == 2).collect();
    assert_eq!((rows.len(), doubled.len()), (4, 1), "{rows:?}");
    assert_eq!(doubled[0]["route"], "/case-records/{person}");
    assert!(!counted.text().contains("Z900001") && !counted.text().contains("Z9001XA"));
    let form = "Content-Type: application/x-www-form-urlencoded\r\n";
    let newer = auth.send(
        "POST",
        "/oauth2/token",
        &(basic(SIDECAR) + form),
        "grant_type=client_credentials",
    );
    assert_eq!(json(&newer)["token_type"], "Bearer");
}

#[test]
fn every_refusal_of_the_tables_is_given() {
    let place = place();
    let (auth, standard) = pair(place.path());
    let bearer = auth.bearer(SIDECAR);
    for (path, status, message) in [
        ("/case-records/z9001xa", 400, "UnrecognisedIdentifierType"),
        ("/case-records/12345", 400, "UnrecognisedIdentifierType"),
        ("/case-records/Z9007XG", 404, "Person with nomsId of Z9007XG not found"),
        ("/case-records/Z999999", 404, "Person with crn of Z999999 not found"),
        (
            "/case-records/Z9010XK",
            409,
            "Query did not return a unique result: 2 results were returned",
        ),
        (
            "/case-records/Z900004/risks/mappa",
            404,
            "MappaDetail with crn of Z900004 not found",
        ),
    ] {
        let reply = standard.send("GET", path, &bearer, "");
        let expected = (status, json!({ "status": status, "message": message }));
        assert_eq!((reply.status, json(&reply)), expected, "{path}");
    }
    let none = standard.send("GET", RECORD, "", "");
    assert_eq!(
        (none.status, none.header("www-authenticate"), none.body.len()),
        (401, Some("Bearer"), 0)
    );
    let foreign = StandIn::start(place.path(), AUTH);
    for bad in ["Authorization: Bearer opaque\r\n", &foreign.bearer(SIDECAR)] {
        let reply = standard.send("GET", RECORD, bad, "");
        let challenge = reply.header("www-authenticate").unwrap_or_default();
        assert_eq!(reply.status, 401);
        assert!(challenge.starts_with(r#"Bearer error="invalid_token""#), "{challenge}");
    }
    let poor = standard.send("GET", RECORD, &auth.bearer("poor:third"), "");
    assert_eq!(
        (poor.status, json(&poor)),
        (403, json!({ "status": 403, "message": "Access Denied" }))
    );

    for wrong in [
        "sidecar:wrong",
        "nobody:second",
        "sidecar:s:+/ %",
        "../clients/sidecar:second",
    ] {
        let reply = auth.grant(wrong);
        assert_eq!(
            (reply.status, json(&reply)),
            (401, json!({ "error": "invalid_client" })),
            "{wrong}"
        );
        assert!(
            reply
                .header("www-authenticate")
                .is_some_and(|said| said.starts_with("Basic "))
        );
    }
    let unsupported = auth.send("POST", "/auth/oauth/token?grant_type=whim", &basic(SIDECAR), "");
    let expected = (400, json!({ "error": "unsupported_grant_type" }));
    assert_eq!((unsupported.status, json(&unsupported)), expected);
    for (side, path) in [
        (&auth, "/auth/ping"),
        (&auth, "/auth/health/ping"),
        (&standard, "/health/readiness"),
    ] {
        assert_eq!(side.status(path, ""), 200, "{path}");
    }
}

#[test]
fn clients_rotate_without_a_restart_and_a_token_ends() {
    let place = place();
    let auth = StandIn::start(place.path(), &format!("{AUTH} --expires-in 1s"));
    let standard = StandIn::start(place.path(), &format!("standard --auth {}", auth.url));
    assert_eq!(auth.grant("sidecar-1:second").status, 200);
    fs::write(place.path().join("clients/sidecar-2"), "fourth").expect("written");
    fs::remove_file(place.path().join("clients/sidecar-1")).expect("removed");
    assert_eq!(auth.grant("sidecar-2:fourth").status, 200);
    assert_eq!(auth.grant("sidecar-1:second").status, 401);
    let answer = json(&auth.grant(SIDECAR));
    assert_eq!(answer["expires_in"], 1);
    let bearer = auth.bearer(SIDECAR);
    let ended = eventually(|| (standard.status(RECORD, &bearer) == 401).then_some(()));
    assert!(ended.is_some(), "a token of a second outlives it");
}

#[test]
fn a_running_stand_in_is_told_to_fail_to_lie_and_to_stop_it() {
    let place = place();
    let (auth, standard) = pair(place.path());
    let bearer = auth.bearer(SIDECAR);
    let told = |side: &StandIn, faults: &str| side.send("PUT", "/stand-in/faults", "", faults).status;
    assert_eq!(told(&auth, "503:1"), 200);
    let reply = auth.grant(SIDECAR);
    assert_eq!((reply.status, reply.header("content-type")), (503, Some("text/html")));
    assert_eq!(auth.status("/auth/ping", ""), 200, "a probe is spared");
    assert_eq!(told(&auth, "401:1"), 200);
    assert_eq!(auth.grant(SIDECAR).status, 401);
    assert_eq!(told(&auth, "wrong-json:1"), 200);
    assert!(json(&auth.grant(SIDECAR)).is_array());
    assert_eq!(auth.send("DELETE", "/stand-in/faults", "", "").status, 204);
    assert_eq!(auth.grant(SIDECAR).status, 200);
    assert_eq!(told(&standard, "rain:1"), 400);

    for (fault, status) in [
        ("500", 500),
        ("502", 502),
        ("503", 503),
        ("401", 401),
        ("403", 403),
        ("html", 200),
    ] {
        let headers = format!("{bearer}x-stand-in-fault: {fault}\r\n");
        assert_eq!(standard.status(RECORD, &headers), status, "{fault}");
    }
    for fault in ["garbage", "reset", "truncate"] {
        let headers = format!("{bearer}x-stand-in-fault: {fault}\r\n");
        let broken = standard.try_send("GET", RECORD, &headers, "");
        assert!(broken.is_err(), "{fault}: {broken:?}");
    }

    let lie = format!("/stand-in/lie{RECORD}");
    assert_eq!(standard.send("PUT", &lie, "", r#"{"currentTier": "D-0"}"#).status, 204);
    let record = || json(&standard.send("GET", RECORD, &bearer, ""))["currentTier"].clone();
    assert_eq!(record(), "D-0");
    assert_eq!(standard.send("DELETE", "/stand-in/lie", "", "").status, 204);
    assert_eq!(record(), "A-2");

    // A new key without the old one: what was signed with it is worth nothing where the new set is known.
    assert_eq!(auth.send("POST", "/stand-in/key", "", "drop").status, 204);
    let fresh = eventually(|| (standard.status(RECORD, &auth.bearer(SIDECAR)) == 200).then_some(()));
    assert!(fresh.is_some(), "the new key is not fetched");
    assert_eq!(standard.status(RECORD, &bearer), 401);
}

#[test]
fn one_that_hangs_keeps_the_others_and_its_own_end_unharmed() {
    let place = place();
    let (auth, standard) = pair(place.path());
    let bearer = auth.bearer(SIDECAR);
    let mut hung = standard.client();
    hung.send(format!(
        "GET {RECORD} HTTP/1.1\r\nHost: a\r\n{bearer}x-stand-in-fault: hang\r\n\r\n"
    ));
    assert_eq!(standard.status(RECORD, &bearer), 200);
    let counted = eventually(|| {
        let rows = json(&standard.send("GET", "/stand-in/requests", "", ""));
        (rows[0]["requests"] == 2).then_some(())
    });
    assert!(counted.is_some(), "the one that hangs did not arrive");
    drop(standard); // ends well although somebody still waits
    assert!(hung.reply("GET").is_err());
}

#[test]
fn both_serve_https_and_trust_only_the_ca_they_were_given() {
    let place = place();
    let leaf = pki().server(Key::Ecdsa);
    for (name, text) in [
        ("tls.crt", &leaf.chain_pem),
        ("tls.key", &leaf.key_pem),
        ("ca.crt", &pki().root_pem()),
        ("other.crt", &pki().other_root_pem()),
    ] {
        fs::write(place.path().join(name), text).expect("written");
    }
    const TLS: &str = "--certificate tls.crt --private-key tls.key";
    let auth = StandIn::start(place.path(), &format!("{AUTH} {TLS}"));
    assert!(auth.url.starts_with("https://"));
    let start = |ca: &str| {
        StandIn::start(
            place.path(),
            &format!("standard --auth {} --auth-ca {ca} {TLS}", auth.url),
        )
    };
    let (trusting, distrusting) = (start("ca.crt"), start("other.crt"));
    let bearer = auth.bearer(SIDECAR);
    let record = trusting.send("GET", RECORD, &bearer, "");
    assert_eq!(
        (record.status, json(&record)["nomsId"].clone()),
        (200, json!("Z9001XA"))
    );
    assert_eq!(distrusting.status(RECORD, &bearer), 500, "no keys, nobody is let in");
    let garbage = format!("{bearer}x-stand-in-fault: garbage\r\n");
    let broken = trusting.try_send("GET", RECORD, &garbage, "");
    assert!(matches!(broken, Err(Broken::Malformed(..))), "{broken:?}");
}

#[test]
fn what_cannot_be_used_ends_with_2_and_is_named() {
    let place = place();
    fs::write(place.path().join("bad.pem"), "no certificate").expect("written");
    for (line, parts) in [
        ("auth --client a:nowhere", &["nowhere is not a file", "client a"][..]),
        ("auth --clients nowhere", &["nowhere is not a directory"]),
        (
            "auth --client a:bad.pem --client b:bad.pem --client a:bad.pem",
            &["names a more than once"],
        ),
        (
            "auth --client a:bad.pem --without-role b",
            &["--without-role names b", "no such client"],
        ),
        ("auth --clients clients --without-role nobody", &["no such client"]),
        (
            "auth --clients clients --expires-in 0s",
            &["--expires-in", "it is zero"],
        ),
        (
            "auth --clients clients --certificate bad.pem --private-key bad.pem",
            &["bad.pem"],
        ),
        (
            "auth --clients clients --certificate no.pem --private-key no.pem",
            &["no.pem", "--certificate FILE"],
        ),
        (
            "standard --auth http://127.0.0.1:1 --data clients",
            &["clients/standard/case-records", "no such directory"],
        ),
        ("standard --auth https://127.0.0.1:1", &["an https URL needs it"]),
        ("standard --auth https://127.0.0.1:1 --auth-ca bad.pem", &["bad.pem"]),
        ("standard --auth ftp://a", &["http://host:port"]),
        (
            "standard --auth http://a --lie /case-records/Z9007XG={}",
            &["--lie", "nobody answers"],
        ),
        ("delius --data clients", &["clients/people.json"]),
    ] {
        let mut command = Command::new(env!("CARGO_BIN_EXE_delius-sidecar"));
        command
            .arg("stand-in")
            .args(line.split_whitespace())
            .current_dir(place.path());
        let output = command.stdin(Stdio::null()).output().expect("start the binary");
        let said = String::from_utf8_lossy(&output.stderr).into_owned();
        assert_eq!(output.status.code(), Some(2), "{line}: {said}");
        for part in parts {
            assert!(said.contains(part), "{line}: {part}: {said}");
        }
    }
}
