//! From two answers to one verdict.
//!
//! ```text
//! 401, 403 on a side ─────────────────────────────► Refused
//! 5xx and others that are no final answer ────────► NotComparable, unless the pair is declared equal
//! two views ──────────────────────────────────────► by structure: Match, Known, Mismatch
//! one side has the person, the other says 404 ────► MissingOnStandard, MissingOnNdh, or Known at ""
//! no view, one status (or a pair declared equal) ─► Match
//! anything else ──────────────────────────────────► Mismatch, or Known at ""
//! ```
//!
//! A leg has the person when it answers 2xx, or when its program makes a view even of a 404: legacy resourcing says 404
//! of a person whom it knows.

use super::rules::{Excuses, Rules};
use super::{Difference, Kind, Leg, Reason, Side, Verdict, walk};

/// Compares what the two legs answered to one request.
#[must_use]
pub fn judge(ndh: &Side, standard: &Side, rules: &Rules) -> Verdict {
    // the credentials of the standard leg are the sidecar's own: it is named first
    for (side, leg) in [(standard, Leg::Standard), (ndh, Leg::Ndh)] {
        if matches!(side.status, 401 | 403) {
            return Verdict::Refused(leg);
        }
    }
    let declared = rules.equal_status.contains(&(ndh.status, standard.status));
    let one_status = declared || ndh.status == standard.status;
    if !declared {
        for (side, leg) in [(ndh, Leg::Ndh), (standard, Leg::Standard)] {
            if !is_final(side.status) {
                return Verdict::NotComparable(Reason::Status(leg, side.status));
            }
        }
    }
    let mut excuses = Excuses::new(rules, ndh, standard);
    match (ndh.seen(), standard.seen()) {
        (Some(a), Some(b)) => {
            let found = walk::differences(a, b, rules, &mut excuses);
            weigh(found, Verdict::Mismatch)
        }
        _ if has(ndh) && lacks(standard) => whole(Kind::OnlyNdh, &mut excuses, Verdict::MissingOnStandard),
        _ if lacks(ndh) && has(standard) => whole(Kind::OnlyStandard, &mut excuses, Verdict::MissingOnNdh),
        (None, None) if one_status => Verdict::Match,
        (Some(_), None) if one_status => whole(Kind::OnlyNdh, &mut excuses, Verdict::Mismatch),
        (None, Some(_)) if one_status => whole(Kind::OnlyStandard, &mut excuses, Verdict::Mismatch),
        _ => whole(Kind::Status, &mut excuses, Verdict::Mismatch),
    }
}

/// Whether the status answers the request. A redirect, "not now" and "come again" say nothing about the person.
pub const fn is_final(status: u16) -> bool {
    matches!(status, 200..=299 | 400..=499) && !matches!(status, 408 | 425 | 429)
}

fn has(side: &Side) -> bool {
    side.seen().is_some() || matches!(side.status, 200..=299)
}

fn lacks(side: &Side) -> bool {
    side.status == 404 && side.seen().is_none()
}

/// One difference of the whole.
fn whole(kind: Kind, excuses: &mut Excuses<'_>, otherwise: fn(Vec<Difference>) -> Verdict) -> Verdict {
    let difference = Difference {
        pointer: String::new(),
        kind,
        known: excuses.name(&[], kind),
    };
    weigh(vec![difference], otherwise)
}

fn weigh(found: Vec<Difference>, otherwise: fn(Vec<Difference>) -> Verdict) -> Verdict {
    if found.is_empty() {
        Verdict::Match
    } else if found.iter().all(|difference| difference.known.is_some()) {
        Verdict::Known(found)
    } else {
        otherwise(found)
    }
}
