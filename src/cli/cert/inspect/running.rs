//! The certificates that a running sidecar or gateway uses: `GET /certs` of its observe address.

use std::io::{self, ErrorKind};
use std::net::ToSocketAddrs as _;
use std::time::Duration;

use anyhow::{Context as _, bail};
use serde_json::Value;

use super::super::super::output::{Tone, paint, table};
use super::super::super::span::moment;
use super::show::Report;
use crate::cert::facts::printable;
use crate::rehearsal::client::Ask;

pub(super) fn look(url: &str, timeout: i64) -> Report {
    let mut report = Report::of(url, "running sidecar");
    match ask(url, timeout) {
        Ok(certificates) => {
            report.running = certificates;
            report
        }
        Err(error) => report.wrong(printable(&format!("{error:#}"))),
    }
}

fn ask(url: &str, timeout: i64) -> anyhow::Result<Vec<Value>> {
    let Some(rest) = url.strip_prefix("http://") else {
        bail!("expected the observe address as http://host:port, for example http://127.0.0.1:9090");
    };
    let authority = rest.split('/').next().unwrap_or_default();
    let authority = if authority
        .rsplit_once(':')
        .is_some_and(|(_, port)| port.parse::<u16>().is_ok())
    {
        authority.to_owned()
    } else {
        format!("{authority}:80")
    };
    let unreachable =
        || format!("asking {authority} for its certificates; is the sidecar running, and is `observe.address` there?");
    let mut addresses = authority.to_socket_addrs().with_context(unreachable)?;
    let Some(address) = addresses.next() else {
        bail!("the name in {authority} has no address");
    };
    let timeout = Duration::from_secs(timeout.unsigned_abs());
    let answer = Ask::get("/certs")
        .send(address, timeout)
        .map_err(|error| slow(error, timeout));
    let answer = answer.with_context(unreachable)?;
    if answer.status != 200 {
        bail!(
            "{authority} answered /certs with status {}; is it a sidecar's observe address?",
            answer.status
        );
    }
    let body: Value = serde_json::from_slice(&answer.body)
        .with_context(|| format!("what {authority} answered is not what a sidecar answers"))?;
    match body.get("certificates").and_then(Value::as_array) {
        Some(certificates) => Ok(certificates.iter().cloned().map(clean).collect()),
        None => bail!("what {authority} answered names no certificates; is it a sidecar's observe address?"),
    }
}

/// The system has no good words for a time that ran out.
fn slow(error: io::Error, timeout: Duration) -> io::Error {
    match error.kind() {
        ErrorKind::WouldBlock | ErrorKind::TimedOut => io::Error::new(
            ErrorKind::TimedOut,
            format!("no answer within {} seconds", timeout.as_secs()),
        ),
        _ => error,
    }
}

/// Every text fit for a terminal.
fn clean(value: Value) -> Value {
    match value {
        Value::String(text) => Value::String(printable(&text)),
        Value::Array(all) => all.into_iter().map(clean).collect(),
        Value::Object(all) => all
            .into_iter()
            .map(|(name, value)| (printable(&name), clean(value)))
            .collect(),
        other => other,
    }
}

/// One certificate for people.
pub(super) fn text(entry: &Value, now: i64) -> String {
    let field = |name: &str| entry.get(name).and_then(Value::as_str).unwrap_or_default().to_owned();
    let title = ["role", "name", "position"].map(field).join(" ");
    let generation = entry.get("generation").and_then(Value::as_u64).map(|n| n.to_string());
    let names: Vec<&str> = entry
        .get("names")
        .and_then(Value::as_array)
        .map(|names| names.iter().filter_map(Value::as_str).collect())
        .unwrap_or_default();
    let end = field("not_after");
    let end = end
        .parse()
        .map_or(end, |at: jiff::Timestamp| moment(at.as_second(), now));
    let mut rows = vec![
        ("upstream", field("upstream")),
        ("generation", generation.unwrap_or_default()),
        ("subject", field("subject")),
        ("names", names.join(", ")),
        ("issuer", field("issuer")),
        ("valid from", field("not_before")),
        ("valid to", end),
        ("serial", field("serial")),
        ("sha256", field("fingerprint")),
    ];
    rows.retain(|(_, value)| !value.is_empty());
    format!("  {}\n{}", paint(Tone::Quiet, title.trim()), table(4, &rows))
}
