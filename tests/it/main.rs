//! One test binary; a file for each behaviour.

mod succession;
mod support;

mod ca;
mod cli;
mod config;
mod control;
mod demo;
mod deploy;
mod docs;
mod doctor;
mod drain;
mod errors;
mod faulty;
mod floors;
mod forward;
mod framing;
mod gateway;
mod headers;
mod http2;
mod imports;
mod limits;
mod listen;
mod material;
mod observe;
mod operate;
mod peers;
mod refusals;
mod reload;
mod retry;
mod rotation;
mod rotation_gateway;
mod smuggling;
mod tools;
mod verify;
mod wrapper;
