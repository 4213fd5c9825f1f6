//! What the process counts.
//!
//! Counters live as long as the process: a reload finds them again by name and goes on. The request path takes no lock
//! and shares no cache line between workers (`route`, `upstream`); everything that happens seldom takes a lock.
//! `exposition` adds it all up when somebody asks. Labels are route templates, configured names and words from fixed
//! lists: never a path, a person or text from the other side.

mod exposition;
mod identity;
mod process;
mod route;
#[cfg(test)]
mod strict;
mod switch;
mod token;
mod upstream;

use std::collections::BTreeMap;
use std::fmt;
use std::sync::atomic::{AtomicU64, Ordering::Relaxed};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use crate::fault::Code;

pub use identity::Sample;
pub use route::RouteMeter;
pub use switch::Beside;
pub use token::TokenLife;
pub use upstream::{ConnectionCount, UpstreamMeter};

/// The content type of what [`Metrics::exposition`] writes.
pub const CONTENT_TYPE: &str = "application/openmetrics-text; version=1.0.0; charset=utf-8";

/// All counters of the process.
#[derive(Debug)]
pub struct Metrics {
    workers: usize,
    routes: Mutex<BTreeMap<(String, String, String), Arc<RouteMeter>>>,
    upstreams: Mutex<BTreeMap<String, Arc<UpstreamMeter>>>,
    /// Requests refused before a route was found.
    unrouted: RouteMeter,
    errors: [AtomicU64; Code::ALL.len()],
    clients: Clients,
    access_lines_dropped: AtomicU64,
    reloads_ok: AtomicU64,
    reloads_refused: AtomicU64,
    /// By `Forbidden`: the peer, the request.
    forbidden: [AtomicU64; 2],
    front_handshakes_refused: Mutex<BTreeMap<String, u64>>,
    identities: identity::Identities,
    tokens: token::Tokens,
    switch: switch::Switch,
}

/// Connections of callers.
#[derive(Debug, Default)]
struct Clients {
    accepted: AtomicU64,
    left: AtomicU64,
    refused: AtomicU64,
}

/// Why the gateway answered 403.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Forbidden {
    /// No rule admits the certificate.
    Peer,
    /// A rule admits the certificate, but not to this method and path.
    Request,
}

impl Metrics {
    /// Everything at zero.
    #[must_use]
    pub fn new(workers: usize) -> Self {
        Self {
            workers,
            routes: Mutex::default(),
            upstreams: Mutex::default(),
            unrouted: RouteMeter::new("_", "_", "_", 1),
            errors: std::array::from_fn(|_| AtomicU64::new(0)),
            clients: Clients::default(),
            access_lines_dropped: AtomicU64::new(0),
            reloads_ok: AtomicU64::new(0),
            reloads_refused: AtomicU64::new(0),
            forbidden: Default::default(),
            front_handshakes_refused: Mutex::default(),
            identities: identity::Identities::default(),
            tokens: token::Tokens::default(),
            switch: switch::Switch::default(),
        }
    }

    /// The counters of a route and leg: those it had before, if it was known.
    pub fn route(&self, name: &str, template: &str, leg: &str) -> Arc<RouteMeter> {
        let key = (name.to_owned(), template.to_owned(), leg.to_owned());
        let new = || Arc::new(RouteMeter::new(name, template, leg, self.workers));
        lock(&self.routes).entry(key).or_insert_with(new).clone()
    }

    /// The counters of an upstream: those it had before, if it was known.
    pub fn upstream(&self, name: &str) -> Arc<UpstreamMeter> {
        let new = || Arc::new(UpstreamMeter::new(self.workers));
        lock(&self.upstreams).entry(name.to_owned()).or_insert_with(new).clone()
    }

    /// A request was answered before a route was found.
    pub fn unrouted(&self, method: &str, status: u16, duration: Duration) {
        self.unrouted.record(0, method, status, duration);
    }

    /// A request came to this fault.
    pub fn error(&self, code: Code) {
        for (known, count) in Code::ALL.iter().zip(&self.errors) {
            if *known == code {
                count.fetch_add(1, Relaxed);
            }
        }
    }

    /// A request to `upstream` was sent again; `why` is from a fixed list.
    pub fn retried(&self, upstream: &str, why: &str) {
        self.upstream(upstream).retried(why);
    }

    /// Access lines that nobody will read: the writer could not keep up.
    pub fn access_lines_dropped(&self, number: u64) {
        self.access_lines_dropped.fetch_add(number, Relaxed);
    }

    /// A caller's connection was accepted.
    pub fn client_connected(&self) {
        self.clients.accepted.fetch_add(1, Relaxed);
    }

    /// A caller's connection is closed.
    pub fn client_left(&self) {
        self.clients.left.fetch_add(1, Relaxed);
    }

    /// A connection was turned away, since there were too many.
    pub fn refused_connection(&self) {
        self.clients.refused.fetch_add(1, Relaxed);
    }

    /// The gateway did not let a peer finish its handshake; `reason` is from a fixed list.
    pub fn front_handshake_refused(&self, reason: &str) {
        *lock(&self.front_handshakes_refused)
            .entry(reason.to_owned())
            .or_default() += 1;
    }

    /// The gateway answered 403.
    pub fn forbidden(&self, what: Forbidden) {
        self.forbidden[what as usize].fetch_add(1, Relaxed);
    }

    /// A new configuration came into force, or was refused.
    pub fn config_reloaded(&self, ok: bool) {
        let count = if ok { &self.reloads_ok } else { &self.reloads_refused };
        count.fetch_add(1, Relaxed);
    }

    /// Every route that was ever configured, by name.
    #[must_use]
    pub fn routes(&self) -> Vec<Arc<RouteMeter>> {
        lock(&self.routes).values().cloned().collect()
    }

    /// Everything as OpenMetrics text, for [`CONTENT_TYPE`].
    ///
    /// # Errors
    /// Those of writing into a string: none in practice.
    pub fn exposition(self: &Arc<Self>) -> Result<String, fmt::Error> {
        exposition::write(self)
    }
}

/// A panic elsewhere does not make counters wrong: they are read on.
fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

#[cfg(test)]
mod tests {
    use super::strict::{Line, parse};
    use super::*;

    fn value(lines: &[Line], name: &str, labels: &[(&str, &str)]) -> Option<f64> {
        let owned: Vec<_> = labels.iter().map(|(k, v)| ((*k).to_owned(), (*v).to_owned())).collect();
        let wanted = |line: &&Line| line.0 == format!("delius_sidecar_{name}") && line.1 == owned;
        lines.iter().find(wanted).map(|line| line.2)
    }

    fn scrape(metrics: &Arc<Metrics>) -> Vec<Line> {
        parse(&metrics.exposition().expect("text"))
    }

    #[test]
    fn everything_there_is_to_count_is_written_as_well_formed_text() {
        let metrics = Arc::new(Metrics::new(2));
        let route = metrics.route("offender", "/offenders/{nomsNumber}", "ndh");
        route.record(0, "GET", 200, Duration::from_millis(20));
        route.record(1, "GET", 200, Duration::from_secs(40));
        // The same template under another name is the same series.
        let same = metrics.route("offender-write", "/offenders/{nomsNumber}", "ndh");
        same.record(0, "PUT", 200, Duration::from_millis(1));
        metrics.unrouted("GET", 421, Duration::from_millis(1));
        metrics.error(Code::RouteUnknown);
        metrics.retried("ndh", "pooled_connection_dead");
        metrics.access_lines_dropped(3);
        for _ in 0..3 {
            metrics.client_connected();
        }
        metrics.client_left();
        metrics.refused_connection();
        metrics.front_handshake_refused("expired");
        metrics.forbidden(Forbidden::Request);
        metrics.config_reloaded(false);
        metrics.generation("ndh", Some(("allocation-manager", 2)));
        let ndh = metrics.upstream("ndh");
        ndh.dialled(Ok(()));
        ndh.dialled(Err(Code::UpstreamTls));
        ndh.handshake("TLSv1.3", true);
        ndh.handshake_failed("name_mismatch");
        ndh.circuit("open");
        let mut connection = ndh.connection(2);
        connection.idle();

        let lines = scrape(&metrics);
        let is = |name: &str, labels: &[(&str, &str)], expected: f64| {
            assert_eq!(value(&lines, name, labels), Some(expected), "{name}{labels:?}");
        };
        let template = ("route", "/offenders/{nomsNumber}");
        let series = [template, ("leg", "ndh"), ("method", "GET"), ("status_code", "200")];
        is("http_server_requests_total", &series, 2.0);
        let refused = [("route", "_"), ("leg", "_"), ("method", "GET"), ("status_code", "421")];
        is("http_server_requests_total", &refused, 1.0);
        is("errors_total", &[("code", "route_unknown")], 1.0);
        for code in Code::ALL {
            let found = value(&lines, "errors_total", &[("code", code.as_str())]);
            assert!(found.is_some(), "{code} is there before it happens");
        }
        is(
            "retries_total",
            &[("upstream", "ndh"), ("reason", "pooled_connection_dead")],
            1.0,
        );
        is("access_lines_dropped_total", &[], 3.0);
        is("http_server_open_connections", &[], 2.0);
        is("http_server_connections_total", &[], 3.0);
        is("http_server_connections_refused_total", &[], 1.0);
        is("config_reloads_total", &[("result", "refused")], 1.0);
        is("config_reloads_total", &[("result", "ok")], 0.0);
        is("build_info", &[("version", env!("CARGO_PKG_VERSION"))], 1.0);
        let identity = [("identity", "allocation-manager"), ("upstream", "ndh")];
        is("certificate_generation", &identity, 2.0);
        is("http_client_dials_total", &[("upstream", "ndh"), ("result", "ok")], 1.0);
        is(
            "http_client_dials_total",
            &[("upstream", "ndh"), ("result", "upstream_tls")],
            1.0,
        );
        let handshake = [("upstream", "ndh"), ("version", "TLSv1.3"), ("resumed", "true")];
        is("tls_handshakes_total", &handshake, 1.0);
        for (side, upstream, reason) in [("client", "ndh", "name_mismatch"), ("server", "", "expired")] {
            let labels = [("side", side), ("upstream", upstream), ("reason", reason)];
            is("tls_handshake_failures_total", &labels, 1.0);
        }
        is("circuit_state", &[("upstream", "ndh"), ("state", "open")], 1.0);
        is("circuit_state", &[("upstream", "ndh"), ("state", "closed")], 0.0);
        for (state, number) in [("active", 0.0), ("idle", 1.0)] {
            let labels = [("upstream", "ndh"), ("generation", "2"), ("state", state)];
            is("http_client_open_connections", &labels, number);
        }
        assert!(value(&lines, "clock_timestamp_seconds", &[]).is_some_and(|now| now > 1.7e9));
    }

    #[test]
    fn buckets_are_cumulative_and_the_last_one_is_the_count() {
        let metrics = Arc::new(Metrics::new(1));
        let route = metrics.route("a", "/a", "ndh");
        for milliseconds in [1, 30, 30, 9_000, 60_000] {
            route.record(0, "GET", 200, Duration::from_millis(milliseconds));
        }
        let lines = scrape(&metrics);
        let name = "delius_sidecar_http_server_request_duration_seconds";
        let of_route = |line: &&Line| line.1.contains(&("route".to_owned(), "/a".to_owned()));
        let mut previous = (f64::NEG_INFINITY, 0.0);
        let mut buckets = Vec::new();
        for line in lines
            .iter()
            .filter(of_route)
            .filter(|line| line.0 == format!("{name}_bucket"))
        {
            let le = line.1.iter().find(|label| label.0 == "le").expect("a bound");
            let bound: f64 = le.1.parse().expect("a number");
            assert!(
                bound > previous.0 && line.2 >= previous.1,
                "{line:?} after {previous:?}"
            );
            previous = (bound, line.2);
            buckets.push(previous);
        }
        assert_eq!(buckets.len(), 17);
        assert!(
            buckets.contains(&(0.05, 3.0)) && buckets.contains(&(30.0, 4.0)),
            "{buckets:?}"
        );
        assert_eq!(previous, (f64::INFINITY, 5.0));
        let labels = [("route", "/a"), ("leg", "ndh")];
        let total = |suffix: &str| {
            value(
                &lines,
                &format!("http_server_request_duration_seconds_{suffix}"),
                &labels,
            )
        };
        assert_eq!(total("count"), Some(5.0));
        assert!(total("sum").is_some_and(|sum| (sum - 69.061).abs() < 1e-6));
    }

    #[test]
    fn a_reload_does_not_reset_counters() {
        let metrics = Arc::new(Metrics::new(1));
        metrics.route("a", "/a", "ndh").record(0, "GET", 200, Duration::ZERO);
        metrics.upstream("ndh").dialled(Ok(()));
        let again = metrics.route("a", "/a", "ndh");
        again.record(0, "GET", 200, Duration::ZERO);
        assert_eq!(again.requests(), 2);
        metrics.upstream("ndh").dialled(Ok(()));
        let labels = [("upstream", "ndh"), ("result", "ok")];
        assert_eq!(value(&scrape(&metrics), "http_client_dials_total", &labels), Some(2.0));
    }

    #[test]
    fn a_certificate_that_was_replaced_is_no_longer_shown() {
        let metrics = Arc::new(Metrics::new(1));
        let sample = |position: &str, not_after| Sample {
            position: position.to_owned(),
            not_before: -5,
            not_after,
        };
        metrics.certificates("client", "am", vec![sample("leaf", 10), sample("ca-1", 20)]);
        metrics.certificates("client", "am", vec![sample("leaf", 30)]);
        let lines = scrape(&metrics);
        let at = |name: &str, position: &str| {
            let labels = [("role", "client"), ("name", "am"), ("position", position)];
            value(&lines, &format!("certificate_{name}_timestamp_seconds"), &labels)
        };
        assert_eq!(at("not_after", "leaf"), Some(30.0));
        assert_eq!(at("not_before", "leaf"), Some(-5.0));
        assert_eq!(at("not_after", "ca-1"), None);
    }

    #[test]
    fn text_in_a_label_stays_inside_it() {
        let metrics = Arc::new(Metrics::new(1));
        let evil = "/a\"} 1\nfake_total 9\\";
        metrics.route("a", evil, "ndh").record(0, "GET", 200, Duration::ZERO);
        let lines = scrape(&metrics);
        let labels = [
            ("route", evil),
            ("leg", "ndh"),
            ("method", "GET"),
            ("status_code", "200"),
        ];
        assert_eq!(value(&lines, "http_server_requests_total", &labels), Some(1.0));
    }
}
