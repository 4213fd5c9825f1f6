//! What was declared beforehand: noise that is no difference, and differences that are expected.
//!
//! Noise is not looked at and leaves no trace. A known difference is found, counted and named: a rule excuses it only where
//! the rule says it may, and only when its predicate says true of the very two answers at hand. A predicate that fails to
//! run, or says anything else, excuses nothing.

use serde_json::{Value, json};

use super::pattern::Pattern;
use super::place::Step;
use super::{Kind, Side};
use crate::mapping::{Bounds, Program};

/// How the two legs of one route are compared.
#[derive(Debug, Default)]
pub struct Rules {
    /// Not compared, with all below.
    pub ignore: Vec<Pattern>,
    /// Arrays whose order does not count.
    pub unordered: Vec<Pattern>,
    /// How far two numbers may be apart.
    pub tolerance: Vec<(Pattern, f64)>,
    /// Statuses of NDH and of the standard leg that say the same.
    pub equal_status: Vec<(u16, u16)>,
    /// Asked in order; the first that excuses gives its name.
    pub known: Vec<Known>,
}

/// A difference that is expected, and why.
#[derive(Debug)]
pub struct Known {
    pub name: String,
    pub reason: String,
    /// The places it may excuse, each exactly; "" is the whole: another status, or missing on a side.
    pub at: Vec<Pattern>,
    /// Asked of `{ndh: {status, view}, standard: {status, view}}`; none: always.
    pub when: Option<Program>,
}

impl Rules {
    pub(super) fn ignores(&self, place: &[Step<'_>]) -> bool {
        self.ignore.iter().any(|pattern| pattern.fits(place))
    }

    pub(super) fn is_unordered(&self, place: &[Step<'_>]) -> bool {
        self.unordered.iter().any(|pattern| pattern.fits(place))
    }

    pub(super) fn tolerance_at(&self, place: &[Step<'_>]) -> Option<f64> {
        let mut fitting = self.tolerance.iter().filter(|(pattern, _)| pattern.fits(place));
        fitting.next().map(|(_, tolerance)| *tolerance)
    }
}

/// The known rules before one pair of answers: each predicate is run at most once, and only if it is needed.
pub(super) struct Excuses<'a> {
    rules: &'a [Known],
    said: Vec<Option<bool>>,
    sides: (&'a Side, &'a Side),
    input: Option<Value>,
}

impl<'a> Excuses<'a> {
    pub(super) fn new(rules: &'a Rules, ndh: &'a Side, standard: &'a Side) -> Self {
        Self {
            rules: &rules.known,
            said: vec![None; rules.known.len()],
            sides: (ndh, standard),
            input: None,
        }
    }

    /// The name of the first rule that excuses a difference here.
    pub(super) fn name(&mut self, place: &[Step<'_>], kind: Kind) -> Option<String> {
        if kind == Kind::Truncated {
            return None;
        }
        let rules = self.rules;
        let mut listed = (0..rules.len()).filter(|at| rules[*at].at.iter().any(|pattern| pattern.fits(place)));
        listed.find(|at| self.holds(*at)).map(|at| rules[at].name.clone())
    }

    fn holds(&mut self, at: usize) -> bool {
        if let Some(said) = self.said[at] {
            return said;
        }
        let said = match &self.rules[at].when {
            None => true,
            Some(program) => {
                let (ndh, standard) = self.sides;
                let shown = |side: &Side| json!({ "status": side.status, "view": side.view });
                let input = self
                    .input
                    .get_or_insert_with(|| json!({ "ndh": shown(ndh), "standard": shown(standard) }));
                matches!(program.run(input, &Bounds::default()), Ok(Some(Value::Bool(true))))
            }
        };
        self.said[at] = Some(said);
        said
    }
}
