//! The counters as OpenMetrics text: the one place that knows metric names.
//!
//! Names carry the base unit (seconds, bytes, Unix timestamps); escaping and framing are `prometheus_client`'s.
//! Routes that share a template and a leg are one series, because the template is the label.

use std::collections::BTreeMap;
use std::fmt;
use std::sync::Arc;
use std::sync::atomic::Ordering::Relaxed;

use prometheus_client::collector::Collector;
use prometheus_client::encoding::{DescriptorEncoder, MetricEncoder, NoLabelSet, text};
use prometheus_client::metrics::MetricType;
use prometheus_client::registry::Registry;

use super::route::{BUCKETS, Tally};
use super::upstream::{CIRCUIT, UpstreamMeter};
use super::{Metrics, lock, process};
use crate::clock;
use crate::fault::Code;

/// The name of a metric of this program.
macro_rules! named {
    ($name:literal) => {
        concat!("delius_sidecar_", $name)
    };
}
pub(super) use named;

pub(super) fn write(metrics: &Arc<Metrics>) -> Result<String, fmt::Error> {
    let mut registry = Registry::default();
    registry.register_collector(Box::new(metrics.clone()));
    let mut out = String::new();
    text::encode(&mut out, &registry)?;
    Ok(out)
}

impl Collector for Metrics {
    fn encode(&self, mut encoder: DescriptorEncoder<'_>) -> fmt::Result {
        let out = &mut encoder;
        about(out)?;
        self.requests(out)?;
        self.front(out)?;
        self.to_upstreams(out)?;
        self.validity(out)?;
        self.of_tokens(out)?;
        self.of_switch(out)?;
        own_process(out)
    }
}

impl Metrics {
    fn requests(&self, out: &mut DescriptorEncoder<'_>) -> fmt::Result {
        let mut tallies: BTreeMap<(String, String), Tally> = BTreeMap::new();
        let routes = self.routes();
        for meter in routes.iter().map(Arc::as_ref).chain([&self.unrouted]) {
            let series = (meter.template().to_owned(), meter.leg().to_owned());
            meter.add_to(tallies.entry(series).or_default());
        }
        let help = "Time from the first byte of a request to the last byte of its reply";
        let name = named!("http_server_request_duration_seconds");
        let mut family = Family::new(out, name, help, MetricType::Histogram)?;
        for ((route, leg), tally) in &tallies {
            family.histogram(&[("route", route), ("leg", leg)], tally)?;
        }
        let help = "Requests answered; status 000: the caller left before there was a reply";
        let name = named!("http_server_requests");
        let mut family = Family::new(out, name, help, MetricType::Counter)?;
        for ((route, leg), tally) in &tallies {
            for (method, status, count) in &tally.counts {
                let status = status.map_or_else(|| "_".to_owned(), |status| format!("{status:03}"));
                let labels = [
                    ("route", route.as_str()),
                    ("leg", leg.as_str()),
                    ("method", method),
                    ("status_code", &status),
                ];
                family.counter(&labels, *count)?;
            }
        }
        let help = "Requests that came to a fault of the sidecar's own, by its code";
        let mut family = Family::new(out, named!("errors"), help, MetricType::Counter)?;
        for (code, count) in Code::ALL.iter().zip(&self.errors) {
            family.counter(&[("code", code.as_str())], count.load(Relaxed))?;
        }
        Ok(())
    }

    fn front(&self, out: &mut DescriptorEncoder<'_>) -> fmt::Result {
        // What left before is read first: the difference is never negative.
        let left = self.clients.left.load(Relaxed);
        let accepted = self.clients.accepted.load(Relaxed);
        let help = "Connections of callers that are open";
        let open = accepted.saturating_sub(left);
        Family::new(out, named!("http_server_open_connections"), help, MetricType::Gauge)?.gauge(&[], open)?;
        let help = "Connections of callers that were accepted";
        Family::new(out, named!("http_server_connections"), help, MetricType::Counter)?.counter(&[], accepted)?;
        let help = "Connections of callers that were turned away, since there were too many";
        let refused = self.clients.refused.load(Relaxed);
        let name = named!("http_server_connections_refused");
        Family::new(out, name, help, MetricType::Counter)?.counter(&[], refused)?;
        let help = "Access lines that were not written, since the writer could not keep up";
        let dropped = self.access_lines_dropped.load(Relaxed);
        let name = named!("access_lines_dropped");
        Family::new(out, name, help, MetricType::Counter)?.counter(&[], dropped)?;
        let help = "New configurations that came into force (ok), or were refused";
        let mut family = Family::new(out, named!("config_reloads"), help, MetricType::Counter)?;
        family.counter(&[("result", "ok")], self.reloads_ok.load(Relaxed))?;
        family.counter(&[("result", "refused")], self.reloads_refused.load(Relaxed))?;
        let help =
            "Requests that the gateway answered with 403: no rule for the peer, or none of its rules for the request";
        let mut family = Family::new(out, named!("gateway_refusals"), help, MetricType::Counter)?;
        let [peer, request] = &self.forbidden;
        family.counter(&[("reason", "peer")], peer.load(Relaxed))?;
        family.counter(&[("reason", "request")], request.load(Relaxed))
    }

    fn to_upstreams(&self, out: &mut DescriptorEncoder<'_>) -> fmt::Result {
        let meters: Vec<(String, Arc<UpstreamMeter>)> = {
            let meters = lock(&self.upstreams);
            meters
                .iter()
                .map(|(name, meter)| (name.clone(), meter.clone()))
                .collect()
        };
        let help = "Open connections to upstreams, by generation of our identity";
        let name = named!("http_client_open_connections");
        let mut family = Family::new(out, name, help, MetricType::Gauge)?;
        for (upstream, meter) in &meters {
            for (generation, active, idle) in meter.connections() {
                let generation = generation.to_string();
                for (state, number) in [("active", active), ("idle", idle)] {
                    let labels = [
                        ("upstream", upstream.as_str()),
                        ("generation", &generation),
                        ("state", state),
                    ];
                    family.gauge(&labels, number)?;
                }
            }
        }
        let help = "The circuit of an upstream: 1 for its state, the worst one of all workers";
        let mut family = Family::new(out, named!("circuit_state"), help, MetricType::Gauge)?;
        for (upstream, meter) in &meters {
            let now = meter.circuit_state();
            for state in CIRCUIT {
                family.gauge(&[("upstream", upstream), ("state", state)], u64::from(state == now))?;
            }
        }
        let rare: Vec<_> = meters.iter().map(|(name, meter)| (name, meter.rare())).collect();
        let help = "Dials of upstreams: ok, or the code of what kept it";
        let mut family = Family::new(out, named!("http_client_dials"), help, MetricType::Counter)?;
        for (upstream, rare) in &rare {
            for (result, count) in &rare.dials {
                family.counter(&[("upstream", upstream), ("result", result)], *count)?;
            }
        }
        let help = "Requests sent to an upstream once more";
        let mut family = Family::new(out, named!("retries"), help, MetricType::Counter)?;
        for (upstream, rare) in &rare {
            for (reason, count) in &rare.retries {
                family.counter(&[("upstream", upstream), ("reason", reason)], *count)?;
            }
        }
        let help = "TLS handshakes with upstreams that were completed";
        let mut family = Family::new(out, named!("tls_handshakes"), help, MetricType::Counter)?;
        for (upstream, rare) in &rare {
            for ((version, resumed), count) in &rare.handshakes {
                let resumed = if *resumed { "true" } else { "false" };
                let labels = [
                    ("upstream", upstream.as_str()),
                    ("version", version),
                    ("resumed", resumed),
                ];
                family.counter(&labels, *count)?;
            }
        }
        let help = "TLS handshakes that failed: with an upstream (client), or with a caller of the gateway (server)";
        let name = named!("tls_handshake_failures");
        let mut family = Family::new(out, name, help, MetricType::Counter)?;
        for (upstream, rare) in &rare {
            for (reason, count) in &rare.handshake_failures {
                let labels = [("side", "client"), ("upstream", upstream), ("reason", reason)];
                family.counter(&labels, *count)?;
            }
        }
        for (reason, count) in lock(&self.front_handshakes_refused).iter() {
            family.counter(&[("side", "server"), ("upstream", ""), ("reason", reason)], *count)?;
        }
        Ok(())
    }
}

fn about(out: &mut DescriptorEncoder<'_>) -> fmt::Result {
    let help = "The running program";
    let mut family = Family::new(out, named!("build"), help, MetricType::Info)?;
    family.encoder.encode_info(&[("version", env!("CARGO_PKG_VERSION"))])?;
    let help = "What this process takes for the time: certificates are judged by it";
    let name = named!("clock_timestamp_seconds");
    Family::new(out, name, help, MetricType::Gauge)?.float(clock::wall().as_secs_f64())
}

/// Under the names that every Prometheus client uses, so that any dashboard finds them.
fn own_process(out: &mut DescriptorEncoder<'_>) -> fmt::Result {
    let process = process::read();
    if let Some(seconds) = process.cpu_seconds {
        let help = "Processor time that this process has used";
        let mut family = Family::new(out, "process_cpu_seconds", help, MetricType::Counter)?;
        family.encoder.encode_counter::<NoLabelSet, f64, f64>(&seconds, None)?;
    }
    if let Some(seconds) = process.start_time_seconds {
        let help = "When this process began";
        Family::new(out, "process_start_time_seconds", help, MetricType::Gauge)?.float(seconds)?;
    }
    let figures = [
        (
            "process_resident_memory_bytes",
            "Memory in use",
            process.resident_memory_bytes,
        ),
        ("process_open_fds", "Open file descriptors", process.open_fds),
        ("process_max_fds", "Limit of open file descriptors", process.max_fds),
    ];
    for (name, help, figure) in figures {
        if let Some(figure) = figure {
            Family::new(out, name, help, MetricType::Gauge)?.gauge(&[], figure)?;
        }
    }
    Ok(())
}

/// All samples of one metric.
pub(super) struct Family<'a> {
    encoder: MetricEncoder<'a>,
}

impl<'a> Family<'a> {
    pub(super) fn new(
        out: &'a mut DescriptorEncoder<'_>,
        name: &'a str,
        help: &str,
        kind: MetricType,
    ) -> Result<Self, fmt::Error> {
        let encoder = out.encode_descriptor(name, help, None, kind)?;
        Ok(Self { encoder })
    }

    pub(super) fn counter(&mut self, labels: &[(&str, &str)], value: u64) -> fmt::Result {
        if labels.is_empty() {
            return self.encoder.encode_counter::<NoLabelSet, u64, f64>(&value, None);
        }
        let mut sample = self.encoder.encode_family(&labels)?;
        sample.encode_counter::<NoLabelSet, u64, f64>(&value, None)
    }

    pub(super) fn gauge(&mut self, labels: &[(&str, &str)], value: u64) -> fmt::Result {
        if labels.is_empty() {
            return self.encoder.encode_gauge(&value);
        }
        self.encoder.encode_family(&labels)?.encode_gauge(&value)
    }

    pub(super) fn signed(&mut self, labels: &[(&str, &str)], value: i64) -> fmt::Result {
        self.encoder.encode_family(&labels)?.encode_gauge(&value)
    }

    pub(super) fn labelled_float(&mut self, labels: &[(&str, &str)], value: f64) -> fmt::Result {
        self.encoder.encode_family(&labels)?.encode_gauge(&value)
    }

    pub(super) fn float(&mut self, value: f64) -> fmt::Result {
        self.encoder.encode_gauge(&value)
    }

    pub(super) fn histogram(&mut self, labels: &[(&str, &str)], tally: &Tally) -> fmt::Result {
        let bounds = BUCKETS.into_iter().chain([f64::INFINITY]);
        let buckets: Vec<(f64, u64)> = bounds.zip(tally.buckets).collect();
        let count = tally.buckets.iter().sum();
        let mut sample = self.encoder.encode_family(&labels)?;
        sample.encode_histogram::<NoLabelSet>(tally.seconds, count, &buckets, None)
    }
}
