//! What was seen, as text for people and as JSON; the fields of the types here are the JSON.

use serde::Serialize;
use serde_json::Value;

use super::super::super::output::{Tone, paint, table};
use super::super::super::span::{distance, moment};
use crate::cert::facts::{Facts, date, printable};
use crate::cert::issue::Request;
use crate::cert::verify::{Finding, Severity};

/// One target.
#[derive(Debug, Serialize)]
pub(super) struct Report {
    pub(super) target: String,
    pub(super) kind: &'static str,
    pub(super) parts: Vec<Part>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) tls: Option<Tls>,
    /// What a running sidecar says of its certificates.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub(super) running: Vec<Value>,
    pub(super) notes: Vec<Note>,
    pub(super) error: Option<String>,
}

/// One file, or what a server sent.
#[derive(Debug, Default, Serialize)]
pub(super) struct Part {
    pub(super) source: String,
    pub(super) certificates: Vec<Certificate>,
    pub(super) requests: Vec<Requested>,
    pub(super) revocation_lists: Vec<RevocationList>,
    pub(super) keys: Vec<KeyFile>,
    pub(super) findings: Vec<Note>,
}

#[derive(Debug, Serialize)]
pub(super) struct Certificate {
    pub(super) subject: String,
    pub(super) dns: Vec<String>,
    pub(super) uri: Vec<String>,
    pub(super) ip: Vec<String>,
    pub(super) issuer: String,
    pub(super) serial: String,
    pub(super) sha256: String,
    pub(super) spki: String,
    pub(super) is_ca: bool,
    pub(super) usage: Vec<&'static str>,
    pub(super) key: String,
    pub(super) signature: String,
    pub(super) not_before: String,
    pub(super) not_after: String,
    pub(super) ends: String,
    #[serde(skip)]
    pub(super) facts: Facts,
}

#[derive(Debug, Serialize)]
pub(super) struct Requested {
    pub(super) subject: String,
    pub(super) dns: Vec<String>,
    pub(super) uri: Vec<String>,
    pub(super) ip: Vec<String>,
    pub(super) key: String,
    pub(super) spki: String,
    pub(super) wants_ca: bool,
    pub(super) usage: Vec<&'static str>,
    #[serde(skip)]
    pub(super) names: String,
}

#[derive(Debug, Serialize)]
pub(super) struct RevocationList {
    pub(super) issuer: String,
    pub(super) number: Option<String>,
    pub(super) this_update: String,
    pub(super) next_update: Option<String>,
    pub(super) revoked: Vec<String>,
    #[serde(skip)]
    pub(super) ends: Option<i64>,
}

#[derive(Debug, Serialize)]
pub(super) struct KeyFile {
    pub(super) kind: &'static str,
    pub(super) encrypted: bool,
    /// The certificates of the same directory that it belongs to.
    pub(super) belongs_to: Vec<String>,
}

#[derive(Debug, Serialize)]
pub(super) struct Tls {
    pub(super) version: &'static str,
    pub(super) suite: String,
    pub(super) group: String,
    pub(super) alpn: Option<String>,
    pub(super) asks_for_certificate: bool,
    pub(super) certificate_sent: bool,
    pub(super) accepted_issuers: Vec<String>,
    /// `None`: nobody said which CA to check against.
    pub(super) verifies: Option<bool>,
}

#[derive(Debug, Serialize)]
pub(super) struct Note {
    pub(super) severity: &'static str,
    pub(super) what: &'static str,
    pub(super) text: String,
}

impl Report {
    pub(super) fn of(target: &str, kind: &'static str) -> Self {
        Self {
            target: printable(target),
            kind,
            parts: Vec::new(),
            tls: None,
            running: Vec::new(),
            notes: Vec::new(),
            error: None,
        }
    }

    pub(super) fn wrong(mut self, why: String) -> Self {
        self.error = Some(why);
        self
    }

    pub(super) fn failed(&self) -> bool {
        self.error.is_some()
    }

    pub(super) fn text(&self, now: i64) -> String {
        let title = format!("{} ({})", self.target, self.kind);
        let mut out = format!("{}\n", paint(Tone::Heading, &title));
        if let Some(tls) = &self.tls {
            out.push_str(&table(2, &tls.rows()));
        }
        for part in &self.parts {
            part.write(self.parts.len() > 1 || part.source != self.target, now, &mut out);
        }
        for entry in &self.running {
            out.push_str(&super::running::text(entry, now));
        }
        notes(&self.notes, 2, &mut out);
        if let Some(error) = &self.error {
            out.push_str(&format!("  {} {error}\n", paint(Tone::Bad, "failed:")));
        }
        out
    }
}

impl Part {
    fn write(&self, named: bool, now: i64, out: &mut String) {
        if named {
            out.push_str(&format!("  {}\n", paint(Tone::Heading, &self.source)));
        }
        let total = self.certificates.len();
        for (index, certificate) in self.certificates.iter().enumerate() {
            let kind = if certificate.is_ca {
                "CA certificate"
            } else {
                "certificate"
            };
            let title = format!("{kind} {} of {total}", index + 1);
            out.push_str(&format!("  {}\n", paint(Tone::Quiet, &title)));
            out.push_str(&table(4, &certificate.rows(now)));
        }
        for request in &self.requests {
            out.push_str(&format!("  {}\n", paint(Tone::Quiet, "certificate request")));
            out.push_str(&table(4, &request.rows()));
        }
        for list in &self.revocation_lists {
            out.push_str(&format!("  {}\n", paint(Tone::Quiet, "revocation list")));
            out.push_str(&table(4, &list.rows(now)));
        }
        for key in &self.keys {
            let fits = match (key.encrypted, key.belongs_to.is_empty()) {
                (true, _) => String::from("protected by a password"),
                (false, true) => String::from("belongs to no certificate in this directory"),
                (false, false) => format!("belongs to {}", key.belongs_to.join(", ")),
            };
            out.push_str(&format!("  {}: {fits}\n", key.kind));
        }
        notes(&self.findings, 4, out);
    }
}

impl Certificate {
    pub(super) fn new(facts: Facts, now: i64) -> Self {
        let mut usage = Vec::new();
        if let Some(purposes) = facts.purposes {
            usage.extend(purposes.client_auth.then_some("client auth"));
            usage.extend(purposes.server_auth.then_some("server auth"));
            usage.extend(purposes.any.then_some("any purpose"));
            if usage.is_empty() {
                usage.push("other purposes only");
            }
        }
        if let Some(key) = facts.key_usage {
            usage.extend(key.digital_signature.then_some("digital signature"));
            usage.extend(key.key_cert_sign.then_some("certificate signing"));
            usage.extend(key.crl_sign.then_some("CRL signing"));
        }
        Self {
            subject: facts.subject.clone(),
            dns: facts.dns_names.clone(),
            uri: facts.uri_names.clone(),
            ip: facts.ip_names.clone(),
            issuer: facts.issuer.clone(),
            serial: facts.serial.clone(),
            sha256: facts.fingerprint(),
            spki: facts.spki(),
            is_ca: facts.is_ca,
            usage,
            key: facts.key.to_string(),
            signature: facts.signature.clone(),
            not_before: date(facts.not_before),
            not_after: date(facts.not_after),
            ends: ends(facts.not_after, now),
            facts,
        }
    }

    fn rows(&self, now: i64) -> Vec<(&'static str, String)> {
        let facts = &self.facts;
        let begins = if facts.not_before > now {
            format!("{} (begins {})", self.not_before, distance(facts.not_before, now))
        } else {
            self.not_before.clone()
        };
        let usage = if self.usage.is_empty() {
            String::from("not restricted")
        } else {
            self.usage.join(", ")
        };
        vec![
            ("subject", self.subject.clone()),
            ("names", facts.names()),
            ("issuer", self.issuer.clone()),
            ("valid from", begins),
            ("valid to", format!("{} ({})", self.not_after, self.ends)),
            ("usage", usage),
            ("key", format!("{}, signed by {}", self.key, self.signature)),
            ("serial", self.serial.clone()),
            ("sha256", self.sha256.clone()),
            ("spki", self.spki.clone()),
        ]
    }
}

impl Requested {
    pub(super) fn new(request: &Request) -> Self {
        let mut usage = Vec::new();
        if let Some(purposes) = request.purposes {
            usage.extend(purposes.client_auth.then_some("client auth"));
            usage.extend(purposes.server_auth.then_some("server auth"));
        }
        Self {
            subject: request.subject.clone(),
            dns: request.dns_names.clone(),
            uri: request.uri_names.clone(),
            ip: request.ip_names.clone(),
            key: request.key.to_string(),
            spki: request.spki.clone(),
            wants_ca: request.wants_ca,
            usage,
            names: request.names(),
        }
    }

    fn rows(&self) -> Vec<(&'static str, String)> {
        let usage = match (self.wants_ca, self.usage.is_empty()) {
            (true, _) => String::from("to be a CA"),
            (false, true) => String::from("none asked for"),
            (false, false) => self.usage.join(", "),
        };
        vec![
            ("subject", self.subject.clone()),
            ("names", self.names.clone()),
            ("usage", usage),
            ("key", self.key.clone()),
            ("spki", self.spki.clone()),
        ]
    }
}

impl RevocationList {
    fn rows(&self, now: i64) -> Vec<(&'static str, String)> {
        let next = self
            .ends
            .map_or_else(|| String::from("not said"), |end| moment(end, now));
        let mut rows = vec![
            ("issuer", self.issuer.clone()),
            ("this update", self.this_update.clone()),
            ("next update", next),
            ("revoked", self.revoked.len().to_string()),
        ];
        rows.extend(self.number.clone().map(|number| ("number", number)));
        let first: Vec<&str> = self.revoked.iter().take(20).map(String::as_str).collect();
        if !first.is_empty() {
            rows.push(("serials", first.join("\n")));
        }
        rows
    }
}

impl Tls {
    fn rows(&self) -> Vec<(&'static str, String)> {
        let asks = match (self.asks_for_certificate, self.certificate_sent) {
            (false, _) => "it does not ask for one in the handshake",
            (true, true) => "it asks for one, and was sent ours",
            (true, false) => "it asks for one, and was sent none (--cert, --key)",
        };
        let mut rows = vec![
            ("version", self.version.to_owned()),
            ("suite", self.suite.clone()),
            ("key exchange", self.group.clone()),
            (
                "protocol",
                self.alpn.clone().unwrap_or_else(|| String::from("none chosen")),
            ),
            ("client cert.", asks.to_owned()),
        ];
        rows.retain(|(_, value)| !value.is_empty());
        if self.asks_for_certificate {
            let issuers = if self.accepted_issuers.is_empty() {
                String::from("it does not say whose")
            } else {
                self.accepted_issuers.join("\n")
            };
            rows.push(("accepts", issuers));
        }
        let verifies = match self.verifies {
            None => "not checked (--ca)",
            Some(true) => "yes, against --ca",
            Some(false) => "NO, see below",
        };
        rows.push(("verifies", verifies.to_owned()));
        rows
    }
}

impl From<Finding> for Note {
    fn from(finding: Finding) -> Self {
        Self {
            severity: match finding.severity {
                Severity::Warn => "warn",
                Severity::Refuse => "refuse",
            },
            what: finding.what.as_str(),
            text: finding.text,
        }
    }
}

fn notes(notes: &[Note], indent: usize, out: &mut String) {
    for note in notes {
        let word = match note.severity {
            "refuse" => paint(Tone::Bad, "refused:"),
            "warn" => paint(Tone::Warning, "warning:"),
            _ => paint(Tone::Quiet, "note:"),
        };
        out.push_str(&format!("{:indent$}{word} {}\n", "", note.text));
    }
}

/// `in 12 days`, `ended 3 hours ago`.
fn ends(not_after: i64, now: i64) -> String {
    if not_after < now {
        format!("ended {}", distance(not_after, now))
    } else {
        distance(not_after, now)
    }
}
