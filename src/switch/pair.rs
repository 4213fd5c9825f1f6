//! Which leg of a route answers a request, which is asked when that one fails, and which beside it to be compared.
//!
//! The only place where this is decided: the request path, the comparison beside it and `route explain` ask here. No
//! allocation: it is asked once for each request.

use super::{Effective, Leg, Mode, answering};

/// The two legs of a route under the standing of its unit.
#[derive(Clone, Copy, Debug)]
pub struct Pair<'a> {
    pub unit: &'a str,
    pub effective: Effective,
    /// Of the unit's terms: what standard fails is asked of ndh.
    pub fallback: bool,
    /// Of the unit's terms: where standard answers, ndh is asked as well.
    pub compare: bool,
    /// The route has this leg.
    pub ndh: bool,
    /// The route has this leg.
    pub standard: bool,
    /// Both legs have a view.
    pub comparable: bool,
}

/// What is done with one request.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Choice {
    pub leg: Leg,
    /// Asked when `leg` fails.
    pub fallback: Option<Leg>,
    /// Asked beside it; nobody waits for it.
    pub compare: Option<Leg>,
}

/// What is known of the person that a request is about.
#[derive(Clone, Copy, Debug, Default)]
pub struct Person<'a> {
    /// As the path has it.
    pub name: Option<&'a str>,
    /// Fell back to ndh a moment ago.
    pub held: bool,
}

impl Pair<'_> {
    /// The leg that does not answer is asked as well.
    #[must_use]
    pub const fn is_compared(&self) -> bool {
        self.comparable
            && match self.effective.mode {
                Mode::Ndh => false,
                Mode::Shadow => true,
                Mode::Canary | Mode::Standard => self.compare,
            }
    }

    /// `safe`: the request changes nothing; no other is ever put to two legs.
    #[must_use]
    pub fn choose(&self, person: Person<'_>, safe: bool) -> Choice {
        let standard = answering(self.unit, self.effective, person.name) == Leg::Standard;
        let standard = standard && !(person.held && self.fallback && self.ndh);
        let (leg, other) = if standard {
            (Leg::Standard, self.ndh.then_some(Leg::Ndh))
        } else {
            (Leg::Ndh, self.standard.then_some(Leg::Standard))
        };
        let other = other.filter(|_| safe);
        Choice {
            leg,
            fallback: other.filter(|_| standard && self.fallback),
            compare: other.filter(|_| self.is_compared()),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const WHOLE: Pair<'_> = Pair {
        unit: "person",
        effective: Effective::of(Mode::Standard, 0.0),
        fallback: true,
        compare: true,
        ndh: true,
        standard: true,
        comparable: true,
    };

    fn in_mode(mode: Mode) -> Pair<'static> {
        Pair {
            effective: Effective::of(mode, 0.0),
            ..WHOLE
        }
    }

    fn somebody(held: bool) -> Person<'static> {
        Person {
            name: Some("A1234BC"),
            held,
        }
    }

    fn chosen(pair: Pair<'_>, person: Person<'_>, safe: bool) -> (Leg, Option<Leg>, Option<Leg>) {
        let Choice { leg, fallback, compare } = pair.choose(person, safe);
        (leg, fallback, compare)
    }

    #[test]
    fn the_mode_decides_who_answers_and_who_is_asked_beside() {
        const NDH: Option<Leg> = Some(Leg::Ndh);
        for (mode, expected) in [
            (Mode::Ndh, (Leg::Ndh, None, None)),
            (Mode::Shadow, (Leg::Ndh, None, Some(Leg::Standard))),
            // Nobody is in a canary of nothing, and who cannot be told is not either.
            (Mode::Canary, (Leg::Ndh, None, Some(Leg::Standard))),
            (Mode::Standard, (Leg::Standard, NDH, NDH)),
        ] {
            assert_eq!(chosen(in_mode(mode), somebody(false), true), expected, "{mode}");
        }
        let everybody = Pair {
            effective: Effective::of(Mode::Canary, 1.0),
            ..WHOLE
        };
        assert_eq!(chosen(everybody, somebody(false), true), (Leg::Standard, NDH, NDH));
        assert_eq!(everybody.choose(Person::default(), true).leg, Leg::Ndh);
    }

    #[test]
    fn what_may_change_something_is_put_to_one_leg() {
        for mode in Mode::ALL {
            let (_, fallback, compare) = chosen(in_mode(mode), somebody(false), false);
            assert_eq!((fallback, compare), (None, None), "{mode}");
        }
    }

    #[test]
    fn the_terms_switch_fallback_and_comparison_off() {
        let plain = Pair {
            fallback: false,
            compare: false,
            ..WHOLE
        };
        assert_eq!(chosen(plain, somebody(true), true), (Leg::Standard, None, None));
        let shadow = Pair {
            compare: false,
            ..in_mode(Mode::Shadow)
        };
        assert!(shadow.is_compared(), "it is what shadow is for");
        let blind = Pair {
            comparable: false,
            ..in_mode(Mode::Shadow)
        };
        assert_eq!(chosen(blind, somebody(false), true), (Leg::Ndh, None, None));
    }

    #[test]
    fn a_person_who_fell_back_stays_with_ndh_where_there_is_one() {
        assert_eq!(
            chosen(WHOLE, somebody(true), true),
            (Leg::Ndh, None, Some(Leg::Standard))
        );
        let alone = Pair {
            ndh: false,
            comparable: false,
            ..WHOLE
        };
        assert_eq!(chosen(alone, somebody(true), true), (Leg::Standard, None, None));
    }
}
