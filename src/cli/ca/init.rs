//! `ca init` and `ca rollover`: the root, its issuing CAs, the index and the first revocation list.

use std::path::PathBuf;

use anyhow::{Context as _, bail};
use clap::Args;

use super::super::files::NewFiles;
use super::super::{output::Format, span};
use super::directory::Directory;
use super::index::Index;
use super::made::Made;
use super::window;
use crate::cert::facts::Facts;
use crate::cert::issue::Authority;

#[derive(Args, Debug)]
pub struct Init {
    /// Where the CA is written; made where missing.
    #[arg(long, value_name = "DIR")]
    dir: PathBuf,
    /// The common name of the root; the issuing CA is named after it.
    #[arg(long, value_name = "NAME", default_value = "delius-sidecar development CA")]
    name: String,
    /// How long the root is valid, from now.
    #[arg(long, value_name = "N", default_value_t = 3650, value_parser = clap::value_parser!(u32).range(1..=36_500))]
    days: u32,
    /// How long the issuing CA is valid, from now; half as long as the root if not given.
    #[arg(long, value_name = "N", value_parser = clap::value_parser!(u32).range(1..=36_500), conflicts_with = "root_only")]
    issuing_days: Option<u32>,
    /// No issuing CA: the root signs certificates itself.
    #[arg(long)]
    root_only: bool,
    /// How long the revocation list is good for: 30d, 8h, 60s.
    #[arg(long, value_name = "TIME", default_value = "30d", value_parser = span::parse_positive)]
    crl_valid_for: i64,
    /// How the result is printed.
    #[arg(long, value_enum, default_value_t = Format::Text)]
    pub(super) output: Format,
}

#[derive(Args, Debug)]
pub struct Rollover {
    /// The directory of the CA, as made by `ca init`.
    #[arg(long, value_name = "DIR")]
    dir: PathBuf,
    /// The common name of the new issuing CA.
    #[arg(long, value_name = "NAME")]
    name: Option<String>,
    /// How long it is valid, from now.
    #[arg(long, value_name = "N", default_value_t = 1825, value_parser = clap::value_parser!(u32).range(1..=36_500))]
    days: u32,
    /// How long the revocation list is good for: 30d, 8h, 60s.
    #[arg(long, value_name = "TIME", default_value = "30d", value_parser = span::parse_positive)]
    crl_valid_for: i64,
    /// How the result is printed.
    #[arg(long, value_enum, default_value_t = Format::Text)]
    pub(super) output: Format,
}

impl Init {
    pub(super) fn run(&self, now: i64) -> anyhow::Result<Made> {
        let root = Authority::new_root(&self.name, window::days(now, self.days)).context("making the root")?;
        let root_facts = Facts::read(root.certificate())?;
        let directory = Directory::create(&self.dir)?;
        let mut index = Index::default();
        let (root_key, root_pem) = (root.key_pem().expose(), root.certificate_pem());
        let mut files = NewFiles::new();
        let issuing = if self.root_only {
            None
        } else {
            let days = self.issuing_days.unwrap_or((self.days / 2).max(1));
            let name = format!("{} issuing", self.name);
            let issuing = root.issue_intermediate(&name, window::days(now, days));
            Some(issuing.context("making the issuing CA")?)
        };
        let issuing_pem = issuing.as_ref().map(Authority::certificate_pem).unwrap_or_default();
        let mut issuing_facts = None;
        if let Some(issuing) = &issuing {
            let facts = Facts::read(issuing.certificate())?;
            index.enter(&facts, &root_facts, now);
            issuing_facts = Some(facts);
            files = files
                .private(directory.file("issuing.key"), issuing.key_pem().expose())
                .open(directory.file("issuing.crt"), &issuing_pem);
        }
        // The root's certificate last: it is what makes the directory a CA, and one without its issuing CA would
        // sign leafs with the root.
        let mut files = files
            .private(directory.file("ca.key"), root_key)
            .open(directory.file("ca.crt"), &root_pem)
            .write()?;
        directory.write_lists(&mut index, now, now.saturating_add(self.crl_valid_for))?;
        files.extend([directory.file("index.json"), directory.file("crl.pem")]);
        let mut notes = Vec::new();
        if issuing_facts
            .as_ref()
            .is_some_and(|facts| facts.not_after > root_facts.not_after)
        {
            notes.push(String::from("the issuing CA outlives the root, and ends with it"));
        }
        Ok(Made {
            facts: root_facts,
            files,
            notes,
            issuing: issuing_facts,
        })
    }
}

impl Rollover {
    pub(super) fn run(&self, now: i64) -> anyhow::Result<Made> {
        let directory = Directory::open(&self.dir)?;
        let root = directory.root()?;
        let root_facts = Facts::read(root.certificate())?;
        let file = directory.next_issuing();
        let name = self.name.clone().unwrap_or_else(|| {
            let of = root_facts.common_names.first().unwrap_or(&root_facts.subject);
            format!("{of} {}", file.replace('-', " "))
        });
        let issuing = root.issue_intermediate(&name, window::days(now, self.days));
        let issuing = issuing.context("making the issuing CA")?;
        let facts = Facts::read(issuing.certificate())?;
        let mut index = directory.index()?;
        // Revocation lists are found by the name of their issuer.
        let before = index.certificates.iter().filter(|entry| entry.is_ca);
        if before
            .map(|entry| &entry.subject)
            .chain([&root_facts.subject])
            .any(|name| *name == facts.subject)
        {
            bail!(
                "\"{}\" is the name of an earlier CA; choose another with --name",
                facts.subject
            );
        }
        index.enter(&facts, &root_facts, now);
        directory.save(&index)?;
        let pem = issuing.certificate_pem();
        // The key first: the certificate is what makes it the one that signs.
        let mut files = NewFiles::new()
            .private(directory.file(&format!("{file}.key")), issuing.key_pem().expose())
            .open(directory.file(&format!("{file}.crt")), &pem)
            .write()?;
        let lists = directory.write_lists(&mut index, now, now.saturating_add(self.crl_valid_for))?;
        files.push(lists.file);
        let mut notes = vec![String::from(
            "certificates are signed by the new issuing CA from now on; those of the one before stay good, and crl.pem has a list of each: hand it out",
        )];
        if facts.not_after > root_facts.not_after {
            notes.push(String::from("the issuing CA outlives the root, and ends with it"));
        }
        Ok(Made {
            facts,
            files,
            notes,
            issuing: None,
        })
    }
}
