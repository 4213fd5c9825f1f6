//! Tokens that name a user, each in a slot of its own; the one not used for longest gives way. Pure.
//!
//! A user's name comes from a request and is a person's: it is bounded, it is a key here and a parameter of the token request, and
//! it is never printed.

use std::borrow::Borrow;
use std::collections::HashMap;
use std::fmt;
use std::sync::Arc;

use super::slot::Slot;

/// Bytes of a user's name.
const LONGEST: usize = 128;

/// The name of a user that a token may be asked for.
#[derive(Clone, PartialEq, Eq, Hash)]
pub(super) struct User(Arc<str>);

impl User {
    /// `None`: not a name that is passed on. Spaces around it belong to the header.
    pub(super) fn parse(text: &str) -> Option<Self> {
        name(text).map(|name| Self(name.into()))
    }

    /// The name itself, for the token request only.
    pub(super) fn expose(&self) -> &str {
        &self.0
    }
}

/// The part of a header's value that is a user's name, if it is one.
pub(super) fn name(text: &str) -> Option<&str> {
    let name = text.trim_matches([' ', '\t']);
    let visible = name.bytes().all(|byte| (0x21..=0x7e).contains(&byte));
    (visible && (1..=LONGEST).contains(&name.len())).then_some(name)
}

/// Looking one up needs no name of its own.
impl Borrow<str> for User {
    fn borrow(&self) -> &str {
        &self.0
    }
}

impl fmt::Debug for User {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("[user]")
    }
}

/// The users' slots.
#[derive(Debug)]
pub(super) struct Users<T> {
    most: usize,
    slots: HashMap<User, (u64, Slot<T>)>,
    /// Counts uses.
    uses: u64,
}

impl<T: Clone> Users<T> {
    pub(super) fn new(most: usize) -> Self {
        Self {
            most,
            slots: HashMap::new(),
            uses: 0,
        }
    }

    /// The user's slot, if there is one; counts as a use.
    pub(super) fn find(&mut self, name: &str) -> Option<&mut Slot<T>> {
        self.uses += 1;
        let (used, slot) = self.slots.get_mut(name)?;
        *used = self.uses;
        Some(slot)
    }

    /// The user's slot, made if there is none. `None`: there are too many whose fetch is in flight.
    pub(super) fn slot(&mut self, user: &User) -> Option<&mut Slot<T>> {
        if !self.slots.contains_key(user) && self.slots.len() >= self.most {
            let idle = self.slots.iter().filter(|(_, (_, slot))| !slot.in_flight());
            let oldest = idle.min_by_key(|(_, (used, _))| *used)?.0.clone();
            self.slots.remove(&oldest);
        }
        self.uses += 1;
        let (used, slot) = self.slots.entry(user.clone()).or_default();
        *used = self.uses;
        Some(slot)
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::super::gate::Gate;
    use super::super::slot::Answer;
    use super::*;

    fn user(name: &str) -> User {
        User::parse(name).expect("a user")
    }

    #[test]
    fn a_name_is_bounded_and_visible_and_does_not_print() {
        assert_eq!(user(" ABC_GEN ").expose(), "ABC_GEN");
        assert!(User::parse(&"A".repeat(128)).is_some());
        for refused in ["", "  ", "A B", "A\u{e9}", "A\nB", &"A".repeat(129)] {
            assert!(User::parse(refused).is_none(), "{refused:?}");
        }
        assert_eq!(format!("{:?}", user("ABC_GEN")), "[user]");
    }

    #[test]
    fn the_user_not_seen_for_longest_gives_way() {
        let mut users = Users::<u64>::new(2);
        users.slot(&user("A"));
        users.slot(&user("B"));
        users.find("A");
        users.slot(&user("C"));
        assert!(users.find("B").is_none());
        assert!(users.find("A").is_some() && users.find("C").is_some());
        assert_eq!(users.slots.len(), 2);
    }

    #[test]
    fn a_fetch_in_flight_keeps_its_place() {
        let mut users = Users::<u64>::new(1);
        let slot = users.slot(&user("A")).expect("a slot");
        assert_eq!(slot.wanted(Duration::from_secs(1), &Gate::default(), 1), Answer::Fly);
        assert!(users.slot(&user("B")).is_none(), "no room");
        assert!(users.find("A").expect("still there").ended(1));
        assert!(users.slot(&user("B")).is_some());
    }
}
