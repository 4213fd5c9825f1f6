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
        let mut other = String::from("no other generation is held");
        if let Some(candidate) = &self.candidate {
            let next = candidate.held.number;
            other = match &candidate.phase {
                Phase::Again { .. } => format!("generation {next} is tried again in a moment"),
                Phase::Passed { .. } | Phase::SetAside { .. } => {
                    format!("generation {next} waits for `identity promote`")
                }
                Phase::OnTrial => format!("generation {next} is being tried"),
                Phase::Waiting => format!("generation {next} is not valid yet"),
            };
        }
        match self.previous {
            Some(previous) if self.is_valid(&previous, now) => {
                self.falling = Some(now);
                vec![Action::Try(previous.number)]
            }
            Some(previous) => {
                let expired = format!("generation {} has expired; {other}", previous.number);
                vec![Action::NoWayBack(expired)]
            }
            None => vec![Action::NoWayBack(other)],
        }
    }

    /// An answer in its traffic may mean a refusal of this generation, or of a request: its own trial tells, if there is
    /// anything to come in its place.
    pub fn doubted(&mut self, number: u64, now: i64) -> Vec<Action> {
        let again = |candidate: &Candidate| matches!(candidate.phase, Phase::Again { .. });
        let alternative =
            self.previous.is_some_and(|held| self.is_valid(&held, now)) || self.candidate.as_ref().is_some_and(again);
        if self.in_use.is_some_and(|held| held.number == number) {
            self.bring_forward(now);
        }
        let recently = self
            .doubted
            .is_some_and(|at| (at..at + pace::BETWEEN_DOUBTS).contains(&now));
        if !alternative || recently || self.in_use.is_none_or(|held| held.number != number) {
            return Vec::new();
        }
        self.doubted = Some(now);
        vec![Action::Try(number)]
    }

    /// What the other side did not accept before may be what it accepts now, and what could not be reached then may be now.
    fn bring_forward(&mut self, now: i64) {
        for next in self.candidate.iter_mut().chain(&mut self.renewal) {
            if let Phase::Again { at, .. } = &mut next.phase {
                *at = (*at).min(now + pace::WHILE_REFUSED);
            }
        }
    }

    /// A trial of anything but the candidate.
    pub(super) fn tried_another(&mut self, number: u64, verdict: &Verdict, now: i64) -> Option<Vec<Action>> {
        let is = |held: Option<&Held>| held.is_some_and(|held| held.number == number);
        if self.falling.is_some() && is(self.previous.as_ref()) {
            return Some(self.tried_the_way_back(verdict, now));
        }
        if is(self.in_use.as_ref()) {
            return Some(match verdict {
                Verdict::Rejected(_) => self.refused(number, now),
                _ => Vec::new(),
            });
        }
        is(self.renewal.as_ref().map(|renewal| &renewal.held)).then(|| self.tried_renewal(verdict, now))
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

#[cfg(test)]
mod tests {
    use super::super::Place;
    use super::super::tests::{AUTOMATIC, NOW, new, number, passed, rejected, rotated, started};
    use super::*;

    #[test]
    fn a_doubtful_answer_has_the_one_in_use_tried_and_only_then_the_way_back() {
        let mut rotation = rotated(AUTOMATIC);
        assert_eq!(rotation.doubted(2, NOW), [Action::Try(2)]);
        assert_eq!(rotation.tried(2, &passed(), NOW), [], "it was the request");
        assert_eq!(rotation.doubted(2, NOW + 2), [], "not with every request");
        assert_eq!(rotation.doubted(2, NOW + 10), [Action::Try(2)]);
        assert_eq!(rotation.tried(2, &rejected(), NOW + 10), [Action::Try(1)]);
        assert_eq!(rotation.tried(1, &passed(), NOW + 10).len(), 1);
        assert_eq!(
            (number(&rotation), rotation.doubted(1, NOW + 50)),
            (1, vec![Action::Try(1)])
        );
    }

    #[test]
    fn a_refusal_of_what_is_in_use_brings_the_next_trial_forward() {
        let mut rotation = started(AUTOMATIC);
        rotation.found(Place::Configured, new(), NOW);
        rotation.tried(2, &rejected(), NOW);
        rotation.refused(1, NOW);
        assert_eq!(
            rotation.tick(NOW + 2),
            [Action::Try(2)],
            "the other side has changed over"
        );
    }
}
