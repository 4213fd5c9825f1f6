//! When a new certificate is valid: from now for a while, or between two moments of any time.

use anyhow::bail;
use clap::{ArgGroup, Args};

use super::super::span;
use crate::cert::facts::date;
use crate::cert::issue::Validity;

/// Clocks of two machines differ; a certificate made now is valid a little earlier.
pub(super) const BACKDATE: i64 = 60;

const DAY: i64 = 86_400;

#[derive(Args, Debug)]
#[command(group = ArgGroup::new("end").args(["days", "valid_for", "not_after"]))]
pub(super) struct Window {
    /// How many days the certificate is valid; 90 unless an end is given otherwise.
    #[arg(long, value_name = "N", value_parser = clap::value_parser!(u32).range(1..=36_500))]
    days: Option<u32>,
    /// How long the certificate is valid: 90d, 8h, 60s.
    #[arg(long, value_name = "TIME", value_parser = span::parse_positive)]
    valid_for: Option<i64>,
    /// First second of validity, RFC 3339; may be in the past or in the future. Now unless given.
    #[arg(long, value_name = "RFC3339", requires = "end")]
    not_before: Option<jiff::Timestamp>,
    /// Last second of validity, RFC 3339; may be in the past.
    #[arg(long, value_name = "RFC3339")]
    not_after: Option<jiff::Timestamp>,
}

impl Window {
    pub(super) fn validity(&self, now: i64) -> anyhow::Result<Validity> {
        let begin = self.not_before.map(jiff::Timestamp::as_second);
        let lasting = self
            .valid_for
            .or(self.days.map(|days| i64::from(days) * DAY))
            .unwrap_or(90 * DAY);
        let not_after = match self.not_after {
            Some(end) => end.as_second(),
            None => begin.unwrap_or(now).saturating_add(lasting),
        };
        let not_before = match begin {
            Some(begin) => begin,
            // Already over: somewhere before the end.
            None if not_after <= now => not_after.saturating_sub(DAY),
            None => now.saturating_sub(BACKDATE),
        };
        if not_before >= not_after {
            bail!(
                "--not-before {} is not before --not-after {}; no certificate can be valid then",
                date(not_before),
                date(not_after)
            );
        }
        Ok(Validity { not_before, not_after })
    }
}

/// From a minute ago for so many days, as a CA lives.
pub(super) fn days(now: i64, days: u32) -> Validity {
    Validity {
        not_before: now.saturating_sub(BACKDATE),
        not_after: Validity::days(now, days).not_after,
    }
}
