//! The token request: who asks (RFC 6749 section 2.3.1), for what grant, and the token or the refusal.
//!
//! Who asks is looked at before what is asked, as the real server does it. Parameters may stand in the query or in a
//! form; the credentials only in the Basic header, form-urlencoded before base64 as a certified server expects them.

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use bytes::Bytes;
use http::{Method, header};
use serde_json::json;

use super::keys::uuid;
use super::{Ask, Auth, Reply};
use crate::secret::Secret;

const GRANT: &str = "client_credentials";
const SOURCES: [&str; 5] = ["nomis", "delius", "auth", "azuread", "none"];

/// Which of the two servers answers.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Server {
    Older,
    Newer,
}

impl Auth {
    pub(super) fn token(&self, ask: &Ask<'_>, server: Server) -> Reply {
        if *ask.method != Method::POST {
            return Reply::unhandled(405, ask.path);
        }
        let (id, secret) = match basic(ask) {
            Some(Ok(pair)) => pair,
            Some(Err(Unreadable)) => return invalid_client(),
            None => return unauthorised(),
        };
        let Some(roles) = self.clients.roles(&id, &secret) else {
            return invalid_client();
        };
        let Ok(parameters) = Parameters::of(ask) else {
            return invalid_request();
        };
        match parameters.first("grant_type") {
            Some(GRANT) => {}
            // Nobody has an account here: whoever names one is told the same.
            Some("password" | "authorization_code" | "refresh_token") => {
                return error(400, include_bytes!("../people/auth/errors/400-invalid-grant.json"));
            }
            Some(_) => {
                let body = include_bytes!("../people/auth/errors/400-unsupported-grant-type.json");
                return error(400, body);
            }
            None => return invalid_request(),
        }
        self.grant(&id, &roles, &parameters, ask.now, server)
            .unwrap_or_else(|_| Reply::unhandled(500, ask.path))
    }

    fn grant(
        &self,
        id: &str,
        roles: &[String],
        parameters: &Parameters,
        now: i64,
        server: Server,
    ) -> std::io::Result<Reply> {
        let user = parameters.first("username").filter(|user| !user.is_empty());
        let user = user.map(|user| match server {
            Server::Older => user.to_uppercase(),
            Server::Newer => user.to_owned(),
        });
        let source = parameters.first("auth_source").unwrap_or_default();
        let source = SOURCES.into_iter().find(|known| *known == source).unwrap_or("none");
        let life = i64::try_from(self.expires_in.as_secs()).unwrap_or(i64::MAX);
        let subject = user.as_deref().unwrap_or(id);
        let jti = uuid()?;
        let mut claims = json!({
            "sub": subject,
            "aud": "oauth2-resource",
            "nbf": now,
            "scope": ["read"],
            "iss": self.issuer,
            "auth_source": source,
            "grant_type": GRANT,
            "exp": now.saturating_add(life),
            "iat": now,
            "jti": jti,
            "client_id": id,
        });
        if !roles.is_empty() {
            claims["authorities"] = json!(roles);
        }
        let (kind, scope) = match server {
            Server::Older => ("bearer", "read"),
            Server::Newer => ("Bearer", r#"["read"]"#), // an array within the string, as it really comes
        };
        let mut answer = json!({
            "token_type": kind,
            "expires_in": life,
            "scope": scope,
            "sub": subject,
            "auth_source": source,
            "jti": jti,
            "iss": self.issuer,
        });
        if let Some(user) = &user {
            claims["user_name"] = json!(user);
            answer["user_name"] = json!(user);
        }
        answer["access_token"] = json!(self.keyring.sign(&claims)?);
        Ok(Reply::json(200, &answer).with(header::CACHE_CONTROL, "no-store"))
    }
}

/// The pair cannot be read.
struct Unreadable;

/// The pair of the Basic header; `None` where there is no such header.
fn basic(ask: &Ask<'_>) -> Option<Result<(String, Secret<String>), Unreadable>> {
    let (scheme, encoded) = ask.authorization()?.split_once(' ')?;
    if !scheme.eq_ignore_ascii_case("basic") {
        return None;
    }
    let pair = || {
        let pair = Secret::new(STANDARD.decode(encoded.trim()).ok()?);
        let (id, secret) = std::str::from_utf8(pair.expose()).ok()?.split_once(':')?;
        Some((form_decoded(id)?, Secret::new(form_decoded(secret)?)))
    };
    Some(pair().ok_or(Unreadable))
}

/// The parameters of query and form, in this order.
struct Parameters(Vec<(String, String)>);

impl Parameters {
    fn of(ask: &Ask<'_>) -> Result<Self, Unreadable> {
        let mut parameters = Vec::new();
        let kind = ask.headers.get(header::CONTENT_TYPE);
        let kind = kind.and_then(|kind| kind.to_str().ok()).unwrap_or_default();
        let kind = kind.split(';').next().unwrap_or_default().trim();
        let form = if kind.eq_ignore_ascii_case("application/x-www-form-urlencoded") {
            std::str::from_utf8(ask.body).map_err(|_| Unreadable)?
        } else {
            ""
        };
        for text in [ask.query.unwrap_or_default(), form] {
            for part in text.split('&').filter(|part| !part.is_empty()) {
                let (name, value) = part.split_once('=').unwrap_or((part, ""));
                let decoded = form_decoded(name).zip(form_decoded(value)).ok_or(Unreadable)?;
                parameters.push(decoded);
            }
        }
        Ok(Self(parameters))
    }

    fn first(&self, name: &str) -> Option<&str> {
        let found = self.0.iter().find(|(own, _)| own == name)?;
        Some(&found.1)
    }
}

/// Undoes `application/x-www-form-urlencoded`.
fn form_decoded(text: &str) -> Option<String> {
    let mut bytes = Vec::with_capacity(text.len());
    let mut rest = text.bytes();
    while let Some(byte) = rest.next() {
        bytes.push(match byte {
            b'+' => b' ',
            b'%' => {
                let mut digit = || char::from(rest.next()?).to_digit(16);
                u8::try_from(digit()? * 16 + digit()?).ok()?
            }
            plain => plain,
        });
    }
    String::from_utf8(bytes).ok()
}

/// Wrong identifier or secret.
pub(super) fn invalid_client() -> Reply {
    let body = include_bytes!("../people/auth/errors/401-invalid-client.json");
    challenge(error(401, body))
}

/// No credentials at all: the framework answers before the endpoint.
fn unauthorised() -> Reply {
    let body = include_bytes!("../people/auth/errors/401-unauthorised.json");
    challenge(error(401, body))
}

fn challenge(reply: Reply) -> Reply {
    reply.with(header::WWW_AUTHENTICATE, r#"Basic realm="oauth""#)
}

fn invalid_request() -> Reply {
    Reply::json(400, &json!({ "error": "invalid_request" })).with(header::CACHE_CONTROL, "no-store")
}

fn error(status: u16, recorded: &'static [u8]) -> Reply {
    Reply::recorded(status, Bytes::from_static(recorded)).with(header::CACHE_CONTROL, "no-store")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn form_encoding_is_undone_and_broken_encoding_is_refused() {
        assert_eq!(form_decoded("a%2Bb%3a+c%25").as_deref(), Some("a+b: c%"));
        assert_eq!(form_decoded("%C3%A9").as_deref(), Some("é"));
        for broken in ["%", "%4", "%zz", "%ff"] {
            assert_eq!(form_decoded(broken), None, "{broken}");
        }
    }
}
