//! What certificates say and whether they may be used: pure, "now" is an argument.

pub mod facts;
pub mod issue;
pub mod load;
pub mod peer;
pub mod verify;
