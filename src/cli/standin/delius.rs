//! `stand-in delius`: the legacy side.

use std::net::SocketAddr;
use std::path::PathBuf;
use std::time::Duration;

use clap::Args;

use super::FaultArgs;
use crate::cli::span::duration;
use crate::rehearsal::delius::{CustodialEvents, Data};
use crate::rehearsal::standin::Options;

/// The legacy Delius API, both generations: /secure (2019 on) and /api (2018, with its own logon)
#[derive(Debug, Args)]
#[command(after_help = "Examples:\n  \
    delius-sidecar stand-in delius --listen 127.0.0.1:8081\n  \
    delius-sidecar stand-in delius --fault 500:0.05 --fault slow:300ms:0.1\n  \
    curl http://127.0.0.1:8081/secure/offenders/nomsNumber/Z9001XA/all\n  \
    curl -H 'x-stand-in-fault: slow=2s' http://127.0.0.1:8081/health/ping")]
pub(super) struct DeliusArgs {
    /// Where to listen; port 0 lets the system choose
    #[arg(long, value_name = "ADDRESS", default_value = "127.0.0.1:8081")]
    listen: SocketAddr,
    /// A directory of invented people; those that come with the program if not given
    #[arg(long, value_name = "DIR")]
    data: Option<PathBuf>,
    #[command(flatten)]
    faults: FaultArgs,
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

impl DeliusArgs {
    pub(super) fn options(self) -> anyhow::Result<Options> {
        let data = match &self.data {
            Some(directory) => Data::load(directory)?,
            None => Data::embedded()?,
        };
        Ok(Options {
            listen: self.listen,
            data,
            require_token: self.require_token,
            token_life: self.token_life,
            faults: self.faults.fault,
            seed: self.faults.seed,
            custodial_events: self.custodial_events,
        })
    }
}
