//! Doing what the rotation says: makes generations of their parts, remembers when and why, and forgets what is no longer
//! held.

use std::collections::HashSet;
use std::sync::{Arc, Weak};
use std::time::Duration;

use rustls::server::WebPkiClientVerifier;

use super::news::{News, Source};
use super::receipt::Draining;
use super::{Lineage, Made, Moment, Past, Side, Traffic};
use crate::cert::Trusted;
use crate::cert::facts::{Facts, date};
use crate::cert::load::Bundle;
use crate::config::settings::TlsVersion;
use crate::identity::preflight::Verdict;
use crate::identity::rotation::{Action, Digest, Held, Phase, Why};
use crate::identity::store::{Believed, Pair};
use crate::identity::{Front, Generation};
use crate::transport::tls::{self, TlsError};

/// How long an alarm that does not change is left unsaid.
const REMIND: Duration = Duration::from_secs(60);

/// Makes a configuration of the pair and throws it away: what cannot be made must be refused when it is found.
pub(super) fn rehearse_pair(bundle: &Bundle) -> Result<(), TlsError> {
    tls::server_config(bundle, WebPkiClientVerifier::no_client_auth(), TlsVersion::V1_2).map(drop)
}

/// The same for whom to believe.
pub(super) fn rehearse_trust(side: Side, trusted: &Trusted) -> Result<(), TlsError> {
    match side {
        Side::Client { tls_min, http2 } => tls::client_config(None, trusted, tls_min, http2).map(drop),
        Side::Server { .. } => tls::client_verifier(trusted).map(drop),
    }
}

impl Lineage {
    /// The other side may have refused what is in use.
    pub fn alarmed(&mut self, now: Moment, traffic: &Traffic<'_>) -> Vec<News> {
        let mut news = Vec::new();
        if let Some(Made::Client(current)) = &self.current {
            let (number, doubted) = (current.number, current.take_doubt());
            let actions = match current.take_refusals() {
                0 if doubted => self.rotation.doubted(number, now.wall),
                0 => Vec::new(),
                _ => self.rotation.refused(number, now.wall),
            };
            self.act(actions, now, traffic, &mut news);
        }
        news
    }

    /// Carries out what the rotation said, in order.
    pub(super) fn act(&mut self, actions: Vec<Action>, now: Moment, traffic: &Traffic<'_>, news: &mut Vec<News>) {
        for action in actions {
            match action {
                Action::Try(number) => self.send_on_trial(number, now, traffic, news),
                Action::Promote { number, from, why } => self.put_in_force(number, from, why, now, traffic, news),
                Action::NoWayBack(reason) => {
                    if let Some(Made::Client(current)) = &self.current {
                        current.set_gives_way(false);
                    }
                    let number = self.rotation.in_use().map_or(0, |held| held.number);
                    let again = |(said, at): (u64, Duration)| said == number && now.uptime < at + REMIND;
                    // It may be refused with every request.
                    if !self.alarm_said.is_some_and(again) {
                        self.alarm_said = Some((number, now.uptime));
                        news.push(News::NoWayBack { number, reason });
                    }
                }
            }
        }
        self.forget();
    }

    /// Says what was found, if it made a new candidate; what comes into force at once says so itself.
    pub(super) fn tell_found(&self, before: Option<u64>, source: Source, now: Moment, news: &mut Vec<News>) {
        let Some(candidate) = self.rotation.candidate() else {
            return;
        };
        if before == Some(candidate.held.number) {
            return;
        }
        let pair = self.pairs.get(&candidate.held.paper.digest);
        news.push(News::Found {
            number: candidate.held.number,
            source,
            leaf: pair.map(|pair| Box::new(pair.bundle.leaf_facts().clone())),
            warnings: pair.map(|pair| pair.warnings.clone()).unwrap_or_default(),
            next: self.next_of(&candidate.phase, &candidate.held, now),
        });
    }

    /// What comes next for a candidate, in words.
    pub(super) fn next_of(&self, phase: &Phase, held: &Held, now: Moment) -> String {
        match phase {
            Phase::Waiting => format!(
                "it waits for its first second of validity, {}",
                date(held.paper.not_before)
            ),
            Phase::OnTrial => "it is being tried against the other side".to_owned(),
            Phase::Again { at, rejected, sentence } => {
                let what = if *rejected { "refused" } else { "not tried" };
                format!(
                    "{what}: {sentence}; tried again in {} s",
                    at.saturating_sub(now.wall).max(0)
                )
            }
            Phase::Passed { sentence } => format!("trial passed ({sentence}); `identity promote` takes it into use"),
            Phase::SetAside { rolled_back: true } => {
                "it was rolled back by the operator; `identity promote` takes it into use again".to_owned()
            }
            Phase::SetAside { rolled_back: false } => {
                "it is staged, and older than the one in use; `identity promote` takes it into use nevertheless"
                    .to_owned()
            }
        }
    }

    fn send_on_trial(&mut self, number: u64, now: Moment, traffic: &Traffic<'_>, news: &mut Vec<News>) {
        let Some(held) = self.rotation.held().find(|held| held.number == number).copied() else {
            return;
        };
        let verdict = match self.terms.side {
            Side::Server { .. } => {
                Verdict::Passed("verified; callers come to us, so there is nobody to try it on".to_owned())
            }
            Side::Client { tls_min, http2 } => {
                let (pair, believed) = self.parts(&held);
                let Some(believed) = believed else { return };
                // A session store of its own: nothing of a trial goes on.
                match tls::client_config(pair.map(|pair| &pair.bundle), &believed.trusted, tls_min, http2) {
                    Ok(config) => {
                        let client_config = Arc::new(config);
                        news.push(News::Try { number, client_config });
                        return;
                    }
                    Err(error) => Verdict::Unreachable(error.to_string()),
                }
            }
        };
        news.extend(self.tried(number, &verdict, now, traffic));
    }

    fn put_in_force(
        &mut self,
        number: u64,
        from: Option<u64>,
        why: Why,
        now: Moment,
        traffic: &Traffic<'_>,
        news: &mut Vec<News>,
    ) {
        let Some(held) = self.rotation.in_use().copied() else {
            return;
        };
        match self.make(&held) {
            Ok(made) => {
                if let Made::Server(front) = &made {
                    self.fronts.retain(|front| front.strong_count() > 0);
                    self.fronts.push(Arc::downgrade(front));
                }
                // The other side is the same: what is known of it goes on.
                if let (Made::Client(made), Some(Made::Client(before))) = (&made, &self.current) {
                    made.saw(&before.server_chain());
                }
                self.current = Some(made);
            }
            // It was made once when it was found; the one before goes on serving.
            Err(error) => {
                news.push(News::Refused {
                    source: Source::Identity(held.place),
                    reason: error.to_string(),
                });
                return;
            }
        }
        self.past.insert(
            number,
            Past {
                since: now.wall,
                proof: why.proof(),
            },
        );
        let pair = self.pairs.get(&held.paper.digest);
        news.push(News::Promoted {
            number,
            from,
            why: why.clone(),
            leaf: pair.map(|pair| Box::new(pair.bundle.leaf_facts().clone())),
            warnings: pair.map(|pair| pair.warnings.clone()).unwrap_or_default(),
        });
        let draining = Draining::begin(from, number, &why, now, traffic);
        self.receipt = Some(draining.receipt());
        // Back in use: what was draining is not.
        self.draining.retain(|other| !other.is_of(number));
        self.draining.extend(from.map(|_| draining));
    }

    /// A generation of its own, with a session store of its own: no ticket of another one fits.
    fn make(&self, held: &Held) -> Result<Made, TlsError> {
        let (pair, believed) = self.parts(held);
        let missing = |what: &str| TlsError::Identity(format!("there is no {what}"));
        let trusted = &believed.ok_or_else(|| missing("trust bundle"))?.trusted;
        let not_after = (held.paper.not_after != i64::MAX).then_some(held.paper.not_after);
        match self.terms.side {
            Side::Client { tls_min, http2 } => {
                let config = tls::client_config(pair.map(|pair| &pair.bundle), trusted, tls_min, http2)?;
                let identity = self.terms.identity.clone();
                let alarm = self.alarm.clone();
                let made = Generation::new(held.number, identity, not_after, config, alarm);
                made.set_gives_way(self.rotation.previous().is_some());
                Ok(Made::Client(Arc::new(made)))
            }
            Side::Server { tls_min } => {
                let verifier = tls::client_verifier(trusted)?;
                let pair = pair.ok_or_else(|| missing("certificate to show"))?;
                let config = tls::server_config(&pair.bundle, verifier.clone(), tls_min)?;
                Ok(Made::Server(Arc::new(Front::new(held.number, config, verifier))))
            }
        }
    }

    pub(super) fn parts(&self, held: &Held) -> (Option<&Arc<Pair>>, Option<&Arc<Believed>>) {
        (self.pairs.get(&held.paper.digest), self.trusts.get(&held.terms))
    }

    /// Keys of what can no longer come into use are wiped.
    fn forget(&mut self) {
        let identities: HashSet<Digest> = self.rotation.held().map(|held| held.paper.digest).collect();
        let terms: HashSet<Digest> = self.rotation.held().map(|held| held.terms).collect();
        let numbers: HashSet<u64> = self.rotation.held().map(|held| held.number).collect();
        self.past.retain(|number, _| numbers.contains(number));
        // Before the first generation, parts wait for each other.
        if !numbers.is_empty() {
            let newest = self.rotation.newest_terms();
            self.pairs.retain(|digest, _| identities.contains(digest));
            self.trusts
                .retain(|digest, _| terms.contains(digest) || newest == Some(*digest));
        }
    }

    /// Open connections of a generation.
    pub(super) fn open(&self, number: u64, traffic: &Traffic<'_>) -> u64 {
        match self.terms.side {
            Side::Client { .. } => (traffic.open)(number),
            Side::Server { .. } => {
                let fronts = self.fronts.iter().filter_map(Weak::upgrade);
                fronts
                    .filter(|front| front.number == number)
                    .map(|front| front.open())
                    .sum()
            }
        }
    }

    /// What a chain says.
    pub(super) fn chain_of(&self, held: &Held) -> &[Facts] {
        self.pairs
            .get(&held.paper.digest)
            .map(|pair| pair.bundle.chain_facts())
            .unwrap_or_default()
    }
}
