//! Which persons of a unit are in its canary.
//!
//! A person's place is the SHA-256 (FIPS 180-4) of the unit's name, a NUL and the upper-cased person, read as a number
//! from 0 to 1: the same in every process, pod and version, and unrelated from one unit to the next. Who is below the
//! share is in the canary, so a growing share only adds persons and nobody sees two truths on the way. Written-down places
//! in the tests keep a later version from moving anybody.

use aws_lc_rs::digest::{Context, SHA256};

use super::{Effective, Leg, Mode};

/// The person's place in the unit: at least 0, below 1.
#[must_use]
pub fn share_of(unit: &str, person: &str) -> f64 {
    let mut context = Context::new(&SHA256);
    context.update(unit.as_bytes());
    context.update(&[0]);
    // A lower-case number is the same person: NDH takes both.
    for byte in person.bytes() {
        context.update(&[byte.to_ascii_uppercase()]);
    }
    let digest = context.finish();
    let bits = digest
        .as_ref()
        .iter()
        .take(8)
        .fold(0, |bits, byte| bits << 8 | u64::from(*byte));
    fraction(bits)
}

/// The upper 53 bits, which is what an `f64` holds exactly.
#[expect(clippy::cast_precision_loss, reason = "53 bits fit exactly")]
fn fraction(bits: u64) -> f64 {
    (bits >> 11) as f64 / (1_u64 << 53) as f64
}

/// Whether the person with this place is answered by the standard leg; a share of 1 is everybody, 0 nobody.
#[must_use]
pub fn in_canary(point: f64, share: f64) -> bool {
    point < share
}

/// The leg that answers this person under the standing of a unit; in a canary, who cannot be told is answered by NDH.
#[must_use]
pub fn answering(unit: &str, effective: Effective, person: Option<&str>) -> Leg {
    let standard = match effective.mode {
        Mode::Ndh | Mode::Shadow => false,
        Mode::Canary => person.is_some_and(|person| in_canary(share_of(unit, person), effective.share)),
        Mode::Standard => true,
    };
    if standard { Leg::Standard } else { Leg::Ndh }
}

/// Reads a canary's share: `5%`, `0.5 %` or `0.05`.
///
/// # Errors
/// [`ShareError`] for what is no share, and for a bare number above 1: whoever types `5` means five percent or all.
pub fn parse_share(text: &str) -> Result<f64, ShareError> {
    let text = text.trim();
    let wrong = || ShareError(text.chars().take(40).collect());
    let (number, scale) = match text.strip_suffix('%') {
        Some(number) => (number.trim_end(), 100.0),
        None => (text, 1.0),
    };
    let plain = number.bytes().all(|byte| byte.is_ascii_digit() || byte == b'.');
    let share = number.parse::<f64>().map_err(|_| wrong())? / scale;
    if plain && share > 0.0 && share <= 1.0 {
        Ok(share)
    } else {
        Err(wrong())
    }
}

/// What is no share of the persons.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("`{0}` is no share; expected more than nothing and at most all, for example 5% or 0.05")]
pub struct ShareError(String);

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn the_places_of_known_persons_never_change() {
        for (unit, person, place) in [
            ("person", "A1234BC", 0.5550933259400732),
            ("person", "G7806VO", 0.6194133121357533),
            ("person", "X123456", 0.09721697002104446),
            ("mappa", "A1234BC", 0.6355121082452865),
            ("", "", 0.4304816492364817),
        ] {
            assert_eq!(share_of(unit, person).to_bits(), f64::to_bits(place), "{unit}");
        }
    }

    #[test]
    fn the_case_of_letters_does_not_move_a_person() {
        assert_eq!(
            share_of("person", "a1234bC").to_bits(),
            share_of("person", "A1234BC").to_bits()
        );
        assert_ne!(
            share_of("Person", "A1234BC").to_bits(),
            share_of("person", "A1234BC").to_bits()
        );
    }

    fn persons() -> impl Iterator<Item = String> {
        (0..20_000).map(|number| format!("A{:04}{}Z", number % 10_000, if number < 10_000 { 'B' } else { 'C' }))
    }

    #[test]
    fn persons_are_spread_evenly() {
        let mut slots = [0_u32; 20];
        for person in persons() {
            let place = share_of("person", &person);
            let slot = (0..20)
                .find(|slot| place < f64::from(slot + 1) / 20.0)
                .expect("below 1");
            slots[slot as usize] += 1;
        }
        // 1,000 are expected in each; five standard deviations are about 155.
        assert!(slots.iter().all(|slot| (845..=1155).contains(slot)), "{slots:?}");
    }

    #[test]
    fn one_unit_says_nothing_of_another() {
        let both = persons().filter(|person| share_of("person", person) < 0.1 && share_of("mappa", person) < 0.1);
        let both = both.count();
        // 200 of 20,000 are expected.
        assert!((130..=270).contains(&both), "{both}");
    }

    #[test]
    fn all_and_nobody_are_exact() {
        assert!(persons().all(|person| in_canary(share_of("u", &person), 1.0)));
        assert!(!persons().any(|person| in_canary(share_of("u", &person), 0.0)));
        assert!(fraction(u64::MAX) < 1.0);
    }

    #[test]
    fn who_answers_follows_the_mode_and_in_a_canary_the_person() {
        let at = |mode, share| Effective { mode, share };
        for (effective, person, leg) in [
            (at(Mode::Ndh, 0.0), Some("A1234BC"), Leg::Ndh),
            (at(Mode::Shadow, 0.0), Some("A1234BC"), Leg::Ndh),
            // The place of this one is 0.5550….
            (at(Mode::Canary, 0.56), Some("a1234bc"), Leg::Standard),
            (at(Mode::Canary, 0.55), Some("A1234BC"), Leg::Ndh),
            (at(Mode::Canary, 1.0), None, Leg::Ndh),
            (at(Mode::Standard, 1.0), None, Leg::Standard),
        ] {
            assert_eq!(answering("person", effective, person), leg, "{effective}");
        }
    }

    #[test]
    fn a_share_is_read_in_percent_or_as_a_part_of_one() {
        for (text, share) in [
            ("5%", 0.05),
            (" 0.5 % ", 0.005),
            ("0.05", 0.05),
            ("1", 1.0),
            ("100%", 1.0),
            (".1", 0.1),
        ] {
            assert_eq!(parse_share(text), Ok(share), "{text}");
        }
        for wrong in [
            "", "%", "0", "0%", "5", "101%", "-5%", "1e-3", "inf", "NaN", "five", "5%%", "0,05",
        ] {
            let said = parse_share(wrong).expect_err(wrong).to_string();
            assert!(said.contains("5% or 0.05"), "{said}");
        }
    }

    proptest! {
        #[test]
        fn a_growing_share_only_adds_persons(person in "[A-Z][0-9]{4}[A-Z]{2}", mut shares in proptest::collection::vec(0.0..=1.0, 2..20)) {
            shares.sort_by(f64::total_cmp);
            let point = share_of("person", &person);
            let inside: Vec<bool> = shares.iter().map(|share| in_canary(point, *share)).collect();
            prop_assert!(inside.is_sorted());
        }
    }
}
