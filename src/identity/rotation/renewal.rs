//! Changed terms while another identity is on its way: they come into force with the identity in use, and do not wait
//! for an operator, a date or a trial that the other one waits for. Whoever was revoked is out at once.

use super::{Action, Candidate, Digest, Held, Paper, Phase, Rotation, Why, pace};
use crate::identity::preflight::Verdict;

impl Rotation {
    /// The identity in use on these terms. It is tried when the candidate is not being tried, which may bring both.
    pub(super) fn renewed(&mut self, in_use: Held, terms: Digest) -> Candidate {
        self.last += 1;
        Candidate {
            held: Held {
                number: self.last,
                terms,
                ..in_use
            },
            phase: Phase::Waiting,
            failures: 0,
            wanted: false,
        }
    }

    /// Another identity takes the candidate's place: if that was the one in use on changed terms, they stay on their way.
    pub(super) fn keep_terms_on_their_way(&mut self, paper: Paper) {
        let in_use = self.in_use.map(|held| held.paper);
        let other = Some(paper) != in_use;
        if other && let Some(terms_only) = self.candidate.take_if(|candidate| Some(candidate.held.paper) == in_use) {
            self.renewal = Some(Candidate {
                phase: Phase::Waiting,
                ..terms_only
            });
        }
    }

    pub(super) fn tick_renewal(&mut self, now: i64) -> Vec<Action> {
        let on_trial = |candidate: &Candidate| candidate.phase == Phase::OnTrial;
        if self.candidate.as_ref().is_some_and(on_trial) {
            return Vec::new();
        }
        let Some(renewal) = &mut self.renewal else {
            return Vec::new();
        };
        let due = match renewal.phase {
            Phase::Waiting => true,
            Phase::Again { at, .. } => now >= at || at > now + pace::MAX_PAUSE,
            _ => false,
        };
        if !due {
            return Vec::new();
        }
        renewal.phase = Phase::OnTrial;
        vec![Action::Try(renewal.held.number)]
    }

    pub(super) fn tried_renewal(&mut self, verdict: &Verdict, now: i64) -> Vec<Action> {
        let Some(mut renewal) = self.renewal.take_if(|renewal| renewal.phase == Phase::OnTrial) else {
            return Vec::new();
        };
        let why = match verdict {
            Verdict::Passed(sentence) => Why::TrialPassed(sentence.clone()),
            Verdict::Rejected(sentence) => Why::TrialPassed(format!("the other side's certificate holds ({sentence})")),
            Verdict::ServerRevoked(sentence) => Why::Revoked(sentence.clone()),
            Verdict::Unreachable(sentence) => {
                renewal.failures += 1;
                renewal.phase = Phase::Again {
                    at: now + pace::pause(renewal.held.number, renewal.failures, false),
                    rejected: false,
                    sentence: sentence.clone(),
                };
                self.renewal = Some(renewal);
                return Vec::new();
            }
        };
        let from = self.in_use.replace(renewal.held);
        self.previous = from;
        self.falling = None;
        // Numbers go up with each promotion, unless somebody waits for this one.
        if let Some(candidate) = &mut self.candidate
            && candidate.phase != Phase::OnTrial
        {
            self.last += 1;
            candidate.held.number = self.last;
        }
        vec![Action::Promote {
            number: renewal.held.number,
            from: from.map(|held| held.number),
            why,
        }]
    }
}

#[cfg(test)]
mod tests {
    use super::super::Place;
    use super::super::tests::{AUTOMATIC, DAY, MANUAL, NOW, TERMS, number, paper, passed, rejected, unreachable};
    use super::*;

    const NEWER: Digest = [8; 32];

    /// With one identity in use as generation 1 and another one on its way as generation 2.
    fn waiting(manner: super::super::Manner, from: i64) -> Rotation {
        let mut rotation = Rotation::new(manner, 0);
        rotation.terms(TERMS, NOW);
        rotation.found(Place::Configured, paper(1, NOW - DAY, NOW + 20 * DAY), NOW);
        rotation.found(Place::Staged, paper(2, from, NOW + 90 * DAY), NOW);
        rotation
    }

    fn terms(rotation: &Rotation) -> Option<Digest> {
        rotation.in_use().map(|held| held.terms)
    }

    #[test]
    fn changed_terms_do_not_wait_for_the_operator_with_a_certificate() {
        let mut rotation = waiting(MANUAL, NOW - DAY);
        rotation.tried(2, &passed(), NOW);
        assert_eq!(rotation.terms(NEWER, NOW), [Action::Try(4)]);
        assert_eq!(rotation.tried(4, &passed(), NOW), [Action::Try(3)]);
        rotation.tried(3, &passed(), NOW);
        assert_eq!((number(&rotation), terms(&rotation)), (3, Some(NEWER)));
        let candidate = rotation.candidate().expect("it still waits");
        assert_eq!((candidate.held.number, candidate.held.terms), (5, NEWER));
        assert!(matches!(candidate.phase, Phase::Passed { .. }));
        assert!(rotation.promote(NOW).is_ok());
        assert_eq!(number(&rotation), 5);
    }

    #[test]
    fn changed_terms_do_not_wait_for_a_date() {
        let mut rotation = waiting(AUTOMATIC, NOW + DAY);
        assert_eq!(rotation.terms(NEWER, NOW), [Action::Try(3)]);
        rotation.tried(3, &rejected(), NOW);
        assert_eq!((number(&rotation), terms(&rotation)), (3, Some(NEWER)));
        assert_eq!(rotation.tick(NOW + DAY), [Action::Try(5)]);
    }

    #[test]
    fn changed_terms_do_not_wait_for_a_certificate_that_is_not_accepted() {
        let mut rotation = waiting(AUTOMATIC, NOW - DAY);
        rotation.tried(2, &rejected(), NOW);
        assert_eq!(rotation.terms(NEWER, NOW), [Action::Try(4)]);
        assert_eq!(rotation.tried(4, &rejected(), NOW), [Action::Try(3)]);
        assert_eq!(rotation.tried(3, &unreachable(), NOW), []);
        assert_eq!(terms(&rotation), Some(TERMS), "nobody could be asked");
        assert_eq!(rotation.tick(NOW + 3), [Action::Try(3)]);
        rotation.tried(3, &passed(), NOW + 3);
        assert_eq!(terms(&rotation), Some(NEWER));
        assert_eq!(rotation.terms(TERMS, NOW + 4).len(), 1, "and back");
    }

    #[test]
    fn a_certificate_that_comes_after_changed_terms_does_not_take_their_place() {
        let mut rotation = waiting(AUTOMATIC, NOW - DAY);
        rotation.unfit(Place::Staged);
        assert_eq!(rotation.terms(NEWER, NOW), [Action::Try(3)]);
        let future = paper(3, NOW + DAY, NOW + 90 * DAY);
        assert_eq!(rotation.found(Place::Configured, future, NOW), [Action::Try(3)]);
        rotation.tried(3, &passed(), NOW);
        assert_eq!((number(&rotation), terms(&rotation)), (3, Some(NEWER)));
    }

    #[test]
    fn a_certificate_and_terms_that_change_together_come_into_force_together() {
        let mut rotation = waiting(AUTOMATIC, NOW - DAY);
        assert_eq!(rotation.terms(NEWER, NOW), [Action::Try(4)]);
        rotation.tried(4, &passed(), NOW);
        assert_eq!((number(&rotation), terms(&rotation)), (4, Some(NEWER)));
        assert_eq!(rotation.tick(NOW + DAY), []);
    }

    #[test]
    fn what_was_rolled_back_can_be_promoted_after_the_terms_have_changed() {
        let mut rotation = waiting(AUTOMATIC, NOW - DAY);
        rotation.tried(2, &passed(), NOW);
        rotation.roll_back(NOW).expect("a way back");
        assert_eq!(rotation.terms(NEWER, NOW), [Action::Try(3)]);
        rotation.tried(3, &passed(), NOW);
        assert_eq!(terms(&rotation), Some(NEWER));
        assert!(rotation.promote(NOW).is_ok());
        assert_eq!(terms(&rotation), Some(NEWER));
        assert_eq!(rotation.in_use().map(|held| held.paper.digest), Some([2; 32]));
    }
}
