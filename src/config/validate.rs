//! What several keys mean together: the tables that `run` and `gateway` share.
//!
//! Every check runs whatever the others found, so that all problems come at once; a value that could not be read
//! counts as its default here and never as a second problem. Defaults stand here and in `settings`' documentation.

use std::net::SocketAddr;
use std::time::Duration;

use jiff::fmt::friendly::SpanPrinter;

use super::conform::nearest;
use super::problem::Problem;
use super::read::Reader;
use super::settings::{Breaker, Limits, Log, LogFormat, Observe, Pool, Scheme, Times, TlsVersion, Trust, Upstream};
use super::{credentials, url, value};

pub(super) const fn seconds(seconds: u64) -> Duration {
    Duration::from_secs(seconds)
}

/// How long the caller waits in all, unless it is said.
pub(super) const CALLER_TIMEOUT: Duration = seconds(30);

/// Which file an upstream stands in, and what that means for it.
#[derive(Clone, Debug)]
pub(super) enum Side<'a> {
    /// `run`: identities that exist.
    Run {
        identities: &'a [&'a str],
        tokens: &'a [&'a str],
    },
    Gateway,
}

pub(super) fn limits(at: &Reader<'_>) -> Limits {
    let size = |key, default: u64| at.size(key).unwrap_or(default);
    let found = Limits {
        request_line: usize::try_from(size("request_line", 8 << 10)).unwrap_or(usize::MAX),
        headers: at.count("headers").unwrap_or(100),
        head_bytes: usize::try_from(size("head", 32 << 10)).unwrap_or(usize::MAX),
        body_bytes: size("body", 1 << 20),
        connections: at.count("connections").unwrap_or(1024),
        in_flight: at.count("in_flight").unwrap_or(256),
        head_time: at.duration("head_time", seconds(10)),
        keep_alive: at.duration("keep_alive", seconds(75)),
    };
    if found.request_line > found.head_bytes {
        let wrong = format!(
            "leaves {} bytes for the whole head, of which {} are for the request line alone",
            found.head_bytes, found.request_line
        );
        let key = if at.has("head") { "head" } else { "request_line" };
        at.error(key, wrong, "make `head` the greater of the two");
    }
    found
}

/// Deadline and quiet time.
pub(super) fn drain(at: &Reader<'_>) -> (Duration, Duration) {
    let deadline = at.duration("deadline", seconds(25));
    let quiet = at.duration("quiet", seconds(1));
    if quiet >= deadline {
        let wrong = format!(
            "({}) is not shorter than the deadline ({})",
            shown(quiet),
            shown(deadline)
        );
        at.error("quiet", wrong, "no drain could end before its deadline: shorten it");
    }
    (deadline, quiet)
}

/// The observation listener, which must not be where requests are served.
pub(super) fn observe(at: &Reader<'_>, served: Option<(SocketAddr, &str)>) -> Option<Observe> {
    if !at.has("address") {
        if at.exists() {
            at.error("address", "is missing", "write for example address = \"0.0.0.0:9090\"");
        }
        return None;
    }
    let address = at.read("address", value::socket)?;
    if let Some((served, key)) = served
        && address.port() == served.port()
        && address.port() != 0
        && (address.ip() == served.ip() || address.ip().is_unspecified() || served.ip().is_unspecified())
    {
        at.error("address", format!("takes the port of `{key}`"), "write another port");
    }
    Some(Observe { address })
}

pub(super) fn log(at: &Reader<'_>) -> Log {
    Log {
        format: match at.text("format") {
            Some("text") => LogFormat::Text,
            _ => LogFormat::Json,
        },
        level: at.read("level", value::level).unwrap_or_else(|| "info".to_owned()),
        access: at.switch("access", true),
    }
}

/// One upstream. `patience` is how long the caller waits, and the key that says so.
pub(super) fn upstream(at: &Reader<'_>, side: &Side<'_>, patience: (&Reader<'_>, Duration)) -> Option<Upstream> {
    let url = at.require("url", "https://ndh.example:8443", url::url);
    let scheme = url.as_ref().map(|url| url.scheme);
    let times = times(&at.table("timeouts"), scheme, patience);
    let pool = pool(&at.table("pool"));
    let identity = match side {
        Side::Run { identities, .. } => {
            let name = at.text("identity");
            if let Some(name) = name {
                resolve(at, "identity", name, "[identity.NAME]", identities);
            }
            name.map(str::to_owned)
        }
        Side::Gateway => {
            if at.has("identity") {
                let wrong = "shows a client identity, which a gateway does not have";
                at.error("identity", wrong, "remove it: the gateway reaches the API without one");
            }
            None
        }
    };
    let token = match side {
        Side::Run { tokens, .. } => {
            let name = at.text("token");
            if let Some(name) = name {
                resolve(at, "token", name, "[token.NAME]", tokens);
            }
            name.map(str::to_owned)
        }
        Side::Gateway => {
            if at.has("token") {
                let wrong = "names a token, which a gateway does not have";
                at.error("token", wrong, "remove it: callers bring their own");
            }
            None
        }
    };
    let trial = at.read("trial", value::trial);
    let crl = credentials::revocation(at);
    let url = url?;
    match url.scheme {
        Scheme::Https => {
            let trust = "/etc/delius-sidecar/trust/ca.crt";
            at.require("trust", trust, value::path);
            if matches!(side, Side::Run { .. }) && !at.has("identity") && !at.has("token") {
                let wrong = "is reached over TLS without a client certificate";
                at.warning("url", wrong, "NDH lets nobody in without one: write identity = \"…\"");
            }
            if identity.is_some() && !at.has("trial") {
                let wrong = "is tried by a handshake only, since there is no `trial`: a server with TLS 1.3 may refuse \
                             the certificate after that";
                at.warning("identity", wrong, "write for example trial = \"GET /health\"");
            }
        }
        Scheme::Http => {
            if matches!(side, Side::Run { .. }) && !url.is_loopback() && !at.switch("unsafe_plain", false) {
                let wrong = "is plain HTTP to another machine: anyone on the way could read and change what passes";
                at.error(
                    "url",
                    wrong,
                    "write https://, or unsafe_plain = true where that is meant",
                );
            }
            for key in ["trust", "identity", "tls_min", "http2", "crl"] {
                if at.has(key) {
                    at.warning(
                        key,
                        "has no effect: the url is plain http://",
                        "write https:// or remove it",
                    );
                }
            }
        }
    }
    Some(Upstream {
        scheme: url.scheme,
        host: url.host,
        port: url.port,
        base_path: url.base_path,
        server_name: at.read("server_name", value::server_name),
        trust: match at.text("trust") {
            Some("system") | None => Trust::System,
            Some(path) => Trust::Bundle(path.into()),
        },
        crl,
        identity,
        token,
        trial,
        times,
        pool,
        breaker: breaker(&at.table("breaker")),
        http2: at.switch("http2", false),
        tls_min: tls_min(at),
    })
}

pub(super) fn tls_min(at: &Reader<'_>) -> TlsVersion {
    match at.text("tls_min") {
        Some("1.3") => TlsVersion::V1_3,
        _ => TlsVersion::V1_2,
    }
}

/// Reports a name that nothing has.
pub(super) fn resolve(at: &Reader<'_>, key: &str, name: &str, what: &str, known: &[&str]) {
    if known.contains(&name) {
        return;
    }
    let right = match nearest(name, known.iter().copied()) {
        Some(near) => format!("did you mean \"{near}\"?"),
        None if known.is_empty() => format!("there is no {what} at all"),
        None => format!("known: {}", known.join(", ")),
    };
    at.error(
        key,
        format!("names \"{}\", but there is no such {what}", name.escape_debug()),
        right,
    );
}

/// A duration as it would be written.
pub(super) fn shown(duration: Duration) -> String {
    SpanPrinter::new().unsigned_duration_to_string(&duration)
}

/// The worst case is two connects (a refused one is tried again once), one handshake and the wait for the reply: it must
/// fit into `total`, and `total` into the caller's patience; else the caller gives up first and learns nothing.
fn times(at: &Reader<'_>, scheme: Option<Scheme>, (caller, patience): (&Reader<'_>, Duration)) -> Times {
    let times = Times {
        connect: at.duration("connect", seconds(2)),
        handshake: at.duration("handshake", seconds(3)),
        first_byte: at.duration("first_byte", seconds(15)),
        idle: at.duration("idle", seconds(10)),
        total: at.duration("total", seconds(25)),
    };
    let handshake = if scheme == Some(Scheme::Http) {
        Duration::ZERO
    } else {
        times.handshake
    };
    let worst = times.connect * 2 + handshake + times.first_byte;
    if worst > times.total {
        let tls = if handshake.is_zero() {
            String::new()
        } else {
            format!(", handshake {}", shown(handshake))
        };
        let wrong = format!(
            "are too long together: twice connect {}{tls} and first_byte {} can take {}, but total is {}",
            shown(times.connect),
            shown(times.first_byte),
            shown(worst),
            shown(times.total)
        );
        let longest = ["first_byte", "handshake", "connect", "total"]
            .into_iter()
            .find(|key| at.has(key));
        let place = at.place(longest.unwrap_or("total"));
        let problem = Problem::error(place, format!("`{}` {wrong}", at.path()));
        at.report()
            .add(problem.right("shorten the phases, or make total longer where the caller can wait"));
    }
    if times.total >= patience {
        let wrong = format!(
            "`{}` is {}, but the caller gives up after {}",
            at.path_of("total"),
            shown(times.total),
            shown(patience)
        );
        let caller_key = caller.path_of("caller_timeout");
        let place = if at.has("total") {
            at.place("total")
        } else {
            caller.place("caller_timeout")
        };
        let right = format!("keep it below `{caller_key}`, so that the caller gets an answer that says what failed");
        let mut problem = Problem::error(place, wrong).right(right);
        if at.has("total") && caller.has("caller_timeout") {
            problem = problem.related(caller.place("caller_timeout"), "the caller's patience");
        }
        at.report().add(problem);
    }
    times
}

fn pool(at: &Reader<'_>) -> Pool {
    let found = Pool {
        idle: at.count("idle").unwrap_or(32),
        idle_time: at.duration("idle_time", seconds(30)),
        max_age: at.duration("max_age", seconds(3600)),
    };
    if found.idle_time > found.max_age {
        let wrong = format!(
            "({}) is longer than max_age ({})",
            shown(found.idle_time),
            shown(found.max_age)
        );
        at.error("idle_time", wrong, "make it shorter");
    }
    found
}

fn breaker(at: &Reader<'_>) -> Breaker {
    let count = |key, default| {
        at.count(key)
            .and_then(|found| u32::try_from(found).ok())
            .unwrap_or(default)
    };
    Breaker {
        window: at.duration("window", seconds(10)),
        min_results: count("min_results", 20),
        failure_ratio: at.ratio("failure_ratio", 0.5),
        min_persons: count("min_persons", 5),
        connection_faults: count("connection_faults", 5),
        open_for: at.duration("open_for", seconds(5)),
    }
}
