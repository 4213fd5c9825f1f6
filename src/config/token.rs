//! The tables `[token.NAME]`: what the other side is asked for a token, and with which files.
//!
//! Two kinds (`product.md` 7): client credentials of OAuth 2.0 (RFC 6749 section 4.4), and the logon of the 2018 Delius API,
//! which goes over an upstream's own mutual TLS. Secrets are named by their files and never stand here. As in `validate`,
//! every check runs whatever the others found.

use std::collections::BTreeMap;
use std::path::PathBuf;
use std::time::Duration;

use super::problem::Problem;
use super::read::Reader;
use super::settings::{Scheme, TlsVersion, Trust};
use super::url;
use super::validate::{resolve, seconds, shown, tls_min};
use super::value::{self, Complaint};

/// The keys that only client credentials have.
const OF_CREDENTIALS: [&str; 12] = [
    "url",
    "unsafe_plain",
    "trust",
    "tls_min",
    "client_id_file",
    "client_secret_file",
    "username_header",
    "users",
    "scopes",
    "parameters",
    "grant_in",
    "server_name",
];

/// The keys that only the logon has.
const OF_LOGON: [&str; 3] = ["upstream", "path", "user_file"];

/// Parameters of a token request that have a key of their own, or must not stand in a configuration.
const TAKEN: [&str; 6] = [
    "grant_type",
    "scope",
    "username",
    "client_id",
    "client_secret",
    "password",
];

/// One kind of token, told apart by its name.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Token {
    pub source: Source,
    /// How long before its end a token is asked for anew; a third of its life where that is less. Default 60 s.
    pub refresh_ahead: Duration,
    /// One whole request for a token. Default 5 s.
    pub timeout: Duration,
}

/// Where tokens come from.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Source {
    ClientCredentials(Box<ClientCredentials>),
    DeliusLogon(DeliusLogon),
}

/// An OAuth 2.0 authorisation server.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ClientCredentials {
    pub scheme: Scheme,
    /// DNS name or IP address (no brackets).
    pub host: String,
    pub port: u16,
    /// Starts with `/`.
    pub path: String,
    /// As `Upstream::server_name`.
    pub server_name: Option<String>,
    /// Not used with plain HTTP.
    pub trust: Trust,
    pub tls_min: TlsVersion,
    pub client_id_file: PathBuf,
    pub client_secret_file: PathBuf,
    /// The request header, in lower case, whose value becomes the token request's `username`.
    pub username_header: Option<String>,
    /// Users whose tokens are kept. Default 1000.
    pub users: usize,
    pub scopes: Vec<String>,
    /// More parameters of the token request.
    pub parameters: BTreeMap<String, String>,
    pub grant_in: GrantIn,
}

/// Where the grant and the other parameters stand in the token request.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum GrantIn {
    /// As RFC 6749 section 4.4.2 has it.
    Body,
    /// In the query, with an empty body: what the allocation manager sends.
    Query,
}

/// The logon of the 2018 Delius API.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct DeliusLogon {
    /// Key into `Settings::upstreams`.
    pub upstream: String,
    /// The upstream's base path is put before it.
    pub path: String,
    /// Holds the distinguished name of a Delius user; `None`: the literal `NationalUser`.
    pub user_file: Option<PathBuf>,
}

impl Token {
    /// The request header, in lower case, that names the user of a token.
    #[must_use]
    pub fn username_header(&self) -> Option<&str> {
        match &self.source {
            Source::ClientCredentials(credentials) => credentials.username_header.as_deref(),
            Source::DeliusLogon(_) => None,
        }
    }
}

/// One table; `caller` is how long the caller of a request waits.
pub(super) fn token(at: &Reader<'_>, upstreams: &[&str], caller: Duration) -> Option<Token> {
    let logon = at.text("kind") == Some("delius-logon");
    let (kind, others): (_, &[&str]) = if logon {
        ("delius-logon", &OF_CREDENTIALS)
    } else {
        ("client-credentials", &OF_LOGON)
    };
    for key in others.iter().filter(|key| at.has(key)) {
        let right = "remove it, or write the `kind` that it belongs to";
        at.error(key, format!("means nothing to the kind \"{kind}\""), right);
    }
    let refresh_ahead = at.duration("refresh_ahead", seconds(60));
    let timeout = at.duration("timeout", seconds(5));
    if timeout >= caller {
        let wrong = format!("is {}, but the caller gives up after {}", shown(timeout), shown(caller));
        at.error("timeout", wrong, "shorten it: a request waits while a token is fetched");
    }
    let source = if logon {
        delius_logon(at, upstreams).map(Source::DeliusLogon)
    } else {
        client_credentials(at).map(|credentials| Source::ClientCredentials(Box::new(credentials)))
    };
    Some(Token {
        source: source?,
        refresh_ahead,
        timeout,
    })
}

fn client_credentials(at: &Reader<'_>) -> Option<ClientCredentials> {
    let url = at.require("url", "https://sign-in.example/auth/oauth/token", url::url);
    if let Some(url) = &url {
        protected(at, url);
    }
    let id = at.require("client_id_file", "/etc/delius-sidecar/oauth/client-id", value::path);
    let secret = at.require(
        "client_secret_file",
        "/etc/delius-sidecar/oauth/client-secret",
        value::path,
    );
    if id.is_some() && id == secret {
        let wrong = "is the file of `client_id_file` too";
        at.error("client_secret_file", wrong, "write each into a file of its own");
    }
    if at.has("users") && !at.has("username_header") {
        let wrong = "has no effect: there is no `username_header`";
        at.warning("users", wrong, "remove it, or write username_header = \"…\"");
    }
    let url = url?;
    Some(ClientCredentials {
        scheme: url.scheme,
        host: url.host,
        port: url.port,
        path: if url.base_path.is_empty() {
            "/".to_owned()
        } else {
            url.base_path
        },
        server_name: at.read("server_name", value::server_name),
        trust: match at.text("trust") {
            Some("system") | None => Trust::System,
            Some(path) => Trust::Bundle(path.into()),
        },
        tls_min: tls_min(at),
        client_id_file: id?,
        client_secret_file: secret?,
        username_header: at.read("username_header", header),
        users: at.count("users").unwrap_or(1000),
        scopes: scopes(at),
        parameters: parameters(at),
        grant_in: match at.text("grant_in") {
            Some("query") => GrantIn::Query,
            _ => GrantIn::Body,
        },
    })
}

/// The secret goes over this connection: it is TLS, or this machine, or somebody meant it.
fn protected(at: &Reader<'_>, url: &url::Url) {
    match url.scheme {
        Scheme::Https => {
            at.require("trust", "system", value::path);
        }
        Scheme::Http => {
            if !url.is_loopback() && !at.switch("unsafe_plain", false) {
                let wrong = "is plain HTTP to another machine: anyone on the way could read the client's secret";
                let right = "write https://, or unsafe_plain = true where that is meant";
                at.error("url", wrong, right);
            }
            for key in ["trust", "tls_min", "server_name"]
                .into_iter()
                .filter(|key| at.has(key))
            {
                let wrong = "has no effect: the url is plain http://";
                at.warning(key, wrong, "write https:// or remove it");
            }
        }
    }
}

fn delius_logon(at: &Reader<'_>, upstreams: &[&str]) -> Option<DeliusLogon> {
    let upstream = at.require("upstream", "ndh", |text| Ok(text.to_owned()));
    if let Some(upstream) = &upstream {
        resolve(at, "upstream", upstream, "[upstream.NAME]", upstreams);
    }
    Some(DeliusLogon {
        upstream: upstream?,
        path: at.read("path", path).unwrap_or_else(|| "/api/logon".to_owned()),
        user_file: at.read("user_file", value::path),
    })
}

fn scopes(at: &Reader<'_>) -> Vec<String> {
    let mut found = Vec::new();
    for (text, place) in at.texts("scopes") {
        // RFC 6749 section 3.3
        let allowed = |byte: u8| matches!(byte, 0x21 | 0x23..=0x5b | 0x5d..=0x7e);
        if !text.is_empty() && text.bytes().all(allowed) {
            found.push(text.to_owned());
        } else {
            let wrong = format!("`{}`: \"{}\" is not a scope", at.path_of("scopes"), text.escape_debug());
            let right = "write each scope as a text of its own, for example [\"read\", \"write\"]";
            at.report().add(Problem::error(place, wrong).right(right));
        }
    }
    found
}

fn parameters(at: &Reader<'_>) -> BTreeMap<String, String> {
    let mut found = BTreeMap::new();
    let table = at.table("parameters");
    for (key, text) in at.pairs("parameters") {
        if TAKEN.contains(&key) {
            let right = match key {
                "scope" => "write scopes = [\"…\"] beside it",
                "username" => "write username_header = \"…\" beside it",
                "client_id" | "client_secret" => "write client_id_file and client_secret_file beside it",
                _ => "remove it",
            };
            let problem = Problem::error(
                table.place(key),
                format!("`{}` cannot be given here", table.path_of(key)),
            );
            at.report().add(problem.right(right).conceal([table.place(key)]));
        }
        found.insert(key.to_owned(), text.to_owned());
    }
    found
}

/// A header that names a user. One that means something to HTTP, or to the other side, cannot.
pub(super) fn header(text: &str) -> Result<String, Complaint> {
    const RIGHT: &str = "write for example \"x-delius-username\"";
    const MEANT: [&str; 12] = [
        "authorization",
        "connection",
        "content-length",
        "content-type",
        "cookie",
        "expect",
        "host",
        "proxy-authorization",
        "te",
        "trailer",
        "transfer-encoding",
        "upgrade",
    ];
    let shown = text.escape_debug();
    let token = |byte: u8| byte.is_ascii_alphanumeric() || b"!#$%&'*+-.^_`|~".contains(&byte);
    if !(1..=64).contains(&text.len()) || !text.bytes().all(token) {
        return Err(Complaint::new(
            format!("\"{shown}\" is not the name of a header"),
            RIGHT,
        ));
    }
    let name = text.to_ascii_lowercase();
    if MEANT.contains(&name.as_str()) {
        let wrong = format!("the header \"{shown}\" means something else");
        return Err(Complaint::new(wrong, RIGHT));
    }
    Ok(name)
}

/// The path of the logon.
pub(super) fn path(text: &str) -> Result<String, Complaint> {
    let template = value::template(text)?;
    if template.parameters().next().is_some() {
        let wrong = "the path has a parameter, which nothing could fill";
        return Err(Complaint::new(wrong, "write for example \"/api/logon\""));
    }
    Ok(text.to_owned())
}
