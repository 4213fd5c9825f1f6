//! `ca …` through the real binary; what it writes is judged by openssl, and nothing of ours.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::{Command, Output, Stdio};

use serde_json::Value;
use tempfile::TempDir;

use crate::support::absent;

/// A directory with a CA, and the two programs.
pub(crate) struct Desk {
    directory: TempDir,
    openssl: Option<PathBuf>,
}

/// How a command ended and what it said.
pub(crate) struct Said {
    pub(crate) code: Option<i32>,
    pub(crate) out: String,
    pub(crate) err: String,
}

impl Desk {
    pub(crate) fn new() -> Self {
        Self {
            directory: tempfile::tempdir().expect("a directory"),
            openssl: absent::find("openssl", "openssl"),
        }
    }

    pub(crate) fn with_ca() -> Self {
        let desk = Self::new();
        desk.done("ca init --dir ca");
        desk
    }

    pub(crate) fn path(&self, name: &str) -> PathBuf {
        self.directory.path().join(name)
    }

    pub(crate) fn read(&self, name: &str) -> String {
        fs::read_to_string(self.path(name)).expect(name)
    }

    pub(crate) fn json(&self, line: &str) -> Value {
        serde_json::from_str(&self.done(&format!("{line} --output json"))).expect("one JSON document")
    }

    /// Runs the binary in the directory.
    pub(crate) fn run(&self, line: &str) -> Said {
        said(
            Command::new(env!("CARGO_BIN_EXE_delius-sidecar")),
            line,
            self.directory.path(),
        )
    }

    /// The same, and it succeeds: what it printed.
    #[track_caller]
    pub(crate) fn done(&self, line: &str) -> String {
        let said = self.run(line);
        assert_eq!(said.code, Some(0), "{line}: {}{}", said.out, said.err);
        said.out
    }

    /// The same, and it fails with 1 and an empty result: what it said.
    #[track_caller]
    pub(crate) fn fails(&self, line: &str) -> String {
        let said = self.run(line);
        assert_eq!(said.code, Some(1), "{line}: {}{}", said.out, said.err);
        assert_eq!(said.out, "", "{line}");
        said.err
    }

    /// What openssl says, both streams; `None` where it is not installed.
    pub(crate) fn openssl(&self, line: &str) -> Option<Said> {
        let program = self.openssl.as_ref()?;
        Some(said(Command::new(program), line, self.directory.path()))
    }

    /// openssl agrees, where it is installed.
    #[track_caller]
    pub(crate) fn agrees(&self, line: &str) {
        if let Some(said) = self.openssl(line) {
            assert_eq!(said.code, Some(0), "openssl {line}: {}{}", said.out, said.err);
        }
    }

    /// openssl disagrees with these words, where it is installed.
    #[track_caller]
    pub(crate) fn objects(&self, line: &str, why: &str) {
        if let Some(said) = self.openssl(line) {
            let text = format!("{}{}", said.out, said.err);
            assert_ne!(said.code, Some(0), "openssl {line}: {text}");
            assert!(text.contains(why), "openssl {line}: {text}");
        }
    }
}

#[allow(clippy::disallowed_methods)]
fn said(mut command: Command, line: &str, directory: &Path) -> Said {
    let Output { status, stdout, stderr } = command
        .args(line.split_whitespace())
        .current_dir(directory)
        .stdin(Stdio::null())
        .output()
        .expect("start the program");
    let text = |bytes: &[u8]| String::from_utf8_lossy(bytes).into_owned();
    Said {
        code: status.code(),
        out: text(&stdout),
        err: text(&stderr),
    }
}

const CLIENT: &str = "verify -purpose sslclient -CAfile ca/ca.crt -untrusted c/tls.crt c/tls.crt";
/// With every list of crl.pem, for the whole chain.
const WITH_LISTS: &str = "verify -crl_check_all -CAfile all.pem -untrusted c/tls.crt c/tls.crt";

fn collect_lists(desk: &Desk) {
    fs::write(desk.path("all.pem"), desk.read("ca/ca.crt") + &desk.read("ca/crl.pem")).expect("written");
}

#[test]
fn openssl_takes_the_leaf_for_its_purpose_and_for_no_other() {
    let desk = Desk::with_ca();
    desk.done("ca issue --dir ca --dns allocation-manager --out c");
    desk.agrees(CLIENT);
    desk.objects(&CLIENT.replace("sslclient", "sslserver"), "purpose");
    desk.agrees("x509 -in c/tls.crt -noout -checkhost allocation-manager");
    desk.agrees("pkey -in c/tls.key -noout");
    assert_eq!(
        desk.read("c/ca.crt"),
        desk.read("ca/ca.crt"),
        "the root is what to trust"
    );
    assert_eq!(
        desk.read("c/tls.crt").matches("BEGIN CERTIFICATE").count(),
        2,
        "leaf and issuing CA"
    );
}

#[test]
fn openssl_finds_wrong_what_was_made_wrong() {
    let desk = Desk::with_ca();
    for (options, why) in [
        (
            "--not-before 2024-01-01T00:00:00Z --not-after 2024-06-30T23:59:59Z",
            "expired",
        ),
        (
            "--not-before 2090-01-01T00:00:00Z --not-after 2091-01-01T00:00:00Z",
            "not yet valid",
        ),
        ("--purpose server", "purpose"),
        ("--purpose other", "purpose"),
    ] {
        let _ = fs::remove_dir_all(desk.path("c"));
        desk.done(&format!("ca issue --dir ca --dns allocation-manager --out c {options}"));
        desk.objects(CLIENT, why);
    }
    desk.done("ca issue --self-signed --dns allocation-manager --out s");
    desk.objects("verify -CAfile ca/ca.crt s/tls.crt", "self");
}

#[test]
fn every_kind_of_key_is_read_by_openssl() {
    let desk = Desk::with_ca();
    for kind in ["p256", "p384", "ed25519", "rsa2048"] {
        desk.done(&format!("ca issue --dir ca --dns a --key-type {kind} --out {kind}"));
        desk.agrees(&format!("pkey -in {kind}/tls.key -noout -check"));
        desk.agrees(&format!(
            "verify -CAfile ca/ca.crt -untrusted {kind}/tls.crt {kind}/tls.crt"
        ));
    }
}

#[test]
fn openssl_sees_a_revocation_and_a_stale_list() {
    let desk = Desk::with_ca();
    desk.done("ca issue --dir ca --dns allocation-manager --out c");
    collect_lists(&desk);
    desk.agrees(WITH_LISTS);
    let taken = desk.json("ca revoke --dir ca --cert c/tls.crt --reason key-compromise --crl-valid-for 8h");
    assert_eq!(taken["revoked"]["reason"], "key-compromise");
    collect_lists(&desk);
    desk.objects(WITH_LISTS, "revoked");
    desk.agrees("crl -in ca/crl.pem -noout -CAfile ca/issuing.crt");

    desk.done("ca issue --dir ca --dns other --out d");
    desk.done("ca crl --dir ca --stale");
    collect_lists(&desk);
    desk.objects(&WITH_LISTS.replace("c/", "d/"), "CRL has expired");
    desk.done("ca crl --dir ca --valid-for 1h");
    collect_lists(&desk);
    desk.agrees(&WITH_LISTS.replace("c/", "d/"));
}

#[test]
fn after_a_rollover_old_and_new_leafs_hold_and_the_old_ca_can_be_revoked() {
    let desk = Desk::with_ca();
    desk.done("ca issue --dir ca --dns before --out c");
    desk.done("ca rollover --dir ca");
    desk.done("ca issue --dir ca --dns after --out d");
    collect_lists(&desk);
    desk.agrees(WITH_LISTS);
    desk.agrees(&WITH_LISTS.replace("c/", "d/"));
    desk.done("ca revoke --dir ca --cert ca/issuing.crt --reason ca-compromise");
    collect_lists(&desk);
    desk.objects(WITH_LISTS, "revoked");
    desk.agrees(&WITH_LISTS.replace("c/", "d/"));
    desk.done("ca rollover --dir ca --name third");
    let refused = desk.fails("ca rollover --dir ca --name third");
    assert!(refused.contains("name of an earlier CA"), "{refused}");
}

#[test]
fn a_request_of_openssl_is_signed_with_its_names_and_printed() {
    let desk = Desk::with_ca();
    let request = "req -new -newkey rsa:2048 -nodes -keyout r.key -out r.csr -subj /O=HMPPS/CN=allocation-manager \
                   -addext subjectAltName=DNS:allocation-manager,DNS:am.example -addext subjectKeyIdentifier=hash";
    if desk.openssl(request).is_none_or(|said| said.code != Some(0)) {
        return;
    }
    let signed = desk.json("ca sign --dir ca --csr r.csr --out c --valid-for 7d");
    assert_eq!(signed["dns"], serde_json::json!(["allocation-manager", "am.example"]));
    assert_eq!(signed["subject"], "O=HMPPS, CN=allocation-manager");
    desk.agrees(CLIENT);
    assert!(desk.read("ca/index.json").contains("am.example"));
    let again = desk.fails("ca sign --dir ca --csr r.csr --out c");
    assert!(again.contains("c/tls.crt exists"), "{again}");
    desk.done("ca sign --dir ca --csr r.csr --out c.crt --purpose server");
    desk.objects(
        "verify -purpose sslclient -CAfile ca/ca.crt -untrusted c.crt c.crt",
        "purpose",
    );

    let wrong = desk.openssl(
        "req -new -newkey rsa:1024 -nodes -keyout w.key -out w.csr -subj /CN=weak -addext subjectAltName=DNS:weak",
    );
    assert_eq!(wrong.map(|said| said.code), Some(Some(0)));
    let refused = desk.fails("ca sign --dir ca --csr w.csr --out w");
    assert!(refused.contains("RSA 1024") && refused.contains("2048"), "{refused}");
    desk.openssl("req -new -key r.key -out ca.csr -subj /CN=ca -addext basicConstraints=critical,CA:TRUE");
    let refused = desk.fails("ca sign --dir ca --csr ca.csr --out w");
    assert!(refused.contains("asks for a CA certificate"), "{refused}");
    assert!(!desk.path("w").exists());
}

#[test]
fn wrong_use_says_which_file_and_what_to_do() {
    let desk = Desk::new();
    for (line, parts) in [
        ("ca issue --dir ca --dns a --out c", ["ca/ca.crt", "ca init --dir ca"]),
        ("ca revoke --dir ca --serial 1", ["ca/ca.crt", "ca init --dir ca"]),
        ("ca sign --dir ca --csr r.csr --out c", ["r.csr", "cert request"]),
    ] {
        let said = desk.fails(line);
        for part in parts {
            assert!(said.contains(part), "{line}: {said}");
        }
    }
    desk.done("ca init --dir ca");
    let said = desk.fails("ca init --dir ca");
    assert!(said.contains("never overwritten"), "{said}");
    let said = desk.fails("ca sign --dir ca --csr ca/ca.crt --out c");
    assert!(said.contains("CERTIFICATE REQUEST"), "{said}");
    let said = desk.fails("ca revoke --dir ca --serial 0123");
    assert!(said.contains("index.json") && said.contains("123"), "{said}");
    fs::remove_file(desk.path("ca/issuing.key")).expect("removed");
    let said = desk.fails("ca issue --dir ca --dns a --out c");
    assert!(said.contains("issuing.key") && said.contains("no such file"), "{said}");
    assert!(!desk.path("c").exists());
}

#[test]
fn many_at_once_lose_no_entry() {
    let desk = Desk::with_ca();
    std::thread::scope(|scope| {
        for n in 0..6 {
            let desk = &desk;
            scope.spawn(move || desk.done(&format!("ca issue --dir ca --dns a{n} --out c{n}")));
        }
    });
    let index: Value = serde_json::from_str(&desk.read("ca/index.json")).expect("JSON");
    assert_eq!(index["certificates"].as_array().map(Vec::len), Some(7));
}

/// The commands `ca` and `cert` of the shell blocks of a document, word for word, without what kubectl would do.
#[test]
fn a_request_with_the_largest_curve_is_signed_and_one_that_cannot_be_judged_is_not_called_damaged() {
    let desk = Desk::with_ca();
    let key = "req -new -nodes -keyout k.key -subj /CN=a -addext subjectAltName=DNS:a";
    let Some(_) = desk.openssl(&format!(
        "{key} -newkey ec -pkeyopt ec_paramgen_curve:P-521 -out p521.csr"
    )) else {
        return;
    };
    desk.done("ca sign --dir ca --csr p521.csr --out p521");
    desk.agrees("verify -CAfile ca/ca.crt -untrusted p521/tls.crt p521/tls.crt");
    desk.done("cert request --dns a --key k.key --csr-out again.csr");
    desk.agrees("req -in again.csr -noout -verify");
    let damaged = desk.read("p521.csr").replacen("MI", "MJ", 1);
    fs::write(desk.path("damaged.csr"), damaged).expect("written");
    desk.fails("ca sign --dir ca --csr damaged.csr --out never");

    desk.agrees(&format!("{key} -newkey ed448 -out ed448.csr"));
    let said = desk.fails("ca sign --dir ca --csr ed448.csr --out never");
    assert!(
        said.contains("unknown algorithm") && !said.contains("damaged"),
        "{said}"
    );
    desk.agrees(&format!("{key} -newkey rsa:2048 -sha3-256 -out sha3.csr"));
    let said = desk.fails("ca sign --dir ca --csr sha3.csr --out never");
    assert!(said.contains("not checked here") && !said.contains("damaged"), "{said}");
    desk.agrees("req -in sha3.csr -outform DER -out sha3.der");
    let shown = desk.done("cert inspect sha3.der");
    assert!(shown.contains("not checked here"), "{shown}");
    desk.agrees("req -new -key k.key -subj / -out nobody.csr");
    let said = desk.fails("ca sign --dir ca --csr nobody.csr --out never");
    assert!(said.contains("names nobody"), "{said}");
}

fn commands(document: &str) -> Vec<String> {
    let text = document.replace("\\\n", " ");
    let blocks = text
        .split("```sh\n")
        .skip(1)
        .filter_map(|rest| rest.split("```").next());
    let lines = blocks
        .flat_map(str::lines)
        .map(|line| line.split("| kubectl").next().unwrap_or_default());
    lines
        .filter(|line| line.starts_with("delius-sidecar ca ") || line.starts_with("delius-sidecar cert "))
        .map(str::to_owned)
        .collect()
}

#[test]
#[allow(clippy::disallowed_methods)]
fn the_commands_of_the_documents_work_in_the_order_that_they_stand_there() {
    let program = Path::new(env!("CARGO_BIN_EXE_delius-sidecar"))
        .parent()
        .expect("a directory");
    let path = std::env::var("PATH").unwrap_or_default();
    for (name, document, least) in [
        ("certs-dev/README.md", include_str!("../../certs-dev/README.md"), 20),
        ("docs/staging-ca.md", include_str!("../../docs/staging-ca.md"), 12),
    ] {
        let desk = Desk::new();
        let commands = commands(document);
        assert!(commands.len() >= least, "{name}: {commands:?}");
        for line in &commands {
            let Output { status, stdout, stderr } = Command::new("sh")
                .args(["-c", line])
                .env("PATH", format!("{}:{path}", program.display()))
                .current_dir(desk.path("."))
                .output()
                .expect("a shell");
            let said = [stdout, stderr].concat();
            assert!(status.success(), "{name}: {line}: {}", String::from_utf8_lossy(&said));
        }
    }
}
