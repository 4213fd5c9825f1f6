//! A generation: one client identity with the trust that goes with it, and everything TLS remembers for it.
//!
//! What is pooled belongs to a generation. Rotation publishes a new one; connections of the old one finish what they
//! carry and are closed, and no session ticket crosses, because each generation has a TLS configuration of its own.

pub mod lineage;
pub mod mounts;
pub mod preflight;
pub mod rotation;
pub mod status;
pub mod store;
pub mod watch;

use std::fmt;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Arc, Mutex, PoisonError};

use rustls::server::danger::ClientCertVerifier;
use rustls::{ClientConfig, ServerConfig};
use rustls_pki_types::{CertificateDer, UnixTime};
use tokio::sync::Notify;

use crate::cert::facts::Facts;
use crate::fault::{Code, Fault};

/// One client certificate with its key, the trust bundle, and its own TLS session cache.
pub struct Generation {
    /// Counts from 1, per upstream.
    pub number: u64,
    /// The configured name of the identity; `None` towards an upstream that asks for none.
    pub identity: Option<String>,
    /// The earliest end of validity in the chain, in Unix seconds.
    pub not_after: Option<i64>,
    /// The server may choose HTTP/2.
    pub offers_http2: bool,
    /// `None` towards an upstream in the clear.
    pub client_config: Option<Arc<ClientConfig>>,
    /// How often the other side has refused it since somebody looked.
    refusals: AtomicU64,
    /// It answered as servers do that refuse a certificate in HTTP.
    doubted: AtomicBool,
    /// Should the other side refuse it, another one takes its place at once.
    gives_way: AtomicBool,
    /// Rung when it does.
    alarm: Arc<Notify>,
    /// The other side's chain, as it was last sent.
    server: Mutex<Vec<CertificateDer<'static>>>,
}

impl Generation {
    /// A generation that speaks TLS with this configuration.
    #[must_use]
    pub fn new(
        number: u64,
        identity: Option<String>,
        not_after: Option<i64>,
        config: ClientConfig,
        alarm: Arc<Notify>,
    ) -> Self {
        Self {
            number,
            identity,
            not_after,
            offers_http2: config.alpn_protocols.iter().any(|protocol| protocol == b"h2"),
            client_config: Some(Arc::new(config)),
            refusals: AtomicU64::new(0),
            doubted: AtomicBool::new(false),
            gives_way: AtomicBool::new(false),
            alarm,
            server: Mutex::default(),
        }
    }

    /// A generation towards an upstream in the clear.
    #[must_use]
    pub fn plain(number: u64) -> Self {
        Self {
            number,
            identity: None,
            not_after: None,
            offers_http2: false,
            client_config: None,
            refusals: AtomicU64::new(0),
            doubted: AtomicBool::new(false),
            gives_way: AtomicBool::new(false),
            alarm: Arc::default(),
            server: Mutex::default(),
        }
    }

    /// The other side refuses this certificate.
    pub fn refused(&self) {
        self.refusals.fetch_add(1, Ordering::Relaxed);
        self.alarm.notify_one();
    }

    /// How often it was refused since this was last asked.
    pub fn take_refusals(&self) -> u64 {
        self.refusals.swap(0, Ordering::Relaxed)
    }

    /// A reply was what servers say of a certificate that they do not accept, and others say of a request: whoever looks after the identity asks.
    pub fn doubt(&self) {
        if !self.doubted.swap(true, Ordering::Relaxed) {
            self.alarm.notify_one();
        }
    }

    /// Whether it was doubted since this was last asked.
    pub fn take_doubt(&self) -> bool {
        self.doubted.swap(false, Ordering::Relaxed)
    }

    /// Whether to wait for another one if this one is refused.
    #[must_use]
    pub fn gives_way(&self) -> bool {
        self.gives_way.load(Ordering::Relaxed)
    }

    /// There is another one to fall back to, or there is none.
    pub fn set_gives_way(&self, gives_way: bool) {
        self.gives_way.store(gives_way, Ordering::Relaxed);
    }

    /// The other side sent this chain in a handshake.
    pub fn saw(&self, chain: &[CertificateDer<'_>]) {
        let mut server = self.server.lock().unwrap_or_else(PoisonError::into_inner);
        if *server != chain {
            *server = chain
                .iter()
                .map(|certificate| certificate.clone().into_owned())
                .collect();
        }
    }

    /// The other side's chain as last seen, leaf first; empty before the first handshake.
    pub fn server_chain(&self) -> Vec<CertificateDer<'static>> {
        self.server.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }

    /// What the other side's chain says, as last seen.
    pub fn server_seen(&self) -> Vec<Facts> {
        let server = self.server_chain();
        server.iter().filter_map(|der| Facts::read(der).ok()).collect()
    }

    /// A fault once the certificate is past its end: failing at once, by name, beats failing at the next handshake.
    ///
    /// # Errors
    /// [`Code::IdentityExpired`].
    pub fn check_dates(&self, now: i64) -> Result<(), Fault> {
        match self.not_after {
            Some(end) if now > end.saturating_add(store::CLOCK_SKEW) => Err(Fault::new(
                Code::IdentityExpired,
                format!(
                    "the certificate of identity {} expired {} seconds ago; put a new one in place",
                    self.identity.as_deref().unwrap_or("-"),
                    now - end
                ),
            )),
            _ => Ok(()),
        }
    }
}

impl fmt::Debug for Generation {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Generation")
            .field("number", &self.number)
            .field("identity", &self.identity)
            .field("not_after", &self.not_after)
            .finish_non_exhaustive()
    }
}

/// What an upstream has to show.
#[derive(Clone, Debug)]
pub enum Standing {
    /// A generation in use.
    Ready(Arc<Generation>),
    /// None: the fault that requests get until there is one.
    Absent(Fault),
}

/// One generation of the gateway's front: its certificate, whom it believes, and what TLS remembers for it.
pub struct Front {
    pub number: u64,
    pub config: Arc<ServerConfig>,
    verifier: Arc<dyn ClientCertVerifier>,
    /// Open connections of callers.
    open: AtomicU64,
}

/// A caller's connection, counted until dropped.
pub struct Admission(Arc<Front>);

impl Front {
    fn new(number: u64, config: ServerConfig, verifier: Arc<dyn ClientCertVerifier>) -> Self {
        Self {
            number,
            config: Arc::new(config),
            verifier,
            open: AtomicU64::new(0),
        }
    }

    /// Counts a connection of this generation.
    #[must_use]
    pub fn admit(self: &Arc<Self>) -> Admission {
        self.open.fetch_add(1, Ordering::Relaxed);
        Admission(self.clone())
    }

    /// Open connections.
    #[must_use]
    pub fn open(&self) -> u64 {
        self.open.load(Ordering::Relaxed)
    }

    /// Whether a caller that was admitted under an older generation would be admitted now: its CA may have been removed,
    /// its certificate revoked.
    ///
    /// # Errors
    /// Why not.
    pub fn would_admit(&self, chain: &[CertificateDer<'_>], now: i64) -> Result<(), rustls::Error> {
        let Some((leaf, intermediates)) = chain.split_first() else {
            return Err(rustls::Error::NoCertificatesPresented);
        };
        let seconds = u64::try_from(now).unwrap_or_default();
        let now = UnixTime::since_unix_epoch(std::time::Duration::from_secs(seconds));
        self.verifier.verify_client_cert(leaf, intermediates, now).map(drop)
    }
}

impl Drop for Admission {
    fn drop(&mut self) {
        self.0.open.fetch_sub(1, Ordering::Relaxed);
    }
}

impl Admission {
    /// The generation under which the connection was made.
    #[must_use]
    pub fn number(&self) -> u64 {
        self.0.number
    }
}

impl fmt::Debug for Front {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Front")
            .field("number", &self.number)
            .finish_non_exhaustive()
    }
}

impl fmt::Debug for Admission {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(f)
    }
}
