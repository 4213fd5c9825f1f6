//! `host:port`: a real handshake that accepts whatever is shown, and then says whether it should have been.

use std::time::Duration;

use anyhow::Context as _;
use rustls_pki_types::{CertificateDer, ServerName};

use super::super::super::files;
use super::Inspect;
use super::material::Material;
use super::show::{Note, Report, Tls};
use crate::cert::load::{self, Bundle};
use crate::cert::verify::Purpose;
use crate::transport::dial::Endpoint;
use crate::transport::look::{self, Seen};

/// `host:port`, `[::1]:port`, `https://host[:port]`.
pub(super) fn address(target: &str) -> Option<(String, u16)> {
    let (authority, default) = match target.strip_prefix("https://") {
        Some(rest) => (rest.split('/').next().unwrap_or_default(), Some(443)),
        None => (target, None),
    };
    let (host, port) = match authority.rsplit_once(':') {
        Some((host, port)) if !host.is_empty() && (!host.contains(':') || host.starts_with('[')) => {
            (host, port.parse().ok()?)
        }
        _ => (authority, default?),
    };
    let host = host
        .strip_prefix('[')
        .and_then(|host| host.strip_suffix(']'))
        .unwrap_or(host);
    ServerName::try_from(host).ok()?;
    (port != 0).then(|| (host.to_owned(), port))
}

pub(super) fn look(args: &Inspect, target: &str, host: &str, port: u16, now: i64) -> Report {
    let report = Report::of(target, "server");
    match shake(args, host, port) {
        Ok((seen, name, anchors)) => tell(report, &seen, &name, anchors.as_deref(), now),
        Err(error) => report.wrong(crate::cert::facts::printable(&format!("{error:#}"))),
    }
}

type Shaken = (Seen, ServerName<'static>, Option<Vec<CertificateDer<'static>>>);

fn shake(args: &Inspect, host: &str, port: u16) -> anyhow::Result<Shaken> {
    let name = args.server_name.as_deref().unwrap_or(host);
    let server_name = ServerName::try_from(name.to_owned())
        .map_err(|_| anyhow::anyhow!("\"{}\" is not a name that a server can have", name.escape_debug()))?;
    let anchors = args.anchors()?;
    let identity = args.identity()?;
    let patience = Duration::from_secs(args.timeout.unsigned_abs());
    let endpoint = Endpoint {
        host: host.to_owned(),
        port,
        server_name: server_name.clone(),
        connect: patience,
        handshake: patience,
    };
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build();
    let runtime = runtime.context("starting a runtime")?;
    let seen = runtime.block_on(look::look(&endpoint, identity.as_ref()));
    let seen = seen.map_err(|error| anyhow::anyhow!("{}", error.fault.detail))?;
    Ok((seen, server_name, anchors))
}

impl Inspect {
    fn anchors(&self) -> anyhow::Result<Option<Vec<CertificateDer<'static>>>> {
        let Some(path) = &self.ca else { return Ok(None) };
        let read = files::read(path, "--ca names the CA that the server's certificate should lead to")?;
        let anchors = load::anchors(&read).with_context(|| format!("reading {}", path.display()))?;
        Ok(Some(anchors))
    }

    fn identity(&self) -> anyhow::Result<Option<Bundle>> {
        let (Some(cert), Some(key)) = (&self.cert, &self.key) else {
            return Ok(None);
        };
        let chain = files::read(cert, "--cert names the client certificate to show")?;
        let secret = files::read_secret(key, "--key names the key of --cert")?;
        let bundle = load::bundle(&chain, secret.expose())
            .with_context(|| format!("reading {} and {}", cert.display(), key.display()))?;
        Ok(Some(bundle))
    }
}

fn tell(
    mut report: Report,
    seen: &Seen,
    name: &ServerName<'static>,
    anchors: Option<&[CertificateDer<'static>]>,
    now: i64,
) -> Report {
    let material = Material::sent(&seen.chain);
    let source = report.target.clone();
    report
        .parts
        .push(material.show(source, Some(Purpose::Server), now, &[]));
    let verdict = anchors.map(|anchors| seen.verify(anchors, name, now));
    report.tls = Some(Tls {
        version: seen.version,
        suite: seen.suite.clone(),
        group: seen.group.clone(),
        alpn: seen.alpn.clone(),
        asks_for_certificate: seen.asked_for_certificate,
        certificate_sent: seen.sent_certificate,
        accepted_issuers: seen.issuers.clone(),
        verifies: verdict.as_ref().map(Result::is_ok),
    });
    let mut note = |severity, what, text| report.notes.push(Note { severity, what, text });
    if let Some(why) = &seen.unproven {
        note(
            "refuse",
            "unproven",
            format!("whether it holds the key of its certificate could not be confirmed: {why}"),
        );
    }
    if let Some((failure, fault)) = &seen.failure {
        let severity = if seen.sent_certificate { "refuse" } else { "warn" };
        note(severity, failure.as_str(), fault.detail.to_string());
    }
    let refused = seen.failure.as_ref().filter(|_| seen.sent_certificate);
    match (verdict, refused) {
        (Some(Err(why)), _) => report.wrong(format!("its certificate does not verify: {why}")),
        (_, Some((_, fault))) => {
            let why = format!("the client certificate was not accepted: {}", fault.detail);
            report.wrong(why)
        }
        _ => report,
    }
}

#[cfg(test)]
mod tests {
    use super::address;

    #[test]
    fn addresses_are_told_from_files_and_nonsense() {
        let host = |target| address(target).map(|(host, port)| format!("{host} {port}"));
        assert_eq!(host("ndh.example:8443").as_deref(), Some("ndh.example 8443"));
        assert_eq!(host("127.0.0.1:443").as_deref(), Some("127.0.0.1 443"));
        assert_eq!(host("[::1]:443").as_deref(), Some("::1 443"));
        assert_eq!(host("https://ndh.example/health").as_deref(), Some("ndh.example 443"));
        assert_eq!(host("https://ndh.example:8443").as_deref(), Some("ndh.example 8443"));
        for wrong in [
            "tls.crt",
            "ndh.example",
            "a:b",
            ":443",
            "::1:443",
            "x:0",
            "x:99999",
            "a b:1",
            "",
        ] {
            assert_eq!(address(wrong), None, "{wrong}");
        }
    }
}
