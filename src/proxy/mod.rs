//! The request pipeline of the sidecar.

pub mod attempt;
pub mod breaker;
mod window;
