//! The configuration files of a scene, as an operator would write them.

use std::net::SocketAddr;
use std::path::Path;

use super::super::papers::APP;
use super::standard_side::{CLIENT, CLIENT_ID, CLIENT_SECRET, TOKEN, TRUST};
use super::{GATEWAY_CONTROL, Promotion, Purpose, SIDECAR_CONTROL};
use crate::rehearsal::place::BUNDLE;

/// What the application reads of a person: with the group's own part of the configuration.
const READS: [&str; 4] = [
    "GET /secure/offenders/nomsNumber/{nomsNumber}/all",
    "GET /secure/offenders/nomsNumber/{nomsNumber}/registrations",
    "GET /secure/offenders/nomsNumber/{nomsNumber}/risk/resourcing/latest",
    "GET /secure/offenders/nomsNumber/{nomsNumber}/allOffenderManagers",
];

/// What the application writes, by route name.
const WRITES: [(&str, &str); 4] = [
    (
        "allocation",
        "PUT /secure/offenders/nomsNumber/{nomsNumber}/prisonOffenderManager",
    ),
    (
        "deallocation",
        "DELETE /secure/offenders/nomsNumber/{nomsNumber}/prisonOffenderManager",
    ),
    (
        "key-date",
        "PUT /secure/offenders/nomsNumber/{nomsNumber}/custody/keyDates/{typeCode}",
    ),
    (
        "key-date-removal",
        "DELETE /secure/offenders/nomsNumber/{nomsNumber}/custody/keyDates/{typeCode}",
    ),
];

/// Both legs of what is read.
const PERSON: &str = include_str!("person.toml");
/// What proves a new certificate.
const TRIAL: &str = "GET /health";

/// What the sidecar's configuration depends on.
#[derive(Clone, Copy, Debug)]
pub(super) struct Sidecar<'a> {
    pub(super) directory: &'a Path,
    pub(super) gateway: SocketAddr,
    /// URLs of the standard side.
    pub(super) auth: &'a str,
    pub(super) standard: &'a str,
    pub(super) purpose: Purpose,
    pub(super) promotion: Promotion,
    /// Compare also where the standard leg answers.
    pub(super) compare: bool,
}

pub(super) fn gateway(directory: &Path, delius: SocketAddr, purpose: Purpose, only: Option<&str>) -> String {
    let file = |name: &str| quoted(&directory.join(name));
    let routes = READS.into_iter().chain(WRITES.map(|(_, route)| route)).chain([TRIAL]);
    let routes: Vec<_> = routes.map(|route| format!("    \"{route}\",\n")).collect();
    let only = only.map(|hash| format!("fingerprint = [\"{hash}\"]\n"));
    format!(
        "[gateway]\n\
         address = \"127.0.0.1:0\"\n\
         certificate = {}\n\
         private_key = {}\n\
         client_ca = {}\n\
         crl = {}\n\
         crl_stale = \"refuse\"\n\
         \n\
         [[gateway.allow]]\n\
         name = \"{APP}\"\n\
         dns = [\"{APP}\"]\n\
         cn = [\"{APP}\"]\n\
         {}\
         routes = [\n{}]\n\
         \n\
         [upstream.delius]\n\
         url = \"http://{delius}\"\n\
         \n\
         {}",
        file("gateway/tls.crt"),
        file("gateway/tls.key"),
        file("client-ca/ca.crt"),
        file("client-ca/revoked.crl"),
        only.unwrap_or_default(),
        routes.concat(),
        seen_from_outside(&directory.join(GATEWAY_CONTROL), purpose),
    )
}

/// Probes, the control socket, and whether each request has its line in the log.
fn seen_from_outside(control: &Path, purpose: Purpose) -> String {
    format!(
        "[observe]\n\
         address = \"127.0.0.1:0\"\n\
         \n\
         [control]\n\
         socket = {}\n\
         \n\
         [log]\n\
         access = {}\n",
        quoted(control),
        purpose == Purpose::Demo,
    )
}

impl Sidecar<'_> {
    pub(super) fn text(&self) -> String {
        let mut config = self.towards_ndh();
        config.push_str(&self.towards_standard());
        for (name, route) in WRITES {
            config.push_str(&format!(
                "\n[[route]]\n\
                 name = \"{name}\"\n\
                 match = \"{route}\"\n\
                 person = \"nomsNumber\"\n\
                 [route.ndh]\n\
                 upstream = \"ndh\"\n"
            ));
        }
        config.push('\n');
        let mode = "mode = \"ndh\"\n";
        config.push_str(&if self.compare {
            PERSON.replacen(mode, &format!("{mode}compare = true\n"), 1)
        } else {
            PERSON.to_owned()
        });
        config
    }

    fn towards_ndh(&self) -> String {
        let file = |name: &str| quoted(&self.directory.join(name));
        format!(
            "[listen]\n\
             address = \"127.0.0.1:0\"\n\
             \n\
             {}\n\
             [identity.{APP}]\n\
             certificate = {}\n\
             private_key = {}\n\
             staged = {}\n\
             promotion = \"{}\"\n\
             expect_dns = [\"{APP}\"]\n\
             \n\
             [upstream.ndh]\n\
             url = \"https://{}\"\n\
             trust = {}\n\
             identity = \"{APP}\"\n\
             trial = \"{TRIAL}\"\n",
            seen_from_outside(&self.directory.join(SIDECAR_CONTROL), self.purpose),
            file("identity/tls.crt"),
            file("identity/tls.key"),
            file("staged"),
            match self.promotion {
                Promotion::Automatic => "automatic",
                Promotion::Manual => "manual",
            },
            self.gateway,
            file("trust/ca.crt"),
        )
    }

    fn towards_standard(&self) -> String {
        let file = |directory: &str, name: &str| quoted(&self.directory.join(directory).join(name));
        let trust = file(TRUST, BUNDLE);
        format!(
            "\n[token.{TOKEN}]\n\
             url = \"{}/auth/oauth/token\"\n\
             trust = {trust}\n\
             client_id_file = {}\n\
             client_secret_file = {}\n\
             \n\
             [upstream.standard]\n\
             url = \"{}\"\n\
             trust = {trust}\n\
             token = \"{TOKEN}\"\n",
            self.auth,
            file(CLIENT, CLIENT_ID),
            file(CLIENT, CLIENT_SECRET),
            self.standard,
        )
    }
}

/// A path as a TOML basic string: the same escapes as in JSON.
fn quoted(path: &Path) -> String {
    serde_json::Value::from(path.to_string_lossy()).to_string()
}

#[cfg(test)]
mod tests {
    use super::super::programs::PROGRAMS;
    use super::super::standard_side::StandardSide;
    use super::*;
    use crate::rehearsal::papers::Papers;
    use crate::{clock, config};

    const ADDRESS: SocketAddr = SocketAddr::new(std::net::IpAddr::V4(std::net::Ipv4Addr::LOCALHOST), 4711);

    fn sidecar(directory: &Path) -> Sidecar<'_> {
        Sidecar {
            directory,
            gateway: ADDRESS,
            auth: "https://127.0.0.1:4712",
            standard: "https://127.0.0.1:4713",
            purpose: Purpose::Demo,
            promotion: Promotion::Manual,
            compare: true,
        }
    }

    #[test]
    fn both_configurations_are_accepted_without_a_warning() {
        let place = Path::new("/demo");
        let mut source = config::Source::new("demo.toml".to_owned(), sidecar(place).text());
        let mut named = config::programs(&source.text);
        named.sort();
        named.dedup();
        let mut written = PROGRAMS.map(|(name, _)| name.to_owned());
        written.sort();
        assert_eq!(named, written, "no program is missing, and none is there for nothing");
        source.programs = PROGRAMS
            .map(|(name, text)| (name.to_owned(), Ok(text.to_owned())))
            .into();
        let loaded = config::load_run(&[source], &[]).unwrap_or_else(|problems| panic!("{}", problems.lines()));
        assert_eq!(loaded.settings.routes.len(), READS.len() + WRITES.len() + 1);
        assert!(loaded.settings.units["person"].terms.compare);
        assert_eq!(loaded.warnings.lines(), "");
        let only = "ab".repeat(32);
        let text = gateway(place, ADDRESS, Purpose::Rehearsal { keep: false }, Some(&only));
        let source = config::Source::new("demo.toml".to_owned(), text);
        let loaded = config::load_gateway(&[source], &[]).unwrap_or_else(|problems| panic!("{}", problems.lines()));
        assert_eq!(loaded.settings.allow[0].routes.len(), READS.len() + WRITES.len() + 1);
        assert_eq!(loaded.warnings.lines(), "");
    }

    #[test]
    fn both_configurations_are_toml_and_name_the_files_that_are_written() {
        let directory = tempfile::Builder::new()
            .prefix("a \"quoted\" place ")
            .tempdir()
            .unwrap();
        let path = directory.path();
        let now = clock::unix_seconds();
        Papers::issue(now).unwrap().write(path).unwrap();
        let _side = StandardSide::set(path, now).unwrap();
        let mut files = 0;
        for text in [gateway(path, ADDRESS, Purpose::Demo, None), sidecar(path).text()] {
            let table: toml::Table = text.parse().unwrap();
            let mut open: Vec<_> = table.into_iter().map(|(_, value)| value).collect();
            while let Some(value) = open.pop() {
                match value {
                    toml::Value::Table(table) => open.extend(table.into_iter().map(|(_, value)| value)),
                    toml::Value::String(text) if text.starts_with('/') && !text.ends_with(".sock") => {
                        assert!(Path::new(&text).exists(), "{text}");
                        files += 1;
                    }
                    _ => {}
                }
            }
        }
        assert_eq!(files, 12);
        for (name, _) in PROGRAMS {
            assert!(path.join(name).exists(), "{name}");
        }
    }
}
