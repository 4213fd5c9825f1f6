//! `+ - * / %` and the sign, on values that pay for what they build.
//!
//! jaq's own operations do the work; here is decided which of them mean something, what they will cost (before they are
//! done: `"x" * 1000000000` never gets its memory), and that the error of a wrong pair names types only.

use std::ops::{Add, Div, Mul, Neg, Rem, Sub};
use std::sync::Arc;

use jaq_core::ops::Math;
use jaq_core::{Error, ValR};
use jaq_json::{Num, Val};

use super::meter::{self, Spent};
use super::value::{ELEMENT, ENTRY, STRING, Value, weigh};

/// A whole number may have so many bits, lest multiplication grow without end.
const BITS: u64 = 1024;

/// The operation's own result, for pairs that were found to be right.
fn done(op: Math, result: Result<Val, jaq_json::Error>, nesting: u32) -> ValR<Value> {
    match result {
        Ok(Val::Num(Num::BigInt(n))) if n.bits() > BITS => {
            meter::leave(Spent::Bytes);
            Err(Error::str("a number is too large"))
        }
        Ok(val) => Ok(Value::nested(val, nesting)),
        Err(_) => Err(Error::str(format_args!("cannot calculate with {}", op.as_str()))),
    }
}

impl Add for Value {
    type Output = ValR<Self>;

    fn add(self, r: Self) -> ValR<Self> {
        meter::steps(1);
        match (&self.val, &r.val) {
            (Val::Null, _) => return Ok(r),
            (_, Val::Null) => return Ok(self),
            (Val::Num(_), Val::Num(_)) => {}
            (Val::TStr(a), Val::TStr(b)) => meter::bytes(STRING + a.len() + b.len()),
            (Val::Arr(a), Val::Arr(b)) => {
                let copied = if Arc::strong_count(a) > 1 { a.len() } else { 0 };
                meter::bytes((copied + b.len()) * (ELEMENT + STRING));
                meter::steps((copied + b.len()) as u64 / 4);
            }
            (Val::Obj(a), Val::Obj(b)) => {
                let copied = if Arc::strong_count(a) > 1 { a.len() } else { 0 };
                meter::bytes((copied + b.len()) * ENTRY);
                meter::steps((copied + b.len()) as u64 / 2);
            }
            _ => return Err(Error::math(self, Math::Add, r)),
        }
        let nesting = self.nesting().max(r.nesting());
        done(Math::Add, self.val + r.val, nesting)
    }
}

impl Sub for Value {
    type Output = ValR<Self>;

    fn sub(self, r: Self) -> ValR<Self> {
        meter::steps(1);
        match (&self.val, &r.val) {
            (Val::Num(_), Val::Num(_)) => done(Math::Sub, self.val - r.val, 0),
            (Val::Arr(a), Val::Arr(b)) => {
                let kept = a.iter().filter(|x| {
                    !b.iter().any(|y| {
                        weigh(y);
                        *x == y
                    })
                });
                let kept: Vec<Val> = kept.cloned().collect();
                meter::bytes(kept.len() * (ELEMENT + STRING));
                Ok(Self::nested(Val::Arr(kept.into()), self.nesting()))
            }
            _ => Err(Error::math(self, Math::Sub, r)),
        }
    }
}

impl Mul for Value {
    type Output = ValR<Self>;

    fn mul(self, r: Self) -> ValR<Self> {
        meter::steps(1);
        match (&self.val, &r.val) {
            (Val::Num(_), Val::Num(_)) => {}
            (Val::TStr(text), Val::Num(n @ (Num::Int(_) | Num::BigInt(_))))
            | (Val::Num(n @ (Num::Int(_) | Num::BigInt(_))), Val::TStr(text)) => {
                let times = n.as_isize().unwrap_or(isize::MAX).max(0).unsigned_abs();
                meter::bytes(text.len().saturating_mul(times).saturating_add(STRING));
                if text.is_empty() {
                    meter::read(times);
                }
            }
            (Val::Obj(_), Val::Obj(_)) => {
                // objects are merged at every depth, and what is shared is copied first
                for side in [&self.val, &r.val] {
                    weigh(side);
                    merged(side);
                }
            }
            _ => return Err(Error::math(self, Math::Mul, r)),
        }
        let nesting = self.nesting().max(r.nesting());
        done(Math::Mul, self.val * r.val, nesting)
    }
}

fn merged(val: &Val) {
    if let Val::Obj(map) = val {
        meter::bytes(map.len() * ENTRY);
        map.values().for_each(merged);
    }
}

impl Div for Value {
    type Output = ValR<Self>;

    fn div(self, r: Self) -> ValR<Self> {
        meter::steps(1);
        match (&self.val, &r.val) {
            (Val::Num(_), Val::Num(_)) => {}
            (Val::TStr(text), Val::TStr(separator)) => {
                meter::read(text.len());
                let pieces = if separator.is_empty() {
                    text.len()
                } else {
                    1 + memchr::memmem::find_iter(text, separator.as_ref()).count()
                };
                meter::bytes(pieces * (ELEMENT + STRING));
                meter::steps(pieces as u64);
            }
            _ => return Err(Error::math(self, Math::Div, r)),
        }
        done(Math::Div, self.val / r.val, 1)
    }
}

impl Rem for Value {
    type Output = ValR<Self>;

    fn rem(self, r: Self) -> ValR<Self> {
        meter::steps(1);
        match (&self.val, &r.val) {
            (Val::Num(_), Val::Num(_)) => done(Math::Rem, self.val % r.val, 0),
            _ => Err(Error::math(self, Math::Rem, r)),
        }
    }
}

impl Neg for Value {
    type Output = ValR<Self>;

    fn neg(self) -> ValR<Self> {
        meter::steps(1);
        match &self.val {
            Val::Num(_) => done(Math::Sub, -self.val, 0),
            _ => Err(Error::typ(self, "a number")),
        }
    }
}
