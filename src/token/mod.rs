//! Tokens for the legs that need one: fetched ahead, once for all who wait, never sent when expired.
//!
//! Workers look a token up ([`Tokens::bearer`], at once) and else wait for it ([`Tokens::fetch`]); the fetches themselves run as
//! tasks of the keeper ([`Tokens::keep`]) on the main thread's runtime, so that a caller who leaves cancels nothing. What
//! is decided is pure and lies in `slot` (one token), `gate` (when to ask again), `pairs` (which client), `life`, `reply` and
//! `request`; `entry` brings it together for one `[token.NAME]`, `ask` makes the request. Tokens live in memory only.

mod ask;
mod entry;
mod files;
mod flight;
mod gate;
mod keep;
mod life;
pub mod once;
mod pairs;
mod reply;
mod request;
mod slot;
#[cfg(test)]
mod tests;
mod users;

use std::collections::BTreeMap;
use std::fmt;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};

use arc_swap::{ArcSwap, ArcSwapOption};
use tokio::sync::{Mutex, Notify, mpsc};
use tokio::time::Instant;

use crate::config::settings;
use crate::fault::{Code, Fault};
use crate::identity::Generation;
use crate::secret::SecretBytes;
use crate::telemetry::metrics::Metrics;
use crate::transport::dial::Endpoint;
use entry::Entry;
use flight::Order;
pub use gate::{Kind, Trouble};
use life::Life;

/// All tokens of the process; shared by its threads.
pub struct Tokens {
    entries: ArcSwap<BTreeMap<String, Arc<Entry>>>,
    orders: mpsc::UnboundedSender<Order>,
    taken: Mutex<mpsc::UnboundedReceiver<Order>>,
    /// Rung when the entries are others.
    changed: Notify,
    places: ArcSwapOption<Places>,
    metrics: Arc<Metrics>,
    /// Numbers of fetches and of tokens.
    numbers: AtomicU64,
}

type Places = Box<dyn Fn(&str) -> Result<Place, Fault> + Send + Sync>;

/// Where an upstream is, and what it is shown at this moment.
#[derive(Clone, Debug)]
pub struct Place {
    pub endpoint: Endpoint,
    /// The value of `host`.
    pub host: String,
    /// As `Upstream::base_path`.
    pub base_path: String,
    pub generation: Arc<Generation>,
}

/// A token, ready to be sent. It does not print and is wiped when the last one who holds it lets go.
pub struct Bearer {
    value: SecretBytes,
    serial: u64,
    life: Life,
    /// The API has taken it.
    worked: AtomicBool,
}

impl Bearer {
    /// The API has taken it: a refusal from now on means that something has changed there.
    pub fn worked(&self) {
        self.worked.store(true, Ordering::Relaxed);
    }

    fn has_worked(&self) -> bool {
        self.worked.load(Ordering::Relaxed)
    }

    /// The value of `authorization`: `Bearer …`. Whoever calls this answers for where it goes.
    #[must_use]
    pub fn header_value(&self) -> &[u8] {
        self.value.expose()
    }
}

impl fmt::Debug for Bearer {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Bearer")
            .field("serial", &self.serial)
            .finish_non_exhaustive()
    }
}

impl Tokens {
    /// No token is configured yet: [`Self::apply`] says which there are, [`Self::keep`] fetches them.
    #[must_use]
    pub fn new(metrics: Arc<Metrics>) -> Arc<Self> {
        let (orders, taken) = mpsc::unbounded_channel();
        Arc::new(Self {
            entries: ArcSwap::default(),
            orders,
            taken: Mutex::new(taken),
            changed: Notify::new(),
            places: ArcSwapOption::empty(),
            metrics,
            numbers: AtomicU64::new(1),
        })
    }

    /// These are the tokens from now on. Those whose settings are as they were stay; others begin anew.
    pub fn apply(&self, wanted: &BTreeMap<String, settings::Token>) {
        let before = self.entries.load();
        let entry = |(name, settings): (&String, &settings::Token)| {
            let kept = before.get(name).filter(|entry| entry.is_of(settings)).cloned();
            let entry = kept.unwrap_or_else(|| Arc::new(Entry::new(name, settings, self.metrics.clone())));
            (name.clone(), entry)
        };
        let entries: BTreeMap<_, _> = wanted.iter().map(entry).collect();
        for name in before.keys().filter(|name| !entries.contains_key(*name)) {
            self.metrics.token_expires(name, None);
            self.metrics.token_secret_since(name, None);
        }
        self.entries.store(Arc::new(entries));
        self.changed.notify_one();
    }

    /// Who knows where upstreams are and which generation of an identity each is shown now: for logons, which go over the
    /// same mutual TLS.
    pub fn set_places(&self, places: impl Fn(&str) -> Result<Place, Fault> + Send + Sync + 'static) {
        self.places.store(Some(Arc::new(Box::new(places))));
        self.changed.notify_one();
    }

    /// The token, at once, if it may still be sent. `username`: the value of the header that names a user, where the
    /// token has such a header.
    #[must_use]
    pub fn bearer(&self, name: &str, username: Option<&str>) -> Option<Arc<Bearer>> {
        let entries = self.entries.load();
        entries.get(name)?.bearer(username, self)
    }

    /// The token; waits for the fetch that is in flight, or for one that is sent out for it, until `deadline`.
    ///
    /// # Errors
    /// [`Code::TokenUnavailable`] when there is none and none can be had now; [`Code::Overloaded`] when too many wait for
    /// it already; [`Code::RequestMalformed`] when the user's name is none.
    pub async fn fetch(&self, name: &str, username: Option<&str>, deadline: Instant) -> Result<Arc<Bearer>, Fault> {
        let entry = self.entry(name)?;
        entry.fetch(username, deadline, self).await
    }

    /// The API answered that this token is no longer good. It is dropped if it is still the current one.
    ///
    /// # Errors
    /// [`Code::TokenRefused`]: it was fetched because of a refusal only just now, another one would be refused as well, and
    /// the request is not to be tried again.
    pub fn refused(&self, name: &str, username: Option<&str>, bearer: &Bearer) -> Result<(), Fault> {
        self.entry(name)?.refused(username, bearer)
    }

    fn entry(&self, name: &str) -> Result<Arc<Entry>, Fault> {
        self.entries.load().get(name).cloned().ok_or_else(|| {
            let sentence = format!("there is no [token.{name}] in the configuration in force");
            Fault::new(Code::TokenUnavailable, sentence)
        })
    }

    /// Where an upstream is now.
    fn place(&self, upstream: &str) -> Result<Place, Trouble> {
        match self.places.load_full() {
            Some(places) => places(upstream).map_err(ask::of_fault),
            None => {
                let sentence = format!("[upstream.{upstream}] is not in use yet");
                Err(Trouble::new(Kind::Files, sentence))
            }
        }
    }

    fn number(&self) -> u64 {
        self.numbers.fetch_add(1, Ordering::Relaxed)
    }

    /// Sends out a fetch; whoever keeps the tokens makes it.
    fn send(&self, order: Order) {
        // The receiving end is `taken`: it lives as long as this.
        let _ = self.orders.send(order);
    }
}

impl fmt::Debug for Tokens {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Tokens")
            .field("names", &self.entries.load().keys().collect::<Vec<_>>())
            .finish_non_exhaustive()
    }
}
