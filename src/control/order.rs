//! What may be asked, read from path and body: nothing that is not known, and no text that could forge a line of the log.
//! What is asked of routes has a body of its own, in `route`.

use http::Method;
use serde::Deserialize;

use super::route::RouteOrder;
use super::{Command, Refusal, Which};

/// Characters of a name or a reason.
const TEXT: usize = 500;

/// What a path stands for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Action {
    Status,
    Ready,
    Stage,
    Promote,
    RollBack,
    Shutdown,
    Routes,
    SetRoute,
    ResetRoute,
}

impl Action {
    pub(super) fn find(path: &str) -> Option<Self> {
        Some(match path {
            "/identity" => Self::Status,
            "/ready" => Self::Ready,
            "/identity/stage" => Self::Stage,
            "/identity/promote" => Self::Promote,
            "/identity/rollback" => Self::RollBack,
            "/shutdown" => Self::Shutdown,
            "/route" => Self::Routes,
            "/route/set" => Self::SetRoute,
            "/route/reset" => Self::ResetRoute,
            _ => return None,
        })
    }

    pub(super) fn method(self) -> Method {
        match self {
            Self::Status | Self::Ready | Self::Routes => Method::GET,
            _ => Method::POST,
        }
    }

    pub(super) const fn name(self) -> &'static str {
        match self {
            Self::Status => "status",
            Self::Ready => "ready",
            Self::Stage => "stage",
            Self::Promote => "promote",
            Self::RollBack => "rollback",
            Self::Shutdown => "shutdown",
            Self::Routes => "routes",
            Self::SetRoute => "route set",
            Self::ResetRoute => "route reset",
        }
    }

    /// What is asked, and what of it belongs into the audit line; `by` is who asks.
    pub(super) fn read(self, body: &[u8], by: &str) -> Result<(Command, Asks), Refusal> {
        match self {
            Self::Routes | Self::SetRoute | Self::ResetRoute => {
                let order = RouteOrder::read(body)?;
                Ok((order.command(self, by)?, Asks::Route(order)))
            }
            _ => {
                let order = Order::read(body)?;
                Ok((self.command(&order)?, Asks::Certificate(order)))
            }
        }
    }

    fn command(self, order: &Order) -> Result<Command, Refusal> {
        let which = Which {
            identity: order.identity.clone(),
            upstream: order.upstream.clone(),
        };
        match (self, &order.reason) {
            (Self::Status, _) => Ok(Command::Status),
            (Self::Ready, _) => Ok(Command::Ready),
            (Self::Stage, _) => Ok(Command::Stage(which)),
            (Self::Promote, _) => Ok(Command::Promote(which)),
            (Self::RollBack, Some(reason)) => Ok(Command::RollBack(which, reason.clone())),
            (Self::RollBack, None) => Err(Refusal::new(
                400,
                "reason_missing",
                "going back needs a reason: {\"reason\": \"why\"}",
            )),
            (Self::Shutdown, _) if which != Which::default() => Err(malformed("only the whole process shuts down")),
            (Self::Shutdown, _) => Ok(Command::Shutdown),
            (Self::Routes | Self::SetRoute | Self::ResetRoute, _) => Err(malformed("of routes other things are asked")),
        }
    }
}

/// The body of a command, of either kind.
#[derive(Debug)]
pub(super) enum Asks {
    Certificate(Order),
    Route(RouteOrder),
}

/// The body of a command about certificates or the process.
#[derive(Debug, Default, PartialEq, Eq, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct Order {
    pub(super) identity: Option<String>,
    pub(super) upstream: Option<String>,
    pub(super) reason: Option<String>,
}

impl Order {
    pub(super) fn read(body: &[u8]) -> Result<Self, Refusal> {
        if body.trim_ascii().is_empty() {
            return Ok(Self::default());
        }
        let order: Self = serde_json::from_slice(body).map_err(|error| {
            malformed(&format!(
                "the body is not {{\"identity\": NAME, \"upstream\": NAME, \"reason\": TEXT}} (each may be left out): {error}"
            ))
        })?;
        for (key, text) in [
            ("identity", &order.identity),
            ("upstream", &order.upstream),
            ("reason", &order.reason),
        ] {
            one_line(key, text.as_deref())?;
        }
        Ok(order)
    }
}

/// Text that may stand in a line of the log.
pub(super) fn one_line(key: &str, text: Option<&str>) -> Result<(), Refusal> {
    let Some(text) = text else { return Ok(()) };
    if text.trim().is_empty() || text.chars().count() > TEXT || text.chars().any(char::is_control) {
        if key == "reason" {
            return Err(malformed(&format!(
                "a reason is needed, on one line, of at most {TEXT} characters"
            )));
        }
        return Err(malformed(&format!(
            "`{key}` must be 1 to {TEXT} characters on one line; leave it out if none is meant"
        )));
    }
    Ok(())
}

pub(super) fn malformed(sentence: &str) -> Refusal {
    Refusal::new(400, "body_malformed", sentence)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn order(text: &str) -> Result<Order, &'static str> {
        Order::read(text.as_bytes()).map_err(|refusal| refusal.code)
    }

    #[test]
    fn an_order_may_leave_everything_out_and_may_say_nothing_else() {
        for empty in ["", " \r\n", "{}", "{\"identity\": null}"] {
            assert_eq!(order(empty), Ok(Order::default()), "{empty}");
        }
        let full = order(r#"{"identity": "am", "upstream": "ndh", "reason": "wrong unit"}"#).expect("read");
        assert_eq!(full.identity.as_deref(), Some("am"));
        for wrong in ["[]x", "{", "17", "{\"identiti\": \"am\"}", "{\"identity\": 1}", "\u{0}"] {
            assert_eq!(order(wrong), Err("body_malformed"), "{wrong}");
        }
        let long = format!(r#"{{"reason": "{}"}}"#, "x".repeat(TEXT + 1));
        for wrong in [
            r#"{"reason": " "}"#,
            r#"{"identity": ""}"#,
            r#"{"reason": "a\nb"}"#,
            &long,
        ] {
            assert_eq!(order(wrong), Err("body_malformed"), "{wrong}");
        }
        for (wrong, said) in [
            (r#"{"reason": ""}"#, "a reason is needed, on one line"),
            (r#"{"reason": "a\nb"}"#, "a reason is needed, on one line"),
            (r#"{"upstream": ""}"#, "leave it out if none is meant"),
        ] {
            let refusal = Order::read(wrong.as_bytes()).expect_err("refused");
            assert!(refusal.sentence.contains(said), "{wrong}: {}", refusal.sentence);
        }
    }

    #[test]
    fn each_path_is_one_command_and_going_back_needs_a_reason() {
        let named = Order {
            identity: Some("am".to_owned()),
            reason: Some("why".to_owned()),
            ..Order::default()
        };
        let which = Which {
            identity: Some("am".to_owned()),
            upstream: None,
        };
        for (path, expected) in [
            ("/identity", Command::Status),
            ("/ready", Command::Ready),
            ("/identity/stage", Command::Stage(which.clone())),
            ("/identity/promote", Command::Promote(which.clone())),
            ("/identity/rollback", Command::RollBack(which, "why".to_owned())),
        ] {
            let action = Action::find(path).expect("known");
            assert_eq!(action.command(&named), Ok(expected), "{path}");
        }
        let unreasoned = Action::RollBack.command(&Order::default()).expect_err("no reason");
        assert_eq!(unreasoned.code, "reason_missing");
        assert_eq!(Action::Shutdown.command(&Order::default()), Ok(Command::Shutdown));
        assert!(Action::Shutdown.command(&named).is_err());
        for path in ["/", "/identity/", "/IDENTITY", "/identity/stage/x", "//ready"] {
            assert_eq!(Action::find(path), None, "{path}");
        }
    }
}
