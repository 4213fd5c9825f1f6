//! A whole world on one machine: the other side of the path, made of invented people, and the demo that walks it.
//!
//! Nothing here prints: what a step showed is a value, and `cli` says it. Certificates are made for the day, ports
//! come from the kernel, files lie in a directory that goes with the value that owns it.

pub mod auth;
pub mod child;
pub mod client;
pub mod delius;
pub mod demo;
pub mod drill;
mod evidence;
pub mod faults;
mod fixtures;
mod levers;
pub mod load;
mod message;
pub mod papers;
pub mod place;
mod record;
mod sabotage;
pub mod scene;
pub mod serve;
pub mod standard;
pub mod standin;
pub mod step;
pub mod trial;
