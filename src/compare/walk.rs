//! Two views side by side, by structure: objects by key, arrays by position or as multisets, numbers by what they mean.
//!
//! In an array whose order does not count, equal elements are paired off first, so that a removed element is one
//! difference; where both sides keep exactly one, those two are the same thing changed and are walked. In one whose order counts,
//! different lengths are one difference: which element lost its partner cannot be told.
//!
//! Work and findings are bounded: by depth, by the number of differences, and, for the pairing, by a number of looks.
//! Beyond a bound one [`Kind::Truncated`] says that there may be more.

use serde_json::{Number, Value};

use super::Difference;
use super::Kind;
use super::place::{Step, told};
use super::rules::{Excuses, Rules};

/// Different places and kinds that are told of one comparison.
pub(super) const MOST_DIFFERENCES: usize = 64;

/// As deep as the parser of JSON goes.
pub(super) const DEEPEST: usize = 128;

/// Values looked at while elements are paired off.
const MOST_LOOKS: u32 = 1 << 20;

/// Everything in which the views differ, in the order of the views.
pub(super) fn differences(ndh: &Value, standard: &Value, rules: &Rules, excuses: &mut Excuses<'_>) -> Vec<Difference> {
    let mut report = Report {
        excuses,
        found: Vec::new(),
        truncated: false,
    };
    let mut walk = Walk {
        rules,
        place: Vec::new(),
        pairing: false,
        looks: MOST_LOOKS,
    };
    walk.compare(ndh, standard, &mut report);
    report.end()
}

/// Where findings go.
trait Findings {
    /// False: enough, the walk may stop.
    fn add(&mut self, place: &[Step<'_>], kind: Kind) -> bool;
}

struct Report<'r, 'a> {
    excuses: &'r mut Excuses<'a>,
    found: Vec<Difference>,
    truncated: bool,
}

impl Report<'_, '_> {
    fn end(mut self) -> Vec<Difference> {
        if self.truncated {
            self.found.push(Difference {
                pointer: String::new(),
                kind: Kind::Truncated,
                known: None,
            });
        }
        self.found
    }
}

impl Findings for Report<'_, '_> {
    fn add(&mut self, place: &[Step<'_>], kind: Kind) -> bool {
        if kind == Kind::Truncated {
            self.truncated = true;
            return true;
        }
        let difference = Difference {
            pointer: told(place),
            kind,
            known: self.excuses.name(place, kind),
        };
        if self.found.contains(&difference) {
            return true;
        }
        if self.found.len() == MOST_DIFFERENCES {
            self.truncated = true;
            return false;
        }
        self.found.push(difference);
        true
    }
}

/// Whether there is any difference at all.
struct Any(bool);

impl Findings for Any {
    fn add(&mut self, _: &[Step<'_>], _: Kind) -> bool {
        self.0 = true;
        false
    }
}

struct Walk<'a> {
    rules: &'a Rules,
    place: Vec<Step<'a>>,
    /// Whether elements are being paired off: only equal or not counts then.
    pairing: bool,
    looks: u32,
}

impl<'a> Walk<'a> {
    /// False: the findings are enough.
    fn compare(&mut self, ndh: &'a Value, standard: &'a Value, to: &mut dyn Findings) -> bool {
        if self.rules.ignores(&self.place) {
            return true;
        }
        if self.pairing && !self.look() {
            return to.add(&self.place, Kind::Truncated);
        }
        match (ndh, standard) {
            (Value::Object(_), Value::Object(_)) | (Value::Array(_), Value::Array(_))
                if self.place.len() == DEEPEST =>
            {
                same(ndh, standard) || to.add(&self.place, Kind::Truncated)
            }
            (Value::Object(ndh), Value::Object(standard)) => {
                for (key, value) in ndh {
                    let go_on = match standard.get(key) {
                        Some(other) => self.below(Step::Key(key), |walk| walk.compare(value, other, to)),
                        None => self.below(Step::Key(key), |walk| walk.only(Kind::OnlyNdh, to)),
                    };
                    if !go_on {
                        return false;
                    }
                }
                let mut added = standard.keys().filter(|key| !ndh.contains_key(*key));
                added.all(|key| self.below(Step::Key(key), |walk| walk.only(Kind::OnlyStandard, to)))
            }
            (Value::Array(ndh), Value::Array(standard)) if self.rules.is_unordered(&self.place) => {
                self.below(Step::Somewhere, |walk| walk.pair_off(ndh, standard, to))
            }
            (Value::Array(ndh), Value::Array(standard)) if ndh.len() != standard.len() => {
                to.add(&self.place, Kind::Length)
            }
            (Value::Array(ndh), Value::Array(standard)) => {
                let mut pairs = ndh.iter().zip(standard).enumerate();
                pairs
                    .all(|(at, (ndh, standard))| self.below(Step::Position(at), |walk| walk.compare(ndh, standard, to)))
            }
            (Value::Number(a), Value::Number(b)) => {
                let near = || {
                    let tolerance = self.rules.tolerance_at(&self.place);
                    tolerance.is_some_and(|tolerance| distance(a, b) <= tolerance)
                };
                equal(a, b) || near() || to.add(&self.place, Kind::Value)
            }
            (Value::Null, Value::Null) => true,
            (Value::Bool(a), Value::Bool(b)) if a == b => true,
            (Value::String(a), Value::String(b)) if a == b => true,
            (Value::Bool(_), Value::Bool(_)) | (Value::String(_), Value::String(_)) => to.add(&self.place, Kind::Value),
            _ => to.add(&self.place, Kind::Type),
        }
    }

    fn below(&mut self, step: Step<'a>, look: impl FnOnce(&mut Self) -> bool) -> bool {
        self.place.push(step);
        let go_on = look(self);
        self.place.pop();
        go_on
    }

    fn only(&self, kind: Kind, to: &mut dyn Findings) -> bool {
        self.rules.ignores(&self.place) || to.add(&self.place, kind)
    }

    /// Counts a look; false: there have been too many.
    fn look(&mut self) -> bool {
        let left = self.looks.checked_sub(1);
        self.looks = left.unwrap_or(0);
        left.is_some()
    }

    /// Two arrays as multisets. Where a tolerance applies to what is inside, the first that fits is taken.
    fn pair_off(&mut self, ndh: &'a [Value], standard: &'a [Value], to: &mut dyn Findings) -> bool {
        if self.rules.ignores(&self.place) {
            return true;
        }
        let mut left = Vec::new();
        let mut right: Vec<&'a Value> = standard.iter().collect();
        for value in ndh {
            match right.iter().position(|other| self.equal(value, other)) {
                Some(partner) => drop(right.remove(partner)),
                None => left.push(value),
            }
        }
        match (&left[..], &right[..]) {
            ([], []) => true,
            _ if self.looks == 0 => to.add(&self.place, Kind::Truncated),
            _ if self.pairing => to.add(&self.place, Kind::Value),
            ([ndh], [standard]) => self.compare(ndh, standard, to),
            (left, right) => {
                let kinds = [
                    (!left.is_empty() && !right.is_empty(), Kind::Value),
                    (left.len() > right.len(), Kind::OnlyNdh),
                    (left.len() < right.len(), Kind::OnlyStandard),
                ];
                let mut kinds = kinds.into_iter().filter(|(there, _)| *there);
                kinds.all(|(_, kind)| to.add(&self.place, kind))
            }
        }
    }

    fn equal(&mut self, ndh: &'a Value, standard: &'a Value) -> bool {
        let before = std::mem::replace(&mut self.pairing, true);
        let mut any = Any(false);
        self.compare(ndh, standard, &mut any);
        self.pairing = before;
        !any.0
    }
}

/// Numbers are what they mean: 1 is 1.0; whole numbers are compared digit by digit, however large.
fn equal(a: &Number, b: &Number) -> bool {
    match (whole(a), whole(b)) {
        (Some(a), Some(b)) => a == b,
        (None, None) => a.as_f64() == b.as_f64(),
        _ => false,
    }
}

fn distance(a: &Number, b: &Number) -> f64 {
    match (whole(a), whole(b)) {
        (Some(a), Some(b)) if a.checked_sub(b).is_some() => a.abs_diff(b) as f64,
        _ => match (a.as_f64(), b.as_f64()) {
            (Some(a), Some(b)) => (a - b).abs(),
            _ => f64::INFINITY,
        },
    }
}

fn whole(number: &Number) -> Option<i128> {
    if let Some(signed) = number.as_i64() {
        return Some(signed.into());
    }
    if let Some(unsigned) = number.as_u64() {
        return Some(unsigned.into());
    }
    let float = number.as_f64()?;
    // every float of this size that has no fraction is a whole number that fits
    (float.fract() == 0.0 && float.abs() < 2_f64.powi(126)).then_some(float as i128)
}

/// Equality without rules and without recursion, for what lies too deep for both.
fn same(a: &Value, b: &Value) -> bool {
    let mut pairs = vec![(a, b)];
    while let Some(pair) = pairs.pop() {
        let alike = match pair {
            (Value::Object(a), Value::Object(b)) => {
                pairs.extend(a.iter().filter_map(|(key, value)| Some((value, b.get(key)?))));
                a.len() == b.len() && a.keys().all(|key| b.contains_key(key))
            }
            (Value::Array(a), Value::Array(b)) => {
                pairs.extend(a.iter().zip(b));
                a.len() == b.len()
            }
            (Value::Number(a), Value::Number(b)) => equal(a, b),
            (Value::Null, Value::Null) => true,
            (Value::Bool(a), Value::Bool(b)) => a == b,
            (Value::String(a), Value::String(b)) => a == b,
            _ => false,
        };
        if !alike {
            return false;
        }
    }
    true
}
