//! Settings → what the lineages are to manage, and how a new certificate is tried.

use super::Kind;
use super::build::API;
use super::identities::OWN;
use crate::config::settings::{GatewaySettings, Identity, Promotion, Scheme, Settings, Trial, Trust, Upstream};
use crate::identity::lineage::{Files, Side, Terms};
use crate::identity::preflight::Request;
use crate::identity::rotation::Manner;
use crate::identity::store::CLOCK_SKEW;
use crate::upstream::Target;

/// The lineage of each upstream; `None` for one in the clear.
pub(super) fn wanted(kind: &Kind) -> Vec<(String, Option<Terms>)> {
    match kind {
        Kind::Sidecar(settings) => {
            let one = |(name, upstream): (&String, &Upstream)| (name.clone(), of_upstream(name, upstream, settings));
            settings.upstreams.iter().map(one).collect()
        }
        Kind::Gateway(settings) => vec![
            (API.to_owned(), towards(API, &settings.upstream, None)),
            (OWN.to_owned(), Some(of_gateway(settings))),
        ],
    }
}

/// The request that proves a certificate to this target.
pub(super) fn trial(kind: &Kind, target: &Target) -> Request {
    let configured: Option<&Trial> = match kind {
        Kind::Sidecar(settings) => settings
            .upstreams
            .get(&target.name)
            .and_then(|upstream| upstream.trial.as_ref()),
        Kind::Gateway(_) => None,
    };
    let (method, path) = configured.map_or(("GET", "/"), |trial| (&trial.method, &trial.path));
    Request {
        method: method.to_owned(),
        target: format!("{}{path}", target.base_path),
        host: target.host.clone(),
        authorization: None,
        first_byte: target.times.first_byte,
        proves: configured.is_some(),
    }
}

fn of_upstream(name: &str, upstream: &Upstream, settings: &Settings) -> Option<Terms> {
    let identity = upstream.identity.as_deref();
    let identity = identity.and_then(|identity| settings.identities.get_key_value(identity));
    towards(name, upstream, identity)
}

fn towards(name: &str, upstream: &Upstream, identity: Option<(&String, &Identity)>) -> Option<Terms> {
    if upstream.scheme == Scheme::Http {
        return None;
    }
    let manner = identity.map_or(AUTOMATIC, |(_, identity)| Manner {
        manual: identity.promotion == Promotion::Manual,
        untried_before: i64::try_from(identity.untried_before.as_secs()).unwrap_or(i64::MAX),
        skew: CLOCK_SKEW,
    });
    Some(Terms {
        identity: identity.map(|(name, _)| name.clone()),
        upstream: name.to_owned(),
        source: identity.map(|(_, identity)| Files {
            configured: identity.material.clone(),
            staged: identity.staged.clone(),
            expect_dns: identity.expect_dns.clone(),
        }),
        trust: upstream.trust.clone(),
        crl: upstream.crl.clone(),
        manner,
        side: Side::Client {
            tls_min: upstream.tls_min,
            http2: upstream.http2,
        },
    })
}

fn of_gateway(settings: &GatewaySettings) -> Terms {
    Terms {
        identity: Some(OWN.to_owned()),
        upstream: OWN.to_owned(),
        source: Some(Files {
            configured: settings.material.clone(),
            staged: settings.staged.clone(),
            expect_dns: Vec::new(),
        }),
        trust: Trust::Bundle(settings.client_ca.clone()),
        crl: settings.crl.clone(),
        manner: Manner {
            manual: settings.promotion == Promotion::Manual,
            ..AUTOMATIC
        },
        side: Side::Server {
            tls_min: settings.tls_min,
        },
    }
}

const AUTOMATIC: Manner = Manner {
    manual: false,
    untried_before: 3_600,
    skew: CLOCK_SKEW,
};
