//! `identity status` as people read it, at night: one block for each certificate in use, what is urgent in capitals.
//!
//! Times are absolute and relative. Pure: what "now" is, is an argument.

use std::fmt::Write as _;

use crate::cert::facts::span;
use crate::identity::status::{Candidate, Certificate, Crl, Generation, Lineage, Receipt, Refused, Report};

/// What ends within this many seconds (30 days) is worth capitals.
const SOON: i64 = 30 * 86_400;
/// Width of the first column.
const LABEL: usize = 12;

/// The whole report.
pub(super) fn text(report: &Report, now: i64) -> String {
    if report.lineages.is_empty() {
        return "no certificates are managed here: nothing speaks TLS\n".to_owned();
    }
    let blocks: Vec<String> = report.lineages.iter().map(|lineage| block(lineage, now)).collect();
    blocks.join("\n")
}

fn block(lineage: &Lineage, now: i64) -> String {
    let mut page = Page {
        text: String::new(),
        now,
    };
    let towards = match lineage.upstream.as_str() {
        "" => "shown to callers".to_owned(),
        upstream => format!("towards {upstream}"),
    };
    let _ = writeln!(
        page.text,
        "{}, {towards} (promotion: {})",
        lineage.identity, lineage.promotion
    );
    match &lineage.in_use {
        Some(generation) => page.in_use(generation),
        None => page.row("in use", "NOTHING: there is no certificate to show"),
    }
    if let Some(previous) = &lineage.previous {
        page.previous(previous);
    }
    if let Some(candidate) = &lineage.candidate {
        page.candidate(candidate);
    }
    if let Some(refused) = &lineage.refused {
        page.refused(refused);
    }
    if let Some(receipt) = &lineage.receipt {
        page.receipt(receipt);
    }
    for warning in &lineage.warnings {
        page.row("warning", warning);
    }
    for (position, certificate) in lineage.server.iter().enumerate() {
        let label = if position == 0 { "server" } else { "" };
        page.short(label, certificate);
    }
    page.text
}

struct Page {
    text: String,
    now: i64,
}

impl Page {
    /// A label and its text; further lines of the text stand below it.
    fn row(&mut self, label: &str, text: &str) {
        let mut label = label;
        for line in text.lines() {
            let _ = writeln!(self.text, "  {label:LABEL$}{line}");
            label = "";
        }
    }

    fn in_use(&mut self, generation: &Generation) {
        let since = self.moment(&generation.since);
        self.row(
            "in use",
            &format!(
                "generation {}, {}, since {since}",
                generation.number,
                place(&generation.place)
            ),
        );
        self.row("", &format!("proven by: {}", generation.proof));
        self.row("", &format!("open connections: {}", generation.connections));
        for (position, certificate) in generation.chain.iter().enumerate() {
            if position == 0 {
                self.whole(certificate);
            } else {
                self.short("signed by", certificate);
            }
        }
        for (position, certificate) in generation.trust.iter().enumerate() {
            self.short(if position == 0 { "trust" } else { "" }, certificate);
        }
        for (position, list) in generation.crls.iter().enumerate() {
            self.list(if position == 0 { "revocation" } else { "" }, list);
        }
    }

    fn previous(&mut self, generation: &Generation) {
        let since = self.moment(&generation.since);
        let mut text = format!("generation {}, in use since {since}", generation.number);
        if let Some(leaf) = generation.chain.first() {
            let _ = write!(text, "\n{}, serial {}, {}", leaf.subject, leaf.serial, self.end(leaf));
        }
        if generation.connections > 0 {
            let _ = write!(text, "\nconnections still open: {}", generation.connections);
        }
        self.row("previous", &text);
    }

    fn candidate(&mut self, candidate: &Candidate) {
        let phase = candidate.phase.replace('_', " ");
        let mut text = format!(
            "generation {}, {}: {phase}\n{}",
            candidate.number,
            place(&candidate.place),
            candidate.sentence
        );
        if let Some(next) = &candidate.next {
            let _ = write!(text, "\nnext by itself: {}", self.moment(next));
        }
        self.row("candidate", &text);
        self.whole(&candidate.certificate);
    }

    fn refused(&mut self, refused: &Refused) {
        let at = self.moment(&refused.at);
        let text = format!("REFUSED {at}, {}\n{}", place(&refused.place), refused.reason);
        self.row("refused", &text);
    }

    fn receipt(&mut self, receipt: &Receipt) {
        let promoted = self.moment(&receipt.promoted);
        let why = receipt.why.replace('_', " ");
        let mut text = format!("{}\npromoted {promoted}: {why}", receipt.sentence);
        if let (Some(from), None) = (receipt.from, receipt.retired_after_seconds) {
            let _ = write!(text, "\ngeneration {from} is NOT YET RETIRED");
        }
        if receipt.requests_failed > 0 {
            let _ = write!(text, "\nREQUESTS FAILED: {}", receipt.requests_failed);
        }
        self.row("receipt", &text);
    }

    fn whole(&mut self, certificate: &Certificate) {
        let names = if certificate.names.is_empty() {
            "none".to_owned()
        } else {
            certificate.names.join(", ")
        };
        let begin = self.moment(&certificate.not_before);
        let early = seconds(&certificate.not_before).is_some_and(|begin| begin > self.now);
        let begin = if early {
            format!("{begin}: NOT YET VALID")
        } else {
            begin
        };
        self.row(
            "",
            &format!(
                "subject: {}\nnames: {names}\nissuer: {}\nserial: {}\nSHA-256: {}\nvalid from {begin}\n{}",
                certificate.subject,
                certificate.issuer,
                certificate.serial,
                certificate.fingerprint,
                self.end(certificate)
            ),
        );
    }

    fn short(&mut self, label: &str, certificate: &Certificate) {
        let text = format!(
            "{}, serial {}, {}",
            certificate.subject,
            certificate.serial,
            self.end(certificate)
        );
        self.row(label, &text);
    }

    fn list(&mut self, label: &str, list: &Crl) {
        let next = match &list.next_update {
            None => "with no next update".to_owned(),
            Some(next) => {
                let late = seconds(next).is_some_and(|next| next < self.now);
                let word = if late { ": STALE" } else { "" };
                format!("next update {}{word}", self.moment(next))
            }
        };
        let made = self.moment(&list.this_update);
        self.row(
            label,
            &format!("list of {}, of {made}, revoked: {}, {next}", list.issuer, list.revoked),
        );
    }

    fn end(&self, certificate: &Certificate) -> String {
        let when = self.moment(&certificate.not_after);
        match seconds(&certificate.not_after).map(|end| end - self.now) {
            Some(..0) => format!("ended {when}: EXPIRED"),
            Some(0..SOON) => format!("ends {when}: ENDS WITHIN 30 DAYS"),
            _ => format!("ends {when}"),
        }
    }

    /// `2026-12-01T00:00:00Z (in 9 days)`.
    fn moment(&self, text: &str) -> String {
        match seconds(text).map(|at| at - self.now) {
            None => text.to_owned(),
            Some(ahead @ 1..) => format!("{text} (in {})", span(ahead)),
            Some(past) => format!("{text} ({} ago)", span(-past)),
        }
    }
}

fn seconds(text: &str) -> Option<i64> {
    text.parse().map(jiff::Timestamp::as_second).ok()
}

fn place(place: &str) -> String {
    format!("from the {place} place")
}

#[cfg(test)]
mod tests;
