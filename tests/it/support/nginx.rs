//! nginx with `ssl_verify_client on`: what the staging NDH most likely is. Debian: nginx-light is enough.

use std::path::Path;
use std::process::Command;

use super::peer::{self, Peer, Process, Shown};
use super::pki::Pki;
use super::{absent, origin};

const TEMPLATE: &str = include_str!("../../peers/nginx.conf");
const LOCATIONS: &str = include_str!("../../peers/nginx-locations.conf");

/// `None` where nginx is not installed and nobody requires it.
pub(crate) fn start(pki: &Pki) -> Option<Peer> {
    start_showing(pki, &Shown::good(pki))
}

/// The same with other certificates at its doors.
pub(crate) fn start_showing(pki: &Pki, shown: &Shown) -> Option<Peer> {
    start_as(pki, shown, TEMPLATE)
}

/// The same without TLS at any of its doors.
pub(crate) fn start_plain(pki: &Pki) -> Option<Peer> {
    start_as(pki, &Shown::good(pki), &TEMPLATE.replace(" ssl http2;", ";"))
}

fn start_as(pki: &Pki, shown: &Shown, template: &str) -> Option<Peer> {
    let program = absent::find("nginx", "nginx-light")?;
    let directory = peer::open_directory();
    let path = directory.path();
    peer::write_server_files(path, pki, shown);
    let origin = origin::start();
    let www = path.join("www");
    std::fs::create_dir(&www).expect("create the document root");
    let locations = peer::fill(LOCATIONS, &[("DIR", path.display().to_string())]);
    std::fs::write(path.join("locations.conf"), locations).expect("write locations.conf");
    for (name, size) in [("2k", 2 << 10), ("64k", 64 << 10), ("1m", 1 << 20)] {
        std::fs::write(www.join(name), origin::pattern(size)).expect("write a file to serve");
    }
    let (ports, process) = peer::with_ports(path, |ports| {
        launch(template, &program, path, ports, origin.address().port())
    });
    Some(Peer::new("nginx", ports, process, directory, Some(origin)))
}

fn launch(
    template: &str,
    program: &Path,
    path: &Path,
    [rsa12, ecdsa12, rsa13, ecdsa13]: [u16; 4],
    origin: u16,
) -> Process {
    // only root may choose the workers' user; as anybody else the line is a warning at best
    let user = if rustix::process::geteuid().is_root() {
        "user root;"
    } else {
        ""
    };
    let text = peer::fill(
        template,
        &[
            ("DIR", path.display().to_string()),
            ("USER", user.to_owned()),
            ("RSA12", rsa12.to_string()),
            ("ECDSA12", ecdsa12.to_string()),
            ("RSA13", rsa13.to_string()),
            ("ECDSA13", ecdsa13.to_string()),
            ("ORIGIN", origin.to_string()),
        ],
    );
    std::fs::write(path.join("nginx.conf"), text).expect("write nginx.conf");
    Process::start(
        Command::new(program)
            .arg("-p")
            .arg(path)
            .arg("-c")
            .arg(path.join("nginx.conf")),
        &path.join("log"),
    )
}
