//! `doctor` of tokens and of the standard leg, against the stand-ins: each fault is named with what to do, a leg that nothing
//! is asked of is a warning, and no secret is printed.

use std::fs;
use std::net::SocketAddr;
use std::os::unix::fs::PermissionsExt;
use std::path::Path;
use std::time::Duration;

use delius_sidecar::rehearsal::auth::{self, Client, ROLE};
use delius_sidecar::rehearsal::standard::{self, Data};
use tempfile::TempDir;

use crate::support::doctor::Said;
use crate::support::hostile::Hostile;
use crate::support::oauth;
use crate::support::world::directory;

const ID: &str = "allocation-manager-1";
const SECRET: &str = "hW7+kQ2=mZ9xB4vT";

/// A sidecar's configuration, its files, and the two stand-ins.
struct Scene {
    directory: TempDir,
    auth: auth::Running,
    standard: standard::Running,
}

impl Scene {
    fn of(options: auth::Options) -> Self {
        let auth = auth::start(options).expect("an Auth stand-in");
        let data = Data::embedded().expect("people");
        let standard = standard::start(standard::Options::new(data, &auth)).expect("a standard stand-in");
        let scene = Self {
            directory: directory(),
            auth,
            standard,
        };
        scene.write("id", ID);
        scene.write("secret", SECRET);
        scene
    }

    fn new() -> Self {
        Self::of(auth::Options::new(vec![Client::new(ID, SECRET)]))
    }

    fn write(&self, name: &str, value: &str) {
        let path = self.directory.path().join(name);
        fs::write(&path, value).expect("written");
        fs::set_permissions(&path, PermissionsExt::from_mode(0o600)).expect("private");
    }

    fn token_url(&self) -> String {
        format!("{}/auth/oauth/token", self.auth.url())
    }

    fn said(&self, mode: &str) -> Said {
        self.said_of(&self.token_url(), mode, "")
    }

    fn said_of(&self, token_url: &str, mode: &str, more: &str) -> Said {
        examine(self.directory.path(), token_url, self.standard.url(), mode, more)
    }
}

fn examine(at: &Path, token_url: &str, standard: &str, mode: &str, more: &str) -> Said {
    examine_with(at, &configuration(at, token_url, standard, mode, more))
}

fn configuration(at: &Path, token_url: &str, standard: &str, mode: &str, more: &str) -> String {
    let file = |name: &str| at.join(name).display().to_string();
    format!(
        "[listen]\naddress = \"127.0.0.1:0\"\n[upstream.standard]\nurl = \"{standard}\"\ntoken = \"hmpps-auth\"\n\
         [upstream.ndh]\nurl = \"{standard}\"\n\
         [token.hmpps-auth]\nurl = \"{token_url}\"\nclient_id_file = \"{}\"\nclient_secret_file = \"{}\"\n{more}\n\
         [[route]]\nname = \"record\"\nmatch = \"GET /case-records/{{person}}\"\nperson = \"person\"\nmode = \"{mode}\"\n\
         compare = false\n[route.ndh]\nupstream = \"ndh\"\n[route.standard]\nupstream = \"standard\"\n",
        file("id"),
        file("secret")
    )
}

fn examine_with(at: &Path, config: &str) -> Said {
    examine_on(at, config, &[])
}

fn examine_on(at: &Path, config: &str, arguments: &[&str]) -> Said {
    fs::write(at.join("config.toml"), config).expect("written");
    let said = Said::of_tokens(&at.join("config.toml"), arguments);
    // A challenge may say "Bearer error=…": it is the token behind the word that must not be there, and it is a JWT.
    for secret in [SECRET, "Basic ", "Bearer ey", "eyJ"] {
        assert!(!said.printed.contains(secret), "{secret} is printed: {}", said.printed);
    }
    said
}

#[test]
fn a_token_that_fits_is_told_with_everything_but_itself() {
    let said = Scene::new().said("standard");
    said.is_well();
    said.has("token request", &["ok", "gives a token in"]);
    said.has("token type", &["ok", "bearer"]);
    said.has("token life", &["ok", "20 minutes"]);
    said.has("token issuer", &["ok", "/auth/issuer"]);
    said.has("token roles", &["ok", ROLE]);
    said.has("token client", &["ok", ID]);
    said.has("token dates", &["ok"]);
    said.has("request", &["ok", "answers 400 to GET /case-records/nobody"]);
    said.has(
        "mode",
        &[
            "ok",
            "in mode \"standard\": record",
            "upstream standard with token hmpps-auth",
        ],
    );
}

#[test]
fn a_refused_client_fails_in_use_and_is_a_warning_before() {
    let scene = Scene::new();
    scene.auth.withdraw(ID);
    let said = scene.said("standard");
    said.fails(
        "token request",
        &["401 (invalid_client)", "both files are of one copy", "past its end"],
    );
    said.has("request", &["skipped", "there is no token"]);
    said.has("mode", &["failed", "asked of what does not work"]);
    assert!(!said.report.to_string().contains(ID), "unproven, it may be a secret");
    let said = scene.said("ndh");
    said.is_well();
    said.has("token request", &["warning", "not in use yet"]);
    said.has("mode", &["ok", "(not asked)"]);
}

#[test]
fn files_that_are_mixed_up_are_named_and_not_shown() {
    let scene = Scene::new();
    scene.write("id", SECRET);
    scene.write("secret", ID);
    let said = scene.said("standard");
    said.fails("token request", &["look mixed up"]);
    said.has("client", &["warning", "exchange the two"]);
}

#[test]
fn files_that_hold_no_line_are_named() {
    let scene = Scene::new();
    scene.write("secret", "");
    scene.said("standard").fails("client secret file", &["is empty"]);
    scene.write("secret", &format!("{SECRET}\n"));
    let said = scene.said("standard");
    said.is_well();
    said.has("client secret file", &["ok", "ends with a newline"]);
    scene.write("secret", &format!("{SECRET}\r\n"));
    scene.said("standard").has("client secret file", &["warning", "CR LF"]);
    scene.write("secret", &format!("{SECRET} "));
    scene
        .said("standard")
        .has("client secret file", &["warning", "begins or ends with a space"]);
    fs::remove_file(scene.directory.path().join("id")).expect("removed");
    scene
        .said("standard")
        .fails("client id file", &["is not there", "mounted"]);
}

#[test]
fn a_client_without_the_role_is_told_which_ones_it_has() {
    let mut client = Client::new(ID, SECRET);
    client.roles = vec!["ROLE_OTHER".to_owned()];
    let said = Scene::of(auth::Options::new(vec![client])).said("standard");
    said.has("token roles", &["warning", "ROLE_OTHER", ROLE]);
    said.fails("request", &["answers 403", "ROLE_OTHER", "given to the client"]);
}

/// As `config/base.toml` has it: a probe for a trial, and a program that makes the path.
fn said_as_shipped(scene: &Scene, mode: &str) -> Said {
    let at = scene.directory.path();
    let program = "{path: \"/case-records/\\(.params.person | ascii_upcase | @uri)\", query: null}";
    fs::write(at.join("by.jq"), program).expect("written");
    let plain = configuration(at, &scene.token_url(), scene.standard.url(), mode, "");
    let with_trial = plain.replacen(
        "token = \"hmpps-auth\"\n",
        "token = \"hmpps-auth\"\ntrial = \"GET /health/ping\"\n",
        1,
    );
    let config = with_trial.replacen("[route.standard]\n", "[route.standard]\nrequest = \"by.jq\"\n", 1);
    examine_with(at, &config)
}

#[test]
fn a_probe_named_as_the_trial_does_not_stand_for_a_request_that_needs_the_token() {
    let said = said_as_shipped(&Scene::new(), "standard");
    said.is_well();
    said.has(
        "request",
        &["ok", "answers 400 to GET /case-records/NOBODY", "takes the token"],
    );
    let mut client = Client::new(ID, SECRET);
    client.roles = Vec::new();
    let scene = Scene::of(auth::Options::new(vec![client]));
    said_as_shipped(&scene, "standard").fails("request", &["answers 403", "no roles at all", ROLE]);
    // Not in use, it is what the verdict names, before the files and the ways in the clear.
    scene.write("secret", SECRET);
    let open = PermissionsExt::from_mode(0o644);
    fs::set_permissions(scene.directory.path().join("secret"), open).expect("opened");
    let said = said_as_shipped(&scene, "ndh");
    said.is_well();
    let verdict = said.verdict();
    assert!(
        verdict.contains("the path works, with") && verdict.contains("answers 403"),
        "{verdict}"
    );
}

#[test]
fn a_probe_proves_nothing_of_a_token_whatever_it_answers() {
    let scene = Scene::new();
    let at = scene.directory.path();
    let config = configuration(at, &scene.token_url(), scene.standard.url(), "standard", "");
    for path in ["/health/ping", "/health/nothing-here", "/info"] {
        let said = examine_on(at, &config, &["--path", path]);
        said.is_well();
        said.has("request", &["warning", "nothing was proven of the token"]);
    }
}

#[test]
fn a_token_of_another_issuer_is_explained() {
    let scene = Scene::new();
    let other = auth::start(auth::Options::new(vec![Client::new(ID, SECRET)])).expect("another Auth");
    let said = scene.said_of(&format!("{}/auth/oauth/token", other.url()), "standard", "");
    said.fails("request", &["answers 401", "invalid_token", "one environment"]);
}

#[test]
fn a_server_that_is_ill_is_told_from_one_that_refuses() {
    for (fault, words) in [
        ("503:1", &["answers 503", "what stands before it"][..]),
        ("html:1", &["a page for people", "token endpoint"]),
        ("403:1", &["answers 403", "address"]),
    ] {
        let scene = Scene::new();
        scene.auth.misbehave(vec![fault.parse().expect("a fault")]);
        scene.said("standard").fails("token request", words);
    }
}

fn answering(reply: String) -> Hostile {
    Hostile::plain(move |_, conn| {
        if conn.head().is_some() {
            conn.write(&reply).close();
        }
    })
}

#[test]
fn what_else_a_server_may_say_is_explained() {
    let json = |status: &str, word: &str| {
        let body = format!("{{\"error\":\"{word}\"}}");
        format!("HTTP/1.1 {status}\r\nContent-Length: {}\r\n\r\n{body}", body.len())
    };
    let to_a_page =
        "HTTP/1.1 302 Found\r\nLocation: https://sign-in.example/auth/sign-in?x=hunter2\r\nContent-Length: 0\r\n\r\n";
    for (reply, words) in [
        (
            to_a_page.to_owned(),
            &["where people sign in", "https://sign-in.example/auth/sign-in"][..],
        ),
        (
            json("400 Bad Request", "unsupported_grant_type"),
            &["grant_in = \"query\""],
        ),
        (json("400 Bad Request", "invalid_scope"), &["scopes"]),
        (
            json("400 Bad Request", "unauthorized_client"),
            &["client_credentials allowed"],
        ),
        (json("404 Not Found", "x"), &["no token endpoint"]),
    ] {
        let server = answering(reply);
        let said = Scene::new().said_of(&url(server.address()), "standard", "scopes = [\"read\"]");
        said.fails("token request", words);
        assert!(!said.report.to_string().contains("hunter2"), "{:#}", said.report);
    }
}

fn url(address: SocketAddr) -> String {
    format!("http://{address}/auth/oauth/token")
}

#[test]
fn a_life_that_is_short_for_its_renewal_is_a_warning() {
    let mut options = auth::Options::new(vec![Client::new(ID, SECRET)]);
    options.expires_in = Duration::from_secs(90);
    let said = Scene::of(options).said("standard");
    said.is_well();
    said.has("token life", &["warning", "more than a third"]);
}

#[test]
fn the_document_explains_every_check_of_a_token() {
    let document = include_str!("../../docs/doctor.md");
    let said = Scene::new().said("standard");
    let checks = said.report["checks"].as_array().expect("a list");
    let explained: Vec<&str> = document
        .lines()
        .filter_map(|line| line.strip_prefix("| ")?.split(" |").next())
        .flat_map(|cell| cell.split(", "))
        .collect();
    for line in checks {
        let check = line["check"].as_str().unwrap_or_default();
        assert!(explained.contains(&check), "docs/doctor.md does not explain {check:?}");
    }
}

#[test]
fn a_certified_server_gives_a_token_that_is_told() {
    let Some(server) = oauth::start(&[(ID, SECRET)], 600) else {
        return;
    };
    let scene = Scene::new();
    let url = format!("http://{}/token", server.address);
    let said = scene.said_of(&url, "ndh", "scopes = [\"read\", \"write\"]");
    said.has("token request", &["ok", "gives a token in"]);
    said.has("token life", &["ok", "10 minutes"]);
}
