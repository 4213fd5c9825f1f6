//! shim
#[derive(Clone)]
pub struct Readiness;
impl Readiness {
    pub fn new() -> Self {
        Self
    }
    pub fn met(&self, _n: &str) {}
    pub fn waiting(&self, _n: &str, _w: &str) {}
    pub fn ready(&self) -> bool {
        true
    }
    pub fn started(&self) -> bool {
        true
    }
    pub fn pending(&self) -> Vec<(String, String)> {
        Vec::new()
    }
    pub fn drain(&self) {}
    pub fn draining(&self) -> bool {
        false
    }
}
