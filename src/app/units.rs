//! What switches together, with its standing: owned by the main thread. What happens to a unit comes back as [`Did`], to be
//! said and carried out.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

use anyhow::Context as _;

use super::lanes::Ledgers;
use crate::clock;
use crate::config::settings::{Route, Settings};
use crate::switch::report::{Frame, QUIET_DAYS, Report, RouteFacts, Unit};
use crate::switch::state::{Remembered, State};
use crate::switch::{
    self, Action, Effective, Event, Evidence, LastUsed, Mode, Order, Routes, SetError, Standing, Terms,
};

/// What happened to a unit, and what is to be done.
pub(super) type Did = (String, Action);

/// Every unit of the configuration in force.
#[derive(Debug, Default)]
pub(super) struct Units {
    standings: Vec<Standing>,
    /// Since when standard has answered everybody.
    standard_since: BTreeMap<String, i64>,
    /// What an earlier process has seen of NDH.
    used_before: Routes,
    known_since: i64,
    state: Option<PathBuf>,
    written: Option<String>,
    /// The last attempt to write it failed.
    failing: bool,
}

impl Units {
    /// Units of these settings, as an earlier process left them where a file says so.
    ///
    /// # Errors
    /// When the file is of another version: forgetting a roll-back would bring the standard leg back by itself.
    pub(super) fn begin(settings: Option<&Settings>, now: i64) -> anyhow::Result<(Self, Vec<Did>)> {
        let Some(settings) = settings else {
            return Ok((Self::default(), Vec::new()));
        };
        let path = settings.switch.state.clone();
        let before = match &path {
            Some(path) => read(path, now)?,
            None => State::new(now),
        };
        let mut units = Self {
            known_since: before.since,
            used_before: before.routes,
            state: path,
            ..Self::default()
        };
        let mut did = Vec::new();
        for (name, unit) in &settings.units {
            let kept = before.units.get(name).cloned().unwrap_or_default();
            let (standing, actions) = Standing::new(name, unit.terms.clone(), kept.set, kept.rolled_back, now);
            if let Some(since) = kept.standard_since {
                units.standard_since.insert(name.clone(), since);
            }
            units.standings.push(standing);
            did.extend(actions.into_iter().map(|action| (name.clone(), action)));
        }
        units.note_standard(now);
        Ok((units, did))
    }

    /// Takes in new settings: a unit that goes on under its name keeps its override and its roll-back.
    pub(super) fn configure(&mut self, settings: &Settings, now: i64) -> Vec<Did> {
        let mut did = Vec::new();
        let mut before = std::mem::take(&mut self.standings);
        for (name, unit) in &settings.units {
            let known = before.iter().position(|standing| standing.unit() == name);
            let (standing, actions) = match known {
                Some(at) => {
                    let mut standing = before.swap_remove(at);
                    let actions = standing.apply(Event::Configured(unit.terms.clone()), now);
                    (standing, actions.unwrap_or_default())
                }
                None => Standing::new(name, unit.terms.clone(), None, None, now),
            };
            self.standings.push(standing);
            did.extend(actions.into_iter().map(|action| (name.clone(), action)));
        }
        self.note_standard(now);
        did
    }

    /// Time has passed: overrides expire, and gates are looked at.
    pub(super) fn tick(&mut self, settings: &Settings, ledgers: &Ledgers, now: i64) -> Vec<Did> {
        let moment = clock::monotonic();
        let mut did = Vec::new();
        for standing in &mut self.standings {
            let name = standing.unit().to_owned();
            let mode = standing.effective(now).mode;
            let mut events = vec![Event::Tick];
            if mode.lets_standard_answer() {
                let evidence = evidence(&name, settings, ledgers);
                if let Some(lacks) = switch::breach(standing.terms(), mode, &evidence, moment) {
                    events.push(Event::Judged(lacks));
                }
            }
            for event in events {
                let actions = standing.apply(event, now).unwrap_or_default();
                did.extend(actions.into_iter().map(|action| (name.clone(), action)));
            }
        }
        self.note_standard(now);
        did
    }

    /// An operator sets a mode.
    ///
    /// # Errors
    /// `None`: there is no such unit. [`SetError`]: nothing has changed.
    pub(super) fn set(&mut self, unit: &str, order: Order, now: i64) -> Result<Vec<Did>, Option<SetError>> {
        self.apply(unit, Event::Set(order), now)
    }

    /// An operator ends override and roll-back.
    ///
    /// # Errors
    /// As [`Self::set`].
    pub(super) fn reset(
        &mut self,
        unit: &str,
        reason: String,
        by: String,
        now: i64,
    ) -> Result<Vec<Did>, Option<SetError>> {
        self.apply(unit, Event::Reset { reason, by }, now)
    }

    fn apply(&mut self, unit: &str, event: Event, now: i64) -> Result<Vec<Did>, Option<SetError>> {
        let standing = self.standings.iter_mut().find(|standing| standing.unit() == unit);
        let actions = standing.ok_or(None)?.apply(event, now).map_err(Some)?;
        self.note_standard(now);
        Ok(actions.into_iter().map(|action| (unit.to_owned(), action)).collect())
    }

    /// Where a unit stands and what it is configured to be.
    pub(super) fn of(&self, unit: &str) -> (Effective, Terms) {
        let now = clock::unix_seconds();
        self.standings
            .iter()
            .find(|standing| standing.unit() == unit)
            .map_or_else(Default::default, |standing| {
                (standing.effective(now), standing.terms().clone())
            })
    }

    /// Everything there is to say.
    pub(super) fn report(&self, settings: &Settings, ledgers: &Ledgers, now: i64) -> Report {
        let frame = Frame {
            now,
            known_since: self.known_since,
            quiet_days: QUIET_DAYS,
        };
        let unit = |standing: &Standing| {
            let routes: Vec<&Route> = of_unit(settings, standing.unit()).collect();
            let evidences: Vec<Evidence> = routes.iter().map(|route| of_route(ledgers, &route.name)).collect();
            let facts: Vec<RouteFacts<'_>> = routes
                .iter()
                .zip(&evidences)
                .map(|(route, evidence)| RouteFacts {
                    route: &route.name,
                    comparable: route.comparison.is_some()
                        && ["GET", "HEAD"].iter().any(|safe| route.methods.accepts(safe)),
                    evidence,
                    last_used: self.last_used(ledgers, &route.name),
                    known: route
                        .comparison
                        .iter()
                        .flat_map(|comparison| &comparison.rules.known)
                        .map(|known| (known.name.as_str(), known.reason.as_str()))
                        .collect(),
                })
                .collect();
            let since = self.standard_since.get(standing.unit()).copied();
            Unit::new(standing, since, &facts, frame)
        };
        Report::new(now, self.standings.iter().map(unit).collect())
    }

    /// Writes what is to outlive the process, if it has changed.
    pub(super) fn save(&mut self, settings: &Settings, ledgers: &Ledgers, now: i64) {
        let Some(path) = &self.state else { return };
        let mut state = State::new(self.known_since);
        for standing in &self.standings {
            let kept = Remembered {
                set: standing.override_at(now).cloned(),
                rolled_back: standing.rolled_back().cloned(),
                standard_since: self.standard_since.get(standing.unit()).copied(),
            };
            state.units.insert(standing.unit().to_owned(), kept);
        }
        for route in &settings.routes {
            // To the hour: what is asked is how many days ago, and the file is not to be written with every request.
            let hour = |at: i64| at - at.rem_euclid(3600);
            let used = self.last_used(ledgers, &route.name);
            let used = LastUsed {
                answered: used.answered.map(hour),
                by_fallback: used.by_fallback.map(hour),
            };
            state.routes.insert(route.name.clone(), used);
        }
        let Ok(text) = state.text() else { return };
        if self.written.as_ref() == Some(&text) {
            return;
        }
        match super::start::write_whole(path, &text) {
            Ok(()) => {
                self.written = Some(text);
                if std::mem::take(&mut self.failing) {
                    tracing::info!(path = %path.display(), "the state of the switch-over is written again");
                }
            }
            // Tried again every second, and said once.
            Err(error) if !self.failing => {
                self.failing = true;
                tracing::warn!(
                    path = %path.display(),
                    %error,
                    "the state of the switch-over cannot be written: after a restart, overrides and roll-backs are forgotten"
                );
            }
            Err(_) => {}
        }
    }

    fn last_used(&self, ledgers: &Ledgers, route: &str) -> LastUsed {
        let mut used = self.used_before.get(route).copied().unwrap_or_default();
        if let Some(ledger) = ledgers.of(route) {
            used.merge(ledger.last_used());
        }
        used
    }

    fn note_standard(&mut self, now: i64) {
        for standing in &self.standings {
            if standing.effective(now).mode == Mode::Standard {
                self.standard_since.entry(standing.unit().to_owned()).or_insert(now);
            } else {
                self.standard_since.remove(standing.unit());
            }
        }
    }
}

/// What all routes of a unit have seen.
fn evidence(unit: &str, settings: &Settings, ledgers: &Ledgers) -> Evidence {
    let mut sum = Evidence::default();
    for route in of_unit(settings, unit) {
        sum.merge(&of_route(ledgers, &route.name));
    }
    sum
}

fn of_unit<'a>(settings: &'a Settings, unit: &'a str) -> impl Iterator<Item = &'a Route> {
    settings.routes.iter().filter(move |route| route.unit == unit)
}

fn of_route(ledgers: &Ledgers, route: &str) -> Evidence {
    ledgers
        .of(route)
        .map(|ledger| ledger.evidence().clone())
        .unwrap_or_default()
}

fn read(path: &Path, now: i64) -> anyhow::Result<State> {
    let text = match std::fs::read_to_string(path) {
        Ok(text) => text,
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => return Ok(State::new(now)),
        Err(error) => {
            tracing::warn!(path = %path.display(), %error, "the state of the switch-over cannot be read: it begins anew");
            return Ok(State::new(now));
        }
    };
    let (state, warning) = State::read(&text, now).with_context(|| path.display().to_string())?;
    if let Some(warning) = warning {
        tracing::warn!(path = %path.display(), "{warning}");
    }
    Ok(state)
}
