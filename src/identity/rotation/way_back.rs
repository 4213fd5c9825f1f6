//! The other side refuses what is in use: back to the generation before, if that works.
//!
//! The way back is tried before it is taken. A hiccup of the other side months after a rotation must not put an old
//! certificate in force that has been withdrawn meanwhile.

use super::{Action, Candidate, Held, Phase, Rotation, Why, pace};
use crate::identity::preflight::Verdict;

impl Rotation {
    /// The other side refuses this generation in its traffic.
    pub fn refused(&mut self, number: u64, now: i64) -> Vec<Action> {
        if self.in_use.is_none_or(|held| held.number != number) {
            return Vec::new();
        }
        self.bring_forward(now);
        // A trial takes seconds at most; one whose end was lost must not keep the way back closed.
        if self
            .falling
            .is_some_and(|since| (since..since + pace::LOST).contains(&now))
        {
            return Vec::new();
        }
        match self.previous {
            Some(previous) if self.is_valid(&previous, now) => {
                self.falling = Some(now);
                vec![Action::Try(previous.number)]
            }
            Some(previous) => vec![Action::NoWayBack(format!("generation {} has expired", previous.number))],
            None => vec![Action::NoWayBack(String::from("no other generation is held"))],
        }
    }

    /// What the other side did not accept before may be what it accepts now.
    fn bring_forward(&mut self, now: i64) {
        if let Some(candidate) = &mut self.candidate
            && let Phase::Again { at, .. } = &mut candidate.phase
        {
            *at = (*at).min(now + pace::WHILE_REFUSED);
        }
    }

    /// Takes the previous generation into use; the one that was becomes a candidate where a phase is given.
    pub(super) fn go_back(&mut self, previous: Held, why: Why, then: Option<Phase>) -> Vec<Action> {
        let from = self.in_use.replace(previous);
        self.previous = None;
        self.renewal = None;
        self.falling = None;
        if let (Some(held), Some(phase)) = (from, then)
            && self.candidate.is_none()
        {
            self.candidate = Some(Candidate {
                held,
                phase,
                failures: 0,
                wanted: false,
            });
        }
        vec![Action::Promote {
            number: previous.number,
            from: from.map(|held| held.number),
            why,
        }]
    }

    /// The one in use is refused; falls back only onto what works.
    pub(super) fn tried_the_way_back(&mut self, verdict: &Verdict, now: i64) -> Vec<Action> {
        self.falling = None;
        let (Some(previous), Some(mut in_use)) = (self.previous, self.in_use) else {
            return Vec::new();
        };
        match verdict {
            Verdict::Passed(_) if self.is_valid(&previous, now) => {
                in_use.falls += 1;
                self.in_use = Some(in_use);
                let phase = Phase::Again {
                    at: now + pace::after_fall(in_use.number, in_use.falls),
                    rejected: true,
                    sentence: String::from("the other side refused it after it had been promoted"),
                };
                self.go_back(previous, Why::FallBack, Some(phase))
            }
            Verdict::Passed(_) => vec![Action::NoWayBack(format!("generation {} has expired", previous.number))],
            Verdict::Rejected(sentence) | Verdict::Unreachable(sentence) | Verdict::ServerRevoked(sentence) => {
                vec![Action::NoWayBack(format!(
                    "generation {} was tried: {sentence}",
                    previous.number
                ))]
            }
        }
    }
}
