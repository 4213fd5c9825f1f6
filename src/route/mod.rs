//! Which route a request takes: pure.

pub mod path;
pub mod table;
