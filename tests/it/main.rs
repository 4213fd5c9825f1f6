//! One test binary; a file for each behaviour.

mod config;
mod docs;
mod floors;
mod imports;
