//! What `verify` promises, by example.

use super::super::facts::{Key, KeyUsage as KeyUsageFacts};
use super::super::issue::{self, Authority, Purposes, Spec, Validity};
use super::super::load;
use super::*;

const NOW: i64 = 1_800_000_000;
const SKEW: i64 = 300;

fn root() -> Authority {
    Authority::new_root("Test Root", Validity::days(NOW - 10 * DAY, 3650)).unwrap()
}

fn spec(purposes: Purposes) -> Spec {
    Spec {
        dns: vec![String::from("allocation-manager")],
        ..Spec::new("allocation-manager", purposes, Validity::days(NOW - DAY, 365))
    }
}

fn bundle(issued: &issue::Issued) -> Bundle {
    load::bundle(issued.chain_pem.as_bytes(), issued.key_pem.expose().as_bytes()).unwrap()
}

fn leaf(spec: &Spec) -> Bundle {
    bundle(&root().issue(spec).unwrap())
}

fn found(bundle: &Bundle, purpose: Purpose, expected: &[&str], now: i64) -> Vec<(Severity, What)> {
    let expected: Vec<String> = expected.iter().map(ToString::to_string).collect();
    let findings = findings(bundle, purpose, &expected, now, SKEW);
    findings
        .iter()
        .map(|finding| (finding.severity, finding.what))
        .collect()
}

fn of_facts(change: impl FnOnce(&mut Facts)) -> Vec<Finding> {
    let mut facts = leaf(&spec(Purposes::Client)).leaf_facts().clone();
    change(&mut facts);
    let mut out = Vec::new();
    strength("it", &facts, &mut out);
    fitness(&facts, Purpose::Client, &mut out);
    out
}

#[test]
fn a_good_bundle_has_no_findings() {
    let intermediate = root()
        .issue_intermediate("Issuing", Validity::days(NOW - DAY, 1000))
        .unwrap();
    let bundle = bundle(&intermediate.issue(&spec(Purposes::Both)).unwrap());
    for purpose in [Purpose::Client, Purpose::Server] {
        assert_eq!(found(&bundle, purpose, &["allocation-manager"], NOW), []);
    }
}

#[test]
fn dates_are_judged_with_tolerance_for_clocks() {
    use Severity::{Refuse, Warn};
    let start = NOW - DAY;
    let end = start + 365 * DAY;
    let bundle = leaf(&spec(Purposes::Client));
    let at = |now| found(&bundle, Purpose::Client, &[], now);
    assert_eq!(at(start - SKEW - 1), [(Refuse, What::NotYetValid)]);
    assert_eq!(at(start - SKEW), [(Warn, What::NotYetValid)]);
    assert_eq!(at(start), []);
    assert_eq!(at(end - 30 * DAY), []);
    assert_eq!(at(end - 30 * DAY + 1), [(Warn, What::ExpiresSoon)]);
    assert_eq!(at(end), [(Warn, What::ExpiresSoon)]);
    assert_eq!(at(end + 1), [(Warn, What::Expired)]);
    assert_eq!(at(end + SKEW + 1), [(Refuse, What::Expired)]);
    assert_eq!(at(i64::MAX), [(Refuse, What::Expired)]);
    assert_eq!(at(i64::MIN), [(Refuse, What::NotYetValid)]);
}

#[test]
fn a_short_lived_certificate_expires_soon_only_in_its_last_third() {
    let short = Spec {
        validity: Validity {
            not_before: NOW,
            not_after: NOW + 3 * 3_600,
        },
        ..spec(Purposes::Client)
    };
    let bundle = leaf(&short);
    assert_eq!(found(&bundle, Purpose::Client, &[], NOW + 2 * 3_600), []);
    assert_eq!(
        found(&bundle, Purpose::Client, &[], NOW + 2 * 3_600 + 1),
        [(Severity::Warn, What::ExpiresSoon)]
    );
}

#[test]
fn an_expired_intermediate_is_found_behind_a_good_leaf() {
    let intermediate = root()
        .issue_intermediate("Issuing", Validity::days(NOW - 5 * DAY, 1))
        .unwrap();
    let bundle = bundle(&intermediate.issue(&spec(Purposes::Client)).unwrap());
    let findings = findings(&bundle, Purpose::Client, &[], NOW, SKEW);
    assert_eq!(findings.len(), 1, "{findings:?}");
    assert_eq!(
        findings[0].to_string(),
        "the CA certificate \"CN=Issuing\" (2 of 2) expired 4 days ago, at 2027-01-11T08:00:00Z; a new one is needed"
    );
}

#[test]
fn a_server_certificate_is_refused_for_a_client_in_words_that_say_where_to_get_one() {
    let findings = findings(&leaf(&spec(Purposes::Server)), Purpose::Client, &[], NOW, SKEW);
    assert_eq!(findings.len(), 1, "{findings:?}");
    assert_eq!(
        (findings[0].severity, findings[0].what),
        (Severity::Refuse, What::PurposeMissing)
    );
    assert!(findings[0].text.contains("for servers only"), "{}", findings[0]);
    assert!(
        findings[0].text.contains("public CAs no longer issue"),
        "{}",
        findings[0]
    );
    let client = leaf(&spec(Purposes::Client));
    assert_eq!(
        found(&client, Purpose::Server, &[], NOW),
        [(Severity::Refuse, What::PurposeMissing)]
    );
}

#[test]
fn unstated_purposes_are_no_finding_as_in_the_tls_stack() {
    let root = root();
    let bundle = bundle(&root.issue(&spec(Purposes::Unstated)).unwrap());
    assert_eq!(found(&bundle, Purpose::Client, &[], NOW), []);
    chain_to(
        &bundle,
        &Trusted::anchors(vec![root.certificate().clone()]),
        Purpose::Client,
        NOW,
    )
    .unwrap();
}

#[test]
fn a_missing_name_is_refused_and_the_names_that_are_there_are_said() {
    let expected = [String::from("allocation-manager"), String::from("someone-else")];
    let findings = findings(&leaf(&spec(Purposes::Client)), Purpose::Client, &expected, NOW, SKEW);
    assert_eq!(findings.len(), 1, "{findings:?}");
    assert_eq!(
        (findings[0].severity, findings[0].what),
        (Severity::Refuse, What::NameMissing)
    );
    assert!(findings[0].text.contains("the name someone-else;"), "{}", findings[0]);
    assert!(
        findings[0].text.contains("its names are: dns:allocation-manager;"),
        "{}",
        findings[0]
    );
}

#[test]
fn a_wildcard_covers_a_server_name_but_not_a_client_name() {
    let wildcard = Spec {
        dns: vec![String::from("*.ndh.example")],
        ..spec(Purposes::Both)
    };
    let bundle = leaf(&wildcard);
    assert_eq!(found(&bundle, Purpose::Server, &["api.ndh.example"], NOW), []);
    assert_eq!(
        found(&bundle, Purpose::Client, &["api.ndh.example"], NOW),
        [(Severity::Refuse, What::NameMissing)]
    );
}

#[test]
fn a_common_name_alone_is_refused_for_a_server_and_a_warning_for_a_client() {
    let bundle = leaf(&Spec {
        dns: Vec::new(),
        ..spec(Purposes::Both)
    });
    assert_eq!(
        found(&bundle, Purpose::Server, &[], NOW),
        [(Severity::Refuse, What::CommonNameOnly)]
    );
    assert_eq!(
        found(&bundle, Purpose::Client, &[], NOW),
        [(Severity::Warn, What::CommonNameOnly)]
    );
}

#[test]
fn a_ca_certificate_is_no_leaf() {
    let root = root();
    let bundle = bundle(
        &root
            .issue(&Spec {
                is_ca: true,
                ..spec(Purposes::Client)
            })
            .unwrap(),
    );
    assert_eq!(
        found(&bundle, Purpose::Client, &[], NOW),
        [(Severity::Refuse, What::CaAsLeaf)]
    );
    let refused = chain_to(
        &bundle,
        &Trusted::anchors(vec![root.certificate().clone()]),
        Purpose::Client,
        NOW,
    );
    assert_eq!(refused, Err(ChainError::CaAsLeaf("client")));
}

#[test]
fn a_self_signed_certificate_is_found_and_does_not_chain() {
    let bundle = bundle(&issue::self_signed(&spec(Purposes::Client)).unwrap());
    assert_eq!(
        found(&bundle, Purpose::Client, &[], NOW),
        [(Severity::Warn, What::SelfSigned)]
    );
    let refused = chain_to(
        &bundle,
        &Trusted::anchors(vec![root().certificate().clone()]),
        Purpose::Client,
        NOW,
    );
    assert!(matches!(refused, Err(ChainError::UnknownIssuer { .. })), "{refused:?}");
}

#[test]
fn weak_keys_weak_signatures_and_old_versions_are_refused() {
    let weak = |algorithm, bits| of_facts(|facts| facts.key = Key { algorithm, bits });
    let what = |findings: &[Finding]| {
        findings
            .iter()
            .map(|found| (found.severity, found.what))
            .collect::<Vec<_>>()
    };
    assert_eq!(
        what(&weak(KeyAlgorithm::Rsa, 1024)),
        [(Severity::Refuse, What::WeakKey)]
    );
    assert_eq!(
        what(&weak(KeyAlgorithm::Rsa, 2047)),
        [(Severity::Refuse, What::WeakKey)]
    );
    assert_eq!(what(&weak(KeyAlgorithm::Rsa, 2048)), []);
    assert_eq!(
        what(&weak(KeyAlgorithm::Ecdsa, 224)),
        [(Severity::Refuse, What::WeakKey)]
    );
    assert_eq!(what(&weak(KeyAlgorithm::Ecdsa, 256)), []);
    assert_eq!(
        what(&of_facts(|facts| facts.weak_signature = true)),
        [(Severity::Refuse, What::WeakSignature)]
    );
    assert_eq!(
        what(&of_facts(|facts| facts.version = 1)),
        [(Severity::Refuse, What::OldVersion)]
    );
    let no_signing = KeyUsageFacts {
        digital_signature: false,
        key_cert_sign: false,
        crl_sign: false,
    };
    assert_eq!(
        what(&of_facts(|facts| facts.key_usage = Some(no_signing))),
        [(Severity::Warn, What::SigningNotAllowed)]
    );
    assert_eq!(what(&of_facts(|_| {})), []);
}

/// root → one → two → leaf is more than this CA makes, so the root is sent along as the second issuer.
#[test]
fn a_chain_out_of_order_and_a_stranger_in_it_are_told_apart() {
    let root = root();
    let intermediate = root
        .issue_intermediate("Issuing", Validity::days(NOW - DAY, 1000))
        .unwrap();
    let issued = intermediate.issue(&spec(Purposes::Client)).unwrap();
    let stranger = Authority::new_root("Stranger", Validity::days(NOW - DAY, 1000)).unwrap();
    let impostor = Authority::new_root("Test Root", Validity::days(NOW - DAY, 1000)).unwrap();
    let leaf = issued
        .chain_pem
        .split_inclusive("-----END CERTIFICATE-----\n")
        .next()
        .unwrap();
    let with = |rest: &[&Authority]| {
        let rest: String = rest.iter().map(|ca| ca.certificate_pem()).collect();
        let bundle = load::bundle(format!("{leaf}{rest}").as_bytes(), issued.key_pem.expose().as_bytes()).unwrap();
        found(&bundle, Purpose::Client, &[], NOW)
    };
    assert_eq!(with(&[&intermediate, &root]), []);
    assert_eq!(with(&[&root, &intermediate]), [(Severity::Warn, What::ChainOrder)]);
    assert_eq!(with(&[&intermediate, &stranger]), [(Severity::Warn, What::Unrelated)]);
    assert_eq!(
        with(&[&intermediate, &impostor]),
        [(Severity::Warn, What::Unrelated)],
        "name right, signature not"
    );
    assert_eq!(
        with(&[&intermediate, &intermediate]),
        [(Severity::Warn, What::Unrelated)]
    );
    assert_eq!(
        with(&[&root, &stranger, &intermediate]),
        [(Severity::Warn, What::ChainOrder), (Severity::Warn, What::Unrelated)]
    );
}

#[test]
fn a_revoked_certificate_is_found_by_the_list_of_its_issuer_only() {
    let (root, other) = (
        root(),
        Authority::new_root("Other", Validity::days(NOW - DAY, 10)).unwrap(),
    );
    let issued = root
        .issue(&Spec::new("app", Purposes::Client, Validity::days(NOW - DAY, 10)))
        .unwrap();
    let bundle = load::bundle(issued.chain_pem.as_bytes(), issued.key_pem.expose().as_bytes()).unwrap();
    let lists = |pem: String| crl::read(pem.as_bytes()).unwrap();
    let of_another = lists(other.crl(&[&issued.serial], NOW - DAY, NOW + DAY).unwrap());
    assert_eq!(revocation(&bundle, &of_another), None);
    let clean = lists(root.crl(&[] as &[&str], NOW - DAY, NOW + DAY).unwrap());
    assert_eq!(revocation(&bundle, &clean), None);
    let on_it = lists(root.crl(&[&issued.serial], NOW - DAY, NOW + DAY).unwrap());
    let finding = revocation(&bundle, &on_it).unwrap();
    assert_eq!((finding.severity, finding.what.as_str()), (Severity::Refuse, "revoked"));
    assert!(finding.text.contains(&issued.serial), "{finding}");
}
