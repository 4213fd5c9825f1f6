//! What `load` promises, by example.

use proptest::prelude::*;
use rustls_pki_types::PrivatePkcs8KeyDer;
use rustls_pki_types::pem::PemObject as _;

use super::super::issue::{Authority, Issued, KeyKind, Purposes, Spec, Validity, pem};
use super::*;

const NOW: i64 = 1_800_000_000;

fn authority() -> Authority {
    Authority::new_root("Test Root", Validity::days(NOW, 100)).unwrap()
}

fn issued(key: KeyKind) -> Issued {
    let spec = Spec {
        key,
        ..Spec::new("allocation-manager", Purposes::Client, Validity::days(NOW, 10))
    };
    authority().issue(&spec).unwrap()
}

/// The chain and key of one leaf, PEM.
fn pair() -> (String, String) {
    let issued = issued(KeyKind::EcdsaP256);
    (issued.chain_pem, issued.key_pem.expose().clone())
}

fn load(chain: &str, key: &str) -> Result<Bundle, LoadError> {
    bundle(chain.as_bytes(), key.as_bytes())
}

fn der_of(key_pem: &str) -> Vec<u8> {
    let key = PrivatePkcs8KeyDer::from_pem_slice(key_pem.as_bytes()).unwrap();
    key.secret_pkcs8_der().to_vec()
}

/// The third element of a PKCS#8 key: the octets that are the key in its own format.
fn inner(pkcs8: &[u8]) -> Vec<u8> {
    fn element(der: &[u8]) -> (&[u8], &[u8]) {
        let (length, header) = match der[1] {
            0x81 => (usize::from(der[2]), 3),
            0x82 => (usize::from(der[2]) << 8 | usize::from(der[3]), 4),
            short => (usize::from(short), 2),
        };
        (&der[header..header + length], &der[header + length..])
    }
    let (sequence, _) = element(pkcs8);
    let (_version, rest) = element(sequence);
    let (_algorithm, rest) = element(rest);
    element(rest).0.to_vec()
}

#[test]
fn a_chain_and_its_key_become_a_bundle() {
    let (chain, key) = pair();
    let bundle = load(&chain, &key).unwrap();
    assert_eq!(bundle.chain().len(), 1);
    assert_eq!(bundle.chain_facts().len(), 1);
    assert_eq!(bundle.leaf_facts().subject, "CN=allocation-manager");
    assert_eq!(bundle.key().secret_der(), der_of(&key));
}

#[test]
fn keys_are_taken_as_pkcs8_pkcs1_and_sec1() {
    let formats = [
        (KeyKind::Rsa2048, "RSA PRIVATE KEY"),
        (KeyKind::EcdsaP256, "EC PRIVATE KEY"),
        (KeyKind::EcdsaP384, "EC PRIVATE KEY"),
    ];
    for (kind, label) in formats {
        let issued = issued(kind);
        let pkcs8 = issued.key_pem.expose();
        load(&issued.chain_pem, pkcs8).unwrap();
        let own = pem(label, &inner(&der_of(pkcs8)));
        let bundle = load(&issued.chain_pem, &own).unwrap();
        assert!(!matches!(bundle.key(), PrivateKeyDer::Pkcs8(_)), "{kind:?}");
    }
}

#[test]
fn line_ends_byte_order_mark_and_text_around_do_not_matter() {
    let (chain, key) = pair();
    let variants: [fn(&str) -> String; 4] = [
        |pem| pem.replace('\n', "\r\n"),
        |pem| format!("\u{feff}{pem}"),
        |pem| format!("subject=CN = somebody\n\n{pem}\ntrailing words"),
        |pem| pem.trim_end().to_owned(),
    ];
    for (index, variant) in variants.iter().enumerate() {
        load(&variant(&chain), &variant(&key)).unwrap_or_else(|error| panic!("variant {index}: {error}"));
    }
}

#[test]
fn one_file_with_certificate_and_key_serves_as_both() {
    let (chain, key) = pair();
    let both = format!("{key}{chain}");
    assert_eq!(load(&both, &both).unwrap().chain().len(), 1);
}

#[test]
fn an_encrypted_key_is_named_as_such_in_both_formats() {
    let (chain, key) = pair();
    let pkcs8 = key.replace("PRIVATE KEY", "ENCRYPTED PRIVATE KEY");
    assert_eq!(load(&chain, &pkcs8).unwrap_err(), LoadError::EncryptedKey);
    let legacy = "-----BEGIN RSA PRIVATE KEY-----\nProc-Type: 4,ENCRYPTED\nDEK-Info: AES-128-CBC,00\n\nAAAA\n\
                  -----END RSA PRIVATE KEY-----\n";
    let refused = load(&chain, legacy).unwrap_err();
    assert_eq!(refused, LoadError::LegacyEncryption);
    assert!(refused.to_string().contains("openssl pkcs8 -topk8"), "{refused}");
}

#[test]
fn a_java_keystore_is_named_with_the_way_out() {
    let (_, key) = pair();
    for (magic, kind) in [(b"\xfe\xed\xfe\xed", "JKS"), (b"\xce\xce\xce\xce", "JCEKS")] {
        let store = [magic.as_slice(), &[0, 0, 0, 2, 0]].concat();
        let part = Part::Certificate;
        let refused = bundle(&store, key.as_bytes()).unwrap_err();
        assert_eq!(refused, LoadError::JavaKeystore { part, kind });
        assert!(refused.to_string().contains("keytool -importkeystore"), "{refused}");
        let part = Part::Pkcs12;
        let refused = identity(Source::Pkcs12 {
            file: &store,
            password: b"",
        });
        assert_eq!(refused.unwrap_err(), LoadError::JavaKeystore { part, kind });
    }
}

#[test]
fn another_file_in_the_place_of_a_pkcs12_file_is_named() {
    let (chain, key) = pair();
    let store = |file: &[u8]| identity(Source::Pkcs12 { file, password: b"x" }).unwrap_err();
    assert_eq!(store(chain.as_bytes()), LoadError::NotPkcs12("it is PEM".to_owned()));
    assert_eq!(store(b"hello"), LoadError::NotPkcs12("it is not DER".to_owned()));
    assert_eq!(store(b""), LoadError::Empty(Part::Pkcs12));
    assert!(matches!(store(&der_of(&key)), LoadError::NotPkcs12(_)));
    let indefinite = [0x30, 0x80, 2, 1, 3, 0x30, 0x80, 0, 0, 0, 0];
    assert!(matches!(store(&indefinite), LoadError::Pkcs12Protection(reason) if reason.contains("BER")));
}

#[test]
fn an_empty_file_is_empty_and_not_a_file_without_keys() {
    let (chain, key) = pair();
    for empty in ["", "\n \r\n\t"] {
        assert_eq!(load(empty, &key).unwrap_err(), LoadError::Empty(Part::Certificate));
        assert_eq!(load(&chain, empty).unwrap_err(), LoadError::Empty(Part::PrivateKey));
        assert_eq!(anchors(empty.as_bytes()), Err(LoadError::Empty(Part::Trust)));
    }
}

#[test]
fn garbage_is_not_pem() {
    let (chain, key) = pair();
    let indented = chain.replace("-----BEGIN", "  -----BEGIN");
    for garbage in ["hello", "0", "\u{0}\u{1}", "-----BEGIN", &indented] {
        assert_eq!(load(garbage, &key).unwrap_err(), LoadError::NotPem(Part::Certificate));
        assert_eq!(load(&chain, garbage).unwrap_err(), LoadError::NotPem(Part::PrivateKey));
        assert_eq!(anchors(garbage.as_bytes()), Err(LoadError::NotPem(Part::Trust)));
    }
}

#[test]
fn der_is_recognised_and_the_way_to_pem_is_told() {
    let issued = issued(KeyKind::EcdsaP256);
    let key = issued.key_pem.expose();
    let refused = bundle(&issued.leaf, key.as_bytes()).unwrap_err();
    assert_eq!(refused, LoadError::Der(Part::Certificate));
    assert!(refused.to_string().contains("openssl x509 -inform DER"), "{refused}");
    let refused = bundle(issued.chain_pem.as_bytes(), &der_of(key)).unwrap_err();
    assert_eq!(refused, LoadError::Der(Part::PrivateKey));
    assert!(refused.to_string().contains("openssl pkey -inform DER"), "{refused}");
}

#[test]
fn a_short_der_key_is_recognised_too() {
    let issued = issued(KeyKind::Ed25519);
    let refused = bundle(issued.chain_pem.as_bytes(), &der_of(issued.key_pem.expose())).unwrap_err();
    assert_eq!(refused, LoadError::Der(Part::PrivateKey));
}

#[test]
fn pkcs12_is_told_from_other_der() {
    let (chain, _) = pair();
    for start in [
        &[0x30, 0x82, 4, 0, 2, 1, 3][..],
        &[0x30, 0x81, 200, 2, 1, 3],
        &[0x30, 0x80, 2, 1, 3],
        &[0x30, 0x83, 1, 0, 0, 2, 1, 3],
    ] {
        let file = [start, &[0x30; 100]].concat();
        assert_eq!(bundle(&file, &file).unwrap_err(), LoadError::Pkcs12(Part::Certificate));
        assert_eq!(
            bundle(chain.as_bytes(), &file).unwrap_err(),
            LoadError::Pkcs12(Part::PrivateKey)
        );
    }
}

#[test]
fn swapped_files_are_recognised_from_either_side() {
    let (chain, key) = pair();
    assert_eq!(load(&key, &key).unwrap_err(), LoadError::KeyInstead(Part::Certificate));
    assert_eq!(load(&chain, &chain).unwrap_err(), LoadError::CertificateInstead);
    assert_eq!(anchors(key.as_bytes()), Err(LoadError::KeyInstead(Part::Trust)));
}

#[test]
fn a_public_key_is_no_private_key() {
    let (chain, key) = pair();
    let public = key.replace("PRIVATE", "PUBLIC");
    assert_eq!(load(&chain, &public).unwrap_err(), LoadError::PublicKeyInstead);
    let rsa = key.replace("PRIVATE", "RSA PUBLIC");
    assert_eq!(load(&chain, &rsa).unwrap_err(), LoadError::PublicKeyInstead);
}

#[test]
fn a_file_of_something_else_is_told_by_its_labels() {
    let (chain, key) = pair();
    let request = chain.replace("CERTIFICATE", "CERTIFICATE REQUEST");
    let refused = load(&request, &key).unwrap_err();
    assert!(matches!(&refused, LoadError::Missing { found, .. } if found == "\"CERTIFICATE REQUEST\""));
    assert_eq!(
        refused.to_string(),
        "the certificate file holds no certificate, but: \"CERTIFICATE REQUEST\"; expected \"CERTIFICATE\""
    );
    let refused = load(&chain, &request).unwrap_err();
    assert!(
        matches!(
            refused,
            LoadError::Missing {
                part: Part::PrivateKey,
                ..
            }
        ),
        "{refused}"
    );
}

#[test]
fn two_keys_are_one_too_many() {
    let (chain, key) = pair();
    assert_eq!(
        load(&chain, &format!("{key}{key}")).unwrap_err(),
        LoadError::ManyKeys(2)
    );
}

#[test]
fn a_file_that_is_cut_off_or_damaged_is_refused_without_showing_its_content() {
    let (chain, key) = pair();
    let cut = &key[..key.len() / 2];
    let refused = load(&chain, cut).unwrap_err();
    assert!(refused.to_string().contains("cut off"), "{refused}");
    let body = key.lines().nth(1).unwrap();
    let damaged = key.replace(body, &format!("{}!", &body[1..]));
    let refused = load(&chain, &damaged).unwrap_err();
    assert!(
        matches!(
            refused,
            LoadError::DamagedPem {
                part: Part::PrivateKey,
                ..
            }
        ),
        "{refused}"
    );
    assert!(!refused.to_string().contains(&body[1..9]), "{refused}");
    let half_a_start = chain.replace("CERTIFICATE-----\n", "CERTIFICATE--\n");
    assert!(matches!(load(&half_a_start, &key), Err(LoadError::DamagedPem { .. })));
}

#[test]
fn a_section_that_holds_no_certificate_is_pointed_at() {
    let (chain, key) = pair();
    let refused = load(&format!("{chain}{}", pem("CERTIFICATE", b"\x30\x03abc")), &key).unwrap_err();
    let LoadError::UnreadableCertificate { position, total, .. } = refused else {
        panic!("{refused}");
    };
    assert_eq!((position, total), (2, 2));
    let trailing = [issued(KeyKind::EcdsaP256).leaf.as_ref(), b"x"].concat();
    let refused = load(&pem("CERTIFICATE", &trailing), &key).unwrap_err();
    assert!(refused.to_string().contains("1 bytes follow the end"), "{refused}");
}

#[test]
fn a_key_that_is_none_is_unusable() {
    let (chain, _) = pair();
    let refused = load(&chain, &pem("PRIVATE KEY", b"not a key")).unwrap_err();
    assert!(matches!(refused, LoadError::UnusableKey(_)), "{refused}");
}

#[test]
fn a_key_of_another_certificate_is_a_mismatch() {
    let ((chain, _), (_, key)) = (pair(), pair());
    let refused = load(&chain, &key).unwrap_err();
    assert_eq!(
        refused,
        LoadError::KeyMismatch {
            subject: String::from("CN=allocation-manager")
        }
    );
    let rsa = issued(KeyKind::Rsa2048);
    let refused = load(&chain, rsa.key_pem.expose()).unwrap_err();
    assert!(matches!(refused, LoadError::KeyMismatch { .. }), "{refused}");
}

#[test]
fn a_chain_with_the_leaf_at_its_end_is_told_to_turn_round() {
    let root = authority();
    let leaf = root
        .issue(&Spec::new(
            "allocation-manager",
            Purposes::Client,
            Validity::days(NOW, 10),
        ))
        .unwrap();
    let reversed = format!("{}{}", root.certificate_pem(), leaf.chain_pem);
    let refused = load(&reversed, leaf.key_pem.expose()).unwrap_err();
    assert_eq!(refused, LoadError::LeafNotFirst { position: 2, total: 2 });
}

#[test]
fn a_trust_bundle_keeps_each_ca_once_and_in_order() {
    let (one, two) = (authority(), authority());
    let text = [&one, &two, &one].map(Authority::certificate_pem).concat();
    assert_eq!(
        anchors(text.as_bytes()).unwrap(),
        [one.certificate().clone(), two.certificate().clone()]
    );
}

#[test]
fn no_output_of_a_bundle_shows_its_key() {
    let (chain, key) = pair();
    let bundle = load(&chain, &key).unwrap();
    let der = der_of(&key);
    let shown = format!("{bundle:?} {:#?}", bundle.clone());
    assert!(shown.contains("[secret]"));
    assert!(!shown.contains(&format!("{:?}", &der[40..60]).trim_matches(['[', ']']).to_owned()));
    assert!(!shown.contains(key.lines().nth(1).unwrap()));
}

proptest! {
    #[test]
    fn no_bytes_make_loading_panic(chain in any::<Vec<u8>>(), key in any::<Vec<u8>>()) {
        prop_assert!(bundle(&chain, &key).is_err());
        prop_assert!(anchors(&chain).is_err());
    }

    #[test]
    fn no_der_in_a_pem_frame_makes_loading_panic(der in any::<Vec<u8>>()) {
        let (chain, key) = (pem("CERTIFICATE", &der), pem("PRIVATE KEY", &der));
        prop_assert!(load(&chain, &key).is_err());
    }

    /// A changed file is refused, or the change was in what does not matter (line ends, text between sections).
    #[test]
    fn a_changed_file_never_yields_another_identity(
        at in any::<prop::sample::Index>(),
        byte in any::<u8>(),
        of_key in any::<bool>(),
    ) {
        let (chain, key) = pair();
        let whole = load(&chain, &key).unwrap();
        let (mut chain, mut key) = (chain.into_bytes(), key.into_bytes());
        let file = if of_key { &mut key } else { &mut chain };
        let at = at.index(file.len());
        file[at] = byte;
        if let Ok(loaded) = bundle(&chain, &key) {
            prop_assert_eq!(loaded.leaf_facts().spki_sha256, whole.leaf_facts().spki_sha256);
        }
    }

    /// Certificate bytes that differ in one place are read or refused; reading never panics.
    #[test]
    fn no_changed_certificate_makes_reading_panic(at in any::<prop::sample::Index>(), byte in any::<u8>()) {
        let mut der = issued(KeyKind::EcdsaP256).leaf.to_vec();
        let at = at.index(der.len());
        der[at] = byte;
        let read = Facts::read(&der);
        der.truncate(at);
        prop_assert!(Facts::read(&der).is_err());
        drop(read);
    }
}
