//! The state machine of one unit: an event and the time in, what is to be done out.

use std::time::Duration;

use super::{Action, Audited, Effective, Event, LONGEST, Order, Override, RolledBack, SetError, Terms};
use crate::switch::{Lack, Mode};

/// The standing of one unit.
#[derive(Clone, Debug, PartialEq)]
pub struct Standing {
    unit: String,
    terms: Terms,
    set: Option<Override>,
    rolled_back: Option<RolledBack>,
    announced: Effective,
}

impl Standing {
    /// Takes up where an earlier process left off; a roll-back under other terms and what has expired are dropped. The
    /// actions say where the unit stands.
    #[must_use]
    pub fn new(
        unit: &str,
        terms: Terms,
        set: Option<Override>,
        rolled_back: Option<RolledBack>,
        now: i64,
    ) -> (Self, Vec<Action>) {
        let mut standing = Self {
            unit: unit.to_owned(),
            terms: terms.clone(),
            set,
            rolled_back,
            announced: Effective::default(),
        };
        let mut actions = standing.expire(now);
        actions.extend(standing.configure(terms));
        standing.announced = standing.effective(now);
        actions.push(Action::Effective(standing.announced));
        (standing, actions)
    }

    /// Who answers now.
    #[must_use]
    pub fn effective(&self, now: i64) -> Effective {
        let (mode, share) = match (&self.rolled_back, self.override_at(now)) {
            (_, Some(set)) => (set.mode, set.share),
            (Some(_), None) => (self.refuge(), 0.0),
            (None, None) => (self.terms.mode, self.terms.share),
        };
        let able = self.terms.able;
        let mode = match able.allows(mode) {
            Ok(()) => mode,
            Err(_) if able.only_standard => Mode::Standard,
            Err(_) => Mode::Ndh,
        };
        Effective::of(mode, share)
    }

    #[must_use]
    pub fn unit(&self) -> &str {
        &self.unit
    }

    #[must_use]
    pub const fn terms(&self) -> &Terms {
        &self.terms
    }

    /// The override that rules now.
    #[must_use]
    pub fn override_at(&self, now: i64) -> Option<&Override> {
        self.set.as_ref().filter(|set| set.expires > now)
    }

    #[must_use]
    pub const fn rolled_back(&self) -> Option<&RolledBack> {
        self.rolled_back.as_ref()
    }

    /// When [`Event::Tick`] changes something.
    #[cfg(test)]
    pub(super) fn next_tick(&self) -> Option<i64> {
        self.set.as_ref().map(|set| set.expires)
    }

    /// Takes an event.
    ///
    /// # Errors
    /// [`SetError`], of [`Event::Set`] and [`Event::Reset`] alone.
    pub fn apply(&mut self, event: Event, now: i64) -> Result<Vec<Action>, SetError> {
        let mut after = self.clone();
        let mut actions = after.expire(now);
        let more = match event {
            Event::Configured(terms) => after.configure(terms),
            Event::Set(order) => after.set(order, now)?,
            Event::Reset { reason, by } => after.reset(&reason, by)?,
            Event::Tick => Vec::new(),
            Event::Judged(lacks) => after.judged(&lacks, now),
        };
        actions.extend(more);
        *self = after;
        let effective = self.effective(now);
        if effective != self.announced {
            self.announced = effective;
            actions.push(Action::Effective(effective));
        }
        Ok(actions)
    }

    fn expire(&mut self, now: i64) -> Vec<Action> {
        let Some(set) = self.set.take_if(|set| set.expires <= now) else {
            return Vec::new();
        };
        let then = match &self.rolled_back {
            Some(_) => format!("the roll-back beneath it rules again: {}", self.refuge()),
            None => format!("the configuration rules again: {}", self.terms.effective()),
        };
        let was = Effective::of(set.mode, set.share);
        let sentence = format!("{}: the override to {was} has expired; {then}", self.unit);
        vec![audit("override_expired", sentence, Audited::because(set.reason))]
    }

    fn configure(&mut self, terms: Terms) -> Vec<Action> {
        let before = self.terms.effective();
        self.terms = terms;
        let mut actions = Vec::new();
        let after = self.terms.effective();
        if before != after {
            let sentence = format!("{}: configured {after}, before {before}", self.unit);
            actions.push(audit("mode_configured", sentence, Audited::default()));
            actions.push(Action::NewWindow);
        }
        let asked = (after.mode, after.share);
        if self
            .rolled_back
            .take_if(|rolled_back| rolled_back.configured != asked)
            .is_some()
        {
            let sentence = format!(
                "{}: the roll-back is over, the configuration has changed to {after}",
                self.unit
            );
            actions.push(audit("roll_back_lifted", sentence, Audited::default()));
            actions.push(Action::NewWindow);
        }
        let able = self.terms.able;
        if let Some(set) = self.set.take_if(|set| able.allows(set.mode).is_err()) {
            let why = able.allows(set.mode).err().unwrap_or_default();
            let sentence = format!("{}: the override to {} is dropped: {why}", self.unit, set.mode);
            actions.push(audit(
                "override_dropped",
                sentence.clone(),
                Audited::because(set.reason),
            ));
            actions.push(Action::Alarm(sentence));
        }
        actions
    }

    fn set(&mut self, order: Order, now: i64) -> Result<Vec<Action>, SetError> {
        let Order { mode, share, by, .. } = order;
        let reason = order.reason.trim().to_owned();
        let unit = &self.unit;
        if reason.is_empty() {
            return Err(SetError::NoReason);
        }
        if let Err(why) = self.terms.able.allows(mode) {
            let unit = unit.clone();
            return Err(SetError::Unable { unit, mode, why });
        }
        if share.is_some() && mode != Mode::Canary {
            return Err(SetError::ShareWithout(mode));
        }
        let wanted = Effective::of(mode, share.unwrap_or(self.terms.share));
        let share = wanted.share;
        if mode == Mode::Canary && !(share > 0.0 && share <= 1.0) {
            return Err(SetError::NoShare(unit.clone()));
        }
        if order.hold < Duration::from_secs(1) || order.hold > LONGEST {
            return Err(SetError::Hold);
        }
        let old = self
            .rolled_back
            .as_ref()
            .and_then(|rolled_back| rolled_back.reason_then.as_deref());
        if mode.lets_standard_answer() && old.is_some_and(|old| old.eq_ignore_ascii_case(&reason)) {
            let unit = unit.clone();
            return Err(SetError::OldReason { unit, reason });
        }
        let hold = i64::try_from(order.hold.as_secs()).unwrap_or(i64::MAX);
        let expires = now.saturating_add(hold);
        let sentence = format!("{unit}: set to {wanted} for {hold} s, before {}", self.effective(now));
        let about = Audited {
            mode: Some(mode),
            share: Some(share),
            reason: Some(reason.clone()),
            by: Some(by.clone()),
            expires: Some(expires),
            ..Audited::default()
        };
        let mut actions = vec![audit("override_set", sentence, about), Action::NewWindow];
        let enough = share > 0.0 && share >= self.terms.effective().share;
        if enough && self.rolled_back.take().is_some() {
            let sentence = format!("{}: the roll-back is over, an operator has set {wanted}", self.unit);
            actions.push(audit("roll_back_lifted", sentence, Audited::because(reason.clone())));
        }
        self.set = Some(Override {
            mode,
            share,
            reason,
            by,
            set: now,
            expires,
        });
        Ok(actions)
    }

    fn reset(&mut self, reason: &str, by: String) -> Result<Vec<Action>, SetError> {
        let reason = reason.trim().to_owned();
        if reason.is_empty() {
            return Err(SetError::NoReason);
        }
        let ended = match (self.set.take(), self.rolled_back.take()) {
            (Some(_), Some(_)) => "override and roll-back are",
            (Some(_), None) => "the override is",
            (None, Some(_)) => "the roll-back is",
            (None, None) => return Ok(Vec::new()),
        };
        let sentence = format!(
            "{}: {ended} ended; the configuration rules: {}",
            self.unit,
            self.terms.effective()
        );
        let about = Audited {
            by: Some(by),
            ..Audited::because(reason)
        };
        let audit = audit("reset", sentence, about);
        Ok(vec![audit, Action::NewWindow])
    }

    fn judged(&mut self, lacks: &[Lack], now: i64) -> Vec<Action> {
        let was = self.effective(now);
        if lacks.is_empty() || !was.mode.lets_standard_answer() {
            return Vec::new();
        }
        if self.terms.able.only_standard {
            let why: Vec<&str> = lacks.iter().map(|lack| lack.sentence.as_str()).collect();
            let sentence = format!(
                "{}: the gate broke and there is no NDH leg to go back to: {}",
                self.unit,
                why.join("; ")
            );
            return vec![
                audit("gate_broken", sentence.clone(), Audited::because(why.join("; "))),
                Action::Alarm(sentence),
                Action::NewWindow,
            ];
        }
        let set = self.set.take();
        let configured = self.terms.effective();
        let reasons: Vec<String> = lacks.iter().map(|lack| lack.sentence.clone()).collect();
        let why = reasons.join("; ");
        self.rolled_back = Some(RolledBack {
            at: now,
            from: was.mode,
            share: was.share,
            reasons,
            reason_then: set.map(|set| set.reason),
            configured: (configured.mode, configured.share),
        });
        let to = self.refuge();
        let sentence = format!(
            "{}: rolled back from {was} to {to} because its gate broke: {why}; it stays there until `route set` or `route \
             reset`, or until the configured mode changes",
            self.unit
        );
        let about = Audited {
            from: Some(was.mode),
            to: Some(to),
            ..Audited::because(why)
        };
        vec![
            audit("rolled_back", sentence.clone(), about),
            Action::Alarm(sentence),
            Action::NewWindow,
        ]
    }

    /// Where NDH answers; compared where possible, because that shows whether standard has recovered.
    const fn refuge(&self) -> Mode {
        if self.terms.able.allows(Mode::Shadow).is_ok() {
            Mode::Shadow
        } else {
            Mode::Ndh
        }
    }
}

const fn audit(event: &'static str, sentence: String, about: Audited) -> Action {
    Action::Audit { event, sentence, about }
}
