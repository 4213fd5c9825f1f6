//! How the language reads, iterates, slices and updates a value, and what its library asks of one.
//!
//! What is taken out of a value is handed on without a copy where nobody else holds it; what is copied is paid for.

use std::sync::Arc;

use jaq_core::box_iter::{BoxIter, box_once};
use jaq_core::path::Opt;
use jaq_core::val::Range;
use jaq_core::{Error, ValR, ValT, ValX};
use jaq_json::{Map, Num, Val};

use super::json;
use super::meter;
use super::value::{ELEMENT, ENTRY, STRING, Value};

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
            nesting = nesting.max(value.nesting());
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
        let nesting = self.nesting();
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
                        nesting = nesting.max(value.nesting());
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
        let (nesting, below) = (self.nesting(), self.below());
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
                        let nesting = nesting.max(value.nesting() + 1);
                        map.insert(key.clone(), value.val);
                        nesting
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
                        let nesting = nesting.max(value.nesting() + 1);
                        items[at] = value.val;
                        nesting
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
        let nesting = self.nesting().max(new.nesting());
        Ok(Self::nested(Val::Arr(Arc::new(all.cloned().collect())), nesting))
    }

    fn as_bool(&self) -> bool {
        self.val.as_bool()
    }

    fn into_string(self) -> Self {
        match self.val {
            Val::TStr(_) | Val::BStr(_) => self,
            _ => json::print(&self),
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
