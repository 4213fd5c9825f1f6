//! From what two legs said to a verdict: views are made here, and nowhere kept.

use crate::compare::{self, Difference, Reason, Side, Verdict};
use crate::fault::Code;
use crate::proxy::legs::{Asked, Raw, understand, view};
use crate::proxy::plan::{Lane, Leg};
use crate::switch;
use crate::switch::evidence::{Outcome, Seen};

/// What a leg said, or why it said nothing.
#[derive(Debug)]
pub(super) enum Said {
    Raw(Raw),
    Fault(Code),
}

/// The verdict on one pair.
pub(super) fn judged(lane: &Lane, asked: &Asked, ndh: Said, standard: Said) -> Verdict {
    let sides = side(lane, asked, switch::Leg::Standard, standard)
        .and_then(|standard| Ok((side(lane, asked, switch::Leg::Ndh, ndh)?, standard)));
    let (ndh, standard) = match sides {
        Ok(sides) => sides,
        Err(verdict) => return verdict,
    };
    match &lane.comparison {
        Some(comparison) => compare::judge(&ndh, &standard, &comparison.rules),
        None => Verdict::NotComparable(Reason::NoView(compare::Leg::Ndh)),
    }
}

/// What of one leg's reply is compared.
fn side(lane: &Lane, asked: &Asked, which: switch::Leg, said: Said) -> Result<Side, Verdict> {
    let name = match which {
        switch::Leg::Ndh => compare::Leg::Ndh,
        switch::Leg::Standard => compare::Leg::Standard,
    };
    let raw = match said {
        Said::Raw(raw) => raw,
        Said::Fault(Code::TokenRefused) => return Err(Verdict::Refused(name)),
        Said::Fault(_) => return Err(Verdict::NotComparable(Reason::Unanswered(name))),
    };
    let no_view = || Verdict::NotComparable(Reason::NoView(name));
    let leg: &Leg = lane.leg(which).ok_or_else(no_view)?;
    let status = raw.first().status;
    if matches!(status, 401 | 403) {
        return Err(Verdict::Refused(name));
    }
    // As the application gets it: a program that fails on this reply would fail the application as well.
    let reply = understand(leg, None, asked, &raw).map_err(|fault| failed(lane, which, &fault.detail, no_view()))?;
    let program = leg.view.as_ref().ok_or_else(no_view)?;
    let view = view(program, asked, &raw, reply.as_ref()).map_err(|why| failed(lane, which, &why, no_view()))?;
    // What the API itself said: a 400 that the application would see as 404 is a fault of ours.
    let status = match (&raw, &reply) {
        (Raw::Parts(_), Some(reply)) => reply.status,
        _ => status,
    };
    Ok(Side { status, view })
}

fn failed(lane: &Lane, which: switch::Leg, why: &str, verdict: Verdict) -> Verdict {
    tracing::info!(
        route = lane.name,
        leg = which.as_str(),
        why,
        "nothing to compare could be made of a reply"
    );
    verdict
}

/// The leg by its name in the evidence.
pub(super) const fn leg(leg: compare::Leg) -> switch::Leg {
    match leg {
        compare::Leg::Ndh => switch::Leg::Ndh,
        compare::Leg::Standard => switch::Leg::Standard,
    }
}

/// A verdict as the evidence counts it.
pub(super) fn outcome(verdict: &Verdict) -> Outcome {
    match verdict {
        Verdict::Match => Outcome::Match,
        Verdict::Known(_) => Outcome::Known,
        Verdict::Mismatch(_) => Outcome::Mismatch,
        Verdict::MissingOnStandard(_) => Outcome::MissingOnStandard,
        Verdict::MissingOnNdh(_) => Outcome::MissingOnNdh,
        Verdict::Refused(by) => Outcome::Refused(leg(*by)),
        Verdict::NotComparable(reason) => Outcome::NotComparable(match (reason.leg(), reason) {
            (compare::Leg::Ndh, Reason::Status(..)) => "ndh_status",
            (compare::Leg::Ndh, Reason::Unanswered(_)) => "ndh_unanswered",
            (compare::Leg::Ndh, Reason::NoView(_)) => "ndh_no_view",
            (compare::Leg::Standard, Reason::Status(..)) => "standard_status",
            (compare::Leg::Standard, Reason::Unanswered(_)) => "standard_unanswered",
            (compare::Leg::Standard, Reason::NoView(_)) => "standard_no_view",
        }),
    }
}

/// Its differences as the evidence counts them.
pub(super) fn seen(verdict: &Verdict) -> Vec<Seen<'_>> {
    fn one(difference: &Difference) -> Seen<'_> {
        let Difference { pointer, kind, known } = difference;
        Seen {
            pointer,
            kind: kind.as_str(),
            known: known.as_deref(),
        }
    }
    verdict.differences().iter().map(one).collect()
}
