//! delius-sidecar: the allocation manager's way to Delius.
//!
//! The application speaks plain HTTP to loopback; this program carries each request over mutual TLS to NDH, with a
//! client certificate that it manages. `gateway` is the other end of that mutual TLS where no NDH exists.
//!
//! # Life of a request
//!
//! 1. `app::worker` accepts the connection and starts one task for it, `proxy::serve`;
//! 2. `wire::end` finds the end of the head, `wire::head` and `wire::framing` read it strictly: what could be read in two
//!    ways is refused;
//! 3. `route` normalises the path and finds the route: what matches none never reaches an upstream;
//! 4. `wire::headers` writes the head for the other side;
//! 5. `proxy::forward` asks the breaker and takes a connection of the identity generation now in use, kept or dialled
//!    (`upstream`);
//! 6. `proxy::exchange` moves the bodies both ways at once and judges the reply's head as strictly;
//! 7. `telemetry` gets one record, whatever happened; a `Fault` becomes a reply in `wire::reply`.
//!
//! # The one rule
//!
//! A module imports only from groups listed before its own, below. Not upward, not sideways.
//! `tests/it/floors.rs` reads `src/` and fails on a wrong import.

// words: plain values
pub mod clock;
pub mod fault;
pub mod secret;

// judgement: pure
pub mod cert;
pub mod mapping;
pub mod route;
pub mod wire;

// judgement of two sides: pure
pub mod compare;

// judgement of the switch-over: pure
pub mod switch;

// input and life
pub mod config;
pub mod lifecycle;

// plumbing
pub mod telemetry;
pub mod transport;

// supplies
pub mod identity;

// supplies over the other's connections
pub mod token;

// upstream
pub mod upstream;

// pipeline
pub mod proxy;

// the other leg, beside the pipeline
pub mod shadow;

// front doors
pub mod control;
pub mod gateway;
pub mod observe;

// wiring
pub mod app;

// rehearsal
pub mod rehearsal;

// operator
pub mod cli;
