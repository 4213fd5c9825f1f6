//! shim
pub mod access;
pub mod exchange;
mod line;
pub mod mask;
pub mod metrics;
