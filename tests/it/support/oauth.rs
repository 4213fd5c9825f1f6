//! A certified OAuth 2.0 server (oidc-provider on Node), which takes Basic credentials only as RFC 6749 encodes them.
//! `tests/run` installs it below `tests/peers/oauth`.

use std::io::{BufRead, BufReader, Write};
use std::net::{Ipv4Addr, SocketAddr};
use std::process::{ChildStdin, ChildStdout, Command};

use serde_json::json;

use super::absent;
use super::peer::Process;

const SERVER: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/tests/peers/oauth/server.mjs");

pub(crate) struct OAuth {
    pub(crate) address: SocketAddr,
    input: ChildStdin,
    output: BufReader<ChildStdout>,
    _process: Process,
}

/// `None` where Node or the package is not installed and nobody requires it. Clients as identifier and secret; the life of
/// a token in seconds.
pub(crate) fn start(clients: &[(&str, &str)], ttl: u64) -> Option<OAuth> {
    let program = absent::find("node", "nodejs")?;
    let package = concat!(
        env!("CARGO_MANIFEST_DIR"),
        "/tests/peers/oauth/node_modules/oidc-provider/package.json"
    );
    absent::find_file(package, "npm ci --prefix tests/peers/oauth")?;
    let options = json!({ "clients": listed(clients), "ttl": ttl });
    let mut process = Process::piped(
        Command::new(program)
            .args(["--no-warnings", SERVER])
            .arg(options.to_string()),
    );
    let input = process.child().stdin.take().expect("piped");
    let mut output = BufReader::new(process.child().stdout.take().expect("piped"));
    let mut line = String::new();
    output.read_line(&mut line).expect("read the port");
    let port = line
        .trim()
        .parse()
        .unwrap_or_else(|_| panic!("the OAuth server did not start; it said {line:?}"));
    Some(OAuth {
        address: SocketAddr::from((Ipv4Addr::LOCALHOST, port)),
        input,
        output,
        _process: process,
    })
}

impl OAuth {
    /// These are the clients from now on.
    pub(crate) fn set_clients(&mut self, clients: &[(&str, &str)]) {
        writeln!(self.input, "clients {}", listed(clients)).expect("write to the OAuth server");
        let mut line = String::new();
        self.output.read_line(&mut line).expect("read from the OAuth server");
        assert_eq!(line.trim(), "ok");
    }
}

fn listed(clients: &[(&str, &str)]) -> serde_json::Value {
    let one = |(id, secret): &(&str, &str)| json!({ "id": id, "secret": secret });
    clients.iter().map(one).collect()
}
