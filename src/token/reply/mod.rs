//! What an answer to a token request says (RFC 6749 sections 5.1 and 5.2), or the plain text of a Delius logon. Pure.
//!
//! Read with patience where servers differ (`token_type` in any case, `expires_in` as number or text or absent, `scope` as
//! whatever), and strictly where it matters: a token must be one that a header can carry. No sentence quotes the body.

use std::time::Duration;

use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use serde_json::Value;
use zeroize::Zeroizing;

use super::gate::{Kind, Trouble};
use super::life::UNSAID;

/// Bytes of a reply that are read.
pub(super) const LARGEST: usize = 64 << 10;
/// Bytes of a token: it has to fit into the head of a request.
const LONGEST: usize = 16 << 10;

/// A token as it came.
#[derive(PartialEq, Eq)]
pub(super) struct Granted {
    pub(super) token: Zeroizing<String>,
    /// From the request on.
    pub(super) life: Duration,
}

/// A whole reply.
#[derive(Debug)]
pub(super) struct Reply {
    pub(super) status: u16,
    /// `retry-after` in seconds.
    pub(super) retry_after: Option<u64>,
    /// Where it redirects to; only said, never followed.
    pub(super) location: Option<String>,
    /// By its clock.
    pub(super) date: Option<String>,
    pub(super) body: Zeroizing<Vec<u8>>,
}

/// The words of RFC 6749 section 5.2 and of OpenID providers: only these are repeated.
const WORDS: [&str; 9] = [
    "invalid_request",
    "invalid_client",
    "invalid_grant",
    "unauthorized_client",
    "unsupported_grant_type",
    "invalid_scope",
    "access_denied",
    "server_error",
    "temporarily_unavailable",
];

/// Reads the reply of an authorisation server. `named_user`: the request named one. `now` in Unix seconds.
pub(super) fn of_server(reply: &Reply, peer: &str, named_user: bool, now: i64) -> Result<Granted, Trouble> {
    if !(200..300).contains(&reply.status) {
        return Err(refusal(reply, peer, named_user));
    }
    let invalid = |found: &str| {
        let sentence = format!(
            "{peer} answers {} to the token request with {found}, expected a token reply in JSON; is the url that of the \
             token endpoint?",
            reply.status
        );
        Trouble::new(Kind::Invalid, sentence)
    };
    let mut body = match serde_json::from_slice::<Value>(&reply.body) {
        Ok(Value::Object(body)) => body,
        Ok(_) => return Err(invalid("JSON that is no object")),
        Err(_) => return Err(invalid(looks_like(&reply.body))),
    };
    let token = match body.remove("access_token") {
        Some(Value::String(token)) => Zeroizing::new(token),
        Some(_) => return Err(invalid("an access_token that is no text")),
        None => return Err(invalid("JSON without an access_token")),
    };
    sound(&token).map_err(invalid)?;
    match body.get("token_type") {
        Some(Value::String(kind)) if kind.trim().eq_ignore_ascii_case("bearer") => {}
        None => {} // RFC 6750 has no other that we could send
        Some(_) => return Err(invalid("a token of another type than bearer")),
    }
    let said = match body.get("expires_in") {
        None | Some(Value::Null) => None,
        Some(value) => Some(seconds(value).ok_or_else(|| invalid("an expires_in that is no number of seconds"))?),
    };
    let life = life(said, &token, now).ok_or_else(|| invalid("a token that is over already"))?;
    Ok(Granted { token, life })
}

/// Reads the reply to a Delius logon.
pub(super) fn of_logon(reply: &Reply, peer: &str, now: i64) -> Result<Granted, Trouble> {
    let sentence = match reply.status {
        404 => {
            format!("{peer} answers 404 to the logon: it does not know the Delius user; check `user_file` and `path`")
        }
        400 => format!("{peer} answers 400 to the logon: the user is not named as it should be; check `user_file`"),
        status if !(200..300).contains(&status) => return Err(refusal(reply, peer, false)),
        _ => {
            let text = std::str::from_utf8(&reply.body).unwrap_or_default().trim();
            let token = Zeroizing::new(text.to_owned());
            let found = match sound(&token) {
                Ok(()) => match life(None, &token, now) {
                    Some(life) => return Ok(Granted { token, life }),
                    None => "a token that is over already",
                },
                Err(found) => found,
            };
            let sentence = format!("{peer} answers the logon with {found}, expected a token as plain text");
            return Err(Trouble::new(Kind::Invalid, sentence));
        }
    };
    Err(Trouble::new(Kind::Refused, sentence))
}

/// What another status than 2xx says.
fn refusal(reply: &Reply, peer: &str, named_user: bool) -> Trouble {
    let status = reply.status;
    let word = word(&reply.body);
    let answers = match word {
        Some(word) => format!("{peer} answers {status} ({word}) to the token request"),
        None => format!("{peer} answers {status} to the token request"),
    };
    let about_client = matches!(
        word,
        Some("invalid_client" | "unauthorized_client" | "unsupported_grant_type")
    );
    let (kind, means) = match status {
        408 | 429 | 500.. => (
            Kind::ServerError,
            "it is overloaded, restarting or switched off, and is asked again by itself",
        ),
        300..=399 => (
            Kind::Refused,
            "it redirects, and credentials are not sent after a redirect; write the url that it leads to",
        ),
        401 => (
            Kind::Refused,
            "it does not accept our client; check that the files hold the identifier and the secret of one client, \
             and that the client has not ended",
        ),
        403 => (
            Kind::Refused,
            "it does not let us in; check that our address is allowed for this client",
        ),
        404 | 405 => (Kind::Refused, "there is no token endpoint; check the url"),
        400 if word == Some("invalid_client") => (
            Kind::Refused,
            "it does not accept our client; check that the files hold the identifier and the secret of one client",
        ),
        400 if word == Some("temporarily_unavailable") || word == Some("server_error") => {
            (Kind::ServerError, "it is asked again by itself")
        }
        400 if named_user && !about_client => (
            Kind::Refused,
            "it does not accept the user that the request names, or the request itself; check `username_header`, `scopes` \
             and `parameters`",
        ),
        _ => (
            Kind::Refused,
            "it does not accept the request; check `scopes`, `parameters` and `grant_in`",
        ),
    };
    Trouble {
        pause: reply.retry_after.map(Duration::from_secs),
        of_the_user: named_user && status == 400 && !about_client && kind.is_lasting(),
        ..Trouble::new(kind, format!("{answers}: {means}"))
    }
}

pub(super) fn word(body: &[u8]) -> Option<&'static str> {
    let body: Value = serde_json::from_slice(body).ok()?;
    let said = body.get("error")?.as_str()?;
    WORDS.into_iter().find(|word| *word == said)
}

fn looks_like(body: &[u8]) -> &'static str {
    let text = body.trim_ascii_start();
    match text.first() {
        None => "an empty body",
        Some(b'<') => "HTML or XML",
        Some(b'{' | b'[') => "broken JSON",
        Some(_) => "something else than JSON",
    }
}

/// Whether a request's header can carry the token (RFC 6750 section 2.1 is a little stricter than what is met).
fn sound(token: &str) -> Result<(), &'static str> {
    if token.is_empty() {
        return Err("an empty token");
    }
    if token.len() > LONGEST {
        return Err("a token of more than 16 KiB");
    }
    if token.starts_with('<') {
        return Err("HTML or XML");
    }
    if !token.bytes().all(|byte| (0x21..=0x7e).contains(&byte)) {
        return Err("a token that no header can carry");
    }
    Ok(())
}

/// A number of seconds, as number or text. What is below nothing is nothing.
pub(super) fn seconds(value: &Value) -> Option<Duration> {
    let found = match value {
        Value::Number(number) => number.as_f64()?,
        Value::String(text) => text.trim().parse::<f64>().ok()?,
        _ => return None,
    };
    found
        .is_finite()
        .then(|| Duration::from_secs_f64(found.clamp(0.0, 1e9)))
}

/// The shortest life that reply and token speak of; `None`: it is over. A JWT's dates are read without proof: whoever
/// forged them would only make us ask sooner.
fn life(said: Option<Duration>, token: &str, now: i64) -> Option<Duration> {
    let dates = dates(token);
    let between = |from: i64, to: i64| Duration::from_secs(u64::try_from(to.saturating_sub(from)).unwrap_or_default());
    let whole = dates.and_then(|dates| Some(between(dates.issued?, dates.expires)));
    // A clock that is wrong must not make a token that was just issued useless, where anything else says its life.
    let left = dates.map(|dates| between(now, dates.expires));
    let left = left.filter(|left| !left.is_zero() || (said.is_none() && whole.is_none()));
    let life = [said, whole, left].into_iter().flatten().min().unwrap_or(UNSAID);
    (!life.is_zero()).then_some(life)
}

#[derive(Clone, Copy)]
struct Dates {
    issued: Option<i64>,
    expires: i64,
}

/// `exp` and `iat` of a JWT (RFC 7519 section 4.1), where the token is one.
fn dates(token: &str) -> Option<Dates> {
    let mut parts = token.split('.');
    let (Some(_), Some(claims), Some(_), None) = (parts.next(), parts.next(), parts.next(), parts.next()) else {
        return None;
    };
    let claims = Zeroizing::new(URL_SAFE_NO_PAD.decode(claims.trim_end_matches('=')).ok()?);
    let claims: Value = serde_json::from_slice(&claims).ok()?;
    #[allow(clippy::cast_possible_truncation)] // saturates
    let date = |name: &str| claims.get(name)?.as_f64().map(|date| date as i64);
    Some(Dates {
        issued: date("iat"),
        expires: date("exp")?,
    })
}

#[cfg(test)]
mod tests;
