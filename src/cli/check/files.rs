//! The files that a configuration names, judged as the handshake would, each problem at the key that names the file.

use std::fs;
use std::path::Path;

use super::reason;
use crate::cert::load::{self, LoadError};
use crate::cert::verify::{self, Purpose};
use crate::config::settings::{GatewaySettings, Material, Settings, Trust, Upstream};
use crate::config::{Loaded, Place, Problem};

/// Clocks of two machines differ by this much, in seconds.
const SKEW: i64 = 60;

pub(super) fn run(loaded: &Loaded<Settings>, now: i64) -> Vec<Problem> {
    let mut problems = Vec::new();
    for (name, identity) in &loaded.settings.identities {
        let at = |key: &str| loaded.place(&["identity", name, key]);
        let judged = (Purpose::Client, identity.expect_dns.as_slice());
        material(&identity.material, at, judged, now, &mut problems);
    }
    for (name, upstream) in &loaded.settings.upstreams {
        trust(upstream, &loaded.place(&["upstream", name, "trust"]), &mut problems);
    }
    problems
}

pub(super) fn gateway(loaded: &Loaded<GatewaySettings>, now: i64) -> Vec<Problem> {
    let mut problems = Vec::new();
    let settings = &loaded.settings;
    let at = |key: &str| loaded.place(&["gateway", key]);
    material(&settings.material, at, (Purpose::Server, &[]), now, &mut problems);
    anchors(&settings.client_ca, &at("client_ca"), &mut problems);
    problems
}

/// A chain and its key, judged as the handshake would.
fn material(
    material: &Material,
    place: impl Fn(&str) -> Place,
    (purpose, expect_dns): (Purpose, &[String]),
    now: i64,
    problems: &mut Vec<Problem>,
) {
    let (chain, key, [chain_place, key_place]) = match material {
        Material::Pem {
            certificate,
            private_key,
            ..
        } => (certificate, private_key, ["certificate", "private_key"].map(&place)),
        Material::Pkcs12 { file, .. } => (file, file, ["pkcs12", "pkcs12"].map(&place)),
    };
    let chain_pem = content(chain, &chain_place, problems);
    let key_pem = content(key, &key_place, problems);
    let (Some(chain_pem), Some(key_pem)) = (chain_pem, key_pem) else {
        return;
    };
    match load::bundle(&chain_pem, &key_pem) {
        Ok(bundle) => {
            for finding in verify::findings(&bundle, purpose, expect_dns, now, SKEW) {
                let place = chain_place.clone();
                let text = format!("{}: {}", chain.display(), finding.text);
                problems.push(match finding.severity {
                    verify::Severity::Refuse => Problem::error(place, text),
                    verify::Severity::Warn => Problem::warning(place, text),
                });
            }
        }
        Err(error) => {
            let (path, place) = if is_about_the_key(&error) {
                (key, key_place)
            } else {
                (chain, chain_place)
            };
            problems.push(Problem::error(place, format!("{}: {error}", path.display())));
        }
    }
}

const fn is_about_the_key(error: &LoadError) -> bool {
    use load::Part::PrivateKey;
    matches!(
        error,
        LoadError::Empty(PrivateKey)
            | LoadError::NotPem(PrivateKey)
            | LoadError::Der(PrivateKey)
            | LoadError::Pkcs12(PrivateKey)
            | LoadError::DamagedPem { part: PrivateKey, .. }
            | LoadError::Missing { part: PrivateKey, .. }
            | LoadError::CertificateInstead
            | LoadError::PublicKeyInstead
            | LoadError::EncryptedKey(_)
            | LoadError::ManyKeys(_)
            | LoadError::UnusableKey(_)
            | LoadError::KeyMismatch { .. }
    )
}

fn trust(upstream: &Upstream, place: &Place, problems: &mut Vec<Problem>) {
    if let Trust::Bundle(path) = &upstream.trust {
        anchors(path, place, problems);
    }
}

fn anchors(path: &Path, place: &Place, problems: &mut Vec<Problem>) {
    if let Some(pem) = content(path, place, problems)
        && let Err(error) = load::anchors(&pem)
    {
        problems.push(Problem::error(place.clone(), format!("{}: {error}", path.display())));
    }
}

fn content(path: &Path, place: &Place, problems: &mut Vec<Problem>) -> Option<Vec<u8>> {
    match fs::read(path) {
        Ok(bytes) => Some(bytes),
        Err(error) => {
            let wrong = format!("{} cannot be read: {}", path.display(), reason(&error));
            let right = "mount it, correct the path, or check with --no-files where the secrets are not at hand";
            problems.push(Problem::error(place.clone(), wrong).right(right));
            None
        }
    }
}
