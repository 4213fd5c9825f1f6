//! The status page's part on what comes next: candidates, refusals, receipts.

use std::fmt::{self, Write as _};

use super::page::Escaped;
use crate::identity::status::Lineage;

pub(super) fn write(out: &mut String, lineages: &[Lineage]) -> fmt::Result {
    if lineages.is_empty() {
        return Ok(());
    }
    out.push_str(
        "<h2>Rotation</h2>\n<table><tr><th>identity</th><th>promotion</th><th>now, and what comes next</th></tr>\n",
    );
    for lineage in lineages {
        write!(out, "<tr><td>{}", Escaped(&lineage.identity))?;
        if !lineage.upstream.is_empty() && lineage.upstream != lineage.identity {
            write!(out, " towards {}", Escaped(&lineage.upstream))?;
        }
        write!(out, "</td><td>{}</td><td>", Escaped(&lineage.promotion))?;
        match &lineage.receipt {
            Some(receipt) => write!(out, "{}", Escaped(&receipt.sentence))?,
            None => out.push_str("<strong class=\"down\">nothing in use</strong>"),
        }
        if let Some(in_use) = &lineage.in_use {
            write!(out, "<br>proof: {}", Escaped(&in_use.proof))?;
        }
        if let Some(candidate) = &lineage.candidate {
            let (number, sentence) = (candidate.number, Escaped(&candidate.sentence));
            write!(out, "<br>next: generation {number}: {sentence}")?;
        }
        if let Some(refused) = &lineage.refused {
            let (place, at, reason) = (&refused.place, &refused.at, &refused.reason);
            write!(
                out,
                "<br><strong class=\"down\">refused</strong> ({}, {}): {}",
                Escaped(place),
                Escaped(at),
                Escaped(reason)
            )?;
        }
        for warning in &lineage.warnings {
            write!(out, "<br><strong class=\"down\">{}</strong>", Escaped(warning))?;
        }
        out.push_str("</td></tr>\n");
    }
    out.push_str("</table>\n");
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::identity::status::{Candidate, Receipt, Refused};

    #[test]
    fn what_comes_next_is_said_and_nothing_in_it_can_break_out_of_the_page() {
        let lineage = Lineage {
            identity: "allocation-manager".to_owned(),
            upstream: "ndh".to_owned(),
            receipt: Some(Receipt {
                sentence: "generation 2 in use".to_owned(),
                ..Receipt::default()
            }),
            candidate: Some(Candidate {
                number: 3,
                sentence: "trial passed".to_owned(),
                ..Candidate::default()
            }),
            refused: Some(Refused {
                reason: "CN=<script>".to_owned(),
                ..Refused::default()
            }),
            ..Lineage::default()
        };
        let mut out = String::new();
        write(&mut out, &[lineage]).expect("text");
        for part in [
            "allocation-manager towards ndh",
            "generation 2 in use",
            "next: generation 3: trial passed",
            "CN=&lt;script&gt;",
        ] {
            assert!(out.contains(part), "{part}: {out}");
        }
    }
}
