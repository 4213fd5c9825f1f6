//! The value that programs work on: jaq's, with an upper bound of its nesting, paying the meter for what it does.
//!
//! Nesting is bounded because values are dropped, compared and printed recursively. The bound is kept beside the value:
//! building adds one, taking out of it subtracts one, and only when the bound passes the limit is the value measured.
//! Objects have text keys only, as in JSON. Shown, a value is the name of its type, so that no message quotes a person.

use std::cmp::Ordering;
use std::fmt;
use std::sync::Arc;

use jaq_core::val::Range;
use jaq_core::{Error, ValT};
use jaq_json::{Map, Val};

use super::meter::{self, DEEPEST, Spent};

/// Bytes that an element of an array or an entry of an object takes, its content not counted.
pub(super) const ELEMENT: usize = 16;
pub(super) const ENTRY: usize = 96;
/// Bytes of a string besides its text.
pub(super) const STRING: usize = 48;

#[derive(Clone)]
pub(super) struct Value {
    pub(super) val: Val,
    nesting: u32,
}

impl Value {
    /// A value that nests at most so deep.
    pub(super) fn nested(val: Val, nesting: u32) -> Self {
        if !matches!(val, Val::Arr(_) | Val::Obj(_)) {
            return Self { val, nesting: 0 };
        }
        let nesting = if nesting > DEEPEST { measured(&val) } else { nesting };
        if nesting > DEEPEST {
            meter::leave(Spent::Nesting);
        }
        Self { val, nesting }
    }

    pub(super) const fn leaf(val: Val) -> Self {
        Self { val, nesting: 0 }
    }

    pub(super) const fn nesting(&self) -> u32 {
        self.nesting
    }

    /// The bound of what this value holds.
    pub(super) const fn below(&self) -> u32 {
        self.nesting.saturating_sub(1)
    }

    pub(super) fn text(text: impl Into<Vec<u8>>) -> Self {
        let text = text.into();
        meter::bytes(STRING + text.len());
        Self::leaf(Val::utf8_str(text))
    }

    /// A word for the kind of value, for messages.
    pub(super) const fn kind(&self) -> &'static str {
        match self.val {
            Val::Null => "null",
            Val::Bool(_) => "a boolean",
            Val::Num(_) => "a number",
            Val::BStr(_) | Val::TStr(_) => "a string",
            Val::Arr(_) => "an array",
            Val::Obj(_) => "an object",
        }
    }

    pub(super) fn same(&self, other: &Self) -> bool {
        alike(&self.val, &other.val) && {
            weigh(&self.val);
            self.val == other.val
        }
    }

    /// The child at an index, if there is one.
    pub(super) fn child(&self, index: &Self) -> Result<Option<Self>, Error<Self>> {
        let below = self.below();
        let some = |val: Option<Val>| Ok(val.map(|val| Self::nested(val, below)));
        match (&self.val, &index.val) {
            (Val::Null, Val::Null | Val::TStr(_) | Val::Num(_) | Val::Obj(_)) => Ok(None),
            (Val::Obj(map), key @ Val::TStr(_)) => some(map.get(key).cloned()),
            (Val::Arr(_), Val::Num(n)) if n.as_isize().is_some() => self.val.clone().index(&index.val).map_or_else(
                |_| Err(Error::index(self.clone(), index.clone())),
                |val| some(Some(val)),
            ),
            (Val::Arr(_) | Val::TStr(_), Val::Obj(range)) => {
                let bound = |key: &str| range.get(&Val::utf8_str(key.to_owned())).cloned().map(Self::leaf);
                let (start, end) = (bound("start"), bound("end"));
                self.clone().range(start.as_ref()..end.as_ref()).map(Some)
            }
            (Val::Arr(items), Val::Arr(sought)) => {
                let found = super::language::positions(items, sought);
                Ok(Some(found.into_iter().map(Self::from).collect()))
            }
            _ => Err(Error::index(self.clone(), index.clone())),
        }
    }

    /// Elements of an array, taken out if nobody else holds it.
    pub(super) fn elements(items: Arc<Vec<Val>>) -> Vec<Val> {
        Arc::try_unwrap(items).unwrap_or_else(|shared| {
            meter::bytes(shared.len() * (ELEMENT + STRING));
            meter::steps(shared.len() as u64 / 4);
            (*shared).clone()
        })
    }

    pub(super) fn entries(map: Arc<Map>) -> Map {
        Arc::try_unwrap(map).unwrap_or_else(|shared| {
            meter::bytes(shared.len() * ENTRY);
            meter::steps(shared.len() as u64 / 2);
            (*shared).clone()
        })
    }
}

/// How deep a value really nests.
fn measured(val: &Val) -> u32 {
    meter::steps(1);
    match val {
        Val::Arr(items) => 1 + items.iter().map(measured).max().unwrap_or(0),
        Val::Obj(map) => 1 + map.values().map(measured).max().unwrap_or(0),
        _ => 0,
    }
}

/// Pays for looking at every part of a value; a part that is shared is paid each time it is met.
pub(super) fn weigh(val: &Val) {
    meter::steps(1);
    match val {
        Val::TStr(text) | Val::BStr(text) => meter::read(text.len()),
        Val::Arr(items) => items.iter().for_each(weigh),
        Val::Obj(map) => map.iter().for_each(|(key, val)| {
            weigh(key);
            weigh(val);
        }),
        _ => {}
    }
}

/// Whether a comparison has to look inside.
const fn alike(l: &Val, r: &Val) -> bool {
    matches!(
        (l, r),
        (Val::Null, Val::Null)
            | (Val::Bool(_), Val::Bool(_))
            | (Val::Num(_), Val::Num(_))
            | (Val::TStr(_) | Val::BStr(_), Val::TStr(_) | Val::BStr(_))
            | (Val::Arr(_), Val::Arr(_))
            | (Val::Obj(_), Val::Obj(_))
    )
}

impl From<bool> for Value {
    fn from(b: bool) -> Self {
        Self::leaf(Val::Bool(b))
    }
}

impl From<isize> for Value {
    fn from(i: isize) -> Self {
        Self::leaf(Val::from(i))
    }
}

impl From<usize> for Value {
    fn from(i: usize) -> Self {
        Self::leaf(Val::from(i))
    }
}

impl From<f64> for Value {
    fn from(f: f64) -> Self {
        Self::leaf(Val::from(f))
    }
}

impl From<String> for Value {
    fn from(text: String) -> Self {
        Self::text(text)
    }
}

impl From<Range<Self>> for Value {
    fn from(range: Range<Self>) -> Self {
        let nesting = |v: &Option<Self>| v.as_ref().map_or(0, |v| v.nesting);
        let nesting = 1 + nesting(&range.start).max(nesting(&range.end));
        let bound = |v: Option<Self>| v.map(|v| v.val);
        meter::bytes(2 * ENTRY);
        Self::nested(Val::from(bound(range.start)..bound(range.end)), nesting)
    }
}

impl FromIterator<Self> for Value {
    fn from_iter<I: IntoIterator<Item = Self>>(items: I) -> Self {
        let mut nesting = 0;
        let items: Vec<Val> = items
            .into_iter()
            .map(|value| {
                meter::steps(1);
                meter::bytes(ELEMENT);
                nesting = nesting.max(value.nesting);
                value.val
            })
            .collect();
        Self::nested(Val::Arr(items.into()), nesting + 1)
    }
}

impl fmt::Display for Value {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.kind())
    }
}

impl PartialEq for Value {
    fn eq(&self, other: &Self) -> bool {
        self.same(other)
    }
}

impl Eq for Value {}

impl PartialOrd for Value {
    fn partial_cmp(&self, other: &Self) -> Option<Ordering> {
        Some(self.cmp(other))
    }
}

impl Ord for Value {
    fn cmp(&self, other: &Self) -> Ordering {
        if alike(&self.val, &other.val) {
            weigh(&self.val);
            weigh(&other.val);
        }
        self.val.cmp(&other.val)
    }
}
