//! shim
pub mod access;
pub mod exchange;
pub mod metrics;
pub mod log;
