//! What an operator does: stages, promotes, rolls back; and what happens when the other side withdraws its trust.

use std::time::Instant;

use super::super::client::Ask;
use super::super::papers::{Knock, knock};
use super::super::place::{self, REVOKED};
use super::super::scene::Promotion;
use super::{Drill, End, Revocation, STEADY, TAKEN_UP, Way, hash, shows, unwritten};
use crate::cert::issue::Issued;
use crate::clock;

impl Drill<'_> {
    /// Staged, promoted by hand, rolled back, promoted again.
    pub(super) fn stage_promote_and_roll_back(&mut self) -> Result<(), String> {
        let written = self.scene.set_promotion(Promotion::Manual);
        written.map_err(|error| unwritten(self.scene.directory(), &error))?;
        self.until("the sidecar leaves promotion to the operator", || {
            Ok((self.status(End::Sidecar)?.promotion == "manual").then_some(()))
        })?;
        let (before, next) = (self.leaf.clone(), self.client()?);
        let (wanted, current) = (hash(&next)?, hash(&before)?);
        self.put("staged", &next, Way::Swap)?;
        let said = self.until("the staged certificate has passed its trial", || {
            let now = self.status(End::Sidecar)?;
            if !shows(&now, &current) {
                return Err("the staged certificate came into use without the operator".to_owned());
            }
            let passed = now
                .candidate
                .filter(|candidate| candidate.phase == "waiting_for_promotion");
            let meant = passed.filter(|candidate| candidate.certificate.fingerprint == wanted);
            Ok(meant.map(|candidate| candidate.sentence))
        })?;
        self.note(format!("staged: {said}"));
        self.command("the staged certificate", "promote", &next)?;
        self.command("the certificate of before", "rollback", &before)?;
        self.command("the staged certificate again", "promote", &next)
    }

    /// One word of the operator, after which this certificate is in use.
    fn command(&mut self, what: &str, word: &str, leaf: &Issued) -> Result<(), String> {
        let wanted = hash(leaf)?;
        self.change(
            what,
            (End::Sidecar, Way::Asked),
            |drill| {
                drill.ask(word)?;
                drill.leaf = leaf.clone();
                Ok(())
            },
            |now| shows(now, &wanted),
        )
    }

    /// The CA takes back the certificate in use. Requests are refused until the sidecar has fallen back: that is the
    /// other side's will, and counted apart.
    pub(super) fn revoke(&mut self) -> Result<(), String> {
        let now = self.status(End::Sidecar)?;
        let previous = now.previous.and_then(|previous| previous.chain.into_iter().next());
        let previous = previous.ok_or("no generation is held to fall back to")?.fingerprint;
        let revoked = hash(&self.leaf)?;
        let list = self.ca().revoked(&[&self.leaf.serial], clock::unix_seconds());
        let list = list.map_err(|error| error.to_string())?;
        let during = self.load.mark();
        self.pause(STEADY)?;
        let directory = self.directory("client-ca");
        place::rename(&directory, &[(REVOKED, &list)]).map_err(|error| unwritten(&directory, &error))?;
        let written = Instant::now();
        self.until("the sidecar has fallen back", || {
            let now = self.status(End::Sidecar)?;
            let fallen = shows(&now, &previous) && now.receipt.is_some_and(|receipt| receipt.why == "fall_back");
            Ok(fallen.then_some(()))
        })?;
        let after = written.elapsed();
        self.pause(TAKEN_UP)?;
        let afterwards = self.load.mark();
        self.pause(2 * STEADY)?;
        let receipt = self.until("the last connection with the revoked certificate is closed", || {
            let receipt = self.status(End::Sidecar)?.receipt;
            Ok(receipt.filter(|receipt| receipt.retired_after_seconds.is_some()))
        })?;
        let gateway = self.scene.stage().gateway;
        let roots = self.ca().root.certificate_pem();
        let refusal = match knock(&roots, gateway, Some(&self.leaf), &Ask::get("/health")) {
            Ok(Knock::Refused(how)) => how,
            Ok(Knock::Answered(answer)) => return Err(format!("the revoked certificate is let in: {}", answer.status)),
            Err(error) => return Err(format!("the gateway could not be asked: {error}")),
        };
        self.note(format!(
            "the gateway to one who shows the revoked certificate: {refusal}"
        ));
        self.note(format!(
            "fell back after {} ms; {} requests were refused until then",
            after.as_millis(),
            self.load.failed(during)
        ));
        self.note(format!("receipt: {}", receipt.sentence));
        self.revocation = Some(Revocation {
            after,
            requests_refused: 0,
            requests_on_revoked: 0,
            requests_after: 0,
            refusal,
            receipt,
            during,
            afterwards,
            revoked,
            current: previous,
        });
        Ok(())
    }
}
