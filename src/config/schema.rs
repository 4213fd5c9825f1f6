//! Every key that exists, and what its value must look like.
//!
//! One list drives three things, so that they cannot disagree: which keys of a file are unknown (`conform`), which
//! environment names exist (`environment`), and how a value is read in either place. Keys that the product describes
//! but this version does not have are listed as [`Shape::Refused`], so that they are never taken for spelling
//! mistakes and never silently ignored.

use super::file::{Kind, Value};
use super::route_schema::{GROUP, ROUTE, SWITCH};
use super::token;
use super::url;
use super::value::{self, Complaint};

/// What may stand at a key.
#[derive(Clone, Copy, Debug)]
pub(super) enum Shape {
    /// A text that the validation reads: a name, a URL, a template.
    Text(Check),
    Switch,
    /// A whole number within bounds.
    Count(u64, u64),
    /// A share of one, and some of it.
    Ratio,
    /// A share of one, which may be none.
    Share,
    Duration,
    /// Bytes within bounds.
    Size(u64, u64),
    /// A text or a list of texts.
    Texts,
    /// A table whose keys are free and whose values are texts: `{ name = "value" }`.
    Pairs(Check),
    /// One of a few words.
    Choice(&'static [&'static str]),
    /// A table with these keys.
    Table(Fields),
    /// A table of tables: `[upstream.NAME]`.
    Named(Fields),
    /// An array of tables, told apart by their `name`: `[[route]]`.
    Rows(Fields),
    /// Not in this version, or not in this kind of file; why.
    Refused(&'static str),
}

pub(super) type Fields = &'static [(&'static str, Shape)];
pub(super) type Check = fn(&str) -> Result<(), Complaint>;

const LATER: Shape = Shape::Refused("is not supported by this version");
pub(super) const MIB: u64 = 1 << 20;
pub(super) const GIB: u64 = 1 << 30;

pub(super) const PATH: Shape = Shape::Text(|text| value::path(text).map(drop));
pub(super) const NAME: Shape = Shape::Text(name);
const ADDRESS: Shape = Shape::Text(|text| value::address(text).map(drop));
const SOCKET: Shape = Shape::Text(|text| value::socket(text).map(drop));
const TLS_MIN: Shape = Shape::Choice(&["1.2", "1.3"]);
const PROMOTION: Shape = Shape::Choice(&["automatic", "manual"]);
const STALE: Shape = Shape::Choice(&["refuse", "accept"]);

/// The file of `run`.
pub(super) const RUN: Fields = &[
    ("listen", Shape::Table(LISTEN)),
    ("drain", Shape::Table(DRAIN)),
    ("observe", Shape::Table(OBSERVE)),
    ("control", Shape::Table(CONTROL)),
    ("log", Shape::Table(LOG)),
    ("identity", Shape::Named(IDENTITY)),
    ("upstream", Shape::Named(UPSTREAM)),
    ("group", Shape::Named(GROUP)),
    ("route", Shape::Rows(ROUTE)),
    ("switch", Shape::Table(SWITCH)),
    ("token", Shape::Named(TOKEN)),
    ("trace", LATER),
    (
        "gateway",
        Shape::Refused("is for the file of `gateway`, which is another than the file of `run`"),
    ),
];

/// The file of `gateway`.
pub(super) const GATEWAY: Fields = &[
    ("gateway", Shape::Table(GATEWAY_TABLE)),
    ("drain", Shape::Table(DRAIN)),
    ("observe", Shape::Table(OBSERVE)),
    ("control", Shape::Table(CONTROL)),
    ("log", Shape::Table(LOG)),
    ("upstream", Shape::Named(UPSTREAM)),
    ("trace", LATER),
    ("listen", RUN_ONLY),
    ("identity", RUN_ONLY),
    ("group", RUN_ONLY),
    ("route", RUN_ONLY),
    ("switch", RUN_ONLY),
    ("token", RUN_ONLY),
];

const RUN_ONLY: Shape = Shape::Refused("is for the file of `run`, which is another than the file of `gateway`");

const LISTEN: Fields = &[
    ("address", ADDRESS),
    ("unsafe_listen", Shape::Switch),
    ("workers", Shape::Count(1, 64)),
    ("caller_timeout", Shape::Duration),
    ("limits", Shape::Table(LIMITS)),
];

const LIMITS: Fields = &[
    ("request_line", Shape::Size(64, MIB)),
    ("headers", Shape::Count(1, 10_000)),
    ("head", Shape::Size(128, MIB)),
    ("body", Shape::Size(1, GIB)),
    ("connections", Shape::Count(1, 1_000_000)),
    ("in_flight", Shape::Count(1, 1_000_000)),
    ("head_time", Shape::Duration),
    ("keep_alive", Shape::Duration),
];

const DRAIN: Fields = &[("deadline", Shape::Duration), ("quiet", Shape::Duration)];

const OBSERVE: Fields = &[("address", SOCKET)];

const CONTROL: Fields = &[("socket", PATH)];

const LOG: Fields = &[
    ("format", Shape::Choice(&["json", "text"])),
    ("level", Shape::Text(|text| value::level(text).map(drop))),
    ("access", Shape::Switch),
];

const IDENTITY: Fields = &[
    ("certificate", PATH),
    ("private_key", PATH),
    ("expect_dns", Shape::Texts),
    ("staged", PATH),
    ("promotion", PROMOTION),
    ("untried_before", Shape::Duration),
    ("pkcs12", PATH),
    ("password_file", PATH),
    (
        "crl",
        Shape::Refused(
            "is not about this identity but about the other side's certificate, and belongs to [upstream.NAME]",
        ),
    ),
];

const UPSTREAM: Fields = &[
    ("url", Shape::Text(|text| url::url(text).map(drop))),
    ("unsafe_plain", Shape::Switch),
    ("trust", PATH),
    ("identity", NAME),
    ("server_name", Shape::Text(|text| value::server_name(text).map(drop))),
    ("http2", Shape::Switch),
    ("tls_min", TLS_MIN),
    ("trial", Shape::Text(|text| value::trial(text).map(drop))),
    ("timeouts", Shape::Table(TIMEOUTS)),
    ("pool", Shape::Table(POOL)),
    ("breaker", Shape::Table(BREAKER)),
    ("token", NAME),
    ("crl", PATH),
    ("crl_stale", STALE),
];

const TOKEN: Fields = &[
    ("kind", Shape::Choice(&["client-credentials", "delius-logon"])),
    ("url", Shape::Text(|text| url::url(text).map(drop))),
    ("unsafe_plain", Shape::Switch),
    ("trust", PATH),
    ("server_name", Shape::Text(|text| value::server_name(text).map(drop))),
    ("tls_min", TLS_MIN),
    ("client_id_file", PATH),
    ("client_secret_file", PATH),
    ("username_header", Shape::Text(|text| token::header(text).map(drop))),
    ("users", Shape::Count(1, 100_000)),
    ("scopes", Shape::Texts),
    ("parameters", Shape::Pairs(|_| Ok(()))),
    ("grant_in", Shape::Choice(&["body", "query"])),
    ("refresh_ahead", Shape::Duration),
    ("timeout", Shape::Duration),
    ("upstream", NAME),
    ("path", Shape::Text(|text| token::path(text).map(drop))),
    ("user_file", PATH),
];

const TIMEOUTS: Fields = &[
    ("connect", Shape::Duration),
    ("handshake", Shape::Duration),
    ("first_byte", Shape::Duration),
    ("idle", Shape::Duration),
    ("total", Shape::Duration),
];

const POOL: Fields = &[
    ("idle", Shape::Count(0, 10_000)),
    ("idle_time", Shape::Duration),
    ("max_age", Shape::Duration),
];

const BREAKER: Fields = &[
    ("window", Shape::Duration),
    ("min_results", Shape::Count(1, 1_000_000)),
    ("failure_ratio", Shape::Ratio),
    ("min_persons", Shape::Count(1, 1_000_000)),
    ("connection_faults", Shape::Count(1, 1_000_000)),
    ("open_for", Shape::Duration),
];

const GATEWAY_TABLE: Fields = &[
    ("address", SOCKET),
    ("certificate", PATH),
    ("private_key", PATH),
    ("pkcs12", PATH),
    ("password_file", PATH),
    ("staged", PATH),
    ("promotion", PROMOTION),
    ("client_ca", PATH),
    ("crl", PATH),
    ("crl_stale", STALE),
    ("tls_min", TLS_MIN),
    ("handshake_timeout", Shape::Duration),
    ("caller_timeout", Shape::Duration),
    ("workers", Shape::Count(1, 64)),
    ("upstream", NAME),
    ("limits", Shape::Table(LIMITS)),
    ("allow", Shape::Rows(ALLOW)),
    ("faults", LATER),
];

const ALLOW: Fields = &[
    ("name", NAME),
    ("dns", Shape::Texts),
    ("uri", Shape::Texts),
    ("cn", Shape::Texts),
    ("ou", Shape::Texts),
    ("spki", Shape::Texts),
    ("fingerprint", Shape::Texts),
    ("routes", Shape::Texts),
];

/// Whether a name can stand in metrics, log lines and environment names.
pub(super) fn name(text: &str) -> Result<(), Complaint> {
    let allowed = |byte: u8| byte.is_ascii_alphanumeric() || matches!(byte, b'-' | b'_' | b'.');
    if (1..=64).contains(&text.len()) && text.bytes().all(allowed) {
        return Ok(());
    }
    Err(Complaint::new(
        format!("\"{}\" is not a name", text.escape_debug()),
        "write up to 64 letters, digits, \"-\", \"_\" and \".\"",
    ))
}

/// Whether a single value fits; tables are walked by `conform`.
pub(super) fn fits(shape: Shape, value: &Value) -> Result<(), Complaint> {
    let other = |expected: &str| {
        let wrong = format!("this is {}, expected {expected}", value.kind.noun());
        Err(Complaint::new(wrong, example(shape)))
    };
    match (shape, &value.kind) {
        (Shape::Text(check), Kind::Text(text)) => check(text),
        (Shape::Text(_), _) => other("a text"),
        (Shape::Duration, Kind::Text(text)) => value::duration(text).map(drop),
        (Shape::Duration, Kind::Integer(number)) => value::duration(&number.to_string()).map(drop),
        (Shape::Duration, _) => other("a duration"),
        (Shape::Size(least, most), Kind::Text(text)) => {
            let bytes = value::size(text)?;
            within(bytes, least, most, "B")
        }
        (Shape::Size(..), Kind::Integer(number)) => value::size(&number.to_string()).map(drop),
        (Shape::Size(..), _) => other("a size"),
        (Shape::Switch, Kind::Boolean(_)) => Ok(()),
        (Shape::Switch, _) => other("true or false"),
        (Shape::Count(least, most), Kind::Integer(number)) => match u64::try_from(*number) {
            Ok(number) => within(number, least, most, ""),
            Err(_) => Err(Complaint::new("the number is negative", example(shape))),
        },
        (Shape::Count(..), _) => other("a whole number"),
        (Shape::Ratio, Kind::Float(number)) if *number > 0.0 && *number <= 1.0 => Ok(()),
        (Shape::Ratio, Kind::Integer(1)) => Ok(()),
        (Shape::Ratio, Kind::Float(_) | Kind::Integer(_)) => {
            Err(Complaint::new("the ratio is not above 0 and at most 1", example(shape)))
        }
        (Shape::Ratio, _) => other("a ratio"),
        (Shape::Share, Kind::Float(number)) if (0.0..=1.0).contains(number) => Ok(()),
        (Shape::Share, Kind::Integer(0 | 1)) => Ok(()),
        (Shape::Share, Kind::Float(_) | Kind::Integer(_)) => {
            Err(Complaint::new("the share is not from 0 to 1", example(shape)))
        }
        (Shape::Share, _) => other("a share"),
        (Shape::Texts, Kind::Text(_)) => Ok(()),
        (Shape::Texts, Kind::List(items)) if items.iter().all(|item| matches!(item.kind, Kind::Text(_))) => Ok(()),
        (Shape::Texts, _) => other("a text or a list of texts"),
        (Shape::Pairs(check), Kind::Table(table)) => {
            let mut values = table.0.values().map(|entry| &entry.value);
            values.try_for_each(|value| fits(Shape::Text(check), value))
        }
        (Shape::Pairs(_), _) => other("a table of texts"),
        (Shape::Choice(words), Kind::Text(text)) if words.contains(&text.as_str()) => Ok(()),
        (Shape::Choice(_), Kind::Text(text)) => {
            let wrong = format!("\"{}\" is not known here", text.escape_debug());
            Err(Complaint::new(wrong, example(shape)))
        }
        (Shape::Choice(_), _) => other("a text"),
        (Shape::Table(_) | Shape::Named(_), Kind::Table(_)) | (Shape::Rows(_), Kind::List(_)) => Ok(()),
        (Shape::Table(_) | Shape::Named(_), _) => other("a table"),
        (Shape::Rows(_), _) => other("an array of tables"),
        (Shape::Refused(_), _) => Ok(()),
    }
}

fn within(number: u64, least: u64, most: u64, unit: &str) -> Result<(), Complaint> {
    if (least..=most).contains(&number) {
        return Ok(());
    }
    let wrong = format!("{number}{unit} is out of bounds");
    Err(Complaint::new(
        wrong,
        format!("write a value from {least}{unit} to {most}{unit}"),
    ))
}

fn example(shape: Shape) -> String {
    match shape {
        Shape::Text(_) => "write it in quotation marks".to_owned(),
        Shape::Switch => "write true or false, without quotation marks".to_owned(),
        Shape::Count(least, most) => format!("write a whole number from {least} to {most}, without quotation marks"),
        Shape::Ratio => "write for example 0.5".to_owned(),
        Shape::Share => "write for example 0.001".to_owned(),
        Shape::Duration => "write for example \"30s\"".to_owned(),
        Shape::Size(..) => "write for example \"64KiB\"".to_owned(),
        Shape::Texts => "write for example \"one\" or [\"one\", \"two\"]".to_owned(),
        Shape::Pairs(_) => "write for example { name = \"value\" }".to_owned(),
        Shape::Choice(words) => {
            let words: Vec<String> = words.iter().map(|word| format!("\"{word}\"")).collect();
            format!("write {}", words.join(" or "))
        }
        Shape::Table(_) | Shape::Named(_) => "open it with a line like [name]".to_owned(),
        Shape::Rows(_) => "open each entry with a line like [[name]]".to_owned(),
        Shape::Refused(_) => "remove it".to_owned(),
    }
}
