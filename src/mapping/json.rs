//! Between `serde_json`'s values and the program's, both ways, paying the meter; and what JSON cannot say.

use std::sync::Arc;

use jaq_json::{Map, Num, Val};
use serde_json::{Number, Value as Json};

use super::meter::{self, DEEPEST};
use super::value::{ELEMENT, ENTRY, STRING, Value};

/// The value a program gets. `None`: it nests too deep.
pub(super) fn read(json: &Json) -> Option<Value> {
    let mut deepest = 0;
    let val = val(json, 0, &mut deepest)?;
    Some(Value::nested(val, deepest))
}

fn val(json: &Json, depth: u32, deepest: &mut u32) -> Option<Val> {
    meter::steps(1);
    if depth > DEEPEST {
        return None;
    }
    *deepest = depth.max(*deepest);
    Some(match json {
        Json::Null => Val::Null,
        Json::Bool(b) => Val::Bool(*b),
        Json::Number(n) => Val::Num(number(n)),
        Json::String(text) => string(text),
        Json::Array(items) => {
            meter::bytes(items.len() * ELEMENT);
            *deepest = (depth + 1).max(*deepest);
            let items: Option<Vec<Val>> = items.iter().map(|item| val(item, depth + 1, deepest)).collect();
            Val::Arr(Arc::new(items?))
        }
        Json::Object(entries) => {
            meter::bytes(entries.len() * ENTRY);
            *deepest = (depth + 1).max(*deepest);
            let mut map = Map::default();
            map.reserve(entries.len());
            for (key, item) in entries {
                map.insert(string(key), val(item, depth + 1, deepest)?);
            }
            Val::obj(map)
        }
    })
}

fn string(text: &str) -> Val {
    meter::bytes(STRING + text.len());
    Val::utf8_str(text.as_bytes().to_vec())
}

fn number(n: &Number) -> Num {
    if let Some(i) = n.as_i64() {
        Num::from_integral(i)
    } else if let Some(u) = n.as_u64() {
        Num::from_integral(u)
    } else {
        Num::Float(n.as_f64().unwrap_or(f64::NAN))
    }
}

/// What a program put out, as JSON. `Err` says what JSON has no words for.
pub(super) fn write(value: &Value) -> Result<Json, &'static str> {
    json(&value.val)
}

fn json(val: &Val) -> Result<Json, &'static str> {
    meter::steps(1);
    Ok(match val {
        Val::Null => Json::Null,
        Val::Bool(b) => Json::Bool(*b),
        Val::Num(n) => Json::Number(plain(n)?),
        Val::TStr(_) | Val::BStr(_) => Json::String(text(val)?),
        Val::Arr(items) => {
            meter::bytes(items.len() * size_of::<Json>());
            Json::Array(items.iter().map(json).collect::<Result<_, _>>()?)
        }
        Val::Obj(map) => {
            meter::bytes(map.len() * ENTRY);
            let entries = map.iter().map(|(key, val)| Ok((text(key)?, json(val)?)));
            Json::Object(entries.collect::<Result<_, &'static str>>()?)
        }
    })
}

fn text(val: &Val) -> Result<String, &'static str> {
    let (Val::TStr(bytes) | Val::BStr(bytes)) = val else {
        return Err("an object with a key that is no text");
    };
    meter::bytes(bytes.len());
    str::from_utf8(bytes)
        .map(str::to_owned)
        .map_err(|_| "a text that is not UTF-8")
}

fn plain(n: &Num) -> Result<Number, &'static str> {
    const BEYOND: &str = "a number that JSON has no digits for (infinite, or not a number)";
    match n {
        Num::Int(i) => Ok(Number::from(*i)),
        Num::BigInt(i) => match u64::try_from(i.as_ref()) {
            Ok(u) => Ok(Number::from(u)),
            Err(_) => Err("a whole number beyond 64 bits"),
        },
        Num::Float(f) => Number::from_f64(*f).ok_or(BEYOND),
        Num::Dec(digits) => {
            let f: f64 = digits.parse().map_err(|_| BEYOND)?;
            Number::from_f64(f).ok_or(BEYOND)
        }
    }
}

/// The value that a text says in JSON, as `fromjson` reads it.
pub(super) fn parse(text: &[u8]) -> Option<Value> {
    meter::steps(text.len() as u64 / 16);
    meter::bytes(text.len().saturating_mul(size_of::<Json>()) / 2);
    let json: Json = serde_json::from_slice(text).ok()?;
    read(&json)
}

/// JSON text of a value, as `tojson` writes it; what JSON has no words for is `null`, as in jq.
pub(super) fn print(value: &Value) -> Value {
    let text = json(&value.val).ok().and_then(|json| serde_json::to_vec(&json).ok());
    Value::text(text.unwrap_or_else(|| b"null".to_vec()))
}

impl Value {
    /// Whether there is something at an index.
    pub(super) fn holds(&self, index: &Self) -> Result<bool, jaq_core::Error<Self>> {
        let absent = match (&self.val, &index.val) {
            (Val::Arr(items), Val::Num(n)) => n.as_isize().is_none_or(|i| i < 0 || i.unsigned_abs() >= items.len()),
            (Val::Obj(_), Val::TStr(_)) => self.child(index)?.is_none(),
            _ => return Err(jaq_core::Error::index(self.clone(), index.clone())),
        };
        Ok(!absent)
    }

    /// `0` for nothing, characters of a text, elements of an array, entries of an object, a number without its sign.
    pub(super) fn length(self) -> jaq_core::ValR<Self> {
        Ok(match &self.val {
            Val::Null => Self::from(0usize),
            Val::TStr(text) => {
                meter::read(text.len());
                Self::from(String::from_utf8_lossy(text).chars().count())
            }
            Val::Arr(items) => Self::from(items.len()),
            Val::Obj(map) => Self::from(map.len()),
            Val::Num(_) if self < Self::from(0usize) => return -self,
            Val::Num(_) => self,
            _ => return Err(jaq_core::Error::typ(self, "what has a length")),
        })
    }
}
