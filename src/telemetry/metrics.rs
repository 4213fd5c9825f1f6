//! shim
use std::sync::Arc;
#[derive(Debug)]
pub struct Metrics;
#[derive(Debug)]
pub struct RouteMeter([String; 3]);
impl RouteMeter {
    pub fn record(&self, _w: usize, _m: &str, _s: u16, _d: std::time::Duration) {}
    pub fn name(&self) -> &str {
        &self.0[0]
    }
    pub fn template(&self) -> &str {
        &self.0[1]
    }
    pub fn leg(&self) -> &str {
        &self.0[2]
    }
}
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
    pub fn unrouted(&self, _m: &str, _s: u16, _d: std::time::Duration) {}
    pub fn error(&self, _c: crate::fault::Code) {}
    pub fn retried(&self, _u: &str, _w: &str) {}
    pub fn access_lines_dropped(&self, _n: u64) {}
    pub fn route(&self, n: &str, t: &str, l: &str) -> Arc<RouteMeter> {
        Arc::new(RouteMeter([n.into(), t.into(), l.into()]))
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
