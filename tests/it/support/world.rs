//! A sidecar in front of one upstream, described in one expression.
//!
//! The configuration is written here and nowhere else in the tests: when a key changes its name, this file changes.

use std::collections::BTreeMap;
use std::fmt::Write as _;
use std::net::SocketAddr;
use std::path::Path;

use super::bin::Sidecar;
use super::pki::{APP, Key, Leaf, NDH, pki};

/// The routes of every test sidecar. `{nomsNumber}` is where persons appear in paths.
const ROUTES: &[(&str, &str)] = &[
    ("offender", "GET /secure/offenders/nomsNumber/{nomsNumber}/all"),
    ("case", "* /t/{case}"),
    ("person", "* /p/{nomsNumber}"),
    ("echo", "* /echo/{case}"),
    ("bytes", "* /bytes/{size}"),
    ("file", "* /{file}"),
];

#[derive(Clone)]
pub(crate) struct World {
    url: String,
    trust: Option<String>,
    identity: Option<Leaf>,
    settings: BTreeMap<&'static str, BTreeMap<&'static str, String>>,
    routes: Vec<(String, String, String)>,
}

impl World {
    /// Towards a TLS upstream on this address, with a good ECDSA identity and the right trust.
    pub(crate) fn to(upstream: SocketAddr) -> Self {
        Self::to_url(&format!("https://127.0.0.1:{}", upstream.port())).set("upstream.ndh", "server_name", text(NDH))
    }

    pub(crate) fn to_url(url: &str) -> Self {
        let routes = ROUTES
            .iter()
            .map(|(name, pattern)| ((*name).to_owned(), (*pattern).to_owned(), String::new()));
        Self {
            url: url.to_owned(),
            trust: Some(pki().root_pem()),
            identity: Some(pki().client(Key::Ecdsa)),
            settings: BTreeMap::new(),
            routes: routes.collect(),
        }
        .set("drain", "quiet", text("50ms"))
        .set("drain", "deadline", text("2s"))
    }

    pub(crate) fn identity(mut self, leaf: &Leaf) -> Self {
        self.identity = Some(leaf.clone());
        self
    }

    pub(crate) fn no_identity(mut self) -> Self {
        self.identity = None;
        self
    }

    /// The configuration names an identity whose files are not there.
    pub(crate) fn identity_not_delivered(self) -> Self {
        self.no_identity()
            .set(
                "identity.allocation-manager",
                "certificate",
                text("/nonexistent/tls.crt"),
            )
            .set(
                "identity.allocation-manager",
                "private_key",
                text("/nonexistent/tls.key"),
            )
            .set("upstream.ndh", "identity", text(APP))
    }

    pub(crate) fn trust(mut self, pem: &str) -> Self {
        self.trust = Some(pem.to_owned());
        self
    }

    /// A key of a table; the value as TOML writes it.
    pub(crate) fn set(mut self, table: &'static str, key: &'static str, value: impl ToString) -> Self {
        self.settings.entry(table).or_default().insert(key, value.to_string());
        self
    }

    /// Makes breaker faults harmless for tests that provoke many.
    pub(crate) fn no_breaker(self) -> Self {
        self.set("upstream.ndh.breaker", "connection_faults", 100_000).set(
            "upstream.ndh.breaker",
            "min_results",
            100_000,
        )
    }

    /// One more route, with more keys of its table.
    pub(crate) fn route(mut self, name: &str, pattern: &str, keys: &str) -> Self {
        self.routes.push((name.to_owned(), pattern.to_owned(), keys.to_owned()));
        self
    }

    pub(crate) fn start(self) -> Sidecar {
        let directory = directory();
        let config = self.write(directory.path());
        Sidecar::start(directory, &config)
    }

    /// Writes the certificates into `directory`; the configuration's text.
    pub(crate) fn write(self, directory: &Path) -> String {
        let path = |name: &str| directory.join(name);
        let mut world = self;
        let url = text(&world.url);
        let listen = world.settings.entry("listen").or_default();
        listen.entry("address").or_insert_with(|| text("127.0.0.1:0"));
        world = world.set("observe", "address", text("127.0.0.1:0"));
        world = world.set("upstream.ndh", "url", url).set("log", "format", text("json"));
        if let Some(pem) = world.trust.take() {
            std::fs::write(path("ca.crt"), pem).expect("write the trust bundle");
            let file = text(&path("ca.crt").display().to_string());
            world = world.set("upstream.ndh", "trust", file);
        }
        if let Some(leaf) = world.identity.take() {
            std::fs::write(path("tls.crt"), &leaf.chain_pem).expect("write the chain");
            std::fs::write(path("tls.key"), &leaf.key_pem).expect("write the key");
            private(&path("tls.key"));
            let (chain, key) = (
                path("tls.crt").display().to_string(),
                path("tls.key").display().to_string(),
            );
            world = world
                .set("identity.allocation-manager", "certificate", text(&chain))
                .set("identity.allocation-manager", "private_key", text(&key))
                .set("upstream.ndh", "identity", text(APP));
        }
        world.toml()
    }

    fn toml(&self) -> String {
        let mut toml = String::new();
        for (table, keys) in &self.settings {
            let _ = writeln!(toml, "[{table}]");
            for (key, value) in keys {
                let _ = writeln!(toml, "{key} = {value}");
            }
        }
        for (name, pattern, keys) in &self.routes {
            let _ = writeln!(toml, "[[route]]\nname = \"{name}\"\nmatch = \"{pattern}\"\n{keys}");
            if pattern.contains("{nomsNumber}") {
                let _ = writeln!(toml, "person = \"nomsNumber\"");
            }
            let _ = writeln!(toml, "[route.ndh]\nupstream = \"ndh\"");
        }
        toml
    }
}

/// A directory for one sidecar.
pub(crate) fn directory() -> tempfile::TempDir {
    let made = tempfile::Builder::new().prefix("delius-world-").tempdir();
    made.expect("a temporary directory")
}

/// A TOML string.
pub(crate) fn text(value: &str) -> String {
    format!("{value:?}")
}

fn private(file: &Path) {
    use std::os::unix::fs::PermissionsExt;
    std::fs::set_permissions(file, PermissionsExt::from_mode(0o600)).expect("set the key's mode");
}
