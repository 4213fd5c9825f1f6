//! Which legs are configured, what they need, and what of that is in use: a broken leg that nothing is asked of is a warning.

use std::collections::{BTreeMap, BTreeSet};

use super::report::{Line, Lines, Subject};
use crate::config::settings::{Authorization, Leg, Settings};
use crate::switch::Mode;

/// The legs of all routes.
pub(super) struct Legs<'a> {
    pub(super) settings: &'a Settings,
    all: Vec<Way<'a>>,
    broken: BTreeSet<Subject>,
}

struct Way<'a> {
    leg: &'a Leg,
    token: Option<&'a str>,
    unit: &'a str,
    standard: bool,
    in_use: bool,
}

impl<'a> Legs<'a> {
    pub(super) fn of(settings: &'a Settings) -> Self {
        let mut all = Vec::new();
        for route in &settings.routes {
            let Some(unit) = settings.units.get(&route.unit) else {
                continue;
            };
            let terms = &unit.terms;
            let asks_ndh = terms.mode != Mode::Standard || terms.fallback || terms.compare;
            let legs = [
                (&route.ndh, false, asks_ndh),
                (&route.standard, true, terms.mode != Mode::Ndh),
            ];
            for (leg, standard, in_use) in legs {
                if let Some(leg) = leg {
                    let token = leg.token.as_deref().or_else(|| {
                        let upstream = settings.upstreams.get(&leg.upstream)?;
                        upstream.token.as_deref()
                    });
                    all.push(Way {
                        leg,
                        token: token.filter(|_| leg.authorization == Authorization::Strip),
                        unit: &unit.name,
                        standard,
                        in_use,
                    });
                }
            }
        }
        Self {
            settings,
            all,
            broken: BTreeSet::new(),
        }
    }

    /// The tokens with which this upstream is asked.
    pub(super) fn tokens(&self, upstream: &str) -> BTreeSet<&'a str> {
        let of = self.all.iter().filter(|way| way.leg.upstream == upstream);
        of.filter_map(|way| way.token).collect()
    }

    /// Whether this leg asks this upstream with this token.
    pub(super) fn is_asked(&self, leg: &Leg, upstream: &str, token: &str) -> bool {
        let way = self.all.iter().find(|way| std::ptr::eq(way.leg, leg));
        leg.upstream == upstream && way.is_some_and(|way| way.token == Some(token))
    }

    pub(super) fn asks_without_token(&self, upstream: &str) -> bool {
        self.all
            .iter()
            .any(|way| way.leg.upstream == upstream && way.token.is_none())
    }

    pub(super) fn token_is_for_standard(&self, token: &str) -> bool {
        self.all.iter().any(|way| way.standard && way.token == Some(token))
    }

    /// Remembers what is broken, and takes it lightly where nothing is asked of it yet.
    pub(super) fn weighed(&mut self, mut lines: Lines) -> Vec<Line> {
        if lines.failed() {
            self.broken.insert(lines.subject().clone());
            let (named, in_use) = self.need(lines.subject());
            // An upstream that no route names is told as it is found; a token without a use is not in use.
            let idle = named || matches!(lines.subject(), Subject::Token(_));
            if idle && !in_use {
                lines.not_in_use();
            }
        }
        lines.into_list()
    }

    /// Whether a leg names this, and whether one that does is in use.
    fn need(&self, subject: &Subject) -> (bool, bool) {
        let logon_over = |token: Option<&str>, upstream: &str| {
            let token = token.and_then(|token| self.settings.tokens.get(token));
            token.is_some_and(|token| match &token.source {
                crate::config::settings::Source::DeliusLogon(logon) => logon.upstream == upstream,
                crate::config::settings::Source::ClientCredentials(_) => false,
            })
        };
        let needs = |way: &&Way<'_>| match subject {
            Subject::Upstream(name) => way.leg.upstream == *name || logon_over(way.token, name),
            Subject::Token(name) => way.token == Some(name.as_str()),
            Subject::Leg(upstream, token) => way.leg.upstream == *upstream && way.token == Some(token.as_str()),
            _ => false,
        };
        let mut named = self.all.iter().filter(needs);
        let in_use = self.all.iter().filter(needs).any(|way| way.in_use);
        (named.next().is_some(), in_use)
    }

    /// One line for all units that are alike.
    pub(super) fn modes(&self, only: Option<&str>, lines: &mut Lines) {
        /// Mode, what is asked, what of it is broken.
        type Alike<'a> = (&'a str, Vec<String>, Vec<String>);
        let mut alike: BTreeMap<Alike<'_>, Vec<&str>> = BTreeMap::new();
        for (name, unit) in &self.settings.units {
            let ways: Vec<&Way<'_>> = self.all.iter().filter(|way| way.unit == name).collect();
            if only.is_some_and(|only| ways.iter().all(|way| way.leg.upstream != only)) {
                continue;
            }
            let told: BTreeSet<String> = ways.iter().map(|way| way.told()).collect();
            let broken: BTreeSet<String> = ways
                .iter()
                .filter(|way| way.in_use && self.is_broken(way))
                .map(|way| way.told())
                .collect();
            let key = (
                unit.terms.mode.as_str(),
                told.into_iter().collect(),
                broken.into_iter().collect(),
            );
            alike.entry(key).or_default().push(name);
        }
        for ((mode, told, broken), units) in alike {
            let units = units.join(", ");
            let found = format!("in mode \"{mode}\": {units}; {}", told.join("; "));
            if broken.is_empty() {
                lines.ok("mode", found);
            } else if mode == "ndh" {
                lines.skip(
                    "mode",
                    format!("{found}: what they are asked of does not work, see above"),
                );
            } else {
                lines.fail(
                    "mode",
                    format!(
                        "{found}: in this mode it is asked of what does not work: {}",
                        broken.join("; ")
                    ),
                    "legs that work, before a unit leaves \"ndh\"",
                    "repair what failed above; until then set the mode back to one that does not need it",
                );
            }
        }
    }

    fn is_broken(&self, way: &Way<'_>) -> bool {
        let upstream = &way.leg.upstream;
        self.broken.contains(&Subject::Upstream(upstream.clone()))
            || way.token.is_some_and(|token| {
                self.broken.contains(&Subject::Token(token.to_owned()))
                    || self.broken.contains(&Subject::Leg(upstream.clone(), token.to_owned()))
            })
    }
}

impl Way<'_> {
    fn told(&self) -> String {
        let which = if self.standard { "standard" } else { "ndh" };
        let token = self.token.map_or(String::new(), |token| format!(" with token {token}"));
        let idle = if self.in_use { "" } else { " (not asked)" };
        format!("leg {which}: upstream {}{token}{idle}", self.leg.upstream)
    }
}
