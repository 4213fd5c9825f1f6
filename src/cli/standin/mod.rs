//! `stand-in`: the constructed other side, for staging, development and rehearsals.
//!
//! It answers from invented people only and protects nothing, so by default it listens on loopback.

mod auth;
mod delius;
mod standard;

use std::io;
use std::net::SocketAddr;
use std::path::PathBuf;
use std::process::ExitCode;

use anstream::{eprintln, println};
use anyhow::Context as _;
use clap::{Args, Subcommand};
use tokio::signal::unix::{SignalKind, signal};

use super::files;
use crate::cert::load::{self, Bundle, Source};
use crate::rehearsal;
use crate::rehearsal::faults::Rule;
use crate::rehearsal::serve::Running;
use crate::rehearsal::standin::DeliusStandIn;

/// A constructed Delius, HMPPS Auth or read API, where there is none: staging, development, rehearsals.
#[derive(Debug, Args)]
#[command(after_help = "Example: delius-sidecar stand-in delius --listen 127.0.0.1:8081")]
pub struct StandInArgs {
    #[command(subcommand)]
    side: Side,
}

#[derive(Debug, Subcommand)]
enum Side {
    Delius(delius::DeliusArgs),
    Auth(auth::AuthArgs),
    Standard(standard::StandardArgs),
}

/// How it misbehaves; the same for every side.
#[derive(Debug, Args)]
struct FaultArgs {
    /// A fault and its share of all requests: 500:0.05, 502:0.05, 503:0.05, 401:1, 403:1, slow:300ms:0.1, hang:0.01,
    /// wrong-json:0.01, html:0.01, reset:0.01, truncate:0.01, garbage:0.01. May be given several times. One request
    /// asks with the header x-stand-in-fault; PUT /stand-in/faults changes the shares while it runs
    #[arg(long, value_name = "FAULT")]
    fault: Vec<Rule>,
    /// Start of the draws for --fault; the same seed gives the same faults
    #[arg(long, value_name = "NUMBER", default_value_t = 1)]
    seed: u64,
}

/// HTTPS, where asked for.
#[derive(Debug, Args)]
struct CertificateArgs {
    /// Serve HTTPS with this certificate chain (PEM); plain HTTP if not given
    #[arg(long, value_name = "FILE", requires = "private_key")]
    certificate: Option<PathBuf>,
    /// Key of --certificate (PEM, not encrypted)
    #[arg(long, value_name = "FILE", requires = "certificate")]
    private_key: Option<PathBuf>,
}

impl CertificateArgs {
    fn load(&self) -> anyhow::Result<Option<Bundle>> {
        let (Some(certificate), Some(private_key)) = (&self.certificate, &self.private_key) else {
            return Ok(None);
        };
        let chain = files::read(certificate, "give the certificate chain with --certificate FILE")?;
        let key = files::read_secret(private_key, "give its key with --private-key FILE")?;
        let bundle = load::identity(Source::Pem {
            certificate: &chain,
            private_key: key.expose(),
            password: None,
        });
        let bundle = bundle.map_err(|error| {
            let (certificate, private_key) = (certificate.display(), private_key.display());
            anyhow::anyhow!("{certificate} with the key {private_key} cannot be used: {error}")
        })?;
        Ok(Some(bundle))
    }
}

/// Stands in until Ctrl-C or SIGTERM. 2: what was given cannot be used; 1: it cannot listen.
pub fn stand_in(args: StandInArgs) -> ExitCode {
    let ended = match args.side {
        Side::Delius(args) => args.options().map(|options| {
            let listen = options.listen;
            serve("Delius", listen, DeliusStandIn::start(options))
        }),
        Side::Auth(args) => args.options().map(|options| {
            let listen = options.listen;
            serve("HMPPS Auth", listen, rehearsal::auth::start(options))
        }),
        Side::Standard(args) => args.options().map(|options| {
            let listen = options.listen;
            serve("the read API", listen, rehearsal::standard::start(options))
        }),
    };
    let (code, error) = match ended {
        Ok(Ok(())) => return ExitCode::SUCCESS,
        Ok(Err(error)) => (ExitCode::FAILURE, error),
        Err(error) => (ExitCode::from(2), error),
    };
    eprintln!("error: {error:#}");
    code
}

fn serve<S>(side: &str, listen: SocketAddr, started: io::Result<Running<S>>) -> anyhow::Result<()> {
    let running = started.with_context(|| format!("cannot listen on {listen}"))?;
    println!("stand-in for {side}, listening on {}", running.url());
    wait_for_signal().context("cannot wait for signals")?;
    println!("{} requests answered", running.count());
    running.stop();
    Ok(())
}

fn wait_for_signal() -> io::Result<()> {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
    runtime.block_on(async {
        let mut terminate = signal(SignalKind::terminate())?;
        let mut interrupt = signal(SignalKind::interrupt())?;
        tokio::select! {
            _ = terminate.recv() => {}
            _ = interrupt.recv() => {}
        }
        Ok(())
    })
}

#[cfg(test)]
mod tests {
    use clap::Parser;

    use super::*;

    #[derive(Debug, Parser)]
    struct Program {
        #[command(flatten)]
        args: StandInArgs,
    }

    fn parse(line: &str) -> Result<Side, clap::Error> {
        Ok(Program::try_parse_from(line.split_whitespace())?.args.side)
    }

    #[test]
    fn every_option_is_understood() {
        let delius = "stand-in delius --listen 127.0.0.1:0 --data people --fault 500:0.05 --fault slow:300ms:0.1 \
                      --seed 7 --require-token --token-life 5m --custodial-events several";
        let auth = "stand-in auth --listen 127.0.0.1:0 --client app:a --client app-1:b --clients c --without-role app-1 \
                    --role ROLE_A --expires-in 30s --issuer https://auth.example/auth/issuer --certificate d \
                    --private-key e --fault 401:1 --seed 7";
        let standard = "stand-in standard --auth https://auth.example --auth-ca a --issuer b --data c --with-rosh \
                        --lie /case-records/Z9001XA={} --certificate d --private-key e --fault hang:1";
        for line in [delius, auth, standard] {
            parse(line).unwrap_or_else(|error| panic!("{error}"));
        }
        assert!(parse("stand-in delius").is_ok());
    }

    #[test]
    fn wrong_usage_is_refused_in_words() {
        for (line, said) in [
            ("stand-in delius --fault 504:0.1", "expected one of 500, 502, 503"),
            (
                "stand-in delius --custodial-events two",
                "expected none, one or several",
            ),
            ("stand-in auth", "--client <ID:FILE>|--clients <DIR>"),
            ("stand-in auth --client app", "expected ID:FILE"),
            ("stand-in auth --client app:", "expected ID:FILE"),
            ("stand-in auth --clients c --expires-in soon", "a number with a unit"),
            ("stand-in auth --clients c --expires-in 0s", "it is zero"),
            ("stand-in auth --clients c --certificate d", "--private-key <FILE>"),
            ("stand-in standard", "--auth <URL>"),
            ("stand-in standard --auth http://a --lie b", "expected PATH=PATCH"),
            ("stand-in standard --auth http://a --lie /b={", "not JSON"),
        ] {
            let error = parse(line).unwrap_err().to_string();
            assert!(error.contains(said), "{line}: {error}");
        }
    }
}
