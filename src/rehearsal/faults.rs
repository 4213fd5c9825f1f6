//! How a stand-in misbehaves on request: by share of all requests, or by a header on one request.
//!
//! The real APIs answered 500 and 502 now and then, slowly at other times, and the network on the way did worse; a
//! route that was never shown any of that proves nothing. Shares are drawn from a small seeded generator, so that a
//! run can be repeated draw by draw.

use std::fmt;
use std::str::FromStr;
use std::time::Duration;

/// The header by which one request asks for misbehaviour: `500`, `slow=2s`, or several with commas between.
pub const HEADER: &str = "x-stand-in-fault";

/// One way to misbehave.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Misbehaviour {
    /// 500 with the framework's body; nothing is written.
    InternalError,
    /// 502 with the load balancer's HTML; nothing is written.
    BadGateway,
    /// 503 with the ingress' HTML; nothing is written.
    Unavailable,
    /// 401 in the side's own words, whoever asks with whatever credentials.
    Unauthorised,
    /// 403 in the side's own words.
    Forbidden,
    /// The answer comes late.
    Slow(Duration),
    /// No answer ever comes; the connection stays.
    Hang,
    /// 200 and JSON of a shape that this API does not have.
    WrongJson,
    /// 200 and a page instead of JSON.
    Html,
    /// The connection is reset instead of an answer; nothing is written.
    Reset,
    /// The head promises more body than comes; the request itself was carried out.
    Truncate,
    /// Bytes that are not HTTP.
    Garbage,
}

const KNOWN: &str = "500, 502, 503, 401, 403, slow, hang, wrong-json, html, reset, truncate, garbage";

/// Why a fault could not be read.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum FaultError {
    #[error("unknown fault {0:?}: expected one of {KNOWN}")]
    Unknown(String),
    #[error("the fault slow needs a duration such as 300ms or 2s, found {0:?}")]
    Duration(String),
    #[error("the fault {fault} needs a share above 0 and up to 1, as in {fault}:0.05, found {found:?}")]
    Share { fault: String, found: String },
}

impl Misbehaviour {
    fn parse(name: &str, duration: Option<&str>) -> Result<Self, FaultError> {
        match (name, duration) {
            ("500", None) => Ok(Self::InternalError),
            ("502", None) => Ok(Self::BadGateway),
            ("503", None) => Ok(Self::Unavailable),
            ("401", None) => Ok(Self::Unauthorised),
            ("403", None) => Ok(Self::Forbidden),
            ("hang", None) => Ok(Self::Hang),
            ("wrong-json", None) => Ok(Self::WrongJson),
            ("html", None) => Ok(Self::Html),
            ("reset", None) => Ok(Self::Reset),
            ("truncate", None) => Ok(Self::Truncate),
            ("garbage", None) => Ok(Self::Garbage),
            ("slow", Some(text)) => parse_duration(text)
                .map(Self::Slow)
                .ok_or_else(|| FaultError::Duration(text.to_owned())),
            ("slow", None) => Err(FaultError::Duration(String::new())),
            _ => Err(FaultError::Unknown(name.to_owned())),
        }
    }

    /// Reads the value of [`HEADER`].
    pub fn from_header(value: &str) -> Result<Vec<Self>, FaultError> {
        value
            .split(',')
            .map(|item| match item.trim().split_once('=') {
                Some((name, duration)) => Self::parse(name, Some(duration)),
                None => Self::parse(item.trim(), None),
            })
            .collect()
    }
}

impl fmt::Display for Misbehaviour {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::InternalError => f.write_str("500"),
            Self::BadGateway => f.write_str("502"),
            Self::Unavailable => f.write_str("503"),
            Self::Unauthorised => f.write_str("401"),
            Self::Forbidden => f.write_str("403"),
            Self::Hang => f.write_str("hang"),
            Self::WrongJson => f.write_str("wrong-json"),
            Self::Html => f.write_str("html"),
            Self::Slow(for_) => write!(f, "slow:{}ms", for_.as_millis()),
            Self::Reset => f.write_str("reset"),
            Self::Truncate => f.write_str("truncate"),
            Self::Garbage => f.write_str("garbage"),
        }
    }
}

/// A misbehaviour and the share of all requests that it befalls: `500:0.05`, `slow:300ms:0.1`.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Rule {
    pub misbehaviour: Misbehaviour,
    pub share: f64,
}

impl fmt::Display for Rule {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}:{}", self.misbehaviour, self.share)
    }
}

impl FromStr for Rule {
    type Err = FaultError;

    fn from_str(text: &str) -> Result<Self, FaultError> {
        let (fault, share) = text.rsplit_once(':').unwrap_or((text, ""));
        let misbehaviour = match fault.split_once(':') {
            Some((name, duration)) => Misbehaviour::parse(name, Some(duration)),
            None => Misbehaviour::parse(fault, None),
        }?;
        match share.parse::<f64>() {
            Ok(share) if share > 0.0 && share <= 1.0 => Ok(Self { misbehaviour, share }),
            _ => Err(FaultError::Share {
                fault: fault.to_owned(),
                found: share.to_owned(),
            }),
        }
    }
}

/// A duration as people write it: `300ms`, `2s`, `1m 30s`.
#[must_use]
pub fn parse_duration(text: &str) -> Option<Duration> {
    Duration::try_from(text.parse::<jiff::SignedDuration>().ok()?).ok()
}

/// Draws for the rules. SplitMix64: small, well spread, and repeatable from its seed; nothing here is secret.
#[derive(Debug)]
pub(super) struct Dice(u64);

impl Dice {
    pub(super) const fn new(seed: u64) -> Self {
        Self(seed)
    }

    /// The misbehaviours that befall the next request, each rule drawn on its own.
    pub(super) fn draw(&mut self, rules: &[Rule]) -> Vec<Misbehaviour> {
        rules
            .iter()
            .filter(|rule| self.unit() < rule.share)
            .map(|rule| rule.misbehaviour)
            .collect()
    }

    /// The next number in 0..1.
    #[allow(clippy::cast_precision_loss)] // 53 bits fit exactly
    fn unit(&mut self) -> f64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut z = self.0;
        z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        ((z ^ (z >> 31)) >> 11) as f64 / (1_u64 << 53) as f64
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_fault_is_read_as_rule_and_as_header() {
        let rule = |text: &str| text.parse::<Rule>().map(|rule| (rule.misbehaviour, rule.share));
        assert_eq!(rule("500:0.05"), Ok((Misbehaviour::InternalError, 0.05)));
        assert_eq!(rule("502:1"), Ok((Misbehaviour::BadGateway, 1.0)));
        let slow = Misbehaviour::Slow(Duration::from_millis(300));
        assert_eq!(rule("slow:300ms:0.1"), Ok((slow, 0.1)));
        for name in KNOWN.split(", ").filter(|name| *name != "slow") {
            let written = format!("{name}:0.5");
            assert_eq!(
                written.parse::<Rule>().map(|rule| rule.to_string()),
                Ok(written.clone())
            );
            assert_eq!(
                Misbehaviour::from_header(name).map(|read| read[0].to_string()),
                Ok(name.to_owned())
            );
        }
        assert_eq!(rule("reset:0.01"), Ok((Misbehaviour::Reset, 0.01)));
        assert_eq!(
            Misbehaviour::from_header("slow=2s, truncate"),
            Ok(vec![Misbehaviour::Slow(Duration::from_secs(2)), Misbehaviour::Truncate])
        );
        assert_eq!(Misbehaviour::from_header("garbage"), Ok(vec![Misbehaviour::Garbage]));
    }

    #[test]
    fn a_bad_fault_says_what_is_expected() {
        let said = |text: &str| text.parse::<Rule>().unwrap_err().to_string();
        assert!(said("504:0.1").contains("expected one of 500, 502, 503"));
        assert!(said("500").contains("500:0.05"), "{}", said("500"));
        assert!(said("500:1.5").contains("\"1.5\""));
        assert!(said("500:0").contains("above 0"));
        assert!(said("slow:0.1").contains("needs a duration"));
        assert!(said("slow:fast:0.1").contains("\"fast\""));
        assert!(Misbehaviour::from_header("slow").is_err());
    }

    #[test]
    fn draws_keep_to_the_share_and_repeat_from_the_seed() {
        let rules = ["500:0.05".parse().unwrap(), "reset:0.5".parse().unwrap()];
        let run = |seed| {
            let mut dice = Dice::new(seed);
            (0..10_000).map(|_| dice.draw(&rules)).collect::<Vec<_>>()
        };
        let drawn = run(7);
        let count = |what| drawn.iter().filter(|drawn| drawn.contains(&what)).count();
        assert!((400..600).contains(&count(Misbehaviour::InternalError)));
        assert!((4_700..5_300).contains(&count(Misbehaviour::Reset)));
        assert_eq!(drawn, run(7));
        assert_ne!(drawn, run(8));
    }
}
