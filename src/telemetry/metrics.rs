//! shim
use std::sync::Arc;
#[derive(Debug)]
pub struct Metrics;
#[derive(Debug)]
pub struct RouteMeter;
#[derive(Debug)]
pub struct UpstreamMeter;
#[derive(Debug)]
pub struct ConnectionCount;
impl ConnectionCount {
    pub fn active(&mut self) {}
    pub fn idle(&mut self) {}
}
impl UpstreamMeter {
    pub fn dialled(&self, _r: Result<(), crate::fault::Code>) {}
    pub fn handshake(&self, _v: &str, _r: bool) {}
    pub fn handshake_failed(&self, _s: &str) {}
    pub fn connection(&self, _g: u64) -> ConnectionCount {
        ConnectionCount
    }
    pub fn circuit(&self, _s: &str) {}
}
impl Metrics {
    pub fn new(_w: usize) -> Self {
        Self
    }
    pub fn route(&self, _n: &str, _t: &str, _l: &str) -> Arc<RouteMeter> {
        Arc::new(RouteMeter)
    }
    pub fn upstream(&self, _n: &str) -> Arc<UpstreamMeter> {
        Arc::new(UpstreamMeter)
    }
    pub fn front_handshake_refused(&self, _r: &str) {}
    pub fn refused_connection(&self) {}
    pub fn client_connected(&self) {}
    pub fn client_left(&self) {}
    pub fn config_reloaded(&self, _ok: bool) {}
}
