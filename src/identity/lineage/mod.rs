//! The generations of one place of use, one after the other: reads files, keeps what `rotation` holds, does what it
//! says. One code path for whatever makes it look: a watch, the timer, a signal, the operator.
//!
//! Invariants: files are judged as a whole, and only when their content changed; content that is not fit is given a
//! moment before it is called refused, because certificate and key may arrive apart; what is in use is replaced only
//! by something that was made completely.

mod act;
mod ending;
mod look;
mod news;
mod receipt;
mod told;

use std::collections::{BTreeMap, HashMap};
use std::path::{Path, PathBuf};
use std::sync::{Arc, Weak};
use std::time::Duration;

use tokio::sync::Notify;

use super::preflight::Verdict;
use super::rotation::{Digest, Manner, Objection, Paper, Phase, Place, Rotation};
use super::store::{Believed, CLOCK_SKEW, Pair};
use super::{Front, Generation, Standing};
use crate::cert::facts::date;
use crate::config::settings::{Material, Revocation, TlsVersion, Trust};
use crate::fault::{Code, Fault};

pub use news::{News, Source};
use receipt::Draining;
pub use told::InUse;

/// What the settings say of one lineage.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Terms {
    /// The configured name of the identity; `None` towards an upstream that asks for none.
    pub identity: Option<String>,
    pub upstream: String,
    pub source: Option<Files>,
    pub trust: Trust,
    pub crl: Option<Revocation>,
    pub manner: Manner,
    pub side: Side,
}

/// Which end of the handshake it is for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Side {
    /// Shown to an upstream; tried before it is promoted.
    Client { tls_min: TlsVersion, http2: bool },
    /// Shown to callers, who come to us: there is nobody to try it on.
    Server { tls_min: TlsVersion },
}

/// Where an identity arrives, and whom it must name.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Files {
    pub configured: Material,
    pub staged: Option<PathBuf>,
    pub expect_dns: Vec<String>,
}

/// The generations of one place of use.
pub struct Lineage {
    terms: Terms,
    rotation: Rotation,
    alarm: Arc<Notify>,
    watched: BTreeMap<Source, Watched>,
    pairs: HashMap<Digest, Arc<Pair>>,
    trusts: HashMap<Digest, Arc<Believed>>,
    /// What is in force, made; of the others there are only the parts.
    current: Option<Made>,
    /// Generations of a server that may have connections.
    fronts: Vec<Weak<Front>>,
    past: HashMap<u64, Past>,
    refused: BTreeMap<Source, Refused>,
    /// Promotions of which the receipt is still to come.
    draining: Vec<Draining>,
    /// The difference of the clocks, when files were last judged.
    clock: Option<i64>,
    said: ending::Said,
    /// The last alarm: of which generation, and when.
    alarm_said: Option<(u64, Duration)>,
    /// Mounts that never change, in words.
    fixed: Vec<String>,
    receipt: Option<super::status::Receipt>,
}

/// A generation, ready for handshakes.
#[derive(Clone)]
enum Made {
    Client(Arc<Generation>),
    Server(Arc<Front>),
}

/// What is known of files since they were last read.
struct Watched {
    mark: Digest,
    /// When this content was first seen (time since the process began).
    since: Duration,
    settled: bool,
}

/// When and why a generation came into use.
struct Past {
    since: i64,
    proof: String,
}

/// The last content of a source that was not fit.
struct Refused {
    at: i64,
    reason: String,
    fault: Fault,
}

/// The present moment, on both clocks.
#[derive(Clone, Copy, Debug)]
pub struct Moment {
    /// Unix seconds.
    pub wall: i64,
    /// Since the process began.
    pub uptime: Duration,
}

/// What traffic says of this lineage's upstream.
pub struct Traffic<'a> {
    /// Open connections of a generation.
    pub open: &'a dyn Fn(u64) -> u64,
    /// Requests that the sidecar had to fail, since it began.
    pub failed: u64,
}

impl Lineage {
    /// Nothing is read yet. Numbers go on after `last`; `alarm` is rung when the other side refuses what is in use.
    #[must_use]
    pub fn new(terms: Terms, last: u64, alarm: Arc<Notify>) -> Self {
        Self {
            rotation: Rotation::new(terms.manner, last),
            terms,
            alarm,
            watched: BTreeMap::new(),
            pairs: HashMap::new(),
            trusts: HashMap::new(),
            current: None,
            fronts: Vec::new(),
            past: HashMap::new(),
            refused: BTreeMap::new(),
            draining: Vec::new(),
            clock: None,
            said: ending::Said::default(),
            alarm_said: None,
            fixed: Vec::new(),
            receipt: None,
        }
    }

    /// New settings: what they name is looked at next time; what is in use stays meanwhile.
    pub fn set_terms(&mut self, terms: Terms) {
        if self.terms != terms {
            self.rotation.set_manner(terms.manner);
            self.watched.clear();
            self.fixed.clear();
            self.terms = terms;
        }
    }

    /// The last number that was given.
    #[must_use]
    pub const fn last(&self) -> u64 {
        self.rotation.last()
    }

    /// The directories in which something of interest may change.
    pub fn directories(&self) -> impl Iterator<Item = PathBuf> {
        let mut files = self.files(Source::Trust);
        for place in [Place::Configured, Place::Staged] {
            files.extend(self.files(Source::Identity(place)));
        }
        files.into_iter().filter_map(|file| {
            let parent = file.parent()?;
            Some(if parent.as_os_str().is_empty() {
                PathBuf::from(".")
            } else {
                parent.to_owned()
            })
        })
    }

    /// Reads the files again, if what they hold has changed.
    pub fn look(&mut self, now: Moment, traffic: &Traffic<'_>) -> Vec<News> {
        let mut news = Vec::new();
        self.notice_the_clock(now);
        self.look_at_trust(now, traffic, &mut news);
        if self.terms.source.is_none() {
            // The same for ever: only the terms can change.
            let nobody = Paper {
                digest: [0; 32],
                not_before: i64::MIN,
                not_after: i64::MAX,
            };
            let actions = self.rotation.found(Place::Configured, nobody, now.wall);
            self.act(actions, now, traffic, &mut news);
        } else {
            self.look_at_identity(Place::Configured, now, traffic, &mut news);
            self.look_at_identity(Place::Staged, now, traffic, &mut news);
        }
        self.look_at_dates(now, &mut news);
        news
    }

    /// Time has passed: dates, repeated trials, connections that have ended.
    pub fn tick(&mut self, now: Moment, traffic: &Traffic<'_>) -> Vec<News> {
        let mut news = Vec::new();
        let actions = self.rotation.tick(now.wall);
        self.act(actions, now, traffic, &mut news);
        let open = |number| self.open(number, traffic);
        let traffic = Traffic {
            open: &open,
            ..*traffic
        };
        let done: Vec<_> = self.draining.iter().map(|it| it.finished(now, &traffic)).collect();
        let mut left = done.iter();
        self.draining.retain(|_| left.next().is_some_and(Option::is_none));
        for receipt in done.into_iter().flatten() {
            if self.rotation.in_use().is_some_and(|held| held.number == receipt.to) {
                self.receipt = Some(receipt.clone());
            }
            news.push(News::Retired(receipt));
        }
        news
    }

    /// A trial ended.
    pub fn tried(&mut self, number: u64, verdict: &Verdict, now: Moment, traffic: &Traffic<'_>) -> Vec<News> {
        let mut news = Vec::new();
        let was_on_trial = self.phase_of(number) == Some(&Phase::OnTrial);
        let actions = self.rotation.tried(number, verdict, now.wall);
        if was_on_trial {
            match self.phase_of(number) {
                Some(Phase::Again { at, rejected, sentence }) => news.push(News::NotPassed {
                    number,
                    rejected: *rejected,
                    sentence: sentence.clone(),
                    next: format!("it is tried again in {} s", at - now.wall),
                }),
                Some(Phase::Passed { sentence }) => news.push(News::Passed {
                    number,
                    sentence: sentence.clone(),
                }),
                _ => {}
            }
        }
        self.act(actions, now, traffic, &mut news);
        news
    }

    /// The operator wants the next one in use; says what comes of it.
    ///
    /// # Errors
    /// [`Objection`]; nothing has changed.
    pub fn promote(&mut self, now: Moment, traffic: &Traffic<'_>) -> Result<(String, Vec<News>), Objection> {
        let actions = self.rotation.promote(now.wall)?;
        let number = self.rotation.candidate().map(|candidate| candidate.held.number);
        let mut news = Vec::new();
        self.act(actions, now, traffic, &mut news);
        let said = match number {
            Some(number) => format!("generation {number} is on trial and is promoted when it passes"),
            None => format!(
                "generation {} is in use now",
                self.rotation.in_use().map_or(0, |held| held.number)
            ),
        };
        Ok((said, news))
    }

    /// The operator wants the one before back; says what comes of it.
    ///
    /// # Errors
    /// [`Objection`]; nothing has changed.
    pub fn roll_back(&mut self, now: Moment, traffic: &Traffic<'_>) -> Result<(String, Vec<News>), Objection> {
        let actions = self.rotation.roll_back(now.wall)?;
        let mut news = Vec::new();
        self.act(actions, now, traffic, &mut news);
        let said = format!(
            "generation {} is in use again",
            self.rotation.in_use().map_or(0, |held| held.number)
        );
        Ok((said, news))
    }

    /// The operator wants another look, also at what waits for another trial.
    pub fn reconsider(&mut self, now: Moment, traffic: &Traffic<'_>) -> Vec<News> {
        let mut news = self.look(now, traffic);
        let actions = self.rotation.reconsider(now.wall);
        self.act(actions, now, traffic, &mut news);
        news
    }

    /// What requests are sent with.
    #[must_use]
    pub fn standing(&self) -> Standing {
        match &self.current {
            Some(Made::Client(current)) => Standing::Ready(current.clone()),
            _ => Standing::Absent(self.absence()),
        }
    }

    /// What callers are met with.
    ///
    /// # Errors
    /// Why there is nothing.
    pub fn front(&self) -> Result<Arc<Front>, Fault> {
        match &self.current {
            Some(Made::Server(current)) => Ok(current.clone()),
            _ => Err(self.absence()),
        }
    }

    /// Something is in use, and it is valid.
    #[must_use]
    pub fn is_usable(&self, now: i64) -> bool {
        self.current.is_some()
            && self
                .rotation
                .in_use()
                .is_some_and(|held| now <= held.paper.not_after.saturating_add(CLOCK_SKEW))
    }

    /// Why there is nothing in use.
    fn absence(&self) -> Fault {
        for source in [
            Source::Trust,
            Source::Identity(Place::Configured),
            Source::Identity(Place::Staged),
        ] {
            if let Some(refused) = self.refused.get(&source) {
                return refused.fault.clone();
            }
        }
        let waits = self.rotation.candidate().map_or_else(
            || "its files were not read yet".to_owned(),
            |candidate| format!("it is valid only from {}", date(candidate.held.paper.not_before)),
        );
        let identity = self.terms.identity.as_deref().unwrap_or("-");
        Fault::new(Code::IdentityMissing, format!("identity {identity}: {waits}"))
    }

    /// The next generation, on its way, and what keeps it.
    #[must_use]
    pub fn candidate(&self) -> Option<(u64, &Phase)> {
        let candidate = self.rotation.candidate()?;
        Some((candidate.held.number, &candidate.phase))
    }

    fn phase_of(&self, number: u64) -> Option<&Phase> {
        let candidate = self.rotation.candidate()?;
        (candidate.held.number == number).then_some(&candidate.phase)
    }

    fn files(&self, source: Source) -> Vec<PathBuf> {
        match source {
            Source::Trust => {
                let bundle = match &self.terms.trust {
                    Trust::Bundle(path) => Some(path.clone()),
                    Trust::System => None,
                };
                let list = self.terms.crl.as_ref().map(|crl| crl.file.clone());
                bundle.into_iter().chain(list).collect()
            }
            Source::Identity(place) => self
                .material(place)
                .map(|material| material.files().into_iter().map(Path::to_owned).collect())
                .unwrap_or_default(),
        }
    }

    fn material(&self, place: Place) -> Option<Material> {
        let files = self.terms.source.as_ref()?;
        match place {
            Place::Configured => Some(files.configured.clone()),
            Place::Staged => Some(files.configured.within(files.staged.as_deref()?)),
        }
    }
}
