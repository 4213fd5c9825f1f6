//! A whole world on one machine: the other side of the path, made of invented people, and the demo that walks it.
//!
//! Nothing here prints: what a step showed is a value, and `cli` says it.

pub mod client;
pub mod delius;
mod record;
mod sabotage;
pub mod standin;
