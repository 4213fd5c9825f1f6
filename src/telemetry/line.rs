//! What every line is made of, whoever writes it: a time and values that cannot break out of their line.
//!
//! Nothing here allocates in steady state; access lines are written on the path of a request. Escaped text is valid
//! inside JSON quotes; control characters (C0, DEL, C1) and line separators never reach a terminal or begin a line.

use std::io::Write as _;
use std::time::Duration;

/// RFC 3339, UTC, milliseconds; keeps the text of the second that it wrote last.
#[derive(Debug, Default)]
pub(super) struct Stamp {
    second: Option<u64>,
    text: Vec<u8>,
}

impl Stamp {
    /// Appends the time `wall` after the Unix epoch.
    pub(super) fn write(&mut self, wall: Duration, out: &mut Vec<u8>) {
        if self.second != Some(wall.as_secs()) {
            self.second = Some(wall.as_secs());
            self.text.clear();
            let second = i64::try_from(wall.as_secs()).unwrap_or_default();
            let time = jiff::Timestamp::from_second(second).unwrap_or_default();
            let _ = write!(self.text, "{time}");
            self.text.pop(); // the Z comes after the milliseconds
        }
        out.extend_from_slice(&self.text);
        let millis = wall.subsec_millis();
        let digit = |digit: u32| b'0' + u8::try_from(digit % 10).unwrap_or_default();
        out.extend_from_slice(&[b'.', digit(millis / 100), digit(millis / 10), digit(millis), b'Z']);
    }
}

/// Appends `value` so that it can stand between JSON quotes. Bytes that are not UTF-8 become U+FFFD.
pub(super) fn escape(value: &[u8], out: &mut Vec<u8>) {
    escape_except(value, false, out);
}

/// As [`escape`], but quotes stay as they are: for text that does not stand between quotes.
pub(super) fn escape_unquoted(value: &[u8], out: &mut Vec<u8>) {
    escape_except(value, true, out);
}

/// Appends `value` bare where that can be read in one way only, else between quotes.
pub(super) fn escape_or_quote(value: &[u8], out: &mut Vec<u8>) {
    if value.is_empty() || value.iter().any(|b| matches!(b, b' ' | b'"' | b'=')) {
        out.push(b'"');
        escape(value, out);
        out.push(b'"');
    } else {
        escape(value, out);
    }
}

fn escape_except(value: &[u8], bare_quotes: bool, out: &mut Vec<u8>) {
    // Nearly every value is plain; looking at all its bytes at once is cheaper than at each.
    let special = |b: u8| !matches!(b, 0x20..=0x7e) | (b == b'"') | (b == b'\\');
    if !value.iter().fold(false, |found, b| found | special(*b)) {
        out.extend_from_slice(value);
        return;
    }
    for chunk in value.utf8_chunks() {
        let valid = chunk.valid();
        let mut copied = 0;
        for (at, c) in valid.char_indices() {
            let plain = match c {
                '"' => bare_quotes,
                '\\' | '\u{2028}' | '\u{2029}' => false,
                c => !c.is_control(),
            };
            if plain {
                continue;
            }
            out.extend_from_slice(&valid.as_bytes()[copied..at]);
            copied = at + c.len_utf8();
            match c {
                '"' => out.extend_from_slice(b"\\\""),
                '\\' => out.extend_from_slice(b"\\\\"),
                '\n' => out.extend_from_slice(b"\\n"),
                '\r' => out.extend_from_slice(b"\\r"),
                '\t' => out.extend_from_slice(b"\\t"),
                c => {
                    let _ = write!(out, "\\u{:04x}", u32::from(c));
                }
            }
        }
        out.extend_from_slice(&valid.as_bytes()[copied..]);
        if !chunk.invalid().is_empty() {
            out.extend_from_slice("\u{fffd}".as_bytes());
        }
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn written(f: impl FnOnce(&mut Vec<u8>)) -> String {
        let mut out = Vec::new();
        f(&mut out);
        String::from_utf8(out).expect("escaped text is UTF-8")
    }

    #[test]
    fn a_time_is_rfc_3339_with_three_decimals_also_when_the_second_is_remembered() {
        let mut stamp = Stamp::default();
        let mut at = |wall| written(|out| stamp.write(wall, out));
        assert_eq!(at(Duration::from_millis(0)), "1970-01-01T00:00:00.000Z");
        assert_eq!(at(Duration::from_millis(1_709_210_096_007)), "2024-02-29T12:34:56.007Z");
        assert_eq!(at(Duration::from_millis(1_709_210_096_789)), "2024-02-29T12:34:56.789Z");
        assert_eq!(at(Duration::from_millis(1_709_210_097_000)), "2024-02-29T12:34:57.000Z");
        assert_eq!(at(Duration::from_secs(u64::MAX)), "1970-01-01T00:00:00.000Z");
    }

    #[test]
    fn what_would_end_a_value_or_a_line_is_escaped() {
        assert_eq!(
            written(|out| escape("a\"b\\c\nd\r\te\u{1b}[31m\u{7f}\u{9b}\u{2028}é".as_bytes(), out)),
            r#"a\"b\\c\nd\r\te\u001b[31m\u007f\u009b\u2028é"#
        );
        assert_eq!(written(|out| escape(b"a\xff\xfeb", out)), "a\u{fffd}\u{fffd}b");
        assert_eq!(written(|out| escape_unquoted(b"\"a\"\n", out)), r#""a"\n"#);
    }

    #[test]
    fn text_values_are_quoted_only_where_they_must_be() {
        assert_eq!(written(|out| escape_or_quote(b"ndh", out)), "ndh");
        assert_eq!(written(|out| escape_or_quote(b"", out)), "\"\"");
        assert_eq!(written(|out| escape_or_quote(b"a b=\"c\"", out)), r#""a b=\"c\"""#);
    }

    proptest! {
        #[test]
        fn any_text_comes_back_from_json_as_it_was(text in any::<String>()) {
            let quoted = format!("\"{}\"", written(|out| escape(text.as_bytes(), out)));
            prop_assert!(!quoted.chars().any(char::is_control));
            prop_assert_eq!(serde_json::from_str::<String>(&quoted).ok(), Some(text));
        }

        #[test]
        fn times_are_those_of_the_calendar(millis in 0u64..253_402_207_200_000) {
            let text = written(|out| Stamp::default().write(Duration::from_millis(millis), out));
            let read: jiff::Timestamp = text.parse().expect("RFC 3339");
            prop_assert_eq!(u64::try_from(read.as_millisecond()).ok(), Some(millis));
            prop_assert_eq!(text.len(), 24);
        }
    }
}
