//! The files that a configuration names, judged as the handshake would, each problem at the key that names the file.

use std::collections::BTreeMap;
use std::fs;
use std::os::unix::fs::PermissionsExt as _;
use std::path::Path;

use rustls_pki_types::CertificateRevocationListDer;
use zeroize::Zeroizing;

use super::super::files::regular;
use super::reason;
use crate::cert::crl::{self, CrlFacts};
use crate::cert::facts::date;
use crate::cert::load::{self, Bundle, LoadError, Part, Source};
use crate::cert::verify::{self, Purpose};
use crate::config::settings::{self, GatewaySettings, Material, Revocation, Settings, Stale, Trust, Upstream};
use crate::config::{Loaded, Place, Problem};
use crate::token::once;

/// Clocks of two machines differ by this much, in seconds.
const SKEW: i64 = 60;

pub(super) fn run(loaded: &Loaded<Settings>, now: i64) -> Vec<Problem> {
    let mut problems = Vec::new();
    let mut bundles = BTreeMap::new();
    for (name, identity) in &loaded.settings.identities {
        let at = |key: &str| loaded.place(&["identity", name, key]);
        let judged = (Purpose::Client, identity.expect_dns.as_slice());
        if let Some(bundle) = material(&identity.material, at, judged, now, &mut problems) {
            bundles.insert(name.as_str(), bundle);
        }
    }
    for (name, upstream) in &loaded.settings.upstreams {
        let at = |key: &str| loaded.place(&["upstream", name, key]);
        trust(upstream, &at("trust"), &mut problems);
        let lists = revocation(upstream.crl.as_ref(), &at("crl"), now, &mut problems);
        let shown = upstream.identity.as_deref().and_then(|identity| bundles.get(identity));
        if let Some(finding) = shown.and_then(|bundle| verify::revocation(bundle, &lists)) {
            problems.push(Problem::error(at("identity"), finding.text));
        }
    }
    for (name, token) in &loaded.settings.tokens {
        let at = |key: &str| loaded.place(&["token", name, key]);
        match &token.source {
            settings::Source::ClientCredentials(credentials) => {
                if let Trust::Bundle(path) = &credentials.trust {
                    anchors(path, &at("trust"), &mut problems);
                }
                line(&credentials.client_id_file, false, &at("client_id_file"), &mut problems);
                line(
                    &credentials.client_secret_file,
                    true,
                    &at("client_secret_file"),
                    &mut problems,
                );
            }
            settings::Source::DeliusLogon(logon) => {
                if let Some(path) = &logon.user_file {
                    line(path, false, &at("user_file"), &mut problems);
                }
            }
        }
    }
    problems
}

/// A file with one line, for a token. A secret that everybody on this machine may read is worth a warning.
fn line(path: &Path, secret: bool, place: &Place, problems: &mut Vec<Problem>) {
    if let Err(sentence) = once::line(path) {
        let (wrong, right) = sentence.rsplit_once("; ").unwrap_or((&sentence, "expected one line"));
        let right = format!("{right}; check with --no-files where the secrets are not at hand");
        problems.push(Problem::error(place.clone(), wrong.to_owned()).right(right));
        return;
    }
    let mode = fs::metadata(path).map_or(0, |found| found.permissions().mode() & 0o777);
    if secret && mode & 0o007 != 0 {
        let wrong = format!(
            "{} holds a secret and can be read by everybody (mode {mode:04o})",
            path.display()
        );
        let right = "set `defaultMode: 0400` on the volume, or chmod 600; 0440 is what `fsGroup` needs";
        problems.push(Problem::warning(place.clone(), wrong).right(right));
    }
}

pub(super) fn gateway(loaded: &Loaded<GatewaySettings>, now: i64) -> Vec<Problem> {
    let mut problems = Vec::new();
    let settings = &loaded.settings;
    let at = |key: &str| loaded.place(&["gateway", key]);
    material(&settings.material, at, (Purpose::Server, &[]), now, &mut problems);
    anchors(&settings.client_ca, &at("client_ca"), &mut problems);
    revocation(settings.crl.as_ref(), &at("crl"), now, &mut problems);
    problems
}

/// A chain and its key, judged as the handshake would.
fn material(
    material: &Material,
    place: impl Fn(&str) -> Place,
    (purpose, expect_dns): (Purpose, &[String]),
    now: i64,
    problems: &mut Vec<Problem>,
) -> Option<Bundle> {
    let (first, first_key) = match material {
        Material::Pem { certificate, .. } => (certificate, "certificate"),
        Material::Pkcs12 { file, .. } => (file, "pkcs12"),
    };
    let mut read = |path: &Path, key: &str| content(path, &place(key), problems).map(Zeroizing::new);
    let loaded = match material {
        Material::Pem {
            certificate,
            private_key,
            password_file,
        } => {
            let chain = read(certificate, first_key);
            let key = if private_key == certificate {
                chain.clone()
            } else {
                read(private_key, "private_key")
            };
            let password = password_file.as_ref().map(|path| read(path, "password_file"));
            let (chain, key) = (chain?, key?);
            let password = match password {
                Some(read) => Some(read?),
                None => None,
            };
            load::identity(Source::Pem {
                certificate: &chain,
                private_key: &key,
                password: password.as_ref().map(|password| password.as_slice()),
            })
        }
        Material::Pkcs12 { file, password_file } => {
            let (file, password) = (read(file, first_key), read(password_file, "password_file"));
            load::identity(Source::Pkcs12 {
                file: &file?,
                password: &password?,
            })
        }
    };
    match loaded {
        Ok(bundle) => {
            for finding in verify::findings(&bundle, purpose, expect_dns, now, SKEW) {
                let place = place(first_key);
                let text = format!("{}: {}", first.display(), finding.text);
                problems.push(match finding.severity {
                    verify::Severity::Refuse => Problem::error(place, text),
                    verify::Severity::Warn => Problem::warning(place, text),
                });
            }
            Some(bundle)
        }
        Err(error) => {
            let (path, key) = at_fault(material, &error);
            problems.push(Problem::error(place(key), format!("{}: {error}", path.display())));
            None
        }
    }
}

/// The file that is to be looked at first, and the key that names it.
fn at_fault<'a>(material: &'a Material, error: &LoadError) -> (&'a Path, &'static str) {
    match material {
        Material::Pem {
            password_file: Some(path),
            ..
        }
        | Material::Pkcs12 {
            password_file: path, ..
        } if error.is_about_the_password() => (path, "password_file"),
        Material::Pem {
            certificate,
            private_key,
            ..
        } if error.part() == Part::PrivateKey && private_key != certificate => (private_key, "private_key"),
        Material::Pem { certificate, .. } => (certificate, "certificate"),
        Material::Pkcs12 { file, .. } => (file, "pkcs12"),
    }
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

/// A list that cannot be used refuses everybody; one that is out of date does where that was chosen.
fn revocation(
    crl: Option<&Revocation>,
    place: &Place,
    now: i64,
    problems: &mut Vec<Problem>,
) -> Vec<CertificateRevocationListDer<'static>> {
    let Some(Revocation { file, stale }) = crl else {
        return Vec::new();
    };
    let Some(bytes) = content(file, place, problems) else {
        return Vec::new();
    };
    let shown = file.display();
    let lists = match crl::read(&bytes) {
        Ok(lists) => lists,
        Err(error) => {
            problems.push(Problem::error(place.clone(), format!("{shown}: {error}")));
            return Vec::new();
        }
    };
    for facts in lists.iter().filter_map(|list| CrlFacts::read(list)) {
        let Some(next) = facts.next_update.filter(|_| facts.is_stale(now)) else {
            continue;
        };
        let by = format!(
            "{shown}: the CRL of \"{}\" was to be renewed by {}",
            facts.issuer,
            date(next)
        );
        problems.push(match stale {
            Stale::Refuse => Problem::error(
                place.clone(),
                format!("{by}, so no certificate of that CA would be accepted"),
            )
            .right("fetch the CA's new list, or say crl_stale = \"accept\""),
            Stale::Accept => Problem::warning(place.clone(), by).right("fetch the CA's new list"),
        });
    }
    lists
}

fn content(path: &Path, place: &Place, problems: &mut Vec<Problem>) -> Option<Vec<u8>> {
    match regular(path) {
        Ok(bytes) => Some(bytes),
        Err(error) => {
            let wrong = format!("{} cannot be read: {}", path.display(), reason(&error));
            let right = "mount it, correct the path, or check with --no-files where the secrets are not at hand";
            problems.push(Problem::error(place.clone(), wrong).right(right));
            None
        }
    }
}
