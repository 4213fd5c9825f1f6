//! The status page's part on the switch-over: who answers each unit and why, its evidence in figures, what is missing for
//! the next step; and the tokens that the standard leg is asked with.

use std::fmt::{self, Write as _};

use super::page::Escaped;
use super::status::Token;
use crate::cert::facts::span;
use crate::compare::Leg;
use crate::identity::status::rfc3339;
use crate::switch::report::{Report, Unit};
use crate::switch::{Effective, Withdrawal};

/// Differences that are shown of a unit.
const SHOWN: usize = 5;

/// The units that have anywhere to go.
pub(super) fn write(out: &mut String, report: &Report, now: i64) -> fmt::Result {
    let (on_the_way, others): (Vec<&Unit>, Vec<&Unit>) = report
        .units
        .iter()
        .partition(|unit| unit.configured.able.standard || unit.rolled_back.is_some());
    if on_the_way.is_empty() {
        return Ok(());
    }
    out.push_str(
        "<h2>Switch-over</h2>\n<table><tr><th>unit</th><th>who answers</th><th>evidence</th><th>next step</th>\
         <th>NDH</th></tr>\n",
    );
    for unit in on_the_way {
        let routes: Vec<&str> = unit.routes.iter().map(|route| route.route.as_str()).collect();
        write!(
            out,
            "<tr><td>{}<br><small>{}</small></td><td>",
            Escaped(&unit.unit),
            Escaped(&routes.join(", "))
        )?;
        answers(out, unit, now)?;
        out.push_str("</td><td>");
        evidence(out, unit)?;
        out.push_str("</td><td>");
        decision(out, unit)?;
        out.push_str("</td><td>");
        ndh(out, &unit.withdrawal, now)?;
        out.push_str("</td></tr>\n");
    }
    out.push_str("</table>\n");
    if !others.is_empty() {
        writeln!(
            out,
            "<p>Without a standard leg, answered by NDH alone: {} more.</p>",
            others.len()
        )?;
    }
    Ok(())
}

fn answers(out: &mut String, unit: &Unit, now: i64) -> fmt::Result {
    let wish = unit.configured.effective();
    write!(out, "<strong>{}</strong>", Escaped(&unit.effective.to_string()))?;
    if wish.to_string() != unit.effective.to_string() {
        write!(out, "<br>configured: {}", Escaped(&wish.to_string()))?;
    }
    if let Some(back) = &unit.rolled_back {
        let from = Effective::of(back.from, back.share);
        write!(
            out,
            "<br><strong class=\"down\">rolled back</strong> from {from} at {}: {}",
            rfc3339(back.at),
            Escaped(&back.reasons.join("; "))
        )?;
    }
    if let Some(set) = &unit.set {
        write!(
            out,
            "<br>override for {} more, by {}: {}",
            span((set.expires - now).max(0)),
            Escaped(&set.by),
            Escaped(&set.reason)
        )?;
    }
    if let Some(since) = unit.standard_since {
        write!(out, "<br>standard since {}", rfc3339(since))?;
    }
    Ok(())
}

fn evidence(out: &mut String, unit: &Unit) -> fmt::Result {
    let seen = &unit.evidence;
    write!(
        out,
        "{} compared: {} matched, {} known, {} mismatched, {} missing on standard, {} on NDH",
        seen.compared, seen.matched, seen.known, seen.mismatched, seen.missing_on_standard, seen.missing_on_ndh
    )?;
    let sum = |counts: &std::collections::BTreeMap<String, u64>| counts.values().sum::<u64>();
    for (count, what) in [
        (sum(&seen.not_comparable), "not comparable"),
        (sum(&seen.dropped), "dropped"),
        (seen.recovered, "no longer differed when asked again"),
        (seen.fallbacks, "answered by fallback"),
    ] {
        if count > 0 {
            write!(out, "<br>{count} {what}")?;
        }
    }
    for leg in [Leg::Ndh, Leg::Standard] {
        let (answers, refused) = (seen.answers.of(leg), *seen.refused.of(leg));
        if answers.count > 0 {
            write!(out, "<br>{}: {} answers", leg.as_str(), answers.count)?;
            write!(out, ", {} errors", answers.errors)?;
            if let Some(p95) = unit.times.of(leg).p95 {
                write!(out, ", 95 % within {:.0} ms", p95 * 1000.0)?;
            }
        }
        if refused > 0 {
            write!(
                out,
                "<br><strong class=\"down\">{} refused our credentials</strong>, {refused} times",
                leg.as_str()
            )?;
        }
    }
    for one in unit.unknown_differences().into_iter().take(SHOWN) {
        let pointer = if one.pointer.is_empty() {
            "(the whole)"
        } else {
            &one.pointer
        };
        write!(
            out,
            "<br><code>{}</code> {}: {}",
            Escaped(pointer),
            Escaped(&one.kind.replace('_', " ")),
            one.count
        )?;
    }
    Ok(())
}

fn decision(out: &mut String, unit: &Unit) -> fmt::Result {
    let next = unit.decision.next.as_str();
    if unit.decision.go {
        return write!(out, "<strong class=\"up\">GO</strong> for {next}");
    }
    write!(out, "<strong class=\"down\">NO-GO</strong> for {next}")?;
    for lack in &unit.decision.lacks {
        write!(out, "<br>{}", Escaped(&lack.sentence))?;
    }
    Ok(())
}

fn ndh(out: &mut String, ndh: &Withdrawal, now: i64) -> fmt::Result {
    match ndh.last_used {
        Some(last) if now - last < 86_400 => out.push_str("used within a day"),
        Some(_) => write!(out, "last used {} days ago", ndh.days)?,
        None => write!(out, "not used since {}", rfc3339(ndh.known_since))?,
    }
    if ndh.possible {
        out.push_str("<br><strong class=\"up\">can be withdrawn</strong>");
    }
    Ok(())
}

/// What the standard leg is asked with.
pub(super) fn tokens(out: &mut String, tokens: &[Token], now: i64) -> fmt::Result {
    if tokens.is_empty() {
        return Ok(());
    }
    out.push_str("<h2>Tokens</h2>\n<table><tr><th>name</th><th>now</th><th>last failure</th><th>secret</th></tr>\n");
    for token in tokens {
        write!(out, "<tr><td>{}</td><td>", Escaped(&token.name))?;
        match token.expires {
            Some(at) if at > now => write!(out, "<span class=\"up\">good for {} more</span>", span(at - now))?,
            Some(at) => write!(out, "<strong class=\"down\">ended</strong> at {}", rfc3339(at))?,
            None => out.push_str("<strong class=\"down\">none</strong>"),
        }
        out.push_str("</td><td>");
        match &token.failed {
            Some((at, why)) => write!(out, "{} at {}", Escaped(why), rfc3339(*at))?,
            None => out.push('-'),
        }
        out.push_str("</td><td>");
        match token.secret_since {
            Some(at) => write!(out, "in use since {}", rfc3339(at))?,
            None => out.push('-'),
        }
        out.push_str("</td></tr>\n");
    }
    out.push_str("</table>\n");
    Ok(())
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;
    use crate::compare::{Difference, Kind, Verdict};
    use crate::switch::report::{Frame, QUIET_DAYS, RouteFacts};
    use crate::switch::{Able, Event, Evidence, Lack, LastUsed, Mode, Order, Short, Standing, Terms};

    const NOW: i64 = 1_800_000_000;
    const EVIL: &str = "<script>alert('x')</script>";

    fn page(standing: &Standing) -> String {
        let mut seen = Evidence::new(NOW, Duration::from_secs(60));
        let difference = Difference {
            pointer: "/tier".to_owned(),
            kind: Kind::OnlyNdh,
            known: None,
        };
        seen.judged(Duration::ZERO, &Verdict::Mismatch(vec![difference]));
        seen.fell_back();
        let mut last_used = LastUsed::default();
        last_used.note(NOW - 3 * 86_400, false);
        let facts = RouteFacts {
            route: "all",
            comparable: true,
            evidence: &seen,
            last_used,
            known: Vec::new(),
        };
        let frame = Frame {
            now: NOW,
            known_since: NOW - 9 * 86_400,
            quiet_days: QUIET_DAYS,
        };
        let report = Report::new(NOW, vec![Unit::new(standing, None, &[facts], frame)]);
        let mut out = String::new();
        write(&mut out, &report, NOW).expect("text");
        out
    }

    fn terms(able: Able) -> Terms {
        Terms {
            mode: Mode::Shadow,
            able,
            ..Terms::default()
        }
    }

    #[test]
    fn a_unit_says_who_answers_why_and_what_is_missing() {
        let (mut standing, _) = Standing::new("person", terms(Able::ALL), None, None, NOW);
        let order = Order {
            mode: Mode::Canary,
            share: Some(0.05),
            reason: EVIL.to_owned(),
            by: EVIL.to_owned(),
            hold: Duration::from_secs(7200),
        };
        standing.apply(Event::Set(order), NOW).expect("set");
        let page = page(&standing);
        for part in [
            "<strong>canary 5 %</strong>",
            "configured: shadow",
            "override for 2",
            "1 compared: 0 matched, 0 known, 1 mismatched",
            "<code>/tier</code> only ndh: 1",
            "NO-GO</strong> for standard",
            "1 of 500 samples",
            "last used 3 days ago",
            "1 answered by fallback",
        ] {
            assert!(page.contains(part), "{part}: {page}");
        }
        assert!(!page.contains("<script") && page.contains("&lt;script&gt;"), "{page}");
    }

    #[test]
    fn a_roll_back_is_said_with_its_reason_and_nothing_in_it_is_markup() {
        let mut canary = terms(Able::ALL);
        (canary.mode, canary.share) = (Mode::Canary, 0.5);
        let (mut standing, _) = Standing::new(EVIL, canary, None, None, NOW);
        let lack = Lack {
            kind: Short::Errors,
            sentence: format!("too many errors {EVIL}"),
        };
        standing.apply(Event::Judged(vec![lack]), NOW).expect("judged");
        let page = page(&standing);
        assert!(page.contains("rolled back</strong> from canary 50 %"), "{page}");
        assert!(page.contains("too many errors &lt;script&gt;") && !page.contains("<script"));
    }

    #[test]
    fn where_nothing_can_be_switched_nothing_is_shown() {
        let (standing, _) = Standing::new("person", terms(Able::default()), None, None, NOW);
        assert_eq!(page(&standing), "");
    }

    #[test]
    fn a_token_says_how_long_it_is_good_and_what_failed_last() {
        let token = |expires| Token {
            name: EVIL.to_owned(),
            expires,
            failed: Some((NOW - 60, "timeout")),
            secret_since: Some(NOW - 86_400),
        };
        let mut out = String::new();
        tokens(
            &mut out,
            &[token(Some(NOW + 600)), token(Some(NOW - 1)), token(None)],
            NOW,
        )
        .expect("text");
        for part in ["good for 10", ">ended<", ">none<", "timeout at 20", "in use since 20"] {
            assert!(out.contains(part), "{part}: {out}");
        }
        assert!(!out.contains("<script"));
    }
}
