//! What is counted of tokens: fetches, the end of the one in use, changes of the client's pair, the age of its secret.
//!
//! Labels are configured names and words from fixed lists; never a user, a client or a token.

use std::collections::BTreeMap;
use std::fmt;
use std::sync::Mutex;

use prometheus_client::encoding::DescriptorEncoder;
use prometheus_client::metrics::MetricType;

use super::exposition::{Family, named};
use super::{Metrics, lock};
use crate::clock;

/// What is known of tokens.
#[derive(Debug, Default)]
pub(super) struct Tokens {
    /// By name and result.
    fetches: Mutex<BTreeMap<(String, &'static str), u64>>,
    expires: Mutex<BTreeMap<String, i64>>,
    /// By name and result.
    pairs: Mutex<BTreeMap<(String, &'static str), u64>>,
    secrets: Mutex<BTreeMap<String, i64>>,
    /// When a fetch last failed, and how.
    failed: Mutex<BTreeMap<String, (i64, &'static str)>>,
}

/// What is known of one token: never the token itself. Unix seconds.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct TokenLife {
    pub expires: Option<i64>,
    /// With a word from the fixed list of failures.
    pub failed: Option<(i64, &'static str)>,
    pub secret_since: Option<i64>,
}

impl Metrics {
    /// A fetch ended; `result` is from a fixed list.
    pub fn token_fetched(&self, token: &str, result: &'static str) {
        *lock(&self.tokens.fetches)
            .entry((token.to_owned(), result))
            .or_default() += 1;
        if result != "ok" {
            let failure = (clock::unix_seconds(), result);
            lock(&self.tokens.failed).insert(token.to_owned(), failure);
        }
    }

    /// What is known of each token that was asked for, by name.
    #[must_use]
    pub fn token_lives(&self) -> BTreeMap<String, TokenLife> {
        let mut lives: BTreeMap<String, TokenLife> = BTreeMap::new();
        for (name, at) in lock(&self.tokens.expires).iter() {
            lives.entry(name.clone()).or_default().expires = Some(*at);
        }
        for (name, at) in lock(&self.tokens.secrets).iter() {
            lives.entry(name.clone()).or_default().secret_since = Some(*at);
        }
        for (name, failure) in lock(&self.tokens.failed).iter() {
            lives.entry(name.clone()).or_default().failed = Some(*failure);
        }
        lives
    }

    /// When the token that names no user ends, in Unix seconds; `None`: there is none.
    pub fn token_expires(&self, token: &str, at: Option<i64>) {
        match at {
            Some(at) => lock(&self.tokens.expires).insert(token.to_owned(), at),
            None => lock(&self.tokens.expires).remove(token),
        };
    }

    /// The client's pair changed, or was to; `result` is from a fixed list.
    pub fn token_pair_changed(&self, token: &str, result: &'static str) {
        *lock(&self.tokens.pairs).entry((token.to_owned(), result)).or_default() += 1;
    }

    /// When the secret in use was written, in Unix seconds; `None`: it is not known.
    pub fn token_secret_since(&self, token: &str, at: Option<i64>) {
        match at {
            Some(at) => lock(&self.tokens.secrets).insert(token.to_owned(), at),
            None => lock(&self.tokens.secrets).remove(token),
        };
    }

    pub(super) fn of_tokens(&self, out: &mut DescriptorEncoder<'_>) -> fmt::Result {
        let help = "Requests for a token, by what they came to";
        let mut family = Family::new(out, named!("token_fetches"), help, MetricType::Counter)?;
        for ((token, result), count) in lock(&self.tokens.fetches).iter() {
            family.counter(&[("token", token), ("result", result)], *count)?;
        }
        let help = "End of the token that is sent (those that name a user apart)";
        let name = named!("token_expires_timestamp_seconds");
        let mut family = Family::new(out, name, help, MetricType::Gauge)?;
        for (token, at) in lock(&self.tokens.expires).iter() {
            family.signed(&[("token", token)], *at)?;
        }
        let help = "Changed pairs of client identifier and secret: proven, refused, unusable";
        let mut family = Family::new(out, named!("token_pair_changed"), help, MetricType::Counter)?;
        for ((token, result), count) in lock(&self.tokens.pairs).iter() {
            family.counter(&[("token", token), ("result", result)], *count)?;
        }
        let help = "When the client secret in use was written";
        let name = named!("token_secret_since_timestamp_seconds");
        let mut family = Family::new(out, name, help, MetricType::Gauge)?;
        for (token, at) in lock(&self.tokens.secrets).iter() {
            family.signed(&[("token", token)], *at)?;
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use super::*;

    #[test]
    fn what_happens_to_tokens_is_counted_by_name_and_result() {
        let metrics = Arc::new(Metrics::new(1));
        for result in ["ok", "ok", "timeout"] {
            metrics.token_fetched("hmpps-auth", result);
        }
        metrics.token_expires("hmpps-auth", Some(1_700_000_000));
        metrics.token_pair_changed("hmpps-auth", "proven");
        metrics.token_secret_since("hmpps-auth", Some(1_600_000_000));
        let life = metrics.token_lives()["hmpps-auth"];
        assert_eq!(
            (life.expires, life.secret_since),
            (Some(1_700_000_000), Some(1_600_000_000))
        );
        assert_eq!(life.failed.map(|(_, why)| why), Some("timeout"));
        let text = metrics.exposition().expect("text");
        for line in [
            r#"delius_sidecar_token_fetches_total{token="hmpps-auth",result="ok"} 2"#,
            r#"delius_sidecar_token_fetches_total{token="hmpps-auth",result="timeout"} 1"#,
            r#"delius_sidecar_token_expires_timestamp_seconds{token="hmpps-auth"} 1700000000"#,
            r#"delius_sidecar_token_pair_changed_total{token="hmpps-auth",result="proven"} 1"#,
            r#"delius_sidecar_token_secret_since_timestamp_seconds{token="hmpps-auth"} 1600000000"#,
        ] {
            assert!(text.contains(line), "{line} in\n{text}");
        }
        metrics.token_expires("hmpps-auth", None);
        assert!(
            !metrics
                .exposition()
                .expect("text")
                .contains("expires_timestamp_seconds{")
        );
    }
}
