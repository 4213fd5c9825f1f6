//! `cert needs-renewal`: for cron jobs and scripts, with the exit codes and the meaning of `step`.
//!
//! A time is what may be left at most; a percentage is how much of the lifetime may have passed (`66%`: two thirds are
//! over), not how much is left. Exit codes: 0 needs renewal, 1 does not, 2 the file is missing, 255 anything else; so
//! wrong usage is 255 here too, which the command line's reader sees to.

use std::io::ErrorKind;
use std::path::PathBuf;
use std::process::ExitCode;

use anyhow::{Context as _, bail};
use clap::Args;
use rustls_pki_types::CertificateDer;
use rustls_pki_types::pem::PemObject as _;
use serde_json::{Value, json};

use super::super::files;
use super::super::output::{self, Format, Show};
use super::super::span::{self, moment};
use crate::cert::facts::{Facts, date};
use crate::clock;

const NEEDED: u8 = 0;
const NOT_NEEDED: u8 = 1;
const MISSING: u8 = 2;
/// Everything else that ends the command, wrong usage included.
pub const ERROR: u8 = 255;

/// Whether a certificate needs to be renewed: exit code 0 it does, 1 it does not, 2 no such file, 255 error.
#[derive(Args, Debug)]
#[command(
    after_help = "Examples:\n  delius-sidecar cert needs-renewal tls.crt                    two thirds of its life are over\n  \
                        delius-sidecar cert needs-renewal tls.crt --expires-in 30d   it ends within 30 days\n  \
                        delius-sidecar cert needs-renewal tls.crt --expires-in 75% --bundle\n\n\
                        Exit codes: 0 needs renewal, 1 does not, 2 the file is missing, 255 any other error."
)]
pub struct NeedsRenewal {
    /// The certificate, PEM or DER; of a chain the first counts.
    #[arg(value_name = "FILE")]
    file: PathBuf,
    /// The time that may be left (30d, 8h, 0s), or how much of its life may have passed (66%).
    #[arg(long, value_name = "TIME|PERCENT", default_value = "66%")]
    expires_in: String,
    /// Every certificate of the file counts, not only the first.
    #[arg(long)]
    bundle: bool,
    /// How the result is printed.
    #[arg(long, value_enum, default_value_t = Format::Text)]
    output: Format,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Limit {
    Left(i64),
    PercentPassed(i64),
}

struct Answer {
    file: PathBuf,
    limit: String,
    now: i64,
    needed: bool,
    /// The one that decides: the first that needs it, else the first to end.
    decisive: Facts,
}

/// Runs `cert needs-renewal`.
#[must_use]
pub fn needs_renewal(args: &NeedsRenewal) -> ExitCode {
    let code = match args.answer(clock::unix_seconds()) {
        Ok(answer) => match output::print(&answer, args.output) {
            Ok(()) if answer.needed => NEEDED,
            Ok(()) => NOT_NEEDED,
            Err(error) => failed(&error.into()),
        },
        Err(error) => failed(&error),
    };
    ExitCode::from(code)
}

fn failed(error: &anyhow::Error) -> u8 {
    output::error(error);
    let missing = |cause: &(dyn std::error::Error + 'static)| {
        cause
            .downcast_ref::<std::io::Error>()
            .is_some_and(|error| error.kind() == ErrorKind::NotFound)
    };
    if error.chain().any(missing) { MISSING } else { ERROR }
}

impl NeedsRenewal {
    fn answer(&self, now: i64) -> anyhow::Result<Answer> {
        let limit = Limit::read(&self.expires_in)?;
        let shown = self.file.display();
        let bytes = files::bounded(&self.file).with_context(|| {
            format!("the certificate {shown} cannot be read; expected a PEM or DER file such as tls.crt")
        })?;
        let mut chain: Vec<CertificateDer<'static>> = if bytes.first() == Some(&0x30) {
            vec![bytes.into()]
        } else {
            let read = CertificateDer::pem_slice_iter(&bytes).collect::<Result<_, _>>();
            read.map_err(|_| anyhow::anyhow!("{shown} is damaged PEM"))?
        };
        if !self.bundle {
            chain.truncate(1);
        }
        let facts: Vec<Facts> = chain
            .iter()
            .map(|der| Facts::read(der))
            .collect::<Result<_, _>>()
            .with_context(|| format!("reading the certificate {shown}"))?;
        let needing = facts.iter().find(|facts| limit.reached(facts, now)).cloned();
        let needed = needing.is_some();
        let first_to_end = || facts.into_iter().min_by_key(|facts| facts.not_after);
        let Some(decisive) = needing.or_else(first_to_end) else {
            bail!("{shown} holds no certificate (PEM or DER)");
        };
        Ok(Answer {
            file: self.file.clone(),
            limit: self.expires_in.clone(),
            now,
            needed,
            decisive,
        })
    }
}

impl Limit {
    fn read(text: &str) -> anyhow::Result<Self> {
        let wrong = |why: &str| anyhow::anyhow!("--expires-in \"{}\": {why}", text.escape_debug());
        if let Some(number) = text.strip_suffix('%') {
            return match number.parse() {
                Ok(percent @ 0..=100) => Ok(Self::PercentPassed(percent)),
                _ => Err(wrong(
                    "expected a whole percentage from 0% to 100%, or a time such as 30d",
                )),
            };
        }
        span::parse(text).map(Self::Left).map_err(|why| wrong(&why))
    }

    fn reached(self, facts: &Facts, now: i64) -> bool {
        match self {
            Self::Left(limit) => facts.not_after.saturating_sub(now) <= limit,
            Self::PercentPassed(limit) => {
                let life = i128::from(facts.not_after) - i128::from(facts.not_before);
                let passed = i128::from(now) - i128::from(facts.not_before);
                life <= 0 || passed * 100 >= i128::from(limit) * life
            }
        }
    }
}

impl Show for Answer {
    fn text(&self) -> String {
        let verdict = if self.needed {
            "needs renewal"
        } else {
            "does not need renewal"
        };
        format!(
            "{} {verdict}: \"{}\" ends {}; the limit is {}\n",
            self.file.display(),
            self.decisive.subject,
            moment(self.decisive.not_after, self.now),
            self.limit
        )
    }

    fn json(&self) -> Value {
        json!({
            "file": output::path(&self.file),
            "needs_renewal": self.needed,
            "expires_in": self.limit,
            "subject": self.decisive.subject,
            "serial": self.decisive.serial,
            "not_before": date(self.decisive.not_before),
            "not_after": date(self.decisive.not_after),
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::cert::issue::{Purposes, Spec, Validity, self_signed};

    const NOW: i64 = 1_800_000_000;

    fn living(not_before: i64, not_after: i64) -> Facts {
        let validity = Validity { not_before, not_after };
        let issued = self_signed(&Spec::new("x", Purposes::Client, validity)).expect("a certificate");
        Facts::read(&issued.leaf).expect("facts")
    }

    #[test]
    fn a_percentage_is_what_has_passed_and_a_time_is_what_is_left() {
        let facts = living(NOW, NOW + 1000);
        let reached = |limit: &str, after| Limit::read(limit).expect("a limit").reached(&facts, NOW + after);
        assert!(!reached("66%", 659) && reached("66%", 660), "two thirds are over");
        assert!(!reached("1m", 939) && reached("1m", 940), "a minute is left");
        assert!(
            !reached("0s", 999) && reached("0s", 1000) && reached("0s", 2000),
            "it has ended"
        );
        assert!(!reached("100%", 999) && reached("100%", 1000));
        assert!(!reached("50%", -500), "it is not yet valid");
    }

    #[test]
    fn limits_that_mean_nothing_are_errors() {
        for text in ["", "%", "101%", "-1%", "6.6%", "30", "soon", "-1h"] {
            assert!(Limit::read(text).is_err(), "{text}");
        }
    }
}
