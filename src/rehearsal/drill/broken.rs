//! Broken material, put in place of what works, one after the other: none of it may ever come into use.

use super::super::papers::{APP, client, day};
use super::super::place::{self, CERTIFICATE, File, KEY};
use super::{Broken, Drill, End, STEADY, hash, shows, unwritten};
use crate::cert::issue::{Purposes, Spec, Validity};
use crate::clock;
use crate::identity::status::Lineage;

const HOUR: i64 = 3_600;

/// What is to become of it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Fate {
    /// The sidecar sees by itself what is wrong.
    Refused,
    /// Only the other side can say so: in the trial.
    NotPassed,
    /// It may be fit later.
    Waits,
}

/// Certificate and key, as files hold them.
struct Material {
    what: &'static str,
    fate: Fate,
    certificate: String,
    key: String,
    /// Of the certificate, where there is one that can be read.
    hash: String,
}

impl Drill<'_> {
    /// Everything that is known to go wrong, then the working pair again.
    pub(super) fn put_broken_material_in_place(&mut self) -> Result<(), String> {
        for material in self.broken_material()? {
            self.put_broken(&material)?;
        }
        let good = self.leaf.clone();
        self.put("identity", &good, super::Way::Rename)?;
        let settled = |now: &Lineage| now.refused.is_none() && now.candidate.is_none();
        self.until("the working pair is back and nothing else is known", || {
            Ok(settled(&self.status(End::Sidecar)?).then_some(()))
        })
    }

    fn broken_material(&self) -> Result<Vec<Material>, String> {
        let now = clock::unix_seconds();
        let issuing = &self.ca().issuing;
        let issue = |what, fate, spec: &Spec| {
            let issued = issuing.issue(spec).map_err(|error| error.to_string())?;
            Ok::<_, String>(Material {
                what,
                fate,
                hash: hash(&issued)?,
                certificate: issued.chain_pem,
                key: issued.key_pem.expose().clone(),
            })
        };
        let text = |what, text: &str| Material {
            what,
            fate: Fate::Refused,
            certificate: text.to_owned(),
            key: text.to_owned(),
            hash: String::new(),
        };
        let app = |validity| client(APP, validity);
        let stranger = &self.scene.stage().papers.stranger;
        let past = Validity {
            not_before: now - 48 * HOUR,
            not_after: now - 24 * HOUR,
        };
        let unlisted = Spec {
            common_name: "not-on-the-list".to_owned(),
            ..app(day(now))
        };
        let server = Spec {
            purposes: Purposes::Server,
            ..app(day(now))
        };
        Ok(vec![
            Material {
                key: stranger.key_pem.expose().clone(),
                ..issue("a certificate with another's key", Fate::Refused, &app(day(now)))?
            },
            text(
                "garbage",
                "-----BEGIN CERTIFICATE-----\n?\u{0}!\n-----END CERTIFICATE-----\n",
            ),
            text("empty files", ""),
            issue("an expired certificate", Fate::Refused, &app(past))?,
            Material {
                what: "a certificate of another CA",
                fate: Fate::NotPassed,
                hash: hash(stranger)?,
                certificate: stranger.chain_pem.clone(),
                key: stranger.key_pem.expose().clone(),
            },
            issue(
                "a certificate that is not on the gateway's list",
                Fate::NotPassed,
                &unlisted,
            )?,
            issue(
                "somebody else's name",
                Fate::Refused,
                &client("somebody-else", day(now)),
            )?,
            issue(
                "a certificate that is not valid yet",
                Fate::Waits,
                &app(Validity::days(now + HOUR, 1)),
            )?,
            issue("a certificate for servers only", Fate::Refused, &server)?,
        ])
    }

    fn put_broken(&mut self, material: &Material) -> Result<(), String> {
        let Material {
            what,
            fate,
            certificate,
            key,
            hash: own,
        } = material;
        let (current, before) = (hash(&self.leaf)?, self.status(End::Sidecar)?);
        let known = |now: &Lineage| now.refused.as_ref().map(|refused| refused.reason.clone());
        let mark = self.load.mark();
        let directory = self.directory("identity");
        let files: [File<'_>; 2] = [(CERTIFICATE, certificate), (KEY, key)];
        place::rename(&directory, &files).map_err(|error| unwritten(&directory, &error))?;
        let said = self.until(&format!("the sidecar says what is wrong with {what}"), || {
            let now = self.status(End::Sidecar)?;
            if !shows(&now, &current) {
                return Err(format!("{what} has come into use"));
            }
            let of_candidate = |phase| {
                let candidate = now.candidate.as_ref().filter(|candidate| candidate.phase == phase);
                let candidate = candidate.filter(|candidate| candidate.certificate.fingerprint == *own);
                candidate.map(|candidate| candidate.sentence.clone())
            };
            Ok(match fate {
                Fate::Refused => known(&now).filter(|_| known(&now) != known(&before)),
                Fate::NotPassed => of_candidate("waiting_to_try_again"),
                Fate::Waits => of_candidate("waiting_for_its_time"),
            })
        })?;
        self.pause(STEADY)?;
        if !shows(&self.status(End::Sidecar)?, &current) {
            return Err(format!("{what} has come into use"));
        }
        self.load.mark();
        let verdict = match fate {
            Fate::Refused => "refused",
            Fate::NotPassed => "tried, not passed",
            Fate::Waits => "waits",
        };
        self.note(format!("{what}: {verdict}: {said}"));
        self.broken.push(Broken {
            what,
            said,
            requests: 0,
            requests_on_other: 0,
            mark,
            current,
        });
        Ok(())
    }
}
