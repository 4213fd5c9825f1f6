//! The life of generations in one place of use: what happened goes in, what to do comes out. No files, sockets or
//! clocks; the driver (`lineage`) has those.
//!
//! ```text
//!            found, verified
//!                  │
//!   not yet valid  ▼            unreachable, rejected
//!   ┌─ Waiting ◀─ candidate ─▶ OnTrial ─▶ Again ─┐        operator's roll-back
//!   └──────────────┴───▲──────────┬───▲──────────┘               │
//!                      │  passed  │   └── time                   ▼
//!                      │          ├─────▶ Passed ─ operator ─▶ in use ◀─ start, nothing to lose
//!                      │          └── automatic ──────────────▶  │ ▲
//!                      └───────────── fall back ────────────────┘ └── previous: the way back
//! ```
//!
//! Invariants, whatever the order of events:
//! - what is in use is only ever replaced by something that was verified;
//! - after any event, when nothing valid is in use, nothing valid is held back either;
//! - an event about a number that is no longer what it was changes nothing.
//!
//! A generation is made of two parts that change apart: the identity (chain and key) and the terms on which the other
//! side is met (trust bundle, CRL, TLS version). A change of the terms alone makes a candidate of the identity in use.

mod operator;
mod pace;
mod renewal;
mod values;
mod way_back;

use super::preflight::Verdict;

pub use values::{Action, Candidate, Digest, Held, Manner, Objection, Paper, Phase, Place, Why};

/// The state of one lineage.
#[derive(Clone, Debug)]
pub struct Rotation {
    manner: Manner,
    last: u64,
    in_use: Option<Held>,
    previous: Option<Held>,
    candidate: Option<Candidate>,
    /// The identity in use on changed terms, while the candidate is another identity.
    renewal: Option<Candidate>,
    /// The newest terms that were fit; nothing can be made before the first.
    terms: Option<Digest>,
    /// What was last found at each place, so that only a change counts.
    seen: [Option<Paper>; 2],
    /// The previous generation is being tried, because the other side refused the one in use; since when.
    falling: Option<i64>,
    /// When the one in use was last tried because its traffic raised a doubt.
    doubted: Option<i64>,
}

impl Rotation {
    /// Nothing is held; numbers go on after `last`.
    #[must_use]
    pub const fn new(manner: Manner, last: u64) -> Self {
        Self {
            manner,
            last,
            in_use: None,
            previous: None,
            candidate: None,
            renewal: None,
            terms: None,
            seen: [None, None],
            falling: None,
            doubted: None,
        }
    }

    #[must_use]
    pub const fn in_use(&self) -> Option<&Held> {
        self.in_use.as_ref()
    }

    #[must_use]
    pub const fn previous(&self) -> Option<&Held> {
        self.previous.as_ref()
    }

    #[must_use]
    pub const fn candidate(&self) -> Option<&Candidate> {
        self.candidate.as_ref()
    }

    /// The newest terms that were fit.
    #[must_use]
    pub const fn newest_terms(&self) -> Option<Digest> {
        self.terms
    }

    /// The last number that was given.
    #[must_use]
    pub const fn last(&self) -> u64 {
        self.last
    }

    /// Every generation that may still come into use.
    pub fn held(&self) -> impl Iterator<Item = &Held> {
        let coming = self.candidate.iter().chain(&self.renewal);
        let coming = coming.map(|candidate| &candidate.held);
        self.in_use.iter().chain(&self.previous).chain(coming)
    }

    /// The settings changed.
    pub fn set_manner(&mut self, manner: Manner) {
        self.manner = manner;
    }

    /// A verified identity lies at a place. The same one again is no news.
    pub fn found(&mut self, place: Place, paper: Paper, now: i64) -> Vec<Action> {
        let slot = &mut self.seen[place as usize];
        if slot.is_some_and(|seen| seen.digest == paper.digest) {
            return Vec::new();
        }
        *slot = Some(paper);
        self.take(place, paper, now)
    }

    /// Nothing fit lies at a place (any more): a candidate from there is withdrawn. What is in use stays. What lay there
    /// without being wanted, and comes again, is no news then either.
    pub fn unfit(&mut self, place: Place) {
        let in_use = self.in_use.map(|held| held.paper.digest);
        let from_there = |candidate: &Candidate| {
            candidate.held.place == place
                && Some(candidate.held.paper.digest) != in_use
                && !matches!(candidate.phase, Phase::SetAside { rolled_back: true })
        };
        let withdrawn = self.candidate.as_ref().is_some_and(from_there);
        if withdrawn {
            self.candidate = None;
        }
        if withdrawn || in_use.is_none() {
            self.seen[place as usize] = None;
        }
    }

    /// The terms on which the other side is met, fit and in force from now on for whatever is promoted.
    pub fn terms(&mut self, terms: Digest, now: i64) -> Vec<Action> {
        if self.terms.replace(terms) == Some(terms) {
            return Vec::new();
        }
        let first = self.in_use.is_none() && self.candidate.is_none();
        if first {
            // An identity may have been waiting for them.
            let found: Vec<(Place, Paper)> = [Place::Configured, Place::Staged]
                .into_iter()
                .filter_map(|place| Some((place, self.seen[place as usize]?)))
                .collect();
            return found
                .into_iter()
                .flat_map(|(place, paper)| self.take(place, paper, now))
                .collect();
        }
        let base = match (&mut self.candidate, self.in_use) {
            (candidate, Some(in_use)) if candidate.as_ref().is_none_or(|it| it.held.paper == in_use.paper) => {
                if in_use.terms == terms {
                    *candidate = None;
                    return Vec::new();
                }
                in_use
            }
            (Some(candidate), in_use) => {
                // It may wait for its time or for the operator; changed terms do not wait with it.
                let base = candidate.held;
                let set_aside = matches!(candidate.phase, Phase::SetAside { .. });
                candidate.held.terms = terms;
                self.renewal = in_use
                    .filter(|in_use| in_use.terms != terms)
                    .map(|in_use| self.renewed(in_use, terms));
                if set_aside {
                    return self.tick(now);
                }
                base
            }
            (None, _) => return Vec::new(),
        };
        self.admit(base.place, base.paper, base.falls, now)
    }

    /// A trial ended.
    pub fn tried(&mut self, number: u64, verdict: &Verdict, now: i64) -> Vec<Action> {
        if let Some(actions) = self.tried_another(number, verdict, now) {
            return actions;
        }
        let unchanged = self.in_use.map(|held| held.paper.digest);
        let Some(candidate) = self
            .candidate
            .as_mut()
            .filter(|candidate| candidate.held.number == number)
        else {
            return Vec::new();
        };
        if candidate.phase != Phase::OnTrial {
            return Vec::new();
        }
        // The terms alone are new: what the other side thinks of our certificate is no matter, it knows it already.
        let terms_only = unchanged == Some(candidate.held.paper.digest);
        let (rejected, sentence) = match verdict {
            Verdict::Passed(sentence) => {
                if self.manner.manual && !candidate.wanted && !terms_only {
                    candidate.phase = Phase::Passed {
                        sentence: sentence.clone(),
                    };
                    return self.tick(now);
                }
                return self.promote_candidate(Why::TrialPassed(sentence.clone()));
            }
            Verdict::Rejected(sentence) if terms_only => {
                return self.promote_candidate(Why::TrialPassed(format!(
                    "the other side's certificate holds ({sentence})"
                )));
            }
            Verdict::ServerRevoked(sentence) if terms_only => {
                return self.promote_candidate(Why::Revoked(sentence.clone()));
            }
            Verdict::Rejected(sentence) => (true, sentence),
            Verdict::Unreachable(sentence) | Verdict::ServerRevoked(sentence) => (false, sentence),
        };
        // Who asked for it was told that it did not pass; much later is another question.
        candidate.wanted &= !rejected;
        candidate.failures += 1;
        candidate.phase = Phase::Again {
            at: now + pace::pause(number, candidate.failures, rejected),
            rejected,
            sentence: sentence.clone(),
        };
        self.tick(now)
    }

    /// Time has passed.
    pub fn tick(&mut self, now: i64) -> Vec<Action> {
        let mut actions = self.tick_candidate(now);
        actions.extend(self.tick_renewal(now));
        actions
    }

    fn tick_candidate(&mut self, now: i64) -> Vec<Action> {
        let usable = self.in_use.is_some_and(|held| self.is_valid(&held, now));
        if let Some(candidate) = &mut self.candidate {
            if now > candidate.held.paper.not_after.saturating_add(self.manner.skew) {
                self.seen[candidate.held.place as usize] = None;
                self.candidate = None;
            } else if now
                >= candidate
                    .held
                    .paper
                    .not_before
                    .saturating_sub(if usable { 0 } else { self.manner.skew })
            {
                if !usable {
                    let why = if self.in_use.is_none() && self.previous.is_none() && candidate.held.falls == 0 {
                        Why::Start
                    } else {
                        Why::NothingToLose
                    };
                    return self.promote_candidate(why);
                }
                return self.advance(now);
            }
        }
        if !usable
            && let Some(previous) = self.previous
            && self.is_valid(&previous, now)
        {
            return self.go_back(previous, Why::NothingToLose, None);
        }
        Vec::new()
    }

    fn is_valid(&self, held: &Held, now: i64) -> bool {
        let Manner { skew, .. } = self.manner;
        now >= held.paper.not_before.saturating_sub(skew) && now <= held.paper.not_after.saturating_add(skew)
    }

    fn take(&mut self, place: Place, paper: Paper, now: i64) -> Vec<Action> {
        let Some(terms) = self.terms else { return Vec::new() };
        if self
            .in_use
            .is_some_and(|held| held.paper.digest == paper.digest && held.terms == terms)
        {
            // Put back: whatever came from there is no longer wanted. After a promotion from the staged place, the
            // configured one follows in this way.
            self.unfit_unless(place, paper);
            return Vec::new();
        }
        if let Some(candidate) = &mut self.candidate
            && candidate.held.paper.digest == paper.digest
            && candidate.held.terms == terms
        {
            candidate.held.place = place;
            return Vec::new();
        }
        self.admit(place, paper, 0, now)
    }

    fn unfit_unless(&mut self, place: Place, paper: Paper) {
        self.unfit(place);
        self.seen[place as usize] = Some(paper);
    }

    /// Makes a candidate in place of the one there may be.
    fn admit(&mut self, place: Place, paper: Paper, falls: u32, now: i64) -> Vec<Action> {
        let Some(terms) = self.terms else { return Vec::new() };
        self.last += 1;
        let held = Held {
            number: self.last,
            place,
            paper,
            terms,
            falls,
        };
        // Left in the staged directory from last time: a restart must not go back to it.
        let is_older =
            |in_use: &Held| paper.not_before <= in_use.paper.not_before && paper.not_after <= in_use.paper.not_after;
        let leftover = place == Place::Staged
            && self
                .in_use
                .as_ref()
                .is_some_and(|in_use| in_use.paper.digest != paper.digest && is_older(in_use));
        self.keep_terms_on_their_way(paper);
        self.candidate = Some(Candidate {
            held,
            phase: if leftover {
                Phase::SetAside { rolled_back: false }
            } else {
                Phase::Waiting
            },
            failures: 0,
            wanted: false,
        });
        self.tick(now)
    }

    /// The candidate is valid, and so is what is in use.
    fn advance(&mut self, now: i64) -> Vec<Action> {
        let (Some(candidate), Some(in_use)) = (&mut self.candidate, &self.in_use) else {
            return Vec::new();
        };
        let ends_soon = now >= in_use.paper.not_after.saturating_sub(self.manner.untried_before);
        let longer = candidate.held.paper.not_after > in_use.paper.not_after;
        match &candidate.phase {
            Phase::Again {
                rejected: false,
                sentence,
                ..
            } if candidate.failures > 0 && ends_soon && longer && (!self.manner.manual || candidate.wanted) => {
                let sentence = sentence.clone();
                self.promote_candidate(Why::AboutToExpire(sentence))
            }
            // A clock that was set back must not make anybody wait for ever.
            Phase::Again { at, .. } if now >= *at || *at > now + pace::MAX_PAUSE => {
                candidate.phase = Phase::OnTrial;
                vec![Action::Try(candidate.held.number)]
            }
            Phase::Waiting => {
                candidate.phase = Phase::OnTrial;
                vec![Action::Try(candidate.held.number)]
            }
            // The settings may have changed since its trial.
            Phase::Passed { sentence } if !self.manner.manual => {
                let why = Why::TrialPassed(sentence.clone());
                self.promote_candidate(why)
            }
            Phase::OnTrial | Phase::Again { .. } | Phase::Passed { .. } | Phase::SetAside { .. } => Vec::new(),
        }
    }

    fn promote_candidate(&mut self, why: Why) -> Vec<Action> {
        let Some(Candidate { held, .. }) = self.candidate.take() else {
            return Vec::new();
        };
        let from = self.in_use.replace(held);
        match (&mut self.previous, from) {
            // Only the terms are new, as with each day's list: the way back to another certificate stays, on those terms.
            (Some(previous), Some(from)) if from.paper == held.paper && previous.paper != held.paper => {
                previous.terms = held.terms;
            }
            (previous, Some(from)) => *previous = Some(from),
            (_, None) => {}
        }
        self.falling = None;
        self.renewal = None;
        vec![Action::Promote {
            number: held.number,
            from: from.map(|held| held.number),
            why,
        }]
    }
}

#[cfg(test)]
mod falling;
#[cfg(test)]
mod storm;
#[cfg(test)]
mod tests;
