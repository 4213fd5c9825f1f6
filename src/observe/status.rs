//! What is shown about the running process: certificates, upstreams, routes. Plain values, put together by the wiring
//! when somebody asks; no key and nothing of a request is among them.

use serde::Serialize;

use crate::identity::status::{Lineage, rfc3339};
use crate::switch::report::Report;

/// One look at the running process.
#[derive(Clone, Debug, Default, PartialEq, Serialize)]
pub struct Status {
    pub identities: Vec<Identity>,
    /// What comes next for each of them, what was refused last, and the last receipt.
    pub lineages: Vec<Lineage>,
    pub upstreams: Vec<Upstream>,
    pub routes: Vec<Route>,
    /// Where the switch-over stands.
    pub switch: Report,
    pub tokens: Vec<Token>,
}

/// One token that is fetched for a leg: never the token itself.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize)]
pub struct Token {
    pub name: String,
    /// Unix seconds; `None`: there is none.
    pub expires: Option<i64>,
    /// When a fetch last failed, and how, by a word of a fixed list.
    pub failed: Option<(i64, &'static str)>,
    /// When the client's secret was written.
    pub secret_since: Option<i64>,
}

/// One certificate in use.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize)]
pub struct Identity {
    /// `client`, `server`, `trust` or `client_ca`: what it is used for.
    pub role: &'static str,
    /// The configured name of the identity, or of the upstream whose trust it is.
    pub name: String,
    /// The upstream it is used with; empty for the gateway's own.
    pub upstream: String,
    /// `leaf`, `ca-1`…
    pub position: String,
    pub generation: u64,
    pub subject: String,
    pub names: Vec<String>,
    pub issuer: String,
    pub serial: String,
    /// SHA-256 of the certificate, lower-case hexadecimal.
    pub fingerprint: String,
    #[serde(serialize_with = "as_text")]
    pub not_before: i64,
    #[serde(serialize_with = "as_text")]
    pub not_after: i64,
}

/// One upstream.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize)]
pub struct Upstream {
    pub name: String,
    /// `host:port`.
    pub address: String,
    pub circuit: &'static str,
    pub connections: Vec<Connections>,
}

/// Open connections of one generation.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize)]
pub struct Connections {
    pub generation: u64,
    pub active: u64,
    pub idle: u64,
}

/// One route and leg.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize)]
pub struct Route {
    pub name: String,
    pub template: String,
    pub leg: String,
    /// Of the route's unit.
    pub mode: &'static str,
    /// Since the process began.
    pub requests: u64,
}

fn as_text<S: serde::Serializer>(seconds: &i64, serializer: S) -> Result<S::Ok, S::Error> {
    serializer.serialize_str(&rfc3339(*seconds))
}
