//! Numbers as people read them: `1,000`, `0.8 %`, `1 time`.

/// With commas between the thousands.
pub(super) fn count(number: u64) -> String {
    let digits = number.to_string();
    let mut out = String::with_capacity(digits.len() + digits.len() / 3);
    for (at, digit) in digits.chars().enumerate() {
        if at > 0 && (digits.len() - at).is_multiple_of(3) {
            out.push(',');
        }
        out.push(digit);
    }
    out
}

/// A share of one in percent, with as many digits as tell it from nothing: `12 %`, `0.8 %`, `0.0003 %`.
#[must_use]
pub fn percent(share: f64) -> String {
    let percent = share * 100.0;
    let digits = match percent.abs() {
        p if p >= 10.0 => 1,
        p if p >= 0.1 => 2,
        _ => 6,
    };
    let text = format!("{percent:.digits$}");
    format!("{} %", text.trim_end_matches('0').trim_end_matches('.'))
}

/// `part` of `whole`; nothing of nothing is nothing.
#[expect(clippy::cast_precision_loss, reason = "counts are far below 2^53")]
pub(super) fn ratio(part: u64, whole: u64) -> f64 {
    if whole == 0 { 0.0 } else { part as f64 / whole as f64 }
}

/// `once`, `2 times`, `1,000 times`.
pub(super) fn times(number: u64) -> String {
    if number == 1 {
        "once".to_owned()
    } else {
        format!("{} times", count(number))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn thousands_are_set_apart() {
        for (number, text) in [
            (0, "0"),
            (999, "999"),
            (1_000, "1,000"),
            (12_345, "12,345"),
            (1_234_567, "1,234,567"),
        ] {
            assert_eq!(count(number), text);
        }
    }

    #[test]
    fn a_small_share_is_not_rounded_to_nothing() {
        for (share, text) in [
            (0.0, "0 %"),
            (1.0, "100 %"),
            (0.05, "5 %"),
            (0.008, "0.8 %"),
            (0.001, "0.1 %"),
            (0.000_003, "0.0003 %"),
            (0.123_4, "12.3 %"),
        ] {
            assert_eq!(percent(share), text);
        }
    }
}
