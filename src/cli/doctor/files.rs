//! The files of this side: may they be read, by whom else, do they fit together, do they hold today.
//!
//! Read as the sidecar would read them, and judged by the same findings; but where the sidecar stops at a refusal, the
//! doctor keeps the pair, to see what the other side says of it.

use std::fs;
use std::io;
use std::os::unix::fs::{MetadataExt as _, PermissionsExt as _};
use std::path::Path;

use zeroize::Zeroizing;

use super::super::files::regular;
use super::report::Lines;
use crate::cert::facts::{date, span};
use crate::cert::load::{self, Bundle, Source};
use crate::cert::verify::{self, Finding, Purpose, Severity, What};
use crate::config::settings::{Identity, Material};
use crate::identity::{mounts, store};

/// Who this process is, for sentences about permissions.
pub(super) fn myself() -> String {
    let (uid, gid) = (rustix::process::geteuid(), rustix::process::getegid());
    format!("user {} of group {}", uid.as_raw(), gid.as_raw())
}

/// Everything about one identity; its pair where the files make one, fit or not.
pub(super) fn identity(identity: &Identity, now: i64, lines: &mut Lines) -> Option<Bundle> {
    let pair = pair(&identity.material, lines);
    if let Some(bundle) = &pair {
        judged(bundle, &identity.expect_dns, now, lines);
    }
    if let Some(staged) = &identity.staged {
        place_of_the_next(staged, lines);
    }
    pair
}

/// The pair that waits in the second place, if one does: what is wrong with it stops nothing yet, so it is a warning.
pub(super) fn next_identity(identity: &Identity, now: i64, lines: &mut Lines) {
    let next = identity
        .staged
        .as_deref()
        .map(|staged| identity.material.within(staged));
    if let Some(material) = next.filter(|material| material.first().exists()) {
        if let Some(bundle) = pair(&material, lines) {
            judged(&bundle, &identity.expect_dns, now, lines);
        }
        lines.soften();
    }
}

/// Reads every file, says what is to be said of each, and puts the pair together.
fn pair(material: &Material, lines: &mut Lines) -> Option<Bundle> {
    const CHECK: &str = "pair";
    let files = material.files();
    let found: Vec<_> = files
        .iter()
        .map(|file| {
            let (check, secret) = part(material, file);
            read(file, check, secret, lines)
        })
        .collect();
    if found.iter().any(Option::is_none) {
        lines.skip(CHECK, "a file could not be read");
        return None;
    }
    let bytes = |path: &Path| {
        let at = files.iter().position(|file| *file == path)?;
        found.get(at)?.as_ref().map(|bytes| bytes.as_slice())
    };
    let source = match material {
        Material::Pem {
            certificate,
            private_key,
            password_file,
        } => Source::Pem {
            certificate: bytes(certificate)?,
            private_key: bytes(private_key)?,
            password: password_file.as_deref().and_then(bytes),
        },
        Material::Pkcs12 { file, password_file } => Source::Pkcs12 {
            file: bytes(file)?,
            password: bytes(password_file)?,
        },
    };
    match load::identity(source) {
        Ok(bundle) => {
            let leaf = bundle.leaf_facts();
            lines.ok(
                CHECK,
                format!(
                    "the key ({}) belongs to the certificate \"{}\", serial {}, issued by \"{}\"",
                    leaf.key, leaf.subject, leaf.serial, leaf.issuer
                ),
            );
            Some(bundle)
        }
        Err(error) => {
            let files: Vec<String> = files.iter().map(|file| file.display().to_string()).collect();
            lines.fail(
                CHECK,
                format!("{}: {error}", files.join(", ")),
                "a certificate chain, the certificate itself first, and the key that belongs to it",
                "put all files of one issue in place",
            );
            None
        }
    }
}

/// What a file is called, and whether it holds a secret.
fn part(material: &Material, file: &Path) -> (&'static str, bool) {
    match material {
        Material::Pem {
            certificate,
            private_key,
            ..
        } if file == certificate => ("certificate file", certificate == private_key),
        Material::Pem { private_key, .. } if file == private_key => ("key file", true),
        Material::Pkcs12 { file: store, .. } if file == store => ("certificate file", true),
        _ => ("password file", true),
    }
}

/// Reads a file and says whether others may, and whether it can ever change.
pub(super) fn read(path: &Path, check: &'static str, secret: bool, lines: &mut Lines) -> Option<Zeroizing<Vec<u8>>> {
    let shown = path.display();
    let bytes = match regular(path) {
        Ok(bytes) => Zeroizing::new(bytes),
        Err(error) => {
            let (found, todo) = match error.kind() {
                io::ErrorKind::NotFound => (
                    format!("{shown} is not there{}", where_it_ends(path)),
                    "check that the secret exists and is mounted there",
                ),
                io::ErrorKind::PermissionDenied => (
                    format!("{shown} may not be read by this process{}", owner(path)),
                    "give the pod `fsGroup`, or the volume a `defaultMode` that lets this user read it",
                ),
                _ => (format!("{shown} cannot be read: {error}"), "put a readable file there"),
            };
            lines.fail(check, found, format!("a file that {} can read", myself()), todo);
            return None;
        }
    };
    let mode = fs::metadata(path).map_or(0, |found| found.permissions().mode() & 0o777);
    let shared = match (secret, mode & 0o007, mode & 0o070) {
        (false, ..) | (true, 0, 0) => None,
        (true, 0, _) => Some("its group"),
        (true, ..) => Some("everybody on this machine"),
    };
    match shared {
        None => lines.ok(check, format!("{shown} (mode {mode:04o})")),
        Some(who) => lines.warn(
            check,
            format!("{shown} holds a secret and can be read by {who} (mode {mode:04o})"),
            "mode 0400 or 0600",
            "set `defaultMode: 0400` on the volume, or chmod 600; 0440 is what `fsGroup` needs",
        ),
    }
    mounted(path, lines);
    Some(bytes)
}

/// The nearest directory that is there.
fn where_it_ends(path: &Path) -> String {
    match path.ancestors().skip(1).find(|directory| directory.exists()) {
        Some(there) if Some(there) != path.parent() => format!(" ({} is, and nothing below it)", there.display()),
        Some(there) => {
            let names = fs::read_dir(there).map(|list| {
                let names = list
                    .flatten()
                    .map(|entry| entry.file_name().to_string_lossy().into_owned());
                names.take(8).collect::<Vec<_>>().join(", ")
            });
            match names {
                Ok(names) if !names.is_empty() => format!(" (its directory holds: {names})"),
                Ok(_) => String::from(" (its directory is empty)"),
                Err(_) => String::new(),
            }
        }
        None => String::new(),
    }
}

fn owner(path: &Path) -> String {
    match fs::metadata(path) {
        Ok(found) => format!(
            " (mode {:04o}, of user {} and group {}; this is {})",
            found.mode() & 0o777,
            found.uid(),
            found.gid(),
            myself()
        ),
        Err(_) => format!(" (a directory on the way may not be entered; this is {})", myself()),
    }
}

/// The findings, each under the name of what was looked at; and what is well is said as well.
fn judged(bundle: &Bundle, expect_dns: &[String], now: i64, lines: &mut Lines) {
    let findings = verify::findings(bundle, Purpose::Client, expect_dns, now, store::CLOCK_SKEW);
    let leaf = bundle.leaf_facts();
    let end = bundle.chain_facts().iter().map(|facts| facts.not_after).min();
    let end = end.unwrap_or(leaf.not_after);
    let length = bundle.chain_facts().len();
    let well = [
        (
            "dates",
            format!(
                "valid from {} to {}, {} left; this machine's clock says {}",
                date(leaf.not_before),
                date(end),
                span(end - now),
                date(now)
            ),
        ),
        ("usage", String::from("may be shown by a client")),
        ("names", format!("{}; subject \"{}\"", leaf.names(), leaf.subject)),
        ("chain order", format!("certificates: {length}, each before its issuer")),
        ("strength", format!("{}, signed by {}", leaf.key, leaf.signature)),
    ];
    for (check, text) in well {
        let mut any = false;
        for finding in findings.iter().filter(|finding| topic(finding.what) == check) {
            any = true;
            told(check, finding, lines);
        }
        if !any {
            lines.ok(check, text);
        }
    }
}

fn told(check: &'static str, finding: &Finding, lines: &mut Lines) {
    // A finding says what was found and, behind the last semicolon, what to do.
    let (found, todo) = finding.text.rsplit_once("; ").unwrap_or((&finding.text, ""));
    let expected = match check {
        "dates" => "a certificate that is valid now and for some weeks",
        "usage" => "a certificate for client authentication",
        "names" => "the names in `expect_dns`, as subject alternative names",
        "chain order" => "the certificate first, each issuer after the certificate that it signed",
        _ => "RSA 2048 or P-256 at least, signed with SHA-256 at least",
    };
    match finding.severity {
        Severity::Refuse => lines.fail(check, found, expected, todo),
        Severity::Warn => lines.warn(check, found, expected, todo),
    }
}

const fn topic(what: What) -> &'static str {
    match what {
        What::NotYetValid | What::Expired | What::ExpiresSoon => "dates",
        What::PurposeMissing | What::SigningNotAllowed | What::CaAsLeaf | What::OldVersion => "usage",
        What::NameMissing | What::CommonNameOnly => "names",
        What::ChainOrder | What::Unrelated | What::SelfSigned => "chain order",
        _ => "strength",
    }
}

fn place_of_the_next(staged: &Path, lines: &mut Lines) {
    const CHECK: &str = "staged";
    match fs::read_dir(staged) {
        Ok(list) => {
            let files = list.flatten().count();
            lines.ok(CHECK, format!("{}, files there now: {files}", staged.display()));
        }
        Err(error) if error.kind() == io::ErrorKind::NotFound => {
            lines.ok(CHECK, format!("{} is not there: nothing is staged", staged.display()));
        }
        Err(error) => lines.warn(
            CHECK,
            format!("{} cannot be read: {error}", staged.display()),
            "a directory that can be read, or none",
            "mount it so that this user may enter it",
        ),
    }
    mounted(staged, lines);
}

/// Whether a renewed secret can ever appear there.
fn mounted(path: &Path, lines: &mut Lines) {
    if let Some(mount) = mounts::here(path) {
        let said = mount.to_string();
        let (found, todo) = said.rsplit_once("; ").unwrap_or((&said, "mount the whole directory"));
        let expected = "a whole directory, in which a renewed secret appears by itself";
        lines.warn("mount", found, expected, todo);
    }
}
