//! Settings → plans: the only place that sees all of them.

use std::collections::HashMap;
use std::sync::Arc;

use rustls_pki_types::ServerName;

use crate::config::settings::{GatewaySettings, Leg, Limits, Route, Scheme, Settings, Upstream};
use crate::identity::store::{self, Loaded, Refusal};
use crate::identity::{Generation, Standing};
use crate::proxy::plan::{Door, InFlight, Lane, Plan, Unmatched};
use crate::route::Table;
use crate::route::table::Conflict;
use crate::telemetry::metrics::Metrics;
use crate::transport::dial::Endpoint;
use crate::upstream::Target;
use crate::wire::head::Bounds;

/// What outlives a plan: counters that must not start again on a reload, and generations in use.
#[derive(Debug)]
pub struct Registry {
    pub metrics: Arc<Metrics>,
    in_flight: HashMap<String, Arc<InFlight>>,
    held: HashMap<String, Held>,
}

/// What one upstream has to show, and from which settings that was made.
#[derive(Debug)]
struct Held {
    made_from: String,
    number: u64,
    standing: Standing,
}

impl Held {
    fn is_usable(&self, now: i64) -> bool {
        matches!(&self.standing, Standing::Ready(generation) if generation.check_dates(now).is_ok())
    }
}

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

/// What reading the files of one upstream came to: for the log.
#[derive(Debug)]
pub enum News {
    Loaded {
        upstream: String,
        loaded: Box<Facts>,
    },
    Refused {
        upstream: String,
        identity: Option<String>,
        refusal: Refusal,
    },
}

/// What a generation consists of, without its secrets.
#[derive(Debug)]
pub struct Facts {
    pub number: u64,
    pub identity: Option<String>,
    pub chain: Vec<crate::cert::facts::Facts>,
    pub anchors: Vec<crate::cert::facts::Facts>,
    pub warnings: Vec<crate::cert::verify::Finding>,
}

impl Registry {
    /// Nothing is held yet.
    #[must_use]
    pub fn new(metrics: Arc<Metrics>) -> Self {
        Self {
            metrics,
            in_flight: HashMap::new(),
            held: HashMap::new(),
        }
    }

    /// The plan of the sidecar. Files of identities that are in use and whose settings did not change are left alone.
    ///
    /// # Errors
    /// [`BuildError`]; what is in use stays in use.
    pub fn sidecar(&mut self, settings: &Settings, now: i64, news: &mut Vec<News>) -> Result<Plan, BuildError> {
        let mut targets = Vec::new();
        let mut index = HashMap::new();
        for (name, upstream) in &settings.upstreams {
            let identity = upstream
                .identity
                .as_deref()
                .and_then(|id| settings.identities.get_key_value(id));
            index.insert(name.clone(), targets.len());
            targets.push(Arc::new(self.target(name, upstream, identity, now, news)?));
        }
        let mut lanes = Vec::new();
        let mut matches = Vec::new();
        for route in &settings.routes {
            lanes.push(self.lane(route, &settings.listen.limits, &index)?);
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
        Ok(Plan {
            doors: vec![door],
            unmatched: Unmatched::Misdirected,
            lanes,
            targets,
            bounds,
            limits,
            drain_quiet,
        })
    }

    /// The plan of the gateway: a door for each rule, one upstream.
    ///
    /// # Errors
    /// [`BuildError`].
    pub fn gateway(&mut self, settings: &GatewaySettings, now: i64, news: &mut Vec<News>) -> Result<Plan, BuildError> {
        let target = Arc::new(self.target("api", &settings.upstream, None, now, news)?);
        let (mut lanes, mut doors) = (Vec::new(), Vec::new());
        for rule in &settings.allow {
            let mut indexes = Vec::new();
            for (_, template) in &rule.routes {
                indexes.push(lanes.len());
                let name = format!("{} {template}", rule.name);
                lanes.push(Arc::new(Lane {
                    meter: self.metrics.route(&name, template.as_str(), "api"),
                    in_flight: self.in_flight.entry(name.clone()).or_default().clone(),
                    in_flight_limit: settings.limits.in_flight,
                    body_limit: settings.limits.body_bytes,
                    person: None,
                    idempotent: None,
                    target: 0,
                    path: None,
                    // Behind the gateway is the API's own affair: its token, if it has one, is for it.
                    authorization: crate::config::settings::Authorization::Pass,
                    name,
                }));
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
        })
    }

    /// How many upstreams wait for files: they were missing or unacceptable, or what they held has expired since.
    #[must_use]
    pub fn waiting(&self, now: i64) -> usize {
        self.held.values().filter(|held| !held.is_usable(now)).count()
    }

    fn lane(
        &mut self,
        route: &Route,
        limits: &Limits,
        index: &HashMap<String, usize>,
    ) -> Result<Arc<Lane>, BuildError> {
        let Leg {
            upstream,
            path,
            authorization,
        } = &route.ndh;
        let target = *index
            .get(upstream)
            .ok_or_else(|| BuildError::Unknown(upstream.clone()))?;
        Ok(Arc::new(Lane {
            name: route.name.clone(),
            meter: self.metrics.route(&route.name, route.template.as_str(), "ndh"),
            person: route.person.clone(),
            in_flight: self.in_flight.entry(route.name.clone()).or_default().clone(),
            in_flight_limit: route.in_flight.unwrap_or(limits.in_flight),
            body_limit: route.body_bytes.unwrap_or(limits.body_bytes),
            idempotent: route.idempotent,
            target,
            path: path.clone(),
            authorization: *authorization,
        }))
    }

    fn target(
        &mut self,
        name: &str,
        upstream: &Upstream,
        identity: Option<(&String, &crate::config::settings::Identity)>,
        now: i64,
        news: &mut Vec<News>,
    ) -> Result<Target, BuildError> {
        let wanted = upstream.server_name.as_deref().unwrap_or(&upstream.host);
        let server_name = ServerName::try_from(wanted.to_owned()).map_err(|_| BuildError::ServerName {
            upstream: name.to_owned(),
            name: wanted.to_owned(),
        })?;
        let made_from = format!(
            "{:?} {:?} {:?} {:?} {}",
            upstream.scheme, identity, upstream.trust, upstream.tls_min, upstream.http2
        );
        let kept = self
            .held
            .get(name)
            .filter(|held| held.made_from == made_from && held.is_usable(now));
        let number = self.held.get(name).map_or(0, |held| held.number) + 1;
        let standing = match (kept, upstream.scheme) {
            (Some(held), _) => held.standing.clone(),
            // Numbered like any other: an upstream that spoke TLS before has connections of another generation.
            (None, Scheme::Http) => Standing::Ready(Arc::new(Generation {
                number,
                ..Generation::plain()
            })),
            (None, Scheme::Https) => {
                let named = identity.map(|(id, files)| (id.as_str(), files));
                match store::generation(number, named, &upstream.trust, upstream.tls_min, upstream.http2, now) {
                    Ok(Loaded {
                        generation,
                        chain,
                        anchors,
                        warnings,
                    }) => {
                        let facts = Facts {
                            number,
                            identity: generation.identity.clone(),
                            chain,
                            anchors,
                            warnings,
                        };
                        news.push(News::Loaded {
                            upstream: name.to_owned(),
                            loaded: Box::new(facts),
                        });
                        Standing::Ready(Arc::new(generation))
                    }
                    Err(refusal) => {
                        let fault = refusal.fault();
                        let identity = identity.map(|(id, _)| id.clone());
                        news.push(News::Refused {
                            upstream: name.to_owned(),
                            identity,
                            refusal,
                        });
                        Standing::Absent(fault)
                    }
                }
            }
        };
        let number = match &standing {
            Standing::Ready(generation) => generation.number,
            Standing::Absent(_) => self.held.get(name).map_or(0, |held| held.number),
        };
        self.held.insert(
            name.to_owned(),
            Held {
                made_from,
                number,
                standing: standing.clone(),
            },
        );
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
        let endpoint = Endpoint {
            host: upstream.host.clone(),
            port: upstream.port,
            server_name,
            connect: upstream.times.connect,
            handshake: upstream.times.handshake,
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
            standing,
            meter: self.metrics.upstream(name),
        })
    }
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
