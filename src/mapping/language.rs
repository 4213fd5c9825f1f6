//! What a program may call: jq's standard library without the world.
//!
//! An allow-list, so that nothing new slips in with a new version of the library: no time, no environment, no input of
//! its own, no end of the process, no log. What works on jaq's plain value there is written anew here for the metered
//! one. Regular expressions are jq's, but pay for pattern times text before they run.

use jaq_core::load::parse::Def;
use jaq_core::native::{Fun, bome, run, unary, v};
use jaq_core::{DataT, Error, Lut, RunPtr, ValR, data};
use jaq_json::Val;

use super::meter;
use super::value::{Value, weigh};
use super::{grammar, json};

/// What runs a program: the metered value, and the table of terms that pays for every look.
pub(super) struct Metered;

/// The table of a compiled program.
pub(super) struct Table<'a>(pub(super) &'a Lut<Metered>);

impl Clone for Table<'_> {
    fn clone(&self) -> Self {
        Self(self.0)
    }
}

impl DataT for Metered {
    type V<'a> = Value;
    type Data<'a> = Table<'a>;
}

impl<'a> data::HasLut<'a, Metered> for Table<'a> {
    /// The interpreter comes by here for every term it evaluates.
    fn lut(&self) -> &'a Lut<Metered> {
        meter::term();
        self.0
    }
}

/// Natives of jaq that a program gets.
const NATIVES: &[&str] = &[
    // core
    "error_empty",
    "path",
    "path_value",
    "range",
    "keys_unsorted",
    "key_values",
    "first",
    "last",
    "limit",
    "skip",
    // text and arrays
    "utf8bytelength",
    "explode",
    "implode",
    "ascii_downcase",
    "ascii_upcase",
    "reverse",
    "sort",
    "sort_by",
    "group_by",
    "min_by_or_empty",
    "max_by_or_empty",
    "startswith",
    "endswith",
    "ltrimstr",
    "rtrimstr",
    "trim",
    "ltrim",
    "rtrim",
    "escape_sh",
    "encode_uri",
    "decode_uri",
    "encode_base64",
    "decode_base64",
    // numbers
    "floor",
    "round",
    "ceil",
    "sqrt",
    "pow",
    "log",
    "log2",
    "log10",
    "exp",
    "exp2",
    "exp10",
    "fabs",
    "trunc",
    // regular expressions
    "matches",
    "split_matches",
    "split_",
];

/// Definitions of jaq's libraries that need what is not there.
const LEFT_OUT: &[&str] = &[
    "stderr",
    "debug",
    "halt",
    "halt_error",
    "logb",
    "significand",
    "drem",
    "nexttoward",
    "scalb",
    "gamma",
    "todate",
    "fromdate",
    "@html",
    "@htmld",
];

/// The regular expressions, with their price.
const PRICED: &str = "
def matches($re; $flags): priced($re) | matches_(($re); $flags);
def split_matches($re; $flags): priced($re) | split_matches_($re; $flags);
def split_($re; $flags): priced($re) | split__($re; $flags);
";

/// Names that a program may not say although the library has them.
pub(super) const INNER: &[&str] = &["priced", "matches_", "split_matches_", "split__"];

/// Definitions that every program may call.
pub(super) fn definitions() -> impl Iterator<Item = Def<&'static str>> {
    let priced = grammar::definitions(PRICED);
    jaq_core::defs()
        .chain(priced)
        .chain(jaq_std::defs())
        .chain(jaq_json::defs())
        .filter(|def| !LEFT_OUT.contains(&def.name))
}

/// Natives that every program may call.
pub(super) fn natives() -> impl Iterator<Item = Fun<Metered>> {
    let of_jaq = jaq_core::funs::<Metered>().chain(jaq_std::funs::<Metered>());
    of_jaq
        .filter(|(name, ..)| NATIVES.contains(name))
        .map(|(name, arity, native)| {
            let name = match name {
                "matches" => "matches_",
                "split_matches" => "split_matches_",
                "split_" => "split__",
                name => name,
            };
            (name, arity, native)
        })
        .chain(own())
}

fn own() -> impl Iterator<Item = Fun<Metered>> {
    let zero: [(&'static str, RunPtr<Metered>); 3] = [
        ("length", |cv| bome(cv.1.length())),
        ("tojson", |cv| bome(Ok(json::print(&cv.1)))),
        ("fromjson", |cv| bome(from_json(cv.1))),
    ];
    let one: [(&'static str, RunPtr<Metered>); 4] = [
        ("has", |cv| unary(cv, |value, key| value.holds(&key).map(Value::from))),
        ("contains", |cv| {
            unary(cv, |value, part| Ok(contains(&value.val, &part.val).into()))
        }),
        ("indices", |cv| unary(cv, indices)),
        ("priced", |cv| unary(cv, priced)),
    ];
    let zero = zero.into_iter().map(|(name, f)| run::<Metered>((name, v(0), f)));
    zero.chain(one.into_iter().map(|(name, f)| run::<Metered>((name, v(1), f))))
}

fn from_json(value: Value) -> ValR<Value> {
    match &value.val {
        Val::TStr(text) => json::parse(text).ok_or_else(|| Error::typ(value, "JSON")),
        _ => Err(Error::typ(value, "a string")),
    }
}

fn contains(whole: &Val, part: &Val) -> bool {
    meter::steps(1);
    match (whole, part) {
        (Val::TStr(whole), Val::TStr(part)) => {
            meter::read(whole.len());
            memchr::memmem::find(whole, part).is_some()
        }
        (Val::Arr(whole), Val::Arr(part)) => part.iter().all(|p| whole.iter().any(|w| contains(w, p))),
        (Val::Obj(whole), Val::Obj(part)) => part
            .iter()
            .all(|(key, p)| whole.get(key).is_some_and(|w| contains(w, p))),
        _ => {
            weigh(part);
            whole == part
        }
    }
}

/// Where `sought` begins in `items`.
pub(super) fn positions(items: &[Val], sought: &[Val]) -> Vec<usize> {
    if sought.is_empty() {
        return Vec::new();
    }
    let here = |window: &[Val]| {
        sought.iter().for_each(weigh);
        window == sought
    };
    let windows = items.windows(sought.len()).enumerate();
    windows.filter(|(_, window)| here(window)).map(|(at, _)| at).collect()
}

fn indices(value: Value, sought: Value) -> ValR<Value> {
    let found: Vec<usize> = match (&value.val, &sought.val) {
        (Val::Null, _) => return Ok(Value::leaf(Val::Null)),
        (Val::TStr(_), Val::TStr(sought)) if sought.is_empty() => Vec::new(),
        (Val::TStr(text), Val::TStr(sought)) => {
            meter::read(text.len());
            let mut characters = (0, 0);
            let starts = memchr::memmem::find_iter(text, sought.as_ref());
            starts
                .map(|at| {
                    // positions are counted in characters: UTF-8's continuation bytes do not count
                    let passed = text[characters.0..at].iter().filter(|b| **b & 0xC0 != 0x80).count();
                    characters = (at, characters.1 + passed);
                    characters.1
                })
                .collect()
        }
        (Val::Arr(items), Val::Arr(sought)) => positions(items, sought),
        (Val::Arr(items), one) => positions(items, std::slice::from_ref(one)),
        _ => return Err(Error::index(value, sought)),
    };
    Ok(found.into_iter().map(Value::from).collect())
}

/// Pays for a regular expression on a text: the engine is linear in the product of the two, where a counted repetition
/// makes the pattern as many times longer.
#[expect(clippy::needless_pass_by_value, reason = "the shape of a native's function")]
fn priced(value: Value, pattern: Value) -> ValR<Value> {
    let size = |value: &Value| match &value.val {
        Val::TStr(text) | Val::BStr(text) => text.len() as u64,
        _ => 0,
    };
    let mut long = size(&pattern);
    if let Val::TStr(pattern) = &pattern.val {
        let counts = pattern.split(|b| *b == b'{').skip(1).map(|rest| {
            let digits = rest.split(|b| *b == b'}').next().unwrap_or_default();
            let numbers = digits
                .split(|b| *b == b',')
                .filter_map(|d| str::from_utf8(d).ok()?.trim().parse().ok());
            numbers.max().unwrap_or(1u64).max(1)
        });
        long = counts.fold(long, u64::saturating_mul);
    }
    meter::steps(100 + long.saturating_mul(2));
    meter::steps(long.saturating_mul(size(&value)) / 16);
    meter::bytes(usize::try_from(long.saturating_mul(256)).unwrap_or(usize::MAX));
    Ok(value)
}
