//! From TOML text and environment names to validated settings; every problem at once.

pub mod settings;
