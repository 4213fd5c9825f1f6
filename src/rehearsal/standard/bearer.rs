//! Whether a token is good: signature by a published key, issuer, life, and then the role.
//!
//! Only RS256, whatever the token says of itself (RFC 8725 section 3.1). The end of a token is its end: the real API
//! allows some seconds more, and a caller must not live on that.

use aws_lc_rs::signature::{RSA_PKCS1_2048_8192_SHA256, RsaPublicKeyComponents};
use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use serde::Deserialize;

use super::super::auth::ROLE;
use super::super::delius::bearer;
use super::keys::Keys;

/// Implies every role of an integration API.
const ADMIN: &str = "ROLE_PROBATION_INTEGRATION_ADMIN";
/// Clocks of two machines.
const SKEW: i64 = 60;

/// Why a request is not let in.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Refusal {
    /// No token.
    None,
    /// No good token, and why.
    Invalid(&'static str),
    Forbidden,
    /// The keys could not be had: nobody can be let in.
    NoKeys,
}

/// Checks tokens.
#[derive(Debug)]
pub(super) struct Checker {
    keys: Keys,
    issuer: String,
}

#[derive(Deserialize)]
struct Header {
    alg: String,
    kid: Option<String>,
}

#[derive(Deserialize)]
struct Claims {
    iss: Option<String>,
    exp: Option<i64>,
    nbf: Option<i64>,
    #[serde(default)]
    authorities: Vec<String>,
}

impl Checker {
    pub(super) const fn new(keys: Keys, issuer: String) -> Self {
        Self { keys, issuer }
    }

    /// Whether a check may have to ask another server.
    pub(super) const fn asks_elsewhere(&self) -> bool {
        matches!(self.keys, Keys::Elsewhere(_))
    }

    pub(super) fn admit(&self, authorization: Option<&str>, now: i64) -> Result<(), Refusal> {
        let token = authorization.and_then(bearer).ok_or(Refusal::None)?;
        let claims = self.claims(token)?;
        if claims.iss.as_ref() != Some(&self.issuer) {
            return Err(Refusal::Invalid("another issuer"));
        }
        if claims.exp.is_none_or(|exp| exp <= now) {
            return Err(Refusal::Invalid("the token has expired"));
        }
        if claims.nbf.is_some_and(|nbf| nbf > now + SKEW) {
            return Err(Refusal::Invalid("the token is not valid yet"));
        }
        let allowed = claims.authorities.iter().any(|role| role == ROLE || role == ADMIN);
        if allowed { Ok(()) } else { Err(Refusal::Forbidden) }
    }

    /// What the token says, once it is known who says it.
    fn claims(&self, token: &str) -> Result<Claims, Refusal> {
        const MALFORMED: Refusal = Refusal::Invalid("malformed token");
        let (signed, signature) = token.rsplit_once('.').ok_or(MALFORMED)?;
        let (header, payload) = signed.split_once('.').ok_or(MALFORMED)?;
        let decode = |part: &str| URL_SAFE_NO_PAD.decode(part).map_err(|_| MALFORMED);
        let header: Header = serde_json::from_slice(&decode(header)?).map_err(|_| MALFORMED)?;
        if header.alg != "RS256" {
            return Err(Refusal::Invalid("another algorithm than RS256"));
        }
        let id = header.kid.ok_or(Refusal::Invalid("no key is named"))?;
        let key = self.keys.find(&id).map_err(|_| Refusal::NoKeys)?;
        let key = key.ok_or(Refusal::Invalid("signed with an unknown key"))?;
        let components = RsaPublicKeyComponents {
            n: &key.modulus,
            e: &key.exponent,
        };
        components
            .verify(&RSA_PKCS1_2048_8192_SHA256, signed.as_bytes(), &decode(signature)?)
            .map_err(|_| Refusal::Invalid("the signature does not fit"))?;
        serde_json::from_slice(&decode(payload)?).map_err(|_| MALFORMED)
    }
}
