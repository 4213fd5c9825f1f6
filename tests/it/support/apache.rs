//! Apache httpd with `SSLVerifyClient require`: it refuses a client certificate in the handshake, where nginx lets
//! the handshake through and answers 400.

use std::path::Path;
use std::process::Command;

use super::peer::{self, Peer, Process};
use super::pki::Pki;
use super::{absent, origin};

const TEMPLATE: &str = include_str!("../../peers/apache.conf");
const MODULES: &str = "/usr/lib/apache2/modules";

/// `None` where Apache is not installed and nobody requires it.
pub(crate) fn start(pki: &Pki) -> Option<Peer> {
    let program = absent::find("apache2", "apache2")?;
    let directory = peer::open_directory();
    let path = directory.path();
    peer::write_server_files(path, pki);
    let www = path.join("www");
    std::fs::create_dir(&www).expect("create the document root");
    for (name, size) in [("2k", 2 << 10), ("64k", 64 << 10), ("1m", 1 << 20)] {
        std::fs::write(www.join(name), origin::pattern(size)).expect("write a file to serve");
    }
    let origin = origin::start();
    let (ports, process) = peer::with_ports(path, |ports| launch(&program, path, ports, origin.address().port()));
    Some(Peer::new("apache", ports, process, directory, Some(origin)))
}

fn launch(program: &Path, path: &Path, [rsa12, ecdsa12, rsa13, ecdsa13]: [u16; 4], origin: u16) -> Process {
    // Apache will not serve as root; it drops to this user, who can read the directory
    let user = if rustix::process::geteuid().is_root() {
        "User www-data\nGroup www-data"
    } else {
        ""
    };
    let text = peer::fill(
        TEMPLATE,
        &[
            ("DIR", path.display().to_string()),
            ("MODULES", MODULES.to_owned()),
            ("USER", user.to_owned()),
            ("RSA12", rsa12.to_string()),
            ("ECDSA12", ecdsa12.to_string()),
            ("RSA13", rsa13.to_string()),
            ("ECDSA13", ecdsa13.to_string()),
            ("ORIGIN", origin.to_string()),
        ],
    );
    let conf = path.join("apache.conf");
    std::fs::write(&conf, text).expect("write apache.conf");
    Process::start(
        Command::new(program).arg("-DFOREGROUND").arg("-f").arg(conf),
        &path.join("log"),
    )
}
