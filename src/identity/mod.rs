//! A generation: one client identity with the trust that goes with it, and everything TLS remembers for it.
//!
//! What is pooled belongs to a generation. Rotation publishes a new one; connections of the old one finish what they
//! carry and are closed, and no session ticket crosses, because each generation has a TLS configuration of its own.

pub mod mounts;
pub mod preflight;
pub mod rotation;
pub mod status;
pub mod store;
pub mod watch;

use std::fmt;
use std::sync::Arc;

use rustls::ClientConfig;
use tokio_rustls::TlsConnector;

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
    pub connector: Option<TlsConnector>,
}

impl Generation {
    /// A generation that speaks TLS with this configuration.
    #[must_use]
    pub fn new(number: u64, identity: Option<String>, not_after: Option<i64>, config: ClientConfig) -> Self {
        Self {
            number,
            identity,
            not_after,
            offers_http2: config.alpn_protocols.iter().any(|protocol| protocol == b"h2"),
            connector: Some(TlsConnector::from(Arc::new(config))),
        }
    }

    /// The only generation towards an upstream in the clear.
    #[must_use]
    pub fn plain() -> Self {
        Self {
            number: 1,
            identity: None,
            not_after: None,
            offers_http2: false,
            connector: None,
        }
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
