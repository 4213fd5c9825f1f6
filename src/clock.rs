//! The only reader of "now".
//!
//! Certificate decisions take wall time as an argument (seconds since the Unix epoch); this is the one place that
//! asks the operating system for it. Under a paused tokio clock (tests) wall time follows the paused time, so a test
//! can let a certificate expire without sleeping.

use std::sync::OnceLock;
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use tokio::time::Instant;

static ORIGIN: OnceLock<(Instant, Duration)> = OnceLock::new();

/// Wall time since the Unix epoch. Tied to the first reading of tokio's clock when that clock can be paused
/// (debug builds); a plain reading of the system's clock otherwise, so that an adjusted clock is followed.
#[must_use]
#[allow(clippy::disallowed_methods)] // the one place
pub fn wall() -> Duration {
    let system = || SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
    if cfg!(test) {
        let (instant, wall) = ORIGIN.get_or_init(|| (Instant::now(), system()));
        return *wall + Instant::now().saturating_duration_since(*instant);
    }
    system()
}

/// Whole seconds since the Unix epoch, as certificates count.
#[must_use]
pub fn unix_seconds() -> i64 {
    i64::try_from(wall().as_secs()).unwrap_or(i64::MAX)
}

/// Time since this process first asked: for rules that only compare moments.
#[must_use]
pub fn monotonic() -> Duration {
    monotonic_at(Instant::now())
}

/// The same for a moment that is known already: asking for the time is not free.
#[must_use]
pub fn monotonic_at(moment: Instant) -> Duration {
    static START: OnceLock<Instant> = OnceLock::new();
    moment.saturating_duration_since(*START.get_or_init(|| moment))
}
