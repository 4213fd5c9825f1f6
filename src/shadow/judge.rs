//! From what two legs said to a verdict: views are made here, and nowhere kept.

use crate::compare::{self, Leg, Reason, Side, Verdict};
use crate::fault::Code;
use crate::proxy::legs::{Asked, Raw, understand, view};
use crate::proxy::plan::Lane;

/// What a leg said, or why it said nothing.
#[derive(Debug)]
pub(super) enum Said {
    Raw(Raw),
    Fault(Code),
}

/// The verdict on one pair.
pub(super) fn judged(lane: &Lane, asked: &Asked, ndh: Said, standard: Said) -> Verdict {
    let sides = side(lane, asked, Leg::Standard, standard)
        .and_then(|standard| Ok((side(lane, asked, Leg::Ndh, ndh)?, standard)));
    let (ndh, standard) = match sides {
        Ok(sides) => sides,
        Err(verdict) => return verdict,
    };
    match &lane.comparison {
        Some(comparison) => compare::judge(&ndh, &standard, &comparison.rules),
        None => Verdict::NotComparable(Reason::NoView(Leg::Ndh)),
    }
}

/// What of one leg's reply is compared.
fn side(lane: &Lane, asked: &Asked, which: Leg, said: Said) -> Result<Side, Verdict> {
    let raw = match said {
        Said::Raw(raw) => raw,
        Said::Fault(Code::TokenRefused) => return Err(Verdict::Refused(which)),
        Said::Fault(_) => return Err(Verdict::NotComparable(Reason::Unanswered(which))),
    };
    let no_view = || Verdict::NotComparable(Reason::NoView(which));
    let leg = lane.leg(which).ok_or_else(no_view)?;
    let status = raw.first().status;
    if matches!(status, 401 | 403) {
        return Err(Verdict::Refused(which));
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

fn failed(lane: &Lane, which: Leg, why: &str, verdict: Verdict) -> Verdict {
    tracing::info!(
        route = lane.name,
        leg = which.as_str(),
        why,
        "nothing to compare could be made of a reply"
    );
    verdict
}
