//! shim
pub mod access;
pub mod exchange;
pub mod log;
pub mod metrics;
