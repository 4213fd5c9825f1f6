//! What `issue` promises, by example.

use rustls_pki_types::pem::PemObject as _;
use x509_parser::prelude::FromDer as _;

use super::super::facts::{Facts, KeyAlgorithm};
use super::super::load;
use super::*;

const DAY: i64 = 86_400;

const NOW: i64 = 1_800_000_000;

fn root() -> Authority {
    Authority::new_root("Test Root", Validity::days(NOW - DAY, 3650)).unwrap()
}

fn spec() -> Spec {
    Spec {
        dns: vec![String::from("allocation-manager")],
        uri: vec![String::from("spiffe://hmpps.example/allocation-manager")],
        ip: vec!["127.0.0.1".parse().unwrap(), "::1".parse().unwrap()],
        organisational_unit: Some(String::from("HMPPS")),
        ..Spec::new("allocation-manager", Purposes::Client, Validity::days(NOW, 90))
    }
}

#[test]
fn a_leaf_says_what_its_spec_says_and_nothing_by_default() {
    let root = root();
    let issued = root.issue(&spec()).unwrap();
    let facts = Facts::read(&issued.leaf).unwrap();
    assert_eq!(facts.version, 3);
    assert_eq!(facts.subject, "OU=HMPPS, CN=allocation-manager");
    assert_eq!(facts.issuer, "CN=Test Root");
    assert_eq!(facts.common_names, ["allocation-manager"]);
    assert_eq!(facts.organisational_units, ["HMPPS"]);
    assert_eq!(facts.dns_names, ["allocation-manager"]);
    assert_eq!(facts.uri_names, ["spiffe://hmpps.example/allocation-manager"]);
    assert_eq!(facts.ip_names, ["127.0.0.1", "::1"]);
    assert_eq!((facts.not_before, facts.not_after), (NOW, NOW + 90 * DAY));
    assert_eq!(facts.serial, issued.serial);
    assert_eq!(facts.serial.len(), 32);
    assert!(!facts.is_ca && !facts.weak_signature);
    let purposes = facts.purposes.unwrap();
    assert!(purposes.client_auth && !purposes.server_auth && !purposes.any);
    let usage = facts.key_usage.unwrap();
    assert!(usage.digital_signature && !usage.key_cert_sign && !usage.crl_sign);
    let ca = Facts::read(root.certificate()).unwrap();
    assert!(ca.is_ca && ca.key_usage.unwrap().key_cert_sign);
    assert_eq!(facts.authority_key_id, ca.subject_key_id);
    assert!(facts.authority_key_id.is_some());
}

#[test]
fn two_leafs_of_one_spec_differ_in_serial_and_key() {
    let root = root();
    let (one, two) = (root.issue(&spec()).unwrap(), root.issue(&spec()).unwrap());
    let (one, two) = (Facts::read(&one.leaf).unwrap(), Facts::read(&two.leaf).unwrap());
    assert_ne!(one.serial, two.serial);
    assert_ne!(one.spki_sha256, two.spki_sha256);
    assert_ne!(one.sha256, two.sha256);
}

#[test]
fn purposes_are_stated_as_asked() {
    let root = root();
    let stated = |purposes| {
        let validity = Validity::days(NOW, 1);
        let issued = root.issue(&Spec::new("x", purposes, validity)).unwrap();
        let facts = Facts::read(&issued.leaf).unwrap();
        facts
            .purposes
            .map(|purposes| (purposes.client_auth, purposes.server_auth))
    };
    assert_eq!(stated(Purposes::Client), Some((true, false)));
    assert_eq!(stated(Purposes::Server), Some((false, true)));
    assert_eq!(stated(Purposes::Both), Some((true, true)));
    assert_eq!(stated(Purposes::Unstated), None);
    assert_eq!(stated(Purposes::Other), Some((false, false)));
}

#[test]
fn every_kind_of_key_makes_a_bundle() {
    let root = root();
    let kinds = [
        (KeyKind::EcdsaP256, KeyAlgorithm::Ecdsa, 256),
        (KeyKind::EcdsaP384, KeyAlgorithm::Ecdsa, 384),
        (KeyKind::Ed25519, KeyAlgorithm::Ed25519, 256),
        (KeyKind::Rsa2048, KeyAlgorithm::Rsa, 2048),
    ];
    for (kind, algorithm, bits) in kinds {
        let issued = root.issue(&Spec { key: kind, ..spec() }).unwrap();
        let bundle = load::bundle(issued.chain_pem.as_bytes(), issued.key_pem.expose().as_bytes()).unwrap();
        let key = bundle.leaf_facts().key;
        assert_eq!((key.algorithm, key.bits), (algorithm, bits), "{kind:?}");
        // SEQUENCE { INTEGER version, …: everybody reads version 1, which is written as 0.
        let der = bundle.key().secret_der();
        let version = der.windows(3).position(|part| part == [2, 1, 0]);
        assert!(matches!(version, Some(2..=4)), "{kind:?}");
    }
}

#[test]
fn an_intermediate_is_sent_along_and_the_root_is_not() {
    let root = root();
    let intermediate = root
        .issue_intermediate("Test Issuing CA", Validity::days(NOW, 1000))
        .unwrap();
    let issued = intermediate.issue(&spec()).unwrap();
    let bundle = load::bundle(issued.chain_pem.as_bytes(), issued.key_pem.expose().as_bytes()).unwrap();
    assert_eq!(bundle.chain().len(), 2);
    assert_eq!(bundle.chain_facts()[1].subject, "CN=Test Issuing CA");
    assert_eq!(bundle.chain_facts()[1].issuer, "CN=Test Root");
}

#[test]
fn a_ca_read_back_from_its_files_signs_as_before() {
    let root = root();
    let again = Authority::from_pem(root.certificate_pem().as_bytes(), root.key_pem().expose().as_bytes()).unwrap();
    assert_eq!(again.certificate(), root.certificate());
    let leaf = again.issue(&spec()).unwrap().leaf;
    let (_, leaf) = x509_parser::certificate::X509Certificate::from_der(&leaf).unwrap();
    let (_, ca) = x509_parser::certificate::X509Certificate::from_der(root.certificate()).unwrap();
    leaf.verify_signature(Some(ca.public_key())).unwrap();

    let intermediate = root.issue_intermediate("Issuing", Validity::days(NOW, 10)).unwrap();
    let both = format!("{}{}", intermediate.certificate_pem(), root.certificate_pem());
    let again = Authority::from_pem(both.as_bytes(), intermediate.key_pem().expose().as_bytes()).unwrap();
    let chain = again.issue(&spec()).unwrap().chain_pem;
    assert_eq!(
        chain.matches("BEGIN CERTIFICATE").count(),
        2,
        "leaf and intermediate, no root"
    );
}

#[test]
fn a_leaf_is_no_ca() {
    let issued = root().issue(&spec()).unwrap();
    let refused = Authority::from_pem(issued.chain_pem.as_bytes(), issued.key_pem.expose().as_bytes());
    assert!(matches!(refused, Err(IssueError::NotACa(subject)) if subject.contains("allocation-manager")));
}

fn wish() -> CertificateParams {
    let mut wish = CertificateParams::new(vec![String::from("allocation-manager")]).unwrap();
    wish.distinguished_name = distinguished_name("allocation-manager", Some("OU"), Some("HMPPS"));
    wish
}

fn csr(wish: &CertificateParams, key: &KeyPair) -> String {
    wish.serialize_request(key).unwrap().pem().unwrap()
}

#[test]
fn a_request_gets_its_names_but_not_the_purposes_that_it_asks_for() {
    let (root, key) = (root(), KeyPair::generate().unwrap());
    let mut wish = wish();
    wish.key_usages = vec![KeyUsagePurpose::KeyCertSign];
    wish.extended_key_usages = vec![ExtendedKeyUsagePurpose::ServerAuth];
    let csr = csr(&wish, &key);
    let signed = root.sign_csr(&csr, Purposes::Client, Validity::days(NOW, 30)).unwrap();
    let facts = Facts::read(&signed.leaf).unwrap();
    assert_eq!(facts.dns_names, ["allocation-manager"]);
    assert_eq!(facts.subject, "O=HMPPS, OU=OU, CN=allocation-manager");
    assert_eq!(facts.serial, signed.serial);
    assert!(!facts.is_ca && !facts.key_usage.unwrap().key_cert_sign);
    assert!(!facts.purposes.unwrap().server_auth && facts.purposes.unwrap().client_auth);
    load::bundle(signed.chain_pem.as_bytes(), key.serialize_pem().as_bytes()).unwrap();
}

#[test]
fn a_request_to_become_a_ca_is_refused() {
    let mut wish = wish();
    wish.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
    let csr = csr(&wish, &KeyPair::generate().unwrap());
    assert!(Request::read(csr.as_bytes()).unwrap().wants_ca);
    let refused = root().sign_csr(&csr, Purposes::Client, Validity::days(NOW, 30));
    assert!(matches!(refused, Err(IssueError::RequestForCa)), "{refused:?}");
}

#[test]
fn a_wish_becomes_a_request_that_reads_back() {
    let wish = Wish {
        common_name: String::from("allocation-manager"),
        organisation: Some(String::from("HMPPS")),
        organisational_unit: None,
        dns: vec![String::from("allocation-manager"), String::from("am.example")],
        uri: vec![String::from("spiffe://t/am")],
        ip: vec!["127.0.0.1".parse().unwrap()],
        purposes: Purposes::Client,
    };
    for kind in [
        KeyKind::EcdsaP256,
        KeyKind::EcdsaP384,
        KeyKind::Ed25519,
        KeyKind::Rsa2048,
    ] {
        let made = wish.with_new_key(kind).unwrap();
        let read = Request::read(made.csr_pem.as_bytes()).unwrap();
        assert_eq!(read.subject, "O=HMPPS, CN=allocation-manager");
        assert_eq!(
            read.names(),
            "dns:allocation-manager, dns:am.example, uri:spiffe://t/am, ip:127.0.0.1"
        );
        assert!(read.purposes.unwrap().client_auth && !read.wants_ca);
        let again = wish.with_key(made.key_pem.expose().as_bytes()).unwrap();
        let again = Request::read(again.csr_pem.as_bytes()).unwrap();
        assert_eq!(again.spki, read.spki, "the same key");
        let signed = root().sign(&again, Purposes::Client, Validity::days(NOW, 1)).unwrap();
        load::bundle(signed.chain_pem.as_bytes(), made.key_pem.expose().as_bytes()).unwrap();
    }
}

#[test]
fn a_request_with_names_that_would_be_lost_is_refused() {
    let mut wish = wish();
    let oid = DnType::CustomDnType(vec![1, 2, 3, 4]);
    wish.distinguished_name.push(oid, "kept as it is");
    let csr = csr(&wish, &KeyPair::generate().unwrap());
    let signed = root().sign_csr(&csr, Purposes::Client, Validity::days(NOW, 1)).unwrap();
    assert!(Facts::read(&signed.leaf).unwrap().subject.contains("kept as it is"));
    wish.subject_alt_names.push(rcgen::SanType::OtherName((
        vec![1, 2, 3],
        rcgen::OtherNameValue::Utf8String("x".into()),
    )));
    let csr = self::csr(&wish, &KeyPair::generate().unwrap());
    let refused = root().sign_csr(&csr, Purposes::Client, Validity::days(NOW, 1));
    assert!(matches!(refused, Err(IssueError::RequestName(_))), "{refused:?}");
}

#[test]
fn a_request_that_was_changed_after_signing_is_refused() {
    let key = KeyPair::generate().unwrap();
    let wish = CertificateParams::new(vec![String::from("allocation-manager")]).unwrap();
    let mut der = wish.serialize_request(&key).unwrap().der().to_vec();
    let at = der.windows(10).position(|part| part == b"allocation").unwrap();
    der[at] = b'b';
    let refused = root().sign_csr(
        &pem("CERTIFICATE REQUEST", &der),
        Purposes::Client,
        Validity::days(NOW, 1),
    );
    assert!(matches!(refused, Err(IssueError::RequestSignature)), "{refused:?}");
}

#[test]
fn a_crl_lists_the_serials_that_were_given() {
    let root = root();
    let (bad, good) = (root.issue(&spec()).unwrap(), root.issue(&spec()).unwrap());
    let list = root.crl(&[&bad.serial], NOW, NOW + 7 * DAY).unwrap();
    let der = rustls_pki_types::CertificateRevocationListDer::from_pem_slice(list.as_bytes()).unwrap();
    let list = webpki::OwnedCertRevocationList::from_der(&der).unwrap();
    let list = webpki::CertRevocationList::from(list);
    let holds = |issued: &Issued| {
        let (_, leaf) = x509_parser::certificate::X509Certificate::from_der(&issued.leaf).unwrap();
        list.find_serial(leaf.raw_serial()).unwrap().is_some()
    };
    assert!(holds(&bad) && !holds(&good));
    assert!(matches!(root.crl(&["xyz"], NOW, NOW + DAY), Err(IssueError::Serial(_))));
}

#[test]
fn dates_that_no_certificate_can_say_are_refused() {
    for (not_before, not_after) in [(-1, NOW), (NOW, NOW - 1), (NOW, LATEST + 1), (i64::MIN, i64::MAX)] {
        let validity = Validity { not_before, not_after };
        let refused = Authority::new_root("x", validity);
        assert!(matches!(refused, Err(IssueError::Validity(..))), "{validity:?}");
    }
    let widest = Validity {
        not_before: 0,
        not_after: LATEST,
    };
    let facts = Facts::read(Authority::new_root("x", widest).unwrap().certificate()).unwrap();
    assert_eq!((facts.not_before, facts.not_after), (0, LATEST));
}

#[test]
fn a_name_that_cannot_be_encoded_is_refused_by_name() {
    let wrong = Spec {
        dns: vec![String::from("zürich")],
        ..spec()
    };
    assert!(matches!(root().issue(&wrong), Err(IssueError::Name(name)) if name == "zürich"));
}

#[test]
fn no_output_of_an_authority_or_a_leaf_shows_a_key() {
    let root = root();
    let issued = root.issue(&spec()).unwrap();
    let shown = format!("{root:?} {issued:?}");
    let body = |pem: &str| pem.lines().nth(1).unwrap().to_owned();
    assert!(!shown.contains(&body(root.key_pem().expose())));
    assert!(!shown.contains(&body(issued.key_pem.expose())));
    assert!(shown.contains("[secret]"));
}
