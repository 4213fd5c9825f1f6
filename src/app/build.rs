//! Settings → plans: the only place that sees all of them.

use std::collections::HashMap;
use std::sync::Arc;

use rustls_pki_types::ServerName;
use tokio::sync::mpsc;

use super::Kind;
use super::identities::Identities;
use super::lanes::{self, Ledgers};
use super::units::Units;
use crate::config::settings::{GatewaySettings, Leg, Limits, Route, Scheme, Settings, Upstream};
use crate::identity::Standing;
use crate::proxy::aside::{Aside, Job};
use crate::proxy::plan::{Door, InFlight, Lane, Plan, Unmatched};
use crate::route::Table;
use crate::route::table::Conflict;
use crate::switch;
use crate::telemetry::metrics::Metrics;
use crate::token::Tokens;
use crate::transport::dial::Endpoint;
use crate::upstream::Target;
use crate::wire::head::Bounds;

/// What outlives a plan: counters that must not start again on a reload.
#[derive(Debug)]
pub struct Registry {
    pub metrics: Arc<Metrics>,
    pub tokens: Arc<Tokens>,
    in_flight: HashMap<String, Arc<InFlight>>,
    pub(super) ledgers: Ledgers,
    aside: Option<Aside>,
    persons: u64,
}

/// What is in use towards an upstream.
type Standings<'a> = dyn Fn(&str) -> Standing + 'a;

/// The gateway's only upstream, by whatever name the file has it.
pub const API: &str = "api";

/// A plan that could not be made. Texts name what is wrong and where.
#[derive(Debug, thiserror::Error)]
pub enum BuildError {
    #[error("upstream {upstream}: `{name}` is not a host name that TLS can verify")]
    ServerName { upstream: String, name: String },
    #[error("routes {0}")]
    Routes(String),
    #[error("upstream {0} is not configured")]
    Unknown(String),
}

impl Registry {
    /// Nothing is held yet.
    #[must_use]
    pub fn new(metrics: Arc<Metrics>, tokens: Arc<Tokens>, persons: u64) -> Self {
        Self {
            metrics,
            tokens,
            in_flight: HashMap::new(),
            ledgers: Ledgers::default(),
            aside: None,
            persons,
        }
    }

    /// Opens the way to the comparison beside the requests, once something is to be compared; its other end.
    pub(super) fn open_aside(&mut self, settings: &Settings) -> Option<mpsc::Receiver<Job>> {
        let compares = settings.routes.iter().any(|route| route.comparison.is_some());
        if self.aside.is_some() || !compares {
            return None;
        }
        let shadow = &settings.switch.shadow;
        let (aside, jobs) = Aside::new(shadow.queue, shadow.memory);
        self.aside = Some(aside);
        Some(jobs)
    }

    /// The plan of what is to be served, with what is in use now.
    ///
    /// # Errors
    /// [`BuildError`]; what is in force stays in force.
    pub(super) fn plan(&mut self, kind: &Kind, identities: &Identities, units: &Units) -> Result<Plan, BuildError> {
        let standing = |upstream: &str| identities.standing(upstream);
        let mut plan = match kind {
            Kind::Sidecar(settings) => self.sidecar(settings, &standing, units)?,
            Kind::Gateway(settings) => self.gateway(settings, &standing)?,
        };
        plan.front = identities.front();
        Ok(plan)
    }

    /// The plan of the sidecar.
    fn sidecar(&mut self, settings: &Settings, standing: &Standings<'_>, units: &Units) -> Result<Plan, BuildError> {
        let mut targets = Vec::new();
        let mut index = HashMap::new();
        for (name, upstream) in &settings.upstreams {
            index.insert(name.clone(), targets.len());
            targets.push(Arc::new(self.target(name, upstream, standing)?));
        }
        let mut lanes = Vec::new();
        let mut matches = Vec::new();
        for route in &settings.routes {
            lanes.push(Arc::new(self.lane(route, settings, &index, units)?));
            matches.push((route.methods.clone(), route.template.clone()));
        }
        let table = Table::build(&matches).map_err(|conflicts| {
            BuildError::Routes(in_words(&conflicts, |index| settings.routes[index].name.clone()))
        })?;
        let door = Door {
            name: "local".to_owned(),
            peers: Vec::new(),
            table,
            lanes: (0..lanes.len()).collect(),
        };
        let limits = settings.listen.limits.clone();
        let drain_quiet = settings.listen.drain_quiet;
        let bounds = bounds(&limits);
        let vital = lanes::vital(&lanes, targets.len());
        Ok(Plan {
            doors: vec![door],
            unmatched: Unmatched::Misdirected,
            lanes,
            targets,
            bounds,
            limits,
            drain_quiet,
            front: None,
            patience: settings.listen.caller_timeout,
            reply_limit: settings.switch.reply,
            vital,
            tokens: self.tokens.clone(),
            persons: self.persons,
            aside: self.aside.clone(),
        })
    }

    /// The plan of the gateway: a door for each rule, one upstream.
    fn gateway(&mut self, settings: &GatewaySettings, standing: &Standings<'_>) -> Result<Plan, BuildError> {
        let target = Arc::new(self.target(API, &settings.upstream, standing)?);
        let (mut lanes, mut doors) = (Vec::new(), Vec::new());
        for rule in &settings.allow {
            let mut indexes = Vec::new();
            for (_, template) in &rule.routes {
                indexes.push(lanes.len());
                let name = format!("{} {template}", rule.name);
                let meter = self.metrics.route(&name, template.as_str(), API);
                let in_flight = self.in_flight.entry(name.clone()).or_default().clone();
                lanes.push(Arc::new(lanes::of_gateway(name, meter, in_flight, &settings.limits)));
            }
            let table = Table::build(&rule.routes).map_err(|conflicts| {
                let names = in_words(&conflicts, |index| rule.routes[index].1.to_string());
                BuildError::Routes(format!("of rule {}: {names}", rule.name))
            })?;
            doors.push(Door {
                name: rule.name.clone(),
                peers: rule.peers.clone(),
                table,
                lanes: indexes,
            });
        }
        let limits = settings.limits.clone();
        let bounds = bounds(&limits);
        let drain_quiet = settings.drain_quiet;
        Ok(Plan {
            doors,
            unmatched: Unmatched::Forbidden,
            lanes,
            targets: vec![target],
            bounds,
            limits,
            drain_quiet,
            front: None,
            patience: settings.caller_timeout,
            reply_limit: 0,
            vital: vec![true],
            tokens: self.tokens.clone(),
            persons: self.persons,
            aside: None,
        })
    }

    fn lane(
        &mut self,
        route: &Route,
        settings: &Settings,
        index: &HashMap<String, usize>,
        units: &Units,
    ) -> Result<Lane, BuildError> {
        let limits = &settings.listen.limits;
        let in_flight = self.in_flight.entry(route.name.clone()).or_default().clone();
        let ledger = self.ledgers.ledger(route, settings);
        let rule = self.ledgers.rule(&route.unit, units);
        let leg = |leg: &Option<Leg>, which: switch::Leg| -> Result<_, BuildError> {
            let Some(leg) = leg else { return Ok(None) };
            let target = *index
                .get(&leg.upstream)
                .ok_or_else(|| BuildError::Unknown(leg.upstream.clone()))?;
            let meter = self.metrics.route(&route.name, route.template.as_str(), which.as_str());
            Ok(Some(Arc::new(lanes::leg(
                leg,
                which,
                target,
                meter,
                ledger.clone(),
                rule.effective.mode,
                (route, settings),
            ))))
        };
        let ndh = leg(&route.ndh, switch::Leg::Ndh)?;
        let standard = leg(&route.standard, switch::Leg::Standard)?;
        Ok(Lane {
            name: route.name.clone(),
            person: route.person.clone(),
            in_flight,
            in_flight_limit: route.in_flight.unwrap_or(limits.in_flight),
            body_limit: route.body_bytes.unwrap_or(limits.body_bytes),
            idempotent: route.idempotent,
            fields: route.fields.clone(),
            ndh,
            standard,
            rule,
            comparison: route.comparison.clone(),
            ledger,
        })
    }

    fn target(&self, name: &str, upstream: &Upstream, standing: &Standings<'_>) -> Result<Target, BuildError> {
        let endpoint = endpoint(name, upstream)?;
        let wanted = upstream.server_name.as_deref().unwrap_or(&upstream.host);
        let default_port = match upstream.scheme {
            Scheme::Http => 80,
            Scheme::Https => 443,
        };
        let bracketed = if wanted.contains(':') {
            format!("[{wanted}]")
        } else {
            wanted.to_owned()
        };
        let host = if upstream.port == default_port {
            bracketed
        } else {
            format!("{bracketed}:{}", upstream.port)
        };
        Ok(Target {
            name: name.to_owned(),
            peer: endpoint.to_string().into(),
            endpoint,
            host: host.into_bytes(),
            base_path: upstream.base_path.clone(),
            times: upstream.times.clone(),
            pool: upstream.pool.clone(),
            breaker: upstream.breaker.clone(),
            standing: standing(name),
            meter: self.metrics.upstream(name),
        })
    }
}

/// Where an upstream is dialled.
fn endpoint(name: &str, upstream: &Upstream) -> Result<Endpoint, BuildError> {
    let wanted = upstream.server_name.as_deref().unwrap_or(&upstream.host);
    let server_name = ServerName::try_from(wanted.to_owned()).map_err(|_| BuildError::ServerName {
        upstream: name.to_owned(),
        name: wanted.to_owned(),
    })?;
    Ok(Endpoint {
        host: upstream.host.clone(),
        port: upstream.port,
        server_name,
        connect: upstream.times.connect,
        handshake: upstream.times.handshake,
    })
}

/// Which routes are in each other's way.
fn in_words(conflicts: &[Conflict], name: impl Fn(usize) -> String) -> String {
    let pair = |conflict: &Conflict| {
        format!(
            "{} and {} can match the same request",
            name(conflict.first),
            name(conflict.second)
        )
    };
    conflicts.iter().map(pair).collect::<Vec<_>>().join("; ")
}

fn bounds(limits: &Limits) -> Bounds {
    Bounds {
        first_line: limits.request_line,
        bytes: limits.head_bytes,
        fields: limits.headers,
    }
}
