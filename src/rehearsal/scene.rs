//! The stage of demo and rehearsal: stand-in, gateway and sidecar, running, each in front of the next.
//!
//! ```text
//! we (as the app) ─HTTP─▶ sidecar ═mutual TLS═▶ gateway ─HTTP─▶ Delius stand-in
//! ```
//!
//! Gateway and sidecar are the program itself, started with configuration files as an operator would write them. All
//! of it ends, and its files go, when the [`Scene`] is dropped.

use std::fs::Permissions;
use std::io;
use std::net::SocketAddr;
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};

use super::child::{Child, ChildError, Stop};
use super::delius::{Data, DataError};
use super::papers::{APP, Papers};
use super::place;
use super::standin::{DeliusStandIn, Options, Running};
use crate::cert::issue::IssueError;
use crate::clock;

/// What the application asks for, by route name.
const ROUTES: [(&str, &str); 8] = [
    ("offender", "GET /secure/offenders/nomsNumber/{nomsNumber}/all"),
    (
        "registrations",
        "GET /secure/offenders/nomsNumber/{nomsNumber}/registrations",
    ),
    (
        "resourcing",
        "GET /secure/offenders/nomsNumber/{nomsNumber}/risk/resourcing/latest",
    ),
    (
        "managers",
        "GET /secure/offenders/nomsNumber/{nomsNumber}/allOffenderManagers",
    ),
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

const GATEWAY_CONFIG: &str = "gateway.toml";
const SIDECAR_CONFIG: &str = "sidecar.toml";
const SIDECAR_CONTROL: &str = "sidecar.sock";
const GATEWAY_CONTROL: &str = "gateway.sock";
/// What proves a new certificate.
const TRIAL: &str = "GET /health";

/// Why the stage could not be set.
#[derive(Debug, thiserror::Error)]
pub enum SceneError {
    #[error("the embedded people cannot be used: {0}")]
    Data(#[from] DataError),
    #[error("the throw-away certificates cannot be made: {0}")]
    Certificates(#[from] IssueError),
    #[error("the Delius stand-in cannot start: {0}")]
    StandIn(io::Error),
    #[error("cannot write the demo's files below {place}: {error}")]
    Files { place: PathBuf, error: io::Error },
    #[error(transparent)]
    Child(#[from] ChildError),
}

/// What a scene is for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Purpose {
    Demo,
    /// Real load: requests leave no line in the log.
    Rehearsal {
        /// Leave the files where they are, also when the stage cannot be set.
        keep: bool,
    },
}

/// Who takes a certificate into use when its trial is passed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Promotion {
    Automatic,
    Manual,
}

/// Everything that runs. The order of the fields is the order in which it ends.
#[derive(Debug)]
pub struct Scene {
    sidecar: Child,
    gateway: Child,
    delius: Running,
    papers: Papers,
    purpose: Purpose,
    directory: tempfile::TempDir,
}

/// What the steps look at: both ends of the path and the papers to try the door with.
#[derive(Clone, Copy, Debug)]
pub struct Stage<'a> {
    pub sidecar: SocketAddr,
    pub gateway: SocketAddr,
    pub delius: &'a Running,
    pub papers: &'a Papers,
}

impl Scene {
    /// Sets the stage with `program` as sidecar and gateway, and its files in a new directory below `base`.
    pub fn set(program: &Path, base: &Path, purpose: Purpose, stop: &Stop) -> Result<Self, SceneError> {
        let mut place = tempfile::Builder::new();
        let place = place
            .prefix(match purpose {
                Purpose::Demo => "delius-sidecar-demo-",
                Purpose::Rehearsal { .. } => "delius-sidecar-rehearsal-",
            })
            .disable_cleanup(purpose == Purpose::Rehearsal { keep: true })
            .permissions(Permissions::from_mode(0o700));
        let directory = place.tempdir_in(base).map_err(|error| SceneError::Files {
            place: base.to_owned(),
            error,
        })?;
        let path = directory.path();
        let written = |error| SceneError::Files {
            place: path.to_owned(),
            error,
        };
        let papers = Papers::issue(clock::unix_seconds())?;
        papers.write(path).map_err(written)?;
        let delius = DeliusStandIn::start(Options::new(Data::embedded()?)).map_err(SceneError::StandIn)?;
        let config = path.join(GATEWAY_CONFIG);
        std::fs::write(&config, gateway_config(path, delius.address(), purpose, None)).map_err(written)?;
        let gateway = Child::start(program, "gateway", &config, path, stop)?;
        let config = path.join(SIDECAR_CONFIG);
        let text = sidecar_config(path, gateway.ready().listen, purpose, Promotion::Automatic);
        std::fs::write(&config, text).map_err(written)?;
        let sidecar = Child::start(program, "run", &config, path, stop)?;
        Ok(Self {
            sidecar,
            gateway,
            delius,
            papers,
            purpose,
            directory,
        })
    }

    #[must_use]
    pub const fn stage(&self) -> Stage<'_> {
        Stage {
            sidecar: self.sidecar.ready().listen,
            gateway: self.gateway.ready().listen,
            delius: &self.delius,
            papers: &self.papers,
        }
    }

    /// The sidecar's read-only listener: probes and metrics.
    #[must_use]
    pub const fn observe(&self) -> Option<SocketAddr> {
        self.sidecar.ready().observe
    }

    /// Configuration, certificates and logs of this scene.
    #[must_use]
    pub fn directory(&self) -> &Path {
        self.directory.path()
    }

    /// The sidecar's control socket.
    #[must_use]
    pub fn sidecar_control(&self) -> PathBuf {
        self.directory().join(SIDECAR_CONTROL)
    }

    /// The gateway's control socket.
    #[must_use]
    pub fn gateway_control(&self) -> PathBuf {
        self.directory().join(GATEWAY_CONTROL)
    }

    /// Writes the sidecar's configuration anew; it notices by itself.
    pub fn set_promotion(&self, promotion: Promotion) -> io::Result<()> {
        let text = sidecar_config(self.directory(), self.gateway.ready().listen, self.purpose, promotion);
        place::rename(self.directory(), &[(SIDECAR_CONFIG, &text)])
    }

    /// Writes the gateway's list anew: the application with any certificate, or only with the one of this SHA-256. It
    /// notices by itself.
    pub fn set_list(&self, only: Option<&str>) -> io::Result<()> {
        let text = gateway_config(self.directory(), self.delius.address(), self.purpose, only);
        place::rename(self.directory(), &[(GATEWAY_CONFIG, &text)])
    }

    /// A child that ended although nobody asked it to, with the end of its log.
    pub fn lost(&mut self) -> Option<String> {
        for (name, child) in [("the sidecar", &mut self.sidecar), ("the gateway", &mut self.gateway)] {
            if let Some(status) = child.ended() {
                return Some(format!("{name} ended ({status}):\n{}", child.end_of_log()));
            }
        }
        None
    }
}

fn gateway_config(directory: &Path, delius: SocketAddr, purpose: Purpose, only: Option<&str>) -> String {
    let file = |name: &str| quoted(&directory.join(name));
    let mut routes: Vec<_> = ROUTES.iter().map(|(_, route)| format!("    \"{route}\",\n")).collect();
    routes.push(format!("    \"{TRIAL}\",\n"));
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

fn sidecar_config(directory: &Path, gateway: SocketAddr, purpose: Purpose, promotion: Promotion) -> String {
    let file = |name: &str| quoted(&directory.join(name));
    let mut config = format!(
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
         url = \"https://{gateway}\"\n\
         trust = {}\n\
         identity = \"{APP}\"\n\
         trial = \"{TRIAL}\"\n",
        seen_from_outside(&directory.join(SIDECAR_CONTROL), purpose),
        file("identity/tls.crt"),
        file("identity/tls.key"),
        file("staged"),
        match promotion {
            Promotion::Automatic => "automatic",
            Promotion::Manual => "manual",
        },
        file("trust/ca.crt"),
    );
    for (name, route) in ROUTES {
        config.push_str(&format!(
            "\n[[route]]\n\
             name = \"{name}\"\n\
             match = \"{route}\"\n\
             person = \"nomsNumber\"\n\
             [route.ndh]\n\
             upstream = \"ndh\"\n"
        ));
    }
    config
}

/// A path as a TOML basic string: the same escapes as in JSON.
fn quoted(path: &Path) -> String {
    serde_json::Value::from(path.to_string_lossy()).to_string()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::config;

    #[test]
    fn both_configurations_are_accepted_without_a_warning() {
        let address = SocketAddr::from(([127, 0, 0, 1], 4711));
        let source = |text| {
            let name = "demo.toml".to_owned();
            [config::Source::new(name, text)]
        };
        let place = Path::new("/demo");
        let sidecar = source(sidecar_config(place, address, Purpose::Demo, Promotion::Manual));
        let loaded = config::load_run(&sidecar, &[]).unwrap_or_else(|problems| panic!("{}", problems.lines()));
        assert_eq!(loaded.settings.routes.len(), ROUTES.len());
        assert_eq!(loaded.warnings.lines(), "");
        let gateway = source(gateway_config(
            place,
            address,
            Purpose::Rehearsal { keep: false },
            Some(&"ab".repeat(32)),
        ));
        let loaded = config::load_gateway(&gateway, &[]).unwrap_or_else(|problems| panic!("{}", problems.lines()));
        assert_eq!(loaded.settings.allow[0].routes.len(), ROUTES.len() + 1);
        assert_eq!(loaded.warnings.lines(), "");
    }

    #[test]
    fn both_configurations_are_toml_and_name_the_files_that_are_written() {
        let directory = tempfile::Builder::new()
            .prefix("a \"quoted\" place ")
            .tempdir()
            .unwrap();
        let path = directory.path();
        Papers::issue(clock::unix_seconds()).unwrap().write(path).unwrap();
        let address = SocketAddr::from(([127, 0, 0, 1], 4711));
        let mut files = 0;
        let sidecar = sidecar_config(path, address, Purpose::Rehearsal { keep: false }, Promotion::Automatic);
        for text in [gateway_config(path, address, Purpose::Demo, None), sidecar] {
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
        assert_eq!(files, 8);
    }

    #[test]
    fn a_program_that_cannot_serve_leaves_no_files_behind() {
        let stop = Stop::default();
        let base = tempfile::tempdir().unwrap();
        let error = Scene::set(Path::new("/bin/false"), base.path(), Purpose::Demo, &stop).unwrap_err();
        assert!(matches!(error, SceneError::Child(ChildError::Ended { .. })), "{error}");
        assert_eq!(std::fs::read_dir(base.path()).unwrap().count(), 0);
    }
}
