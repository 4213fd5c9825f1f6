//! The gateway as a process of its own, with files that a test can change.

use std::net::SocketAddr;
use std::path::Path;

use super::bin::Sidecar;
use super::peer::write_leaf;
use super::pki::{APP, Key, pki};
use super::world::text;

/// A gateway that lets the allocation manager in to these routes (as TOML writes them). In its directory: `gateway.crt`
/// and `.key`, `client-ca.crt`. `more` are lines of its table.
pub(crate) fn start(service: SocketAddr, routes: &str, client_ca: &str, more: &str) -> Sidecar {
    start_with(service, routes, client_ca, |_| more.to_owned())
}

/// The same with lines that need its directory.
pub(crate) fn start_with(
    service: SocketAddr,
    routes: &str,
    client_ca: &str,
    more: impl FnOnce(&Path) -> String,
) -> Sidecar {
    let directory = tempfile::Builder::new().prefix("delius-gateway-").tempdir();
    let directory = directory.expect("a temporary directory");
    let (chain, key) = write_leaf(directory.path(), "gateway", &pki().server(Key::Ecdsa));
    let ca = directory.path().join("client-ca.crt");
    std::fs::write(&ca, client_ca).expect("write the client CA");
    let config = format!(
        r#"
[gateway]
address = "127.0.0.1:0"
certificate = {chain}
private_key = {key}
client_ca = {ca}
{more}
[[gateway.allow]]
name = "allocation-manager"
dns = "{APP}"
routes = {routes}
[drain]
deadline = "2s"
quiet = "50ms"
[log]
format = "json"
[observe]
address = "127.0.0.1:0"
[upstream.delius]
url = "http://{service}"
unsafe_plain = true
"#,
        chain = text(&chain.display().to_string()),
        key = text(&key.display().to_string()),
        ca = text(&ca.display().to_string()),
        more = more(directory.path()),
    );
    Sidecar::try_start("gateway", directory, &config)
        .unwrap_or_else(|(status, printed)| panic!("it did not start: {status}\n{printed}\n{config}"))
}
