//! `doctor` against real servers: each fault is named, with the words that an operator needs, and the first cause is
//! the verdict's.

use std::net::{Ipv4Addr, SocketAddr, TcpListener};
use std::path::Path;

use crate::support::bin::NOMS;
use crate::support::doctor::{Said, command};
use crate::support::findings::Findings;
use crate::support::hostile::{self, Hostile};
use crate::support::openssl::OpenSsl;
use crate::support::peer::{Peer, Shown, Tls, write_leaf};
use crate::support::pki::{Ask, Key, Leaf, NDH, pki};
use crate::support::world::{World, directory, text};
use crate::support::{apache, java, nginx};

/// Runs the doctor on the configuration of this world.
fn examine(world: World, arguments: &[&str]) -> Said {
    let directory = directory();
    let config = world.write(directory.path());
    examine_in(directory.path(), &config, arguments)
}

fn examine_in(directory: &Path, config: &str, arguments: &[&str]) -> Said {
    let file = directory.join("config.toml");
    std::fs::write(&file, config).expect("write a configuration");
    Said::of(&file, arguments)
}

fn trying(address: SocketAddr, path: &str) -> World {
    World::to(address).set("upstream.ndh", "trial", text(&format!("GET {path}")))
}

fn well(peer: &Peer, path: &str) {
    for (tls, words) in [
        (Tls::V12, ["TLSv1.2", "no newer version"]),
        (Tls::V13, ["TLSv1.3", "AES"]),
    ] {
        let said = examine(trying(peer.door(tls, Key::Ecdsa), path), &[]);
        said.is_well();
        said.has("tls", &words);
        said.has("server chain", &["ok", "leads to a CA of the trust bundle"]);
        said.has("client certificate", &["ok", "asks for one in the handshake"]);
        said.has("accepted issuers", &["ok", "Test root", "one of them"]);
        said.has("request", &["ok", &format!("answers 200 to GET {path}")]);
        said.has("pair", &["ok", "allocation-manager"]);
        said.has("dates", &["ok", "left"]);
    }
}

/// A server that does not know our CA; under TLS 1.3 it says so only after the handshake.
fn refused(peer: &Peer, path: &str) {
    for (tls, words) in [
        (Tls::V12, "refuses our client certificate, in the handshake"),
        (Tls::V13, "late rejection"),
    ] {
        let stranger = pki().client_of_other_root();
        let said = examine(trying(peer.door(tls, Key::Ecdsa), path).identity(&stranger), &[]);
        said.fails("request", &["refuses our client certificate", words, "trust the CA"]);
        said.has(
            "accepted issuers",
            &["warning", "Test root", "Other root", "none of them"],
        );
        said.has("server chain", &["ok"]);
    }
}

#[test]
fn nginx_is_well_and_its_400_is_a_refusal() {
    let Some(peer) = nginx::start(pki()) else { return };
    well(&peer, "/2k");
    for tls in [Tls::V12, Tls::V13] {
        let stranger = pki().client_of_other_root();
        let said = examine(trying(peer.door(tls, Key::Ecdsa), "/2k").identity(&stranger), &[]);
        said.fails("request", &["answers 400", "do not accept", "check that its CA"]);
    }
    let said = examine(World::to(peer.door(Tls::V13, Key::Ecdsa)), &["--path", "/no-such-file"]);
    said.is_well();
    said.has("request", &["answers 404 to GET /no-such-file"]);
}

#[test]
fn apache_is_well_and_its_refusals_are_told_early_and_late() {
    let Some(peer) = apache::start(pki()) else { return };
    well(&peer, "/2k");
    refused(&peer, "/2k");
}

#[test]
fn jsse_is_well_and_its_refusals_are_told_early_and_late() {
    let Some(peer) = java::start(pki()) else { return };
    well(&peer, "/bytes/16");
    refused(&peer, "/bytes/16");
}

/// Every fault of a server's certificate: which, the check that names it, the words.
fn faults() -> [(Leaf, &'static str, &'static [&'static str]); 4] {
    [
        (
            pki().server_expired(),
            "server dates",
            &["expired 10 days ago", "compare the clocks"],
        ),
        (
            pki().server_with_common_name_only(),
            "server name",
            &["common name only", "ndh.example", "subject alternative name"],
        ),
        (
            pki().server_with_other_name(),
            "server name",
            &["not for ndh.example", "somebody-else.example", "server_name"],
        ),
        (
            pki().server_without_its_intermediate(),
            "server chain",
            &["incomplete", "Test issuing CA", "Test root", "send the intermediate"],
        ),
    ]
}

fn faulty(start: fn(&Shown) -> Option<Peer>) {
    for [(one, check_one, words_one), (two, check_two, words_two)] in pairs(faults()) {
        // nginx and Apache take what the files hold: a fault for each kind of door.
        let Some(peer) = start(&Shown { rsa: one, ecdsa: two }) else {
            return;
        };
        for tls in [Tls::V12, Tls::V13] {
            for (key, check, words) in [(Key::Rsa, check_one, words_one), (Key::Ecdsa, check_two, words_two)] {
                let said = examine(trying(peer.door(tls, key), "/2k"), &[]);
                said.fails(check, words);
                said.has("request", &["skipped", "nothing is sent"]);
            }
        }
    }
}

fn pairs<T>([a, b, c, d]: [T; 4]) -> [[T; 2]; 2] {
    [[a, b], [c, d]]
}

#[test]
fn every_fault_of_a_certificate_of_nginx_is_named() {
    faulty(|shown| nginx::start_showing(pki(), shown));
}

#[test]
fn every_fault_of_a_certificate_of_apache_is_named() {
    faulty(|shown| apache::start_showing(pki(), shown));
}

#[test]
fn every_fault_of_a_certificate_of_jsse_is_named() {
    for (leaf, check, words) in faults() {
        // Its doors want keys of their kind.
        let shown = Shown {
            ecdsa: leaf,
            ..Shown::good(pki())
        };
        let Some(peer) = java::start_showing(pki(), &shown) else {
            return;
        };
        for tls in [Tls::V12, Tls::V13] {
            examine(trying(peer.door(tls, Key::Ecdsa), "/bytes/16"), &[]).fails(check, words);
        }
    }
}

#[test]
fn apache_that_asks_by_renegotiation_is_named() {
    let Some(peer) = apache::start_asking_late(pki()) else {
        return;
    };
    for tls in [Tls::V12, Tls::V13] {
        for arguments in [&[][..], &["--path", "/64k"]] {
            let said = examine(World::to(peer.door(tls, Key::Ecdsa)), arguments);
            said.fails(
                "request",
                &[
                    "asks for no certificate in the handshake",
                    "renegotiation",
                    "virtual host",
                ],
            );
            said.has("client certificate", &["warning", "no mutual TLS"]);
        }
    }
}

#[test]
fn a_port_that_speaks_plain_http_is_named() {
    let Some(peer) = nginx::start_plain(pki()) else { return };
    let said = examine(trying(peer.door(Tls::V13, Key::Ecdsa), "/2k"), &[]);
    said.fails("tls", &["speaks plain HTTP and no TLS", "TLS port"]);
    // One that waits for the end of a head in what it was sent, and says nothing before.
    let patient = Hostile::plain(|_, conn| hostile::go_on(conn));
    let said = examine(World::to(patient.address()), &["--for", "500ms"]);
    said.fails("tls", &["speaks plain HTTP and no TLS"]);
}

#[test]
fn a_handshake_that_stalls_is_named() {
    let stalled = Hostile::plain(|_, conn| conn.hold());
    let said = examine(World::to(stalled.address()), &["--for", "300ms"]);
    said.fails("tls", &["the TLS handshake stalls", "300ms", "firewall"]);
    said.has("tcp", &["ok"]);
    said.has("request", &["skipped"]);
}

#[test]
fn a_server_that_asks_nobody_is_a_warning() {
    let config = pki().server_config(Tls::V13, &pki().server(Key::Ecdsa), Ask::Nothing);
    let upstream = Hostile::tls(config, |_, conn| hostile::echo(conn));
    let said = examine(trying(upstream.address(), "/t/x"), &[]);
    said.is_well();
    said.has("client certificate", &["warning", "no mutual TLS"]);
    assert!(said.verdict().contains("to look at"), "{}", said.verdict());
}

#[test]
fn clocks_that_differ_and_a_sick_service_are_told() {
    let upstream = Hostile::tls(pki().good_server(), |_, conn| {
        if conn.handshake() && conn.head().is_some() {
            conn.write("HTTP/1.1 503 Busy\r\nDate: Tue, 15 Nov 1994 08:12:31 GMT\r\nContent-Length: 0\r\n\r\n")
                .close();
        }
    });
    let said = examine(trying(upstream.address(), "/t/x"), &[]);
    said.fails("request", &["answers 503", "not the cause"]);
    said.has("clock", &["warning", "ahead of", "days"]);
}

#[test]
fn names_and_ports_that_are_not_there_are_named() {
    let said = examine(World::to_url("https://no-such-host.invalid:8443"), &["--for", "5s"]);
    said.fails("dns", &["no-such-host.invalid cannot be resolved"]);
    let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).expect("a port");
    let gone = listener.local_addr().expect("its address");
    drop(listener);
    let said = examine(World::to(gone), &[]);
    said.fails("tcp", &["cannot be reached", "port in `url`"]);
    said.has("dns", &["ok"]);
}

#[test]
fn faults_of_our_own_files_are_the_first_cause() {
    let upstream = Hostile::tls(pki().good_server(), |_, conn| hostile::echo(conn));
    let mut findings = Findings::default();
    let world = || trying(upstream.address(), "/t/x");

    let said = examine(world().identity(&pki().client_expired()), &[]);
    said.fails("dates", &["expired 10 days ago"]);
    said.has(
        "request",
        &["failed", "says that our certificate has expired", "its clock"],
    );
    let said = examine(world().identity(&pki().client_for_servers_only()), &[]);
    said.fails("usage", &["for servers only", "client authentication"]);
    let said = examine(
        world().set("identity.allocation-manager", "expect_dns", "[\"somebody\"]"),
        &[],
    );
    said.fails("names", &["somebody", "expect_dns"]);
    let mixed = Leaf {
        key_pem: pki().client(Key::Ecdsa).key_pem,
        ..pki().client(Key::Ecdsa)
    };
    let said = examine(world().identity(&mixed), &[]);
    said.fails("pair", &["does not belong to the certificate"]);
    said.has("request", &["skipped", "no identity to show"]);
    let said = examine(world().identity_not_delivered(), &[]);
    said.fails("certificate file", &["/nonexistent/tls.crt is not there", "mounted"]);
    let said = examine(world().trust(&pki().other_root_pem()), &[]);
    said.fails("server chain", &["Test root", "Other root"]);
    findings.check(upstream.seen().len() < 40, || "too many connections".to_owned());
    findings.finish();
}

#[test]
fn lists_of_revoked_certificates_are_looked_at() {
    let leaf = pki().server(Key::Ecdsa);
    let server = pki().server_config(Tls::V13, &leaf, Ask::Ours);
    let upstream = Hostile::tls(server, |_, conn| hostile::echo(conn));
    let ours = pki().client(Key::Ecdsa);
    let with = |list: &str, stale: &'static str| {
        let directory = directory();
        let file = directory.path().join("list.pem");
        std::fs::write(&file, list).expect("write a list");
        let world = trying(upstream.address(), "/t/x").identity(&ours);
        let world = world.set("upstream.ndh", "crl", text(&file.display().to_string()));
        let config = world
            .set("upstream.ndh", "crl_stale", text(stale))
            .write(directory.path());
        examine_in(directory.path(), &config, &[])
    };
    let said = with(&pki().crl(&[], 1), "refuse");
    said.is_well();
    said.has("server revocation", &["ok", "Test root"]);
    with(&pki().crl(&[&leaf], 1), "refuse").fails("server revocation", &["has been revoked", &leaf.serial]);
    with(&pki().crl(&[&ours], 1), "refuse").fails("revocation", &["has been revoked", "allocation-manager"]);
    with(&pki().crl_of_other_root(), "refuse").fails("server revocation", &["no list covers", "Other root"]);
    with(&pki().crl(&[], -2), "refuse").fails("revocation list", &["overdue", "fetch the present list"]);
    let said = with(&pki().crl(&[], -2), "accept");
    said.is_well();
    said.has("revocation list", &["warning", "overdue"]);
}

#[test]
fn a_pkcs12_store_with_its_password_is_an_identity_like_any_other() {
    let upstream = Hostile::tls(pki().good_server(), |_, conn| hostile::echo(conn));
    let directory = directory();
    let at = directory.path();
    drop(trying(upstream.address(), "/t/x").write(at));
    let Some(openssl) = OpenSsl::find(at) else { return };
    std::fs::write(at.join("password"), "correct horse\n").expect("write a password");
    openssl.run("pkcs12 -export -inkey tls.key -in tls.crt -passout file:password -out identity.p12");
    let shown = |name: &str| text(&at.join(name).display().to_string());
    let config = trying(upstream.address(), "/t/x")
        .no_identity()
        .set("identity.allocation-manager", "pkcs12", shown("identity.p12"))
        .set("identity.allocation-manager", "password_file", shown("password"))
        .set("upstream.ndh", "identity", text("allocation-manager"))
        .write(at);
    let said = examine_in(at, &config, &[]);
    said.is_well();
    said.has("pair", &["ok", "allocation-manager"]);
    said.has("password file", &["password"]);
    std::fs::write(at.join("password"), "battery staple").expect("write a password");
    examine_in(at, &config, &[]).fails("pair", &["password"]);
}

#[test]
fn a_key_that_others_can_read_is_a_warning() {
    use std::os::unix::fs::PermissionsExt;
    let upstream = Hostile::tls(pki().good_server(), |_, conn| hostile::echo(conn));
    for (mode, whom) in [(0o640, "its group"), (0o644, "everybody")] {
        let directory = directory();
        let config = trying(upstream.address(), "/t/x").write(directory.path());
        let key = directory.path().join("tls.key");
        std::fs::set_permissions(&key, PermissionsExt::from_mode(mode)).expect("set the mode");
        let said = examine_in(directory.path(), &config, &[]);
        said.is_well();
        said.has("key file", &["warning", whom, "0400"]);
        said.has("user", &["ok", "user "]);
    }
}

#[test]
fn the_text_form_ends_with_the_verdict_and_shows_no_key() {
    let upstream = Hostile::tls(pki().good_server(), |_, conn| hostile::echo(conn));
    let directory = directory();
    let config = trying(upstream.address(), "/t/x").write(directory.path());
    let file = directory.path().join("config.toml");
    std::fs::write(&file, config).expect("write a configuration");
    let output = command(&file).output().expect("start the binary");
    let said = String::from_utf8_lossy(&output.stdout);
    assert_eq!(output.status.code(), Some(0), "{said}");
    for part in [
        "this machine",
        "identity allocation-manager",
        "upstream ndh",
        "  ok       tcp",
        NDH,
    ] {
        assert!(said.contains(part), "{part}: {said}");
    }
    assert!(
        said.lines()
            .last()
            .is_some_and(|line| line.starts_with("verdict: the path works")),
        "{said}"
    );
    assert!(!said.contains('\x1b') && !said.contains("PRIVATE"), "{said}");
}

#[test]
fn a_client_without_a_certificate_is_told_to_have_one() {
    let Some(peer) = apache::start(pki()) else { return };
    for tls in [Tls::V12, Tls::V13] {
        let said = examine(trying(peer.door(tls, Key::Ecdsa), "/2k").no_identity(), &[]);
        said.fails(
            "request",
            &["refuses a client without a certificate", "name an `identity`"],
        );
        said.has("client certificate", &["warning", "has no `identity`"]);
    }
}

#[test]
fn a_server_that_hangs_up_on_our_certificate_under_tls_1_2_is_suspected() {
    // It says nothing at all where others send an alert.
    let config = pki().server_config(Tls::V12, &pki().server(Key::Ecdsa), Ask::Theirs);
    let upstream = Hostile::tls(config, |_, conn| conn.handshake_in_silence());
    let said = examine(trying(upstream.address(), "/t/x"), &[]);
    said.fails(
        "request",
        &["ends the handshake when it is shown our certificate", "trust its CA"],
    );
    said.has("accepted issuers", &["warning", "Other root"]);
}

#[test]
fn a_staged_certificate_is_looked_at_and_breaks_nothing() {
    let upstream = Hostile::tls(pki().good_server(), |_, conn| hostile::echo(conn));
    let directory = directory();
    let next = directory.path().join("next");
    std::fs::create_dir(&next).expect("make a directory");
    let world = || {
        let staged = text(&next.display().to_string());
        let world = trying(upstream.address(), "/t/x").set("identity.allocation-manager", "staged", staged);
        world.write(directory.path())
    };
    let said = examine_in(directory.path(), &world(), &[]);
    said.is_well();
    said.has("staged", &["ok", "files there now: 0"]);
    write_leaf(&next, "tls", &pki().client_expired());
    let said = examine_in(directory.path(), &world(), &[]);
    said.is_well();
    let checks = said.report["checks"].as_array().expect("a list");
    let told = checks
        .iter()
        .find(|line| line["staged"] == true && line["check"] == "dates");
    let told = told.unwrap_or_else(|| panic!("{:#}", said.report));
    assert_eq!(told["state"], "warning", "{told:#}");
    assert!(
        said.verdict().contains("allocation-manager, staged: "),
        "{}",
        said.verdict()
    );
}

#[test]
fn an_upstream_in_the_clear_is_a_warning() {
    let upstream = Hostile::plain(|_, conn| hostile::go_on(conn));
    let url = format!("http://{}", upstream.address());
    let directory = directory();
    let config = format!(
        "[listen]\naddress = \"127.0.0.1:0\"\n[upstream.ndh]\nurl = {}\n\
         [[route]]\nname = \"all\"\nmatch = \"GET /{{file}}\"\n[route.ndh]\nupstream = \"ndh\"\n",
        text(&url)
    );
    let said = examine_in(directory.path(), &config, &["--path", "/t/x"]);
    said.is_well();
    said.has("tls", &["warning", "in the clear"]);
    said.has("request", &["ok", "answers 200 to GET /t/x"]);
    let output = command(&directory.path().join("config.toml"))
        .arg("--refusals")
        .output();
    let output = output.expect("start the binary");
    assert_eq!(output.status.code(), Some(1));
    assert!(String::from_utf8_lossy(&output.stderr).contains("no refusal to be tried"));
}

/// Every check that a whole examination makes.
#[test]
fn the_document_explains_every_check() {
    let document = include_str!("../../docs/doctor.md");
    let upstream = Hostile::tls(pki().good_server(), |_, conn| hostile::echo(conn));
    let said = examine(trying(upstream.address(), "/t/x"), &[]);
    let checks = said.report["checks"].as_array().expect("a list");
    assert!(checks.len() > 15, "{:#}", said.report);
    for line in checks {
        let check = line["check"].as_str().unwrap_or_default();
        assert!(
            document.contains(&format!("| {check} |")),
            "docs/doctor.md does not explain {check:?}"
        );
    }
}

#[test]
fn the_number_of_a_person_in_a_path_is_not_printed() {
    let config = pki().good_server();
    let upstream = Hostile::tls(config, |_, conn| hostile::echo(conn));
    let said = examine(World::to(upstream.address()), &["--path", &format!("/p/{NOMS}")]);
    said.is_well();
    assert!(upstream.count(NOMS) > 0, "it was asked for");
    assert!(!said.report.to_string().contains(NOMS), "{:#}", said.report);
}

#[test]
fn what_cannot_be_examined_ends_with_2() {
    let directory = directory();
    let file = directory.path().join("config.toml");
    let config = World::to_url("https://ndh.example").write(directory.path());
    std::fs::write(&file, config).expect("write a configuration");
    let output = command(&file)
        .args(["--upstream", "nobody"])
        .output()
        .expect("start the binary");
    assert_eq!(output.status.code(), Some(2));
    assert!(String::from_utf8_lossy(&output.stderr).contains("there is: ndh"));
    std::fs::write(&file, "[gateway]\naddress = \"127.0.0.1:0\"\n").expect("write a configuration");
    let output = command(&file).output().expect("start the binary");
    assert_eq!(output.status.code(), Some(2));
    assert!(String::from_utf8_lossy(&output.stderr).contains("configuration of a gateway"));
}
