//! All managed certificates of the process: a lineage for each upstream over TLS, and the gateway's own.
//!
//! The main thread owns them. What they report ([`News`]) it logs and carries out; what is in use it reads from here when
//! it makes a plan.

use std::collections::{BTreeMap, BTreeSet};
use std::path::PathBuf;
use std::sync::Arc;

use tokio::sync::Notify;

use crate::clock;
use crate::control::Which;
use crate::fault::{Code, Fault};
use crate::identity::lineage::{Lineage, Moment, News, Terms, Traffic};
use crate::identity::preflight::Verdict;
use crate::identity::rotation::Objection;
use crate::identity::status::Report;
use crate::identity::{Front, Generation, Standing};
use crate::telemetry::metrics::Metrics;

/// The name of the gateway's own lineage; it has but one upstream, `api`.
pub(super) const OWN: &str = "gateway";

/// Something that happened to the lineage of this upstream.
pub(super) type Happening = (String, News);

/// What came of a wish of the operator.
pub(super) struct Outcome {
    /// For each lineage that could.
    pub said: Vec<String>,
    pub objections: Vec<Objection>,
    pub happened: Vec<Happening>,
}

/// Every lineage, by upstream.
pub(super) struct Identities {
    places: BTreeMap<String, Place>,
    /// The last number of what is no longer configured: its connections may still be open.
    numbers: BTreeMap<String, u64>,
    metrics: Arc<Metrics>,
    /// Rung when an other side refuses what is in use.
    pub alarm: Arc<Notify>,
}

enum Place {
    Managed(Box<Lineage>),
    /// In the clear: nothing to manage.
    Plain(Arc<Generation>),
}

impl Identities {
    pub(super) fn new(metrics: Arc<Metrics>) -> Self {
        Self {
            places: BTreeMap::new(),
            numbers: BTreeMap::new(),
            metrics,
            alarm: Arc::default(),
        }
    }

    /// Takes in what the settings say: `None` for an upstream in the clear. What goes on under its name keeps what it
    /// has in use until something better is found.
    pub(super) fn apply(&mut self, wanted: Vec<(String, Option<Terms>)>) -> Vec<Happening> {
        let names: BTreeSet<&String> = wanted.iter().map(|(name, _)| name).collect();
        let gone: Vec<String> = self
            .places
            .keys()
            .filter(|name| !names.contains(name))
            .cloned()
            .collect();
        for name in gone {
            self.drop_place(&name);
        }
        for (name, terms) in wanted {
            match (self.places.get_mut(&name), terms) {
                (Some(Place::Managed(lineage)), Some(terms)) => lineage.set_terms(terms),
                (Some(Place::Plain(_)), None) => {}
                (_, Some(terms)) => {
                    let last = self.drop_place(&name);
                    let lineage = Lineage::new(terms, last, self.alarm.clone());
                    self.places.insert(name, Place::Managed(Box::new(lineage)));
                }
                (_, None) => {
                    let number = self.drop_place(&name) + 1;
                    self.places
                        .insert(name, Place::Plain(Arc::new(Generation::plain(number))));
                }
            }
        }
        self.look()
    }

    /// Reads all files again.
    pub(super) fn look(&mut self) -> Vec<Happening> {
        self.each(|lineage, now, traffic| lineage.look(now, traffic))
    }

    /// Time has passed.
    pub(super) fn tick(&mut self) -> Vec<Happening> {
        self.each(|lineage, now, traffic| lineage.tick(now, traffic))
    }

    /// Some other side refuses what is in use.
    pub(super) fn alarmed(&mut self) -> Vec<Happening> {
        self.each(|lineage, now, traffic| lineage.alarmed(now, traffic))
    }

    /// A trial ended.
    pub(super) fn tried(&mut self, upstream: &str, number: u64, verdict: &Verdict) -> Vec<Happening> {
        let only = Which {
            upstream: Some(upstream.to_owned()),
            identity: None,
        };
        self.some(&only, |lineage, now, traffic| {
            lineage.tried(number, verdict, now, traffic)
        })
    }

    /// The operator wants another look.
    pub(super) fn reconsider(&mut self, which: &Which) -> Vec<Happening> {
        self.some(which, |lineage, now, traffic| lineage.reconsider(now, traffic))
    }

    /// The operator wants the next one in use, or the one before. Of several lineages those that have nothing of the kind
    /// are passed over, as long as one has.
    pub(super) fn wish(
        &mut self,
        which: &Which,
        mut wish: impl FnMut(&mut Lineage, Moment, &Traffic<'_>) -> Result<(String, Vec<News>), Objection>,
    ) -> Outcome {
        let (mut said, mut objections) = (Vec::new(), Vec::new());
        let happened = self.some(which, |lineage, now, traffic| match wish(lineage, now, traffic) {
            Ok((sentence, news)) => {
                said.push(format!("{}: {sentence}", lineage.name()));
                news
            }
            Err(objection) => {
                objections.push(objection);
                Vec::new()
            }
        });
        Outcome {
            said,
            objections,
            happened,
        }
    }

    /// Whether there is such a lineage.
    pub(super) fn has(&self, which: &Which) -> bool {
        self.managed().any(|(upstream, lineage)| which.means(upstream, lineage))
    }

    /// What requests to this upstream are sent with.
    pub(super) fn standing(&self, upstream: &str) -> Standing {
        match self.places.get(upstream) {
            Some(Place::Managed(lineage)) => lineage.standing(),
            Some(Place::Plain(generation)) => Standing::Ready(generation.clone()),
            None => Standing::Absent(Fault::new(Code::IdentityMissing, "the upstream is not configured")),
        }
    }

    /// What the gateway's callers are met with, if it is one and has it.
    pub(super) fn front(&self) -> Option<Arc<Front>> {
        match self.places.get(OWN) {
            Some(Place::Managed(lineage)) => lineage.front().ok(),
            _ => None,
        }
    }

    /// Every lineage with its upstream.
    pub(super) fn managed(&self) -> impl Iterator<Item = (&str, &Lineage)> {
        self.places.iter().filter_map(|(name, place)| match place {
            Place::Managed(lineage) => Some((name.as_str(), lineage.as_ref())),
            Place::Plain(_) => None,
        })
    }

    /// The directories in which certificates arrive.
    pub(super) fn directories(&self) -> BTreeSet<PathBuf> {
        self.managed().flat_map(|(_, lineage)| lineage.directories()).collect()
    }

    /// Everything there is to say.
    pub(super) fn report(&self) -> Report {
        let now = moment();
        let lineages = self
            .managed()
            .map(|(upstream, lineage)| with_traffic(&self.metrics, upstream, |traffic| lineage.status(now, traffic)));
        Report {
            lineages: lineages.collect(),
        }
    }

    fn drop_place(&mut self, name: &str) -> u64 {
        let last = match self.places.remove(name) {
            Some(Place::Managed(lineage)) => Some(lineage.last()),
            Some(Place::Plain(generation)) => Some(generation.number),
            None => None,
        };
        let kept = self.numbers.entry(name.to_owned()).or_default();
        *kept = last.unwrap_or(*kept);
        *kept
    }

    fn each(&mut self, act: impl FnMut(&mut Lineage, Moment, &Traffic<'_>) -> Vec<News>) -> Vec<Happening> {
        self.some(&Which::default(), act)
    }

    fn some(
        &mut self,
        which: &Which,
        mut act: impl FnMut(&mut Lineage, Moment, &Traffic<'_>) -> Vec<News>,
    ) -> Vec<Happening> {
        let now = moment();
        let mut happened = Vec::new();
        for (upstream, place) in &mut self.places {
            if let Place::Managed(lineage) = place
                && which.means(upstream, lineage)
            {
                let news = with_traffic(&self.metrics, upstream, |traffic| act(lineage, now, traffic));
                happened.extend(news.into_iter().map(|news| (upstream.clone(), news)));
            }
        }
        happened
    }
}

impl Which {
    pub(super) fn means(&self, upstream: &str, lineage: &Lineage) -> bool {
        let identity = self.identity.as_deref().is_none_or(|wanted| lineage.name() == wanted);
        identity && self.upstream.as_deref().is_none_or(|wanted| upstream == wanted)
    }
}

fn moment() -> Moment {
    Moment {
        wall: clock::unix_seconds(),
        uptime: clock::monotonic(),
    }
}

fn with_traffic<T>(metrics: &Metrics, upstream: &str, act: impl FnOnce(&Traffic<'_>) -> T) -> T {
    let meter = metrics.upstream(upstream);
    let open = |number: u64| {
        let rows = meter.connections();
        let of_it = rows.iter().filter(|(generation, ..)| *generation == number);
        of_it.map(|(_, active, idle)| active + idle).sum()
    };
    act(&Traffic {
        open: &open,
        failed: meter.failures(),
    })
}
