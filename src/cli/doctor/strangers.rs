//! Those whom nobody should let in: the certificates, and the lack of one, that `--refusals` shows.
//!
//! Everything is as much like the real identity as it can be, so that only the one thing that is wrong can be the reason
//! of the refusal: the same names, and for another CA the same issuer's name. What only the right CA can sign is made
//! with its key where that is at hand, or taken from files that were made in advance.

use std::fs;
use std::path::Path;

use crate::cert::facts::Facts;
use crate::cert::issue::{self, Authority, IssueError, Issued, Purposes, Spec, Validity};
use crate::cert::load::{self, Bundle};
use crate::cli::ca::signer_name;

const DAY: i64 = 86_400;

/// Nobody's name (RFC 6761 section 6.4).
const NOBODY: &str = "nobody.refusals.invalid";

/// What is shown at the door.
#[derive(Debug)]
pub(super) enum Shows {
    Certificate(Box<Bundle>),
    NoCertificate,
    NoTls,
}

/// One who should not get in; where it cannot be tried, what is needed.
#[derive(Debug)]
pub(super) struct Stranger {
    pub(super) who: &'static str,
    pub(super) shows: Result<Shows, String>,
}

/// All of them, in the order of the contract.
pub(super) fn all(own: &Bundle, ca: Option<&Path>, ready: Option<&Path>, now: i64) -> Vec<Stranger> {
    let right = spec(own.leaf_facts(), now);
    let authority = ca.map(authority);
    // What only the right CA can sign: from its key, or from a directory of this name.
    let by_the_ca = |directory: &str, spec: Spec| -> Result<Shows, String> {
        if let Some(found) = ready.map(|ready| ready.join(directory)).filter(|found| found.is_dir()) {
            return from_files(&found);
        }
        match &authority {
            Some(Ok(authority)) => made(authority.issue(&spec)),
            Some(Err(reason)) => Err(reason.clone()),
            None => Err(format!(
                "needs the key of the right CA: --ca-dir, or --refusal-certs with {directory}/tls.crt and tls.key"
            )),
        }
    };
    let window = |from: i64, until: i64| Validity {
        not_before: now + from * DAY,
        not_after: now + until * DAY,
    };
    let wrong_name = Spec {
        common_name: NOBODY.to_owned(),
        organisational_unit: None,
        dns: vec![NOBODY.to_owned()],
        uri: Vec::new(),
        ..right.clone()
    };
    let dated = |validity| Spec {
        validity,
        ..right.clone()
    };
    let for_servers = Spec {
        purposes: Purposes::Server,
        ..right.clone()
    };
    let revoked = match ready.map(|ready| ready.join("revoked")).filter(|found| found.is_dir()) {
        Some(found) => from_files(&found),
        None => Err(String::from(
            "needs a certificate that the other side's CRL lists: `ca issue`, `ca revoke`, hand over the CRL, and put \
             the pair into --refusal-certs as revoked/tls.crt and tls.key",
        )),
    };
    [
        ("no certificate", Ok(Shows::NoCertificate)),
        ("self-signed, right names", made(issue::self_signed(&right))),
        ("other CA, same names", made(impostor(own, now).issue_like(&right))),
        ("expired", by_the_ca("expired", dated(window(-60, -30)))),
        ("not yet valid", by_the_ca("not-yet-valid", dated(window(30, 60)))),
        ("for servers only", by_the_ca("server-only", for_servers)),
        ("right CA, wrong name", by_the_ca("wrong-name", wrong_name)),
        ("revoked", revoked),
        ("plain HTTP", Ok(Shows::NoTls)),
    ]
    .map(|(who, shows)| Stranger { who, shows })
    .into()
}

/// What the real leaf says, valid now.
fn spec(own: &Facts, now: i64) -> Spec {
    let name = own.common_names.first().or(own.dns_names.first());
    Spec {
        organisational_unit: own.organisational_units.first().cloned(),
        dns: own.dns_names.clone(),
        uri: own.uri_names.clone(),
        ip: own.ip_names.iter().filter_map(|ip| ip.parse().ok()).collect(),
        ..Spec::new(
            name.cloned().unwrap_or_default(),
            Purposes::Client,
            Validity {
                not_before: now - DAY,
                not_after: now + DAY,
            },
        )
    }
}

/// A CA that gives itself the name of the real one.
struct Impostor(Result<Authority, IssueError>);

fn impostor(own: &Bundle, now: i64) -> Impostor {
    // Facts say the issuer as text; its common name is what is best known of it.
    let issuer = &own.leaf_facts().issuer;
    let name = issuer
        .split(", ")
        .find_map(|part| part.strip_prefix("CN="))
        .unwrap_or(issuer);
    Impostor(Authority::new_root(name, Validity::days(now - DAY, 3)))
}

impl Impostor {
    fn issue_like(self, spec: &Spec) -> Result<Issued, IssueError> {
        self.0?.issue(spec)
    }
}

fn made(issued: Result<Issued, IssueError>) -> Result<Shows, String> {
    let issued = issued.map_err(|error| format!("it could not be made: {error}"))?;
    let bundle = load::bundle(issued.chain_pem.as_bytes(), issued.key_pem.expose().as_bytes());
    bundle
        .map(|bundle| Shows::Certificate(Box::new(bundle)))
        .map_err(|error| format!("it could not be made: {error}"))
}

fn from_files(directory: &Path) -> Result<Shows, String> {
    let read = |name: &str| {
        let path = directory.join(name);
        fs::read(&path).map_err(|error| format!("{} cannot be read: {error}", path.display()))
    };
    let (chain, key) = (read("tls.crt")?, zeroize::Zeroizing::new(read("tls.key")?));
    load::bundle(&chain, &key)
        .map(|bundle| Shows::Certificate(Box::new(bundle)))
        .map_err(|error| format!("{}: {error}", directory.display()))
}

/// The CA that signs leafs, as `ca` lays it out. Nothing is written there: what is made here never leaves this process.
fn authority(directory: &Path) -> Result<Authority, String> {
    let name = signer_name(directory);
    let read = |ending: &str| {
        let path = directory.join(format!("{name}.{ending}"));
        fs::read(&path).map_err(|error| format!("{} cannot be read: {error}", path.display()))
    };
    let (certificate, key) = (read("crt")?, zeroize::Zeroizing::new(read("key")?));
    Authority::from_pem(&certificate, &key).map_err(|error| format!("the CA in {}: {error}", directory.display()))
}

#[cfg(test)]
mod tests {
    use super::*;

    const NOW: i64 = 1_800_000_000;

    fn own(root: &Authority) -> Bundle {
        let spec = Spec {
            dns: vec!["allocation-manager".to_owned()],
            ..Spec::new("allocation-manager", Purposes::Client, Validity::days(NOW - DAY, 30))
        };
        let issued = root.issue(&spec).unwrap();
        load::bundle(issued.chain_pem.as_bytes(), issued.key_pem.expose().as_bytes()).unwrap()
    }

    fn facts<'a>(strangers: &'a [Stranger], who: &str) -> &'a Facts {
        let stranger = strangers.iter().find(|stranger| stranger.who == who).unwrap();
        match &stranger.shows {
            Ok(Shows::Certificate(bundle)) => bundle.leaf_facts(),
            other => panic!("{who}: {other:?}"),
        }
    }

    #[test]
    fn each_differs_from_the_real_one_in_one_thing() {
        let root = Authority::new_root("Real CA", Validity::days(NOW - DAY, 300)).unwrap();
        let own = own(&root);
        let directory = tempfile::tempdir().unwrap();
        fs::write(directory.path().join("ca.crt"), root.certificate_pem()).unwrap();
        fs::write(directory.path().join("ca.key"), root.key_pem().expose()).unwrap();
        let all = all(&own, Some(directory.path()), None, NOW);
        assert_eq!(all.len(), 9);
        let real = own.leaf_facts();
        for who in [
            "self-signed, right names",
            "other CA, same names",
            "expired",
            "not yet valid",
            "for servers only",
        ] {
            assert_eq!(facts(&all, who).dns_names, real.dns_names, "{who}");
        }
        assert!(facts(&all, "self-signed, right names").is_self_issued());
        let other = facts(&all, "other CA, same names");
        assert_eq!(other.issuer, real.issuer);
        assert_ne!(other.authority_key_id, real.authority_key_id);
        assert!(facts(&all, "expired").not_after < NOW);
        assert!(facts(&all, "not yet valid").not_before > NOW);
        assert!(
            facts(&all, "for servers only")
                .purposes
                .is_some_and(|purposes| !purposes.client_auth)
        );
        assert_eq!(facts(&all, "right CA, wrong name").dns_names, [NOBODY]);
        assert_eq!(
            facts(&all, "right CA, wrong name").authority_key_id,
            real.authority_key_id
        );
        assert!(
            all.iter()
                .any(|stranger| stranger.who == "revoked" && stranger.shows.is_err())
        );
    }

    #[test]
    fn without_the_ca_it_says_what_is_needed() {
        let root = Authority::new_root("Real CA", Validity::days(NOW - DAY, 300)).unwrap();
        let all = all(&own(&root), None, None, NOW);
        let missing: Vec<&str> = all
            .iter()
            .filter(|stranger| stranger.shows.is_err())
            .map(|stranger| stranger.who)
            .collect();
        assert_eq!(
            missing,
            [
                "expired",
                "not yet valid",
                "for servers only",
                "right CA, wrong name",
                "revoked"
            ]
        );
        let Err(needed) = &all[3].shows else {
            unreachable!("listed above")
        };
        assert!(
            needed.contains("--ca-dir") && needed.contains("expired/tls.crt"),
            "{needed}"
        );
    }
}
