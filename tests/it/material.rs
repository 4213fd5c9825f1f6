//! Certificates and keys as OpenSSL writes them: PKCS#12 of both ages, encrypted PKCS#8, combined files. Read by the
//! library and, through `check`, by the key of the configuration that is at fault.

use std::fs;
use std::path::Path;
use std::process::Command;

use delius_sidecar::cert::load::{self, Bundle, LoadError, Part, Source};

use crate::support::absent;
use crate::support::openssl::OpenSsl;
use crate::support::pki::{Key, pki};

const PASSWORD: &str = "correct horse";

/// A directory with `tls.crt`, `tls.key`, `root.crt` and the password's file.
fn directory(openssl_key: Key) -> (tempfile::TempDir, Option<OpenSsl>) {
    let directory = tempfile::Builder::new()
        .prefix("delius-material-")
        .tempdir()
        .expect("a temporary directory");
    let leaf = pki().client(openssl_key);
    let write = |name: &str, text: &str| fs::write(directory.path().join(name), text).expect("written");
    write("tls.crt", &leaf.chain_pem);
    write("tls.key", &leaf.key_pem);
    write("root.crt", &pki().root_pem());
    write("password", &format!("{PASSWORD}\n"));
    write("empty", "");
    write("wrong", "battery staple");
    let openssl = OpenSsl::find(directory.path());
    (directory, openssl)
}

fn store(directory: &Path, file: &str, password: &str) -> Result<Bundle, LoadError> {
    let read = |name: &str| fs::read(directory.join(name)).expect("readable");
    load::identity(Source::Pkcs12 {
        file: &read(file),
        password: &read(password),
    })
}

fn pem(directory: &Path, certificate: &str, key: &str, password: Option<&str>) -> Result<Bundle, LoadError> {
    let read = |name: &str| fs::read(directory.join(name)).expect("readable");
    let password = password.map(read);
    load::identity(Source::Pem {
        certificate: &read(certificate),
        private_key: &read(key),
        password: password.as_deref(),
    })
}

#[test]
fn a_pkcs12_store_is_read_in_its_modern_and_its_old_form_and_without_a_password() {
    let (directory, openssl) = directory(Key::Rsa);
    let Some(openssl) = openssl else { return };
    let at = directory.path();
    let expected = pem(at, "tls.crt", "tls.key", None).expect("a bundle");
    let export = "pkcs12 -export -inkey tls.key -in tls.crt -certfile root.crt";
    openssl.run(&format!("{export} -passout file:password -out modern.p12"));
    openssl.run(&format!("{export} -passout pass: -out empty.p12"));
    openssl.run(&format!(
        "{export} -passout file:password -certpbe PBE-SHA1-3DES -keypbe PBE-SHA1-3DES -macalg sha1 -out des.p12"
    ));
    let mut stores = vec![
        ("modern.p12", "password"),
        ("empty.p12", "empty"),
        ("des.p12", "password"),
    ];
    let legacy = format!("{export} -legacy -passout file:password -out legacy.p12");
    if openssl.tries(legacy.split_whitespace()) {
        stores.push(("legacy.p12", "password"));
    } else {
        eprintln!("ABSENT: this openssl writes no RC2; that such stores are read is NOT shown");
    }
    for (file, password) in stores {
        let bundle = store(at, file, password).unwrap_or_else(|error| panic!("{file}: {error}"));
        assert_eq!(bundle.chain(), expected.chain(), "{file}: the leaf, and not the root");
        let shown = store(at, file, "wrong").expect_err("refused");
        assert_eq!(shown, LoadError::WrongPassword(Part::Pkcs12), "{file}");
        assert!(!shown.to_string().contains("battery"), "{shown}");
    }
}

#[test]
fn a_pkcs12_store_without_key_or_with_two_is_refused_by_name() {
    let (directory, openssl) = directory(Key::Ecdsa);
    let Some(openssl) = openssl else { return };
    let at = directory.path();
    openssl.run("pkcs12 -export -nokeys -in tls.crt -passout file:password -out trust.p12");
    let refused = store(at, "trust.p12", "password").expect_err("refused");
    assert_eq!(refused, LoadError::Pkcs12Without(Part::PrivateKey));
    let whole = fs::read(at.join("trust.p12")).expect("readable");
    fs::write(at.join("cut.p12"), &whole[..whole.len() / 2]).expect("written");
    assert!(matches!(store(at, "cut.p12", "password"), Err(LoadError::NotPkcs12(_))));
    fs::write(at.join("binary"), [0xff, 0xfe]).expect("written");
    let refused = store(at, "trust.p12", "binary").expect_err("refused");
    assert_eq!(refused, LoadError::PasswordEncoding(Part::Pkcs12));
}

#[test]
fn an_encrypted_key_opens_with_its_password_and_with_no_other() {
    let (directory, openssl) = directory(Key::Rsa);
    let Some(openssl) = openssl else { return };
    let at = directory.path();
    let expected = pem(at, "tls.crt", "tls.key", None).expect("a bundle");
    for (name, how) in [
        ("aes256", "-v2 aes-256-cbc"),
        ("aes128", "-v2 aes-128-cbc -iter 100000"),
        ("sha512", "-v2 aes-256-cbc -v2prf hmacWithSHA512"),
        ("des3", "-v2 des3 -v2prf hmacWithSHA1"),
        ("scrypt", "-scrypt"),
    ] {
        openssl.run(&format!(
            "pkcs8 -topk8 -in tls.key {how} -passout file:password -out {name}.key"
        ));
        let key = format!("{name}.key");
        let bundle = pem(at, "tls.crt", &key, Some("password")).unwrap_or_else(|error| panic!("{name}: {error}"));
        assert_eq!(bundle.chain(), expected.chain());
        assert_eq!(
            pem(at, "tls.crt", &key, Some("wrong")).unwrap_err(),
            LoadError::WrongPassword(Part::PrivateKey),
            "{name}"
        );
        assert_eq!(pem(at, "tls.crt", &key, None).unwrap_err(), LoadError::EncryptedKey);
    }
    let both = [fs::read(at.join("aes256.key")), fs::read(at.join("tls.crt"))].map(|read| read.expect("readable"));
    fs::write(at.join("both.pem"), both.concat()).expect("written");
    assert!(pem(at, "both.pem", "both.pem", Some("password")).is_ok());
    assert!(
        pem(at, "tls.crt", "tls.key", Some("password")).is_ok(),
        "a password that nothing needs is no harm"
    );
}

#[test]
fn keys_encrypted_in_old_ways_are_refused_with_the_way_out() {
    let (directory, openssl) = directory(Key::Rsa);
    let Some(openssl) = openssl else { return };
    let at = directory.path();
    openssl.run("rsa -in tls.key -traditional -aes256 -passout file:password -out dek.key");
    let refused = pem(at, "tls.crt", "dek.key", Some("password")).expect_err("refused");
    assert_eq!(refused, LoadError::LegacyEncryption);
    assert!(refused.to_string().contains("openssl pkcs8 -topk8 -v2 aes-256-cbc"));
    openssl.run("pkcs8 -topk8 -in tls.key -v1 PBE-SHA1-3DES -passout file:password -out v1.key");
    let refused = pem(at, "tls.crt", "v1.key", Some("password")).expect_err("refused");
    assert!(matches!(refused, LoadError::KeyEncryption(_)), "{refused}");
}

#[test]
fn a_key_derivation_that_would_take_hours_is_refused_at_once() {
    let (directory, openssl) = directory(Key::Ecdsa);
    let Some(openssl) = openssl else { return };
    let at = directory.path();
    openssl.run("pkcs8 -topk8 -in tls.key -v2 aes-256-cbc -iter 10000001 -passout file:password -out slow.key");
    let refused = pem(at, "tls.crt", "slow.key", Some("password")).expect_err("refused");
    assert!(refused.to_string().contains("would take hours"), "{refused}");
}

#[test]
fn a_store_of_keytool_is_read_and_its_old_format_is_named() {
    let (directory, _) = directory(Key::Ecdsa);
    let Some(keytool) = absent::find("keytool", "openjdk-17-jdk-headless") else {
        return;
    };
    let at = directory.path();
    let generate = |kind: &str, file: &str| {
        let line = format!(
            "-genkeypair -alias app -keyalg RSA -keysize 2048 -dname CN=app -validity 30 -storetype {kind} \
             -keystore {file} -storepass battery-staple -keypass battery-staple"
        );
        let made = Command::new(&keytool)
            .args(line.split_whitespace())
            .current_dir(at)
            .output();
        let made = made.expect("keytool runs");
        assert!(made.status.success(), "{}", String::from_utf8_lossy(&made.stdout));
    };
    fs::write(at.join("password"), "battery-staple\n").expect("written");
    generate("PKCS12", "app.p12");
    let bundle = store(at, "app.p12", "password").expect("a bundle");
    assert_eq!(bundle.leaf_facts().subject, "CN=app");
    generate("JKS", "app.jks");
    let refused = store(at, "app.jks", "password").expect_err("refused");
    let (part, kind) = (Part::Pkcs12, "JKS");
    assert_eq!(refused, LoadError::JavaKeystore { part, kind });
}
