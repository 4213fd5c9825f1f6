//! What `chain` promises, by example.

use super::super::issue::{Authority, Purposes, Spec, Validity};
use super::super::{crl, load};
use super::*;

const DAY: i64 = 86_400;
const NOW: i64 = 1_800_000_000;

fn root() -> Authority {
    Authority::new_root("Test Root", Validity::days(NOW - 10 * DAY, 3650)).unwrap()
}

fn leaf(authority: &Authority) -> Bundle {
    let spec = Spec::new("allocation-manager", Purposes::Client, Validity::days(NOW - DAY, 365));
    let issued = authority.issue(&spec).unwrap();
    load::bundle(issued.chain_pem.as_bytes(), issued.key_pem.expose().as_bytes()).unwrap()
}

#[test]
fn a_bundle_chains_to_its_own_root_only() {
    let (root, other) = (root(), root());
    let intermediate = root
        .issue_intermediate("Issuing", Validity::days(NOW - DAY, 1000))
        .unwrap();
    let bundle = leaf(&intermediate);
    let trust = |ca: &Authority| Trusted::anchors(vec![ca.certificate().clone()]);
    assert_eq!(chain_to(&bundle, &trust(&root), Purpose::Client, NOW), Ok(()));
    let refused = chain_to(&bundle, &trust(&other), Purpose::Client, NOW);
    assert!(refused.is_err(), "same name, other key");
    let stranger = Authority::new_root("Stranger", Validity::days(NOW, 10)).unwrap();
    let refused = chain_to(&bundle, &trust(&stranger), Purpose::Client, NOW).unwrap_err();
    assert_eq!(
        refused,
        ChainError::UnknownIssuer {
            subject: String::from("CN=Issuing"),
            issuer: String::from("CN=Test Root"),
            trusted: String::from("\"CN=Stranger\""),
        }
    );
    assert!(matches!(
        chain_to(&bundle, &Trusted::default(), Purpose::Client, NOW),
        Err(ChainError::UnknownIssuer { .. })
    ));
}

#[test]
fn the_path_verifier_judges_dates_and_purpose_with_words() {
    let root = root();
    let trust = Trusted::anchors(vec![root.certificate().clone()]);
    let bundle = leaf(&root);
    let verdict = |purpose, now| chain_to(&bundle, &trust, purpose, now);
    assert_eq!(verdict(Purpose::Server, NOW), Err(ChainError::Purpose("server")));
    let early = verdict(Purpose::Client, NOW - 2 * DAY).unwrap_err();
    assert!(
        matches!(&early, ChainError::NotYetValid { wait, .. } if wait == "24 hours"),
        "{early:?}"
    );
    let late = verdict(Purpose::Client, NOW + 374 * DAY).unwrap_err();
    assert!(
        matches!(&late, ChainError::Expired { ago, .. } if ago == "10 days"),
        "{late:?}"
    );
    let not_a_certificate = Trusted::anchors(vec![CertificateDer::from(vec![1, 2, 3])]);
    let refused = chain_to(&bundle, &not_a_certificate, Purpose::Client, NOW);
    assert!(
        matches!(refused, Err(ChainError::Anchor { position: 1, .. })),
        "{refused:?}"
    );
}

/// A CA, a client leaf of it, and that leaf's serial.
fn issued() -> (Authority, Bundle, String) {
    let root = root();
    let spec = Spec::new("allocation-manager", Purposes::Client, Validity::days(NOW - DAY, 365));
    let issued = root.issue(&spec).unwrap();
    let bundle = load::bundle(issued.chain_pem.as_bytes(), issued.key_pem.expose().as_bytes()).unwrap();
    (root, bundle, issued.serial)
}

fn trusted(root: &Authority, lists: &str, refuse_stale: bool) -> Trusted {
    Trusted {
        anchors: vec![root.certificate().clone()],
        crls: crl::read(lists.as_bytes()).unwrap(),
        refuse_stale,
    }
}

#[test]
fn a_certificate_on_the_list_of_its_issuer_is_refused_and_another_is_not() {
    let (root, bundle, serial) = issued();
    let on_it = root.crl(&[&serial], NOW - DAY, NOW + DAY).unwrap();
    let refused = chain_to(&bundle, &trusted(&root, &on_it, true), Purpose::Client, NOW).unwrap_err();
    assert_eq!(refused.as_str(), "revoked");
    assert_eq!(
        refused.to_string(),
        "\"CN=allocation-manager\" has been revoked: it is on the list of \"CN=Test Root\"; a new certificate is needed"
    );
    let not_on_it = root.crl(&["00aa"], NOW - DAY, NOW + DAY).unwrap();
    assert_eq!(
        chain_to(&bundle, &trusted(&root, &not_on_it, true), Purpose::Client, NOW),
        Ok(())
    );
}

#[test]
fn a_certificate_that_no_list_speaks_of_is_refused() {
    let (root, bundle, _) = issued();
    let stranger = Authority::new_root("Stranger", Validity::days(NOW - DAY, 10)).unwrap();
    let list = stranger.crl(&[] as &[&str], NOW - DAY, NOW + DAY).unwrap();
    let refused = chain_to(&bundle, &trusted(&root, &list, false), Purpose::Client, NOW).unwrap_err();
    assert!(
        matches!(&refused, ChainError::RevocationUnknown { lists, .. } if lists == "\"CN=Stranger\""),
        "{refused:?}"
    );
    // The issuer's name, another key.
    let impostor = self::root();
    let list = impostor.crl(&[] as &[&str], NOW - DAY, NOW + DAY).unwrap();
    let refused = chain_to(&bundle, &trusted(&root, &list, false), Purpose::Client, NOW).unwrap_err();
    assert_eq!(refused.as_str(), "crl_signature");
}

#[test]
fn a_list_that_was_to_be_renewed_counts_only_where_that_is_accepted() {
    let (root, bundle, serial) = issued();
    let clean = root.crl(&[] as &[&str], NOW - 3 * DAY, NOW - 2 * DAY).unwrap();
    let verdict = |list: &str, refuse| chain_to(&bundle, &trusted(&root, list, refuse), Purpose::Client, NOW);
    let refused = verdict(&clean, true).unwrap_err();
    assert_eq!(
        refused.to_string(),
        format!(
            "the CRL of \"CN=Test Root\" was to be renewed by {}, 2 days ago; fetch the CA's new list",
            crate::cert::facts::date(NOW - 2 * DAY)
        )
    );
    assert_eq!(verdict(&clean, false), Ok(()));
    let on_it = root.crl(&[&serial], NOW - 3 * DAY, NOW - 2 * DAY).unwrap();
    assert_eq!(verdict(&on_it, false).map_err(|error| error.as_str()), Err("revoked"));
}

proptest::proptest! {
    #[test]
    fn no_changed_certificate_is_accepted_or_makes_the_judgement_panic(at in 0..1000_usize, byte: u8) {
        let (root, bundle, _) = issued();
        let trusted = Trusted::anchors(vec![root.certificate().clone()]);
        let original = bundle.chain()[0].to_vec();
        let mut changed = original.clone();
        let at = at % changed.len();
        changed[at] = byte;
        let same = changed == original;
        let verdict = judge(&[CertificateDer::from(changed)], &trusted, Purpose::Client, &[], NOW);
        // Some bytes of an ECDSA signature's frame can be written in two ways; none of the certificate itself.
        proptest::prop_assert!(same || verdict.is_err() || at > original.len() - 80, "byte {at}");
    }
}
