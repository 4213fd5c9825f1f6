//! What a `ca` command made, as it is told.

use std::path::{Path, PathBuf};

use serde_json::{Value, json};

use super::super::output::{self, Show};
use super::directory::Lists;
use crate::cert::facts::{Facts, date};

/// A certificate that was signed, and where it went.
#[derive(Debug)]
pub(super) struct Made {
    pub(super) facts: Facts,
    pub(super) files: Vec<PathBuf>,
    /// What is worth knowing before the certificate is used.
    pub(super) notes: Vec<String>,
    /// A CA that came with it: the issuing CA of a new root.
    pub(super) issuing: Option<Facts>,
}

/// What was taken back, and the list that says so.
#[derive(Debug)]
pub(super) struct Taken {
    /// Serial, subject, since when, why.
    pub(super) revoked: Option<(String, String, String, String)>,
    pub(super) lists: Lists,
    pub(super) notes: Vec<String>,
}

impl Show for Made {
    fn text(&self) -> String {
        let facts = &self.facts;
        let files: Vec<String> = self.files.iter().map(|file| file.display().to_string()).collect();
        let mut rows = vec![
            ("subject", facts.subject.clone()),
            ("issuer", facts.issuer.clone()),
            ("names", facts.names()),
            ("valid from", date(facts.not_before)),
            ("valid to", date(facts.not_after)),
            ("key", facts.key.to_string()),
            ("serial", facts.serial.clone()),
            ("sha256", facts.fingerprint()),
            ("spki", facts.spki()),
        ];
        if let Some(issuing) = &self.issuing {
            rows.push((
                "issuing",
                format!("{} until {}", issuing.subject, date(issuing.not_after)),
            ));
        }
        rows.push(("files", files.join(", ")));
        output::table(0, &rows)
    }

    fn json(&self) -> Value {
        let mut json = certificate(&self.facts);
        json["files"] = self.files.iter().map(|file| output::path(file)).collect();
        json["notes"] = json!(self.notes);
        if let Some(issuing) = &self.issuing {
            json["issuing"] = certificate(issuing);
        }
        json
    }
}

impl Show for Taken {
    fn text(&self) -> String {
        let mut rows = Vec::new();
        if let Some((serial, subject, at, reason)) = &self.revoked {
            rows.push(("revoked", serial.clone()));
            rows.push(("subject", subject.clone()));
            rows.push(("since", at.clone()));
            rows.push(("reason", reason.clone()));
        }
        rows.extend(self.lists.rows());
        output::table(0, &rows)
    }

    fn json(&self) -> Value {
        let revoked = self.revoked.as_ref().map(
            |(serial, subject, at, reason)| json!({ "serial": serial, "subject": subject, "at": at, "reason": reason }),
        );
        json!({ "revoked": revoked, "crl": self.lists.json(), "notes": self.notes })
    }
}

fn certificate(facts: &Facts) -> Value {
    json!({
        "subject": facts.subject,
        "issuer": facts.issuer,
        "dns": facts.dns_names,
        "uri": facts.uri_names,
        "ip": facts.ip_names,
        "not_before": date(facts.not_before),
        "not_after": date(facts.not_after),
        "key": facts.key.to_string(),
        "serial": facts.serial,
        "sha256": facts.fingerprint(),
        "spki": facts.spki(),
        "is_ca": facts.is_ca,
    })
}

/// The place of a certificate: a directory, or a file when the path looks like one.
pub(super) fn is_file(path: &Path) -> bool {
    !path.is_dir() && path.extension().is_some()
}
