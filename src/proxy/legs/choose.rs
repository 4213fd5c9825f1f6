//! Which leg answers a request, and which is asked beside it: a function of the standing, the method and the person.

use std::sync::Arc;

use crate::proxy::plan::{Lane, Leg};
use crate::switch;

use super::asked::is_safe;

/// What is done with one request.
#[derive(Debug)]
pub struct Choice<'a> {
    pub leg: &'a Arc<Leg>,
    /// Asked when `leg` fails.
    pub fallback: Option<&'a Arc<Leg>>,
    /// Asked beside it; nobody waits for it.
    pub compare: Option<&'a Arc<Leg>>,
}

/// What is known of the person that a request is about.
#[derive(Clone, Copy, Debug, Default)]
pub struct Person<'a> {
    /// As the path has it.
    pub name: Option<&'a str>,
    /// Fell back to ndh a moment ago.
    pub held: bool,
}

/// `None`: the leg that should answer is not there, which no plan allows.
#[must_use]
pub fn choose<'a>(lane: &'a Lane, method: &str, person: Person<'_>) -> Option<Choice<'a>> {
    let rule = &lane.rule;
    let standard = switch::answering(&rule.unit, rule.effective, person.name) == switch::Leg::Standard;
    let standard = standard && !(person.held && rule.fallback && lane.ndh.is_some());
    let (answers, other) = if standard {
        (&lane.standard, &lane.ndh)
    } else {
        (&lane.ndh, &lane.standard)
    };
    let twice = is_safe(method);
    Some(Choice {
        leg: answers.as_ref()?,
        fallback: other.as_ref().filter(|_| twice && standard && rule.fallback),
        compare: other.as_ref().filter(|_| twice && lane.is_compared()),
    })
}
