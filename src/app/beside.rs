//! The thread that compares beside the requests: its own runtime, its own connections, no listener.

use std::io;
use std::sync::Arc;

use tokio::runtime::{Builder, LocalOptions};
use tokio::sync::{mpsc, watch};

use super::worker::Orders;
use crate::config::settings;
use crate::proxy::aside::Job;
use crate::proxy::worker::Worker;
use crate::shadow::Shadow;
use crate::telemetry::access::AccessBuffer;
use crate::telemetry::exchange::Scribe;
use crate::telemetry::metrics::Metrics;

/// What the thread is given.
pub(super) struct Post {
    pub(super) jobs: mpsc::Receiver<Job>,
    pub(super) orders: watch::Receiver<Orders>,
    pub(super) access: AccessBuffer,
    pub(super) metrics: Arc<Metrics>,
    pub(super) bounds: settings::Shadow,
    pub(super) seed: u64,
}

/// Starts it; it ends when the main thread does.
///
/// # Errors
/// When there can be no thread.
pub(super) fn start(post: Post) -> io::Result<()> {
    std::thread::Builder::new().name("shadow".to_owned()).spawn(move || {
        if let Err(error) = work(post) {
            tracing::error!(%error, "nothing is compared any more");
        }
    })?;
    Ok(())
}

fn work(post: Post) -> io::Result<()> {
    let runtime = Builder::new_current_thread()
        .enable_all()
        .build_local(LocalOptions::default())?;
    runtime.block_on(serve(post));
    runtime.shutdown_background();
    Ok(())
}

async fn serve(post: Post) {
    let Post {
        jobs,
        mut orders,
        access,
        metrics,
        bounds,
        seed,
    } = post;
    let first = orders.borrow_and_update().clone();
    let worker = Worker::beside(first.plan, Scribe::new(0, access, metrics), seed);
    tokio::task::spawn_local(worker.clone().housekeeping());
    let shadow = Shadow::new(worker.clone(), bounds);
    tokio::task::spawn_local(shadow.work(jobs));
    // What is drained is the requests; comparisons have no claim to be finished.
    while first.drain.is_none() && orders.changed().await.is_ok() {
        let latest = orders.borrow_and_update().clone();
        if latest.drain.is_some() {
            return;
        }
        worker.adopt(latest.plan);
    }
}
