//! Two clocks: the other side's, as the `Date` of a reply has it (RFC 9110 section 6.6.1), and this machine's.
//!
//! Certificates and tokens seem expired, or not yet valid, where one of them is wrong.

use jiff::fmt::rfc2822::DateTimeParser;

use super::report::Lines;
use crate::cert::facts::span;
use crate::identity::store;

/// The server's `Date` against our clock.
pub(super) fn clock(date: Option<&str>, now: i64, lines: &mut Lines) {
    const CHECK: &str = "clock";
    let Some(text) = date else {
        lines.skip(CHECK, "there was no reply with a `Date` to compare with");
        return;
    };
    let Ok(theirs) = DateTimeParser::new().parse_timestamp(text) else {
        lines.skip(CHECK, "the reply's `Date` is not a date");
        return;
    };
    let ahead = now - theirs.as_second();
    if ahead.abs() <= store::CLOCK_SKEW {
        lines.ok(CHECK, format!("ours and the server's differ by {} s", ahead.abs()));
        return;
    }
    let way = if ahead > 0 { "ahead of" } else { "behind" };
    lines.warn(
        CHECK,
        format!("this machine's clock is {} {way} the server's", span(ahead.abs())),
        "less than a minute between the clocks",
        "compare both with a time server: certificates seem expired or not yet valid where a clock is wrong",
    );
}
