//! Validated settings: what the rest of the program may rely on.
//!
//! A value that exists here is valid: templates parse, names resolve, times fit into the caller's patience. The
//! types say nothing of files or TOML; `config::file` does.

use std::collections::BTreeMap;
use std::fmt;
use std::path::PathBuf;
use std::time::Duration;

pub use super::legs::{Authorization, Comparison, Leg, Query, Route, Shadow, Switch, Unit};
pub use super::material::{Material, Revocation, Stale};
pub use super::token::{ClientCredentials, DeliusLogon, GrantIn, Source, Token};
use crate::cert::peer::Pattern;
use crate::route::{Methods, Template};

/// Everything `run` needs.
#[derive(Clone, Debug)]
pub struct Settings {
    pub listen: Listen,
    pub observe: Option<Observe>,
    pub control: Option<Control>,
    pub log: Log,
    pub identities: BTreeMap<String, Identity>,
    pub upstreams: BTreeMap<String, Upstream>,
    pub tokens: BTreeMap<String, Token>,
    /// What switches together: named groups, and each route that is in none under its own name.
    pub units: BTreeMap<String, Unit>,
    pub routes: Vec<Route>,
    pub switch: Switch,
}

/// Where a listener is bound.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Address {
    /// `host:port`; the host is an IP address. Port 0 lets the kernel choose.
    Tcp(std::net::SocketAddr),
    /// `unix:/path`.
    Unix(PathBuf),
}

impl fmt::Display for Address {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Tcp(address) => address.fmt(f),
            Self::Unix(path) => write!(f, "unix:{}", path.display()),
        }
    }
}

/// The local side: where the application connects.
#[derive(Clone, Debug)]
pub struct Listen {
    pub address: Address,
    /// Threads that serve requests, each with its own runtime, listener and pools. Default 1.
    pub workers: usize,
    pub limits: Limits,
    /// How long the caller waits in all; `check` refuses settings whose worst case exceeds it. Default 30 s.
    pub caller_timeout: Duration,
    /// After SIGTERM: the longest time until exit. Default 25 s.
    pub drain_deadline: Duration,
    /// After SIGTERM: quiet for this long (no connection, or only idle ones) means drained. Default 1 s.
    pub drain_quiet: Duration,
}

/// Bounds on what a caller may send and hold.
#[derive(Clone, Debug)]
pub struct Limits {
    /// Bytes of method, target and version. Default 8 KiB; 414 beyond.
    pub request_line: usize,
    /// Number of header fields. Default 100; 431 beyond.
    pub headers: usize,
    /// Bytes of the whole head. Default 32 KiB; 431 beyond.
    pub head_bytes: usize,
    /// Bytes of a request body. Default 1 MiB; 413 beyond.
    pub body_bytes: u64,
    /// Open client connections. Default 1024; 503 `overloaded` beyond.
    pub connections: usize,
    /// Requests under way per route, unless the route says otherwise. Default 256; 503 `overloaded` beyond.
    pub in_flight: usize,
    /// From the first byte of a head to its end; also the wait for the first byte on a new connection. Default 10 s; 408.
    pub head_time: Duration,
    /// A kept-alive connection with nothing to do is closed after this. Default 75 s.
    pub keep_alive: Duration,
}

/// Probes, metrics and status page: read-only.
#[derive(Clone, Debug)]
pub struct Observe {
    pub address: std::net::SocketAddr,
}

/// Everything that changes state: a unix socket.
#[derive(Clone, Debug)]
pub struct Control {
    pub socket: PathBuf,
}

/// How log lines look. Default: JSON, `info`, with access lines.
#[derive(Clone, Debug)]
pub struct Log {
    pub format: LogFormat,
    /// A `tracing` filter directive, for instance `info` or `delius_sidecar=debug`.
    pub level: String,
    /// One line for each request. Default true.
    pub access: bool,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum LogFormat {
    Json,
    Text,
}

/// A managed client identity: where its files are and whom it must name.
#[derive(Clone, Debug)]
pub struct Identity {
    pub material: Material,
    /// DNS names that the leaf must carry; empty: any.
    pub expect_dns: Vec<String>,
    /// A second place, a directory of the same shape, where the next certificate arrives.
    pub staged: Option<PathBuf>,
    /// What follows a passed trial. Default automatic.
    pub promotion: Promotion,
    /// When the certificate in use ends within this time and the other side cannot be reached for a trial, the new one
    /// is promoted untried. Default 1 h.
    pub untried_before: Duration,
}

/// What follows a passed trial of a new certificate.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Promotion {
    Automatic,
    /// The operator promotes.
    Manual,
}

/// One other side.
#[derive(Clone, Debug)]
pub struct Upstream {
    pub scheme: Scheme,
    /// DNS name or IP address (no brackets).
    pub host: String,
    pub port: u16,
    /// Path that is put before every leg's path; empty, or starts with `/` and does not end with one.
    pub base_path: String,
    /// The name to verify and to send as SNI and `Host`, where it differs from `host`.
    pub server_name: Option<String>,
    /// Not used with plain HTTP.
    pub trust: Trust,
    /// `None`: revocation of the server's certificate is not looked at.
    pub crl: Option<Revocation>,
    /// Key into `Settings::identities`; always `None` for a gateway.
    pub identity: Option<String>,
    /// Key into `Settings::tokens`; always `None` for a gateway.
    pub token: Option<String>,
    /// The request that proves a new identity.
    pub trial: Option<Trial>,
    pub times: Times,
    pub pool: Pool,
    pub breaker: Breaker,
    /// HTTP/2 is offered by ALPN and used where the upstream takes it. Default false.
    pub http2: bool,
    /// Lowest TLS version. Default 1.2.
    pub tls_min: TlsVersion,
}

/// A request that changes nothing.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Trial {
    /// `GET` or `HEAD`.
    pub method: String,
    /// Without parameters; the upstream's base path is put before it.
    pub path: String,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Scheme {
    Http,
    Https,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum TlsVersion {
    V1_2,
    V1_3,
}

/// Whom to believe about the server's certificate.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Trust {
    /// A PEM bundle, and nothing else.
    Bundle(PathBuf),
    /// The operating system's roots.
    System,
}

/// The time budget of one request, phase by phase.
#[derive(Clone, Debug)]
pub struct Times {
    /// DNS and TCP connect. Default 2 s.
    pub connect: Duration,
    /// TLS handshake. Default 3 s.
    pub handshake: Duration,
    /// From the request sent to the first byte of the reply. Default 15 s.
    pub first_byte: Duration,
    /// Between two bytes of a body, either way. Default 10 s.
    pub idle: Duration,
    /// The whole request. Default 25 s.
    pub total: Duration,
}

/// Kept upstream connections, per worker and identity generation.
#[derive(Clone, Debug)]
pub struct Pool {
    /// Idle connections kept. Default 32.
    pub idle: usize,
    /// An idle connection is closed after this; keep it below the other side's. Default 30 s.
    pub idle_time: Duration,
    /// A connection is not reused beyond this age. Default 1 h.
    pub max_age: Duration,
}

/// When a leg is left alone for a while.
#[derive(Clone, Debug)]
pub struct Breaker {
    /// Length of the window that is looked at. Default 10 s.
    pub window: Duration,
    /// Fewer results than this in the window never open the circuit. Default 20.
    pub min_results: u32,
    /// Share of failures (0..=1) that opens it. Default 0.5.
    pub failure_ratio: f64,
    /// Failures must touch at least this many persons. Default 5.
    pub min_persons: u32,
    /// Connection faults in a row that open it at once. Default 5.
    pub connection_faults: u32,
    /// How long it stays open before a probe is let through (jitter is added). Default 5 s.
    pub open_for: Duration,
}

/// Everything `gateway` needs.
#[derive(Clone, Debug)]
pub struct GatewaySettings {
    /// Where it listens; any address may be used: every caller is authenticated.
    pub address: std::net::SocketAddr,
    /// As `Listen::workers`.
    pub workers: usize,
    pub limits: Limits,
    pub caller_timeout: Duration,
    pub drain_deadline: Duration,
    pub drain_quiet: Duration,
    pub observe: Option<Observe>,
    pub control: Option<Control>,
    pub log: Log,
    /// The certificate that the gateway shows.
    pub material: Material,
    /// As `Identity::staged`.
    pub staged: Option<PathBuf>,
    /// What follows a new certificate that was read and verified. Default automatic.
    pub promotion: Promotion,
    /// The CA bundle that client certificates must chain to.
    pub client_ca: PathBuf,
    /// `None`: revocation of client certificates is not looked at.
    pub crl: Option<Revocation>,
    pub tls_min: TlsVersion,
    /// From accept to the end of the handshake. Default 5 s.
    pub handshake: Duration,
    /// The API behind the gateway; usually plain HTTP.
    pub upstream: Upstream,
    /// OR between rules.
    pub allow: Vec<AllowRule>,
}

/// Who is let in, to what. AND between the patterns, OR between the routes.
#[derive(Clone, Debug)]
pub struct AllowRule {
    pub name: String,
    pub peers: Vec<Pattern>,
    pub routes: Vec<(Methods, Template)>,
}
