//! Lengths of time as people type and read them: `90d`, `8h`, `60s`; "in 12 days", "3 hours ago".

use std::time::Duration;

use crate::cert::facts::{date, span};
use crate::rehearsal::faults::parse_duration;

/// Reads `90d`, `8h`, `1h15m`, `60s`. A day is 24 hours, a week seven days.
///
/// # Errors
/// What would be right, for clap.
pub fn parse(text: &str) -> Result<i64, String> {
    const RIGHT: &str = "write for example 90d, 8h, 1h15m or 60s";
    let mut rest = text.trim();
    if rest.is_empty() {
        return Err(format!("it is empty; {RIGHT}"));
    }
    let mut total = 0_i64;
    while !rest.is_empty() {
        let digits = rest.bytes().take_while(u8::is_ascii_digit).count();
        let (number, tail) = rest.split_at(digits);
        let letters = tail.bytes().take_while(u8::is_ascii_alphabetic).count();
        let (unit, tail) = tail.split_at(letters);
        let seconds = match unit {
            "s" => 1,
            "m" => 60,
            "h" => 3_600,
            "d" => 86_400,
            "w" => 604_800,
            "" if digits > 0 => return Err(format!("{number} of what? The unit is missing; {RIGHT}")),
            _ => return Err(format!("it is not a length of time; {RIGHT}")),
        };
        let number: i64 = number
            .parse()
            .map_err(|_| format!("it is not a length of time; {RIGHT}"))?;
        let part = number.checked_mul(seconds);
        total = part
            .and_then(|part| total.checked_add(part))
            .filter(|total| *total <= 100 * 366 * 86_400)
            .ok_or("it is longer than a hundred years")?;
        rest = tail;
    }
    Ok(total)
}

/// The same for what must last: a validity, a time to wait.
///
/// # Errors
/// What would be right, for clap.
pub fn parse_positive(text: &str) -> Result<i64, String> {
    match parse(text)? {
        0 => Err(String::from("it is zero; expected a second or more")),
        seconds => Ok(seconds),
    }
}

/// How long a program waits, to the millisecond: `500ms`, `60s`, `1m 30s`.
///
/// # Errors
/// What would be right, for clap.
pub fn duration(text: &str) -> Result<Duration, String> {
    parse_duration(text.trim())
        .ok_or_else(|| format!("expected a number with a unit, for example 500ms, 60s or 2m, found {text:?}"))
}

/// The same for what must not be nothing.
///
/// # Errors
/// What would be right, for clap.
pub fn duration_positive(text: &str) -> Result<Duration, String> {
    match duration(text)? {
        Duration::ZERO => Err(String::from("it is zero; expected a time such as 500ms or 5s")),
        duration => Ok(duration),
    }
}

/// A moment and how far it is: `2027-02-14T08:00:00Z (in 12 days)`.
#[must_use]
pub fn moment(at: i64, now: i64) -> String {
    format!("{} ({})", date(at), distance(at, now))
}

/// `in 12 days`, `3 hours ago`, `now`.
#[must_use]
pub fn distance(at: i64, now: i64) -> String {
    match at.saturating_sub(now) {
        0 => String::from("now"),
        left @ 1.. => format!("in {}", span(left)),
        past => format!("{} ago", span(past.saturating_neg())),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn usual_lengths_are_read() {
        for (text, seconds) in [
            ("60s", 60),
            ("8h", 28_800),
            ("90d", 90 * 86_400),
            ("1h15m", 4_500),
            ("2w", 1_209_600),
            ("0s", 0),
        ] {
            assert_eq!(parse(text), Ok(seconds), "{text}");
        }
        assert!(parse_positive("0s").is_err());
    }

    #[test]
    fn what_is_no_length_says_what_would_be_right() {
        for text in [
            "",
            "30",
            "d",
            "1x",
            "-1h",
            "1.5h",
            "1h 15m",
            "soon",
            "999999999999999d",
            "99999999999999999999s",
            "101w1",
        ] {
            assert!(parse(text).is_err(), "{text}");
        }
        assert!(parse("30").unwrap_err().contains("unit"));
        assert!(parse("soon").unwrap_err().contains("8h"));
    }

    #[test]
    fn a_time_to_wait_needs_its_unit_and_may_be_less_than_a_second() {
        for (text, milliseconds) in [("90s", 90_000), (" 2m ", 120_000), ("500ms", 500), ("0s", 0)] {
            assert_eq!(duration(text), Ok(Duration::from_millis(milliseconds)), "{text}");
        }
        for wrong in ["", "60", "-1s", "soon"] {
            assert!(duration(wrong).is_err(), "{wrong}");
        }
        assert!(duration_positive("0s").is_err());
        assert_eq!(duration_positive("5s"), Ok(Duration::from_secs(5)));
    }

    #[test]
    fn distances_read_as_people_say_them() {
        assert_eq!(distance(100, 100), "now");
        assert_eq!(distance(100 + 12 * 86_400, 100), "in 12 days");
        assert_eq!(distance(0, 3 * 3_600), "3 hours ago");
        assert_eq!(moment(0, 60), "1970-01-01T00:00:00Z (60 seconds ago)");
        assert_eq!(
            distance(i64::MIN, i64::MAX),
            distance(i64::MIN, i64::MAX),
            "no overflow"
        );
    }
}
