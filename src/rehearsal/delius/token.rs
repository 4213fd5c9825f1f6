//! Tokens: the logon token of generation A, made and checked; the roles of a generation B token, only read.
//!
//! Generation A signs with HS512 and a secret that stays inside Delius; here it is fresh for each start, so a token
//! of one stand-in is foreign to the next. Generation B tokens come from another server: the stand-in has no key for
//! them and looks at what they say, never at the signature. It protects nothing and guards invented people only.

use aws_lc_rs::hmac;
use aws_lc_rs::rand::SystemRandom;
use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use serde::{Deserialize, Serialize};

/// What a logon token says, in the order in which Delius says it.
#[derive(Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub(super) struct Claims {
    pub(super) sub: String,
    pub(super) uid: String,
    pub(super) probation_area_codes: Vec<String>,
    pub(super) exp: i64,
}

/// Why a logon token is not taken.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Refusal {
    Bad,
    ForeignSignature,
    Expired,
}

/// Signs and checks logon tokens.
pub(super) struct Signer(hmac::Key);

impl Signer {
    /// A signer with a fresh secret.
    pub(super) fn fresh() -> std::io::Result<Self> {
        hmac::Key::generate(hmac::HMAC_SHA512, &SystemRandom::new())
            .map(Self)
            .map_err(|_| std::io::Error::other("the system gave no random bytes for the logon secret"))
    }

    pub(super) fn sign(&self, claims: &Claims) -> String {
        let payload = serde_json::to_vec(claims).unwrap_or_default(); // strings and a number: cannot fail
        let signed = format!(
            "{}.{}",
            URL_SAFE_NO_PAD.encode(r#"{"alg":"HS512"}"#),
            URL_SAFE_NO_PAD.encode(payload)
        );
        let tag = hmac::sign(&self.0, signed.as_bytes());
        format!("{signed}.{}", URL_SAFE_NO_PAD.encode(tag))
    }

    /// Signature first, then life, as the library that Delius used does it.
    pub(super) fn check(&self, token: &str, now: i64) -> Result<Claims, Refusal> {
        let (signed, tag) = token.rsplit_once('.').ok_or(Refusal::Bad)?;
        let (header, payload) = signed.split_once('.').ok_or(Refusal::Bad)?;
        let decode = |part: &str| URL_SAFE_NO_PAD.decode(part).map_err(|_| Refusal::Bad);
        let header: serde_json::Value = serde_json::from_slice(&decode(header)?).map_err(|_| Refusal::Bad)?;
        if header["alg"] != "HS512" {
            return Err(Refusal::Bad);
        }
        let claims: Claims = serde_json::from_slice(&decode(payload)?).map_err(|_| Refusal::Bad)?;
        hmac::verify(&self.0, signed.as_bytes(), &decode(tag)?).map_err(|_| Refusal::ForeignSignature)?;
        if claims.exp <= now {
            return Err(Refusal::Expired);
        }
        Ok(claims)
    }
}

/// What a generation B token says about its bearer.
#[derive(Debug, Deserialize)]
pub(super) struct Bearer {
    #[serde(default)]
    authorities: Vec<String>,
    exp: Option<i64>,
}

impl Bearer {
    /// `None`: not a token that can be read, or one past its end.
    pub(super) fn read(authorization: Option<&str>, now: i64) -> Option<Self> {
        let payload = bearer(authorization?)?.split('.').nth(1)?;
        let bearer: Self = serde_json::from_slice(&URL_SAFE_NO_PAD.decode(payload).ok()?).ok()?;
        (bearer.exp.is_none_or(|exp| exp > now)).then_some(bearer)
    }

    pub(super) fn has(&self, role: &str) -> bool {
        self.authorities.iter().any(|authority| authority == role)
    }
}

/// The credentials of `Authorization: Bearer …`; the scheme in any case.
pub(in crate::rehearsal) fn bearer(authorization: &str) -> Option<&str> {
    let (scheme, token) = authorization.split_once(' ')?;
    scheme.eq_ignore_ascii_case("bearer").then(|| token.trim())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn claims(exp: i64) -> Claims {
        Claims {
            sub: "NationalUser".to_owned(),
            uid: "NationalUser".to_owned(),
            probation_area_codes: Vec::new(),
            exp,
        }
    }

    #[test]
    fn the_token_says_the_same_as_the_recorded_one() {
        let recorded = include_str!("../people/legacy-2018/logon-response.txt").trim_end();
        let token = Signer::fresh().unwrap().sign(&claims(1_767_614_700));
        let unsigned = |token: &str| token.rsplit_once('.').unwrap().0.to_owned();
        assert_eq!(unsigned(&token), unsigned(recorded));
        assert_eq!(token.len(), recorded.len());
    }

    #[test]
    fn a_token_is_good_until_its_end_and_only_where_it_was_made() {
        let signer = Signer::fresh().unwrap();
        let token = signer.sign(&claims(1_000));
        assert_eq!(signer.check(&token, 999), Ok(claims(1_000)));
        assert_eq!(signer.check(&token, 1_000), Err(Refusal::Expired));
        let foreign = Signer::fresh().unwrap();
        assert_eq!(foreign.check(&token, 999), Err(Refusal::ForeignSignature));
        assert_eq!(foreign.check(&token, 1_001), Err(Refusal::ForeignSignature));
    }

    #[test]
    fn what_is_no_token_is_bad() {
        let signer = Signer::fresh().unwrap();
        let unsigned_header = URL_SAFE_NO_PAD.encode(r#"{"alg":"none"}"#);
        let payload = URL_SAFE_NO_PAD.encode(r#"{"sub":"a","uid":"a","probationAreaCodes":[],"exp":99}"#);
        for token in ["", "a", "a.b", "a.b.c", &format!("{unsigned_header}.{payload}.")] {
            assert_eq!(signer.check(token, 0), Err(Refusal::Bad), "{token}");
        }
    }
}
