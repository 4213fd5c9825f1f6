//! One token: the client's files, the way to the server, and the very request that the sidecar makes.
//!
//! Every refusal is told with what to do. Neither token nor secret is shown, and the client's identifier only once the server
//! has taken it for one.

use std::sync::Arc;

use super::DoctorArgs;
use super::claims::{Claims, Expected};
use super::client;
use super::clocks::clock;
use super::ground::{Ground, Way, unnameable};
use super::report::Lines;
use crate::cert::facts::span;
use crate::config::settings::{ClientCredentials, DeliusLogon, GrantIn, Token};
use crate::secret::Secret;
use crate::token::once::{self, Once};
use crate::token::{Kind, Trouble};
use crate::transport::tls;

const CHECK: &str = "token request";
const EXPECTED: &str = "a token";

/// A token that came, and what of it explains a refusal by an API.
pub(super) struct Held {
    pub(super) token: Secret<String>,
    pub(super) is_logon: bool,
    pub(super) issuer: Option<String>,
    /// `None`: the token cannot be read.
    pub(super) roles: Option<Vec<String>>,
}

/// A token of an authorisation server.
pub(super) async fn of_server(
    args: &DoctorArgs,
    (token, settings): (&Token, &ClientCredentials),
    standard: bool,
    now: i64,
    lines: &mut Lines,
) -> Option<Held> {
    let client = client::examine(settings, lines);
    let ground = match Ground::of_server(args, token, settings) {
        Ok(ground) => ground,
        Err(name) => {
            unnameable(&name, lines);
            return None;
        }
    };
    if let Way::None(why) = ground.look(now, lines).await {
        lines.skip(CHECK, why);
        return None;
    }
    let Some((client, hints)) = client else {
        lines.skip(CHECK, "there is no client to ask as");
        return None;
    };
    let token = patient(args, token);
    let once = once::of_server(&token, settings, &client).await;
    let got = match &once.token {
        Ok(got) => got,
        Err(trouble) => {
            let (found, todo) = refused(&ground, settings, &once, trouble, &hints);
            lines.fail(CHECK, found, EXPECTED, todo);
            clock(once.date.as_deref(), now, lines);
            return None;
        }
    };
    came(&ground, &once, lines);
    kind(&once, lines);
    life(&once, &token, lines);
    let expected = Expected {
        client: Some(client.id()),
        standard,
    };
    let held = held(got, expected, now, lines);
    clock(once.date.as_deref(), now, lines);
    Some(held)
}

/// A token of a Delius logon, over the way of its upstream.
pub(super) async fn of_logon(
    args: &DoctorArgs,
    (token, settings): (&Token, &DeliusLogon),
    (ground, way): (&Ground<'_>, &Way),
    now: i64,
    lines: &mut Lines,
) -> Option<Held> {
    if let Some(path) = &settings.user_file
        && !client::file(path, "user file", false, lines)
    {
        lines.skip(CHECK, "there is no user to log on");
        return None;
    }
    let client_config = match way {
        Way::None(why) => {
            lines.skip(CHECK, format!("upstream {}: {why}", settings.upstream));
            return None;
        }
        Way::Clear => None,
        Way::Tls(_, trusted) => match tls::client_config(ground.bundle, trusted, ground.tls_min, false) {
            Ok(config) => Some(Arc::new(config)),
            Err(error) => {
                lines.fail(CHECK, error.to_string(), "a usable identity and trust", "see above");
                return None;
            }
        },
    };
    let token = patient(args, token);
    let host = String::from_utf8_lossy(&ground.host).into_owned();
    let place = (host, ground.base_path.as_str());
    let once = once::of_logon((&token, settings), &ground.endpoint, client_config.as_ref(), place).await;
    match &once.token {
        Ok(got) => {
            came(ground, &once, lines);
            let expected = Expected {
                client: None,
                standard: false,
            };
            let mut held = held(got, expected, now, lines);
            held.is_logon = true;
            Some(held)
        }
        Err(trouble) => {
            let (found, todo) = parts(trouble);
            lines.fail(CHECK, found, EXPECTED, todo);
            None
        }
    }
}

fn patient(args: &DoctorArgs, token: &Token) -> Token {
    Token {
        timeout: args.patience.unwrap_or(token.timeout),
        ..token.clone()
    }
}

fn came(ground: &Ground<'_>, once: &Once, lines: &mut Lines) {
    let took = once.took.as_millis();
    lines.ok(
        CHECK,
        format!("{} gives a token in {took} ms, connection and all", ground.peer),
    );
}

fn held(token: &Secret<String>, expected: Expected<'_>, now: i64, lines: &mut Lines) -> Held {
    let claims = Claims::read(token.expose());
    match &claims {
        Some(claims) => claims.told(expected, now, lines),
        None => lines.ok("token claims", "the token is opaque: nothing can be read of it here"),
    }
    Held {
        token: token.clone(),
        is_logon: false,
        issuer: claims.as_ref().and_then(Claims::issuer),
        roles: claims.as_ref().map(Claims::roles),
    }
}

fn kind(once: &Once, lines: &mut Lines) {
    match &once.token_type {
        Some(kind) => lines.ok("token type", kind.clone()),
        None => lines.warn(
            "token type",
            "the reply names none",
            "token_type \"bearer\"",
            "nothing, as long as the API takes the token: it is sent as a bearer token",
        ),
    }
}

fn life(once: &Once, token: &Token, lines: &mut Lines) {
    const CHECK: &str = "token life";
    let seconds = |time: std::time::Duration| span(i64::try_from(time.as_secs()).unwrap_or(i64::MAX));
    let Some(life) = once.expires_in else {
        let todo = "have the server name it: without it the token's own end counts, or else five minutes";
        lines.warn(
            CHECK,
            "the reply names no `expires_in`",
            "the token's life in seconds",
            todo,
        );
        return;
    };
    let found = format!(
        "{}, asked for anew {} ahead",
        seconds(life),
        seconds(token.refresh_ahead.min(life / 3))
    );
    if token.refresh_ahead <= life / 3 {
        lines.ok(CHECK, found);
    } else {
        lines.warn(
            CHECK,
            format!(
                "{found}: `refresh_ahead` ({}) is more than a third of that",
                seconds(token.refresh_ahead)
            ),
            "a life of three times `refresh_ahead` at least",
            "shorten `refresh_ahead`, or have the client's tokens live longer",
        );
    }
}

/// What was found, and what to do.
fn refused(
    ground: &Ground<'_>,
    settings: &ClientCredentials,
    once: &Once,
    trouble: &Trouble,
    hints: &[String],
) -> (String, String) {
    const URL: &str = "write the url of the token endpoint, for example https://sign-in.example/auth/oauth/token";
    let Some(status) = once.status else {
        return parts(trouble);
    };
    let word = once.word.map_or(String::new(), |word| format!(" ({word})"));
    let answers = format!("{} answers {status}{word} to the token request", ground.peer);
    let say = |means: &str, todo: &str| (format!("{answers}: {means}"), todo.to_owned());
    let other = match settings.grant_in {
        GrantIn::Body => "query",
        GrantIn::Query => "body",
    };
    match (status, once.word) {
        (300..=399, _) => {
            let to = once.redirect.as_deref().unwrap_or("an unnamed place");
            let lower = to.to_ascii_lowercase();
            let page = ["sign-in", "signin", "login"].iter().any(|word| lower.contains(word));
            let what = if page {
                format!("it redirects to {to}, where people sign in: this is not the token endpoint")
            } else {
                format!("it redirects to {to}, and credentials are not sent after a redirect")
            };
            say(&what, URL)
        }
        (200..=299, _) if once.page => say("with a page for people: this is not the token endpoint", URL),
        (_, Some("unsupported_grant_type")) => say(
            "it does not take client credentials, asked in this way",
            &format!("try grant_in = \"{other}\"; else have the grant client_credentials allowed for the client"),
        ),
        (_, Some("unauthorized_client")) => say(
            "the client may not ask for tokens by client credentials",
            "have the grant client_credentials allowed for the client",
        ),
        (_, Some("invalid_scope")) => say(
            "the client may not have these scopes",
            "correct `scopes`, or remove them",
        ),
        (_, Some("invalid_grant")) => say(
            "it takes the client, and not what is asked for",
            "check `parameters`: a user or a source that is named there may be unknown",
        ),
        (401, _) | (_, Some("invalid_client")) => {
            let hints = hints.iter().map(|hint| format!("{hint}; ")).collect::<String>();
            let todo = format!(
                "{hints}check that both files are of one copy of the client: identifier and secret change together, and \
                 copies (NAME, NAME-1, NAME-2) have a secret each; that the copy was not removed and is not past its end; \
                 that the server is that of the client's environment; and that our address is allowed"
            );
            say("it does not take the client", &todo)
        }
        (403, _) | (_, Some("access_denied")) => say(
            "it knows who asks and does not let us in from here",
            "have the address that this pod's requests come from put on the client's list",
        ),
        (404 | 405, _) => say("there is no token endpoint", URL),
        (_, Some("invalid_request")) => say(
            "it misses something in the request",
            &format!("try grant_in = \"{other}\"; check `parameters` and `scopes`"),
        ),
        (408 | 429 | 500.., _) => {
            let who = if once.page {
                "with a page: that is not the server but what stands before it (ingress, balancer)"
            } else {
                "it is overloaded, restarting or switched off"
            };
            say(
                who,
                "ask its operators, and try again: a running sidecar asks again by itself",
            )
        }
        _ => parts(trouble),
    }
}

/// A sentence ends with what to do.
fn parts(trouble: &Trouble) -> (String, String) {
    let otherwise = match trouble.kind {
        Kind::Timeout => {
            "check that the server is not overloaded, and what is on the way; raise `timeout` if it is slow"
        }
        Kind::Files => "put readable files in place",
        Kind::Unreachable => "see the lines above, and the server's log for the same moment",
        Kind::Refused | Kind::ServerError | Kind::Invalid => "look at the server's log for the same moment",
    };
    match trouble.sentence.rsplit_once("; ") {
        Some((found, todo)) => (found.to_owned(), todo.to_owned()),
        None => (trouble.sentence.to_string(), otherwise.to_owned()),
    }
}
