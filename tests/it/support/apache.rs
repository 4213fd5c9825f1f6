//! Apache httpd with `SSLVerifyClient require`: it refuses a client certificate in the handshake, where nginx lets
//! the handshake through and answers 400.

use std::path::Path;
use std::process::Command;

use super::peer::{self, Peer, Process, Shown};
use super::pki::Pki;
use super::{absent, origin};

const TEMPLATE: &str = include_str!("../../peers/apache.conf");
const MODULES: &str = "/usr/lib/apache2/modules";

/// `None` where Apache is not installed and nobody requires it.
pub(crate) fn start(pki: &Pki) -> Option<Peer> {
    start_showing(pki, &Shown::good(pki))
}

/// The same with other certificates at its doors.
pub(crate) fn start_showing(pki: &Pki, shown: &Shown) -> Option<Peer> {
    start_as(pki, shown, TEMPLATE)
}

/// It asks for the certificate only once it has read for which location: by renegotiation under TLS 1.2, after the
/// handshake under TLS 1.3.
pub(crate) fn start_asking_late(pki: &Pki) -> Option<Peer> {
    let everywhere = "SSLVerifyClient require\nSSLVerifyDepth 3\n";
    assert!(TEMPLATE.contains(everywhere), "the template has changed");
    let late = format!("<Location />\n{everywhere}</Location>\n");
    start_as(pki, &Shown::good(pki), &TEMPLATE.replace(everywhere, &late))
}

fn start_as(pki: &Pki, shown: &Shown, template: &str) -> Option<Peer> {
    let program = absent::find("apache2", "apache2")?;
    let directory = peer::open_directory();
    let path = directory.path();
    peer::write_server_files(path, pki, shown);
    let www = path.join("www");
    std::fs::create_dir(&www).expect("create the document root");
    for (name, size) in [("2k", 2 << 10), ("64k", 64 << 10), ("1m", 1 << 20)] {
        std::fs::write(www.join(name), origin::pattern(size)).expect("write a file to serve");
    }
    let origin = origin::start();
    let (ports, process) = peer::with_ports(path, |ports| {
        launch(template, &program, path, ports, origin.address().port())
    });
    Some(Peer::new("apache", ports, process, directory, Some(origin)))
}

fn launch(
    template: &str,
    program: &Path,
    path: &Path,
    [rsa12, ecdsa12, rsa13, ecdsa13]: [u16; 4],
    origin: u16,
) -> Process {
    // Apache will not serve as root; it drops to this user, who can read the directory
    let user = if rustix::process::geteuid().is_root() {
        "User www-data\nGroup www-data"
    } else {
        ""
    };
    let text = peer::fill(
        template,
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
