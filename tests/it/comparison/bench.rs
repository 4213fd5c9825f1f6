//! What one person's replies of both sides come to, route by route and on the composite route.

use std::collections::BTreeMap;
use std::fs;
use std::path::{Path, PathBuf};
use std::sync::LazyLock;

use delius_sidecar::compare::{Known, Leg, Pattern, Reason, Rules, Side, Verdict, judge};
use delius_sidecar::mapping::{Bounds, Program};
use serde::Deserialize;
use serde_json::{Map, Value, json};

/// The routes that together are the common view.
pub(super) const FOUR: [&str; 4] = ["offender", "registrations", "resourcing", "all-offender-managers"];

/// Every route as the README configures it.
pub(super) static ROUTES: LazyLock<BTreeMap<String, Route>> = LazyLock::new(|| {
    let readme = read("config/mapping/view/README.md");
    let block = readme
        .split("```toml\n")
        .nth(1)
        .expect("the README holds the configuration");
    let block = block.split("```").next().expect("the block ends");
    let written: Configuration = toml::from_str(block).expect("the configuration in the README can be read");
    written
        .route
        .into_iter()
        .map(|route| (route.name.clone(), Route::new(&route)))
        .collect()
});

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Configuration {
    route: Vec<WrittenRoute>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct WrittenRoute {
    name: String,
    ndh: WrittenLeg,
    standard: WrittenLeg,
    comparison: WrittenComparison,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct WrittenLeg {
    response: Option<String>,
    view: String,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct WrittenComparison {
    again_after: String,
    #[serde(default)]
    ignore: Vec<String>,
    #[serde(default)]
    equal_status: Vec<String>,
    known: Vec<WrittenKnown>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct WrittenKnown {
    name: String,
    reason: String,
    at: Vec<String>,
    when: String,
}

pub(super) struct Route {
    ndh: Programs,
    standard: Programs,
    pub(super) rules: Rules,
}

/// What a leg's replies are read with.
struct Programs {
    response: Option<Program>,
    view: Program,
}

impl Programs {
    fn new(written: &WrittenLeg) -> Self {
        Self {
            response: written.response.as_deref().map(program),
            view: program(&written.view),
        }
    }
}

impl Route {
    fn new(written: &WrittenRoute) -> Self {
        let comparison = &written.comparison;
        assert_eq!(comparison.again_after, "30s", "{}", written.name);
        let patterns = |all: &[String]| {
            all.iter()
                .map(|text| Pattern::parse(text).expect("a pattern"))
                .collect()
        };
        let status = |text: &str| text.parse::<u16>().expect("a status");
        let pair = |text: &String| {
            text.split_once('/')
                .map(|(a, b)| (status(a), status(b)))
                .expect("two statuses")
        };
        let known = |rule: &WrittenKnown| Known {
            name: rule.name.clone(),
            reason: rule.reason.clone(),
            at: patterns(&rule.at),
            when: Some(program(&rule.when)),
        };
        Self {
            ndh: Programs::new(&written.ndh),
            standard: Programs::new(&written.standard),
            rules: Rules {
                ignore: patterns(&comparison.ignore),
                equal_status: comparison.equal_status.iter().map(pair).collect(),
                known: comparison.known.iter().map(known).collect(),
                ..Rules::default()
            },
        }
    }

    /// The class of a rule, which its reason begins with.
    pub(super) fn class(&self, name: &str) -> &str {
        let rule = self
            .rules
            .known
            .iter()
            .find(|rule| rule.name == name)
            .expect("a rule of this route");
        rule.reason.split_once(": ").expect("a reason begins with its class").0
    }

    /// What of one leg's reply is compared, with the status that the API sent; none: the mapping makes nothing of it.
    pub(super) fn side(&self, leg: Leg, reply: &Reply) -> Option<Side> {
        let sent = reply.shown();
        let input = json!({ "status": sent["status"], "body": sent["body"], "raw": sent, "params": params() });
        let side = self.understood(leg, input)?;
        Some(Side {
            status: reply.status,
            ..side
        })
    }

    /// What is compared of a leg's reply, read with its programs as the sidecar does.
    fn understood(&self, leg: Leg, mut input: Value) -> Option<Side> {
        let programs = match leg {
            Leg::Ndh => &self.ndh,
            Leg::Standard => &self.standard,
        };
        if let Some(response) = &programs.response {
            let mapped = response.run(&input, &Bounds::default()).ok()??;
            input["status"] = mapped["status"].clone();
            input["body"] = mapped["body"].clone();
        }
        let view = programs.view.run(&input, &Bounds::default());
        Some(Side {
            status: input["status"].as_u64().and_then(|status| status.try_into().ok())?,
            view: view.unwrap_or_else(|error| panic!("{error}")),
        })
    }

    pub(super) fn judge(&self, ndh: Option<&Side>, standard: Option<&Side>) -> Verdict {
        match (ndh, standard) {
            (Some(ndh), Some(standard)) => judge(ndh, standard, &self.rules),
            (None, _) => Verdict::NotComparable(Reason::NoView(Leg::Ndh)),
            (_, None) => Verdict::NotComparable(Reason::NoView(Leg::Standard)),
        }
    }
}

/// The parameters of every request here, whatever the route calls them.
fn params() -> Value {
    json!({ "nomsNumber": "Z9771XA", "crn": "Z977001", "identifier": "Z9771XA" })
}

/// A file of this repository.
pub(super) fn read(path: &str) -> String {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join(path);
    fs::read_to_string(&path).unwrap_or_else(|error| panic!("{}: {error}", path.display()))
}

/// A program as `config/base.toml` would name it.
fn program(path: &str) -> Program {
    let path: PathBuf = ["config", path].iter().collect();
    let path = path.to_str().expect("the name of a program is text");
    Program::compile(path, &read(path)).unwrap_or_else(|error| panic!("{error}"))
}

/// What an upstream sent.
#[derive(Clone, Debug, PartialEq)]
pub(super) struct Reply {
    pub(super) status: u16,
    pub(super) body: Value,
}

impl Reply {
    pub(super) fn new(status: u16, body: Value) -> Self {
        Self { status, body }
    }

    /// An error as the legacy API words it.
    pub(super) fn legacy(status: u16, message: &str) -> Self {
        Self::new(status, json!({ "status": status, "developerMessage": message }))
    }

    fn shown(&self) -> Value {
        json!({ "status": self.status, "body": self.body })
    }
}

/// One person as both sides know them.
#[derive(Clone, Debug)]
pub(super) struct Person {
    pub(super) all: Reply,
    pub(super) registrations: Reply,
    pub(super) resourcing: Reply,
    pub(super) managers: Reply,
    pub(super) standard: Reply,
}

/// What a comparison of one person came to, on one route or on several together.
#[derive(Debug, Default)]
pub(super) struct Outcome {
    pub(super) ndh_view: Map<String, Value>,
    pub(super) standard_view: Map<String, Value>,
    pub(super) verdicts: Vec<Verdict>,
    /// Pointer, rule, class of the rule; in the order of the routes.
    pub(super) differences: Vec<(String, Option<String>, Option<String>)>,
}

impl Outcome {
    fn add(&mut self, route: &Route, ndh: Option<&Side>, standard: Option<&Side>) {
        for (all, side) in [(&mut self.ndh_view, ndh), (&mut self.standard_view, standard)] {
            if let Some(Value::Object(view)) = side.and_then(|side| side.view.as_ref()) {
                all.extend(view.clone());
            }
        }
        let verdict = route.judge(ndh, standard);
        for difference in verdict.differences() {
            let known = difference.known.clone();
            let class = known.as_deref().map(|name| route.class(name).to_owned());
            let difference = (difference.pointer.clone(), known, class);
            if !self.differences.contains(&difference) {
                self.differences.push(difference);
            }
        }
        self.verdicts.push(verdict);
    }

    /// The verdict on the person: the gravest of the routes'.
    pub(super) fn verdict(&self) -> &'static str {
        let order = [
            "refused",
            "mismatch",
            "missing_on_standard",
            "missing_on_ndh",
            "not_comparable",
            "known",
            "match",
        ];
        let said = |word: &&&str| self.verdicts.iter().any(|verdict| verdict.as_str() == **word);
        order.iter().find(said).expect("there is a verdict")
    }
}

impl Person {
    /// The four legacy routes one by one, each beside the standard reply that stands for it.
    pub(super) fn by_routes(&self) -> Outcome {
        let legacy = [&self.all, &self.registrations, &self.resourcing, &self.managers];
        let mut outcome = Outcome::default();
        for (name, reply) in FOUR.iter().zip(legacy) {
            let route = &ROUTES[*name];
            let ndh = route.side(Leg::Ndh, reply);
            outcome.add(route, ndh.as_ref(), route.side(Leg::Standard, &self.standard).as_ref());
        }
        outcome
    }

    /// `GET /case-records/{identifier}`: NDH in four parts, the standard side at once.
    pub(super) fn by_composite(&self) -> Outcome {
        let route = &ROUTES["case-record"];
        let parts = json!({
            "all": self.all.shown(),
            "registrations": self.registrations.shown(),
            "resourcing": self.resourcing.shown(),
            "managers": self.managers.shown(),
        });
        let ndh = route.understood(Leg::Ndh, json!({ "parts": parts, "params": params() }));
        let mut outcome = Outcome::default();
        outcome.add(route, ndh.as_ref(), route.side(Leg::Standard, &self.standard).as_ref());
        outcome
    }
}
