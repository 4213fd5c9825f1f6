//! `cert verify` on a corpus of chains, right and wrong. Every case is put to the command and, with the same chain and
//! the same trust, to a real handshake: the verdicts must be the same, and as the case says.

use std::fs;
use std::path::Path;
use std::process::{Command, Stdio};

use delius_sidecar::cert::{Trusted, load};
use rcgen::{
    BasicConstraints, CertificateParams, CustomExtension, DistinguishedName, DnType, ExtendedKeyUsagePurpose,
    GeneralSubtree, IsCa, NameConstraints,
};
use rustls::pki_types::{CertificateDer, CertificateRevocationListDer, ServerName};
use serde_json::Value;

use crate::support::chains::{Made, ca, client, numbered, server, valid};
use crate::support::handshake;
use crate::support::openssl::OpenSsl;

const NAME: &str = "ndh.example";

/// What one case is about.
struct Case<'a> {
    title: &'a str,
    roots: Vec<CertificateDer<'static>>,
    /// The leaf first.
    chain: Vec<&'a Made>,
    name: Option<&'a str>,
    crls: Vec<CertificateRevocationListDer<'static>>,
    accept_stale: bool,
}

/// A server's chain under one root, asked for by its name.
fn case<'a>(title: &'a str, roots: &[&Made], chain: &[&'a Made]) -> Case<'a> {
    Case {
        title,
        roots: roots.iter().map(|root| root.der()).collect(),
        chain: chain.to_vec(),
        name: Some(NAME),
        crls: Vec::new(),
        accept_stale: false,
    }
}

impl<'a> Case<'a> {
    fn named(self, name: &'a str) -> Self {
        let name = Some(name);
        Self { name, ..self }
    }

    /// The chain is a client's.
    fn of_a_client(self) -> Self {
        Self { name: None, ..self }
    }

    fn crls(self, crls: &[&CertificateRevocationListDer<'static>], accept_stale: bool) -> Self {
        Self {
            crls: crls.iter().map(|crl| (*crl).clone()).collect(),
            accept_stale,
            ..self
        }
    }

    #[track_caller]
    fn is_accepted(&self) {
        let (verdict, handshake) = self.judged();
        assert_eq!(verdict["reason"], Value::Null, "{}", self.title);
        assert_eq!(verdict["accepted"], Value::Bool(true), "{}", self.title);
        assert_eq!(handshake, Ok(()), "{}: the handshake", self.title);
    }

    #[track_caller]
    fn is_refused(&self, code: &str) {
        let (verdict, handshake) = self.judged();
        assert_eq!(verdict["reason"]["code"], code, "{}: {verdict}", self.title);
        assert_eq!(verdict["accepted"], Value::Bool(false), "{}", self.title);
        assert!(handshake.is_err(), "{}: the handshake accepts it", self.title);
    }

    /// What the command says, and what a handshake comes to.
    #[track_caller]
    fn judged(&self) -> (Value, Result<(), rustls::Error>) {
        let directory = tempfile::tempdir().expect("a directory");
        let at = |name: &str| directory.path().join(name).display().to_string();
        let chain: Vec<_> = self.chain.iter().map(|made| made.der()).collect();
        fs::write(at("ca.crt"), encode("CERTIFICATE", &self.roots)).expect("written");
        fs::write(at("tls.crt"), encode("CERTIFICATE", &chain)).expect("written");
        fs::write(at("ca.crl"), encode("X509 CRL", &self.crls)).expect("written");
        let purpose = if self.name.is_some() { "server" } else { "client" };
        let mut line = vec!["--ca".to_owned(), at("ca.crt"), "--cert".to_owned(), at("tls.crt")];
        line.extend(["--purpose", purpose, "--output", "json"].map(str::to_owned));
        line.extend(
            self.name
                .into_iter()
                .flat_map(|name| ["--name".to_owned(), name.to_owned()]),
        );
        if !self.crls.is_empty() {
            let stale = if self.accept_stale { "accept" } else { "refuse" };
            line.extend([
                "--crl".to_owned(),
                at("ca.crl"),
                "--crl-stale".to_owned(),
                stale.to_owned(),
            ]);
        }
        let (code, out, err) = cert_verify(&line);
        let verdict: Value = serde_json::from_str(&out).unwrap_or_else(|_| panic!("{}: {out}{err}", self.title));
        assert_eq!(code, i32::from(verdict["accepted"] != true), "{}", self.title);
        let trusted = Trusted {
            anchors: self.roots.clone(),
            crls: self.crls.clone(),
            refuse_stale: !self.accept_stale,
        };
        let key = self.chain[0].key();
        let handshake = match self.name {
            Some(name) => {
                let name = ServerName::try_from(name.to_owned()).expect("a name");
                handshake::accepts_server(&trusted, chain, key, name)
            }
            None => handshake::accepts_client(&trusted, chain, key),
        };
        (verdict, handshake)
    }
}

fn cert_verify<A: AsRef<std::ffi::OsStr>>(arguments: &[A]) -> (i32, String, String) {
    let output = Command::new(env!("CARGO_BIN_EXE_delius-sidecar"))
        .args(["cert", "verify"])
        .args(arguments)
        .stdin(Stdio::null())
        .output()
        .expect("start the binary");
    let text = |bytes: &[u8]| String::from_utf8_lossy(bytes).into_owned();
    let code = output.status.code().expect("it ended by itself");
    (code, text(&output.stdout), text(&output.stderr))
}

fn encode(label: &str, all: &[impl AsRef<[u8]>]) -> String {
    use base64::Engine as _;
    let engine = base64::engine::general_purpose::STANDARD;
    let one = |der: &[u8]| {
        format!(
            "-----BEGIN {label}-----\n{}\n-----END {label}-----\n",
            engine.encode(der)
        )
    };
    all.iter().map(|der| one(der.as_ref())).collect()
}

fn with(mut params: CertificateParams, change: impl FnOnce(&mut CertificateParams)) -> CertificateParams {
    change(&mut params);
    params
}

fn root() -> Made {
    Made::alone(ca("Root"))
}

#[test]
fn a_chain_is_accepted_in_any_order_with_duplicates_and_with_strangers_in_it() {
    let (root, stranger) = (root(), Made::alone(ca("Stranger")));
    let upper = root.signs(ca("Upper"));
    let lower = upper.signs(ca("Lower"));
    let (direct, leaf) = (root.signs(server(&[NAME])), lower.signs(server(&[NAME])));
    case("directly under the root", &[&root], &[&direct]).is_accepted();
    case("in order", &[&root], &[&leaf, &lower, &upper]).is_accepted();
    case("out of order", &[&root], &[&leaf, &upper, &lower]).is_accepted();
    case("with the root", &[&root], &[&leaf, &lower, &upper, &root]).is_accepted();
    case("twice", &[&root], &[&leaf, &lower, &lower, &upper, &leaf]).is_accepted();
    case("with a stranger", &[&root], &[&leaf, &stranger, &lower, &upper]).is_accepted();
    case("several roots", &[&stranger, &root], &[&leaf, &lower, &upper]).is_accepted();
    case("an intermediate as the anchor", &[&lower], &[&leaf]).is_accepted();
    case("an intermediate is missing", &[&root], &[&leaf, &upper]).is_refused("unknown_issuer");
    case("another root", &[&stranger], &[&leaf, &lower, &upper]).is_refused("unknown_issuer");
    case("the leaf is not first", &[&root], &[&lower, &leaf, &upper]).is_refused("ca_as_leaf");
}

#[test]
fn a_signature_by_another_key_of_the_same_name_does_not_count() {
    let (root, impostor) = (root(), root());
    let leaf = root.signs(server(&[NAME]));
    case("an impostor", &[&impostor], &[&leaf]).is_refused("signature");
    case("beside the right one", &[&impostor, &root], &[&leaf]).is_accepted();
}

#[test]
fn old_and_new_ca_overlap_and_cross_signatures_lead_to_either() {
    let (old, new) = (Made::alone(ca("Old root")), Made::alone(ca("New root")));
    let issuing = old.signs(ca("Issuing"));
    let crossed = new.cross_signs(&issuing);
    let leaf = issuing.signs(server(&[NAME]));
    case("the old path", &[&old], &[&leaf, &issuing, &crossed]).is_accepted();
    case("the new path", &[&new], &[&leaf, &issuing, &crossed]).is_accepted();
    case("only the other half", &[&new], &[&leaf, &issuing]).is_refused("unknown_issuer");
    let next = old.signs(ca("Issuing"));
    let renewed = next.signs(server(&[NAME]));
    case("the next CA of the same name", &[&old], &[&renewed, &issuing, &next]).is_accepted();
}

#[test]
fn dates_count_from_the_leaf_to_below_the_anchor() {
    let root = root();
    let expired = root.signs(with(server(&[NAME]), |params| valid(params, -20, -5)));
    case("an expired leaf", &[&root], &[&expired]).is_refused("expired");
    let early = root.signs(with(server(&[NAME]), |params| valid(params, 5, 20)));
    case("a leaf of next week", &[&root], &[&early]).is_refused("not_yet_valid");
    let past = root.signs(with(ca("Past"), |params| valid(params, -20, -5)));
    let below = past.signs(server(&[NAME]));
    case("an expired intermediate", &[&root], &[&below, &past]).is_refused("expired");
    let ended = Made::alone(with(ca("Ended"), |params| valid(params, -20, -5)));
    let still = ended.signs(server(&[NAME]));
    case(
        "an expired root, whose dates the stack does not look at",
        &[&ended],
        &[&still],
    )
    .is_accepted();
}

#[test]
fn the_purpose_must_be_allowed_where_purposes_are_named() {
    let root = root();
    let (for_server, for_client) = (root.signs(server(&[NAME])), root.signs(client("app")));
    case("a client", &[&root], &[&for_client]).of_a_client().is_accepted();
    case("a server as a client", &[&root], &[&for_server])
        .of_a_client()
        .is_refused("purpose");
    case("a client as a server", &[&root], &[&for_client])
        .named("app")
        .is_refused("purpose");
    let silent = root.signs(with(server(&[NAME]), |params| params.extended_key_usages.clear()));
    case("no purposes, as a server", &[&root], &[&silent]).is_accepted();
    case("no purposes, as a client", &[&root], &[&silent])
        .of_a_client()
        .is_accepted();
    let any = root.signs(with(server(&[NAME]), |params| {
        params.extended_key_usages = vec![ExtendedKeyUsagePurpose::Any];
    }));
    case("any purpose, which is not this one", &[&root], &[&any]).is_refused("purpose");
    let narrow = root.signs(with(ca("Narrow"), |params| {
        params.extended_key_usages = vec![ExtendedKeyUsagePurpose::ServerAuth];
    }));
    let below = narrow.signs(client("app"));
    case("a CA for servers", &[&root], &[&below, &narrow])
        .of_a_client()
        .is_refused("purpose");
}

#[test]
fn who_may_sign_and_how_deep_is_kept() {
    let root = root();
    let no_ca = root.signs(with(ca("No CA"), |params| params.is_ca = IsCa::ExplicitNoCa));
    let below = no_ca.signs(server(&[NAME]));
    case("an issuer that is no CA", &[&root], &[&below, &no_ca]).is_refused("path");
    let shallow = root.signs(with(ca("Shallow"), |params| {
        params.is_ca = IsCa::Ca(BasicConstraints::Constrained(0));
    }));
    let direct = shallow.signs(server(&[NAME]));
    case("at the allowed depth", &[&root], &[&direct, &shallow]).is_accepted();
    let deeper = shallow.signs(ca("Deeper"));
    let below = deeper.signs(server(&[NAME]));
    case("below the allowed depth", &[&root], &[&below, &deeper, &shallow]).is_refused("path");
    let ca_leaf = root.signs(with(server(&[NAME]), |params| {
        params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
    }));
    case("a CA as the leaf", &[&root], &[&ca_leaf]).is_refused("ca_as_leaf");
    let own = Made::alone(server(&[NAME]));
    case("signed by itself", &[&root], &[&own]).is_refused("unknown_issuer");
    case("signed by itself and trusted", &[&own], &[&own]).is_accepted();
    let mut chain = vec![root.signs(ca("1"))];
    for depth in 2..=8 {
        let next = chain[chain.len() - 1].signs(ca(&depth.to_string()));
        chain.push(next);
    }
    let leaf = chain[chain.len() - 1].signs(server(&[NAME]));
    let long: Vec<&Made> = std::iter::once(&leaf).chain(chain.iter().rev()).collect();
    case("eight intermediates", &[&root], &long).is_refused("path");
}

#[test]
fn name_constraints_are_kept() {
    let root = root();
    let constrained = |permitted: &[&str], excluded: &[&str]| {
        let subtrees = |names: &[&str]| {
            names
                .iter()
                .map(|name| GeneralSubtree::DnsName((*name).to_owned()))
                .collect()
        };
        root.signs(with(ca("Constrained"), |params| {
            params.name_constraints = Some(NameConstraints {
                permitted_subtrees: subtrees(permitted),
                excluded_subtrees: subtrees(excluded),
            });
        }))
    };
    let within = constrained(&["example"], &[]);
    let leaf = within.signs(server(&[NAME]));
    case("a permitted name", &[&root], &[&leaf, &within]).is_accepted();
    let elsewhere = constrained(&["other"], &[]);
    let leaf = elsewhere.signs(server(&[NAME]));
    case("not a permitted name", &[&root], &[&leaf, &elsewhere]).is_refused("path");
    let excluded = constrained(&[], &["ndh.example"]);
    let leaf = excluded.signs(server(&[NAME]));
    case("an excluded name", &[&root], &[&leaf, &excluded]).is_refused("path");
}

#[test]
fn a_server_is_asked_for_by_its_alternative_names_and_addresses() {
    let root = root();
    let leaf = root.signs(server(&["*.ndh.example", NAME, "192.0.2.7", "2001:db8::7"]));
    let asked = |name| case("names", &[&root], &[&leaf]).named(name);
    asked("ndh.example").is_accepted();
    asked("NDH.Example").is_accepted();
    asked("192.0.2.7").is_accepted();
    asked("2001:db8:0::7").is_accepted();
    asked("a.ndh.example").is_accepted();
    asked("a.b.ndh.example").is_refused("name");
    asked("example").is_refused("name");
    asked("192.0.2.8").is_refused("name");
    let broad = root.signs(server(&["*.example"]));
    case("a wildcard for a whole top level", &[&root], &[&broad]).is_refused("name");
    let bare = root.signs(with(server(&[]), |params| {
        params.distinguished_name = DistinguishedName::new();
        params.distinguished_name.push(DnType::CommonName, NAME);
    }));
    case("a common name only", &[&root], &[&bare]).is_refused("name");
    case("a common name only, of a client", &[&root], &[&bare])
        .named("192.0.2.7")
        .is_refused("name");
}

#[test]
fn extensions_that_are_critical_and_not_known_are_refused() {
    let root = root();
    let odd = |critical| {
        let mut extension = CustomExtension::from_oid_content(&[1, 3, 6, 1, 4, 1, 99_999, 1], vec![5, 0]);
        extension.set_criticality(critical);
        root.signs(with(server(&[NAME]), |params| {
            params.custom_extensions = vec![extension]
        }))
    };
    case("critical", &[&root], &[&odd(true)]).is_refused("path");
    case("not critical", &[&root], &[&odd(false)]).is_accepted();
}

#[test]
fn revocation_is_looked_up_in_the_list_of_the_issuer() {
    let (root, other) = (root(), Made::alone(ca("Other")));
    let issuing = root.signs(ca("Issuing"));
    let leaf = issuing.signs(numbered(client("app"), 4711));
    let chain = [&leaf, &issuing];
    let of_client = |title| case(title, &[&root], &chain).of_a_client();
    let (clean, on_it) = (issuing.revokes(&[], -1, 1), issuing.revokes(&[&leaf], -1, 1));
    of_client("not on it").crls(&[&clean], false).is_accepted();
    of_client("on it").crls(&[&on_it], false).is_refused("revoked");
    let of_another = other.revokes(&[&leaf], -1, 1);
    of_client("another CA's")
        .crls(&[&of_another], false)
        .is_refused("revocation_unknown");
    let of_root = root.revokes(&[], -1, 1);
    of_client("only the root's")
        .crls(&[&of_root], true)
        .is_refused("revocation_unknown");
    of_client("both").crls(&[&of_root, &clean], false).is_accepted();
    let impostor = root.signs(ca("Issuing"));
    let forged = impostor.revokes(&[], -1, 1);
    of_client("signed by another")
        .crls(&[&forged], false)
        .is_refused("crl_signature");
    let (stale, stale_with) = (issuing.revokes(&[], -9, -2), issuing.revokes(&[&leaf], -9, -2));
    of_client("stale, refused")
        .crls(&[&stale], false)
        .is_refused("crl_stale");
    of_client("stale, accepted").crls(&[&stale], true).is_accepted();
    of_client("stale and on it")
        .crls(&[&stale_with], true)
        .is_refused("revoked");
    let server = issuing.signs(numbered(server(&[NAME]), 4712));
    let list = issuing.revokes(&[&server], -1, 1);
    case("a server on it", &[&root], &[&server, &issuing])
        .crls(&[&list], false)
        .is_refused("revoked");
    case("a server not on it", &[&root], &[&server, &issuing])
        .crls(&[&on_it], false)
        .is_accepted();
}

/// Files of one chain, for what the library cannot make or a handshake cannot show.
fn files(root: &Made, leaf: &Made) -> tempfile::TempDir {
    let directory = tempfile::tempdir().expect("a directory");
    let at = |name: &str| directory.path().join(name);
    fs::write(at("ca.crt"), encode("CERTIFICATE", &[root.der()])).expect("written");
    fs::write(at("tls.crt"), encode("CERTIFICATE", &[leaf.der()])).expect("written");
    fs::write(at("tls.key"), leaf.key_pem()).expect("written");
    directory
}

/// Runs a command line in which `DIR` stands for the directory.
fn run(directory: &Path, line: &str) -> (i32, String, String) {
    let line = line.replace("DIR", &directory.display().to_string());
    cert_verify(&line.split_whitespace().collect::<Vec<_>>())
}

/// The code of the reason, or `accepted`.
fn reason(directory: &Path, line: &str) -> String {
    let (_, out, err) = run(directory, &format!("{line} --output json"));
    let verdict: Value = serde_json::from_str(&out).unwrap_or_else(|_| panic!("{line}: {out}{err}"));
    let code = verdict["reason"]["code"].as_str();
    code.unwrap_or("accepted").to_owned()
}

#[test]
fn another_moment_can_be_asked_for() {
    let root = root();
    let directory = files(&root, &root.signs(client("app")));
    let line = "--ca DIR/ca.crt --cert DIR/tls.crt --purpose client";
    let at = |moment: &str| reason(directory.path(), &format!("{line} --at {moment}"));
    assert_eq!(reason(directory.path(), line), "accepted");
    assert_eq!(at("2020-02-29T12:00:00Z"), "not_yet_valid");
    assert_eq!(at("2090-02-28T12:00:00+01:00"), "expired");
}

#[test]
fn anchors_and_certificates_that_only_one_side_can_read_get_the_verdict_of_the_stack() {
    let root = root();
    let directory = files(&root, &root.signs(client("app")));
    let path = directory.path();
    let write =
        |name: &str, label: &str, all: &[&[u8]]| fs::write(path.join(name), encode(label, all)).expect("written");
    let garbage: &[u8] = &[0x30, 3, 2, 1, 0];
    let root_der = root.der();
    let leaf = fs::read_to_string(path.join("tls.crt")).expect("readable");
    write("odd.crt", "CERTIFICATE", &[garbage, &root_der]);
    write("none.crt", "CERTIFICATE", &[garbage]);
    fs::write(
        path.join("more.crt"),
        format!("{leaf}{}", encode("CERTIFICATE", &[garbage])),
    )
    .expect("written");
    fs::write(path.join("ca.der"), &root_der).expect("written");
    let judged = |ca: &str, chain: &str| reason(path, &format!("--ca DIR/{ca} --cert DIR/{chain} --purpose client"));
    assert_eq!(judged("odd.crt", "tls.crt"), "accepted", "the anchor beside it is good");
    assert_eq!(
        judged("none.crt", "tls.crt"),
        "unknown_issuer",
        "nothing is left to trust"
    );
    assert_eq!(
        judged("ca.crt", "more.crt"),
        "accepted",
        "nobody needs the intermediate"
    );
    assert_eq!(judged("ca.crt", "none.crt"), "malformed");
    assert_eq!(judged("ca.der", "tls.crt"), "accepted", "one DER certificate");
    let (code, out, err) = run(path, "--ca DIR/odd.crt --cert DIR/tls.crt --purpose client");
    assert!(code == 0 && out.starts_with("accepted\n"), "{out}");
    assert!(
        err.contains("note: certificate 1 of the trust bundle cannot be a trust anchor"),
        "{err}"
    );
}

#[test]
fn what_openssl_made_weak_or_old_is_refused() {
    let root = root();
    let directory = files(&root, &root.signs(client("app")));
    let path = directory.path();
    let Some(openssl) = OpenSsl::find(path) else { return };
    fs::write(
        path.join("ext"),
        "subjectAltName=DNS:ndh.example\nextendedKeyUsage=serverAuth\n",
    )
    .expect("written");
    openssl.run("req -x509 -newkey rsa:2048 -nodes -keyout root.key -out root.crt -days 30 -subj /CN=R -sha256");
    let issue = |name: &str, bits: u32, more: &str| {
        openssl.run(&format!(
            "req -newkey rsa:{bits} -nodes -keyout {name}.key -out {name}.csr -subj /CN={name}"
        ));
        let sign =
            format!("x509 -req -in {name}.csr -CA root.crt -CAkey root.key -CAcreateserial -days 9 -out {name}.crt");
        openssl.tries(format!("{sign} {more}").split_whitespace())
    };
    let judged = |name: &str| {
        reason(
            path,
            &format!("--ca DIR/root.crt --cert DIR/{name}.crt --purpose server --name ndh.example"),
        )
    };
    assert!(issue("good", 2048, "-extfile ext -sha256"));
    assert_eq!(judged("good"), "accepted");
    assert!(issue("weak", 1024, "-extfile ext -sha256"));
    assert_eq!(judged("weak"), "key", "no handshake can be signed by it");
    if issue("sha1", 2048, "-extfile ext -sha1") {
        assert_eq!(judged("sha1"), "signature");
    } else {
        eprintln!("ABSENT: this openssl does not sign with SHA-1; that it is refused is NOT shown");
    }
    assert!(issue("old", 2048, "-sha256"));
    if !is_version_1(&path.join("old.crt")) {
        eprintln!(
            "ABSENT: this openssl makes no version 1; that it is refused for leafs and read as an anchor is NOT shown"
        );
        return;
    }
    assert_eq!(judged("old"), "malformed");
    openssl.run("req -new -key root.key -out root.csr -subj /CN=R");
    openssl.run("x509 -req -in root.csr -signkey root.key -days 30 -out root.crt -sha256");
    assert!(is_version_1(&path.join("root.crt")));
    assert_eq!(judged("good"), "accepted", "an old root of the same key is an anchor");
}

/// After the frames of certificate and content stands `[0] version`, or at once the serial number of version 1.
fn is_version_1(file: &Path) -> bool {
    let bytes = fs::read(file).expect("readable");
    let found = load::certificates(&bytes, load::Part::Certificate).expect("certificates");
    found[0].get(8) == Some(&2)
}

#[test]
fn the_key_must_belong_to_the_certificate() {
    let root = root();
    let directory = files(&root, &root.signs(client("app")));
    let path = directory.path();
    let line = "--ca DIR/ca.crt --cert DIR/tls.crt --purpose client --key";
    assert_eq!(reason(path, &format!("{line} DIR/tls.key")), "accepted");
    fs::write(path.join("other.key"), root.key_pem()).expect("written");
    assert_eq!(reason(path, &format!("{line} DIR/other.key")), "key_mismatch");
    let (code, _, err) = run(path, &format!("{line} DIR/ca.crt"));
    assert_eq!(code, 2);
    assert!(err.contains("are the two files swapped?"), "{err}");
    let Some(openssl) = OpenSsl::find(path) else { return };
    fs::write(path.join("password"), "hunter2\n").expect("written");
    openssl.run("pkcs8 -topk8 -in tls.key -passout file:password -out locked.key");
    let locked = format!("{line} DIR/locked.key");
    assert_eq!(
        reason(path, &format!("{locked} --password-file DIR/password")),
        "accepted"
    );
    let (code, _, err) = run(path, &locked);
    assert!(code == 2 && err.contains("password_file"), "{err}");
    let (code, out, err) = run(path, &format!("{locked} --password-file DIR/tls.crt"));
    assert!(code == 2 && err.contains("the password does not open"), "{err}");
    assert!(!format!("{out}{err}").contains("hunter2"));
}

#[test]
fn wrong_usage_and_unreadable_files_end_with_2_and_say_what_is_wrong() {
    let root = root();
    let directory = files(&root, &root.signs(client("app")));
    let path = directory.path();
    fs::write(path.join("empty"), "").expect("written");
    let good = "--ca DIR/ca.crt --cert DIR/tls.crt --purpose client";
    for (line, words) in [
        ("--cert DIR/tls.crt --purpose client", "--ca"),
        ("--ca DIR/ca.crt --cert DIR/tls.crt", "--purpose"),
        ("--ca DIR/ca.crt --cert DIR/tls.crt --purpose both", "both"),
        (
            "--ca DIR/gone.crt --cert DIR/tls.crt --purpose client",
            "there is no such file",
        ),
        (
            "--ca DIR/empty --cert DIR/tls.crt --purpose client",
            "the trust bundle file is empty",
        ),
        (
            "--ca DIR/tls.key --cert DIR/tls.crt --purpose client",
            "are the two files swapped?",
        ),
        ("--ca DIR --cert DIR/tls.crt --purpose client", "is a directory"),
        (&format!("{good} --at yesterday"), "2027-01-31T00:00:00Z"),
        (&format!("{good} --at 1969-12-31T00:00:00Z"), "before 1970"),
        (
            &format!("{good} --name not/a/name"),
            "neither a DNS name nor an IP address",
        ),
        (&format!("{good} --crl DIR/ca.crt"), "holds no CRL"),
        (&format!("{good} --password-file DIR/empty"), "--key"),
    ] {
        let (code, out, err) = run(path, line);
        assert_eq!((code, out.as_str()), (2, ""), "{line}: {err}");
        assert!(err.contains(words), "{line}: {err}");
    }
}

#[test]
fn the_text_tells_the_path_or_the_reason() {
    let root = root();
    let issuing = root.signs(ca("Issuing"));
    let leaf = issuing.signs(server(&[NAME]));
    let directory = files(&root, &leaf);
    let path = directory.path();
    fs::write(
        path.join("chain.crt"),
        encode("CERTIFICATE", &[leaf.der(), issuing.der()]),
    )
    .expect("written");
    let line = "--ca DIR/ca.crt --purpose server --name ndh.example --at 2026-11-21T00:00:00Z --cert";
    let (_, out, _) = run(path, &format!("{line} DIR/tls.crt"));
    assert!(
        out.starts_with("refused\n") && out.contains("either an intermediate is missing"),
        "{out}"
    );
    let (code, out, err) = run(
        path,
        &line
            .replace("--at 2026-11-21T00:00:00Z ", "")
            .replace("--cert", "--cert DIR/chain.crt"),
    );
    assert_eq!((code, err.contains("error")), (0, false), "{out}{err}");
    for expected in ["accepted\n", "CN=server\n", "CN=Issuing\n", "CN=Root\n", NAME] {
        assert!(out.contains(expected), "{expected}: {out}");
    }
}
