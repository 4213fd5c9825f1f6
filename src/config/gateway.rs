//! The file of `gateway`: its own certificate, whom it lets in to what, and the one upstream behind it.

use super::Source;
use super::credentials;
use super::problem::Problem;
use super::read::Reader;
use super::settings::{AllowRule, GatewaySettings};
use super::validate::{self, Side, seconds};
use super::value;
use crate::cert::peer::Pattern;

/// Everything, or `None` where something was reported.
pub(super) fn settings(top: &Reader<'_>, _: &[Source]) -> Option<GatewaySettings> {
    let at = top.table("gateway");
    if !at.exists() {
        let problem = Problem::error(top.place("gateway"), "there is no [gateway]");
        top.report()
            .add(problem.right("write [gateway] with address, certificate, private_key and client_ca"));
    }
    let address = at.require("address", "0.0.0.0:8443", value::socket);
    let material = credentials::material(&at, "/etc/delius-sidecar/gateway");
    let staged = credentials::staged(&at, material.as_ref());
    let client_ca = at.require("client_ca", "/etc/delius-sidecar/gateway/client-ca.crt", value::path);
    let caller_timeout = at.duration("caller_timeout", validate::CALLER_TIMEOUT);
    let named = top.named("upstream");
    let names: Vec<&str> = named.iter().map(|(name, _)| *name).collect();
    let chosen = match (at.text("upstream"), names.as_slice()) {
        (Some(name), _) => {
            validate::resolve(&at, "upstream", name, "[upstream.NAME]", &names);
            Some(name)
        }
        (None, [only]) => Some(*only),
        (None, []) => {
            let problem = Problem::error(top.place("upstream"), "there is no [upstream.NAME] to forward to");
            top.report()
                .add(problem.right("write for example [upstream.delius] with url = \"http://…\""));
            None
        }
        (None, several) => {
            let wrong = format!("is missing, and there are {} upstreams", several.len());
            at.error("upstream", wrong, format!("name one of: {}", several.join(", ")));
            None
        }
    };
    let mut upstream = None;
    for (name, reader) in &named {
        let read = validate::upstream(reader, &Side::Gateway, (&at, caller_timeout));
        if chosen == Some(*name) {
            upstream = read;
        } else {
            let problem = Problem::warning(reader.place(""), format!("`{}` is not used", reader.path()));
            top.report().add(problem.right("a gateway has one upstream: remove it"));
        }
    }
    let rules = at.rows("allow");
    if rules.is_empty() && !at.has("allow") {
        let problem = Problem::error(
            at.place("allow"),
            "there is no [[gateway.allow]], so nobody would be let in",
        );
        top.report()
            .add(problem.right("write [[gateway.allow]] with name, dns = \"…\" and routes = [\"GET /…\"]"));
    }
    let allow: Vec<AllowRule> = rules.iter().map(|(name, at)| rule(name, at)).collect();
    let (drain_deadline, drain_quiet) = validate::drain(&top.table("drain"));
    Some(GatewaySettings {
        workers: at.count("workers").unwrap_or(1),
        limits: validate::limits(&at.table("limits")),
        caller_timeout,
        drain_deadline,
        drain_quiet,
        observe: validate::observe(
            &top.table("observe"),
            address.map(|address| (address, "gateway.address")),
        ),
        log: validate::log(&top.table("log")),
        tls_min: validate::tls_min(&at),
        handshake: at.duration("handshake_timeout", seconds(5)),
        allow,
        address: address?,
        staged,
        promotion: credentials::promotion(&at),
        crl: credentials::revocation(&at),
        control: credentials::control(&top.table("control"), None),
        material: material?,
        client_ca: client_ca?,
        upstream: upstream?,
    })
}

fn rule(name: &str, at: &Reader<'_>) -> AllowRule {
    const KINDS: [&str; 6] = ["dns", "uri", "cn", "ou", "spki", "fingerprint"];
    let mut peers = Vec::new();
    for kind in KINDS {
        let texts = at.texts(kind);
        if texts.len() > 1 && matches!(kind, "cn" | "spki" | "fingerprint") {
            let wrong = format!("asks for {} at once, of which a certificate has one", texts.len());
            at.error(kind, wrong, "all patterns of a rule must match: write a rule for each");
        }
        if at.has(kind) && texts.is_empty() {
            at.error(kind, "is empty", "name what the certificate must carry, or remove it");
        }
        for (text, place) in texts {
            match Pattern::parse(kind, text) {
                Ok(pattern) => peers.push(pattern),
                Err(error) => at
                    .report()
                    .add(Problem::error(place, format!("`{}`: {error}", at.path_of(kind)))),
            }
        }
    }
    if !KINDS.iter().any(|kind| at.has(kind)) {
        let wrong = format!("`{}` says nothing of who is let in", at.path());
        let problem = Problem::error(at.place(""), wrong);
        at.report()
            .add(problem.right("write dns, uri, cn, ou, spki or fingerprint: any certificate of the CA is too many"));
    }
    let mut routes = Vec::new();
    for (text, place) in at.texts("routes") {
        match value::matcher(text) {
            Ok(matched) => routes.push(matched),
            Err(complaint) => {
                let wrong = format!("`{}`: {}", at.path_of("routes"), complaint.wrong);
                at.report().add(Problem::error(place, wrong).right(complaint.right));
            }
        }
    }
    if at.texts("routes").is_empty() {
        let example = "write for example routes = [\"GET /secure/offenders/nomsNumber/{nomsNumber}/all\"]";
        at.error("routes", "lets nobody do anything: no route is listed", example);
    }
    AllowRule {
        name: name.to_owned(),
        peers,
        routes,
    }
}
