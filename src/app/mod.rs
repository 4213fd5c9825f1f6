//! Settings → bound listeners → run until drained; reload on the way.
//!
//! The main thread decides and the workers serve: it reads settings and identity files, publishes plans, answers
//! probes, takes signals. A bad new configuration changes nothing; the plan in force stays.

pub mod build;
mod report;
pub mod worker;

use std::ffi::OsString;
use std::io::Write as _;
use std::net::SocketAddr;
use std::path::PathBuf;
use std::process::ExitStatus;
use std::sync::Arc;
use std::sync::atomic::AtomicUsize;
use std::thread::JoinHandle;
use std::time::Duration;

use anyhow::{Context as _, bail};
use arc_swap::ArcSwap;
use rustls::ServerConfig;
use tokio::process::{Child, Command};
use tokio::signal::unix::{Signal, SignalKind, signal};
use tokio::sync::{mpsc, watch};
use tokio::time::Instant;

use crate::cert::verify::Purpose;
use crate::clock;
use crate::config::settings::{Address, GatewaySettings, Settings};
use crate::identity::store;
use crate::lifecycle::Readiness;
use crate::observe;
use crate::proxy::plan::Plan;
use crate::telemetry::access::AccessLog;
use crate::telemetry::exchange::Scribe;
use crate::telemetry::metrics::Metrics;
use crate::transport::{listen, tls};

use build::{News, Registry};
use report::Reporter;
use worker::{Ended, Front, Orders, Post};

/// How often missing identity files are looked for, and the configuration's content is compared.
const LOOK_AGAIN: Duration = Duration::from_secs(1);

/// What is to be served.
#[derive(Clone, Debug)]
pub enum Kind {
    Sidecar(Settings),
    Gateway(GatewaySettings),
}

/// Where settings come from once the process runs.
pub trait Origin {
    /// A number that changes when the text of the configuration does.
    fn fingerprint(&mut self) -> u64;
    /// Reads the settings anew.
    ///
    /// # Errors
    /// The whole list of problems, for the log.
    fn read(&mut self) -> Result<Kind, String>;
}

/// What to start.
pub struct Start {
    pub kind: Kind,
    pub origin: Box<dyn Origin>,
    /// Written once everything listens: the real addresses, as JSON.
    pub ready_file: Option<PathBuf>,
    /// To be run beside the sidecar; its end is ours.
    pub command: Option<Vec<OsString>>,
}

/// How it ended.
#[derive(Debug)]
pub enum Outcome {
    Drained,
    /// Requests were under way at the deadline.
    Late,
    /// The command ended, and the sidecar with it.
    Command(ExitStatus),
}

/// Runs until drained.
///
/// # Errors
/// What kept it from starting, or ended it.
pub fn run(start: Start) -> anyhow::Result<Outcome> {
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()
        .context("starting the runtime")?;
    let mut service = runtime.block_on(async { Service::start(start) })?;
    let outcome = runtime.block_on(service.supervise());
    service.close();
    // Name resolution may still hold a thread; it must not hold the exit.
    runtime.shutdown_background();
    outcome
}

struct Service {
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

struct Signals {
    hangup: Signal,
    usr1: Signal,
    terminate: Signal,
    interrupt: Signal,
}

impl Signals {
    fn new() -> std::io::Result<Self> {
        Ok(Self {
            hangup: signal(SignalKind::hangup())?,
            usr1: signal(SignalKind::user_defined1())?,
            terminate: signal(SignalKind::terminate())?,
            interrupt: signal(SignalKind::interrupt())?,
        })
    }
}

impl Kind {
    fn workers(&self) -> usize {
        match self {
            Self::Sidecar(settings) => settings.listen.workers,
            Self::Gateway(settings) => settings.workers,
        }
    }

    fn address(&self) -> Address {
        match self {
            Self::Sidecar(settings) => settings.listen.address.clone(),
            Self::Gateway(settings) => Address::Tcp(settings.address),
        }
    }

    fn observe(&self) -> Option<SocketAddr> {
        match self {
            Self::Sidecar(settings) => settings.observe.as_ref(),
            Self::Gateway(settings) => settings.observe.as_ref(),
        }
        .map(|observe| observe.address)
    }

    fn log(&self) -> &crate::config::settings::Log {
        match self {
            Self::Sidecar(settings) => &settings.log,
            Self::Gateway(settings) => &settings.log,
        }
    }

    fn drain_deadline(&self) -> Duration {
        match self {
            Self::Sidecar(settings) => settings.listen.drain_deadline,
            Self::Gateway(settings) => settings.drain_deadline,
        }
    }

    /// What a reload cannot change, in words; for comparison.
    fn fixed(&self) -> String {
        format!(
            "{:?} {} {:?} {:?}",
            self.address(),
            self.workers(),
            self.observe(),
            self.log()
        )
    }
}

impl Service {
    fn start(start: Start) -> anyhow::Result<Self> {
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
        let bound =
            listen::bind(&kind.address(), workers).with_context(|| format!("listening on {:?}", kind.address()))?;
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
                    let _ = report.send(worker::work(post));
                });
            threads.push(thread.context("starting a worker")?);
        }
        readiness.met("listening");
        readiness.met("configuration");

        let observing = match kind.observe() {
            None => None,
            Some(address) => {
                let bound =
                    std::net::TcpListener::bind(address).with_context(|| format!("observe: listening on {address}"))?;
                bound.set_nonblocking(true)?;
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
    async fn supervise(&mut self) -> anyhow::Result<Outcome> {
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
                    if forward_signal(child.as_ref(), SIGTERM) { continue }
                    break;
                }
                _ = self.signals.interrupt.recv() => {
                    if forward_signal(child.as_ref(), SIGINT) { continue }
                    break;
                }
                _ = tick.tick() => self.look_again(),
                ended = self.ended.recv() => {
                    let error = ended.and_then(Result::err);
                    bail!("a worker ended before it was told to: {error:?}");
                }
                ended = wait(child.as_mut()), if child.is_some() => {
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
    fn close(self) {
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
        } else if self.registry.is_waiting() {
            match make_plan(&mut self.registry, &self.kind, &self.reporter) {
                // Also while another upstream still waits: what has arrived is used, and why the rest is refused may
                // have changed.
                Ok(plan) => self.orders.send_modify(|orders| orders.plan = Arc::new(plan)),
                Err(error) => tracing::error!(%error, "the plan in force stays"),
            }
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
        let (program, arguments) = command.split_first().context("`run --` needs a command")?;
        Command::new(program)
            .args(arguments)
            .kill_on_drop(true)
            .spawn()
            .with_context(|| format!("starting {}", program.to_string_lossy()))
    }
}

const SIGTERM: i32 = 15;
const SIGINT: i32 = 2;

/// Passes a signal on to the command; its end will then be ours.
fn forward_signal(child: Option<&Child>, number: i32) -> bool {
    let Some(pid) = child
        .and_then(Child::id)
        .and_then(|pid| i32::try_from(pid).ok())
        .and_then(rustix::process::Pid::from_raw)
    else {
        return false;
    };
    let signal = if number == SIGINT {
        rustix::process::Signal::INT
    } else {
        rustix::process::Signal::TERM
    };
    rustix::process::kill_process(pid, signal).is_ok()
}

async fn wait(child: Option<&mut Child>) -> std::io::Result<ExitStatus> {
    match child {
        Some(child) => child.wait().await,
        None => std::future::pending().await,
    }
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
    let pair = store::pair(&settings.certificate, &settings.private_key, Purpose::Server, &[], now)?;
    let anchors = store::anchors(&settings.client_ca)?;
    reporter.own_certificate(&pair, &anchors);
    Ok(Arc::new(tls::server_config(&pair.bundle, &anchors, settings.tls_min)?))
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
