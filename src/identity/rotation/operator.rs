//! What the operator may want, and what speaks against it.

use super::{Action, Objection, Phase, Rotation, Why};

impl Rotation {
    /// The operator wants the candidate in use.
    ///
    /// # Errors
    /// [`Objection`]; nothing has changed.
    pub fn promote(&mut self, now: i64) -> Result<Vec<Action>, Objection> {
        let Some(candidate) = &mut self.candidate else {
            return Err(Objection::NothingToPromote);
        };
        let number = candidate.held.number;
        match candidate.phase {
            Phase::Waiting if now < candidate.held.paper.not_before => Err(Objection::NotYetValid(number)),
            Phase::Passed { .. } | Phase::SetAside { .. } => Ok(self.promote_candidate(Why::Operator)),
            Phase::OnTrial => {
                candidate.wanted = true;
                Ok(Vec::new())
            }
            Phase::Waiting | Phase::Again { .. } => {
                candidate.wanted = true;
                candidate.phase = Phase::OnTrial;
                Ok(vec![Action::Try(number)])
            }
        }
    }

    /// The operator wants the generation before the one in use.
    ///
    /// # Errors
    /// [`Objection`]; nothing has changed.
    pub fn roll_back(&mut self, now: i64) -> Result<Vec<Action>, Objection> {
        let previous = self.previous.ok_or(Objection::NothingToGoBackTo)?;
        if !self.is_valid(&previous, now) {
            return Err(Objection::PreviousExpired(previous.number));
        }
        Ok(self.go_back(previous, Why::RollBack, Some(Phase::SetAside { rolled_back: true })))
    }

    /// The operator wants everything looked at anew: what waits for another trial is tried now. What was set aside
    /// stays so: `promote` is the word for it.
    pub fn reconsider(&mut self, now: i64) -> Vec<Action> {
        if let Some(candidate) = &mut self.candidate
            && let Phase::Again { at, .. } = &mut candidate.phase
        {
            *at = now;
            candidate.failures = 0;
        }
        self.tick(now)
    }
}
