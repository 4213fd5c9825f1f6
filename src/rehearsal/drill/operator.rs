//! What an operator does: stages, promotes, rolls back; and what happens when the other side withdraws its trust.

use std::time::Instant;

use super::super::client::Ask;
use super::super::papers::{Knock, knock};
use super::super::place::{self, REVOKED};
use super::super::scene::{Promotion, Scene};
use super::{Drill, End, STEADY, TAKEN_UP, Way, Withdrawn, hash, shows, unwritten};
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
        self.before = before.clone();
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

    /// The gateway takes the certificate in use off its list; then it is put back, and promoted again.
    pub(super) fn take_off_the_list(&mut self) -> Result<(), String> {
        let off = self.leaf.clone();
        let only = hash(&self.before)?;
        let list = |scene: &Scene, only| {
            let written = scene.set_list(only);
            written.map_err(|error| unwritten(scene.directory(), &error))
        };
        self.withdraw("taken off the gateway's list", |drill| list(drill.scene, Some(&only)))?;
        list(self.scene, None)?;
        self.until("the gateway has the certificate on its list again", || {
            Ok(matches!(self.knock_with(&off)?, Knock::Answered(answer) if answer.status == 200).then_some(()))
        })?;
        self.command("the certificate that is on the list again", "promote", &off)
    }

    /// The CA takes back the certificate in use.
    pub(super) fn revoke(&mut self) -> Result<(), String> {
        self.withdraw("revoked by the CA", |drill| {
            let list = drill.ca().revoked(&[&drill.leaf.serial], clock::unix_seconds());
            let list = list.map_err(|error| error.to_string())?;
            let directory = drill.directory("client-ca");
            place::rename(&directory, &[(REVOKED, &list)]).map_err(|error| unwritten(&directory, &error))
        })
    }

    /// The other side begins to refuse the certificate in use. Requests are refused until the sidecar has fallen back:
    /// that is the other side's will, and counted apart.
    fn withdraw(&mut self, how: &'static str, act: impl FnOnce(&Self) -> Result<(), String>) -> Result<(), String> {
        let (withdrawn, current) = (hash(&self.leaf)?, hash(&self.before)?);
        let during = self.load.mark();
        self.pause(STEADY)?;
        act(self)?;
        let written = Instant::now();
        self.until("the sidecar has fallen back", || {
            let now = self.status(End::Sidecar)?;
            let fallen = shows(&now, &current) && now.receipt.is_some_and(|receipt| receipt.why == "fall_back");
            Ok(fallen.then_some(()))
        })?;
        let after = written.elapsed();
        self.pause(TAKEN_UP)?;
        let afterwards = self.load.mark();
        self.pause(2 * STEADY)?;
        let receipt = self.until("the last connection with the refused certificate is closed", || {
            let receipt = self.status(End::Sidecar)?.receipt;
            Ok(receipt.filter(|receipt| receipt.retired_after_seconds.is_some()))
        })?;
        self.load.mark();
        let refusal = match self.knock_with(&self.leaf)? {
            Knock::Refused(how) => how,
            Knock::Answered(answer) if answer.status == 403 => "403".to_owned(),
            Knock::Answered(answer) => return Err(format!("a certificate that is {how} gets {}", answer.status)),
        };
        self.note(format!("{how}; the gateway to one who shows it: {refusal}"));
        self.note(format!(
            "fell back after {} ms; {} requests were refused until then",
            after.as_millis(),
            self.load.failed(during)
        ));
        self.note(format!("receipt: {}", receipt.sentence));
        self.withdrawn.push(Withdrawn {
            how,
            after,
            requests_refused: 0,
            requests_on_withdrawn: 0,
            requests_after: 0,
            refusal,
            receipt,
            during,
            afterwards,
            withdrawn,
            current,
        });
        self.leaf = self.before.clone();
        Ok(())
    }

    fn knock_with(&self, leaf: &Issued) -> Result<Knock, String> {
        let roots = self.ca().root.certificate_pem();
        let knocked = knock(&roots, self.scene.stage().gateway, Some(leaf), &Ask::get("/health"));
        knocked.map_err(|error| format!("the gateway could not be asked: {error}"))
    }
}
