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
use arc_swap::ArcSwap;
use rustls::ServerConfig;
use tokio::process::Child;
use tokio::sync::{mpsc, watch};
use tokio::time::Instant;

use crate::cert::Trusted;
use crate::cert::verify::Purpose;
use crate::clock;
use crate::config::settings::GatewaySettings;
use crate::identity::store;
use crate::lifecycle::Readiness;
use crate::observe;
use crate::proxy::plan::Plan;
use crate::telemetry::access::AccessLog;
use crate::telemetry::exchange::Scribe;
use crate::telemetry::metrics::Metrics;
use crate::transport::{listen, tls};

use super::build::{News, Registry};
use super::command::{self, Signals};
use super::report::Reporter;
use super::worker::{self, Ended, Front, Orders, Post};
use super::{Kind, Origin, Outcome, Start};

/// How often missing identity files are looked for, and the configuration's content is compared.
const LOOK_AGAIN: Duration = Duration::from_secs(1);

/// What the main thread holds.
pub(super) struct Service {
    kind: Kind,
    origin: Box<dyn Origin>,
    fingerprint: u64,
    registry: Registry,
    readiness: Readiness,
    reporter: Reporter,
    orders: watch::Sender<Orders>,
    gateway_tls: Option<Arc<ArcSwap<ServerConfig>>>,
    workers: Vec<JoinHandle<()>>,
    ended: mpsc::UnboundedReceiver<std::io::Result<Ended>>,
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
        let reporter = Reporter::new(metrics.clone(), readiness.clone());
        let bound = listen::bind(&kind.address(), workers).with_context(|| in_use(&kind.address()))?;
        // Before anything is taken into use: a start that cannot succeed leaves no trace.
        let observe = kind.observe().map(observe_socket).transpose()?;
        let listening = bound.first().map(listen::Bound::address).unwrap_or_default();

        let mut registry = Registry::new(metrics.clone());
        let plan = Arc::new(make_plan(&mut registry, &kind, &reporter)?);
        let (front, gateway_tls) = match &kind {
            Kind::Sidecar(_) => (Front::Local, None),
            Kind::Gateway(settings) => {
                let config = Arc::new(ArcSwap::from(gateway_config(settings, &reporter)?));
                (
                    Front::Gateway {
                        tls: config.clone(),
                        handshake: settings.handshake,
                    },
                    Some(config),
                )
            }
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
        Ok(Self {
            kind,
            origin,
            fingerprint,
            registry,
            readiness,
            reporter,
            orders,
            gateway_tls,
            workers: threads,
            ended,
            access,
            command,
            signals,
        })
    }

    /// Takes what happens until the workers have drained.
    pub(super) async fn supervise(&mut self) -> anyhow::Result<Outcome> {
        let mut child = match self.command.take() {
            Some(command) => Some(self.launch(command).await?),
            None => None,
        };
        let mut tick = tokio::time::interval(LOOK_AGAIN);
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
                _ = tick.tick() => self.look_again(),
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
                Some(Ok(Ended::Drained)) => {}
                Some(Ok(Ended::Late)) | None => clean = false,
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
        let now = clock::unix_seconds();
        let waiting = self.registry.waiting(now);
        if waiting == 0 {
            return;
        }
        match make_plan(&mut self.registry, &self.kind, &self.reporter) {
            // Files came for one of them, or for all.
            Ok(plan) if self.registry.waiting(now) < waiting => {
                self.orders.send_modify(|orders| orders.plan = Arc::new(plan));
            }
            Ok(_) => {}
            Err(error) => tracing::error!(%error, "the plan in force stays"),
        }
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
        let config = match &kind {
            Kind::Gateway(settings) => Some(gateway_config(settings, &self.reporter)?),
            Kind::Sidecar(_) => None,
        };
        let plan = make_plan(&mut self.registry, &kind, &self.reporter)?;
        if let (Some(config), Some(tls)) = (config, &self.gateway_tls) {
            tls.store(config);
        }
        self.kind = kind;
        self.orders.send_modify(|orders| orders.plan = Arc::new(plan));
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

/// Makes the plan and says what came of reading the identity files.
fn make_plan(registry: &mut Registry, kind: &Kind, reporter: &Reporter) -> anyhow::Result<Plan> {
    let mut news: Vec<News> = Vec::new();
    let now = clock::unix_seconds();
    let plan = match kind {
        Kind::Sidecar(settings) => registry.sidecar(settings, now, &mut news)?,
        Kind::Gateway(settings) => registry.gateway(settings, now, &mut news)?,
    };
    reporter.news(&news, &plan);
    Ok(plan)
}

/// Reads what the gateway shows and whom it trusts.
fn gateway_config(settings: &GatewaySettings, reporter: &Reporter) -> anyhow::Result<Arc<ServerConfig>> {
    let now = clock::unix_seconds();
    let pair = store::pair(&settings.material, Purpose::Server, &[], now)?;
    let anchors = store::anchors(&settings.client_ca)?;
    reporter.own_certificate(&pair, &anchors);
    Ok(Arc::new(tls::server_config(
        &pair.bundle,
        &Trusted::anchors(anchors),
        settings.tls_min,
    )?))
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
