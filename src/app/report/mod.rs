//! What becomes of managed certificates: for the log, the metrics, readiness and the status page.
//!
//! Taking an identity into use is an audit line: it says which certificate and why, never anything of its key. What is
//! waited for is said again once a minute.

mod said;
mod shown;

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use tokio::sync::watch;
use tokio::time::Instant;

use super::identities::{Happening, Identities, OWN};
use super::worker::Orders;
use crate::identity::lineage::InUse;
use crate::identity::status::Lineage;
use crate::lifecycle::Readiness;
use crate::observe::status::{Identity, Status};
use crate::telemetry::metrics::Metrics;

use shown::{routes, rows, show, tokens, upstreams};

/// How long what is waited for is left unsaid.
const REMIND: Duration = Duration::from_secs(60);

/// Tells everybody.
pub(super) struct Reporter {
    metrics: Arc<Metrics>,
    readiness: Readiness,
    shown: Arc<Mutex<Shown>>,
    /// Conditions of readiness that were named, with when they were last said to be waited for.
    conditions: BTreeMap<String, Option<Instant>>,
    /// Role and name of the rows in the metrics.
    in_metrics: Vec<(&'static str, String)>,
    generations: Vec<String>,
}

/// What the status page shows of certificates, as last looked at.
#[derive(Clone, Default)]
struct Shown {
    identities: Vec<Identity>,
    lineages: Vec<Lineage>,
}

impl Reporter {
    pub(super) fn new(metrics: Arc<Metrics>, readiness: Readiness) -> Self {
        Self {
            metrics,
            readiness,
            shown: Arc::default(),
            conditions: BTreeMap::new(),
            in_metrics: Vec::new(),
            generations: Vec::new(),
        }
    }

    /// Says what happened.
    pub(super) fn news(&self, happened: &[Happening], identities: &Identities) {
        for (upstream, news) in happened {
            let lineage = identities.managed().find(|(name, _)| name == upstream);
            let identity = lineage.and_then(|(_, lineage)| lineage.identity()).unwrap_or("-");
            said::say(&self.metrics, upstream, identity, news);
        }
    }

    /// Shows what is in use now, and says what is waited for.
    pub(super) fn stand(&mut self, identities: &Identities, now: i64) {
        let mut all = Vec::new();
        let mut generations = Vec::new();
        let mut waiting: BTreeMap<String, Option<String>> = BTreeMap::new();
        for (upstream, lineage) in identities.managed() {
            let condition = condition(upstream, lineage.identity());
            let pending = lineage.pending(now);
            let entry = waiting.entry(condition).or_default();
            *entry = entry.take().or(pending);
            let Some(in_use) = lineage.in_use() else {
                self.metrics.lists(upstream, Vec::new());
                continue;
            };
            let next_updates = in_use.crls.iter().filter_map(|list| list.next_update);
            self.metrics.lists(upstream, next_updates.collect());
            all.extend(rows_of(upstream, lineage.name(), &in_use));
            if !in_use.chain.is_empty() && upstream != OWN {
                self.metrics.generation(upstream, Some((lineage.name(), in_use.number)));
                generations.push(upstream.to_owned());
            }
        }
        for gone in self.generations.iter().filter(|name| !generations.contains(name)) {
            self.metrics.generation(gone, None);
        }
        self.generations = generations;
        self.put_into_metrics(&all);
        *lock(&self.shown) = Shown {
            identities: all,
            lineages: identities.report().lineages,
        };
        self.hold(waiting);
    }

    fn put_into_metrics(&mut self, all: &[Identity]) {
        let now: Vec<(&'static str, String)> = all.iter().map(|row| (row.role, row.name.clone())).collect();
        for (role, name) in self.in_metrics.iter().filter(|key| !now.contains(key)) {
            self.metrics.certificates(role, name, Vec::new());
        }
        self.in_metrics = now;
        show(&self.metrics, all);
    }

    /// Readiness as a whole, so that it does not flicker.
    fn hold(&mut self, waiting: BTreeMap<String, Option<String>>) {
        let now = Instant::now();
        for condition in self.conditions.keys().filter(|known| !waiting.contains_key(*known)) {
            self.readiness.met(condition);
        }
        self.conditions.retain(|known, _| waiting.contains_key(known));
        for (condition, sentence) in waiting {
            let Some(sentence) = sentence else {
                self.readiness.met(&condition);
                self.conditions.insert(condition, None);
                continue;
            };
            self.readiness.waiting(&condition, &sentence);
            let said = self.conditions.entry(condition.clone()).or_default();
            match said {
                // What was found is said where it is found; here it is only remembered to be said again.
                None => *said = Some(now),
                Some(last) if now >= *last + REMIND => {
                    *said = Some(now);
                    tracing::warn!(waiting_for = condition, reason = %sentence, "still without a valid identity or trust; looking again every second");
                }
                Some(_) => {}
            }
        }
    }

    /// What the status page asks at each look.
    pub(super) fn status(&self, orders: watch::Receiver<Orders>) -> Arc<dyn Fn() -> Status + Send + Sync> {
        let (shown, metrics) = (self.shown.clone(), self.metrics.clone());
        Arc::new(move || {
            let plan = orders.borrow().plan.clone();
            let Shown { identities, lineages } = lock(&shown).clone();
            Status {
                identities,
                lineages,
                upstreams: upstreams(&plan),
                routes: routes(&plan),
                switch: metrics.switch_report(),
                tokens: tokens(&metrics),
            }
        })
    }
}

/// Readiness waits for an identity by its name; where none is configured, for the trust bundle.
fn condition(upstream: &str, identity: Option<&str>) -> String {
    identity.map_or_else(
        || format!("trust:{upstream}"),
        |identity| format!("identity:{identity}"),
    )
}

fn rows_of(upstream: &str, name: &str, in_use: &InUse) -> Vec<Identity> {
    let InUse {
        number,
        chain,
        trust,
        crls: _,
        server,
    } = in_use;
    if upstream == OWN {
        let mut own = rows("server", name, "", *number, chain);
        own.extend(rows("client_ca", name, "", *number, trust));
        return own;
    }
    let mut all = rows("client", name, upstream, *number, chain);
    all.extend(rows("trust", upstream, upstream, *number, trust));
    all.extend(rows("peer", upstream, upstream, *number, server));
    all
}

fn lock<T>(shown: &Mutex<T>) -> MutexGuard<'_, T> {
    shown.lock().unwrap_or_else(PoisonError::into_inner)
}
