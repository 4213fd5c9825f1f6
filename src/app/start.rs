//! From settings to a service: what can fail fails before anything is taken into use.

use std::io::Write as _;
use std::net::SocketAddr;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::Arc;
use std::sync::atomic::AtomicUsize;

use anyhow::Context as _;
use tokio::sync::{Notify, mpsc, watch};

use crate::clock;
use crate::control;
use crate::identity::watch::Watch;
use crate::lifecycle::Readiness;
use crate::observe;
use crate::telemetry::access::AccessLog;
use crate::telemetry::exchange::Scribe;
use crate::telemetry::metrics::Metrics;
use crate::token::Tokens;
use crate::transport::listen;

use super::build::Registry;
use super::command::Signals;
use super::identities::Identities;
use super::report::Reporter;
use super::service::Service;
use super::switching::begin_tokens;
use super::trials::Trials;
use super::units::Units;
use super::wishes::Wishes;
use super::worker::{self, Front, Orders, Post};
use super::{Kind, Start, terms};

impl Service {
    /// Binds, reads, starts the workers.
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
        let control = kind.control().map(control::bind).transpose()?;
        let listening = bound.first().map(listen::Bound::address).unwrap_or_default();

        let tokens = Tokens::new(metrics.clone());
        let mut registry = Registry::new(metrics.clone(), tokens.clone(), seed());
        let mut identities = Identities::new(metrics.clone());
        let (units, did) = Units::begin(kind.settings(), clock::unix_seconds())?;
        // A plan that cannot be made must not have taken anything into use.
        registry.plan(&kind, &identities, &units)?;
        let happened = identities.apply(terms::wanted(&kind));
        let jobs = kind.settings().and_then(|settings| registry.open_aside(settings));
        let plan = Arc::new(registry.plan(&kind, &identities, &units)?);
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
        if let Some(settings) = kind.settings() {
            begin_tokens(&tokens, settings, orders.subscribe());
        }
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
        let asked = control.map(|listener| {
            let (commands, asked) = mpsc::channel(16);
            tokio::spawn(control::serve(listener, commands));
            asked
        });
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
            units,
            watch: Watch::start(changed.clone()),
            changed,
            trials: Trials::new(),
            wishes: Wishes::new(asked),
            workers: threads,
            ended,
            access,
            command,
            signals,
        };
        service.watch.follow(service.identities.directories());
        service.trials.begin(happened, &service.kind, &plan);
        service.compare_aside(jobs)?;
        service.switched(did);
        Ok(service)
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

/// Written beside and renamed: whoever sees the file sees all of it.
pub(super) fn write_whole(path: &std::path::Path, text: &str) -> std::io::Result<()> {
    let beside = path.with_extension("part");
    let mut file = std::fs::File::create(&beside)?;
    file.write_all(text.as_bytes())?;
    std::fs::rename(&beside, path)
}

/// A start for numbers that need not be secret.
pub(super) fn seed() -> u64 {
    use std::hash::{BuildHasher, Hasher};
    std::collections::hash_map::RandomState::new().build_hasher().finish() ^ u64::from(clock::wall().subsec_nanos())
}
