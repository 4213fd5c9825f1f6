//! Programs in the jq language that turn one side's requests and replies into the other's, and the selection of the
//! fields that the application reads. Pure: values in, values out.
//!
//! ```text
//! text ──▶ grammar (what a mapping may say) ──▶ Program ──▶ run: json ─▶ value ─▶ … ─▶ json
//!                     language (what it may call) ──┘             every step pays the meter
//! ```
//!
//! A program runs on the thread that serves requests, so a run is bounded in time, memory and stack, whatever the
//! program says and whatever the value holds ([`Bounds`]); and since it sees persons' data, an error never quotes a value.

mod access;
mod arithmetic;
mod fields;
mod grammar;
mod json;
mod language;
mod meter;
mod program;
mod value;

#[cfg(test)]
mod tests;

pub use fields::{Fields, FieldsError};
pub use meter::Bounds;
pub use program::{Program, ProgramError, RunError};
