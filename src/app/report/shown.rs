//! What is shown of certificates and plans: facts in, rows for the status page and samples for the metrics out.
//!
//! Nothing here decides or remembers; keys and requests are out of its reach.

use std::collections::BTreeMap;
use std::sync::Arc;

use crate::cert::facts::Facts;
use crate::observe::status::{Connections, Identity, Route, Token, Upstream};
use crate::proxy::plan::{Lane, Leg, Plan};
use crate::telemetry::metrics::{Metrics, Sample, TokenLife};
use crate::upstream::Target;

pub(super) fn names(facts: &Facts) -> Vec<String> {
    let all = facts.dns_names.iter().chain(&facts.uri_names).chain(&facts.ip_names);
    all.cloned().collect()
}

/// One row for each certificate: a chain has a leaf, then its CAs; a bundle is CAs only.
pub(super) fn rows(role: &'static str, name: &str, upstream: &str, generation: u64, chain: &[Facts]) -> Vec<Identity> {
    let is_chain = matches!(role, "client" | "server");
    let row = |(index, facts): (usize, &Facts)| Identity {
        role,
        name: name.to_owned(),
        upstream: upstream.to_owned(),
        position: match (is_chain, index) {
            (true, 0) => "leaf".to_owned(),
            (true, _) => format!("ca-{index}"),
            (false, _) => format!("ca-{}", index + 1),
        },
        generation,
        subject: facts.subject.clone(),
        names: names(facts),
        issuer: facts.issuer.clone(),
        serial: facts.serial.clone(),
        fingerprint: facts.fingerprint(),
        not_before: facts.not_before,
        not_after: facts.not_after,
    };
    chain.iter().enumerate().map(row).collect()
}

/// Gives the metrics all rows of each role and name.
pub(super) fn show(metrics: &Metrics, rows: &[Identity]) {
    let mut samples: BTreeMap<(&str, &str), Vec<Sample>> = BTreeMap::new();
    for row in rows {
        samples.entry((row.role, &row.name)).or_default().push(Sample {
            position: row.position.clone(),
            not_before: row.not_before,
            not_after: row.not_after,
        });
    }
    for ((role, name), samples) in samples {
        metrics.certificates(role, name, samples);
    }
}

pub(super) fn upstreams(plan: &Plan) -> Vec<Upstream> {
    let one = |target: &Arc<Target>| Upstream {
        name: target.name.clone(),
        address: target.peer.to_string(),
        circuit: target.meter.circuit_state(),
        connections: target
            .meter
            .connections()
            .into_iter()
            .map(|(generation, active, idle)| Connections {
                generation,
                active,
                idle,
            })
            .collect(),
    };
    plan.targets.iter().map(one).collect()
}

pub(super) fn tokens(metrics: &Metrics) -> Vec<Token> {
    let one = |(name, life): (String, TokenLife)| Token {
        name,
        expires: life.expires,
        failed: life.failed,
        secret_since: life.secret_since,
    };
    metrics.token_lives().into_iter().map(one).collect()
}

pub(super) fn routes(plan: &Plan) -> Vec<Route> {
    let one = |lane: &Arc<Lane>, leg: &Arc<Leg>| Route {
        name: lane.name.clone(),
        template: leg.meter.template().to_owned(),
        leg: leg.meter.leg().to_owned(),
        mode: lane.rule.effective.mode.as_str(),
        requests: leg.meter.requests(),
    };
    let legs = |lane| {
        let Lane { ndh, standard, .. }: &Lane = lane;
        [ndh.clone(), standard.clone()]
    };
    let rows = plan
        .lanes
        .iter()
        .flat_map(|lane| legs(lane).into_iter().flatten().map(move |leg| one(lane, &leg)));
    rows.collect()
}
