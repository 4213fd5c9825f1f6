//! What the server does with our certificate: whether it asks for one, whose it says it accepts, and one real request.

use std::sync::Arc;

use super::clocks::clock;
use super::ground::{Ground, Way};
use super::report::Lines;
use crate::cert::Trusted;
use crate::fault::Code;
use crate::identity::preflight::{self, Trial, Verdict};
use crate::transport::look::Seen;
use crate::transport::tls;

/// Whether the server asks for a certificate, and of which CAs.
pub(super) fn asked(ground: &Ground<'_>, seen: &Seen, lines: &mut Lines) {
    const CHECK: &str = "client certificate";
    let identity = ground.has_identity;
    match (seen.asked_for_certificate, identity) {
        (true, true) => lines.ok(CHECK, "the server asks for one in the handshake, as it should"),
        (false, false) => lines.ok(CHECK, "the server asks for none, and none is configured"),
        (true, false) => lines.warn(
            CHECK,
            "the server asks for a certificate, and this upstream has no `identity`",
            "an identity where one is asked for",
            "name one in `identity`, unless the server only would like to see one",
        ),
        (false, true) => lines.warn(
            CHECK,
            "the server does not ask for a certificate in the handshake: this is no mutual TLS",
            "a server that requires a client certificate of everybody",
            "tell its operators: whoever reaches it may be let in; or it asks later, by renegotiation, which cannot work",
        ),
    }
    if !seen.asked_for_certificate {
        return;
    }
    if seen.issuers.is_empty() {
        lines.ok("accepted issuers", "it names none: it will say after it has seen ours");
        return;
    }
    let named: Vec<String> = seen.issuers.iter().map(|name| format!("\"{name}\"")).collect();
    let named = named.join(", ");
    let Some(bundle) = ground.bundle else {
        lines.ok("accepted issuers", named);
        return;
    };
    let ours = bundle
        .chain_facts()
        .iter()
        .find(|facts| seen.issuers.contains(&facts.issuer));
    match ours {
        Some(facts) => lines.ok(
            "accepted issuers",
            format!("{named}; our chain ends at \"{}\", which is one of them", facts.issuer),
        ),
        None => {
            let end = bundle.chain_facts().last().map_or("", |facts| facts.issuer.as_str());
            lines.warn(
                "accepted issuers",
                format!("the server says that it accepts {named}; our chain ends at \"{end}\", which is none of them"),
                "our CA among them",
                "have our CA put into its list, or use a certificate that one of these issued",
            );
        }
    }
}

/// One real request with whatever the files hold, and no token.
pub(super) async fn without_token(ground: &Ground<'_>, way: &Way, now: i64, lines: &mut Lines) {
    match way {
        Way::None(why) => lines.skip("request", *why),
        Way::Clear => ask_in_the_clear(ground, now, lines).await,
        Way::Tls(seen, trusted) => ask(ground, seen, trusted, now, lines).await,
    }
}

/// One real request with the certificate in its files; answers what came of it, for the comparison of clocks.
async fn ask(ground: &Ground<'_>, seen: &Seen, trusted: &Trusted, now: i64, lines: &mut Lines) {
    const CHECK: &str = "request";
    let config = match tls::client_config(ground.bundle, trusted, ground.tls_min, false) {
        Ok(config) => config,
        Err(error) => {
            lines.fail(CHECK, error.to_string(), "a usable identity and trust", "see above");
            return;
        }
    };
    let client_config = Arc::new(config);
    let trial = preflight::trial(&ground.endpoint, &client_config, &ground.request, &ground.peer).await;
    let expected = format!("an answer to {}", ground.request);
    if !seen.asked_for_certificate && ground.bundle.is_some() && refused_unasked(&trial) {
        let end = match trial.status {
            Some(status) => format!("answers {status}"),
            None => String::from("ends the connection without an answer"),
        };
        lines.fail(
            CHECK,
            format!(
                "{} asks for no certificate in the handshake and then {end} to {}: most likely it asks for one by \
                 renegotiation (TLS 1.2) or after the handshake (TLS 1.3), as Apache does with `SSLVerifyClient` in a \
                 <Location> or <Directory>",
                ground.peer, ground.request
            ),
            "a server that asks in the handshake: renegotiation is not safe, and this sidecar does not offer it",
            "ask its operators to require the certificate for the whole virtual host (`SSLVerifyClient require` \
             outside of <Location> and <Directory>)",
        );
    } else {
        told(ground, seen, &trial, expected, lines);
    }
    clock(trial.date.as_deref(), now, lines);
}

/// The same without TLS.
async fn ask_in_the_clear(ground: &Ground<'_>, now: i64, lines: &mut Lines) {
    let trial = preflight::in_the_clear(&ground.endpoint, &ground.request, &ground.peer).await;
    match (trial.status, &trial.fault) {
        (Some(status @ 200..500), _) => {
            lines.ok(
                "request",
                format!("{} answers {status} to {}", ground.peer, ground.request),
            );
        }
        (status, fault) => {
            let found = match (status, fault) {
                (Some(status), _) => format!("{} answers {status} to {}", ground.peer, ground.request),
                (None, Some(fault)) => fault.detail.to_string(),
                (None, None) => trial.verdict.sentence().to_owned(),
            };
            lines.fail(
                "request",
                found,
                "an answer",
                "look at the service and its log for the same moment",
            );
        }
    }
    clock(trial.date.as_deref(), now, lines);
}

/// It let us in at the handshake, where nobody was asked for anything, and refused the request.
fn refused_unasked(trial: &Trial) -> bool {
    match trial.status {
        Some(status) => matches!(status, 401 | 403 | 495 | 496),
        None => {
            trial.server_version.is_some()
                && trial
                    .fault
                    .as_ref()
                    .is_some_and(|fault| !matches!(fault.code, Code::UpstreamTimeout | Code::UpstreamInvalid))
        }
    }
}

pub(super) fn told(ground: &Ground<'_>, seen: &Seen, trial: &Trial, expected: String, lines: &mut Lines) {
    const CHECK: &str = "request";
    let code = trial.fault.as_ref().map(|fault| fault.code);
    // Alerts do not always name the certificate (RFC 8446 section 6.2), and some servers just hang up.
    let in_the_handshake = trial.server_version.is_none()
        && seen.asked_for_certificate
        && matches!(code, Some(Code::UpstreamTls | Code::UpstreamReset));
    let why = trial
        .fault
        .as_ref()
        .map(|fault| fault.detail.as_ref())
        .unwrap_or_default();
    match &trial.verdict {
        Verdict::Unreachable(_) if in_the_handshake && ground.bundle.is_none() => lines.fail(
            CHECK,
            format!("{} refuses a client without a certificate: {why}", ground.peer),
            expected,
            "name an `identity` for this upstream",
        ),
        Verdict::Unreachable(_) if in_the_handshake => lines.fail(
            CHECK,
            format!("{} ends the handshake when it is shown our certificate: {why}", ground.peer),
            expected,
            "most likely it refuses the certificate without naming it: look at its log for the same moment, and have its \
             operators check that they trust its CA",
        ),
        Verdict::Passed(sentence) if matches!(trial.status, Some(401 | 403)) => lines.warn(
            CHECK,
            sentence.clone(),
            "a request that is answered",
            "name a path that the allocation manager may ask, with --path or in `trial`",
        ),
        Verdict::Passed(sentence) => lines.ok(CHECK, sentence.clone()),
        Verdict::Rejected(_) if ground.bundle.is_none() && code.is_some() => lines.fail(
            CHECK,
            format!("{} refuses a client without a certificate", ground.peer),
            expected,
            "name an `identity` for this upstream",
        ),
        Verdict::Rejected(_) if code == Some(Code::IdentityExpired) => lines.fail(
            CHECK,
            format!("{} says that our certificate has expired", ground.peer),
            expected,
            "put a renewed certificate in place; if ours has not expired, its clock is ahead",
        ),
        Verdict::Rejected(_) if code.is_some() => {
            let when = match trial.server_version {
                Some(_) => {
                    "only after the handshake was done, as servers do under TLS 1.3 (late rejection: the first request \
                     finds out)"
                }
                None => "in the handshake",
            };
            let why = trial
                .fault
                .as_ref()
                .map(|fault| fault.detail.as_ref())
                .unwrap_or_default();
            lines.fail(
                CHECK,
                format!("{} refuses our client certificate, {when}: {why}", ground.peer),
                expected,
                "have its operators trust the CA of our certificate and put its names on their list; or put the \
                 certificate in place that they know",
            );
        }
        Verdict::Rejected(sentence) => {
            let (found, todo) = sentence.rsplit_once("; ").unwrap_or((sentence, "ask its operators"));
            lines.fail(CHECK, found, expected, todo);
        }
        Verdict::Unreachable(sentence) | Verdict::ServerRevoked(sentence) => {
            let todo = match trial.status {
                Some(_) => "the way and the certificate are not the cause: ask the operators of the service behind",
                None => "look at the server's log for the same moment",
            };
            lines.fail(CHECK, sentence.clone(), expected, todo);
        }
    }
}
