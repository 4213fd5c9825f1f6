//! What may be asked of routes: `{"unit", "mode", "share", "reason", "for"}` to set, `{"unit", "reason", "evidence"}` to
//! reset.
//!
//! The reason is kept for as long as the override and shown to everybody who asks, so an identifier in it is masked at the
//! door. Whether the unit exists and may be in the mode is the main thread's to say.

use jiff::fmt::friendly::SpanParser;
use serde::Deserialize;

use super::order::{Action, malformed, one_line};
use super::{Command, Refusal, Reset};
use crate::switch;
use crate::telemetry::mask::masked;

/// The body of a command about routes.
#[derive(Clone, Debug, Default, PartialEq, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct RouteOrder {
    pub(super) unit: Option<String>,
    pub(super) mode: Option<String>,
    pub(super) share: Option<f64>,
    pub(super) reason: Option<String>,
    #[serde(rename = "for")]
    pub(super) hold: Option<String>,
    pub(super) evidence: Option<bool>,
}

impl RouteOrder {
    pub(super) fn read(body: &[u8]) -> Result<Self, Refusal> {
        if body.trim_ascii().is_empty() {
            return Ok(Self::default());
        }
        let mut order: Self = serde_json::from_slice(body).map_err(|error| {
            malformed(&format!(
                "the body is not {{\"unit\": NAME, \"mode\": MODE, \"share\": 0.05, \"reason\": TEXT, \"for\": \"8h\", \
                 \"evidence\": true}} (what is not needed left out): {error}"
            ))
        })?;
        for (key, text) in [
            ("unit", &order.unit),
            ("mode", &order.mode),
            ("reason", &order.reason),
            ("for", &order.hold),
        ] {
            one_line(key, text.as_deref())?;
        }
        order.reason = order.reason.map(masked);
        Ok(order)
    }

    pub(super) fn command(&self, action: Action, by: &str) -> Result<Command, Refusal> {
        let nothing = |what: &'static str, unwanted: bool| {
            if unwanted { Err(malformed(what)) } else { Ok(()) }
        };
        let set_only = self.mode.is_some() || self.share.is_some() || self.hold.is_some();
        match action {
            Action::SetRoute => {
                nothing("evidence is begun anew by /route/reset", self.evidence.is_some())?;
                let mode = named("mode", self.mode.as_deref())?;
                let order = switch::Order {
                    mode: mode
                        .parse()
                        .map_err(|error: switch::ModeError| malformed(&error.to_string()))?,
                    share: self.share,
                    reason: self.reason()?,
                    by: by.to_owned(),
                    hold: hold(named("for", self.hold.as_deref())?)?,
                };
                let unit = named("unit", self.unit.as_deref())?.to_owned();
                Ok(Command::SetRoute { unit, order })
            }
            Action::ResetRoute => {
                nothing("a reset takes unit, reason and evidence only", set_only)?;
                Ok(Command::ResetRoute(Reset {
                    unit: named("unit", self.unit.as_deref())?.to_owned(),
                    reason: self.reason()?,
                    by: by.to_owned(),
                    evidence: self.evidence.unwrap_or(false),
                }))
            }
            _ => {
                nothing("looking takes no body", *self != Self::default())?;
                Ok(Command::Routes)
            }
        }
    }

    fn reason(&self) -> Result<String, Refusal> {
        self.reason.clone().ok_or_else(|| {
            Refusal::new(
                400,
                "reason_missing",
                "a change of who answers needs a reason: {\"reason\": \"why\"}",
            )
        })
    }
}

fn named<'a>(key: &str, text: Option<&'a str>) -> Result<&'a str, Refusal> {
    text.ok_or_else(|| malformed(&format!("`{key}` is missing")))
}

fn hold(text: &str) -> Result<std::time::Duration, Refusal> {
    let read = SpanParser::new().parse_unsigned_duration(text.trim());
    read.map_err(|_| malformed("`for` is a number with a unit, for example \"8h\" or \"30m\""))
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;
    use crate::switch::Mode;

    fn asked(action: Action, body: &str) -> Result<Command, &'static str> {
        let read = RouteOrder::read(body.as_bytes());
        let command = read.and_then(|order| order.command(action, "uid 1"));
        command.map_err(|refusal| refusal.code)
    }

    #[test]
    fn an_order_is_read_with_who_gave_it() {
        let body = r#"{"unit": "person", "mode": "canary", "share": 0.05, "reason": "try", "for": "8h"}"#;
        let order = switch::Order {
            mode: Mode::Canary,
            share: Some(0.05),
            reason: "try".to_owned(),
            by: "uid 1".to_owned(),
            hold: Duration::from_secs(28_800),
        };
        let unit = "person".to_owned();
        assert_eq!(asked(Action::SetRoute, body), Ok(Command::SetRoute { unit, order }));
        let reset = Reset {
            unit: "person".to_owned(),
            reason: "repaired".to_owned(),
            by: "uid 1".to_owned(),
            evidence: true,
        };
        let body = r#"{"unit": "person", "reason": "repaired", "evidence": true}"#;
        assert_eq!(asked(Action::ResetRoute, body), Ok(Command::ResetRoute(reset)));
        assert_eq!(asked(Action::Routes, ""), Ok(Command::Routes));
    }

    #[test]
    fn what_is_missing_or_does_not_belong_is_refused() {
        for (action, body, code) in [
            (Action::SetRoute, "", "body_malformed"),
            (
                Action::SetRoute,
                r#"{"unit": "u", "mode": "canary", "for": "8h"}"#,
                "reason_missing",
            ),
            (
                Action::SetRoute,
                r#"{"unit": "u", "mode": "off", "reason": "r", "for": "8h"}"#,
                "body_malformed",
            ),
            (
                Action::SetRoute,
                r#"{"unit": "u", "mode": "ndh", "reason": "r"}"#,
                "body_malformed",
            ),
            (
                Action::SetRoute,
                r#"{"unit": "u", "mode": "ndh", "reason": "r", "for": "8"}"#,
                "body_malformed",
            ),
            (
                Action::SetRoute,
                r#"{"mode": "ndh", "reason": "r", "for": "8h"}"#,
                "body_malformed",
            ),
            (
                Action::SetRoute,
                r#"{"unit": "u", "mode": "ndh", "reason": "r", "for": "8h", "evidence": true}"#,
                "body_malformed",
            ),
            (Action::SetRoute, r#"{"unit": "a\nb", "mode": "ndh"}"#, "body_malformed"),
            (Action::ResetRoute, r#"{"unit": "u"}"#, "reason_missing"),
            (
                Action::ResetRoute,
                r#"{"unit": "u", "reason": "r", "for": "8h"}"#,
                "body_malformed",
            ),
            (Action::Routes, r#"{"unit": "u"}"#, "body_malformed"),
            (Action::ResetRoute, r#"{"identity": "am"}"#, "body_malformed"),
        ] {
            assert_eq!(asked(action, body), Err(code), "{body}");
        }
    }

    #[test]
    fn a_person_in_a_reason_is_masked_at_the_door() {
        let body = r#"{"unit": "u", "reason": "A1234BC and x123456 differ"}"#;
        let order = RouteOrder::read(body.as_bytes()).expect("read");
        assert_eq!(order.reason.as_deref(), Some("******* and ******* differ"));
    }
}
