//! What the standard leg did of late: a ring of ten slots that forgets by itself, for the roll-back.
//!
//! A moment is the time since the process began, so slots of several threads and routes are the same slots and add up.

use std::time::Duration;

use super::Latency;

const SLOTS: u32 = 10;

/// Results of the standard leg, of the last `length`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Window {
    slot: Duration,
    /// By number, the newest last.
    slots: Vec<(u128, Recent)>,
}

/// What a window holds.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Recent {
    /// Of the standard leg, errors among them.
    pub answers: u64,
    pub errors: u64,
    /// Of the answers that are no errors.
    pub latency: Latency,
    pub compared: u64,
    /// Confirmed by asking again.
    pub mismatched: u64,
    /// NDH knew the person and the standard leg did not; confirmed.
    pub missing: u64,
}

impl Recent {
    fn merge(&mut self, other: &Self) {
        self.answers += other.answers;
        self.errors += other.errors;
        self.latency.merge(&other.latency);
        self.compared += other.compared;
        self.mismatched += other.mismatched;
        self.missing += other.missing;
    }
}

impl Window {
    /// An empty one.
    #[must_use]
    pub fn new(length: Duration) -> Self {
        Self {
            slot: (length / SLOTS).max(Duration::from_millis(1)),
            slots: Vec::new(),
        }
    }

    /// Where a result of this moment is counted; what has become too old goes.
    pub(super) fn at(&mut self, moment: Duration) -> &mut Recent {
        let number = self.number(moment);
        let oldest = self.oldest(moment);
        self.slots.retain(|(slot, _)| *slot >= oldest);
        // Threads may be a little apart: a slot before the newest is possible.
        let place = self.slots.partition_point(|(slot, _)| *slot < number);
        if self.slots.get(place).is_none_or(|(slot, _)| *slot != number) {
            self.slots.insert(place, (number, Recent::default()));
        }
        &mut self.slots[place].1
    }

    /// The sum of what is not too old.
    #[must_use]
    pub fn recent(&self, moment: Duration) -> Recent {
        let oldest = self.oldest(moment);
        let mut sum = Recent::default();
        for (_, recent) in self.slots.iter().filter(|(slot, _)| *slot >= oldest) {
            sum.merge(recent);
        }
        sum
    }

    /// Looks back this far from now on; what was seen under another length is forgotten.
    pub fn resize(&mut self, length: Duration) {
        let new = Self::new(length);
        if self.slot != new.slot {
            *self = new;
        }
    }

    /// Forgets everything.
    pub fn clear(&mut self) {
        self.slots.clear();
    }

    /// Adds what another thread or route saw; a window of another length has other slots and is left out.
    pub(super) fn merge(&mut self, other: &Self) {
        if self.slots.is_empty() {
            *self = other.clone();
        } else if self.slot == other.slot {
            for (number, recent) in &other.slots {
                let place = self.slots.partition_point(|(slot, _)| slot < number);
                match self.slots.get_mut(place) {
                    Some((slot, mine)) if slot == number => mine.merge(recent),
                    _ => self.slots.insert(place, (*number, recent.clone())),
                }
            }
        }
    }

    fn number(&self, moment: Duration) -> u128 {
        moment.as_nanos() / self.slot.as_nanos()
    }

    fn oldest(&self, moment: Duration) -> u128 {
        self.number(moment).saturating_sub(u128::from(SLOTS) - 1)
    }
}

impl Default for Window {
    fn default() -> Self {
        Self::new(super::super::Gate::default().window)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn seconds(seconds: u64) -> Duration {
        Duration::from_secs(seconds)
    }

    #[test]
    fn what_is_older_than_the_window_is_forgotten() {
        let mut window = Window::new(seconds(100));
        for second in 0..100 {
            window.at(seconds(second)).answers += 1;
        }
        assert_eq!(window.recent(seconds(99)).answers, 100);
        assert_eq!(window.recent(seconds(109)).answers, 90);
        assert_eq!(window.recent(seconds(1_000)).answers, 0);
        window.at(seconds(1_000)).answers += 1;
        assert_eq!(window.slots.len(), 1, "old slots are kept");
        window.clear();
        assert_eq!(window.recent(seconds(1_000)), Recent::default());
    }

    #[test]
    fn windows_of_two_threads_add_up_slot_by_slot() {
        let (mut one, mut two) = (Window::new(seconds(100)), Window::new(seconds(100)));
        one.at(seconds(5)).errors += 1;
        one.at(seconds(25)).errors += 1;
        two.at(seconds(7)).errors += 1;
        two.at(seconds(17)).errors += 1;
        one.merge(&two);
        assert_eq!(one.recent(seconds(25)).errors, 4);
        assert_eq!(one.recent(seconds(105)).errors, 2, "the slots of 17 and 25");
        let mut empty = Window::new(seconds(100));
        empty.merge(&one);
        assert_eq!(empty.recent(seconds(25)).errors, 4);
    }

    #[test]
    fn a_result_that_comes_late_is_counted_where_it_belongs() {
        let mut window = Window::new(seconds(100));
        window.at(seconds(30)).answers += 1;
        window.at(seconds(10)).answers += 1;
        assert_eq!(window.recent(seconds(30)).answers, 2);
        assert_eq!(window.recent(seconds(115)).answers, 1);
    }

    #[test]
    fn a_window_of_no_length_does_not_divide_by_nothing() {
        let mut window = Window::new(Duration::ZERO);
        window.at(seconds(1)).answers += 1;
        assert_eq!(window.recent(seconds(2)).answers, 0);
    }
}
