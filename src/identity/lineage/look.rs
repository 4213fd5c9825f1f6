//! Looking at the files: whether their content is new, and whether it is fit.

use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use super::ending::Mortal;
use super::news::{News, Source};
use super::{Lineage, Moment, Refused, Side, Terms, Traffic, Watched, act};
use crate::cert::facts::Facts;
use crate::cert::verify::Purpose;
use crate::identity::mounts;
use crate::identity::rotation::{Paper, Place};
use crate::identity::store::{self, Refusal, Sight};

/// Content that is not fit stays as it is for so long before it is refused: the other half may be on its way.
const SETTLE: Duration = Duration::from_secs(2);

impl Lineage {
    /// A sight of the source, unless nothing about it is new.
    fn news_of(&mut self, source: Source, now: Moment, news: &mut Vec<News>) -> Option<Sight> {
        let files = self.files(source);
        if !self.watched.contains_key(&source) {
            self.look_at_mounts(&files, news);
        }
        let sight = store::look(files.iter().map(PathBuf::as_path));
        let watched = self.watched.entry(source).or_insert(Watched {
            mark: sight.mark,
            since: now.uptime,
            settled: false,
        });
        if watched.mark != sight.mark {
            *watched = Watched {
                mark: sight.mark,
                since: now.uptime,
                settled: false,
            };
        }
        (!watched.settled).then_some(sight)
    }

    /// A `subPath` mount shows for ever what it showed at first: rotating by its files would wait in vain.
    fn look_at_mounts(&mut self, files: &[PathBuf], news: &mut Vec<News>) {
        for file in files {
            if let Some(mount) = mounts::here(file) {
                let sentence = mount.to_string();
                if !self.fixed.contains(&sentence) {
                    news.push(News::NeverUpdates(sentence.clone()));
                    self.fixed.push(sentence);
                }
            }
        }
    }

    /// What is in use and will end.
    pub(super) fn look_at_dates(&mut self, now: Moment, news: &mut Vec<News>) {
        let Some(in_use) = self.in_use() else { return };
        let certificate = |what: &str, facts: &Facts| Mortal {
            key: format!("{what} {}", facts.fingerprint()),
            what: format!("{what} \"{}\"", facts.subject),
            begins: facts.not_before,
            ends: facts.not_after,
            short_lived: false,
        };
        let mut mortals = Vec::new();
        for (index, facts) in in_use.chain.iter().enumerate() {
            let what = if index == 0 {
                "the certificate"
            } else {
                "the CA certificate of the chain"
            };
            mortals.push(certificate(what, facts));
        }
        mortals.extend(
            in_use
                .trust
                .iter()
                .map(|facts| certificate("the trusted CA certificate", facts)),
        );
        mortals.extend(
            in_use
                .server
                .iter()
                .map(|facts| certificate("the other side's certificate", facts)),
        );
        mortals.extend(in_use.crls.iter().filter_map(|list| {
            Some(Mortal {
                key: format!("list {} {}", list.issuer, list.this_update),
                what: format!("the list of revoked certificates of \"{}\"", list.issuer),
                begins: list.this_update,
                ends: list.next_update?,
                short_lived: true,
            })
        }));
        for (mortal, days) in self.said.due(&mortals, now.wall) {
            news.push(News::Ending {
                what: mortal.what.clone(),
                days,
                ends: mortal.ends,
            });
        }
    }

    /// When the clock was set, every date is to be judged anew: what was refused as expired may hold.
    pub(super) fn notice_the_clock(&mut self, now: Moment) {
        let difference = now.wall.saturating_sub_unsigned(now.uptime.as_secs());
        let before = self.clock.get_or_insert(difference);
        if difference.abs_diff(*before) > store::CLOCK_SKEW.unsigned_abs() {
            *before = difference;
            for watched in self.watched.values_mut() {
                watched.settled = false;
            }
        }
    }

    fn settle(&mut self, source: Source) {
        if let Some(watched) = self.watched.get_mut(&source) {
            watched.settled = true;
        }
    }

    /// Content that is not fit: `true` once it has been so for long enough, or when there is nothing to protect.
    fn refuse(&mut self, source: Source, refusal: &Refusal, now: Moment, news: &mut Vec<News>) -> bool {
        let settled = self
            .watched
            .get(&source)
            .is_none_or(|watched| now.uptime >= watched.since + SETTLE);
        if !settled && self.current.is_some() {
            return false;
        }
        let reason = refusal.to_string();
        if self.refused.get(&source).is_none_or(|refused| refused.reason != reason) {
            news.push(News::Refused {
                source,
                reason: reason.clone(),
            });
            let fault = refusal.fault();
            let at = now.wall;
            self.refused.insert(source, Refused { at, reason, fault });
        }
        if settled {
            self.settle(source);
        }
        settled
    }

    pub(super) fn look_at_trust(&mut self, now: Moment, traffic: &Traffic<'_>, news: &mut Vec<News>) {
        let Some(sight) = self.news_of(Source::Trust, now, news) else {
            return;
        };
        let Terms { trust, crl, side, .. } = &self.terms;
        let words = format!("{trust:?} {crl:?} {side:?}");
        let made = store::believed(&sight, trust, crl.as_ref()).and_then(|believed| {
            act::rehearse_trust(*side, &believed.trusted)?;
            Ok(believed)
        });
        match made {
            Ok(believed) => {
                self.settle(Source::Trust);
                self.refused.remove(&Source::Trust);
                let digest = store::digest_with(&sight, &words);
                self.trusts.insert(digest, Arc::new(believed));
                let before = self.rotation.candidate().map(|candidate| candidate.held.number);
                let actions = self.rotation.terms(digest, now.wall);
                self.tell_found(before, Source::Trust, now, news);
                self.act(actions, now, traffic, news);
            }
            Err(refusal) => {
                self.refuse(Source::Trust, &refusal, now, news);
            }
        }
    }

    pub(super) fn look_at_identity(&mut self, place: Place, now: Moment, traffic: &Traffic<'_>, news: &mut Vec<News>) {
        let source = Source::Identity(place);
        let (Some(material), Some(files)) = (self.material(place), &self.terms.source) else {
            return;
        };
        let names = files.expect_dns.clone();
        let Some(sight) = self.news_of(source, now, news) else {
            return;
        };
        // A staged directory is empty most of the time.
        if place == Place::Staged && sight.is_absent() {
            self.settle(source);
            self.refused.remove(&source);
            self.withdraw(place, news);
            return;
        }
        let side = self.terms.side;
        let purpose = match side {
            Side::Client { .. } => Purpose::Client,
            Side::Server { .. } => Purpose::Server,
        };
        let made = store::identity(&sight, &material, purpose, &names, now.wall).and_then(|pair| {
            act::rehearse_pair(&pair.bundle)?;
            let believed = self.rotation.newest_terms().and_then(|terms| self.trusts.get(&terms));
            if let (Side::Client { .. }, Some(believed)) = (side, believed) {
                store::not_revoked(&pair, &material, &believed.trusted.crls)?;
            }
            Ok(pair)
        });
        match made {
            Ok(pair) => {
                self.settle(source);
                self.refused.remove(&source);
                let chain = pair.bundle.chain_facts();
                let paper = Paper {
                    digest: store::digest(&pair.bundle),
                    not_before: chain.iter().map(|facts| facts.not_before).max().unwrap_or(i64::MIN),
                    not_after: chain.iter().map(|facts| facts.not_after).min().unwrap_or(i64::MAX),
                };
                self.pairs.entry(paper.digest).or_insert_with(|| Arc::new(pair));
                let before = self.rotation.candidate().map(|candidate| candidate.held.number);
                let actions = self.rotation.found(place, paper, now.wall);
                self.tell_found(before, source, now, news);
                self.act(actions, now, traffic, news);
            }
            Err(refusal) => {
                if self.refuse(source, &refusal, now, news) {
                    self.withdraw(place, news);
                }
            }
        }
    }

    fn withdraw(&mut self, place: Place, news: &mut Vec<News>) {
        let before = self.rotation.candidate().map(|candidate| candidate.held.number);
        self.rotation.unfit(place);
        if let (Some(number), None) = (before, self.rotation.candidate()) {
            news.push(News::Withdrawn { number });
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::cert::issue::{Authority, Purposes, Spec, Validity};
    use crate::config::settings::{Material, TlsVersion, Trust};
    use crate::identity::lineage::{Files, Lineage};
    use crate::identity::rotation::Manner;

    const NOW: i64 = 1_800_000_000;
    const YEAR: i64 = 31_536_000;

    fn at(wall: i64, uptime: u64) -> Moment {
        Moment {
            wall,
            uptime: Duration::from_secs(uptime),
        }
    }

    #[test]
    fn what_was_refused_by_a_clock_that_was_wrong_is_looked_at_again_when_it_is_set() {
        let validity = |until| Validity {
            not_before: NOW - 60,
            not_after: NOW + until,
        };
        let root = Authority::new_root("root", validity(9 * YEAR)).expect("a root");
        let mut spec = Spec::new("app", Purposes::Client, validity(YEAR / 4));
        spec.dns = vec!["app".to_owned()];
        let leaf = root.issue(&spec).expect("a leaf");
        let directory = tempfile::tempdir().expect("a directory");
        let put = |name: &str, text: &str| {
            let path = directory.path().join(name);
            std::fs::write(&path, text).expect("written");
            path
        };
        let mut lineage = Lineage::new(
            Terms {
                identity: Some("app".to_owned()),
                upstream: "ndh".to_owned(),
                source: Some(Files {
                    configured: Material::Pem {
                        certificate: put("tls.crt", &leaf.chain_pem),
                        private_key: put("tls.key", leaf.key_pem.expose()),
                        password_file: None,
                    },
                    staged: None,
                    expect_dns: Vec::new(),
                }),
                trust: Trust::Bundle(put("ca.crt", &root.certificate_pem())),
                crl: None,
                manner: Manner {
                    manual: false,
                    untried_before: 3_600,
                    skew: store::CLOCK_SKEW,
                },
                side: Side::Client {
                    tls_min: TlsVersion::V1_2,
                    http2: false,
                },
            },
            0,
            Arc::default(),
        );
        let traffic = Traffic {
            open: &|_| 0,
            failed: 0,
        };
        for uptime in [0, 3, 4] {
            lineage.look(at(NOW + YEAR + i64::try_from(uptime).expect("small"), uptime), &traffic);
        }
        assert!(!lineage.is_usable(NOW), "expired, by that clock");
        lineage.look(at(NOW + 5, 5), &traffic);
        assert!(lineage.is_usable(NOW + 5));
    }
}
