//! What several keys mean together, of certificates: their files, where the next one arrives, revocation, control.
//!
//! `run` says this of every identity and `gateway` of itself, with the same keys. As in `validate`, every check runs
//! whatever the others found.

use std::path::PathBuf;
use std::time::Duration;

use super::problem::Problem;
use super::read::Reader;
use super::settings::{Address, Control, Identity, Material, Promotion, Revocation, Stale};
use super::validate::{seconds, shown};
use super::value;

/// A unix socket's path has 108 bytes with its end on Linux, 104 elsewhere; some are left for a name beside it.
const LONGEST_SOCKET: usize = 100;

const DAY: u64 = 24 * 3600;

pub(super) fn identity(at: &Reader<'_>) -> Option<Identity> {
    let material = material(at, "/etc/delius-sidecar/identity");
    let mut expect_dns = Vec::new();
    for (text, place) in at.texts("expect_dns") {
        match value::server_name(text) {
            Ok(name) => expect_dns.push(name),
            Err(complaint) => {
                let wrong = format!("`{}`: {}", at.path_of("expect_dns"), complaint.wrong);
                let right = "write the DNS name that the certificate must carry, for example \"allocation-manager\"";
                at.report().add(Problem::error(place, wrong).right(right));
            }
        }
    }
    let staged = staged(at, material.as_ref());
    let untried_before = untried_before(at);
    Some(Identity {
        material: material?,
        expect_dns,
        staged,
        promotion: promotion(at),
        untried_before,
    })
}

/// The files of certificate and key: `certificate` with `private_key` or without, or `pkcs12`.
pub(super) fn material(at: &Reader<'_>, directory: &str) -> Option<Material> {
    if !at.has("pkcs12") {
        let certificate = at.require("certificate", &format!("{directory}/tls.crt"), value::path)?;
        let private_key = at.read("private_key", value::path);
        if at.has("private_key") && private_key.is_none() {
            return None;
        }
        return Some(Material::Pem {
            private_key: private_key.unwrap_or_else(|| certificate.clone()),
            certificate,
            password_file: at.read("password_file", value::path),
        });
    }
    for key in ["certificate", "private_key"] {
        if at.has(key) {
            let wrong = "stands beside `pkcs12`, which holds certificate and key in one file";
            at.error(key, wrong, "remove one of them");
        }
    }
    if !at.has("password_file") {
        let right =
            format!("write for example password_file = \"{directory}/password\"; an empty file means no password");
        at.error("password_file", "is missing: a PKCS#12 file has a password", right);
    }
    Some(Material::Pkcs12 {
        file: at.read("pkcs12", value::path)?,
        password_file: at.read("password_file", value::path)?,
    })
}

/// The second place, which must be another than the first.
pub(super) fn staged(at: &Reader<'_>, material: Option<&Material>) -> Option<PathBuf> {
    let staged = at.read("staged", value::path)?;
    if let Some(material) = material
        && let first = material.first()
        && first.parent() == Some(&staged)
    {
        let key = match material {
            Material::Pem { .. } => "certificate",
            Material::Pkcs12 { .. } => "pkcs12",
        };
        at.error(
            "staged",
            format!("is the directory of `{key}` itself"),
            "write another directory: what arrives there is tried before it is used",
        );
    }
    Some(staged)
}

pub(super) fn promotion(at: &Reader<'_>) -> Promotion {
    match at.text("promotion") {
        Some("manual") => Promotion::Manual,
        _ => Promotion::Automatic,
    }
}

fn untried_before(at: &Reader<'_>) -> Duration {
    let found = at.duration("untried_before", seconds(3600));
    if !(seconds(1)..=seconds(30 * DAY)).contains(&found) {
        let wrong = format!("is {}, which is not from 1s to 720h", shown(found));
        at.error("untried_before", wrong, "write for example \"1h\"");
    }
    found
}

/// The list of revoked certificates. What is to happen when it is old is asked for: either default would surprise.
pub(super) fn revocation(at: &Reader<'_>) -> Option<Revocation> {
    const CHOICE: &str = "write crl_stale = \"refuse\" (accept nobody until there is a newer list) or crl_stale = \
                          \"accept\" (go on with the old list)";
    match (at.has("crl"), at.has("crl_stale")) {
        (true, false) => at.error(
            "crl_stale",
            "is missing: what happens when the list is out of date",
            CHOICE,
        ),
        (false, true) => at.error(
            "crl_stale",
            "has no `crl` to be about",
            "write crl = \"…\", or remove it",
        ),
        _ => {}
    }
    let stale = match at.text("crl_stale")? {
        "refuse" => Stale::Refuse,
        "accept" => Stale::Accept,
        _ => return None,
    };
    let file = at.read("crl", value::path)?;
    Some(Revocation { file, stale })
}

/// The control socket; `listen` is where requests are served.
pub(super) fn control(at: &Reader<'_>, listen: Option<&Address>) -> Option<Control> {
    if !at.exists() {
        return None;
    }
    let socket = at.require("socket", "/run/delius-sidecar/control.sock", value::path)?;
    let length = socket.as_os_str().len();
    if length > LONGEST_SOCKET {
        let wrong = format!("has {length} bytes; a unix socket can be found under at most {LONGEST_SOCKET}");
        at.error(
            "socket",
            wrong,
            "write a shorter path, for example \"/run/delius-sidecar/control.sock\"",
        );
    }
    if listen == Some(&Address::Unix(socket.clone())) {
        let wrong = "takes the path of `listen.address`";
        at.error("socket", wrong, "write another path: requests do not pass there");
    }
    Some(Control { socket })
}
