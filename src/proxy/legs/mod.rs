//! A request that is put to a leg whose reply has to be understood before the caller gets it.
//!
//! ```text
//!  choose      which leg answers, which is asked beside it
//!  ask         token ─▶ request program ─▶ exchange into memory ─▶ (401: one new token, once more)
//!  understand  response program, fields
//!  answer      leg, else the fallback ─▶ the caller ─▶ aside
//! ```
//!
//! Invariants: only safe methods are put to two legs; an expired token is never sent; nothing reaches the caller before it
//! was understood.

mod answer;
mod ask;
mod asked;
mod choose;
mod content;
mod target;
mod understand;

pub use ask::{Raw, ask_aside};
pub use asked::{Asked, is_safe, params};
pub use choose::{Choice, choose};
pub use understand::{Reply, understand, view};

pub use answer::is_failure;
pub(super) use answer::{Legs, answer, set_aside};
pub(super) use content::gather;
pub(super) use target::{Line, write_line};
