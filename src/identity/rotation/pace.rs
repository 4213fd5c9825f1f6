//! How long until the next try. Pauses double up to a bound, and are spread so that pods do not ask in step.

/// A trial whose end was never heard of, in seconds.
pub(super) const LOST: i64 = 120;
/// Until the next trial of a candidate while the other side refuses what is in use, in seconds.
pub(super) const WHILE_REFUSED: i64 = 2;
/// Between trials of what is in use because of a doubtful answer, in seconds.
pub(super) const BETWEEN_DOUBTS: i64 = 3;
/// The longest pause there is, in seconds.
pub(super) const MAX_PAUSE: i64 = 4_320;

/// After so many failed trials (at least one). Unreachable: 1 s, 2 s … 60 s. Refused: 10 s … 5 min, because somebody
/// at the other end has to do something first.
pub(super) fn pause(number: u64, failures: u32, rejected: bool) -> i64 {
    let (first, longest) = if rejected { (10, 300) } else { (1, 60) };
    spread(doubled(first, failures, longest), number, failures)
}

/// Before a generation that the other side refused in its traffic is tried again: 1 min … 1 h.
pub(super) fn after_fall(number: u64, falls: u32) -> i64 {
    spread(doubled(60, falls, 3_600), number, falls)
}

fn doubled(first: i64, times: u32, longest: i64) -> i64 {
    first.saturating_mul(1 << times.saturating_sub(1).min(20)).min(longest)
}

/// Up to a fifth more, the same for the same arguments.
fn spread(pause: i64, number: u64, salt: u32) -> i64 {
    let mixed = (number ^ (u64::from(salt) << 32)).wrapping_mul(0x9e37_79b9_7f4a_7c15) >> 33;
    let share = i64::try_from(mixed % 1000).unwrap_or_default();
    pause + pause * share / 5_000
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn pauses_grow_and_stay_within_their_bounds() {
        for number in 1..50 {
            for rejected in [false, true] {
                let pauses: Vec<i64> = (1..40).map(|failures| pause(number, failures, rejected)).collect();
                assert!(pauses.iter().all(|pause| (1..=360).contains(pause)), "{pauses:?}");
                assert!(pauses[5] > pauses[0], "{pauses:?}");
            }
            let falls: Vec<i64> = (1..40).map(|falls| after_fall(number, falls)).collect();
            assert!(falls.iter().all(|pause| (60..=MAX_PAUSE).contains(pause)), "{falls:?}");
        }
    }

    #[test]
    fn two_generations_do_not_ask_in_step() {
        let pauses: std::collections::BTreeSet<i64> = (1..20).map(|number| pause(number, 9, true)).collect();
        assert!(pauses.len() > 5, "{pauses:?}");
    }
}
