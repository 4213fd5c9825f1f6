//! What is counted of managed certificates: dates, generations, events, the last receipt of each upstream.

use std::collections::BTreeMap;
use std::fmt;
use std::sync::Mutex;

use prometheus_client::encoding::DescriptorEncoder;
use prometheus_client::metrics::MetricType;

use super::exposition::{Family, named};
use super::{Metrics, lock};

/// The validity of one certificate, as metrics show it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Sample {
    /// Which of several: `leaf`, `ca-1`. It must be different for each sample of one name.
    pub position: String,
    pub not_before: i64,
    pub not_after: i64,
}

/// What is known of managed certificates.
#[derive(Debug, Default)]
pub(super) struct Identities {
    /// By role and name.
    certificates: Mutex<BTreeMap<(String, String), Vec<Sample>>>,
    generations: Mutex<BTreeMap<String, (String, u64)>>,
    /// By upstream and event.
    events: Mutex<BTreeMap<(String, &'static str), u64>>,
    /// By upstream: next updates of its lists of revoked certificates.
    lists: Mutex<BTreeMap<String, Vec<i64>>>,
    /// By upstream: seconds until the old generation had retired, requests failed meanwhile.
    receipts: Mutex<BTreeMap<String, (f64, u64)>>,
}

impl Metrics {
    /// The certificates that stand behind a role and name from now on; those of before are no longer shown.
    pub fn certificates(&self, role: &str, name: &str, samples: Vec<Sample>) {
        let key = (role.to_owned(), name.to_owned());
        if samples.is_empty() {
            lock(&self.identities.certificates).remove(&key);
        } else {
            lock(&self.identities.certificates).insert(key, samples);
        }
    }

    /// The generation that an upstream uses from now on; `None`: it has none.
    pub fn generation(&self, upstream: &str, generation: Option<(&str, u64)>) {
        match generation {
            Some((identity, number)) => {
                lock(&self.identities.generations).insert(upstream.to_owned(), (identity.to_owned(), number));
            }
            None => {
                lock(&self.identities.generations).remove(upstream);
            }
        }
    }

    /// When the lists of revoked certificates of an upstream are to be renewed, in Unix seconds.
    pub fn lists(&self, upstream: &str, next_updates: Vec<i64>) {
        if next_updates.is_empty() {
            lock(&self.identities.lists).remove(upstream);
        } else {
            lock(&self.identities.lists).insert(upstream.to_owned(), next_updates);
        }
    }

    /// Something happened to a managed certificate; `event` is from a fixed list.
    pub fn identity_event(&self, upstream: &str, event: &'static str) {
        *lock(&self.identities.events)
            .entry((upstream.to_owned(), event))
            .or_default() += 1;
    }

    /// The receipt of the last rotation of an upstream's identity.
    pub fn retired(&self, upstream: &str, after_seconds: f64, requests_failed: u64) {
        lock(&self.identities.receipts).insert(upstream.to_owned(), (after_seconds, requests_failed));
    }

    pub(super) fn validity(&self, out: &mut DescriptorEncoder<'_>) -> fmt::Result {
        let certificates = lock(&self.identities.certificates).clone();
        let samples = || {
            certificates.iter().flat_map(|((role, name), samples)| {
                samples
                    .iter()
                    .map(move |sample| (labels_of(role, name, &sample.position), sample))
            })
        };
        let help = "End of validity of a certificate in use";
        let name = named!("certificate_not_after_timestamp_seconds");
        let mut family = Family::new(out, name, help, MetricType::Gauge)?;
        for (labels, sample) in samples() {
            family.signed(&labels, sample.not_after)?;
        }
        let help = "Begin of validity of a certificate in use";
        let name = named!("certificate_not_before_timestamp_seconds");
        let mut family = Family::new(out, name, help, MetricType::Gauge)?;
        for (labels, sample) in samples() {
            family.signed(&labels, sample.not_before)?;
        }
        let help = "The generation of the identity that an upstream is shown";
        let name = named!("certificate_generation");
        let mut family = Family::new(out, name, help, MetricType::Gauge)?;
        for (upstream, (identity, number)) in lock(&self.identities.generations).iter() {
            family.gauge(&[("identity", identity), ("upstream", upstream)], *number)?;
        }
        let help = "When a list of revoked certificates is to be renewed";
        let name = named!("crl_next_update_timestamp_seconds");
        let mut family = Family::new(out, name, help, MetricType::Gauge)?;
        for (upstream, times) in lock(&self.identities.lists).iter() {
            for (index, time) in times.iter().enumerate() {
                let position = format!("crl-{}", index + 1);
                family.signed(&[("name", upstream), ("position", &position)], *time)?;
            }
        }
        let help = "What happened to managed certificates: found, refused, tried, promoted, retired and so on";
        let mut family = Family::new(out, named!("identity_events"), help, MetricType::Counter)?;
        for ((upstream, event), count) in lock(&self.identities.events).iter() {
            family.counter(&[("upstream", upstream), ("event", event)], *count)?;
        }
        let receipts = lock(&self.identities.receipts).clone();
        let help = "From the last promotion until the old generation's last connection was closed";
        let name = named!("rotation_retired_after_seconds");
        let mut family = Family::new(out, name, help, MetricType::Gauge)?;
        for (upstream, (seconds, _)) in &receipts {
            family.labelled_float(&[("upstream", upstream)], *seconds)?;
        }
        let help = "Requests that the sidecar had to fail during the last rotation";
        let name = named!("rotation_requests_failed");
        let mut family = Family::new(out, name, help, MetricType::Gauge)?;
        for (upstream, (_, failed)) in &receipts {
            family.gauge(&[("upstream", upstream)], *failed)?;
        }
        Ok(())
    }
}

fn labels_of<'a>(role: &'a str, name: &'a str, position: &'a str) -> [(&'static str, &'a str); 3] {
    [("role", role), ("name", name), ("position", position)]
}
