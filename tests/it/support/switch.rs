//! A sidecar with two legs, in one expression: the group `person` of three routes, with tokens and programs of its own.
//!
//! ```text
//! offender       GET,HEAD   /secure/offenders/nomsNumber/{nomsNumber}/all             /case-records/{nomsNumber}
//! registrations  GET,HEAD   /secure/offenders/nomsNumber/{nomsNumber}/registrations   /case-records/{nomsNumber}/risk
//! manager        PUT,DELETE /secure/offenders/nomsNumber/{nomsNumber}/manager         /case-records/{nomsNumber}/manager
//! ```
//!
//! The legs are [`legacy`] and [`standard`], which agree on the tier of a person and say which leg they are.

use std::collections::BTreeMap;
use std::fmt::Write as _;
use std::path::Path;
use std::process::Command;
use std::time::Duration;

use delius_sidecar::control::client::{self, Answer};
use serde_json::{Value, json};
use tempfile::TempDir;

use super::bin::Sidecar;
use super::raw::{Client, Reply};
use super::scripted::{Asked, Say, Scripted};
use super::world::directory;
use super::{eventually, patience};

/// The client with which the sidecar asks for tokens; it must never be printed.
pub(crate) const CLIENT: &str = "allocation-manager-client";
pub(crate) const CLIENT_SECRET: &str = "hush-do-not-print-me-4711";

/// Timeouts of an upstream that is given up soon.
pub(crate) const SHORT: &str = "connect = \"1s\"\nfirst_byte = \"1s\"\ntotal = \"5s\"";
/// Turns a case record into what the application reads.
pub(crate) const RESPONSE: &str = r#"
if .status == 200 then {status: 200, body: {noms: .body.nomsId, tier: .body.currentTier, leg: "standard"}}
else {status: .status, body: {developerMessage: .body.message, leg: "standard"}} end
"#;
/// What of a reply the application uses.
pub(crate) const VIEW: &str = r#"if .status == 200 then {tier: .body.tier} else null end"#;

/// An invented person for each number.
pub(crate) fn noms(number: usize) -> String {
    let letter = |by: usize| char::from(b'A' + u8::try_from(number / by % 26).unwrap_or(0));
    format!("Q{:04}{}{}", number % 10_000, letter(26), letter(1))
}

pub(crate) fn all(person: &str) -> String {
    format!("/secure/offenders/nomsNumber/{person}/all")
}

pub(crate) fn registrations(person: &str) -> String {
    format!("/secure/offenders/nomsNumber/{person}/registrations")
}

pub(crate) fn manager(person: &str) -> String {
    format!("/secure/offenders/nomsNumber/{person}/manager")
}

/// NDH, in a spacing that no serialiser would write.
pub(crate) fn legacy(asked: &Asked) -> Say {
    let person = asked.segment(1);
    let body = format!("{{ \"tier\" : \"A1\",\n  \"noms\":\"{person}\", \"leg\" : \"ndh\" }}\n");
    let fields = "Content-Type: application/json\r\nX-Of-Ndh: yes\r\n";
    Say::Raw(200, fields.to_owned(), body.into_bytes())
}

/// The standard API.
pub(crate) fn standard(asked: &Asked) -> Say {
    let person = asked.path.split('/').nth(2).unwrap_or_default();
    Say::Json(
        200,
        json!({"nomsId": person, "currentTier": "A1", "secretNote": "of-a-person"}),
    )
}

/// A configuration in the making.
pub(crate) struct Switch {
    ndh: String,
    standard: String,
    token: Option<String>,
    /// Lines of a table, by its name.
    tables: BTreeMap<String, String>,
    routes: String,
    programs: BTreeMap<String, String>,
}

impl Switch {
    /// Two legs without tokens, in mode `ndh`, with one worker and nothing that would be asked again before the test ends.
    pub(crate) fn new(ndh: &str, standard: &str) -> Self {
        let mut routes = String::new();
        for (name, methods, path, to) in [
            (
                "offender",
                "GET,HEAD",
                all("{nomsNumber}"),
                "/case-records/{nomsNumber}",
            ),
            (
                "registrations",
                "GET,HEAD",
                registrations("{nomsNumber}"),
                "/case-records/{nomsNumber}/risk",
            ),
        ] {
            let _ = write!(
                routes,
                "[[route]]\nname = \"{name}\"\nmatch = \"{methods} {path}\"\ngroup = \"person\"\nperson = \"nomsNumber\"\n\
                 # more of {name}\n\
                 [route.ndh]\nupstream = \"ndh\"\nview = \"view.jq\"\n# more of {name}.ndh\n\
                 [route.standard]\nupstream = \"standard\"\npath = \"{to}\"\nresponse = \"response.jq\"\nview = \"view.jq\"\n\
                 # more of {name}.standard\n\
                 [route.comparison]\nagain_after = \"20ms\"\n"
            );
        }
        let path = manager("{nomsNumber}");
        let _ = write!(
            routes,
            "[[route]]\nname = \"manager\"\nmatch = \"PUT,DELETE {path}\"\ngroup = \"person\"\nperson = \"nomsNumber\"\n\
             [route.ndh]\nupstream = \"ndh\"\n\
             [route.standard]\nupstream = \"standard\"\npath = \"/case-records/{{nomsNumber}}/manager\"\n"
        );
        let made = Self {
            ndh: ndh.to_owned(),
            standard: standard.to_owned(),
            token: None,
            tables: BTreeMap::new(),
            routes,
            programs: BTreeMap::new(),
        };
        made.program("response.jq", RESPONSE)
            .program("view.jq", VIEW)
            .table("listen", "address = \"127.0.0.1:0\"")
            .table("observe", "address = \"127.0.0.1:0\"")
            .table("log", "format = \"json\"")
            .table("drain", "quiet = \"50ms\"\ndeadline = \"2s\"")
            .table("group.person.gate", "min_samples = 5")
            .no_breaker("ndh")
            .no_breaker("standard")
    }

    fn no_breaker(self, upstream: &str) -> Self {
        let table = format!("upstream.{upstream}.breaker");
        self.table(&table, "connection_faults = 100000\nmin_results = 100000")
    }

    /// Tokens for the standard leg, from this server.
    pub(crate) fn token(mut self, url: &str) -> Self {
        self.token = Some(format!("{url}/auth/oauth/token"));
        self
    }

    /// More lines of a table.
    pub(crate) fn table(mut self, name: &str, lines: &str) -> Self {
        let table = self.tables.entry(name.to_owned()).or_default();
        table.push_str(lines);
        table.push('\n');
        self
    }

    /// The lines of a table, and no others.
    pub(crate) fn only(mut self, name: &str, lines: &str) -> Self {
        self.tables.insert(name.to_owned(), format!("{lines}\n"));
        self
    }

    /// Lines of the group: mode, canary, fallback, compare.
    pub(crate) fn unit(self, lines: &str) -> Self {
        self.only("group.person", lines)
    }

    /// More lines of a route (`offender`) or of a leg (`offender.standard`).
    pub(crate) fn of(mut self, place: &str, lines: &str) -> Self {
        let mark = format!("# more of {place}\n");
        assert!(self.routes.contains(&mark), "no {place}");
        self.routes = self.routes.replace(&mark, &format!("{lines}\n{mark}"));
        self
    }

    /// How long after a difference both legs are asked again, in place of 20 ms.
    pub(crate) fn again_after(mut self, pause: &str) -> Self {
        self.routes = self
            .routes
            .replace("again_after = \"20ms\"", &format!("again_after = \"{pause}\""));
        self
    }

    /// In place of the group's three, these alone.
    pub(crate) fn routes(mut self, text: &str) -> Self {
        self.routes = text.to_owned();
        self.tables.retain(|name, _| !name.starts_with("group."));
        self
    }

    /// A file beside the configuration.
    pub(crate) fn program(mut self, name: &str, text: &str) -> Self {
        self.programs.insert(name.to_owned(), text.to_owned());
        self
    }

    fn text(&self, directory: &Path) -> String {
        let place = |name: &str| format!("{:?}", directory.join(name).display().to_string());
        let mut tables = self.tables.clone();
        let mut add = |name: &str, lines: String| tables.entry(name.to_owned()).or_default().push_str(&lines);
        add("group.person", String::new());
        add("upstream.ndh", format!("url = \"{}\"\n", self.ndh));
        add("upstream.standard", format!("url = \"{}\"\n", self.standard));
        add("control", format!("socket = {}\n", place("control.sock")));
        if let Some(url) = &self.token {
            add("upstream.standard", "token = \"hmpps-auth\"\n".to_owned());
            add(
                "token.hmpps-auth",
                format!(
                    "url = \"{url}\"\nclient_id_file = {}\nclient_secret_file = {}\n",
                    place("client-id"),
                    place("client-secret")
                ),
            );
        }
        if !self.routes.contains("group = \"person\"") {
            tables.retain(|name, _| !name.starts_with("group."));
        }
        let mut text = String::new();
        for (name, lines) in tables {
            let _ = writeln!(text, "[{name}]\n{lines}");
        }
        text + &self.routes
    }

    pub(crate) fn start(self) -> Scene {
        self.start_in(directory())
    }

    /// The same in a directory that is there.
    pub(crate) fn start_in(self, directory: TempDir) -> Scene {
        let at = directory.path();
        for (name, text) in &self.programs {
            std::fs::write(at.join(name), text).expect("write a program");
        }
        write_pair(at, CLIENT, CLIENT_SECRET);
        let text = self.text(at);
        Scene {
            sidecar: Sidecar::start(directory, &text),
        }
    }
}

/// Puts another pair of identifier and secret in place.
pub(crate) fn write_pair(directory: &Path, id: &str, secret: &str) {
    for (name, text) in [("client-id", id), ("client-secret", secret)] {
        let beside = directory.join(format!("{name}.part"));
        std::fs::write(&beside, text).expect("write a pair");
        std::fs::rename(beside, directory.join(name)).expect("put a pair in place");
    }
}

/// A sidecar with two legs that runs.
pub(crate) struct Scene {
    pub(crate) sidecar: Sidecar,
}

impl Scene {
    pub(crate) fn client(&self) -> Client {
        Client::connect(self.sidecar.listen)
    }

    /// One GET on a connection of its own.
    #[track_caller]
    pub(crate) fn get(&self, target: &str) -> Reply {
        self.client()
            .get(target)
            .unwrap_or_else(|broken| panic!("{target}: {broken}"))
    }

    /// Which leg answers this.
    #[track_caller]
    pub(crate) fn leg(&self, target: &str) -> String {
        let reply = self.get(target);
        assert_eq!(reply.status, 200, "{target}: {}", reply.text());
        leg_of(&reply)
    }

    /// Asks through the control socket.
    pub(crate) fn ask(&self, method: &str, target: &str, body: Option<&Value>) -> Answer {
        let socket = self.sidecar.directory().join("control.sock");
        client::ask(&socket, method, target, body, patience()).expect("an answer on the control socket")
    }

    /// What is said of a unit.
    pub(crate) fn unit(&self, name: &str) -> Value {
        let answer = self.ask("GET", "/route", None);
        assert_eq!(answer.status, 200, "{}", answer.body);
        let units = answer.body["units"].as_array().cloned().unwrap_or_default();
        let found = units.into_iter().find(|unit| unit["unit"] == name);
        found.unwrap_or_else(|| panic!("no unit {name} in {}", answer.body))
    }

    pub(crate) fn evidence(&self) -> Value {
        self.unit("person")["evidence"].clone()
    }

    /// Waits until what is said of the group satisfies the condition.
    #[track_caller]
    pub(crate) fn wait_unit(&self, what: &str, mut holds: impl FnMut(&Value) -> bool) -> Value {
        let found = eventually(|| Some(self.unit("person")).filter(|unit| holds(unit)));
        found.unwrap_or_else(|| panic!("{what}: did not come about; {}", self.unit("person")))
    }

    pub(crate) fn mode(&self) -> String {
        self.unit("person")["effective"]["mode"]
            .as_str()
            .unwrap_or_default()
            .to_owned()
    }

    #[track_caller]
    pub(crate) fn wait_mode(&self, mode: &str) {
        self.wait_unit(mode, |unit| unit["effective"]["mode"] == mode);
    }

    /// An operator sets a mode, for an hour.
    #[track_caller]
    pub(crate) fn set(&self, mode: &str, share: Option<f64>) {
        self.set_for(mode, share, "1h");
    }

    #[track_caller]
    pub(crate) fn set_for(&self, mode: &str, share: Option<f64>, hold: &str) {
        let mut body = json!({"unit": "person", "mode": mode, "reason": "a test", "for": hold});
        if let Some(share) = share {
            body["share"] = json!(share);
        }
        let answer = self.ask("POST", "/route/set", Some(&body));
        assert_eq!(answer.status, 200, "{}", answer.body);
    }

    #[track_caller]
    pub(crate) fn reset(&self) {
        let body = json!({"unit": "person", "reason": "a test ends"});
        let answer = self.ask("POST", "/route/reset", Some(&body));
        assert_eq!(answer.status, 200, "{}", answer.body);
    }

    /// A command of the binary, with this sidecar's configuration: exit code, and everything that it printed.
    pub(crate) fn command(&self, arguments: &[&str]) -> (Option<i32>, String) {
        let output = Command::new(env!("CARGO_BIN_EXE_delius-sidecar"))
            .args(arguments)
            .arg("--config")
            .arg(self.sidecar.directory().join("config.toml"))
            .output()
            .expect("run the binary");
        let printed = [output.stdout, output.stderr].concat();
        (output.status.code(), String::from_utf8_lossy(&printed).into_owned())
    }

    /// A page of the observing side.
    #[track_caller]
    pub(crate) fn page(&self, path: &str) -> String {
        let address = self.sidecar.observe.expect("observed");
        Client::connect(address).get(path).expect("a page").text()
    }
}

/// Which leg a reply is from.
pub(crate) fn leg_of(reply: &Reply) -> String {
    let body: Value = serde_json::from_slice(&reply.body).unwrap_or_default();
    body["leg"].as_str().unwrap_or_default().to_owned()
}

/// Both legs as they should be.
pub(crate) fn legs() -> (Scripted, Scripted) {
    (Scripted::start(legacy), Scripted::start(standard))
}

/// Waits for a condition on a leg.
#[track_caller]
pub(crate) fn wait_for(what: &str, mut holds: impl FnMut() -> bool) {
    assert!(
        eventually(|| holds().then_some(())).is_some(),
        "{what}: did not come about"
    );
}

/// The quantile of times that were taken.
pub(crate) fn quantile(times: &mut [Duration], q: f64) -> Duration {
    times.sort_unstable();
    #[allow(
        clippy::cast_precision_loss,
        clippy::cast_possible_truncation,
        clippy::cast_sign_loss
    )]
    let at = ((times.len() - 1) as f64 * q).round() as usize;
    times[at]
}
