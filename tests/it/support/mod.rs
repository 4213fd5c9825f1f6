//! What the tests of behaviour stand on: the real binary, real peers, bad peers, throw-away certificates.
//!
//! Nothing here knows how the sidecar is built inside; all of it goes through its command line, its configuration,
//! its sockets and its log. Every process and every temporary directory ends with the test that made it.

pub(crate) mod absent;
pub(crate) mod apache;
pub(crate) mod bin;
pub(crate) mod chains;
pub(crate) mod doctor;
pub(crate) mod findings;
pub(crate) mod gateway;
pub(crate) mod h2;
pub(crate) mod handshake;
pub(crate) mod hostile;
pub(crate) mod java;
pub(crate) mod lines;
pub(crate) mod moody;
pub(crate) mod nginx;
pub(crate) mod oauth;
pub(crate) mod openssl;
pub(crate) mod origin;
pub(crate) mod peer;
pub(crate) mod pki;
pub(crate) mod raw;
pub(crate) mod scripted;
pub(crate) mod switch;
pub(crate) mod world;

use std::time::{Duration, Instant};

/// How long a test waits for something that must come. `TEST_PATIENCE` (seconds) stretches it on a slow machine.
#[allow(clippy::disallowed_methods)]
pub(crate) fn patience() -> Duration {
    let seconds = std::env::var("TEST_PATIENCE").ok().and_then(|text| text.parse().ok());
    Duration::from_secs(seconds.unwrap_or(10))
}

/// Polls until `probe` yields something; `None` when patience ran out. For conditions of the outside world (a file,
/// a port, a process) that nothing can wake us for.
pub(crate) fn eventually<T>(mut probe: impl FnMut() -> Option<T>) -> Option<T> {
    let deadline = Instant::now() + patience();
    loop {
        if let Some(found) = probe() {
            return Some(found);
        }
        if Instant::now() >= deadline {
            return None;
        }
        std::thread::sleep(Duration::from_millis(5));
    }
}
