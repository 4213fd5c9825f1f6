//! The main thread: starts the workers, then takes what happens (signals, changed files, late identities) until they
//! have drained. Whatever is wrong with something new, what is in force stays.

use std::ffi::OsString;
use std::sync::Arc;
use std::thread::JoinHandle;
use std::time::Duration;

use anyhow::{Context as _, bail};
use tokio::process::Child;
use tokio::sync::{Notify, mpsc, watch};
use tokio::time::Instant;

use crate::clock;
use crate::control::{Asked, Command, Reply, Which};
use crate::identity::Standing;
use crate::identity::lineage::News;
use crate::identity::watch::Watch;
use crate::lifecycle::Readiness;
use crate::telemetry::access::AccessLog;

use super::build::Registry;
use super::command::{self, Signals};
use super::identities::{Happening, Identities};
use super::report::Reporter;
use super::trials::{Ended, Trials};
use super::units::Units;
use super::wishes::{self, Wishes};
use super::worker::{self, Orders};
use super::{Kind, Origin, Outcome, terms};

/// How often the content of files is compared: watches can be lost.
const LOOK_AGAIN: Duration = Duration::from_secs(1);
/// How often dates, repeated trials and receipts are looked at.
const TICK: Duration = Duration::from_millis(200);
/// After a watched directory changed: quiet for this long, then its files are read.
const QUIET: Duration = Duration::from_millis(250);

/// What the main thread holds.
pub(super) struct Service {
    pub(super) kind: Kind,
    pub(super) origin: Box<dyn Origin>,
    pub(super) fingerprint: u64,
    pub(super) registry: Registry,
    pub(super) readiness: Readiness,
    pub(super) reporter: Reporter,
    pub(super) orders: watch::Sender<Orders>,
    pub(super) identities: Identities,
    pub(super) units: Units,
    pub(super) watch: Watch,
    /// Rung when a watched directory changes.
    pub(super) changed: Arc<Notify>,
    pub(super) trials: Trials,
    pub(super) wishes: Wishes,
    pub(super) workers: Vec<JoinHandle<()>>,
    pub(super) ended: mpsc::UnboundedReceiver<std::io::Result<worker::Ended>>,
    pub(super) access: AccessLog,
    pub(super) command: Option<Vec<OsString>>,
    pub(super) signals: Signals,
}

impl Service {
    /// Takes what happens until the workers have drained.
    pub(super) async fn supervise(&mut self) -> anyhow::Result<Outcome> {
        let mut child = None;
        let mut tick = tokio::time::interval(TICK);
        let mut looked = Instant::now();
        let (alarm, changed) = (self.identities.alarm.clone(), self.changed.clone());
        let mut settles = None;
        let mut status = None;
        loop {
            tokio::select! {
                _ = self.signals.hangup.recv() => self.reload_and_reconsider(),
                _ = self.signals.usr1.recv() => self.reload_and_reconsider(),
                _ = self.signals.terminate.recv() => if self.leaves(child.as_ref(), command::TERMINATE)? { break },
                _ = self.signals.interrupt.recv() => if self.leaves(child.as_ref(), command::INTERRUPT)? { break },
                _ = tick.tick() => {
                    if self.readiness.ready() && let Some(command) = self.command.take() {
                        child = Some(command::start(&command)?);
                    }
                    let happened = self.identities.tick();
                    self.take(happened);
                    self.tick_units();
                    if looked.elapsed() >= LOOK_AGAIN {
                        looked = Instant::now();
                        self.look_again();
                    }
                }
                () = changed.notified() => settles = Some(Instant::now() + QUIET),
                () = until(settles) => {
                    settles = None;
                    let happened = self.identities.look();
                    self.take(happened);
                }
                () = alarm.notified() => {
                    let happened = self.identities.alarmed();
                    self.take(happened);
                }
                Some(ended) = self.trials.ended() => self.tried(&ended),
                Some(asked) = self.wishes.next() => {
                    if self.carry_out(asked) && self.leaves(child.as_ref(), command::TERMINATE)? { break }
                }
                ended = self.ended.recv() => {
                    let error = ended.and_then(Result::err);
                    bail!("a worker ended before it was told to: {error:?}");
                }
                ended = command::wait(child.as_mut()), if child.is_some() => {
                    status = Some(ended.context("waiting for the command")?);
                    break;
                }
            }
        }
        let drained = self.drain().await;
        Ok(match status {
            Some(status) => Outcome::Command(status),
            None if drained => Outcome::Drained,
            None => Outcome::Late,
        })
    }

    async fn drain(&mut self) -> bool {
        let deadline = Instant::now() + self.kind.drain_deadline();
        self.readiness.drain();
        self.wishes.close();
        tracing::info!(
            deadline_s = self.kind.drain_deadline().as_secs(),
            "draining: still accepting until the application has left"
        );
        self.orders.send_modify(|orders| orders.drain = Some(deadline));
        let mut clean = true;
        for _ in 0..self.workers.len() {
            match self.ended.recv().await {
                Some(Ok(worker::Ended::Drained)) => {}
                Some(Ok(worker::Ended::Late)) | None => clean = false,
                Some(Err(error)) => {
                    tracing::error!(%error, "a worker failed while draining");
                    clean = false;
                }
            }
        }
        if clean {
            tracing::info!("drained");
        } else {
            tracing::warn!("not drained in time: requests were still under way at the deadline");
        }
        clean
    }

    /// Ends what outlives the runtime.
    pub(super) fn close(self) {
        let Self {
            orders,
            workers,
            access,
            ..
        } = self;
        // Workers that were not told to drain end once nobody is left who could tell them.
        drop(orders);
        for thread in workers {
            let _ = thread.join();
        }
        access.close();
    }

    fn look_again(&mut self) {
        let latest = self.origin.fingerprint();
        if latest != self.fingerprint {
            self.fingerprint = latest;
            self.reload("file");
            return;
        }
        self.watch.follow(self.identities.directories());
        let happened = self.identities.look();
        self.take(happened);
        self.reporter.stand(&self.identities, clock::unix_seconds());
        self.keep_units();
    }

    /// Carries out and tells what happened to certificates: publishes a plan when another one is in use.
    fn take(&mut self, happened: Vec<Happening>) {
        if happened.is_empty() {
            return;
        }
        let changed = happened.iter().any(|(_, news)| matches!(news, News::Promoted { .. }));
        if changed {
            match self.registry.plan(&self.kind, &self.identities, &self.units) {
                Ok(plan) => self.orders.send_modify(|orders| orders.plan = Arc::new(plan)),
                Err(error) => tracing::error!(%error, "the plan in force stays"),
            }
        }
        self.reporter.news(&happened, &self.identities);
        self.reporter.stand(&self.identities, clock::unix_seconds());
        self.wishes.hear(&happened);
        let plan = self.orders.borrow().plan.clone();
        self.trials.begin(happened, &self.kind, &plan);
    }

    fn tried(&mut self, ended: &Ended) {
        let Ended {
            upstream,
            number,
            trial,
        } = ended;
        if let (Standing::Ready(generation), false) =
            (self.identities.standing(upstream), trial.server_chain.is_empty())
        {
            generation.saw(&trial.server_chain);
        }
        let happened = self.identities.tried(upstream, *number, &trial.verdict);
        self.take(happened);
    }

    /// Does what an operator asks; `true` when that is to end.
    fn carry_out(&mut self, asked: Asked) -> bool {
        let Asked { command, reply, .. } = asked;
        if let Command::Routes | Command::SetRoute { .. } | Command::ResetRoute(_) = command {
            let _ = reply.send(self.carry_out_route(command));
            return false;
        }
        let (Command::Stage(which) | Command::Promote(which) | Command::RollBack(which, _)) = &command else {
            let said = match command {
                Command::Status => Reply::Report(self.identities.report()),
                Command::Shutdown => Reply::Done("draining".to_owned()),
                _ => Reply::Ready {
                    ready: self.readiness.ready(),
                    pending: self.readiness.pending(),
                },
            };
            let ends = command == Command::Shutdown;
            let _ = reply.send(Ok(said));
            return ends;
        };
        if !self.identities.has(which) {
            let _ = reply.send(Err(wishes::unknown()));
            return false;
        }
        let happened = match command {
            Command::Promote(_) => self.wishes.promote(&mut self.identities, which, reply),
            Command::RollBack(..) => Wishes::roll_back(&mut self.identities, which, reply),
            _ => {
                let happened = self.identities.reconsider(which);
                let _ = reply.send(Ok(Reply::Done(wishes::found(&happened))));
                happened
            }
        };
        self.take(happened);
        false
    }

    /// A signal asks for what `identity stage` asks for, whether or not the configuration is fit.
    fn reload_and_reconsider(&mut self) {
        self.reload("signal");
        let happened = self.identities.reconsider(&Which::default());
        self.take(happened);
    }

    /// Reads the configuration anew: all of it comes into force, or nothing.
    fn reload(&mut self, why: &'static str) {
        let result = self.try_reload();
        match &result {
            Ok(()) => tracing::info!(audit = true, why, "configuration reloaded"),
            Err(error) => {
                tracing::error!(audit = true, why, error = %format!("{error:#}"), "the new configuration was refused; the one in force stays")
            }
        }
        self.registry.metrics.config_reloaded(result.is_ok());
    }

    fn try_reload(&mut self) -> anyhow::Result<()> {
        let kind = self.origin.read().map_err(anyhow::Error::msg)?;
        if kind.fixed() != self.kind.fixed() {
            bail!(
                "[listen] address and workers, [observe], [control], [log], [switch] state and [switch.shadow] cannot change while running: restart"
            );
        }
        // Refused before any certificate is touched, if it is to be refused.
        self.registry.plan(&kind, &self.identities, &self.units)?;
        let happened = self.identities.apply(terms::wanted(&kind));
        let mut did = Vec::new();
        let mut jobs = None;
        if let Some(settings) = kind.settings() {
            did = self.units.configure(settings, clock::unix_seconds());
            // Until the new plan is in force, requests ask for the tokens of the old one.
            let mut tokens = self.kind.settings().map(|old| old.tokens.clone()).unwrap_or_default();
            tokens.extend(settings.tokens.clone());
            self.registry.tokens.apply(&tokens);
            jobs = self.registry.open_aside(settings);
        }
        let plan = self.registry.plan(&kind, &self.identities, &self.units)?;
        self.kind = kind;
        self.orders.send_modify(|orders| orders.plan = Arc::new(plan));
        if let Some(settings) = self.kind.settings() {
            self.registry.tokens.apply(&settings.tokens);
        }
        self.watch.follow(self.identities.directories());
        self.take(happened);
        self.compare_aside(jobs)?;
        self.switched(did);
        Ok(())
    }

    /// Told to end: a command is told first, and its end is ours.
    fn leaves(&self, child: Option<&Child>, signal: rustix::process::Signal) -> anyhow::Result<bool> {
        if self.command.is_some() {
            bail!("told to stop before the identity was ready");
        }
        Ok(!command::forward(child, signal))
    }
}

/// At this moment; never, when there is none.
async fn until(moment: Option<Instant>) {
    match moment {
        Some(moment) => tokio::time::sleep_until(moment).await,
        None => std::future::pending().await,
    }
}
