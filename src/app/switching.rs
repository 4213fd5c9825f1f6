//! What the main thread does for the switch-over: tokens, units, the comparison beside the requests.

use std::sync::Arc;

use anyhow::Context as _;
use tokio::sync::{mpsc, watch};

use super::beside;
use super::service::Service;
use super::start::seed;
use super::units::Did;
use super::worker::Orders;
use crate::clock;
use crate::config::settings::Settings;
use crate::control::{Command, Refusal, Reply};
use crate::fault::{Code, Fault};
use crate::identity::Standing;
use crate::proxy::aside::{Aside, Job};
use crate::proxy::plan::Plan;
use crate::switch::report::Report;
use crate::switch::{Action, Mode, SetError};
use crate::telemetry::metrics::Beside;
use crate::token::{Place, Tokens};

/// Tokens are fetched from now on; those that go over an upstream's own connections learn where that is. Before anybody
/// serves: a request that finds its token unconfigured would fail.
pub(super) fn begin_tokens(tokens: &Arc<Tokens>, settings: &Settings, orders: watch::Receiver<Orders>) {
    tokens.apply(&settings.tokens);
    tokens.set_places(move |upstream| place(&orders.borrow().plan, upstream));
    tokio::spawn(tokens.clone().keep());
}

impl Service {
    /// The thread that compares, once there is something to compare.
    ///
    /// # Errors
    /// When there can be no thread.
    pub(super) fn compare_aside(&self, jobs: Option<mpsc::Receiver<Job>>) -> anyhow::Result<()> {
        let (Some(jobs), Some(settings)) = (jobs, self.kind.settings()) else {
            return Ok(());
        };
        beside::start(beside::Post {
            jobs,
            orders: self.orders.subscribe(),
            access: self.access.buffer(),
            metrics: self.registry.metrics.clone(),
            bounds: settings.switch.shadow.clone(),
            seed: seed(),
        })
        .context("starting the thread that compares")
    }

    /// Time has passed for overrides and gates.
    pub(super) fn tick_units(&mut self) {
        let Some(settings) = self.kind.settings() else { return };
        let did = self.units.tick(settings, &self.registry.ledgers, clock::unix_seconds());
        self.switched(did);
    }

    /// What is to outlive the process, and what is shown of the switch-over.
    pub(super) fn keep_units(&mut self) {
        let Some(settings) = self.kind.settings() else { return };
        let now = clock::unix_seconds();
        self.units.save(settings, &self.registry.ledgers, now);
        let report = self.units.report(settings, &self.registry.ledgers, now);
        self.registry.metrics.switch(report);
        let load = self.orders.borrow().plan.aside.as_ref().map(Aside::load);
        let bounded = |number: usize| u64::try_from(number).unwrap_or(u64::MAX);
        self.registry.metrics.beside(load.map(|(queued, bytes)| Beside {
            queued: bounded(queued),
            bytes: bounded(bytes),
        }));
        self.count_evidence();
    }

    /// What routes have seen goes into the counters: once a second, and before evidence begins anew.
    pub(super) fn count_evidence(&self) {
        let Some(settings) = self.kind.settings() else { return };
        for route in &settings.routes {
            if let Some(ledger) = self.registry.ledgers.of(&route.name) {
                // A copy: whoever serves waits for the lock.
                let evidence = ledger.evidence().clone();
                let (metrics, template) = (&self.registry.metrics, route.template.as_str());
                metrics.seen(&route.unit, &route.name, template, &evidence);
            }
        }
    }

    /// Says and carries out what happened to units: another leg answers from the next request on.
    pub(super) fn switched(&mut self, did: Vec<Did>) {
        if did.is_empty() {
            return;
        }
        let mut replan = false;
        for (unit, action) in did {
            match action {
                Action::Effective(effective) => {
                    replan = true;
                    tracing::info!(audit = true, unit, now = %effective, "who answers");
                }
                Action::NewWindow => self.begin_window(&unit),
                Action::Audit { event, sentence, about } => {
                    tracing::info!(
                        audit = true,
                        unit,
                        event,
                        mode = about.mode.map(Mode::as_str),
                        share = about.share,
                        from = about.from.map(Mode::as_str),
                        to = about.to.map(Mode::as_str),
                        reason = about.reason,
                        by = about.by,
                        expires = about.expires,
                        "{sentence}"
                    );
                    self.registry.metrics.switched(&unit, event);
                }
                Action::Alarm(sentence) => {
                    tracing::error!(audit = true, unit, "{sentence}");
                }
            }
        }
        if replan {
            match self.registry.plan(&self.kind, &self.identities, &self.units) {
                Ok(plan) => self.orders.send_modify(|orders| orders.plan = Arc::new(plan)),
                Err(error) => tracing::error!(%error, "the plan in force stays"),
            }
        }
        self.keep_units();
    }

    fn begin_window(&self, unit: &str) {
        let Some(settings) = self.kind.settings() else { return };
        for route in settings.routes.iter().filter(|route| route.unit == unit) {
            if let Some(ledger) = self.registry.ledgers.of(&route.name) {
                ledger.evidence().window.clear();
            }
        }
    }

    /// Does what an operator asks about routes.
    ///
    /// # Errors
    /// [`Refusal`]: nothing has changed.
    pub(super) fn carry_out_route(&mut self, command: Command) -> Result<Reply, Refusal> {
        let now = clock::unix_seconds();
        let Some(settings) = self.kind.settings() else {
            return Err(Refusal::new(
                404,
                "no_routes",
                "a gateway has no routes that could be switched",
            ));
        };
        let ledgers = &self.registry.ledgers;
        match command {
            Command::SetRoute { unit, order } => {
                let mode = order.mode;
                let did = self.units.set(&unit, order, now);
                self.answer_route(&unit, did, Some(mode))
            }
            Command::ResetRoute(reset) => {
                let did = self.units.reset(&reset.unit, reset.reason, reset.by.clone(), now);
                if did.is_ok() && reset.evidence {
                    self.count_evidence();
                    for route in settings.routes.iter().filter(|route| route.unit == reset.unit) {
                        ledgers.begin_anew(&route.name, settings);
                    }
                    tracing::info!(
                        audit = true,
                        unit = reset.unit,
                        by = reset.by,
                        "the evidence begins anew"
                    );
                }
                self.answer_route(&reset.unit, did, None)
            }
            _ => Ok(Reply::Routes(self.units.report(settings, ledgers, now))),
        }
    }

    fn answer_route(
        &mut self,
        unit: &str,
        did: Result<Vec<Did>, Option<SetError>>,
        set: Option<Mode>,
    ) -> Result<Reply, Refusal> {
        match did {
            Ok(did) => {
                self.switched(did);
                let (effective, _) = self.units.of(unit);
                let against = set.and_then(|mode| self.against(unit, mode)).unwrap_or_default();
                Ok(Reply::Done(format!("{unit}: {effective}{against}")))
            }
            Err(Some(error)) => Err(Refusal::new(409, error.code(), error.to_string())),
            Err(None) => {
                let sentence = self.reported().unwrap_or_default().unknown(unit);
                Err(Refusal::new(404, "unknown_unit", sentence))
            }
        }
    }

    /// An operator may go where the evidence does not lead; it is said, and stands in the audit line.
    fn against(&self, unit: &str, mode: Mode) -> Option<String> {
        if !mode.lets_standard_answer() {
            return None;
        }
        let (_, terms) = self.units.of(unit);
        let report = self.reported()?;
        let decision = report.units.iter().find(|one| one.unit == unit)?.supports(&terms, mode);
        let lacks: Vec<&str> = decision.lacks.iter().map(|lack| lack.sentence.as_str()).collect();
        (!decision.go).then(|| format!("; the gate says NO-GO for {mode}: {}", lacks.join("; ")))
    }

    fn reported(&self) -> Option<Report> {
        let settings = self.kind.settings()?;
        Some(
            self.units
                .report(settings, &self.registry.ledgers, clock::unix_seconds()),
        )
    }
}

/// Where an upstream is, and what it is shown at this moment.
fn place(plan: &Plan, upstream: &str) -> Result<Place, Fault> {
    let found = plan.targets.iter().find(|target| target.name == upstream);
    let Some(target) = found else {
        let sentence = format!("there is no upstream {upstream} in the configuration in force");
        return Err(Fault::new(Code::TokenUnavailable, sentence));
    };
    match &target.standing {
        Standing::Ready(generation) => Ok(Place {
            endpoint: target.endpoint.clone(),
            host: String::from_utf8_lossy(&target.host).into_owned(),
            base_path: target.base_path.clone(),
            generation: generation.clone(),
        }),
        Standing::Absent(fault) => Err(fault.clone()),
    }
}
