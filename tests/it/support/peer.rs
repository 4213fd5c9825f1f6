//! One real server program under test conditions: its ports, its output, and its certain end.

use std::fs::File;
use std::net::{Ipv4Addr, SocketAddr, TcpListener, TcpStream};
use std::os::unix::process::CommandExt;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};

use rustix::process::{Pid, Signal, kill_process_group};
use tempfile::TempDir;

use super::eventually;
use super::pki::{Key, Leaf, Pki};

/// The TLS version that a port speaks, and no other.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Tls {
    V12,
    V13,
}

/// Version and kind of the server's key, for every port of a peer.
pub(crate) const DOORS: [(Tls, Key); 4] = [
    (Tls::V12, Key::Rsa),
    (Tls::V12, Key::Ecdsa),
    (Tls::V13, Key::Rsa),
    (Tls::V13, Key::Ecdsa),
];

pub(crate) struct Peer {
    pub(crate) name: &'static str,
    doors: [u16; 4],
    // order matters: the process ends before its directory and its origin go
    _process: Process,
    pub(crate) directory: TempDir,
    /// The service behind the server, where there is one.
    pub(crate) origin: Option<super::hostile::Hostile>,
}

impl Peer {
    pub(crate) fn new(
        name: &'static str,
        doors: [u16; 4],
        process: Process,
        directory: TempDir,
        origin: Option<super::hostile::Hostile>,
    ) -> Self {
        Self {
            name,
            doors,
            _process: process,
            directory,
            origin,
        }
    }

    pub(crate) fn door(&self, tls: Tls, key: Key) -> SocketAddr {
        let index = DOORS
            .iter()
            .position(|door| *door == (tls, key))
            .expect("every door is listed");
        SocketAddr::from((Ipv4Addr::LOCALHOST, self.doors[index]))
    }
}

/// A child in its own process group; the whole group is killed on drop, so that no worker outlives the test.
pub(crate) struct Process(Child);

impl Process {
    /// Starts it with its output in `log`.
    pub(crate) fn start(command: &mut Command, log: &Path) -> Self {
        let output = File::create(log).expect("create a log");
        let errors = output.try_clone().expect("clone a log");
        Self(
            command
                .stdout(output)
                .stderr(errors)
                .process_group(0)
                .spawn()
                .expect("start a peer"),
        )
    }

    /// Starts it with its output on a pipe that the caller reads.
    pub(crate) fn piped(command: &mut Command) -> Self {
        let command = command.stdin(Stdio::piped()).stdout(Stdio::piped()).process_group(0);
        Self(command.spawn().expect("start a peer"))
    }

    pub(crate) fn child(&mut self) -> &mut Child {
        &mut self.0
    }

    pub(crate) fn exited(&mut self) -> bool {
        !matches!(self.0.try_wait(), Ok(None))
    }
}

impl Drop for Process {
    fn drop(&mut self) {
        if let Some(group) = i32::try_from(self.0.id()).ok().and_then(Pid::from_raw) {
            let _ = kill_process_group(group, Signal::KILL);
        }
        let _ = self.0.wait();
    }
}

/// Starts a server that cannot ask the kernel for its ports: takes free ones, writes the configuration, starts, and
/// when somebody was faster tries again with others. Ready means: its pid file is there (written after binding),
/// every port accepts, and the process still runs.
pub(crate) fn with_ports(directory: &Path, mut start: impl FnMut([u16; 4]) -> Process) -> ([u16; 4], Process) {
    let log = directory.join("log");
    for _ in 0..5 {
        let _ = std::fs::remove_file(directory.join("pid"));
        let ports = free_ports();
        let mut process = start(ports);
        let ready = eventually(|| {
            if process.exited() {
                return Some(false);
            }
            let pid = std::fs::metadata(directory.join("pid")).is_ok_and(|file| file.len() > 1);
            let open = || {
                ports
                    .iter()
                    .all(|port| TcpStream::connect((Ipv4Addr::LOCALHOST, *port)).is_ok())
            };
            (pid && open()).then_some(true)
        });
        if ready == Some(true) {
            return (ports, process);
        }
        let said = std::fs::read_to_string(&log).unwrap_or_default();
        assert!(
            said.contains("ddress already in use"),
            "the peer did not start:\n{said}"
        );
    }
    panic!("no free ports in five attempts");
}

fn free_ports() -> [u16; 4] {
    // held together, so that they differ; given up together, just before the server takes them
    let held = [(); 4].map(|()| TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).expect("a free port"));
    held.map(|listener| listener.local_addr().expect("own address").port())
}

/// A directory that a server which gave up root can read.
pub(crate) fn open_directory() -> TempDir {
    use std::os::unix::fs::PermissionsExt;
    let directory = tempfile::Builder::new()
        .prefix("delius-peer-")
        .tempdir()
        .expect("a temporary directory");
    std::fs::set_permissions(directory.path(), PermissionsExt::from_mode(0o755)).expect("open the directory");
    directory
}

/// Chain and key of a leaf as files.
pub(crate) fn write_leaf(directory: &Path, name: &str, leaf: &Leaf) -> (PathBuf, PathBuf) {
    let (chain, key) = (
        directory.join(format!("{name}.crt")),
        directory.join(format!("{name}.key")),
    );
    std::fs::write(&chain, &leaf.chain_pem).expect("write a chain");
    std::fs::write(&key, &leaf.key_pem).expect("write a key");
    (chain, key)
}

/// What a server shows at its doors.
#[derive(Clone)]
pub(crate) struct Shown {
    pub(crate) rsa: Leaf,
    pub(crate) ecdsa: Leaf,
}

impl Shown {
    /// As it should be.
    pub(crate) fn good(pki: &Pki) -> Self {
        Self {
            rsa: pki.server(Key::Rsa),
            ecdsa: pki.server(Key::Ecdsa),
        }
    }
}

/// The usual files of a server: `rsa.crt`, `rsa.key`, `ecdsa.crt`, `ecdsa.key`, `ca.crt`.
pub(crate) fn write_server_files(directory: &Path, pki: &Pki, shown: &Shown) {
    write_leaf(directory, "rsa", &shown.rsa);
    write_leaf(directory, "ecdsa", &shown.ecdsa);
    std::fs::write(directory.join("ca.crt"), pki.root_pem()).expect("write the CA");
}

/// Fills `@NAME@` places of a template.
pub(crate) fn fill(template: &str, values: &[(&str, String)]) -> String {
    let mut text = template.to_owned();
    for (name, value) in values {
        text = text.replace(&format!("@{name}@"), value);
    }
    text
}
