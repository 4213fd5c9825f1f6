//! A JSSE server that needs a client certificate: the TLS stack that NDH and the Delius API are built on.
//! `tests/peers/JsseServer.java` is started from source; it needs a JDK, not only a JRE.

use std::io::{BufRead, BufReader};
use std::process::Command;

use super::absent;
use super::peer::{self, Peer, Process, Shown};
use super::pki::Pki;

const SOURCE: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/tests/peers/JsseServer.java");

/// `None` where no JDK is installed and nobody requires it.
pub(crate) fn start(pki: &Pki) -> Option<Peer> {
    start_showing(pki, &Shown::good(pki))
}

/// The same with other certificates at its doors; the keys are of the kinds that the doors are named after.
pub(crate) fn start_showing(pki: &Pki, shown: &Shown) -> Option<Peer> {
    let program = absent::find("java", "openjdk-17-jdk-headless")?;
    absent::find("javac", "openjdk-17-jdk-headless")?;
    let directory = peer::open_directory();
    peer::write_server_files(directory.path(), pki, shown);
    // a small heap and no JIT tuning: it starts faster, and several run side by side
    let mut command = Command::new(program);
    command
        .args(["-Xmx96m", "-XX:TieredStopAtLevel=1", "-XX:+UseSerialGC"])
        .arg(SOURCE)
        .arg(directory.path());
    let mut process = Process::piped(&mut command);
    // one line with the four ports, in the order of `peer::DOORS`, once all of them listen; the source is compiled first
    let output = process.child().stdout.take().expect("piped");
    let mut line = String::new();
    BufReader::new(output).read_line(&mut line).expect("read the ports");
    let ports: Vec<u16> = line.split_whitespace().filter_map(|word| word.parse().ok()).collect();
    let ports = ports
        .try_into()
        .unwrap_or_else(|_| panic!("the JSSE server did not start; it said {line:?}"));
    Some(Peer::new("jsse", ports, process, directory, None))
}
