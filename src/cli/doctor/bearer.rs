//! One real request with a token that was fetched just now: does the API take it?
//!
//! 401 and 403 mean something else here than without a token: issuer and clock, or the role. What the API says of a path about
//! nobody (400, 404) is well: it has looked at the token before.

use std::sync::Arc;

use super::clocks::clock;
use super::grant::Held;
use super::ground::{Ground, Way};
use super::nobody::{Choice, Path};
use super::report::Lines;
use super::request::told;
use crate::cert::facts::printable;
use crate::identity::preflight::{self, Request, Trial};
use crate::rehearsal::auth::ROLE;
use crate::secret::Secret;
use crate::transport::tls;

const CHECK: &str = "request";
const EXPECTED: &str = "an API that takes the token";

pub(super) async fn with_token(
    (ground, way): (&Ground<'_>, &Way),
    held: &Held,
    path: &Path,
    now: i64,
    lines: &mut Lines,
) {
    let mut value = Vec::with_capacity(7 + held.token.expose().len());
    value.extend_from_slice(b"Bearer ");
    value.extend_from_slice(held.token.expose().as_bytes());
    let request = Request {
        method: path.method.clone(),
        target: format!("{}{}", ground.base_path, path.path),
        authorization: Some(Secret::new(value)),
        proves: true,
        ..ground.request.clone()
    };
    let trial = match way {
        Way::None(why) => {
            lines.skip(CHECK, *why);
            return;
        }
        Way::Clear => preflight::in_the_clear(&ground.endpoint, &request, &ground.peer).await,
        Way::Tls(_, trusted) => match tls::client_config(ground.bundle, trusted, ground.tls_min, false) {
            Ok(config) => {
                let client_config = Arc::new(config);
                preflight::trial(&ground.endpoint, &client_config, &request, &ground.peer).await
            }
            Err(error) => {
                lines.fail(CHECK, error.to_string(), "a usable identity and trust", "see above");
                return;
            }
        },
    };
    let of_the_certificate = ground.bundle.is_some() && matches!(trial.status, Some(400 | 495 | 496));
    match (trial.status, way) {
        (Some(status), _) if !of_the_certificate => answered(status, &request, (ground, &trial), held, path, lines),
        (_, Way::Tls(seen, _)) => told(ground, seen, &trial, format!("an answer to {request}"), lines),
        _ => lines.fail(
            CHECK,
            trial.verdict.sentence().to_owned(),
            EXPECTED,
            "look at the service and its log for the same moment",
        ),
    }
    clock(trial.date.as_deref(), now, lines);
}

fn answered(
    status: u16,
    request: &Request,
    (ground, trial): (&Ground<'_>, &Trial),
    held: &Held,
    path: &Path,
    lines: &mut Lines,
) {
    let answers = format!(
        "{} answers {status} to {request} with a token fetched just now",
        ground.peer
    );
    match status {
        401 => unauthorised(&answers, trial, held, lines),
        403 if held.is_logon => lines.fail(
            CHECK,
            format!("{answers}: the 2018 Delius API says so of a token that it does not take"),
            EXPECTED,
            "check that logon and API are of one environment, and compare the clocks",
        ),
        403 => forbidden(&answers, held, lines),
        200..=299 | 400..=499 if path.choice == Choice::Probe => lines.warn(
            CHECK,
            format!("{answers}, as it would without one, for a probe: nothing was proven of the token"),
            "a request that needs the token",
            "name one in `trial`, or with --path: one that changes nothing and is about nobody",
        ),
        200..=299 => lines.ok(CHECK, answers),
        300..=399 => lines.fail(
            CHECK,
            format!("{answers}: it redirects, as a page for people does and an API does not"),
            EXPECTED,
            "check `url`: its host, and the path before the API's own",
        ),
        400..=499 if path.choice == Choice::Nobody => lines.ok(
            CHECK,
            format!("{answers}: it takes the token, and there is nobody of that number, as was meant"),
        ),
        404 => lines.warn(
            CHECK,
            format!("{answers}: there is nothing, and it may say so without looking at the token"),
            "a request that needs the token",
            "name one in `trial`, or with --path: one that is there, changes nothing and is about nobody",
        ),
        400..=499 => lines.ok(CHECK, format!("{answers}: it takes the token, though not this request")),
        500 if path.choice == Choice::Nobody => lines.warn(
            CHECK,
            format!("{answers}: earlier versions of the API do so where a number is none, and then the token is good"),
            "400 or 404 to a number that is none",
            "name a request that is answered in `trial`, or with --path",
        ),
        _ => lines.fail(
            CHECK,
            format!("{answers}: that says nothing of the token"),
            EXPECTED,
            "the way and the token are not the cause: ask the operators of the service behind",
        ),
    }
}

fn unauthorised(answers: &str, trial: &Trial, held: &Held, lines: &mut Lines) {
    let says = trial.challenge.as_deref().map_or(String::new(), |challenge| {
        // A server may quote what it was sent.
        let challenge = challenge.replace(held.token.expose().as_str(), "[token]");
        let short: String = printable(&challenge).chars().take(200).collect();
        format!(", and says {short}")
    });
    let issuer = match &held.issuer {
        Some(issuer) => format!(" (issuer {issuer})"),
        None => String::new(),
    };
    lines.fail(
        CHECK,
        format!("{answers}{issuer}{says}: it does not take the token"),
        EXPECTED,
        "check that `url` here and in the [token] table are of one environment: an API takes tokens of its own issuer \
         and audience only; compare the clocks; else its operators know which issuer and keys it believes",
    );
}

fn forbidden(answers: &str, held: &Held, lines: &mut Lines) {
    let roles = match held.roles.as_deref() {
        None => String::from("the token cannot be read"),
        Some([]) => String::from("it has no roles at all"),
        Some(roles) => format!("its roles are {}", roles.join(", ")),
    };
    let todo = if held
        .roles
        .as_ref()
        .is_some_and(|roles| roles.iter().any(|role| role == ROLE))
    {
        "the role is there: ask the API's operators which other one this request needs, and whether our address is let in"
            .to_owned()
    } else {
        format!("have the role that the API asks for given to the client ({ROLE} for reading case records)")
    };
    lines.fail(
        CHECK,
        format!("{answers}: it takes the token, and its client may not do this; {roles}"),
        EXPECTED,
        todo,
    );
}
