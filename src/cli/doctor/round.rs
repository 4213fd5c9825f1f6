//! What came of knocking: one attempt, one round, and what a round proves.

use std::fmt::Write as _;

use serde_json::{Value, json};

use crate::cert::facts::date;
use crate::cli::output::{Show, Tone, paint};
use crate::fault::Code;
use crate::identity::preflight::Trial;
use crate::telemetry::mask::masked;

/// What came of one attempt.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Outcome {
    Refused(String),
    LetIn(String),
    NotTried(String),
}

/// One attempt after the other at one upstream.
#[derive(Debug)]
pub(super) struct Round {
    /// In Unix seconds.
    pub(super) at: i64,
    pub(super) upstream: String,
    /// The real identity.
    pub(super) own: Outcome,
    pub(super) rows: Vec<(&'static str, Outcome)>,
}

/// Whether that was a refusal.
pub(super) fn judge(trial: &Trial, over_tls: bool) -> Outcome {
    if let Some(status) = trial.status {
        return match status {
            400 | 401 | 403 | 495 | 496 => Outcome::Refused(format!("answers {status}")),
            301 | 302 | 307 | 308 | 426 if !over_tls => Outcome::Refused(format!("answers {status}: come with TLS")),
            _ => Outcome::LetIn(format!("answers {status}")),
        };
    }
    let Some(fault) = &trial.fault else {
        return Outcome::NotTried(String::from("nothing came of it"));
    };
    let short = masked(fault.detail.split("; ").next().unwrap_or_default().to_owned());
    let alert = short
        .rsplit_once("handshake: ")
        .map_or(short.as_str(), |(_, alert)| alert);
    match fault.code {
        Code::UpstreamUnreachable | Code::UpstreamTimeout => Outcome::NotTried(short),
        // Over TLS, whatever it says it says to somebody it let in; in the clear, a TLS server's alert is no HTTP.
        Code::UpstreamInvalid if over_tls => Outcome::LetIn(short),
        Code::UpstreamInvalid => Outcome::Refused(String::from("answers no HTTP, as a TLS server should")),
        _ if trial.server_version.is_some() => Outcome::Refused(format!("after the handshake: {alert}")),
        _ if over_tls => Outcome::Refused(format!("in the handshake: {alert}")),
        _ => Outcome::Refused(short),
    }
}

impl Outcome {
    const fn as_str(&self) -> &'static str {
        match self {
            Self::Refused(_) => "refused",
            Self::LetIn(_) => "LET IN",
            Self::NotTried(_) => "not tried",
        }
    }

    const fn tone(&self) -> Tone {
        match self {
            Self::Refused(_) => Tone::Good,
            Self::LetIn(_) => Tone::Bad,
            Self::NotTried(_) => Tone::Warning,
        }
    }

    fn text(&self) -> &str {
        match self {
            Self::Refused(text) | Self::LetIn(text) | Self::NotTried(text) => text,
        }
    }
}

impl Round {
    fn named(&self, which: impl Fn(&Outcome) -> bool) -> Vec<&'static str> {
        let rows = self.rows.iter().filter(|(_, outcome)| which(outcome));
        rows.map(|(who, _)| *who).collect()
    }

    fn let_in(&self) -> Vec<&'static str> {
        self.named(|outcome| matches!(outcome, Outcome::LetIn(_)))
    }

    pub(super) fn is_well(&self) -> bool {
        matches!(self.own, Outcome::LetIn(_))
            && self.let_in().is_empty()
            && self
                .rows
                .iter()
                .any(|(_, outcome)| matches!(outcome, Outcome::Refused(_)))
    }

    /// The round in one sentence.
    pub(super) fn verdict(&self) -> String {
        let let_in = self.let_in();
        let refused = self.named(|outcome| matches!(outcome, Outcome::Refused(_))).len();
        let untried = self.named(|outcome| matches!(outcome, Outcome::NotTried(_)));
        let counts = if untried.is_empty() {
            format!("refused {refused}")
        } else {
            format!("refused {refused}, not tried: {}", untried.join(", "))
        };
        if !let_in.is_empty() {
            return format!("upstream {}: LET IN: {}; {counts}", self.upstream, let_in.join(", "));
        }
        match &self.own {
            Outcome::LetIn(_) if refused > 0 => {
                format!(
                    "upstream {}: nobody was let in who should not be; {counts}",
                    self.upstream
                )
            }
            Outcome::LetIn(_) => format!("upstream {}: nothing was proven; {counts}", self.upstream),
            own => format!(
                "upstream {}: this proves nothing, because the real identity does not get in either ({}: {}); name a \
                 request that it may make with --path, or run `doctor` without --refusals; {counts}",
                self.upstream,
                own.as_str(),
                own.text()
            ),
        }
    }

    pub(super) fn json(&self) -> Value {
        let row = |who: &str, outcome: &Outcome| {
            let result = outcome.as_str().to_ascii_lowercase().replace(' ', "_");
            json!({ "who": who, "result": result, "detail": outcome.text() })
        };
        json!({
            "at": date(self.at),
            "upstream": self.upstream,
            "well": self.is_well(),
            "verdict": self.verdict(),
            "own": row("the real identity", &self.own),
            "attempts": self.rows.iter().map(|(who, outcome)| row(who, outcome)).collect::<Vec<_>>(),
        })
    }
}

impl Round {
    fn table(&self) -> String {
        let mut out = String::new();
        let row = |tone, result: &str| paint(tone, &format!("{result:<10}"));
        let (tone, result, text) = match &self.own {
            Outcome::LetIn(text) => (Tone::Good, "gets in", text.as_str()),
            other => (Tone::Bad, other.as_str(), other.text()),
        };
        // Writing to a String cannot fail.
        let _ = writeln!(out, "{}", paint(Tone::Heading, &format!("upstream {}", self.upstream)));
        let _ = writeln!(out, "  {} {:<26} {text}", row(tone, result), "the real identity");
        for (who, outcome) in &self.rows {
            let result = row(outcome.tone(), outcome.as_str());
            let _ = writeln!(out, "  {result} {who:<26} {}", outcome.text());
        }
        let tone = if self.is_well() { Tone::Good } else { Tone::Bad };
        let _ = writeln!(out, "\n{} {}", paint(tone, "verdict:"), self.verdict());
        out
    }
}

/// Every round of one moment: a table, or a line for each where there will be many.
pub(super) struct Rounds(pub(super) Vec<Round>);

impl Show for Rounds {
    fn text(&self) -> String {
        self.0.iter().map(Round::table).collect::<Vec<_>>().join("\n")
    }

    fn json(&self) -> Value {
        json!({
            "well": self.0.iter().all(Round::is_well),
            "upstreams": self.0.iter().map(Round::json).collect::<Vec<_>>(),
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::fault::Fault;
    use crate::identity::preflight::Verdict;

    fn round(own: Outcome, rows: &[(&'static str, Outcome)]) -> Round {
        Round {
            at: 0,
            upstream: "ndh".to_owned(),
            own,
            rows: rows.to_vec(),
        }
    }

    fn refused() -> Outcome {
        Outcome::Refused("answers 403".to_owned())
    }

    fn let_in() -> Outcome {
        Outcome::LetIn("answers 200".to_owned())
    }

    fn ended(status: Option<u16>, fault: Option<(Code, &'static str)>, version: Option<&'static str>) -> Trial {
        Trial {
            verdict: Verdict::Unreachable(String::new()),
            server_chain: Vec::new(),
            server_version: version,
            status,
            challenge: None,
            date: None,
            fault: fault.map(|(code, detail)| Fault::new(code, detail)),
        }
    }

    #[test]
    fn what_counts_as_a_refusal_is_what_the_table_says() {
        for (status, over_tls, refused) in [
            (400, true, true),
            (401, true, true),
            (403, true, true),
            (495, true, true),
            (496, true, true),
            (200, true, false),
            (301, true, false),
            (404, true, false),
            (500, true, false),
            (503, true, false),
            (301, false, true),
            (426, false, true),
            (200, false, false),
        ] {
            let outcome = judge(&ended(Some(status), None, Some("TLSv1.3")), over_tls);
            assert_eq!(matches!(outcome, Outcome::Refused(_)), refused, "{status}: {outcome:?}");
            assert_eq!(matches!(outcome, Outcome::LetIn(_)), !refused, "{status}: {outcome:?}");
        }
        let fault = |code, detail, version| judge(&ended(None, Some((code, detail)), version), true);
        let late = fault(
            Code::IdentityRejected,
            "ndh:1 after the TLS handshake: received fatal alert: UnknownCA; look",
            Some("TLSv1.3"),
        );
        assert_eq!(
            late,
            Outcome::Refused("after the handshake: received fatal alert: UnknownCA".to_owned())
        );
        assert!(matches!(
            fault(Code::UpstreamReset, "closed", None),
            Outcome::Refused(_)
        ));
        assert!(matches!(
            fault(Code::UpstreamTimeout, "silence", Some("TLSv1.3")),
            Outcome::NotTried(_)
        ));
        assert!(matches!(
            fault(Code::UpstreamUnreachable, "down", None),
            Outcome::NotTried(_)
        ));
        assert!(matches!(
            fault(Code::UpstreamInvalid, "nonsense", Some("TLSv1.3")),
            Outcome::LetIn(_)
        ));
    }

    #[test]
    fn one_who_is_let_in_fails_the_round_and_is_named() {
        let round = round(let_in(), &[("expired", let_in()), ("no certificate", refused())]);
        assert!(!round.is_well());
        assert!(round.verdict().contains("LET IN: expired"), "{}", round.verdict());
    }

    #[test]
    fn refusals_prove_something_only_if_the_real_identity_gets_in() {
        let rows = [
            ("no certificate", refused()),
            ("revoked", Outcome::NotTried("needs".to_owned())),
        ];
        assert!(round(let_in(), &rows).is_well());
        assert!(
            round(let_in(), &rows)
                .verdict()
                .contains("refused 1, not tried: revoked")
        );
        let unproven = round(refused(), &rows);
        assert!(!unproven.is_well());
        assert!(unproven.verdict().contains("proves nothing"), "{}", unproven.verdict());
        assert!(!round(let_in(), &rows[1..]).is_well(), "nothing was tried");
    }
}
