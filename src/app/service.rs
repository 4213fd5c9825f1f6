//! The main thread: starts the workers, then takes what happens (signals, changed files, late identities) until they
//! have drained. Whatever is wrong with something new, what is in force stays.

use std::ffi::OsString;
use std::io::Write as _;
use std::net::SocketAddr;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::Arc;
use std::sync::atomic::AtomicUsize;
use std::thread::JoinHandle;
use std::time::Duration;

use anyhow::{Context as _, bail};
use tokio::process::Child;
use tokio::sync::{Notify, mpsc, watch};
use tokio::time::Instant;

use crate::clock;
use crate::identity::Standing;
use crate::identity::lineage::News;
use crate::identity::watch::Watch;
use crate::lifecycle::Readiness;
use crate::observe;
use crate::telemetry::access::AccessLog;
use crate::telemetry::exchange::Scribe;
use crate::telemetry::metrics::Metrics;
use crate::transport::listen;

use super::build::Registry;
use super::command::{self, Signals};
use super::identities::{Happening, Identities};
use super::report::Reporter;
use super::trials::{Ended, Trials};
use super::worker::{self, Front, Orders, Post};
use super::{Kind, Origin, Outcome, Start, terms};

/// How often the content of files is compared: watches can be lost.
const LOOK_AGAIN: Duration = Duration::from_secs(1);
/// How often dates, repeated trials and receipts are looked at.
const TICK: Duration = Duration::from_millis(200);
/// After a watched directory changed: quiet for this long, then its files are read.
const QUIET: Duration = Duration::from_millis(250);

/// What the main thread holds.
pub(super) struct Service {
    kind: Kind,
    origin: Box<dyn Origin>,
    fingerprint: u64,
    registry: Registry,
    readiness: Readiness,
    reporter: Reporter,
    orders: watch::Sender<Orders>,
    identities: Identities,
    watch: Watch,
    /// Rung when a watched directory changes.
    changed: Arc<Notify>,
    trials: Trials,
    workers: Vec<JoinHandle<()>>,
    ended: mpsc::UnboundedReceiver<std::io::Result<worker::Ended>>,
    access: AccessLog,
    command: Option<Vec<OsString>>,
    signals: Signals,
}

impl Service {
    pub(super) fn start(start: Start) -> anyhow::Result<Self> {
        let Start {
            kind,
            mut origin,
            ready_file,
            command,
        } = start;
        // Taken before anybody learns that we listen: a change from then on is seen.
        let fingerprint = origin.fingerprint();
        let signals = Signals::new().context("taking signals")?;
        let workers = kind.workers();
        let metrics = Arc::new(Metrics::new(workers));
        let readiness = Readiness::new();
        let mut reporter = Reporter::new(metrics.clone(), readiness.clone());
        let bound = listen::bind(&kind.address(), workers).with_context(|| in_use(&kind.address()))?;
        // Before anything is taken into use: a start that cannot succeed leaves no trace.
        let observe = kind.observe().map(observe_socket).transpose()?;
        let listening = bound.first().map(listen::Bound::address).unwrap_or_default();

        let mut registry = Registry::new(metrics.clone());
        let mut identities = Identities::new(metrics.clone());
        // A plan that cannot be made must not have taken anything into use.
        registry.plan(&kind, &identities)?;
        let happened = identities.apply(terms::wanted(&kind));
        let plan = Arc::new(registry.plan(&kind, &identities)?);
        reporter.news(&happened, &identities);
        reporter.stand(&identities, clock::unix_seconds());
        let front = match &kind {
            Kind::Sidecar(_) => Front::Local,
            Kind::Gateway(settings) => Front::Gateway {
                handshake: settings.handshake,
            },
        };
        let access = AccessLog::start(kind.log(), std::io::stdout()).context("starting the access log")?;
        let (orders, _) = watch::channel(Orders {
            plan: plan.clone(),
            drain: None,
        });
        let (report, ended) = mpsc::unbounded_channel();
        let open = Arc::new(AtomicUsize::new(0));
        let seed = seed();
        let mut threads = Vec::new();
        for (index, bound) in bound.into_iter().enumerate() {
            let post = Post {
                bound,
                front: front.clone(),
                orders: orders.subscribe(),
                scribe: Scribe::new(index, access.buffer(), metrics.clone()),
                metrics: metrics.clone(),
                open: open.clone(),
                seed: seed.wrapping_add(index as u64 * 2),
            };
            let report = report.clone();
            let thread = std::thread::Builder::new()
                .name(format!("worker-{index}"))
                .spawn(move || {
                    // Tasks that panic are caught by the runtime; this is for the rest, so that it does not go unnoticed.
                    let ended = catch_unwind(AssertUnwindSafe(|| worker::work(post)));
                    let _ = report.send(ended.unwrap_or_else(|_| Err(std::io::Error::other("a worker panicked"))));
                });
            threads.push(thread.context("starting a worker")?);
        }
        readiness.met("listening");
        readiness.met("configuration");

        let observing = match observe {
            None => None,
            Some(bound) => {
                let listener = tokio::net::TcpListener::from_std(bound)?;
                let address = listener.local_addr()?;
                let status = reporter.status(orders.subscribe());
                let sources = observe::Sources::new(metrics.clone(), readiness.clone(), status);
                tokio::spawn(observe::serve(listener, sources));
                Some(address.to_string())
            }
        };
        tracing::info!(
            listen = %listening,
            observe = observing.as_deref().unwrap_or("-"),
            workers,
            version = env!("CARGO_PKG_VERSION"),
            "listening"
        );
        if let Some(path) = ready_file {
            let text = serde_json::json!({ "listen": listening, "observe": observing }).to_string();
            write_whole(&path, &text).with_context(|| format!("writing {}", path.display()))?;
        }
        let changed = Arc::<Notify>::default();
        let mut service = Self {
            kind,
            origin,
            fingerprint,
            registry,
            readiness,
            reporter,
            orders,
            identities,
            watch: Watch::start(changed.clone()),
            changed,
            trials: Trials::new(),
            workers: threads,
            ended,
            access,
            command,
            signals,
        };
        service.watch.follow(service.identities.directories());
        service.trials.begin(happened, &service.kind, &plan);
        Ok(service)
    }

    /// Takes what happens until the workers have drained.
    pub(super) async fn supervise(&mut self) -> anyhow::Result<Outcome> {
        let mut child = match self.command.take() {
            Some(command) => Some(self.launch(command).await?),
            None => None,
        };
        let mut tick = tokio::time::interval(TICK);
        let mut looked = Instant::now();
        let (alarm, changed) = (self.identities.alarm.clone(), self.changed.clone());
        let mut settles = None;
        let mut status = None;
        loop {
            tokio::select! {
                _ = self.signals.hangup.recv() => self.reload("signal"),
                _ = self.signals.usr1.recv() => self.reload("signal"),
                _ = self.signals.terminate.recv() => {
                    if command::forward(child.as_ref(), command::TERMINATE) { continue }
                    break;
                }
                _ = self.signals.interrupt.recv() => {
                    if command::forward(child.as_ref(), command::INTERRUPT) { continue }
                    break;
                }
                _ = tick.tick() => {
                    let happened = self.identities.tick();
                    self.take(happened);
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
    }

    /// Carries out and tells what happened to certificates: publishes a plan when another one is in use.
    fn take(&mut self, happened: Vec<Happening>) {
        if happened.is_empty() {
            return;
        }
        let changed = happened.iter().any(|(_, news)| matches!(news, News::Promoted { .. }));
        if changed {
            match self.registry.plan(&self.kind, &self.identities) {
                Ok(plan) => self.orders.send_modify(|orders| orders.plan = Arc::new(plan)),
                Err(error) => tracing::error!(%error, "the plan in force stays"),
            }
        }
        self.reporter.news(&happened, &self.identities);
        self.reporter.stand(&self.identities, clock::unix_seconds());
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
            bail!("[listen] address and workers, [observe] and [log] cannot change while running: restart");
        }
        // Refused before any certificate is touched, if it is to be refused.
        self.registry.plan(&kind, &self.identities)?;
        let happened = self.identities.apply(terms::wanted(&kind));
        let plan = self.registry.plan(&kind, &self.identities)?;
        self.kind = kind;
        self.orders.send_modify(|orders| orders.plan = Arc::new(plan));
        self.watch.follow(self.identities.directories());
        self.take(happened);
        Ok(())
    }

    /// `run -- COMMAND`: starts it once the sidecar is ready.
    async fn launch(&mut self, command: Vec<OsString>) -> anyhow::Result<Child> {
        while !self.readiness.ready() {
            tokio::select! {
                () = tokio::time::sleep(LOOK_AGAIN / 10) => self.look_again(),
                _ = self.signals.terminate.recv() => bail!("told to stop before the identity was ready"),
                _ = self.signals.interrupt.recv() => bail!("told to stop before the identity was ready"),
            }
        }
        command::start(&command)
    }
}

fn in_use(address: &dyn std::fmt::Display) -> String {
    format!("listening on {address} failed; is another process there, or the address not of this machine")
}

fn observe_socket(address: SocketAddr) -> anyhow::Result<std::net::TcpListener> {
    let bound = std::net::TcpListener::bind(address).with_context(|| format!("observe: {}", in_use(&address)))?;
    bound.set_nonblocking(true)?;
    Ok(bound)
}

/// At this moment; never, when there is none.
async fn until(moment: Option<Instant>) {
    match moment {
        Some(moment) => tokio::time::sleep_until(moment).await,
        None => std::future::pending().await,
    }
}

/// Written beside and renamed: whoever sees the file sees all of it.
fn write_whole(path: &std::path::Path, text: &str) -> std::io::Result<()> {
    let beside = path.with_extension("part");
    let mut file = std::fs::File::create(&beside)?;
    file.write_all(text.as_bytes())?;
    std::fs::rename(&beside, path)
}

/// A start for numbers that need not be secret.
fn seed() -> u64 {
    use std::hash::{BuildHasher, Hasher};
    std::collections::hash_map::RandomState::new().build_hasher().finish() ^ u64::from(clock::wall().subsec_nanos())
}
