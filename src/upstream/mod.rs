//! The other sides: what is known of each, and the connections to it that a worker keeps.

pub mod connection;
pub mod multiplex;
pub mod pool;

use std::sync::Arc;

use crate::config::settings::{Breaker, Pool, Times};
use crate::identity::Standing;
use crate::telemetry::metrics::UpstreamMeter;
use crate::transport::dial::Endpoint;

/// One other side with the generation now in use. Immutable: a rotation publishes a new one.
#[derive(Debug)]
pub struct Target {
    pub name: String,
    pub endpoint: Endpoint,
    /// `host:port`, for sentences.
    pub peer: Arc<str>,
    /// `Host` as the upstream expects it.
    pub host: Vec<u8>,
    /// Put before every path.
    pub base_path: String,
    pub times: Times,
    pub pool: Pool,
    pub breaker: Breaker,
    pub standing: Standing,
    pub meter: Arc<UpstreamMeter>,
}

impl Target {
    /// Whether connections to `other` may stand for connections to this one: same place, same terms.
    #[must_use]
    pub fn same_place(&self, other: &Self) -> bool {
        self.endpoint.host == other.endpoint.host
            && self.endpoint.port == other.endpoint.port
            && self.endpoint.server_name == other.endpoint.server_name
    }
}
