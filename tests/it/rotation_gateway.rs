//! The gateway's own certificate, its client CA and its list of revoked certificates, replaced under load.

use std::os::unix::fs::PermissionsExt as _;
use std::path::Path;
use std::sync::Arc;

use rustls::ClientConfig;

use crate::support::bin::Sidecar;
use crate::support::eventually;
use crate::support::gateway;
use crate::support::hostile::{self, Hostile};
use crate::support::peer::{Tls, write_leaf};
use crate::support::pki::{Key, Leaf, NDH, pki};
use crate::support::raw::Client;
use crate::support::world::text;

/// A gateway with these lines more in its table; its list is `crl.pem` beside its configuration.
fn gateway(service: &Hostile, client_ca: &str, crl: Option<&str>, more: &str) -> Sidecar {
    let routes = r#"["* /t/{case}"]"#;
    let Some(crl) = crl else {
        return gateway::start(service.address(), routes, client_ca, more);
    };
    gateway::start_with(service.address(), routes, client_ca, |directory| {
        let list = directory.join("crl.pem");
        put(&list, crl);
        format!("crl = {}\n{more}", text(&list.display().to_string()))
    })
}

fn put(path: &Path, content: &str) {
    let beside = path.with_extension("part");
    std::fs::write(&beside, content).expect("written");
    std::fs::set_permissions(&beside, std::fs::Permissions::from_mode(0o600)).expect("its mode");
    std::fs::rename(&beside, path).expect("in place");
}

fn service() -> Hostile {
    Hostile::plain(|_, conn| hostile::go_on(conn))
}

fn get() -> String {
    format!("GET /t/x HTTP/1.1\r\nHost: {NDH}\r\n\r\n")
}

/// The status over a new connection; `None`: TLS lets it not in.
fn status(gateway: &Sidecar, config: &Arc<ClientConfig>) -> Option<u16> {
    let mut client = Client::connect_tls(gateway.listen, NDH, config).ok()?;
    client.send(get());
    client.reply("GET").ok().map(|reply| reply.status)
}

fn said(gateway: &Sidecar, part: &str) -> bool {
    let line = gateway.wait_line(|line| line["message"].as_str().is_some_and(|text| text.contains(part)));
    line.is_some()
}

fn client(leaf: &Leaf) -> Arc<ClientConfig> {
    pki().client_config(Tls::V13, Some(leaf))
}

#[test]
fn its_certificate_is_replaced_and_open_connections_end_after_their_reply() {
    let service = service();
    let gateway = gateway(&service, &pki().root_pem(), None, "");
    let config = client(&pki().client(Key::Ecdsa));
    let mut kept = Client::connect_tls(gateway.listen, NDH, &config).expect("a connection");
    kept.send(get());
    assert_eq!(kept.reply("GET").expect("a reply").header("connection"), None);
    let next = pki().server(Key::Ecdsa);
    write_leaf(gateway.directory(), "gateway", &next);
    let line = gateway
        .wait_line(|line| line["message"] == "identity taken into use" && line["serial"] == next.serial.as_str());
    assert!(line.is_some(), "{}", gateway.printed());
    // It may have been told to end already, being idle; whatever it is still answered says so.
    kept.send(get());
    if let Ok(reply) = kept.reply("GET") {
        assert_eq!(reply.status, 200);
        assert_eq!(reply.header("connection"), Some("close"));
    }
    assert_eq!(status(&gateway, &config), Some(200));
    assert!(said(&gateway, "receipt: generation 2"), "{}", gateway.printed());
}

#[test]
fn a_broken_certificate_does_not_replace_what_it_shows() {
    let service = service();
    let gateway = gateway(&service, &pki().root_pem(), None, "");
    let config = client(&pki().client(Key::Ecdsa));
    put(&gateway.directory().join("gateway.crt"), "garbage");
    assert!(said(&gateway, "not taken into use"), "{}", gateway.printed());
    assert_eq!(status(&gateway, &config), Some(200));
}

#[test]
fn whoever_is_revoked_is_out_also_on_connections_and_sessions_that_stood_before() {
    for tls in [Tls::V12, Tls::V13] {
        let (good, bad) = (pki().client(Key::Ecdsa), pki().client(Key::Ecdsa));
        let service = service();
        let gateway = gateway(
            &service,
            &pki().root_pem(),
            Some(&pki().crl(&[], 5)),
            "crl_stale = \"refuse\"",
        );
        let (good, out) = (
            pki().client_config(tls, Some(&good)),
            pki().client_config(tls, Some(&bad)),
        );
        let mut kept = Client::connect_tls(gateway.listen, NDH, &out).expect("a connection");
        kept.send(get());
        assert_eq!(kept.reply("GET").expect("a reply").status, 200);
        put(&gateway.directory().join("crl.pem"), &pki().crl(&[&bad], 5));
        let line = gateway.wait_line(|line| line["message"] == "identity taken into use" && line["generation"] == 2);
        assert!(line.is_some(), "{}", gateway.printed());
        kept.send(get());
        // Or it is closed already, being idle and of the older trust.
        if let Ok(reply) = kept.reply("GET") {
            assert_eq!((reply.status, reply.header("connection")), (403, Some("close")));
        }
        assert_eq!(
            status(&gateway, &out),
            None,
            "no new connection, and no resumed session"
        );
        assert_eq!(status(&gateway, &good), Some(200));
    }
}

#[test]
fn a_stale_list_counts_as_the_configuration_says() {
    let config = client(&pki().client(Key::Ecdsa));
    for (stale, wanted) in [("refuse", None), ("accept", Some(200))] {
        let service = service();
        let more = format!("crl_stale = \"{stale}\"");
        let gateway = gateway(&service, &pki().root_pem(), Some(&pki().crl(&[], -1)), &more);
        assert_eq!(status(&gateway, &config), wanted, "{stale}");
        put(&gateway.directory().join("crl.pem"), &pki().crl(&[], 5));
        let seen = eventually(|| (status(&gateway, &config) == Some(200)).then_some(()));
        assert!(seen.is_some(), "with a new list everybody is let in again");
    }
}

#[test]
fn a_list_that_becomes_stale_lets_nobody_in_on_a_resumed_session() {
    for tls in [Tls::V12, Tls::V13] {
        let service = service();
        let config = pki().client_config(tls, Some(&pki().client(Key::Ecdsa)));
        let list = pki().crl_for(3);
        let gateway = gateway(&service, &pki().root_pem(), Some(&list), "crl_stale = \"refuse\"");
        assert_eq!(status(&gateway, &config), Some(200));
        let out = eventually(|| (status(&gateway, &config) != Some(200)).then_some(()));
        assert!(out.is_some(), "{tls:?}: {}", gateway.printed());
    }
}

#[test]
fn a_ca_that_is_taken_away_takes_its_connections_with_it() {
    let config = client(&pki().client(Key::Ecdsa));
    let service = service();
    let both = pki().root_pem() + &pki().other_root_pem();
    let gateway = gateway(&service, &both, None, "");
    let mut kept = Client::connect_tls(gateway.listen, NDH, &config).expect("a connection");
    kept.send(get());
    assert_eq!(kept.reply("GET").expect("a reply").status, 200);
    put(&gateway.directory().join("client-ca.crt"), &pki().other_root_pem());
    let out = eventually(|| status(&gateway, &config).is_none().then_some(()));
    assert!(out.is_some(), "{}", gateway.printed());
    kept.send(get());
    if let Ok(reply) = kept.reply("GET") {
        assert_eq!((reply.status, reply.header("connection")), (403, Some("close")));
    }
}

#[test]
fn whoever_is_revoked_is_out_although_a_new_certificate_waits_for_the_operator() {
    let service = service();
    let staged = tempfile::tempdir().expect("a directory");
    let (good, bad) = (pki().client(Key::Ecdsa), pki().client(Key::Ecdsa));
    let more = format!(
        "promotion = \"manual\"\nstaged = {}\ncrl_stale = \"refuse\"",
        text(&staged.path().display().to_string())
    );
    let gateway = gateway(&service, &pki().root_pem(), Some(&pki().crl(&[], 5)), &more);
    let (good, bad_config) = (client(&good), client(&bad));
    assert_eq!(status(&gateway, &bad_config), Some(200));
    // One of the same second would count as left over from last time.
    let now = delius_sidecar::clock::unix_seconds;
    let begun = now();
    assert!(eventually(|| (now() > begun).then_some(())).is_some());
    write_leaf(staged.path(), "gateway", &pki().server(Key::Ecdsa));
    assert!(said(&gateway, "found a new certificate"), "{}", gateway.printed());
    put(&gateway.directory().join("crl.pem"), &pki().crl(&[&bad], 5));
    let out = eventually(|| status(&gateway, &bad_config).is_none().then_some(()));
    assert!(out.is_some(), "{}", gateway.printed());
    assert_eq!(status(&gateway, &good), Some(200));
}
