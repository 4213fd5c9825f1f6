//! One line for each thing that happens to a managed certificate. Changes of what is in use are audit lines.

use crate::cert::facts::Facts;
use crate::cert::verify::Finding;
use crate::identity::lineage::News;
use crate::identity::rotation::Why;
use crate::identity::status::rfc3339;
use crate::telemetry::metrics::Metrics;

use super::shown::names;

/// Says it, and counts it.
pub(super) fn say(metrics: &Metrics, upstream: &str, identity: &str, news: &News) {
    metrics.identity_event(upstream, event(news));
    match news {
        News::Found {
            number,
            source,
            leaf,
            warnings,
            next,
        } => {
            let source = source.as_str();
            let leaf = Leaf::of(leaf.as_deref());
            tracing::info!(
                audit = true,
                upstream,
                identity,
                generation = number,
                source,
                subject = leaf.subject,
                names = leaf.names,
                fingerprint = leaf.fingerprint,
                not_after = leaf.not_after,
                next,
                "found a new certificate, or new trust"
            );
            warn_of(upstream, identity, *number, warnings);
        }
        News::Refused { source, reason } => {
            let source = source.as_str();
            tracing::warn!(
                audit = true,
                upstream,
                identity,
                source,
                reason,
                "identity or trust not taken into use; looking again every second"
            );
        }
        News::Try { number, .. } => {
            tracing::info!(
                upstream,
                identity,
                generation = number,
                "trying it against the other side"
            );
        }
        News::NotPassed {
            number,
            rejected,
            sentence,
            next,
        } => {
            let refused = if *rejected {
                "the other side refuses it"
            } else {
                "the other side could not be asked"
            };
            tracing::warn!(
                audit = true,
                upstream,
                identity,
                generation = number,
                reason = sentence,
                next,
                "the trial did not pass: {refused}; what is in use stays"
            );
        }
        News::Passed { number, sentence } => {
            tracing::info!(
                audit = true,
                upstream,
                identity,
                generation = number,
                proof = sentence,
                "the trial passed; `identity promote` takes it into use"
            );
        }
        News::Promoted {
            number,
            from,
            why,
            leaf,
            warnings,
        } => {
            promoted(upstream, identity, *number, *from, why, leaf.as_deref());
            warn_of(upstream, identity, *number, warnings);
        }
        News::Retired(receipt) => {
            tracing::info!(
                audit = true,
                upstream,
                identity,
                generation = receipt.to,
                retired = receipt.from,
                after_s = receipt.retired_after_seconds,
                requests_failed = receipt.requests_failed,
                "receipt: {}",
                receipt.sentence
            );
            metrics.retired(
                upstream,
                receipt.retired_after_seconds.unwrap_or_default(),
                receipt.requests_failed,
            );
        }
        News::NoWayBack { number, reason } => {
            tracing::error!(
                audit = true,
                upstream,
                identity,
                generation = number,
                reason,
                "ALARM: the other side refuses the identity in use, and there is no way back"
            );
        }
        News::Ending { what, days, ends } => {
            let at = rfc3339(*ends);
            match days {
                0 => tracing::error!(
                    upstream,
                    identity,
                    ends = at,
                    "ALARM: {what} has ended; a new one is needed now"
                ),
                1 => tracing::error!(
                    upstream,
                    identity,
                    ends = at,
                    "ALARM: {what} ends within a day; a new one is needed now"
                ),
                days => tracing::warn!(
                    upstream,
                    identity,
                    ends = at,
                    "{what} ends within {days} days; have a new one issued and put in place"
                ),
            }
        }
        News::NeverUpdates(sentence) => tracing::warn!(upstream, identity, "{sentence}"),
        News::Withdrawn { number } => {
            tracing::info!(
                audit = true,
                upstream,
                identity,
                generation = number,
                "what was on its way is no longer there; it is forgotten"
            );
        }
    }
}

fn promoted(upstream: &str, identity: &str, number: u64, from: Option<u64>, why: &Why, leaf: Option<&Facts>) {
    let Some(facts) = leaf else {
        tracing::info!(
            audit = true,
            upstream,
            generation = number,
            from,
            why = why.as_str(),
            proof = why.proof(),
            "trust taken into use; no identity is configured for this upstream"
        );
        return;
    };
    let loud = match why {
        Why::Start | Why::TrialPassed(_) | Why::Operator | Why::RollBack => None,
        Why::AboutToExpire(_) => Some("promoted UNTRIED, since the one before is about to expire"),
        Why::NothingToLose => Some("promoted without a passed trial, since nothing valid was in use"),
        Why::FallBack => Some("FELL BACK: the other side refuses the newer one"),
        Why::Revoked(_) => Some("the other side's certificate is revoked"),
    };
    tracing::info!(
        audit = true, upstream, identity, generation = number, from,
        why = why.as_str(), proof = why.proof(),
        subject = %facts.subject, names = names(facts).join(", "),
        serial = %facts.serial, fingerprint = facts.fingerprint(),
        not_before = rfc3339(facts.not_before), not_after = rfc3339(facts.not_after),
        "identity taken into use"
    );
    if let Some(loud) = loud {
        tracing::error!(
            audit = true,
            upstream,
            identity,
            generation = number,
            from,
            "ALARM: {loud}"
        );
    }
}

/// The event as a word of the metric.
fn event(news: &News) -> &'static str {
    match news {
        News::Found { .. } => "found",
        News::Refused { .. } => "refused",
        News::Try { .. } => "tried",
        News::NotPassed { rejected: true, .. } => "trial_rejected",
        News::NotPassed { rejected: false, .. } => "trial_unreachable",
        News::Passed { .. } => "trial_passed",
        News::Promoted { why, .. } => match why {
            Why::FallBack => "fallen_back",
            Why::RollBack => "rolled_back",
            Why::AboutToExpire(_) | Why::NothingToLose => "promoted_untried",
            Why::Start | Why::TrialPassed(_) | Why::Operator | Why::Revoked(_) => "promoted",
        },
        News::Retired(_) => "retired",
        News::NoWayBack { .. } => "no_way_back",
        News::Withdrawn { .. } => "withdrawn",
        News::Ending { .. } => "ending",
        News::NeverUpdates(_) => "never_updates",
    }
}

fn warn_of(upstream: &str, identity: &str, generation: u64, warnings: &[Finding]) {
    for warning in warnings {
        tracing::warn!(upstream, identity, generation, "{warning}");
    }
}

/// What a line says of a certificate; dashes where there is none.
struct Leaf {
    subject: String,
    names: String,
    fingerprint: String,
    not_after: String,
}

impl Leaf {
    fn of(facts: Option<&Facts>) -> Self {
        let or_dash = |text: Option<String>| text.unwrap_or_else(|| "-".to_owned());
        Self {
            subject: or_dash(facts.map(|facts| facts.subject.clone())),
            names: or_dash(facts.map(|facts| names(facts).join(", "))),
            fingerprint: or_dash(facts.map(Facts::fingerprint)),
            not_after: or_dash(facts.map(|facts| rfc3339(facts.not_after))),
        }
    }
}
