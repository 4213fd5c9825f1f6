//! The CA changes with overlap, and the gateway's own certificate: what the other side of the mutual TLS has to rotate.

use super::super::client::Ask;
use super::super::papers::{Ca, Knock, knock, served};
use super::super::place::{self, BUNDLE, REVOKED};
use super::{Drill, End, Way, hash, unwritten};
use crate::cert::facts::Facts;
use crate::clock;
use crate::identity::status::Lineage;

impl Drill<'_> {
    /// First both ends trust both CAs, then the certificates move, then the old CA goes.
    pub(super) fn change_the_ca(&mut self) -> Result<(), String> {
        let now = clock::unix_seconds();
        let next = Ca::new("2", now).map_err(|error| error.to_string())?;
        let list = |ca: &Ca| ca.revoked(&[], now).map_err(|error| error.to_string());
        let root = |ca: &Ca| ca.root.certificate_pem();
        let old = self.ca();
        let both = (root(old) + &root(&next), list(old)? + &list(&next)?);
        let only = (root(&next), list(&next)?);
        let old_leaf = self.leaf.clone();
        self.trust_at_gateway("the gateway trusts both CAs", &both, 2)?;
        self.trust_at_sidecar("the sidecar trusts both CAs", &both.0, 2)?;
        self.next_ca = Some(next);
        self.change_leaf("the sidecar's certificate, of the next CA", Way::Rename)?;
        self.change_gateway("the gateway's certificate, of the next CA", Way::Rename)?;
        self.trust_at_gateway("the gateway trusts only the next CA", &only, 1)?;
        self.trust_at_sidecar("the sidecar trusts only the next CA", &only.0, 1)?;
        let gateway = self.scene.stage().gateway;
        match knock(&only.0, gateway, Some(&old_leaf), &Ask::get("/health")) {
            Ok(Knock::Refused(how)) => {
                self.note(format!(
                    "the gateway to one who shows a certificate of the old CA: {how}"
                ));
                Ok(())
            }
            Ok(Knock::Answered(answer)) => Err(format!("the old CA is still let in: {}", answer.status)),
            Err(error) => Err(format!("the gateway could not be asked: {error}")),
        }
    }

    fn trust_at_gateway(&mut self, what: &str, (roots, lists): &(String, String), cas: usize) -> Result<(), String> {
        let directory = self.directory("client-ca");
        self.change(
            what,
            (End::Gateway, Way::Rename),
            |_| {
                let files = [(BUNDLE, &**roots), (REVOKED, lists)];
                place::rename(&directory, &files).map_err(|error| unwritten(&directory, &error))
            },
            |now| trusts(now, cas) && now.in_use.as_ref().is_some_and(|in_use| in_use.crls.len() == cas),
        )
    }

    fn trust_at_sidecar(&mut self, what: &str, roots: &str, cas: usize) -> Result<(), String> {
        let directory = self.directory("trust");
        self.change(
            what,
            (End::Sidecar, Way::Swap),
            |_| place::swap(&directory, &[(BUNDLE, roots)]).map_err(|error| unwritten(&directory, &error)),
            |now| trusts(now, cas),
        )
    }

    /// A new certificate for the gateway; who calls it sees that one.
    pub(super) fn change_gateway(&mut self, what: &str, way: Way) -> Result<(), String> {
        let next = self
            .ca()
            .gateway(clock::unix_seconds())
            .map_err(|error| error.to_string())?;
        let wanted = hash(&next)?;
        self.change(
            what,
            (End::Gateway, way),
            |drill| drill.put("gateway", &next, way),
            |now| super::shows(now, &wanted),
        )?;
        let roots = self.ca().root.certificate_pem();
        let seen = served(&roots, self.scene.stage().gateway, &self.leaf);
        let seen = seen.map_err(|error| format!("the gateway could not be asked: {error}"))?;
        let seen = Facts::read(&seen).map_err(|error| error.to_string())?.fingerprint();
        if seen == wanted {
            Ok(())
        } else {
            Err(format!("callers of the gateway still see the certificate {seen}"))
        }
    }
}

fn trusts(lineage: &Lineage, cas: usize) -> bool {
    lineage.in_use.as_ref().is_some_and(|in_use| in_use.trust.len() == cas)
}
