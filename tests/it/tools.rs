//! `cert …` through the real binary: files as openssl makes them, servers that shake hands, a sidecar that runs.

use std::fs;
use std::os::unix::ffi::OsStrExt as _;
use std::os::unix::fs::{PermissionsExt as _, symlink};

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use serde_json::{Value, json};

use crate::ca::Desk;
use crate::support::hostile::{Conn, Hostile};
use crate::support::peer::Tls;
use crate::support::pki::{APP, Ask, Key, NDH, pki};
use crate::support::world::World;

fn write(desk: &Desk, name: &str, text: &str) {
    fs::write(desk.path(name), text).expect("written");
}

/// Somebody's material in the shape of a secret.
fn secret(desk: &Desk, place: &str) {
    let leaf = pki().client(Key::Ecdsa);
    fs::create_dir_all(desk.path(place)).expect("made");
    write(desk, &format!("{place}/tls.crt"), &leaf.chain_pem);
    write(desk, &format!("{place}/tls.key"), &leaf.key_pem);
    write(desk, &format!("{place}/ca.crt"), &pki().root_pem());
}

fn key_body(pem: &str) -> String {
    pem.lines().nth(1).expect("a body").to_owned()
}

#[test]
fn inspect_says_of_a_file_what_openssl_says_and_never_the_key() {
    let desk = Desk::new();
    secret(&desk, "s");
    let seen = desk.json("cert inspect s/tls.crt");
    let leaf = &seen["targets"][0]["parts"][0]["certificates"][0];
    assert_eq!(leaf["dns"], json!([APP]));
    if let Some(said) = desk.openssl("x509 -in s/tls.crt -noout -serial -fingerprint -sha256") {
        let plain = said.out.replace(':', "").to_lowercase();
        for member in ["serial", "sha256"] {
            let value = leaf[member].as_str().expect("text");
            assert!(plain.contains(value), "{member} {value}: {plain}");
        }
    }
    let all = desk.done("cert inspect s") + &desk.done("cert inspect s/tls.key --output json");
    assert!(all.contains(&format!("belongs to \"CN={APP}\" in tls.crt")), "{all}");
    assert!(!all.contains(&key_body(&desk.read("s/tls.key"))), "{all}");
    assert!(!all.contains('\u{1b}'), "colour in a pipe");
}

#[test]
fn inspect_reads_der_requests_lists_and_encrypted_keys() {
    let desk = Desk::with_ca();
    desk.done("ca issue --dir ca --dns a.example --out c");
    let made = "x509 -in c/tls.crt -outform DER -out c.der";
    if desk.openssl(made).is_none() {
        return;
    }
    desk.agrees("crl -in ca/crl.pem -outform DER -out crl.der");
    desk.agrees("pkcs8 -topk8 -in c/tls.key -out e.key -passout pass:secret");
    desk.agrees("ec -in c/tls.key -out old.key -aes128 -passout pass:secret");
    desk.agrees("req -new -key c/tls.key -subj /CN=r -addext subjectAltName=DNS:r.example -outform DER -out r.der");
    desk.agrees("pkcs12 -export -in c/tls.crt -inkey c/tls.key -out c.p12 -passout pass:secret");
    write(&desk, "password", "secret\n");
    let seen = desk.json("cert inspect c.p12 --password-file password");
    let part = &seen["targets"][0]["parts"][0];
    assert_eq!(part["certificates"][0]["dns"], json!(["a.example"]), "{seen}");
    write(&desk, "wrong", "guess\n");
    for line in [
        "cert inspect c.p12 --password-file wrong",
        "cert inspect c.p12 --password-file nowhere",
    ] {
        let said = desk.run(line);
        assert_eq!(said.code, Some(1), "{line}: {}", said.out);
        assert!(
            said.out.contains("password") || said.out.contains("nowhere"),
            "{line}: {}",
            said.out
        );
    }
    let seen = desk.json("cert inspect c.der crl.der e.key old.key r.der");
    let part = |n: usize| &seen["targets"][n]["parts"][0];
    assert_eq!(part(0)["certificates"][0]["dns"], json!(["a.example"]));
    assert_eq!(part(1)["revocation_lists"][0]["revoked"], json!([]));
    for n in [2, 3] {
        assert_eq!(part(n)["keys"][0]["encrypted"], true, "{}", part(n));
    }
    assert_eq!(part(4)["requests"][0]["dns"], json!(["r.example"]));
}

#[test]
fn inspect_sees_through_a_kubernetes_mount_and_says_when_the_pair_does_not_match() {
    let desk = Desk::new();
    secret(&desk, "m/..2026_01");
    symlink("..2026_01", desk.path("m/..data")).expect("linked");
    for name in ["tls.crt", "tls.key", "ca.crt"] {
        symlink(format!("..data/{name}"), desk.path(&format!("m/{name}"))).expect("linked");
    }
    let text = desk.done("cert inspect m");
    assert!(
        text.contains("Kubernetes secret") && text.contains("..2026_01"),
        "{text}"
    );
    write(&desk, "m/..2026_01/tls.key", &pki().client(Key::Ecdsa).key_pem);
    let seen = desk.json("cert inspect m");
    let notes = seen["targets"][0]["notes"].to_string();
    assert!(notes.contains("does not belong to the certificate"), "{notes}");
}

#[test]
fn one_target_that_fails_does_not_hide_the_others() {
    let desk = Desk::new();
    secret(&desk, "s");
    write(&desk, "nonsense", "nothing of the kind");
    let said = desk.run("cert inspect nowhere s/tls.crt nonsense --output json");
    assert_eq!(said.code, Some(1), "{}", said.err);
    let seen: Value = serde_json::from_str(&said.out).expect("one document");
    let error = |n: usize| seen["targets"][n]["error"].as_str().map(str::to_owned);
    assert!(error(0).is_some_and(|why| why.contains("nowhere") && why.contains("host:port")));
    assert_eq!(error(1), None);
    assert!(error(2).is_some_and(|why| why.contains("no certificate")));
}

#[test]
fn what_would_steer_a_terminal_is_written_out() {
    let desk = Desk::with_ca();
    let name = "evil\u{1b}[2J\u{7}\u{9b}31m\u{202e}";
    let line = ["ca", "issue", "--dir", "ca", "--name", name, "--dns", "a", "--out", "c"];
    let made = std::process::Command::new(env!("CARGO_BIN_EXE_delius-sidecar"))
        .args(line)
        .current_dir(desk.path("."))
        .output()
        .expect("it runs");
    assert!(made.status.success());
    for line in [
        "cert inspect c",
        "cert inspect c --output json",
        "cert needs-renewal c/tls.crt --expires-in 900d",
    ] {
        let out = desk.run(line).out;
        assert!(out.contains("evil"), "{line}: {out}");
        assert!(
            !out.chars().any(|c| (c.is_control() && c != '\n') || c == '\u{202e}'),
            "{line}: {out:?}"
        );
    }
}

fn wait_for_the_end(conn: &mut Conn) {
    if conn.handshake() {
        conn.hold();
    }
}

#[test]
fn inspect_of_a_server_tells_what_it_shows_and_whom_it_wants() {
    let desk = Desk::new();
    secret(&desk, "s");
    let server = Hostile::tls(pki().good_server(), |_, conn| wait_for_the_end(conn));
    let address = server.address();
    let seen = desk.json(&format!(
        "cert inspect {address} --server-name {NDH} --ca s/ca.crt --cert s/tls.crt --key s/tls.key"
    ));
    let target = &seen["targets"][0];
    assert_eq!(target["tls"]["version"], "TLSv1.3");
    assert_eq!(target["tls"]["verifies"], true, "{target}");
    assert_eq!(target["tls"]["asks_for_certificate"], true);
    assert_eq!(target["tls"]["accepted_issuers"], json!(["CN=Test root"]));
    assert_eq!(target["parts"][0]["certificates"][0]["dns"], json!([NDH, "localhost"]));

    let text = desk.done(&format!("cert inspect {address}"));
    assert!(text.contains("was sent none") && text.contains("not checked"), "{text}");
    assert!(
        text.contains("refuses our client certificate"),
        "the refusal after the handshake: {text}"
    );

    write(&desk, "other.crt", &pki().other_root_pem());
    let said = desk.run(&format!("cert inspect {address} --ca other.crt --server-name {NDH}"));
    assert_eq!(said.code, Some(1));
    assert!(
        said.out.contains("does not verify") && said.out.contains("given CAs"),
        "{}",
        said.out
    );
    let said = desk.run(&format!(
        "cert inspect {address} --ca s/ca.crt --server-name elsewhere.example"
    ));
    assert_eq!(said.code, Some(1));
    assert!(said.out.contains("elsewhere.example"), "{}", said.out);
}

#[test]
fn inspect_shows_a_server_that_nobody_should_accept_and_a_refused_client() {
    let desk = Desk::new();
    let stranger = pki().client_of_other_root();
    write(&desk, "x.crt", &stranger.chain_pem);
    write(&desk, "x.key", &stranger.key_pem);
    for tls in [Tls::V12, Tls::V13] {
        let config = pki().server_config(tls, &pki().server_expired(), Ask::Ours);
        let server = Hostile::tls(config, |_, conn| wait_for_the_end(conn));
        let said = desk.run(&format!("cert inspect {} --cert x.crt --key x.key", server.address()));
        assert_eq!(said.code, Some(1), "{tls:?}: {}", said.out);
        assert!(said.out.contains("expired 10 days ago"), "{tls:?}: {}", said.out);
        assert!(said.out.contains("was not accepted"), "{tls:?}: {}", said.out);
    }
}

#[test]
fn a_port_without_tls_and_one_that_says_nothing_end_with_what_it_means() {
    let desk = Desk::new();
    let plain = Hostile::plain(|_, conn| {
        conn.write(b"HTTP/1.1 400 Bad Request\r\n\r\n");
        conn.hold();
    });
    let said = desk.run(&format!("cert inspect {}", plain.address()));
    assert_eq!(said.code, Some(1));
    assert!(said.out.contains("does not speak TLS"), "{}", said.out);
    let silent = Hostile::plain(|_, conn| conn.hold());
    let said = desk.run(&format!("cert inspect {} --timeout 1s", silent.address()));
    assert_eq!(said.code, Some(1));
    assert!(said.out.contains("did not finish within 1s"), "{}", said.out);
}

#[test]
fn inspect_asks_a_running_sidecar() {
    let server = Hostile::tls(pki().good_server(), |_, conn| wait_for_the_end(conn));
    let sidecar = World::to(server.address()).start();
    let observe = sidecar.observe.expect("an observe address");
    let desk = Desk::new();
    let text = desk.done(&format!("cert inspect --running http://{observe}"));
    assert!(
        text.contains(&format!("CN={APP}")) && text.contains("generation"),
        "{text}"
    );
    let seen = desk.json(&format!("cert inspect http://{observe}"));
    assert!(seen["targets"][0]["running"][0]["fingerprint"].is_string(), "{seen}");
    let said = desk.run(&format!("cert inspect http://{}", server.address()));
    assert_eq!(said.code, Some(1), "{}", said.out);
}

#[test]
fn needs_renewal_answers_with_the_codes_of_step() {
    let desk = Desk::with_ca();
    desk.done("ca issue --dir ca --dns young --days 90 --out young");
    desk.done(
        "ca issue --dir ca --dns old --not-before 2024-01-01T00:00:00Z --not-after 2024-06-30T23:59:59Z --out old",
    );
    for (line, code) in [
        ("young/tls.crt", 1),
        ("old/tls.crt", 0),
        ("young/tls.crt --expires-in 30d", 1),
        ("young/tls.crt --expires-in 91d", 0),
        ("young/tls.crt --expires-in 0s", 1),
        ("old/tls.crt --expires-in 0s", 0),
        ("young/tls.crt --expires-in 0%", 0),
        ("young/tls.crt --expires-in 2000d", 0),
        ("young/tls.crt --expires-in 100% --bundle", 1),
        ("nowhere.crt", 2),
        ("young/tls.key", 255),
        ("young", 255),
        ("young/tls.crt --expires-in soon", 255),
        ("young/tls.crt --no-such-option", 255),
        ("", 255),
        ("--help", 0),
    ] {
        let said = desk.run(&format!("cert needs-renewal {line}"));
        assert_eq!(said.code, Some(code), "{line}: {}{}", said.out, said.err);
        assert_eq!(said.err.is_empty(), code < 2, "{line}: {}", said.err);
    }
    let chain = desk.read("young/tls.crt") + &desk.read("old/tls.crt");
    write(&desk, "both.crt", &chain);
    assert_eq!(
        desk.run("cert needs-renewal both.crt").code,
        Some(1),
        "only the first counts"
    );
    let said = desk.run("cert needs-renewal both.crt --bundle --output json");
    assert_eq!(said.code, Some(0));
    let answer: Value = serde_json::from_str(&said.out).expect("JSON");
    assert_eq!(
        (&answer["needs_renewal"], &answer["subject"]),
        (&json!(true), &json!("CN=old"))
    );
}

#[test]
fn a_request_is_read_by_openssl_and_overwrites_nothing() {
    let desk = Desk::new();
    let line = "cert request --dns allocation-manager --dns am.example --uri spiffe://t/am --org HMPPS --ou APVS";
    let text = desk.done(&format!("{line} --key-out new/tls.key --csr-out new/am.csr"));
    assert!(text.contains("NDH team") && text.contains("new/am.csr"), "{text}");
    let mode = fs::metadata(desk.path("new/tls.key"))
        .expect("a key")
        .permissions()
        .mode();
    assert_eq!(mode & 0o777, 0o600);
    desk.agrees("req -in new/am.csr -noout -verify");
    if let Some(said) = desk.openssl("req -in new/am.csr -noout -text") {
        for part in [
            "DNS:allocation-manager",
            "DNS:am.example",
            "URI:spiffe://t/am",
            "Client Authentication",
            "APVS",
        ] {
            assert!(said.out.contains(part), "{part}: {}", said.out);
        }
    }
    assert!(!text.contains(&key_body(&desk.read("new/tls.key"))));
    let key = desk.read("new/tls.key");
    let said = desk.fails(&format!("{line} --key-out new/tls.key --csr-out other.csr"));
    assert!(said.contains("new/tls.key exists"), "{said}");
    let said = desk.fails(&format!("{line} --key-out other.key --csr-out new/am.csr"));
    assert!(said.contains("new/am.csr exists"), "{said}");
    assert!(!desk.path("other.key").exists() && !desk.path("other.csr").exists());
    assert_eq!(desk.read("new/tls.key"), key);

    let again = desk.json(&format!("{line} --key new/tls.key --csr-out again.csr"));
    let first = desk.json("cert inspect new/am.csr");
    assert_eq!(
        again["spki"], first["targets"][0]["parts"][0]["requests"][0]["spki"],
        "the same key"
    );
    let said = desk.fails(&format!("{line} --key new/am.csr --csr-out third.csr"));
    assert!(said.contains("private key") && said.contains("new/am.csr"), "{said}");
}

#[test]
fn a_secret_manifest_holds_what_was_verified() {
    let desk = Desk::with_ca();
    desk.done("ca issue --dir ca --dns allocation-manager --out c");
    let line =
        "cert secret --name delius-identity --cert c/tls.crt --key c/tls.key --ca ca/ca.crt --dns allocation-manager";
    let manifest = desk.json(&format!("{line} --namespace staging"));
    assert_eq!(manifest["type"], "kubernetes.io/tls");
    assert_eq!(
        manifest["metadata"],
        json!({ "name": "delius-identity", "namespace": "staging" })
    );
    for (name, file) in [
        ("tls.crt", "c/tls.crt"),
        ("tls.key", "c/tls.key"),
        ("ca.crt", "ca/ca.crt"),
    ] {
        let data = manifest["data"][name].as_str().expect("base64");
        assert_eq!(
            STANDARD.decode(data).expect("base64"),
            desk.read(file).into_bytes(),
            "{name}"
        );
    }
    let yaml = desk.done(line);
    for name in ["tls.crt", "tls.key", "ca.crt"] {
        let said = format!("  {name}: {}\n", manifest["data"][name].as_str().expect("base64"));
        assert!(yaml.contains(&said), "{yaml}");
    }
    desk.done(&format!("{line} --out secret.yaml"));
    let mode = fs::metadata(desk.path("secret.yaml"))
        .expect("a file")
        .permissions()
        .mode();
    assert_eq!(mode & 0o777, 0o600);
    assert_eq!(desk.read("secret.yaml"), yaml);
    assert!(desk.fails(&format!("{line} --out secret.yaml")).contains("exists"));
}

#[test]
fn a_secret_that_would_be_refused_is_not_written() {
    let desk = Desk::with_ca();
    desk.done("ca issue --dir ca --dns allocation-manager --out c");
    desk.done("ca issue --dir ca --dns allocation-manager --out d");
    desk.done("ca issue --dir ca --dns a --not-before 2024-01-01T00:00:00Z --not-after 2024-06-30T23:59:59Z --out old");
    desk.done("ca init --dir other --name another");
    let line = |cert: &str, key: &str, more: &str| {
        format!("cert secret --name x --cert {cert}/tls.crt --key {key}/tls.key {more}")
    };
    for (line, why) in [
        (line("c", "d", ""), "does not belong"),
        (line("old", "old", ""), "expired"),
        (line("c", "c", "--purpose server"), "server authentication"),
        (line("c", "c", "--dns somebody-else"), "somebody-else"),
        (line("c", "c", "--ca other/ca.crt"), "trust bundle"),
        (line("c", "nowhere", ""), "nowhere/tls.key"),
        (line("c", "c", "--ca nowhere.crt"), "nowhere.crt"),
    ] {
        let said = desk.fails(&line);
        assert!(said.contains(why), "{line}: {said}");
        assert!(!said.contains(&key_body(&desk.read("c/tls.key"))));
    }
}

#[test]
fn a_name_of_a_file_that_is_not_utf_8_is_no_reason_to_panic() {
    let desk = Desk::with_ca();
    let name = std::ffi::OsStr::from_bytes(b"c\xff");
    let place = desk.path("x").with_file_name(name);
    let run = |line: &str, path: &std::ffi::OsStr| {
        let mut command = std::process::Command::new(env!("CARGO_BIN_EXE_delius-sidecar"));
        let command = command
            .args(line.split_whitespace())
            .arg(path)
            .args(["--output", "json"]);
        let ended = command.current_dir(desk.path("")).output().expect("start the program");
        let code = ended.status.code();
        let said = String::from_utf8_lossy(&ended.stderr).into_owned();
        (code, serde_json::from_slice::<Value>(&ended.stdout).expect(&said))
    };
    let (code, made) = run("ca issue --dir ca --dns a.example --out", name);
    assert_eq!((code, made["files"][0].as_str()), (Some(0), Some("c\u{fffd}/tls.key")));
    let (code, answer) = run("cert needs-renewal", place.join("tls.crt").as_os_str());
    assert_eq!((code, &answer["needs_renewal"]), (Some(1), &json!(false)));
    let (code, asked) = run(
        "cert request --dns a.example --key-out k --csr-out",
        std::ffi::OsStr::from_bytes(b"r\xff"),
    );
    assert_eq!((code, asked["csr_file"].as_str()), (Some(0), Some("r\u{fffd}")));
}

#[test]
fn a_pkcs12_store_is_not_taken_for_a_key() {
    let desk = Desk::new();
    secret(&desk, "s");
    if desk
        .openssl("pkcs12 -export -in s/tls.crt -inkey s/tls.key -out s.p12 -passout pass:secret123")
        .is_none()
    {
        return;
    }
    let said = desk.done("cert inspect s.p12");
    assert!(
        said.contains("--password-file") && !said.contains("private key"),
        "{said}"
    );
}

#[test]
fn a_result_that_cannot_be_written_says_so() {
    let desk = Desk::new();
    secret(&desk, "s");
    let full = fs::OpenOptions::new().write(true).open("/dev/full");
    let Ok(full) = full else { return };
    let ended = std::process::Command::new(env!("CARGO_BIN_EXE_delius-sidecar"))
        .args(["cert", "inspect", "s/tls.crt"])
        .current_dir(desk.path(""))
        .stdout(full)
        .output()
        .expect("start the program");
    let said = String::from_utf8_lossy(&ended.stderr);
    assert_eq!(ended.status.code(), Some(1), "{said}");
    assert!(said.contains("standard output"), "{said}");
}
