//! `ca sign`: a certificate for somebody's request; its names come from the request, all else from here.

use std::path::PathBuf;

use anyhow::Context as _;
use clap::Args;

use super::super::files::{self, NewFiles};
use super::super::output::Format;
use super::directory::Directory;
use super::issue::{Side, is_there, outlives};
use super::made::{Made, is_file};
use super::window::Window;
use crate::cert::facts::Facts;
use crate::cert::issue::Request;
use crate::cert::verify;

#[derive(Args, Debug)]
pub struct Sign {
    /// The directory of the CA, as made by `ca init`.
    #[arg(long, value_name = "DIR")]
    dir: PathBuf,
    /// The certificate request, PEM or DER.
    #[arg(long, value_name = "FILE")]
    csr: PathBuf,
    /// What the certificate is for, whatever the request says.
    #[arg(long, value_enum, default_value_t = Side::Client)]
    purpose: Side,
    #[command(flatten)]
    window: Window,
    /// Where the chain is written: a file such as client.crt, or a directory, which gets tls.crt and ca.crt.
    #[arg(long, value_name = "DIR|FILE")]
    out: PathBuf,
    /// How the result is printed.
    #[arg(long, value_enum, default_value_t = Format::Text)]
    pub(super) output: Format,
}

impl Sign {
    pub(super) fn run(&self, now: i64) -> anyhow::Result<Made> {
        let validity = self.window.validity(now)?;
        let read = files::read(&self.csr, "expected the request that \"cert request\" wrote")?;
        let request = Request::read(&read).with_context(|| format!("reading {}", self.csr.display()))?;
        let directory = Directory::open(&self.dir)?;
        let signer = directory.signer()?;
        let root_pem = directory.root_pem()?;
        let signed = signer
            .sign(&request, self.purpose.purposes(), validity)
            .with_context(|| format!("signing {}", self.csr.display()))?;
        let facts = Facts::read(&signed.leaf)?;
        let mut new = NewFiles::new();
        if is_file(&self.out) {
            new = new.open(self.out.clone(), &signed.chain_pem);
        } else {
            new = new.open(self.out.join("tls.crt"), &signed.chain_pem);
            let ca = self.out.join("ca.crt");
            if !is_there(&ca, &root_pem) {
                new = new.open(ca, &root_pem);
            }
        }
        new.refuse_existing()?;
        let chain = std::slice::from_ref(&signed.leaf);
        let findings = verify::chain_findings(chain, std::slice::from_ref(&facts), self.purpose.judged(), &[], now, 0);
        let mut notes: Vec<String> = findings.into_iter().map(|finding| finding.text).collect();
        notes.extend(outlives(&facts, &signer)?);
        notes.extend(self.other_purposes(&request));
        let mut index = directory.index()?;
        index.enter(&facts, &Facts::read(signer.certificate())?, now);
        directory.save(&index)?;
        Ok(Made {
            facts,
            files: new.write()?,
            notes,
            issuing: None,
        })
    }

    fn other_purposes(&self, request: &Request) -> Option<String> {
        let asked = request.purposes?;
        let (client, server) = match self.purpose {
            Side::Client => (true, false),
            Side::Server => (false, true),
            Side::Both => (true, true),
            Side::None | Side::Other => (false, false),
        };
        let less = (asked.client_auth && !client) || (asked.server_auth && !server);
        less.then(|| {
            String::from(
                "the request asks for a purpose that was not granted; --purpose says what the certificate is for",
            )
        })
    }
}
