//! What the routes of a unit must show each for itself.
//!
//! A unit is judged by the sum of its routes, and a sum forgets: a route that nobody asked for was never compared, and one
//! that is always wrong is lost among those that are asked for often. So each route that can be compared needs a few pairs
//! of its own, and must keep the bounds as soon as it has [`FEWEST_BAD`] bad ones.

use super::{FEWEST_BAD, Lack, Short, above, compares, few};
use crate::switch::report::Route;
use crate::switch::standing::Terms;
use crate::switch::words::ratio;
use crate::switch::{Decision, Mode, Step};

/// Pairs that each route needs: as many as let a roll-back happen.
fn floor(terms: &Terms) -> u64 {
    terms.gate.window_samples.min(terms.gate.min_samples)
}

/// The decision on a unit that is in `mode`, with what its routes lack.
pub(in crate::switch) fn with_routes(decision: Decision, terms: &Terms, mode: Mode, routes: &[Route]) -> Decision {
    let comparable: Vec<&Route> = routes.iter().filter(|route| route.comparable).collect();
    // One alone is its unit, which is judged already.
    if decision.next == Step::Shadow || !compares(terms, mode) || comparable.len() < 2 {
        return decision;
    }
    let own = comparable.into_iter().flat_map(|route| lacks(terms, route));
    Decision::new(decision.next, decision.lacks.into_iter().chain(own).collect())
}

fn lacks(terms: &Terms, route: &Route) -> Vec<Lack> {
    let gate = &terms.gate;
    let mut lacks = Vec::from_iter(few("samples", route.compared, floor(terms)));
    for (kind, what, bad, bound) in [
        (Short::Mismatch, "mismatch", route.mismatched, gate.max_mismatch),
        (Short::Missing, "missing on one side", route.missing, gate.max_missing),
    ] {
        if bad >= FEWEST_BAD && ratio(bad, route.compared) > bound {
            lacks.push(Lack::new(kind, above(what, bad, route.compared, bound)));
        }
    }
    for lack in &mut lacks {
        lack.sentence = format!("route {}: {}", route.route, lack.sentence);
    }
    lacks
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::switch::Able;

    fn route(name: &str, compared: u64, mismatched: u64, missing: u64) -> Route {
        Route {
            route: name.to_owned(),
            comparable: true,
            compared,
            mismatched,
            missing,
            ..Route::default()
        }
    }

    fn said(mode: Mode, compare: bool, routes: &[Route]) -> Vec<String> {
        let terms = Terms {
            able: Able::ALL,
            compare,
            ..Terms::default()
        };
        let next = if mode == Mode::Ndh { Step::Shadow } else { Step::Canary };
        let decision = with_routes(Decision::new(next, Vec::new()), &terms, mode, routes);
        assert_eq!(decision.go, decision.lacks.is_empty());
        decision.lacks.into_iter().map(|lack| lack.sentence).collect()
    }

    #[test]
    fn a_route_that_was_never_compared_is_missing_for_go() {
        let routes = [route("all", 500, 0, 0), route("registrations", 19, 0, 0)];
        let lack = ["route registrations: 19 of 20 samples"];
        assert_eq!(said(Mode::Shadow, false, &routes), lack);
        assert_eq!(said(Mode::Standard, true, &routes), lack);
        // From ndh nothing has to be shown; in standard comparing is a choice.
        assert!(said(Mode::Ndh, true, &routes).is_empty());
        assert!(said(Mode::Standard, false, &routes).is_empty());
        let enough = [route("all", 500, 0, 0), route("registrations", 20, 0, 0)];
        assert!(said(Mode::Shadow, false, &enough).is_empty());
    }

    #[test]
    fn a_route_whose_own_share_is_above_the_bounds_is_missing_for_go() {
        let routes = [
            route("all", 90_000, 0, 0),
            route("registrations", 100, 3, 0),
            route("managers", 100, 2, 4),
        ];
        assert_eq!(
            said(Mode::Shadow, false, &routes),
            [
                "route registrations: mismatch 3 % of 100, at most 0.1 %",
                "route managers: missing on one side 4 % of 100, at most 0.1 %"
            ],
            "two are no rate"
        );
    }

    #[test]
    fn what_cannot_be_compared_needs_no_samples_and_one_route_alone_is_its_unit() {
        let write = Route {
            comparable: false,
            ..route("manager", 0, 0, 0)
        };
        assert!(said(Mode::Shadow, false, &[route("all", 3, 0, 0), write]).is_empty());
    }
}
