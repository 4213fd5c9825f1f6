//! What single values look like: durations, sizes, addresses, matches, log levels; `url` has those of upstreams.
//!
//! A [`Complaint`] says what is wrong and what would be right; where it stands is the reader's business.

use std::net::{IpAddr, SocketAddr};
use std::path::PathBuf;
use std::time::Duration;

use jiff::fmt::friendly::SpanParser;
use rustls_pki_types::ServerName;

use super::settings::{Address, Trial};
use crate::route::{Methods, Template, parse_match};

/// Why a value is refused.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Complaint {
    pub(super) wrong: String,
    pub(super) right: String,
    /// The value may hold a secret.
    pub(super) conceal: bool,
}

impl Complaint {
    pub(super) fn new(wrong: impl Into<String>, right: impl Into<String>) -> Self {
        Self {
            wrong: wrong.into(),
            right: right.into(),
            conceal: false,
        }
    }
}

pub(super) type Read<T> = Result<T, Complaint>;

/// No time that is configured may be longer: arithmetic on it must not overflow, and nobody means it.
const LONGEST: Duration = Duration::from_secs(31 * 24 * 3600);

/// `300ms`, `30s`, `8h`, `1m 30s`; more than nothing.
pub(super) fn duration(text: &str) -> Read<Duration> {
    const RIGHT: &str = "write for example \"300ms\", \"30s\", \"1m 30s\" or \"8h\"";
    let trimmed = text.trim();
    if !trimmed.is_empty() && trimmed.bytes().all(|byte| byte.is_ascii_digit() || byte == b'.') {
        let wrong = format!("the duration \"{trimmed}\" has no unit");
        return Err(Complaint::new(
            wrong,
            format!("write \"{trimmed}s\" if seconds are meant"),
        ));
    }
    let has_days = trimmed.trim_end_matches(|last: char| last.is_ascii_alphabetic()).len() < trimmed.len()
        && ["d", "day", "days", "w", "week", "weeks"]
            .contains(&trimmed.trim_start_matches(|first: char| !first.is_ascii_alphabetic()));
    if has_days {
        let shown = trimmed.escape_debug();
        let wrong = format!("the duration \"{shown}\" is in days or weeks, which are not all equally long");
        return Err(Complaint::new(wrong, "write hours, for example \"24h\""));
    }
    let Ok(duration) = SpanParser::new().parse_unsigned_duration(trimmed) else {
        return Err(Complaint::new(
            format!("\"{}\" is not a duration", trimmed.escape_debug()),
            RIGHT,
        ));
    };
    if duration.is_zero() {
        return Err(Complaint::new("the duration is zero", RIGHT));
    }
    if duration > LONGEST {
        return Err(Complaint::new("the duration is longer than 31 days", RIGHT));
    }
    Ok(duration)
}

/// `512B`, `64KiB`, `1MiB`, `2GiB`.
pub(super) fn size(text: &str) -> Read<u64> {
    const RIGHT: &str = "write for example \"512B\", \"64KiB\" or \"1MiB\"";
    let trimmed = text.trim();
    let digits = trimmed.bytes().take_while(u8::is_ascii_digit).count();
    let (number, unit) = trimmed.split_at(digits);
    let unit = unit.trim_start();
    let shown = trimmed.escape_debug();
    if number.is_empty() {
        return Err(Complaint::new(format!("\"{shown}\" is not a size"), RIGHT));
    }
    let factor: u64 = match unit {
        "B" => 1,
        "KiB" => 1 << 10,
        "MiB" => 1 << 20,
        "GiB" => 1 << 30,
        "" => {
            let wrong = format!("the size \"{shown}\" has no unit");
            return Err(Complaint::new(wrong, format!("write \"{number}B\" if bytes are meant")));
        }
        _ => {
            let likely = match unit.bytes().next() {
                Some(b'k' | b'K') => "KiB",
                Some(b'm' | b'M') => "MiB",
                Some(b'g' | b'G') => "GiB",
                _ => return Err(Complaint::new(format!("\"{shown}\" is not a size"), RIGHT)),
            };
            let wrong = format!("the size \"{shown}\" has a unit that is not known");
            return Err(Complaint::new(
                wrong,
                format!("write \"{number}{likely}\" (powers of 1024)"),
            ));
        }
    };
    let bytes = number.parse::<u64>().ok().and_then(|number| number.checked_mul(factor));
    bytes.ok_or_else(|| Complaint::new(format!("the size \"{shown}\" is too large"), RIGHT))
}

/// `127.0.0.1:8080`, `[::1]:8080`, `unix:/run/delius/http.sock`.
pub(super) fn address(text: &str) -> Read<Address> {
    match text.strip_prefix("unix:") {
        Some(path) if path.starts_with('/') && path.len() > 1 => Ok(Address::Unix(PathBuf::from(path))),
        Some(_) => Err(Complaint::new(
            format!("\"{}\" has no absolute path", text.escape_debug()),
            "write for example \"unix:/run/delius/http.sock\"",
        )),
        None => socket(text).map(Address::Tcp).map_err(|complaint| {
            let right = format!("{}, or \"unix:/run/delius/http.sock\"", complaint.right);
            Complaint { right, ..complaint }
        }),
    }
}

/// `0.0.0.0:9090`, `[::]:9090`: an IP address and a port.
pub(super) fn socket(text: &str) -> Read<SocketAddr> {
    if let Ok(address) = text.parse() {
        return Ok(address);
    }
    let shown = text.escape_debug();
    Err(match text.rsplit_once(':') {
        _ if text.parse::<IpAddr>().is_ok() => Complaint::new(
            format!("the address \"{shown}\" has no port"),
            "write for example \"127.0.0.1:8080\" or \"[::1]:8080\"",
        ),
        Some(("localhost", port)) => Complaint::new(
            "\"localhost\" is a name, which may mean several addresses",
            format!("write \"127.0.0.1:{}\"", port.escape_debug()),
        ),
        Some(("", port)) => {
            let port = port.escape_debug();
            let right = format!("write \"127.0.0.1:{port}\" for this machine, \"0.0.0.0:{port}\" for every interface");
            Complaint::new(format!("\"{shown}\" has no host"), right)
        }
        _ => Complaint::new(
            format!("\"{shown}\" is not an IP address and a port"),
            "write for example \"127.0.0.1:8080\"",
        ),
    })
}

/// A DNS name or IP address that a certificate can carry.
pub(super) fn server_name(text: &str) -> Read<String> {
    let name = text.to_ascii_lowercase();
    match ServerName::try_from(name.as_str()) {
        Ok(_) => Ok(name),
        Err(_) => Err(Complaint::new(
            format!("\"{}\" is neither a DNS name nor an IP address", text.escape_debug()),
            "write the name that the server's certificate carries, without port",
        )),
    }
}

/// `GET /path`, `GET,HEAD /path/{name}`, `* /{*rest}`.
pub(super) fn matcher(text: &str) -> Read<(Methods, Template)> {
    const RIGHT: &str = "write for example \"GET /secure/offenders/nomsNumber/{nomsNumber}/all\"";
    let (methods, template) = parse_match(text).map_err(|error| Complaint::new(error.to_string(), RIGHT))?;
    if matches!(&methods, Methods::Listed(listed) if listed.iter().any(|method| method == "CONNECT")) {
        let wrong = "the method CONNECT asks for a tunnel, which this program does not make";
        return Err(Complaint::new(wrong, "remove it"));
    }
    Ok((methods, template))
}

/// `GET /health`: the request that proves a new identity. Only what changes nothing, and one path.
pub(super) fn trial(text: &str) -> Read<Trial> {
    const RIGHT: &str = "write for example \"GET /health\"";
    let Some((method, path)) = text.split_once(' ') else {
        let wrong = format!("\"{}\" is not a method, a space and a path", text.escape_debug());
        return Err(Complaint::new(wrong, RIGHT));
    };
    if !matches!(method, "GET" | "HEAD") {
        let wrong = format!("the trial's method \"{}\" is not GET or HEAD", method.escape_debug());
        return Err(Complaint::new(wrong, RIGHT));
    }
    let template = template(path)?;
    if template.parameters().next().is_some() {
        return Err(Complaint::new(
            "the trial's path has a parameter, which nothing could fill",
            RIGHT,
        ));
    }
    Ok(Trial {
        method: method.to_owned(),
        path: path.to_owned(),
    })
}

/// A path template.
pub(super) fn template(text: &str) -> Read<Template> {
    Template::parse(text).map_err(|error| Complaint::new(error.to_string(), "write for example \"/a/{name}/b\""))
}

/// `info`, or `warn,delius_sidecar=debug`.
pub(super) fn level(text: &str) -> Read<String> {
    const LEVELS: [&str; 6] = ["off", "error", "warn", "info", "debug", "trace"];
    for part in text.split(',') {
        let (target, level) = part.rsplit_once('=').unwrap_or(("any", part));
        let target_ok = |byte: u8| byte.is_ascii_alphanumeric() || byte == b'_' || byte == b':';
        if !LEVELS.contains(&level) || target.is_empty() || !target.bytes().all(target_ok) {
            let wrong = format!("\"{}\" is not a log level", part.escape_debug());
            let right =
                "write off, error, warn, info, debug or trace; for one module \"info,delius_sidecar::proxy=debug\"";
            return Err(Complaint::new(wrong, right));
        }
    }
    Ok(text.to_owned())
}

/// Where a file is. Its content in the place of its path is a mistake that must not be shown.
pub(super) fn path(text: &str) -> Read<PathBuf> {
    if text.contains("-----BEGIN") {
        let mut complaint = Complaint::new(
            "this is the content of a file, expected its path",
            "put it into a file and write the path of that; if it is a private key, it is to be replaced",
        );
        complaint.conceal = true;
        return Err(complaint);
    }
    if text.is_empty() || text.chars().any(char::is_control) {
        let wrong = format!("\"{}\" is not a path", text.escape_debug());
        return Err(Complaint::new(
            wrong,
            "write for example \"/etc/delius-sidecar/identity/tls.crt\"",
        ));
    }
    Ok(PathBuf::from(text))
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn wrong<T: std::fmt::Debug>(read: Read<T>) -> String {
        let complaint = read.expect_err("refused");
        format!("{}; {}", complaint.wrong, complaint.right)
    }

    #[test]
    fn a_duration_needs_a_unit_that_is_always_as_long() {
        assert_eq!(duration("1m 30s"), Ok(Duration::from_secs(90)));
        assert_eq!(duration("8h"), Ok(Duration::from_secs(8 * 3600)));
        assert_eq!(
            wrong(duration("30")),
            "the duration \"30\" has no unit; write \"30s\" if seconds are meant"
        );
        assert!(wrong(duration("1d")).contains("write hours"));
        assert!(wrong(duration("0s")).contains("zero"));
        assert!(wrong(duration("9000h")).contains("31 days"));
        for refused in ["", " ", "s", "-3s", "3 apples", "\u{1b}[31m", "3s ago"] {
            assert!(wrong(duration(refused)).contains("is not a duration"), "{refused:?}");
        }
    }

    #[test]
    fn a_size_needs_a_unit_in_powers_of_1024() {
        assert_eq!(size("512B"), Ok(512));
        assert_eq!(size("64 KiB"), Ok(65536));
        assert_eq!(size("2GiB"), Ok(2 << 30));
        assert!(wrong(size("64")).contains("write \"64B\""));
        assert!(wrong(size("64kB")).contains("write \"64KiB\""));
        assert!(wrong(size("1M")).contains("write \"1MiB\""));
        assert!(wrong(size("-1KiB")).contains("is not a size"));
        assert!(wrong(size("18446744073709551615KiB")).contains("too large"));
    }

    #[test]
    fn an_address_is_numbers_or_a_socket_file() {
        assert_eq!(
            address("[::1]:0"),
            Ok(Address::Tcp("[::1]:0".parse().expect("an address")))
        );
        assert_eq!(address("unix:/run/x"), Ok(Address::Unix("/run/x".into())));
        assert!(wrong(address("unix:x")).contains("no absolute path"));
        assert!(wrong(address("127.0.0.1")).contains("has no port"));
        assert!(wrong(address("localhost:8080")).contains("write \"127.0.0.1:8080\""));
        assert!(wrong(address(":8080")).contains("has no host"));
        assert!(wrong(address("example:8080")).contains("not an IP address"));
    }

    #[test]
    fn a_match_names_methods_and_a_path() {
        let (methods, template) = matcher("GET,HEAD /a/{b}").expect("a match");
        assert_eq!(methods, Methods::Listed(vec!["GET".into(), "HEAD".into()]));
        assert_eq!(template.as_str(), "/a/{b}");
        assert!(matcher("* /{*rest}").is_ok_and(|(methods, _)| methods == Methods::Any));
        assert!(wrong(matcher("get /a")).contains("GET"));
        assert!(wrong(matcher("CONNECT /a")).contains("tunnel"));
        assert!(wrong(matcher("/a")).contains("write for example"));
        assert!(wrong(matcher("GET /a/../b")).contains("can never match"));
    }

    #[test]
    fn a_trial_changes_nothing_and_names_one_path() {
        assert_eq!(trial("GET /health").map(|trial| trial.path), Ok("/health".into()));
        assert!(wrong(trial("PUT /health")).contains("not GET or HEAD"));
        assert!(wrong(trial("GET /a/{b}")).contains("parameter"));
        assert!(wrong(trial("/health")).contains("a method, a space"));
    }

    #[test]
    fn a_level_that_would_silently_be_a_module_is_refused() {
        assert!(level("info").is_ok());
        assert!(level("warn,delius_sidecar::proxy=debug").is_ok());
        for refused in ["", "loud", "info,", "=info", "a=b=", "INFO"] {
            assert!(level(refused).is_err(), "{refused:?}");
        }
    }

    #[test]
    fn a_pasted_key_is_refused_and_concealed() {
        assert!(path("-----BEGIN PRIVATE KEY-----\nMII").expect_err("refused").conceal);
        assert!(path("/etc/x").is_ok());
        assert!(path("").is_err());
    }

    proptest! {
        #[test]
        fn what_is_written_as_a_duration_is_read_as_it(milliseconds in 1..=31 * 24 * 3600 * 1000_u64) {
            let (seconds, rest) = (milliseconds / 1000, milliseconds % 1000);
            let written = format!("{}h {}m {}s {rest}ms", seconds / 3600, seconds / 60 % 60, seconds % 60);
            prop_assert_eq!(duration(&written), Ok(Duration::from_millis(milliseconds)));
            prop_assert_eq!(duration(&format!("{milliseconds}ms")), Ok(Duration::from_millis(milliseconds)));
        }

        #[test]
        fn what_is_written_as_a_size_is_read_as_it(number in any::<u32>(), unit in 0..4_usize) {
            let written = format!("{number}{}", ["B", "KiB", "MiB", "GiB"][unit]);
            prop_assert_eq!(size(&written), Ok(u64::from(number) << (10 * unit)));
        }

        #[test]
        fn a_number_alone_is_neither_duration_nor_size(number in any::<u64>()) {
            prop_assert!(duration(&number.to_string()).is_err());
            prop_assert!(size(&number.to_string()).is_err());
        }

        #[test]
        fn no_text_is_fatal_and_no_complaint_is_without_words(text in any::<String>()) {
            let complaints = [
                duration(&text).err(),
                size(&text).err(),
                address(&text).err(),
                crate::config::url::url(&text).err(),
                matcher(&text).err(),
                level(&text).err(),
                path(&text).err(),
            ];
            for complaint in complaints.into_iter().flatten() {
                prop_assert!(!complaint.wrong.is_empty() && !complaint.right.is_empty());
                let words = complaint.wrong + &complaint.right;
                prop_assert!(!words.chars().any(char::is_control), "{words:?}");
            }
        }
    }
}
