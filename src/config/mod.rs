//! From TOML text and environment names to validated settings; every problem at once.

pub mod problem;
pub mod settings;
mod file;

/// One text of a configuration and the name that people know it by.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Source {
    pub name: String,
    pub text: String,
}
