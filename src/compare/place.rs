//! Where the walk stands, and how that may be told.
//!
//! Keys come from a program of the operator, but what the program makes keys of may be persons. A key is told only when
//! it is a plain word without a number in it; everything else becomes `*`, which also keeps the places few. This stands in for
//! `telemetry::mask`, which finds identifiers in running text and belongs to a later group.

/// One step down.
#[derive(Clone, Copy, Debug)]
pub(super) enum Step<'a> {
    Key(&'a str),
    Position(usize),
    /// An element of an array whose order does not count.
    Somewhere,
}

/// Longer words are no names of fields.
const LONGEST: usize = 48;

/// Digits in a row: a NOMS number has four, a CRN six, a date at least four.
const DIGITS: usize = 3;

/// The place as a JSON pointer that may be shown.
pub(super) fn told(place: &[Step<'_>]) -> String {
    let mut pointer = String::new();
    for step in place {
        pointer.push('/');
        pointer.push_str(match step {
            Step::Key(key) if plain(key) => key,
            _ => "*",
        });
    }
    pointer
}

/// Whether a key is the name of a field. It needs no escapes in a pointer then.
fn plain(key: &str) -> bool {
    let bytes = key.as_bytes();
    let word = |b: &u8| b.is_ascii_alphanumeric() || matches!(b, b'_' | b'-');
    let number = |run: &[u8]| run.iter().all(u8::is_ascii_digit);
    bytes.len() <= LONGEST
        && bytes.first().is_some_and(|b| b.is_ascii_alphabetic() || *b == b'_')
        && bytes.iter().all(word)
        && !bytes.windows(DIGITS + 1).any(number)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_of_fields_are_told() {
        let place = [
            Step::Key("tier"),
            Step::Key("lduCode"),
            Step::Key("address_line-2"),
            Step::Key("_level123"),
        ];
        assert_eq!(told(&place), "/tier/lduCode/address_line-2/_level123");
        assert_eq!(told(&[]), "");
    }

    #[test]
    fn positions_are_told_as_a_star() {
        assert_eq!(
            told(&[Step::Key("a"), Step::Position(7), Step::Somewhere, Step::Key("b")]),
            "/a/*/*/b"
        );
    }

    #[test]
    fn keys_that_may_be_a_person_are_told_as_a_star() {
        for key in [
            "A1234BC",
            "a1234bc",
            "X123456",
            "person_X123456",
            "xA1234BCx",
            "wilfreda.oakenfold@example.org",
            "Oakenfold, Wilfreda",
            "O'Testerly",
            "90004Z",
            "2990900004",
            "born-1990-04-17",
            "",
            "Zoë",
            "a/b",
            "m~n",
            "*",
            "line\nbreak",
            &"x".repeat(49),
        ] {
            assert_eq!(told(&[Step::Key("by"), Step::Key(key)]), "/by/*", "{key}");
        }
    }
}
