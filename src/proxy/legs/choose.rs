//! The legs of a lane that answer a request and are asked beside it; who they are is [`switch::Pair`]'s to say.

use std::sync::Arc;

use crate::proxy::plan::{Lane, Leg};
use crate::switch::{self, Person};

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

/// `None`: the leg that should answer is not there, which no plan allows.
#[must_use]
pub fn choose<'a>(lane: &'a Lane, method: &str, person: Person<'_>) -> Option<Choice<'a>> {
    let switch::Choice { leg, fallback, compare } = lane.pair().choose(person, is_safe(method));
    Some(Choice {
        leg: lane.leg(leg)?,
        fallback: fallback.and_then(|leg| lane.leg(leg)),
        compare: compare.and_then(|leg| lane.leg(leg)),
    })
}
