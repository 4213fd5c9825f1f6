//! What a token says of itself (RFC 7519 section 4.1), to explain refusals: nothing here is verified, and the token is not shown.

use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use serde_json::Value;
use zeroize::Zeroizing;

use super::report::Lines;
use crate::cert::facts::{date, printable, span};
use crate::identity::store::CLOCK_SKEW;
use crate::rehearsal::auth::ROLE;

/// Implies every role of an integration API.
const ADMIN: &str = "ROLE_PROBATION_INTEGRATION_ADMIN";
/// Characters of a claim that are shown.
const LONGEST: usize = 120;

#[derive(Debug)]
pub(super) struct Claims(Value);

/// What is to be found in a token.
#[derive(Clone, Copy, Debug)]
pub(super) struct Expected<'a> {
    /// Not for a logon.
    pub(super) client: Option<&'a str>,
    /// The API of the standard route takes it.
    pub(super) standard: bool,
}

impl Claims {
    /// `None`: the token is no JWT.
    pub(super) fn read(token: &str) -> Option<Self> {
        let mut parts = token.split('.');
        let (Some(_), Some(claims), Some(_), None) = (parts.next(), parts.next(), parts.next(), parts.next()) else {
            return None;
        };
        let claims = Zeroizing::new(URL_SAFE_NO_PAD.decode(claims.trim_end_matches('=')).ok()?);
        let claims: Value = serde_json::from_slice(&claims).ok()?;
        claims.is_object().then_some(Self(claims))
    }

    fn text(&self, name: &str) -> Option<String> {
        self.0.get(name)?.as_str().map(shown)
    }

    /// A text or a list of texts.
    fn list(&self, name: &str) -> Vec<String> {
        match self.0.get(name) {
            Some(Value::String(text)) => vec![shown(text)],
            Some(Value::Array(all)) => all.iter().filter_map(Value::as_str).take(20).map(shown).collect(),
            _ => Vec::new(),
        }
    }

    #[allow(clippy::cast_possible_truncation)] // saturates
    fn seconds(&self, name: &str) -> Option<i64> {
        self.0.get(name)?.as_f64().map(|seconds| seconds as i64)
    }

    pub(super) fn issuer(&self) -> Option<String> {
        self.text("iss")
    }

    pub(super) fn roles(&self) -> Vec<String> {
        self.list("authorities")
    }

    /// Everything that explains a refusal.
    pub(super) fn told(&self, expected: Expected<'_>, now: i64, lines: &mut Lines) {
        if expected.client.is_some() {
            match self.issuer() {
                Some(issuer) => lines.ok("token issuer", issuer),
                None => lines.warn(
                    "token issuer",
                    "the token names no issuer",
                    "the issuer that the API believes",
                    "ask the operators of the server whether this is the right one",
                ),
            }
            match self.list("aud").as_slice() {
                [] => lines.ok("token audience", "none is named, as older servers do"),
                named => lines.ok("token audience", named.join(", ")),
            }
            self.may(expected.standard, lines);
        }
        self.client(expected.client, lines);
        self.dates(now, lines);
    }

    fn may(&self, standard: bool, lines: &mut Lines) {
        const CHECK: &str = "token roles";
        let roles = self.roles();
        let found = if roles.is_empty() {
            String::from("none")
        } else {
            roles.join(", ")
        };
        if !standard || roles.iter().any(|role| role == ROLE || role == ADMIN) {
            lines.ok(CHECK, found);
            return;
        }
        lines.warn(
            CHECK,
            format!("the roles are: {found}"),
            format!("{ROLE}, by which case records may be read"),
            "have the role given to the client, unless the API of the standard leg asks for another one",
        );
    }

    fn client(&self, expected: Option<&str>, lines: &mut Lines) {
        const CHECK: &str = "token client";
        let Some((expected, named)) = expected.zip(self.text("client_id")) else {
            return;
        };
        if named == shown(expected) {
            lines.ok(CHECK, format!("the token is for \"{named}\", as the file has it"));
        } else {
            lines.warn(
                CHECK,
                format!("the token is for the client \"{named}\""),
                "the client that the file names",
                "tell the server's operators: it gave a token for somebody else",
            );
        }
    }

    fn dates(&self, now: i64, lines: &mut Lines) {
        const CHECK: &str = "token dates";
        let expected = "a token that was made now and ends later";
        let todo = "compare this machine's clock and the server's with a time server: the API may refuse the token";
        let (issued, ends) = (self.seconds("iat").or_else(|| self.seconds("nbf")), self.seconds("exp"));
        match (issued, ends) {
            (Some(issued), _) if issued > now + CLOCK_SKEW => lines.warn(
                CHECK,
                format!(
                    "the token was made {} from now, by this machine's clock, which is behind",
                    span(issued - now)
                ),
                expected,
                todo,
            ),
            (_, Some(ends)) if ends <= now => lines.warn(
                CHECK,
                format!(
                    "the token has ended already, by this machine's clock, which is {} ahead at least",
                    span(now - ends)
                ),
                expected,
                todo,
            ),
            (Some(issued), _) if now - issued > CLOCK_SKEW => lines.warn(
                CHECK,
                format!(
                    "the token was made {} ago: this machine's clock is ahead, or the server gives one token twice",
                    span(now - issued)
                ),
                expected,
                todo,
            ),
            (_, Some(ends)) => lines.ok(CHECK, format!("it ends at {}, in {}", date(ends), span(ends - now))),
            (_, None) => lines.ok(CHECK, "it names no end"),
        }
    }
}

fn shown(text: &str) -> String {
    printable(text).chars().take(LONGEST).collect()
}
