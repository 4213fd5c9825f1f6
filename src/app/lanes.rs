//! Routes of the settings → lanes of a plan, and what of them outlives a plan: evidence and held persons.

use std::collections::HashMap;
use std::collections::hash_map::DefaultHasher;
use std::hash::{Hash, Hasher};
use std::sync::Arc;

use super::units::Units;
use crate::clock;
use crate::config::settings::{self, Authorization, Limits, Query, Route, Settings, Source};
use crate::mapping::Program;
use crate::proxy::ledger::{Holds, Ledger};
use crate::proxy::plan::{InFlight, Lane, Leg, Rule, Token};
use crate::switch::evidence::Evidence;
use crate::switch::{self, Effective, Mode};
use crate::telemetry::metrics::RouteMeter;

/// Fields that would make a reply which nobody here can read, or leave it out.
const NOT_WHEN_READ: [&str; 7] = [
    "accept-encoding",
    "range",
    "if-match",
    "if-none-match",
    "if-modified-since",
    "if-unmodified-since",
    "if-range",
];

/// Evidence by route, and held persons by unit.
#[derive(Debug, Default)]
pub(super) struct Ledgers {
    /// With a number of what the evidence is about: programs and rules.
    routes: HashMap<String, (u64, Arc<Ledger>)>,
    holds: HashMap<String, Arc<Holds>>,
}

impl Ledgers {
    /// The ledger of a route; a new one where what is compared has changed, or how.
    pub(super) fn ledger(&mut self, route: &Route, settings: &Settings) -> Arc<Ledger> {
        let about = about(route);
        let window = settings
            .units
            .get(&route.unit)
            .map(|unit| unit.terms.gate.window)
            .unwrap_or_default();
        let anew = || Evidence::new(clock::unix_seconds(), window);
        let entry = self
            .routes
            .entry(route.name.clone())
            .or_insert_with(|| (about, Arc::new(Ledger::new(anew()))));
        if entry.0 != about {
            // The ledger stays: when NDH was last used is about the route and not about how it is compared.
            entry.0 = about;
            *entry.1.evidence() = anew();
            tracing::info!(
                audit = true,
                route = route.name,
                "what is compared has changed: the evidence begins anew"
            );
        }
        entry.1.evidence().window.resize(window);
        entry.1.clone()
    }

    /// What a unit's standing means for its routes.
    pub(super) fn rule(&mut self, unit: &str, units: &Units) -> Rule {
        let (effective, terms) = units.of(unit);
        Rule {
            unit: unit.into(),
            effective,
            fallback: terms.fallback,
            compare: terms.compare,
            holds: self.holds.entry(unit.to_owned()).or_default().clone(),
        }
    }

    /// What is known of a route is forgotten.
    pub(super) fn begin_anew(&self, route: &str, settings: &Settings) {
        let unit = settings
            .routes
            .iter()
            .find(|known| known.name == route)
            .map(|route| &route.unit);
        let window = unit
            .and_then(|unit| settings.units.get(unit))
            .map(|unit| unit.terms.gate.window);
        if let Some(ledger) = self.of(route) {
            *ledger.evidence() = Evidence::new(clock::unix_seconds(), window.unwrap_or_default());
        }
    }

    /// The ledgers of routes by name.
    pub(super) fn of(&self, route: &str) -> Option<&Arc<Ledger>> {
        self.routes.get(route).map(|(_, ledger)| ledger)
    }
}

/// A number that changes when the evidence would be about something else.
fn about(route: &Route) -> u64 {
    let mut hasher = DefaultHasher::new();
    for leg in [&route.ndh, &route.standard].into_iter().flatten() {
        let programs = [&leg.request, &leg.response, &leg.view];
        for program in programs {
            program.as_deref().map(Program::fingerprint).hash(&mut hasher);
        }
        leg.upstream.hash(&mut hasher);
        leg.path.as_ref().map(|path| path.as_str()).hash(&mut hasher);
        leg.parts.hash(&mut hasher);
    }
    if let Some(comparison) = &route.comparison {
        format!("{:?}", comparison.rules).hash(&mut hasher);
        for known in &comparison.rules.known {
            known.when.as_ref().map(Program::fingerprint).hash(&mut hasher);
        }
    }
    hasher.finish()
}

/// A leg ready for use.
pub(super) fn leg(
    leg: &settings::Leg,
    which: switch::Leg,
    target: usize,
    meter: Arc<RouteMeter>,
    ledger: Arc<Ledger>,
    mode: Mode,
    (route, settings): (&Route, &Settings),
) -> Leg {
    let upstream = settings.upstreams.get(&leg.upstream);
    let token = leg
        .token
        .clone()
        .or_else(|| upstream.and_then(|upstream| upstream.token.clone()));
    let token = token.filter(|_| leg.authorization == Authorization::Strip).map(|name| {
        let kind = settings.tokens.get(&name);
        Token {
            username_header: kind.and_then(settings::Token::username_header).map(str::to_owned),
            forbidden_is_stale: kind.is_some_and(|token| matches!(token.source, Source::DeliusLogon(_))),
            name,
        }
    });
    let mut set = Vec::new();
    let mut without: Vec<Box<str>> = Vec::new();
    for (name, value) in &leg.headers {
        set.extend_from_slice(format!("{name}: {value}\r\n").as_bytes());
        without.push(name.as_str().into());
    }
    // The name of a user is for the authorisation server, whichever leg answers.
    for token in settings.tokens.values() {
        without.extend(token.username_header().map(Box::from));
    }
    let streams = token.is_none() && leg.request.is_none() && leg.response.is_none() && leg.parts.is_empty();
    let compared = leg.view.is_some() && mode != Mode::Ndh;
    if !streams || compared || route.fields.is_some() {
        without.extend(NOT_WHEN_READ.map(Box::from));
    }
    Leg {
        which,
        target,
        path: leg.path.clone(),
        drops_query: leg.query == Query::Drop,
        authorization: leg.authorization,
        token,
        request: leg.request.clone(),
        response: leg.response.clone(),
        view: leg.view.clone(),
        parts: leg.parts.clone(),
        first_byte: leg.first_byte,
        total: leg.total,
        set,
        without,
        meter,
        streams,
        ledger: (which == switch::Leg::Ndh).then_some(ledger),
    }
}

/// A lane of the gateway: everything streams to the API, and nothing is switched.
pub(super) fn of_gateway(name: String, meter: Arc<RouteMeter>, in_flight: Arc<InFlight>, limits: &Limits) -> Lane {
    Lane {
        in_flight,
        in_flight_limit: limits.in_flight,
        body_limit: limits.body_bytes,
        person: None,
        idempotent: None,
        fields: None,
        ndh: Some(Arc::new(Leg {
            which: switch::Leg::Ndh,
            target: 0,
            path: None,
            drops_query: false,
            // Behind the gateway is the API's own affair: its token, if it has one, is for it.
            authorization: Authorization::Pass,
            token: None,
            request: None,
            response: None,
            view: None,
            parts: Vec::new(),
            first_byte: None,
            total: None,
            set: Vec::new(),
            without: Vec::new(),
            meter,
            streams: true,
            ledger: None,
        })),
        standard: None,
        rule: Rule {
            unit: name.as_str().into(),
            effective: Effective::default(),
            fallback: false,
            compare: false,
            holds: Arc::default(),
        },
        comparison: None,
        ledger: Arc::new(Ledger::new(Evidence::default())),
        name,
    }
}

/// For each target: whether some route answers through it.
pub(super) fn vital(lanes: &[Arc<Lane>], targets: usize) -> Vec<bool> {
    let mut vital = vec![false; targets];
    for lane in lanes {
        let answers = match lane.rule.effective.mode {
            Mode::Ndh | Mode::Shadow => [&lane.ndh, &None],
            Mode::Canary => [&lane.ndh, &lane.standard],
            Mode::Standard => [&None, &lane.standard],
        };
        for leg in answers.into_iter().flatten() {
            vital[leg.target] = true;
        }
    }
    vital
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::config;

    fn settings(path: &str, window: &str) -> Settings {
        let text = format!(
            "[upstream.ndh]\nurl = \"http://127.0.0.1:1\"\n[[route]]\nname = \"a\"\nmatch = \"GET /a\"\n\
             [route.gate]\nwindow = \"{window}\"\n[route.ndh]\nupstream = \"ndh\"\npath = \"{path}\"\n"
        );
        let loaded = config::load_run(&[config::Source::new("c.toml", text)], &[]);
        loaded
            .unwrap_or_else(|problems| panic!("{}", problems.lines()))
            .settings
    }

    #[test]
    fn when_ndh_was_last_used_outlives_a_change_of_what_is_compared() {
        let mut ledgers = Ledgers::default();
        let before = settings("/b", "5m");
        let ledger = ledgers.ledger(&before.routes[0], &before);
        ledger.used_ndh(true);
        ledger.evidence().fell_back();
        let after = settings("/c", "1m");
        let same = ledgers.ledger(&after.routes[0], &after);
        assert_eq!(same.evidence().fallbacks, 0, "the evidence begins anew");
        assert!(same.last_used().by_fallback.is_some());
        assert!(
            Arc::ptr_eq(&ledger, &same),
            "a request under way writes where it is read"
        );
    }
}
