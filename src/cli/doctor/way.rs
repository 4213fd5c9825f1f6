//! The way to one upstream: name, addresses, TCP, and a TLS handshake that only looks.

use std::net::{IpAddr, SocketAddr};
use std::time::Instant;

use tokio::net::TcpStream;
use tokio::time::timeout;

use super::ground::Ground;
use super::report::Lines;
use crate::config::settings::TlsVersion;
use crate::fault::Code;
use crate::identity::preflight;
use crate::transport::dial::DialError;
use crate::transport::look::{self, Seen};
use crate::transport::tls::Failure;

/// Resolves the name and connects to every address; whether one of them was reached.
pub(super) async fn reach(ground: &Ground<'_>, lines: &mut Lines) -> bool {
    let endpoint = &ground.endpoint;
    let addresses = match endpoint.host.parse::<IpAddr>() {
        Ok(ip) => {
            lines.ok("dns", format!("{ip} is an address: no name to resolve"));
            vec![SocketAddr::new(ip, endpoint.port)]
        }
        Err(_) => match resolve(ground, lines).await {
            Some(addresses) => addresses,
            None => {
                lines.skip("tcp", "the name has no address");
                return false;
            }
        },
    };
    let (mut reached, mut dead) = (Vec::new(), Vec::new());
    for address in addresses {
        let begun = Instant::now();
        match timeout(endpoint.connect, TcpStream::connect(address)).await {
            Ok(Ok(_)) => reached.push(format!("{address} in {} ms", begun.elapsed().as_millis())),
            Ok(Err(error)) => dead.push(format!("{address}: {error}")),
            Err(_) => dead.push(format!("{address}: no answer within {:?}", endpoint.connect)),
        }
    }
    let expected = "something that accepts TCP connections";
    if reached.is_empty() {
        let todo = if dead.iter().any(|text| text.contains("refused")) {
            "check that the service is up and that the port in `url` is right"
        } else {
            "check the network policy, the firewall on the way, and that the host is up"
        };
        let found = format!("{endpoint} cannot be reached: {}", dead.join("; "));
        lines.fail("tcp", found, expected, todo);
        return false;
    }
    let found = format!("connected to {}", reached.join(", "));
    if dead.is_empty() {
        lines.ok("tcp", found);
    } else {
        let found = format!("{found}; but not to {}", dead.join("; "));
        let todo = "have the dead address taken out of DNS: each connection may try it first";
        lines.warn("tcp", found, "every address answers", todo);
    }
    true
}

async fn resolve(ground: &Ground<'_>, lines: &mut Lines) -> Option<Vec<SocketAddr>> {
    let endpoint = &ground.endpoint;
    let name = &endpoint.host;
    let asked = tokio::net::lookup_host((name.as_str(), endpoint.port));
    let problem = match timeout(endpoint.connect, asked).await {
        Ok(Ok(found)) => {
            let addresses: Vec<SocketAddr> = found.collect();
            if !addresses.is_empty() {
                let shown: Vec<String> = addresses.iter().map(|address| address.ip().to_string()).collect();
                lines.ok("dns", format!("{name} is {}", shown.join(", ")));
                return Some(addresses);
            }
            String::from("it has no address")
        }
        Ok(Err(error)) => error.to_string(),
        Err(_) => format!("no answer within {:?}", endpoint.connect),
    };
    lines.fail(
        "dns",
        format!("the name {name} cannot be resolved: {problem}"),
        "one address or more",
        "check the name in `url`, and that the cluster's DNS can be reached and knows it",
    );
    None
}

/// Shakes hands without judging; `None` where it did not come to a server certificate.
pub(super) async fn handshake(ground: &Ground<'_>, lines: &mut Lines) -> Option<Seen> {
    const CHECK: &str = "tls";
    match look::look(&ground.endpoint, ground.bundle).await {
        Ok(seen) => {
            if seen.version == "TLSv1.2" && ground.tls_min == TlsVersion::V1_3 {
                lines.fail(
                    CHECK,
                    format!("{} speaks TLS 1.2 and no newer version", ground.peer),
                    "TLS 1.3, by `tls_min`",
                    "have TLS 1.3 enabled over there, or lower `tls_min`",
                );
                return Some(seen);
            }
            let newest = if seen.version == "TLSv1.2" {
                "; it speaks no newer version, which is allowed"
            } else {
                ""
            };
            let suite = if seen.suite.is_empty() {
                String::new()
            } else {
                format!(", {}", seen.suite)
            };
            lines.ok(CHECK, format!("{}{suite}{newest}", seen.version));
            Some(seen)
        }
        Err(error) => {
            let (found, expected, todo) = silent(ground, &error).await;
            lines.fail(CHECK, found, expected, todo);
            None
        }
    }
}

/// Why there was no server certificate to be seen.
async fn silent(ground: &Ground<'_>, error: &DialError) -> (String, &'static str, &'static str) {
    let peer = &ground.peer;
    let expected = "a TLS server";
    if error.fault.code == Code::UpstreamUnreachable {
        return (
            error.fault.detail.to_string(),
            expected,
            "look whether the service is restarting",
        );
    }
    if error.handshake == Some(Failure::Protocol) {
        return (
            format!(
                "{peer} speaks no TLS version or cipher suite that is still safe ({})",
                error.fault.detail
            ),
            expected,
            "have TLS 1.2 or 1.3 with a modern cipher suite enabled over there",
        );
    }
    // A server in the clear may answer a TLS greeting with an error, with silence, or not before the end of a head.
    let plain = preflight::in_the_clear(&ground.endpoint, &ground.late_look(), peer).await;
    if let Some(status) = plain.status {
        return (
            format!("{peer} speaks plain HTTP and no TLS (it answers {status} to an HTTP request in the clear)"),
            expected,
            "name the TLS port in `url`; if this is the right one, TLS is not switched on over there",
        );
    }
    if error.handshake == Some(Failure::Timeout) {
        return (
            format!(
                "{peer} accepts the connection, and the TLS handshake stalls: no answer within {:?}",
                ground.endpoint.handshake
            ),
            expected,
            "check that this is the TLS port, that the server is not overloaded, and that no firewall or proxy on the \
             way swallows what follows the connection (a too large MTU does too)",
        );
    }
    (
        format!("no TLS handshake: {}", error.fault.detail),
        expected,
        "check that the port in `url` is the TLS port, and look at the server's log for the same moment",
    )
}
