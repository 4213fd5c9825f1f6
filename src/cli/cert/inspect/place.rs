//! Files and directories, Kubernetes secrets among them.

use std::fs;
use std::path::{Path, PathBuf};

use super::super::super::files;
use super::material::Material;
use super::show::{Note, Report};
use crate::cert::facts::{Facts, printable};
use crate::cert::load;
use crate::cert::verify::Purpose;
use crate::secret::Secret;

/// Of a directory as many are looked at.
const FILES: usize = 200;
/// A file of a directory that is larger holds something else.
const LARGEST: u64 = 1 << 20;

pub(super) fn file(path: &Path, side: Option<Purpose>, password: Option<&Path>, now: i64) -> Report {
    let name = path.display().to_string();
    let report = Report::of(&name, "file");
    let bytes = match files::read_secret(path, "expected certificates, a request, a revocation list or a key") {
        Ok(bytes) => bytes,
        Err(error) => return report.wrong(printable(&format!("{error:#}"))),
    };
    let material = match password.filter(|_| load::is_pkcs12(bytes.expose())) {
        Some(password) => match unlock(bytes.expose(), password) {
            Ok(material) => material,
            Err(error) => return report.wrong(printable(&format!("{error:#}"))),
        },
        None => Material::read(bytes.expose()),
    };
    if material.is_empty() {
        return report.wrong(String::from(
            "it holds no certificate, request, revocation list or key (PEM or DER)",
        ));
    }
    let neighbours = if material.has_keys() {
        path.parent().map(neighbours).unwrap_or_default()
    } else {
        Vec::new()
    };
    let mut report = report;
    report
        .parts
        .push(material.show(report.target.clone(), side, now, &neighbours));
    report
}

fn unlock(bytes: &[u8], password: &Path) -> anyhow::Result<Material> {
    let read = files::read_secret(password, "--password-file names the file that holds the password")?;
    Ok(Material::unlock(bytes, read.expose())?)
}

pub(super) fn directory(path: &Path, side: Option<Purpose>, now: i64) -> Report {
    let (chain, key) = (path.join("tls.crt"), path.join("tls.key"));
    let swapped = fs::read_link(path.join("..data")).ok();
    let is_secret = swapped.is_some() || (chain.exists() && key.exists());
    let kind = if is_secret { "Kubernetes secret" } else { "directory" };
    let mut report = Report::of(&path.display().to_string(), kind);
    let neighbours = neighbours(path);
    let listed = match list(path) {
        Ok(listed) => listed,
        Err(error) => return report.wrong(format!("it cannot be listed: {error}")),
    };
    for file in listed {
        let Ok(bytes) = fs::read(&file).map(Secret::new) else {
            report
                .notes
                .push(note("warn", "unreadable", format!("{} cannot be read", name(&file))));
            continue;
        };
        let material = Material::read(bytes.expose());
        if !material.is_empty() {
            report.parts.push(material.show(name(&file), side, now, &neighbours));
        }
    }
    if let Some(target) = swapped {
        let text = format!("mounted by Kubernetes; its present content is {}", name(&target));
        report.notes.push(note("note", "mounted", text));
    }
    if is_secret {
        report.notes.extend(pair(&chain, &key));
    }
    if report.parts.is_empty() {
        return report.wrong(String::from(
            "no file in it holds a certificate, request, revocation list or key (PEM or DER)",
        ));
    }
    report
}

/// Whether certificate and key of a secret belong together.
fn pair(chain: &Path, key: &Path) -> Option<Note> {
    let (Ok(chain), Ok(key)) = (fs::read(chain), fs::read(key).map(Secret::new)) else {
        return Some(note(
            "refuse",
            "pair",
            String::from("tls.crt and tls.key are not both there"),
        ));
    };
    let error = load::bundle(&chain, key.expose()).err()?;
    Some(note("refuse", "pair", printable(&error.to_string())))
}

/// Every certificate in the files of a directory.
fn neighbours(directory: &Path) -> Vec<(String, Facts)> {
    let directory = if directory.as_os_str().is_empty() {
        Path::new(".")
    } else {
        directory
    };
    let mut found = Vec::new();
    for file in list(directory).unwrap_or_default() {
        let Ok(bytes) = fs::read(&file).map(Secret::new) else {
            continue;
        };
        let chain = Material::read(bytes.expose()).chain;
        let facts = chain.iter().filter_map(|der| Facts::read(der).ok());
        found.extend(facts.map(|facts| (name(&file), facts)));
    }
    found
}

/// The files that may hold something, by name; what Kubernetes keeps behind dots is reached through its links.
fn list(directory: &Path) -> std::io::Result<Vec<PathBuf>> {
    let mut found: Vec<PathBuf> = fs::read_dir(directory)?
        .filter_map(|entry| entry.ok().map(|entry| entry.path()))
        .filter(|path| !name(path).starts_with('.'))
        .filter(|path| fs::metadata(path).is_ok_and(|meta| meta.is_file() && meta.len() <= LARGEST))
        .collect();
    found.sort();
    found.truncate(FILES);
    Ok(found)
}

fn name(path: &Path) -> String {
    printable(&path.file_name().unwrap_or(path.as_os_str()).to_string_lossy())
}

fn note(severity: &'static str, what: &'static str, text: String) -> Note {
    Note { severity, what, text }
}
