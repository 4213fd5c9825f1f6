//! What is said of the switch-over: the values behind `route status` and `route report`, as they travel through the
//! control socket. Times are unix seconds. No person and no value of a reply is among them.

use serde::{Deserialize, Serialize};

use super::evidence::{Difference, Evidence, PerLeg};
use super::gate::{self, Decision, Lack, Short, Step};
use super::standing::{Effective, Override, RolledBack, Standing, Terms};
use super::usage::{self, LastUsed, Withdrawal};
use super::{Leg, Mode};

/// Days without use of NDH before its access can be withdrawn.
pub const QUIET_DAYS: i64 = 28;

/// All units.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct Report {
    /// When it was made.
    pub at: i64,
    /// In the order of the configuration.
    pub units: Vec<Unit>,
    pub withdrawal: Withdrawal,
}

/// One unit.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Unit {
    pub unit: String,
    pub routes: Vec<Route>,
    /// Who answers now.
    pub effective: Effective,
    /// What the configuration says.
    pub configured: Terms,
    #[serde(rename = "override")]
    pub set: Option<Override>,
    pub rolled_back: Option<RolledBack>,
    /// Since when standard has answered everybody.
    pub standard_since: Option<i64>,
    /// Of all its routes.
    pub evidence: Evidence,
    pub times: PerLeg<Times>,
    pub decision: Decision,
    /// The rules for known differences that are configured, each with what it has excused.
    pub known: Vec<KnownRule>,
    pub withdrawal: Withdrawal,
}

/// One route of a unit.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct Route {
    pub route: String,
    /// It takes a safe method and has a view on both legs.
    pub comparable: bool,
    pub compared: u64,
    pub mismatched: u64,
    pub missing: u64,
    /// When NDH last answered it.
    pub last_used: LastUsed,
}

/// How long a leg takes, in seconds.
#[derive(Clone, Copy, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct Times {
    #[serde(rename = "p50_s")]
    pub p50: Option<f64>,
    #[serde(rename = "p95_s")]
    pub p95: Option<f64>,
}

/// A rule for a known difference.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct KnownRule {
    pub name: String,
    pub reason: String,
    /// Pairs in which it excused something.
    pub count: u64,
}

/// What is known of a route, for [`Unit::new`].
#[derive(Clone, Debug)]
pub struct RouteFacts<'a> {
    pub route: &'a str,
    /// It takes a safe method and has a view on both legs.
    pub comparable: bool,
    pub evidence: &'a Evidence,
    pub last_used: LastUsed,
    /// Name and reason of each configured rule.
    pub known: Vec<(&'a str, &'a str)>,
}

/// Of the whole process, for [`Unit::new`].
#[derive(Clone, Copy, Debug)]
pub struct Frame {
    /// Unix seconds.
    pub now: i64,
    /// Since when the use of NDH is counted.
    pub known_since: i64,
    /// Days without use of NDH before its access can be withdrawn.
    pub quiet_days: i64,
}

impl Unit {
    /// Everything that can be said of a unit now.
    #[must_use]
    pub fn new(standing: &Standing, standard_since: Option<i64>, routes: &[RouteFacts<'_>], frame: Frame) -> Self {
        let (terms, effective) = (standing.terms(), standing.effective(frame.now));
        let mut evidence = Evidence::default();
        routes.iter().for_each(|route| evidence.merge(route.evidence));
        let used: Vec<LastUsed> = routes.iter().map(|route| route.last_used).collect();
        let (since, quiet) = (frame.known_since, frame.quiet_days);
        let withdrawal = usage::withdrawal(standing.unit(), terms, effective.mode, &used, since, quiet, frame.now);
        let (known, routes): (_, Vec<Route>) = (known(routes, &evidence), routes.iter().map(route).collect());
        let decision = gate::judge(terms, effective.mode, &evidence);
        let mut decision = gate::with_routes(decision, terms, effective.mode, &routes);
        if let Some(rolled_back) = standing.rolled_back() {
            // The figures may look good again, or still: what broke was only the last few minutes.
            let sentence = format!(
                "rolled back from {}: {}; find out why, then `route set` with a reason that is new, or `route reset`",
                rolled_back.from,
                rolled_back.reasons.join("; ")
            );
            let broke = Lack::new(Short::RolledBack, sentence);
            decision = Decision::new(decision.next, [broke].into_iter().chain(decision.lacks).collect());
        }
        if decision.next == Step::WithdrawNdh {
            let ndh = withdrawal
                .reasons
                .iter()
                .map(|reason| Lack::new(Short::Ndh, reason.as_str()));
            decision = Decision::new(decision.next, decision.lacks.into_iter().chain(ndh).collect());
        }
        let times = |leg: Leg| {
            let latency = &evidence.answers.of(leg).latency;
            Times {
                p50: latency.p50().map(|time| time.as_secs_f64()),
                p95: latency.p95().map(|time| time.as_secs_f64()),
            }
        };
        Self {
            unit: standing.unit().to_owned(),
            routes,
            effective,
            configured: terms.clone(),
            set: standing.override_at(frame.now).cloned(),
            rolled_back: standing.rolled_back().cloned(),
            standard_since,
            times: PerLeg {
                ndh: times(Leg::Ndh),
                standard: times(Leg::Standard),
            },
            known,
            evidence,
            decision,
            withdrawal,
        }
    }

    /// Whether the evidence supports that the unit goes into this mode, whatever mode it is in now.
    #[must_use]
    pub fn supports(&self, terms: &Terms, mode: Mode) -> Decision {
        let before = match mode {
            Mode::Ndh | Mode::Shadow => Mode::Ndh,
            // Without a person there is no canary: shadow is followed by standard.
            Mode::Standard if terms.able.person => Mode::Canary,
            Mode::Canary | Mode::Standard => Mode::Shadow,
        };
        let decision = gate::judge(terms, before, &self.evidence);
        gate::with_routes(decision, terms, before, &self.routes)
    }

    /// Differences that no rule knows, the most frequent first.
    #[must_use]
    pub fn unknown_differences(&self) -> Vec<&Difference> {
        self.evidence.differences.most_frequent(false)
    }
}

impl Report {
    /// Of all units.
    #[must_use]
    pub fn new(at: i64, units: Vec<Unit>) -> Self {
        Self {
            at,
            withdrawal: Withdrawal::of_all(units.iter().map(|unit| &unit.withdrawal)),
            units,
        }
    }

    /// What is wrong with a name that is no unit's, in words.
    #[must_use]
    pub fn unknown(&self, name: &str) -> String {
        let grouped = |unit: &&Unit| unit.routes.iter().any(|route| route.route == name);
        if let Some(unit) = self.units.iter().find(grouped) {
            return format!("{name} switches with its group: {}", unit.unit);
        }
        let names: Vec<&str> = self.units.iter().map(|unit| unit.unit.as_str()).collect();
        let names = if names.is_empty() {
            "none".to_owned()
        } else {
            names.join(", ")
        };
        format!("no group and no single route is called {name}; there are: {names}")
    }
}

fn route(facts: &RouteFacts<'_>) -> Route {
    let seen = facts.evidence;
    Route {
        route: facts.route.to_owned(),
        comparable: facts.comparable,
        compared: seen.compared,
        mismatched: seen.mismatched,
        missing: seen.missing_on_standard + seen.missing_on_ndh,
        last_used: facts.last_used,
    }
}

/// Routes of a unit may share a rule.
fn known(routes: &[RouteFacts<'_>], evidence: &Evidence) -> Vec<KnownRule> {
    let mut rules: Vec<KnownRule> = Vec::new();
    for (name, reason) in routes.iter().flat_map(|route| &route.known) {
        if !rules.iter().any(|rule| rule.name == *name) {
            rules.push(KnownRule {
                name: (*name).to_owned(),
                reason: (*reason).to_owned(),
                count: evidence.known_rules.get(*name).copied().unwrap_or(0),
            });
        }
    }
    rules
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;
    use crate::compare::{self, Kind, Verdict};
    use crate::switch::{Able, Event};

    const DAY: i64 = 86_400;
    const FRAME: Frame = Frame {
        now: 100 * DAY,
        known_since: 0,
        quiet_days: QUIET_DAYS,
    };

    fn standing(mode: Mode) -> Standing {
        let terms = Terms {
            mode,
            able: Able::ALL,
            ..Terms::default()
        };
        Standing::new("person", terms, None, None, FRAME.now).0
    }

    fn compared(pairs: u64) -> Evidence {
        let mut evidence = Evidence::new(7, Duration::from_secs(300));
        let draft = compare::Difference {
            pointer: "/enhancedResourcing".to_owned(),
            kind: Kind::OnlyNdh,
            known: Some("default".to_owned()),
        };
        let verdict = Verdict::Known(vec![draft]);
        (0..pairs).for_each(|_| evidence.judged(Duration::ZERO, &verdict));
        evidence
    }

    fn facts(evidence: &Evidence) -> RouteFacts<'_> {
        RouteFacts {
            route: "all",
            comparable: true,
            evidence,
            last_used: LastUsed::default(),
            known: vec![
                ("default", "the app took no decision for enhanced"),
                ("level", "two rules"),
            ],
        }
    }

    #[test]
    fn a_unit_is_the_sum_of_its_routes_and_its_rules_are_named_once() {
        let (one, two) = (compared(300), compared(200));
        let unit = Unit::new(&standing(Mode::Shadow), None, &[facts(&one), facts(&two)], FRAME);
        assert_eq!((unit.evidence.compared, unit.routes[1].compared), (500, 200));
        assert!(unit.decision.go, "{:?}", unit.decision);
        let counts: Vec<(&str, u64)> = unit.known.iter().map(|rule| (rule.name.as_str(), rule.count)).collect();
        assert_eq!(counts, [("default", 500), ("level", 0)]);
        assert!(unit.unknown_differences().is_empty());
    }

    #[test]
    fn a_route_that_nobody_asked_for_is_no_go() {
        let (one, two) = (compared(500), compared(0));
        let mut unseen = facts(&two);
        unseen.route = "registrations";
        let standing = standing(Mode::Shadow);
        let unit = Unit::new(&standing, None, &[facts(&one), unseen], FRAME);
        let said: Vec<&str> = unit.decision.lacks.iter().map(|lack| lack.sentence.as_str()).collect();
        assert_eq!(said, ["route registrations: 0 of 20 samples"]);
        let supported = unit.supports(standing.terms(), Mode::Canary);
        assert_eq!(
            supported, unit.decision,
            "in shadow, what supports canary is what GO is about"
        );
        let standard = unit.supports(standing.terms(), Mode::Standard);
        assert_eq!(
            (standard.next, standard.lacks.len()),
            (Step::Standard, 2),
            "nobody was answered by it"
        );
        assert!(unit.supports(standing.terms(), Mode::Ndh).go);
        let report = Report::new(FRAME.now, vec![unit]);
        assert_eq!(report.unknown("all"), "all switches with its group: person");
        assert_eq!(
            report.unknown("x"),
            "no group and no single route is called x; there are: person"
        );
    }

    #[test]
    fn in_standard_what_is_missing_for_withdrawing_ndh_is_missing_for_go() {
        let evidence = compared(500);
        let mut used = facts(&evidence);
        used.last_used.note(99 * DAY, false);
        let unit = Unit::new(&standing(Mode::Standard), Some(5), &[used], FRAME);
        let kinds: Vec<Short> = unit.decision.lacks.iter().map(|lack| lack.kind).collect();
        assert_eq!(
            kinds,
            [Short::Samples, Short::Ndh],
            "answers by standard, and use of NDH"
        );
        let report = Report::new(FRAME.now, vec![unit]);
        assert!(!report.withdrawal.possible && report.withdrawal.days == 1);
    }

    #[test]
    fn what_was_rolled_back_is_no_go_however_good_its_figures_are() {
        let evidence = compared(500);
        let mut standing = standing(Mode::Standard);
        let lack = Lack::new(Short::Errors, "errors 50 %");
        standing.apply(Event::Judged(vec![lack]), FRAME.now).expect("taken");
        let unit = Unit::new(&standing, None, &[facts(&evidence)], FRAME);
        assert_eq!((unit.decision.go, unit.decision.next), (false, Step::Canary));
        assert_eq!(unit.decision.lacks.len(), 1, "{:?}", unit.decision);
        assert!(
            unit.decision.lacks[0]
                .sentence
                .starts_with("rolled back from standard: errors 50 %")
        );
    }

    #[test]
    fn a_report_survives_json() {
        let evidence = compared(3);
        let mut unit = Unit::new(&standing(Mode::Canary), None, &[facts(&evidence)], FRAME);
        unit.configured.gate.max_p95 = Some(Duration::from_millis(1_500));
        let report = Report::new(FRAME.now, vec![unit]);
        let json = serde_json::to_value(&report).expect("written");
        assert_eq!(json["units"][0]["decision"]["next"], "standard");
        let gate = &json["units"][0]["configured"]["gate"];
        assert_eq!((&gate["window_s"], &gate["max_p95_s"]), (&300.0.into(), &1.5.into()));
        let mut back: Report = serde_json::from_value(json).expect("read");
        for (unit, was) in back.units.iter_mut().zip(&report.units) {
            unit.evidence.window = was.evidence.window.clone();
        }
        assert_eq!(back, report);
    }
}
