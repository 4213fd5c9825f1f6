//! What the steps of the demo are made of: asking at either end, comparing, and saying it for people.

use std::time::Duration;

use super::client::{Answer, Ask};
use super::papers::Knock;
use super::scene::Stage;
use super::standin::Seen;
use super::step::Line;
use crate::cert::issue::Issued;

const PATIENCE: Duration = Duration::from_secs(10);

pub(super) fn through_sidecar(stage: Stage<'_>, lines: &mut Vec<Line>, ask: Ask<'_>) -> Result<Answer, String> {
    let mut sent = format!("{} http://{}{}", ask.method, stage.sidecar, ask.target);
    for (name, value) in ask.headers {
        sent.push_str(&format!("\n{name}: {value}"));
    }
    if let Some(body) = ask.body {
        sent.push_str(&format!("\n{body}"));
    }
    lines.push(Line::Sent(sent));
    let answer = ask
        .send(stage.sidecar, PATIENCE)
        .map_err(|error| format!("no reply from the sidecar: {error}"))?;
    let content_type = answer.header("content-type").unwrap_or("no content type");
    let fault = answer.header("x-delius-sidecar-error");
    let fault = fault
        .map(|code| format!(", x-delius-sidecar-error: {code}"))
        .unwrap_or_default();
    lines.push(Line::Came(format!(
        "{}, {content_type}, {} bytes{fault}",
        answer.status,
        answer.body.len()
    )));
    Ok(answer)
}

/// The same question, asked of the stand-in without anything between.
pub(super) fn direct(stage: Stage<'_>, target: &str) -> Result<Answer, String> {
    let target = target.split('?').next().unwrap_or(target);
    let answer = Ask::get(target).send(stage.delius.address(), PATIENCE);
    answer.map_err(|error| format!("no reply from the Delius stand-in: {error}"))
}

pub(super) fn same(through: &Answer, direct: &Answer) -> Result<(), String> {
    let differs = |what| Err(format!("the {what} is not the one that Delius gave"));
    if through.status != direct.status {
        differs("status")
    } else if through.header("content-type") != direct.header("content-type") {
        differs("content type")
    } else if through.body != direct.body {
        differs("body")
    } else {
        Ok(())
    }
}

pub(super) fn expect_status(answer: &Answer, status: u16) -> Result<(), String> {
    if answer.status == status {
        Ok(())
    } else {
        let body = one_line(&answer.body);
        Err(format!("expected {status}, found {}: {body}", answer.status))
    }
}

pub(super) fn last_seen(stage: Stage<'_>, target: &str) -> Result<Seen, String> {
    let seen = stage.delius.seen();
    let found = seen.into_iter().rev().find(|seen| seen.target == target);
    found.ok_or_else(|| "Delius saw no such request".to_owned())
}

pub(super) fn knock(stage: Stage<'_>, certificate: Option<&Issued>, target: &str) -> Result<Knock, String> {
    let knock = stage.papers.knock(stage.gateway, certificate, &Ask::get(target));
    knock.map_err(|error| format!("the gateway could not be asked: {error}"))
}

pub(super) fn outcome(knock: &Knock) -> String {
    match knock {
        Knock::Answered(answer) => format!("{} over HTTP", answer.status),
        Knock::Refused(how) => format!("no HTTP at all: {how}"),
    }
}

/// A body for people: white space folded, long ones cut.
pub(super) fn one_line(body: &[u8]) -> String {
    const LONGEST: usize = 160;
    let text = String::from_utf8_lossy(body);
    let folded = text.split_whitespace().collect::<Vec<_>>().join(" ");
    match folded.char_indices().nth(LONGEST) {
        Some((cut, _)) => format!("{}…", &folded[..cut]),
        None => folded,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_reply_that_was_changed_on_the_way_is_noticed() {
        let answer = |status, content_type: &str, body: &str| Answer {
            status,
            headers: vec![("content-type".to_owned(), content_type.to_owned())],
            body: body.into(),
        };
        let direct = answer(404, "application/json", "{}");
        assert_eq!(same(&direct.clone(), &direct), Ok(()));
        assert!(same(&answer(500, "application/json", "{}"), &direct).is_err());
        assert!(same(&answer(404, "text/plain", "{}"), &direct).is_err());
        assert!(same(&answer(404, "application/json", "{ }"), &direct).is_err());
    }
}
