//! What the demo tells: a step is a value, printed elsewhere, as text or as JSON.

use std::time::Duration;

use serde::Serialize;

/// One thing that was shown, or not.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Step {
    pub title: &'static str,
    pub lines: Vec<Line>,
    #[serde(flatten)]
    pub verdict: Verdict,
    #[serde(rename = "milliseconds", serialize_with = "milliseconds")]
    pub took: Duration,
}

#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "lowercase", tag = "kind", content = "text")]
pub enum Line {
    Sent(String),
    Came(String),
    /// What it means.
    Note(String),
}

#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "lowercase", tag = "verdict", content = "reason")]
pub enum Verdict {
    Shown,
    Failed(String),
}

fn milliseconds<S: serde::Serializer>(took: &Duration, to: S) -> Result<S::Ok, S::Error> {
    to.serialize_u128(took.as_millis())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_step_as_json_has_title_lines_verdict_and_time() {
        let step = Step {
            title: "a",
            lines: vec![Line::Came("b".to_owned())],
            verdict: Verdict::Failed("c".to_owned()),
            took: Duration::from_millis(7),
        };
        let expected = serde_json::json!({
            "title": "a", "lines": [{"kind": "came", "text": "b"}],
            "verdict": "failed", "reason": "c", "milliseconds": 7,
        });
        assert_eq!(serde_json::to_value(&step).unwrap(), expected);
        let shown = Step {
            verdict: Verdict::Shown,
            ..step
        };
        assert_eq!(serde_json::to_value(&shown).unwrap()["verdict"], "shown");
    }
}
