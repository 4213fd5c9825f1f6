//! What `facts` promises, by example.

use super::super::issue::{self, KeyKind, Purposes, Spec, Validity};
use super::*;

fn leaf(spec: &Spec) -> Vec<u8> {
    issue::self_signed(spec).unwrap().leaf.to_vec()
}

fn spec() -> Spec {
    Spec {
        dns: vec![String::from("allocation-manager")],
        ..Spec::new("allocation-manager", Purposes::Client, Validity::days(1_800_000_000, 1))
    }
}

/// Replaces the one place where `from` occurs.
fn replace(der: &mut [u8], from: &[u8], to: &[u8]) {
    assert_eq!(from.len(), to.len(), "lengths in DER stay right");
    let at = der.windows(from.len()).position(|part| part == from).unwrap();
    der[at..at + to.len()].copy_from_slice(to);
}

#[test]
fn a_fingerprint_is_of_the_certificate_and_a_pin_of_its_key() {
    let der = leaf(&spec());
    let facts = Facts::read(&der).unwrap();
    assert_eq!(facts.fingerprint(), hex(digest::digest(&digest::SHA256, &der).as_ref()));
    let (_, parsed) = X509Certificate::from_der(&der).unwrap();
    let spki = digest::digest(&digest::SHA256, parsed.public_key().raw);
    assert_eq!(facts.spki(), format!("sha256:{}", STANDARD.encode(spki)));
    assert_eq!(facts.spki().len(), "sha256:".len() + 44);
}

#[test]
fn a_version_1_certificate_is_read_as_such() {
    let mut der = leaf(&spec());
    replace(&mut der, &[0xa0, 3, 2, 1, 2], &[0xa0, 3, 2, 1, 0]);
    assert_eq!(Facts::read(&der).unwrap().version, 1);
}

#[test]
fn a_sha1_signature_is_weak() {
    let mut der = leaf(&Spec {
        key: KeyKind::Rsa2048,
        ..spec()
    });
    assert!(!Facts::read(&der).unwrap().weak_signature);
    let sha256_with_rsa = [0x2a, 0x86, 0x48, 0x86, 0xf7, 0x0d, 1, 1, 0x0b];
    let sha1_with_rsa = [0x2a, 0x86, 0x48, 0x86, 0xf7, 0x0d, 1, 1, 5];
    replace(&mut der, &sha256_with_rsa, &sha1_with_rsa);
    replace(&mut der, &sha256_with_rsa, &sha1_with_rsa); // it stands in two places
    let facts = Facts::read(&der).unwrap();
    assert!(facts.weak_signature);
    assert_eq!(facts.signature, "RSA with SHA-1");
}

#[test]
fn keys_are_told_with_their_size() {
    let kinds = [
        (KeyKind::EcdsaP256, "ECDSA P-256"),
        (KeyKind::EcdsaP384, "ECDSA P-384"),
        (KeyKind::Ed25519, "Ed25519"),
        (KeyKind::Rsa2048, "RSA 2048"),
    ];
    for (key, text) in kinds {
        let facts = Facts::read(&leaf(&Spec { key, ..spec() })).unwrap();
        assert_eq!(facts.key.to_string(), text);
    }
}

#[test]
fn control_characters_never_leave_a_certificate_as_they_are() {
    let hostile = Spec {
        dns: vec![String::from("a\nlevel=error")],
        ..Spec::new("x\u{1b}[31m\r\ny", Purposes::Client, Validity::days(1_800_000_000, 1))
    };
    let facts = Facts::read(&leaf(&hostile)).unwrap();
    assert_eq!(facts.dns_names, ["a\\nlevel=error"]);
    assert_eq!(facts.common_names, ["x\\u{1b}[31m\\r\\ny"]);
    assert!(!format!("{} {}", facts.subject, facts.issuer).contains(char::is_control));
}

#[test]
fn names_of_every_kind_stand_in_one_line() {
    let der = leaf(&Spec {
        uri: vec![String::from("spiffe://t/a")],
        ip: vec!["10.0.0.1".parse().unwrap()],
        ..spec()
    });
    let facts = Facts::read(&der).unwrap();
    assert_eq!(facts.names(), "dns:allocation-manager, uri:spiffe://t/a, ip:10.0.0.1");
    let none = Facts::read(&leaf(&Spec {
        dns: Vec::new(),
        ..spec()
    }))
    .unwrap();
    assert_eq!(none.names(), "none");
}

#[test]
fn what_is_no_certificate_is_refused() {
    let der = leaf(&spec());
    assert!(matches!(Facts::read(b""), Err(FactsError::NotACertificate(_))));
    assert!(matches!(Facts::read(b"hello"), Err(FactsError::NotACertificate(_))));
    assert!(matches!(
        Facts::read(&der[..der.len() - 1]),
        Err(FactsError::NotACertificate(_))
    ));
    assert_eq!(
        Facts::read(&[der.as_slice(), b"x"].concat()),
        Err(FactsError::TrailingBytes(1))
    );
}

#[test]
fn a_broken_extension_is_refused_by_its_name() {
    let mut der = leaf(&spec());
    // The object identifier of extended key usage, and the sequence in it that becomes a number.
    let extension = [6, 3, 0x55, 0x1d, 0x25];
    let at = der.windows(5).position(|part| part == extension).unwrap() + 5;
    let sequence = at + der[at..].iter().position(|byte| *byte == 0x30).unwrap();
    der[sequence] = 2;
    assert_eq!(Facts::read(&der), Err(FactsError::Extension("extended key usage")));
}

#[test]
fn every_moment_that_a_certificate_can_name_is_a_date() {
    assert_eq!(date(253_402_300_799), "9999-12-31T23:59:59Z");
    assert_eq!(date(-631_152_000), "1950-01-01T00:00:00Z");
    assert_eq!(date(0), "1970-01-01T00:00:00Z");
    assert_eq!(date(i64::MAX), "second 9223372036854775807 since 1970");
}
