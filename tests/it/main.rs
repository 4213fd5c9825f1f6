//! One test binary; a file for each behaviour.
mod config;
