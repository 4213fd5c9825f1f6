//! What `ca` promises, by example. What openssl says of its files: `tests/it/ca.rs`.

use std::fs;
use std::os::unix::fs::PermissionsExt as _;
use std::path::{Path, PathBuf};

use clap::Parser;
use serde_json::json;

use super::made::{Made, Taken};
use super::*;
use crate::cert::Trusted;
use crate::cert::load;
use crate::cert::verify::{self, Purpose};

const NOW: i64 = 1_800_000_000;
const DAY: i64 = 86_400;

#[derive(Debug, Parser)]
struct Program {
    #[command(subcommand)]
    command: CaCommand,
}

fn parse(line: &str, dir: &Path) -> Result<CaCommand, clap::Error> {
    let line = line.replace("DIR", &dir.display().to_string());
    Program::try_parse_from(std::iter::once("ca").chain(line.split_whitespace())).map(|program| program.command)
}

fn run(line: &str, dir: &Path) -> anyhow::Result<Made> {
    match parse(line, dir).unwrap() {
        CaCommand::Init(args) => args.run(NOW),
        CaCommand::Rollover(args) => args.run(NOW),
        CaCommand::Issue(args) => args.run(NOW),
        CaCommand::Sign(args) => args.run(NOW),
        CaCommand::Revoke(_) | CaCommand::Crl(_) => panic!("it makes no certificate: {line}"),
    }
}

fn take(line: &str, dir: &Path) -> anyhow::Result<Taken> {
    match parse(line, dir).unwrap() {
        CaCommand::Revoke(args) => args.run(NOW),
        CaCommand::Crl(args) => args.run(NOW),
        _ => panic!("it takes nothing back: {line}"),
    }
}

fn index(dir: &Path) -> serde_json::Value {
    serde_json::from_slice(&fs::read(dir.join("ca/index.json")).unwrap()).unwrap()
}

fn mode(path: PathBuf) -> u32 {
    fs::metadata(path).unwrap().permissions().mode() & 0o777
}

#[test]
fn a_ca_and_a_leaf_are_written_where_asked_and_chain_to_each_other() {
    let dir = tempfile::tempdir().unwrap();
    let at = dir.path();
    let root = run("init --dir DIR/ca --name Test", at).unwrap();
    assert_eq!(root.facts.subject, "CN=Test");
    assert_eq!(root.facts.not_after, NOW + 3650 * DAY);
    assert!(root.facts.is_ca);
    let leaf = run("issue --dir DIR/ca --dns allocation-manager --out DIR/client", at).unwrap();
    assert_eq!(leaf.facts.dns_names, ["allocation-manager"]);
    assert_eq!(leaf.notes, [] as [&str; 0]);

    let read = |name: &str| fs::read(at.join("client").join(name)).unwrap();
    let bundle = load::bundle(&read("tls.crt"), &read("tls.key")).unwrap();
    let anchors = load::anchors(&read("ca.crt")).unwrap();
    verify::chain_to(&bundle, &Trusted::anchors(anchors.clone()), Purpose::Client, NOW).unwrap();
    assert_eq!(bundle.leaf_facts(), &leaf.facts);
    assert_eq!(mode(at.join("ca/ca.key")), 0o600);
    assert_eq!(mode(at.join("client/tls.key")), 0o600);
}

#[test]
fn nothing_is_overwritten_and_nothing_is_left_half_done() {
    let dir = tempfile::tempdir().unwrap();
    let at = dir.path();
    run("init --dir DIR/ca", at).unwrap();
    let before = fs::read(at.join("ca/ca.key")).unwrap();
    let refused = run("init --dir DIR/ca", at).unwrap_err();
    assert!(refused.to_string().contains("ca.crt exists"), "{refused}");
    assert_eq!(fs::read(at.join("ca/ca.key")).unwrap(), before);

    fs::create_dir(at.join("client")).unwrap();
    fs::write(at.join("client/tls.key"), "somebody's key").unwrap();
    let refused = run("issue --dir DIR/ca --dns a --out DIR/client", at).unwrap_err();
    assert!(refused.to_string().contains("tls.key exists"), "{refused}");
    assert_eq!(fs::read(at.join("client/tls.key")).unwrap(), b"somebody's key");
    assert!(!at.join("client/tls.crt").exists());

    fs::create_dir(at.join("other")).unwrap();
    fs::write(at.join("other/ca.crt"), "another CA").unwrap();
    let refused = run("issue --dir DIR/ca --dns a --out DIR/other", at).unwrap_err();
    assert!(refused.to_string().contains("ca.crt exists"), "{refused}");
    assert!(!at.join("other/tls.key").exists());
}

#[test]
fn a_leaf_may_be_issued_into_the_directory_of_its_ca() {
    let dir = tempfile::tempdir().unwrap();
    run("init --dir DIR", dir.path()).unwrap();
    run("issue --dir DIR --dns a --out DIR", dir.path()).unwrap();
}

#[test]
fn expired_and_future_certificates_can_be_made_and_are_pointed_out() {
    let dir = tempfile::tempdir().unwrap();
    let at = dir.path();
    run("init --dir DIR/ca", at).unwrap();
    let line =
        "issue --dir DIR/ca --dns a --not-before 2024-01-01T00:00:00Z --not-after 2024-02-01T00:00:00Z --out DIR/e";
    let expired = run(line, at).unwrap();
    assert_eq!(expired.facts.not_before, 1_704_067_200);
    assert!(expired.notes[0].contains("expired"), "{:?}", expired.notes);
    let line =
        "issue --dir DIR/ca --dns a --not-before 2090-01-01T00:00:00Z --not-after 2091-01-01T00:00:00Z --out DIR/f";
    let future = run(line, at).unwrap();
    assert!(future.notes[0].contains("valid only in"), "{:?}", future.notes);
    assert!(future.notes[1].contains("outlives its CA"), "{:?}", future.notes);
}

#[test]
fn a_window_that_ends_before_it_begins_is_refused_in_the_words_of_who_asked() {
    let dir = tempfile::tempdir().unwrap();
    run("init --dir DIR/ca", dir.path()).unwrap();
    let window = "--not-before 2030-01-01T00:00:00Z --not-after 2029-01-01T00:00:00Z";
    let refused = run(&format!("issue --dir DIR/ca --dns a --out DIR/c {window}"), dir.path()).unwrap_err();
    assert_eq!(
        refused.to_string(),
        "--not-before 2030-01-01T00:00:00Z is not before --not-after 2029-01-01T00:00:00Z; no certificate can be valid then"
    );
    assert!(!dir.path().join("c").exists());
}

#[test]
fn purpose_key_and_names_are_as_asked() {
    let dir = tempfile::tempdir().unwrap();
    let at = dir.path();
    run("init --dir DIR/ca", at).unwrap();
    let line = "issue --dir DIR/ca --dns ndh.example --dns localhost --ip 127.0.0.1 --uri spiffe://t/ndh --name NDH \
                --unit HMPPS --purpose server --key-type rsa2048 --days 7 --out DIR/gateway";
    let made = run(line, at).unwrap();
    assert_eq!(made.facts.subject, "OU=HMPPS, CN=NDH");
    assert_eq!(
        made.facts.names(),
        "dns:ndh.example, dns:localhost, uri:spiffe://t/ndh, ip:127.0.0.1"
    );
    assert_eq!(made.facts.key.to_string(), "RSA 2048");
    assert_eq!(made.facts.not_after, NOW + 7 * DAY);
    let purposes = made.facts.purposes.unwrap();
    assert!(purposes.server_auth && !purposes.client_auth);
}

#[test]
fn text_and_json_say_the_same_and_never_the_key() {
    let dir = tempfile::tempdir().unwrap();
    let at = dir.path();
    run("init --dir DIR/ca", at).unwrap();
    let made = run("issue --dir DIR/ca --dns a.example --days 30 --out DIR/c", at).unwrap();
    let (text, json) = (made.text(), made.json());
    for member in ["subject", "sha256", "spki", "serial", "not_after", "key"] {
        let value = json[member].as_str().unwrap();
        assert!(text.contains(value), "{member} {value} in {text}");
    }
    assert_eq!(json["dns"], json!(["a.example"]));
    assert_eq!(json["not_after"], "2027-02-14T08:00:00Z");
    let key = fs::read_to_string(at.join("c/tls.key")).unwrap();
    let body = key.lines().nth(1).unwrap();
    assert!(!text.contains(body) && !json.to_string().contains(body));
}

#[test]
fn a_missing_ca_is_explained_with_the_command_that_makes_one() {
    let dir = tempfile::tempdir().unwrap();
    let refused = run("issue --dir DIR/none --dns a --out DIR/c", dir.path()).unwrap_err();
    let text = format!("{refused:#}");
    assert!(text.contains("none/ca.crt") && text.contains("ca init --dir"), "{text}");
    assert!(!dir.path().join("c").exists());
}

#[test]
fn usage_errors_are_found_before_anything_is_done() {
    let dir = tempfile::tempdir().unwrap();
    let wrong = [
        "init",
        "init --dir DIR --days 0",
        "init --dir DIR --days -1",
        "issue --dir DIR --out DIR",
        "issue --dir DIR --dns a --out DIR --not-before 2024-01-01T00:00:00Z",
        "issue --dir DIR --dns a --out DIR --not-before yesterday --not-after 2024-01-01T00:00:00Z",
        "issue --dir DIR --dns a --out DIR --days 3 --not-before 2024-01-01T00:00:00Z --not-after 2024-01-02T00:00:00Z",
        "issue --dir DIR --dns a --out DIR --key-type rsa1024",
        "issue --dir DIR --ip localhost --out DIR",
    ];
    for line in wrong {
        let error = parse(line, dir.path()).unwrap_err();
        assert_eq!(error.exit_code(), 2, "{line}: {error}");
    }
    parse("issue --dir DIR --ip 127.0.0.1 --out DIR", dir.path()).unwrap();
}

#[test]
fn exit_codes_tell_done_from_failed() {
    let dir = tempfile::tempdir().unwrap();
    let line = "init --dir DIR/ca --output json";
    let code = |line| format!("{:?}", ca(parse(line, dir.path()).unwrap()));
    assert_eq!(code(line), format!("{:?}", ExitCode::SUCCESS));
    assert_eq!(code(line), format!("{:?}", ExitCode::FAILURE), "it exists now");
}

#[test]
fn a_rollover_signs_with_a_new_issuing_ca_and_the_old_leafs_stay_good() {
    let dir = tempfile::tempdir().unwrap();
    let at = dir.path();
    run("init --dir DIR/ca", at).unwrap();
    run("issue --dir DIR/ca --dns a --out DIR/before", at).unwrap();
    let new = run("rollover --dir DIR/ca", at).unwrap();
    run("issue --dir DIR/ca --dns a --out DIR/after", at).unwrap();
    let anchors = load::anchors(&fs::read(at.join("ca/ca.crt")).unwrap()).unwrap();
    let issuer = |place: &str| {
        let read = |name: &str| fs::read(at.join(place).join(name)).unwrap();
        let bundle = load::bundle(&read("tls.crt"), &read("tls.key")).unwrap();
        verify::chain_to(&bundle, &Trusted::anchors(anchors.clone()), Purpose::Client, NOW).unwrap();
        bundle.leaf_facts().issuer.clone()
    };
    assert_ne!(issuer("before"), issuer("after"));
    assert_eq!(issuer("after"), new.facts.subject);
    let lists = fs::read_to_string(at.join("ca/crl.pem")).unwrap();
    assert_eq!(
        lists.matches("BEGIN X509 CRL").count(),
        3,
        "two issuing CAs and the root"
    );
}

#[test]
fn the_root_key_may_be_elsewhere_while_leafs_are_issued_and_revoked() {
    let dir = tempfile::tempdir().unwrap();
    let at = dir.path();
    run("init --dir DIR/ca", at).unwrap();
    fs::rename(at.join("ca/ca.key"), at.join("safe.key")).unwrap();
    let leaf = run("issue --dir DIR/ca --dns a --out DIR/c", at).unwrap();
    let taken = take(&format!("revoke --dir DIR/ca --serial {}", leaf.facts.serial), at).unwrap();
    assert_eq!(taken.lists.kept, ["CN=delius-sidecar development CA"]);
    let lists = fs::read_to_string(at.join("ca/crl.pem")).unwrap();
    assert_eq!(
        lists.matches("BEGIN X509 CRL").count(),
        2,
        "the root's list stays as it was"
    );
    let refused = format!("{:#}", run("rollover --dir DIR/ca", at).unwrap_err());
    assert!(refused.contains("ca.key") && refused.contains("elsewhere"), "{refused}");
}

#[test]
fn every_certificate_is_in_the_index_and_a_revoked_one_says_why() {
    let dir = tempfile::tempdir().unwrap();
    let at = dir.path();
    run("init --dir DIR/ca", at).unwrap();
    let leaf = run("issue --dir DIR/ca --dns a.example --out DIR/c", at).unwrap();
    let shouted: Vec<String> = leaf
        .facts
        .serial
        .to_uppercase()
        .as_bytes()
        .chunks(2)
        .map(|pair| String::from_utf8_lossy(pair).into_owned())
        .collect();
    take(
        &format!("revoke --dir DIR/ca --serial {} --reason superseded", shouted.join(":")),
        at,
    )
    .unwrap();
    let index = index(at);
    let entries = index["certificates"].as_array().unwrap();
    assert_eq!(entries.len(), 2, "the issuing CA and the leaf");
    assert_eq!(entries[1]["names"], json!(["a.example"]));
    assert_eq!(
        entries[1]["revoked"],
        json!({ "at": "2027-01-15T08:00:00Z", "reason": "superseded" })
    );
    assert_eq!(entries[0]["revoked"], json!(null));
    let again = take("revoke --dir DIR/ca --cert DIR/c/tls.crt --reason key-compromise", at).unwrap();
    assert!(
        again.notes[0].contains("already") && again.notes[0].contains("superseded"),
        "{:?}",
        again.notes
    );
    assert_eq!(again.lists.number, 3, "made, revoked, again");
}

#[test]
fn a_serial_or_certificate_of_nobody_here_is_an_error_and_changes_nothing() {
    let dir = tempfile::tempdir().unwrap();
    let at = dir.path();
    run("init --dir DIR/ca", at).unwrap();
    run("init --dir DIR/other", at).unwrap();
    run("issue --dir DIR/other --dns a --out DIR/stranger", at).unwrap();
    let before = (index(at), fs::read(at.join("ca/crl.pem")).unwrap());
    for line in [
        "revoke --dir DIR/ca --serial 1234",
        "revoke --dir DIR/ca --serial nonsense",
        "revoke --dir DIR/ca --cert DIR/stranger/tls.crt",
        "revoke --dir DIR/ca --cert DIR/stranger/tls.key",
        "revoke --dir DIR/ca --cert DIR/nothing.crt",
    ] {
        take(line, at).unwrap_err();
    }
    assert_eq!(before, (index(at), fs::read(at.join("ca/crl.pem")).unwrap()));
}

#[test]
fn two_at_once_lose_no_entry() {
    let dir = tempfile::tempdir().unwrap();
    let at = dir.path();
    run("init --dir DIR/ca", at).unwrap();
    std::thread::scope(|scope| {
        for n in 0..8 {
            scope.spawn(move || run(&format!("issue --dir DIR/ca --dns a{n} --out DIR/c{n}"), at).unwrap());
        }
    });
    assert_eq!(index(at)["certificates"].as_array().unwrap().len(), 9);
}

#[test]
fn wrong_leafs_are_made_on_request() {
    let dir = tempfile::tempdir().unwrap();
    let at = dir.path();
    run("init --dir DIR/ca --root-only", at).unwrap();
    let other = run("issue --dir DIR/ca --dns a --purpose other --out DIR/other", at).unwrap();
    assert!(
        other.notes[0].contains("may not be used for client"),
        "{:?}",
        other.notes
    );
    let none = run("issue --dir DIR/ca --dns a --purpose none --out DIR/none", at).unwrap();
    assert_eq!(none.facts.purposes, None);
    let old = run(
        "issue --dir DIR/ca --name ndh.example --cn-only --purpose server --out DIR/old",
        at,
    )
    .unwrap();
    assert_eq!(
        (old.facts.names(), old.facts.common_names.clone()),
        ("none".into(), vec!["ndh.example".into()])
    );
    let own = run("issue --self-signed --dns a --out DIR/own", at).unwrap();
    assert!(own.facts.is_self_issued() && !at.join("own/ca.crt").exists());
    let brief = run("issue --dir DIR/ca --dns a --valid-for 90s --out DIR/brief", at).unwrap();
    assert_eq!(brief.facts.not_after, NOW + 90);
    let past = run(
        "issue --dir DIR/ca --dns a --not-after 2026-01-01T00:00:00Z --out DIR/past",
        at,
    )
    .unwrap();
    assert!(past.notes[0].contains("expired"), "{:?}", past.notes);
}

#[test]
fn what_makes_a_directory_a_ca_is_written_last() {
    let dir = tempfile::tempdir().unwrap();
    let made = run("init --dir DIR/ca", dir.path()).unwrap();
    let names = made
        .files
        .iter()
        .map(|file| file.file_name().unwrap().to_str().unwrap());
    let names: Vec<_> = names.collect();
    let order = [
        "issuing.key",
        "issuing.crt",
        "ca.key",
        "ca.crt",
        "index.json",
        "crl.pem",
    ];
    assert_eq!(
        names, order,
        "killed in between, a CA without its issuing CA would sign with the root"
    );
}

#[test]
fn a_lost_index_does_not_take_back_what_was_revoked() {
    let dir = tempfile::tempdir().unwrap();
    run("init --dir DIR/ca", dir.path()).unwrap();
    let list = fs::read(dir.path().join("ca/crl.pem")).unwrap();
    fs::remove_file(dir.path().join("ca/index.json")).unwrap();
    let refused = take("crl --dir DIR/ca", dir.path()).unwrap_err().to_string();
    assert!(
        refused.contains("index.json") && refused.contains("backup"),
        "{refused}"
    );
    run("issue --dir DIR/ca --dns a --out DIR/c", dir.path()).unwrap_err();
    assert!(!dir.path().join("c").exists());
    assert_eq!(fs::read(dir.path().join("ca/crl.pem")).unwrap(), list);
}
