//! The value that programs work on: jaq's, with an upper bound of its nesting, paying the meter for what it does.
//!
//! Nesting is bounded because values are dropped, compared and printed recursively. The bound is kept beside the value:
//! building adds one, taking out of it subtracts one, and only when the bound passes the limit is the value measured.
//! Objects have text keys only, as in JSON. Shown, a value is the name of its type, so that no message quotes a person.

use std::cmp::Ordering;
use std::fmt;
use std::sync::Arc;

use jaq_core::box_iter::{BoxIter, box_once};
use jaq_core::path::Opt;
use jaq_core::val::Range;
use jaq_core::{Error, ValR, ValT, ValX};
use jaq_json::{Map, Num, Val};

use super::meter::{self, DEEPEST, Spent};

/// Bytes that an element of an array or an entry of an object takes, its content not counted.
pub(super) const ELEMENT: usize = 16;
pub(super) const ENTRY: usize = 96;
/// Bytes of a string besides its text.
pub(super) const STRING: usize = 48;

#[derive(Clone, Debug)]
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
    fn elements(items: Arc<Vec<Val>>) -> Vec<Val> {
        Arc::try_unwrap(items).unwrap_or_else(|shared| {
            meter::bytes(shared.len() * (ELEMENT + STRING));
            meter::steps(shared.len() as u64 / 4);
            (*shared).clone()
        })
    }

    fn entries(map: Arc<Map>) -> Map {
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

const fn is_bound(bound: Option<&Value>) -> bool {
    match bound {
        None => true,
        Some(value) => matches!(value.val, Val::Null | Val::Num(Num::Int(_))),
    }
}

impl ValT for Value {
    fn from_num(text: &str) -> ValR<Self> {
        meter::bytes(text.len());
        Val::from_num(text).map_or_else(|_| Err(Error::str("this is no number")), |val| Ok(Self::leaf(val)))
    }

    fn from_map<I: IntoIterator<Item = (Self, Self)>>(entries: I) -> ValR<Self> {
        let mut nesting = 0;
        let mut map = Map::default();
        for (key, value) in entries {
            if !matches!(key.val, Val::TStr(_)) {
                return Err(Error::typ(key, "the key of an object"));
            }
            meter::steps(1);
            meter::bytes(ENTRY);
            nesting = nesting.max(value.nesting);
            map.insert(key.val, value.val);
        }
        Ok(Self::nested(Val::obj(map), nesting + 1))
    }

    fn key_values(self) -> BoxIter<'static, ValR<(Self, Self), Self>> {
        let below = self.below();
        match self.val {
            Val::Arr(items) => Box::new(Self::elements(items).into_iter().enumerate().map(move |(i, val)| {
                meter::steps(1);
                Ok((Self::from(i), Self::nested(val, below)))
            })),
            Val::Obj(map) => Box::new(Self::entries(map).into_iter().map(move |(key, val)| {
                meter::steps(1);
                Ok((Self::leaf(key), Self::nested(val, below)))
            })),
            _ => box_once(Err(Error::typ(self, "an array or an object"))),
        }
    }

    fn values(self) -> Box<dyn Iterator<Item = ValR<Self>>> {
        let below = self.below();
        let value = move |val| {
            meter::steps(1);
            Ok(Self::nested(val, below))
        };
        match self.val {
            Val::Arr(items) => Box::new(Self::elements(items).into_iter().map(value)),
            Val::Obj(map) => Box::new(Self::entries(map).into_iter().map(move |(_, val)| value(val))),
            _ => box_once(Err(Error::typ(self, "an array or an object"))),
        }
    }

    fn index(self, index: &Self) -> ValR<Self> {
        Ok(self.child(index)?.unwrap_or_else(|| Self::leaf(Val::Null)))
    }

    fn range(self, range: Range<&Self>) -> ValR<Self> {
        match &self.val {
            Val::Arr(items) => meter::bytes(items.len() * (ELEMENT + STRING)),
            Val::TStr(text) => meter::bytes(STRING + text.len()),
            Val::Null => return Ok(self),
            _ => return Err(Error::typ(self, "an array or a string")),
        }
        if !is_bound(range.start) || !is_bound(range.end) {
            return Err(Error::typ(self, "what is cut at such bounds (whole numbers)"));
        }
        let nesting = self.nesting;
        let range = range.start.map(|v| &v.val)..range.end.map(|v| &v.val);
        self.val.range(range).map_or_else(
            |_| Err(Error::str("cannot slice")),
            |val| Ok(Self::nested(val, nesting)),
        )
    }

    fn map_values<'a, I: Iterator<Item = ValX<'a, Self>>>(self, opt: Opt, f: impl Fn(Self) -> I) -> ValX<'a, Self> {
        let below = self.below();
        match self.val {
            Val::Arr(items) => Self::elements(items)
                .into_iter()
                .flat_map(|val| f(Self::nested(val, below)))
                .collect(),
            Val::Obj(map) => {
                let mut nesting = 0;
                let mut kept = Map::default();
                for (key, val) in Self::entries(map) {
                    meter::bytes(ENTRY);
                    if let Some(value) = f(Self::nested(val, below)).next().transpose()? {
                        nesting = nesting.max(value.nesting);
                        kept.insert(key, value.val);
                    }
                }
                Ok(Self::nested(Val::obj(kept), nesting + 1))
            }
            _ => opt.fail(self, |v| Error::typ(v, "an array or an object").into()),
        }
    }

    fn map_index<'a, I: Iterator<Item = ValX<'a, Self>>>(
        self,
        index: &Self,
        opt: Opt,
        f: impl Fn(Self) -> I,
    ) -> ValX<'a, Self> {
        let (nesting, below) = (self.nesting, self.below());
        match (self.val, &index.val) {
            (val @ (Val::Null | Val::Obj(_)), key @ Val::TStr(_)) => {
                let mut map = match val {
                    Val::Obj(map) => Self::entries(map),
                    _ => Map::default(),
                };
                let old = map.get_mut(key).map(std::mem::take);
                let old = old.map_or_else(|| Self::leaf(Val::Null), |val| Self::nested(val, below));
                let nesting = match f(old).next().transpose()? {
                    Some(value) => {
                        meter::bytes(ENTRY);
                        map.insert(key.clone(), value.val);
                        nesting.max(value.nesting + 1)
                    }
                    None => {
                        meter::steps(map.len() as u64 / 16);
                        map.shift_remove(key);
                        nesting.max(1)
                    }
                };
                Ok(Self::nested(Val::obj(map), nesting))
            }
            (Val::Arr(items), Val::Num(n)) => {
                let len = items.len();
                let at = n.as_isize().and_then(|i| {
                    let back = i.unsigned_abs();
                    if i < 0 { len.checked_sub(back) } else { Some(back) }
                });
                let Some(at) = at.filter(|at| *at < len) else {
                    let array = Self::nested(Val::Arr(items), nesting);
                    return opt.fail(array, |v| Error::typ(v, "one that has such an index").into());
                };
                let mut items = Self::elements(items);
                let nesting = match f(Self::nested(std::mem::take(&mut items[at]), below))
                    .next()
                    .transpose()?
                {
                    Some(value) => {
                        items[at] = value.val;
                        nesting.max(value.nesting + 1)
                    }
                    None => {
                        meter::steps(len as u64 / 16);
                        items.remove(at);
                        nesting
                    }
                };
                Ok(Self::nested(Val::Arr(items.into()), nesting))
            }
            (Val::Arr(items), Val::Obj(range)) => {
                let bound = |key: &str| range.get(&Val::utf8_str(key.to_owned())).cloned().map(Self::leaf);
                let (start, end) = (bound("start"), bound("end"));
                Self::nested(Val::Arr(items), nesting).map_range(start.as_ref()..end.as_ref(), opt, f)
            }
            (val, _) => opt.fail(Self::nested(val, nesting), |v| Error::index(v, index.clone()).into()),
        }
    }

    fn map_range<'a, I: Iterator<Item = ValX<'a, Self>>>(
        self,
        range: Range<&Self>,
        opt: Opt,
        f: impl Fn(Self) -> I,
    ) -> ValX<'a, Self> {
        if !matches!(self.val, Val::Arr(_)) || !is_bound(range.start) || !is_bound(range.end) {
            return opt.fail(self, |v| Error::typ(v, "an array").into());
        }
        let cut = |from: Option<&Self>, upto: Option<&Self>| self.clone().range(from..upto);
        let part = cut(range.start, range.end)?;
        // where a slice would begin before its end, jq replaces nothing at its beginning
        let before = match range.start {
            Some(start) => cut(None, Some(start))?,
            None => Self::from_iter([]),
        };
        let Val::Arr(held) = &part.val else { return Ok(self) };
        let Val::Arr(ahead) = &before.val else { return Ok(self) };
        let (skip, take) = (
            if matches!(range.start.map(|s| &s.val), Some(Val::Null)) {
                0
            } else {
                ahead.len()
            },
            held.len(),
        );
        let new = f(part.clone())
            .next()
            .transpose()?
            .unwrap_or_else(|| Self::from_iter([]));
        let Val::Arr(new_items) = &new.val else {
            return Err(Error::typ(new, "an array").into());
        };
        let Val::Arr(items) = &self.val else { return Ok(self) };
        let all = items
            .iter()
            .take(skip)
            .chain(new_items.iter())
            .chain(items.iter().skip(skip + take));
        meter::bytes((items.len() + new_items.len()) * (ELEMENT + STRING));
        let nesting = self.nesting.max(new.nesting);
        Ok(Self::nested(Val::Arr(Arc::new(all.cloned().collect())), nesting))
    }

    fn as_bool(&self) -> bool {
        self.val.as_bool()
    }

    fn into_string(self) -> Self {
        match self.val {
            Val::TStr(_) | Val::BStr(_) => self,
            _ => super::json::print(&self),
        }
    }
}

impl jaq_std::ValT for Value {
    fn into_seq<S: FromIterator<Self>>(self) -> Result<S, Self> {
        let below = self.below();
        match self.val {
            Val::Arr(items) => Ok(Self::elements(items)
                .into_iter()
                .map(|val| {
                    meter::steps(1);
                    Self::nested(val, below)
                })
                .collect()),
            _ => Err(self),
        }
    }

    fn is_int(&self) -> bool {
        self.val.is_int()
    }

    fn as_isize(&self) -> Option<isize> {
        self.val.as_isize()
    }

    fn as_f64(&self) -> Option<f64> {
        self.val.as_f64()
    }

    fn is_utf8_str(&self) -> bool {
        self.val.is_utf8_str()
    }

    fn as_bytes(&self) -> Option<&[u8]> {
        let bytes = self.val.as_bytes();
        meter::read(bytes.map_or(0, <[u8]>::len));
        bytes
    }

    fn as_sub_str(&self, sub: &[u8]) -> Self {
        meter::bytes(STRING);
        meter::read(sub.len());
        Self::leaf(self.val.as_sub_str(sub))
    }

    fn from_utf8_bytes(bytes: impl AsRef<[u8]> + Send + 'static) -> Self {
        meter::bytes(STRING + bytes.as_ref().len());
        Self::leaf(Val::from_utf8_bytes(bytes))
    }
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
