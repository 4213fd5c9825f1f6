//! `stand-in`: the constructed other side, for staging, development and rehearsals.
//!
//! It answers from invented people only and protects nothing, so by default it listens on loopback.

use std::net::SocketAddr;
use std::path::PathBuf;
use std::process::ExitCode;
use std::time::Duration;

use anstream::{eprintln, println};
use clap::{Args, Subcommand};
use tokio::signal::unix::{SignalKind, signal};

use crate::rehearsal::delius::{CustodialEvents, Data, Rule, parse_duration};
use crate::rehearsal::standin::{DeliusStandIn, Options};

/// A constructed Delius, where there is none: staging, development, rehearsals.
#[derive(Debug, Args)]
#[command(after_help = "Example: delius-sidecar stand-in delius --listen 127.0.0.1:8081")]
pub struct StandInArgs {
    #[command(subcommand)]
    side: Side,
}

#[derive(Debug, Subcommand)]
enum Side {
    /// The legacy Delius API, both generations: /secure (2019 on) and /api (2018, with its own logon)
    #[command(after_help = "Examples:\n  \
        delius-sidecar stand-in delius --listen 127.0.0.1:8081\n  \
        delius-sidecar stand-in delius --fault 500:0.05 --fault slow:300ms:0.1\n  \
        curl http://127.0.0.1:8081/secure/offenders/nomsNumber/Z9001XA/all\n  \
        curl -H 'x-stand-in-fault: slow=2s' http://127.0.0.1:8081/health/ping")]
    Delius(DeliusArgs),
}

#[derive(Debug, Args)]
struct DeliusArgs {
    /// Where to listen; port 0 lets the system choose
    #[arg(long, value_name = "ADDRESS", default_value = "127.0.0.1:8081")]
    listen: SocketAddr,
    /// A directory of invented people; those that come with the program if not given
    #[arg(long, value_name = "DIR")]
    data: Option<PathBuf>,
    /// A fault and its share of all requests: 500:0.05, 502:0.05, slow:300ms:0.1, reset:0.01, truncate:0.01,
    /// garbage:0.01. May be given several times. One request asks with the header x-stand-in-fault
    #[arg(long, value_name = "FAULT")]
    fault: Vec<Rule>,
    /// Start of the draws for --fault; the same seed gives the same faults
    #[arg(long, value_name = "NUMBER", default_value_t = 1)]
    seed: u64,
    /// Ask for a token with the right roles below /secure (its signature is not looked at)
    #[arg(long)]
    require_token: bool,
    /// Life of the tokens that /api/logon gives
    #[arg(long, value_name = "DURATION", default_value = "60000s", value_parser = duration)]
    token_life: Duration,
    /// Active custodial events that everyone has: none, one or several; key dates need exactly one.
    /// If not given, the data says it of each person
    #[arg(long, value_name = "NUMBER")]
    custodial_events: Option<CustodialEvents>,
}

fn duration(text: &str) -> Result<Duration, String> {
    parse_duration(text).ok_or_else(|| format!("expected a duration such as 300s or 5m, found {text:?}"))
}

/// Stands in until Ctrl-C or SIGTERM. 2: the data cannot be used; 1: it cannot listen.
pub fn stand_in(args: StandInArgs) -> ExitCode {
    let Side::Delius(args) = args.side;
    let data = match &args.data {
        Some(directory) => Data::load(directory),
        None => Data::embedded(),
    };
    let data = match data {
        Ok(data) => data,
        Err(error) => {
            eprintln!("error: {error}");
            return ExitCode::from(2);
        }
    };
    let options = Options {
        listen: args.listen,
        data,
        require_token: args.require_token,
        token_life: args.token_life,
        faults: args.fault,
        seed: args.seed,
        custodial_events: args.custodial_events,
    };
    let running = match DeliusStandIn::start(options) {
        Ok(running) => running,
        Err(error) => {
            eprintln!("error: cannot listen on {}: {error}", args.listen);
            return ExitCode::FAILURE;
        }
    };
    println!("stand-in for Delius, listening on http://{}", running.address());
    if let Err(error) = wait_for_signal() {
        eprintln!("error: cannot wait for signals: {error}");
        return ExitCode::FAILURE;
    }
    println!("{} requests answered", running.count());
    running.stop();
    ExitCode::SUCCESS
}

fn wait_for_signal() -> std::io::Result<()> {
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

    fn parse(line: &str) -> Result<DeliusArgs, clap::Error> {
        let Side::Delius(args) = Program::try_parse_from(line.split(' '))?.args.side;
        Ok(args)
    }

    #[test]
    fn every_option_is_understood() {
        let line = "stand-in delius --listen 127.0.0.1:0 --data people --fault 500:0.05 --fault slow:300ms:0.1 \
                    --seed 7 --require-token --token-life 5m --custodial-events several";
        let args = parse(&line.split_whitespace().collect::<Vec<_>>().join(" ")).unwrap();
        assert_eq!(args.fault.len(), 2);
        assert_eq!(args.token_life, Duration::from_secs(300));
        assert_eq!(args.custodial_events, Some(CustodialEvents::Several));
        assert!(args.require_token && args.seed == 7 && args.data.is_some());
        assert!(parse("stand-in delius").is_ok());
    }

    #[test]
    fn a_bad_fault_is_refused_in_words() {
        let said = parse("stand-in delius --fault 503:0.1").unwrap_err().to_string();
        assert!(said.contains("expected one of 500, 502, slow"), "{said}");
        assert!(parse("stand-in delius --custodial-events two").is_err());
    }
}
