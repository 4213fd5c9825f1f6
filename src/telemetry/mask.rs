//! Masks a person's identifiers in text that is about to leave the process. Pure.
//!
//! NOMS numbers (a letter, four digits, two letters) and CRNs (a letter, six digits), in any case, become `*` of the
//! same length, so nothing has to move. They count only when they stand alone: inside a longer run of letters and
//! digits (a hex digest, a trace id) the same shape is chance. Text escapes end such a run too: `%2F` of a target,
//! `\n` and `\u001f` of a quoted string are not letters of the word that follows them.
//!
//! The text must be escaped already (a lone backslash begins an escape); masking first and escaping later would hide
//! identifiers less well, and masking here keeps JSON valid: the letter of an escape is never masked.

use std::io::{self, Write};

/// Masks identifiers in place. One pass over the bytes; only runs of digits are looked at closely.
pub fn mask(text: &mut [u8]) {
    let mut at = 0;
    while at < text.len() {
        if !text[at].is_ascii_digit() {
            at += 1;
            continue;
        }
        let first = at;
        while text.get(at).is_some_and(u8::is_ascii_digit) {
            at += 1;
        }
        let end = match at - first {
            4 if letters(text, at) >= 2 => at + 2,
            6 => at,
            _ => continue,
        };
        let Some(letter) = first.checked_sub(1).filter(|i| text[*i].is_ascii_alphabetic()) else {
            continue;
        };
        let ends = !text.get(end).is_some_and(u8::is_ascii_alphanumeric);
        if ends && begins(&text[..letter]) && !is_escape(&text[..=letter]) {
            text[letter..end].fill(b'*');
            at = end;
        }
    }
}

/// The same of a text.
#[must_use]
pub fn masked(text: String) -> String {
    let mut bytes = text.into_bytes();
    mask(&mut bytes);
    // Whole ASCII characters were replaced by one.
    String::from_utf8_lossy(&bytes).into_owned()
}

/// How many letters follow, counted no further than needed.
fn letters(text: &[u8], at: usize) -> usize {
    text[at..]
        .iter()
        .take(2)
        .take_while(|b| b.is_ascii_alphabetic())
        .count()
}

/// Whether a word may begin after this.
fn begins(before: &[u8]) -> bool {
    match before {
        [.., last] if !last.is_ascii_alphanumeric() => true,
        [] | [.., b'\\', b'0' | b'b' | b'f' | b'n' | b'r' | b't'] => true,
        [.., b'%', a, b] | [.., b'\\', b'x', a, b] => hex(&[*a, *b]),
        [.., b'\\', b'u', a, b, c, d] => hex(&[*a, *b, *c, *d]),
        _ => false,
    }
}

fn hex(digits: &[u8]) -> bool {
    digits.iter().all(u8::is_ascii_hexdigit)
}

/// Whether the last letter belongs to an escape: an odd number of backslashes before it.
fn is_escape(text: &[u8]) -> bool {
    let Some((b'b' | b'f' | b'n' | b'r' | b't' | b'u', before)) = text.split_last() else {
        return false;
    };
    before.iter().rev().take_while(|b| **b == b'\\').count() % 2 == 1
}

/// Masks each write before it passes it on. An identifier that is cut in two by the writer gets through: write whole
/// lines.
#[derive(Debug)]
pub struct Masking<W> {
    inner: W,
    copy: Vec<u8>,
}

impl<W: Write> Masking<W> {
    pub fn new(inner: W) -> Self {
        Self {
            inner,
            copy: Vec::new(),
        }
    }
}

impl<W: Write> Write for Masking<W> {
    /// All of it goes on at once or an error comes back: the rest of a line must not be masked by itself.
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        self.copy.clear();
        self.copy.extend_from_slice(bytes);
        mask(&mut self.copy);
        self.inner.write_all(&self.copy)?;
        Ok(bytes.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        self.inner.flush()
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn masked(text: &str) -> String {
        super::masked(text.to_owned())
    }

    /// The rule written out position by position, for text without escapes.
    fn naive(text: &str) -> String {
        let chars: Vec<char> = text.chars().collect();
        let fits = |at: usize, shape: &str| {
            let word = chars.get(at..at + shape.len());
            word.is_some_and(|word| {
                word.iter().zip(shape.chars()).all(|(c, s)| match s {
                    'a' => c.is_ascii_alphabetic(),
                    _ => c.is_ascii_digit(),
                })
            })
        };
        let alone = |at: usize, len: usize| {
            let word = |c: Option<&char>| c.is_some_and(char::is_ascii_alphanumeric);
            let triple = at >= 3 && chars[at - 3] == '%' && chars[at - 2..at].iter().all(char::is_ascii_hexdigit);
            (at == 0 || triple || !word(chars.get(at - 1))) && !word(chars.get(at + len))
        };
        let mut out = chars.clone();
        for at in 0..chars.len() {
            if (fits(at, "addddaa") || fits(at, "adddddd")) && alone(at, 7) {
                out[at..at + 7].fill('*');
            }
        }
        out.into_iter().collect()
    }

    #[test]
    fn identifiers_that_stand_alone_are_masked_in_any_case() {
        for (text, expected) in [
            ("A1234BC", "*******"),
            ("a1234bc and x123456.", "******* and *******."),
            (
                "/secure/offenders/nomsNumber/G1234ab/all",
                "/secure/offenders/nomsNumber/*******/all",
            ),
            ("crn_X123456_x", "crn_*******_x"),
            ("A1234BCX123456", "A1234BCX123456"),
            ("A1234BC,X123456", "*******,*******"),
            ("%2FA1234BC%2fX123456%20", "%2F*******%2f*******%20"),
            ("%A1234BC", "%*******"),
            ("éA1234BCé", "é*******é"),
        ] {
            assert_eq!(masked(text), expected, "{text}");
        }
    }

    #[test]
    fn what_only_looks_alike_is_left() {
        for text in [
            "A123BC A12345BC AA1234BC A1234BCD A1234B X12345 X1234567 1234567 X123456a",
            "4bf92f3577b34da6a3ce929d0e0e4736",
            "0a1234bc-5d123456-0000",
            "2026-11-02T09:30:00.123Z",
            "",
        ] {
            assert_eq!(masked(text), text);
        }
    }

    #[test]
    fn an_escape_before_an_identifier_does_not_hide_it() {
        for (text, expected) in [
            (r"\nA1234BC", r"\n*******"),
            (r"\\nA1234BC", r"\\n*******"),
            (r"\u001fX123456", r"\u001f*******"),
            (r"\x1bX123456", r"\x1b*******"),
            (r"\\x123456", r"\\*******"),
        ] {
            assert_eq!(masked(text), expected, "{text}");
        }
    }

    #[test]
    fn the_letter_of_an_escape_is_not_taken_for_an_identifier() {
        for text in [r"\n123456", r"\u0000ab", r"\\\b123456"] {
            assert_eq!(masked(text), text);
        }
    }

    #[test]
    fn each_write_is_masked_and_passed_on_once() {
        struct Calls(Vec<String>);
        impl Write for Calls {
            fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
                self.0.push(String::from_utf8_lossy(bytes).into_owned());
                Ok(bytes.len())
            }
            fn flush(&mut self) -> io::Result<()> {
                Ok(())
            }
        }
        let mut masking = Masking::new(Calls(Vec::new()));
        masking.write_all(b"offender A1234BC\n").expect("a Vec takes all");
        masking.write_all(b"case X123456\n").expect("a Vec takes all");
        assert_eq!(masking.inner.0, ["offender *******\n", "case *******\n"]);
    }

    proptest! {
        #[test]
        fn agrees_with_the_rule_written_out(text in "([AXbf]|[0-9]{1,2}|[0-9]{4}|[0-9]{6}|[/_%é -]|%2[Ff]|A1234BC|x123456){0,12}") {
            prop_assert_eq!(masked(&text), naive(&text));
        }

        #[test]
        fn never_changes_the_length_or_fails(mut bytes in proptest::collection::vec(any::<u8>(), 0..64)) {
            let before = bytes.len();
            mask(&mut bytes);
            prop_assert_eq!(bytes.len(), before);
        }
    }
}
