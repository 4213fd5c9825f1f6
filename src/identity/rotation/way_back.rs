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
        // A trial takes seconds at most; one whose end was lost must not keep the way back closed.
        if self
            .falling
            .is_some_and(|since| (since..since + pace::LOST).contains(&now))
        {
            return Vec::new();
        }
        // The other side may have changed over already: the next one need not wait out its pause.
        let mut other = String::from("no other generation is held");
        if let Some(candidate) = &mut self.candidate {
            let next = candidate.held.number;
            other = match &mut candidate.phase {
                Phase::Again { at, .. } => {
                    *at = (*at).min(now + pace::HURRY);
                    format!("generation {next} is tried again in a moment")
                }
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

    /// The other side answers with what may be about this generation, or about a request alone: a trial tells. Without
    /// another generation there is nothing to decide.
    pub fn doubted(&mut self, number: u64, now: i64) -> Vec<Action> {
        let in_use = self.in_use.is_some_and(|held| held.number == number);
        let just_tried = self
            .doubted
            .is_some_and(|(tried, since)| tried == number && (since..since + pace::DOUBT).contains(&now));
        if !in_use || just_tried || (self.previous.is_none() && self.candidate.is_none()) {
            return Vec::new();
        }
        self.doubted = Some((number, now));
        vec![Action::Try(number)]
    }

    /// What is in use was tried again; only a clear refusal says something.
    pub(super) fn tried_what_is_in_use(&mut self, number: u64, verdict: &Verdict, now: i64) -> Vec<Action> {
        match verdict {
            Verdict::Rejected(_) if self.doubted.is_some_and(|(tried, _)| tried == number) => self.refused(number, now),
            _ => Vec::new(),
        }
    }

    /// Takes the previous generation into use; the one that was becomes a candidate where a phase is given.
    pub(super) fn go_back(&mut self, previous: Held, why: Why, then: Option<Phase>) -> Vec<Action> {
        let from = self.in_use.replace(previous);
        self.previous = None;
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
    use super::super::tests::{AUTOMATIC, NOW, passed, rejected, rotated, started, unreachable};
    use super::*;

    #[test]
    fn an_answer_that_may_be_about_the_certificate_is_followed_by_a_trial_of_it() {
        let mut rotation = rotated(AUTOMATIC);
        assert_eq!(rotation.doubted(1, NOW), [], "no longer in use");
        assert_eq!(rotation.doubted(2, NOW), [Action::Try(2)]);
        assert_eq!(rotation.doubted(2, NOW + 1), [], "asked already");
        for verdict in [passed(), unreachable()] {
            assert_eq!(rotation.tried(2, &verdict, NOW + 1), [], "it was about the request");
        }
        assert_eq!(rotation.doubted(2, NOW + pace::DOUBT), [Action::Try(2)]);
        assert_eq!(
            rotation.tried(2, &rejected(), NOW + 11),
            [Action::Try(1)],
            "the way back"
        );
        assert_eq!(rotation.doubted(2, NOW + 12), [], "it is being decided");
        let fallen = rotation.tried(1, &passed(), NOW + 12);
        assert!(
            matches!(
                fallen[..],
                [Action::Promote {
                    number: 1,
                    from: Some(2),
                    why: Why::FallBack
                }]
            ),
            "{fallen:?}"
        );
        assert_eq!(
            rotation.doubted(1, NOW + 13),
            [Action::Try(1)],
            "what fell may have to come back"
        );
        assert_eq!(started(AUTOMATIC).doubted(1, NOW), [], "there is no other one");
    }

    #[test]
    fn a_refusal_in_a_trial_that_nobody_sent_decides_nothing() {
        let mut rotation = rotated(AUTOMATIC);
        assert_eq!(rotation.tried(2, &rejected(), NOW), []);
    }
}
