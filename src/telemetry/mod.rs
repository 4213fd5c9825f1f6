//! What operators see of a running process: log events, access lines, metrics.
//!
//! Everything that is written as text passes [`mask`] on its way out, so a person's identifier that slipped into a
//! message does not reach the log. Serving never waits for any of it.

pub mod access;
mod entry;
pub mod events;
pub mod exchange;
mod line;
pub mod log;
pub mod mask;
pub mod metrics;
