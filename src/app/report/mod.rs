//! What became of reading certificates: for the log, the metrics, readiness and the status page.
//!
//! Files that are not there yet are looked at every second; a refusal is said when its text changes, and then once a
//! minute. Taking an identity into use is an audit line: it says which certificate, never anything of its key.

mod shown;

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use rustls_pki_types::CertificateDer;
use tokio::sync::watch;
use tokio::time::Instant;

use super::build::{self, News};
use super::worker::Orders;
use crate::cert::facts::Facts;
use crate::cert::verify::Finding;
use crate::identity::status::rfc3339;
use crate::identity::store::Pair;
use crate::lifecycle::Readiness;
use crate::observe::status::{Identity, Status};
use crate::proxy::plan::Plan;
use crate::telemetry::metrics::Metrics;

use shown::{names, routes, rows, show, upstreams};

/// How long a refusal that does not change is left unsaid.
const REMIND: Duration = Duration::from_secs(60);
/// The name of the gateway's own certificate and of the CA of its callers.
const OWN: &str = "gateway";

/// Remembers what was read last, and tells everybody.
pub(super) struct Reporter {
    metrics: Arc<Metrics>,
    readiness: Readiness,
    known: Arc<Mutex<Known>>,
}

#[derive(Default)]
struct Known {
    /// By upstream.
    upstreams: BTreeMap<String, Standing>,
    /// The gateway's own certificate, and those of its client CA.
    own: Vec<Identity>,
    own_generation: u64,
}

/// What the files of one upstream came to.
struct Standing {
    /// The condition of readiness that hangs on them.
    condition: String,
    what: What,
}

enum What {
    InUse(Vec<Identity>),
    Refused { sentence: String, said: Instant },
}

impl Reporter {
    pub(super) fn new(metrics: Arc<Metrics>, readiness: Readiness) -> Self {
        Self {
            metrics,
            readiness,
            known: Arc::default(),
        }
    }

    /// Takes in what making `plan` came to; what the plan no longer has is forgotten.
    pub(super) fn news(&self, news: &[News], plan: &Plan) {
        let upstreams: Vec<&str> = plan.targets.iter().map(|target| target.name.as_str()).collect();
        self.take(news, &upstreams);
    }

    fn take(&self, news: &[News], upstreams: &[&str]) {
        let mut known = lock(&self.known);
        let before: Vec<String> = known
            .upstreams
            .values()
            .map(|standing| standing.condition.clone())
            .collect();
        for one in news {
            let (upstream, standing) = match one {
                News::Loaded { upstream, loaded } => (upstream, loaded_now(upstream, loaded)),
                News::Refused {
                    upstream,
                    identity,
                    refusal,
                } => {
                    let before = known.upstreams.get(upstream);
                    let sentence = refusal.to_string();
                    (upstream, refused_now(upstream, identity.as_deref(), sentence, before))
                }
            };
            if let Some(before) = known.upstreams.insert(upstream.clone(), standing) {
                self.withdraw(upstream, &before);
            }
        }
        let gone = |name: &&String| !upstreams.contains(&name.as_str());
        let gone: Vec<String> = known.upstreams.keys().filter(gone).cloned().collect();
        for upstream in gone {
            if let Some(before) = known.upstreams.remove(&upstream) {
                self.withdraw(&upstream, &before);
            }
        }
        // Said anew as a whole: an identity may serve several upstreams, of which one is gone.
        for (upstream, standing) in &known.upstreams {
            if let What::InUse(identities) = &standing.what {
                show(&self.metrics, identities);
                let leaf = identities.iter().find(|identity| identity.role == "client");
                let generation = leaf.map(|leaf| (leaf.name.as_str(), leaf.generation));
                self.metrics.generation(upstream, generation);
            }
        }
        for condition in before {
            self.hold(&condition, &known);
        }
        for standing in known.upstreams.values() {
            self.hold(&standing.condition, &known);
        }
    }

    /// Ready as far as this condition goes, unless some upstream that hangs on it was refused. Said once and as a
    /// whole, so that readiness does not flicker.
    fn hold(&self, condition: &str, known: &Known) {
        let refused = known.upstreams.values().find_map(|standing| match &standing.what {
            What::Refused { sentence, .. } if standing.condition == condition => Some(sentence),
            _ => None,
        });
        match refused {
            Some(sentence) => self.readiness.waiting(condition, sentence),
            None => self.readiness.met(condition),
        }
    }

    /// What the gateway shows its callers, and which CA it asks them for.
    pub(super) fn own_certificate(&self, pair: &Pair, anchors: &[CertificateDer<'static>]) {
        let mut known = lock(&self.known);
        let leaf = pair.bundle.leaf_facts();
        let same = known
            .own
            .first()
            .is_some_and(|own| own.fingerprint == leaf.fingerprint());
        if !same {
            known.own_generation += 1;
            let generation = known.own_generation;
            announce(OWN, Some(OWN), generation, leaf, &pair.warnings);
        }
        let generation = known.own_generation;
        let trusted: Vec<Facts> = anchors.iter().filter_map(|der| Facts::read(der).ok()).collect();
        let mut own = rows("server", OWN, "", generation, pair.bundle.chain_facts());
        own.extend(rows("client_ca", OWN, "", generation, &trusted));
        show(&self.metrics, &own);
        known.own = own;
    }

    /// What the status page asks at each look.
    pub(super) fn status(&self, orders: watch::Receiver<Orders>) -> Arc<dyn Fn() -> Status + Send + Sync> {
        let known = self.known.clone();
        Arc::new(move || {
            let plan = orders.borrow().plan.clone();
            let mut identities = lock(&known).own.clone();
            for standing in lock(&known).upstreams.values() {
                if let What::InUse(rows) = &standing.what {
                    identities.extend(rows.iter().cloned());
                }
            }
            Status {
                identities,
                upstreams: upstreams(&plan),
                routes: routes(&plan),
            }
        })
    }

    /// What stood before is no longer shown; whatever still stands is said again afterwards.
    fn withdraw(&self, upstream: &str, before: &Standing) {
        if let What::InUse(identities) = &before.what {
            for identity in identities {
                self.metrics.certificates(identity.role, &identity.name, Vec::new());
            }
        }
        self.metrics.generation(upstream, None);
    }
}

fn loaded_now(upstream: &str, loaded: &build::Facts) -> Standing {
    let identity = loaded.identity.as_deref();
    match loaded.chain.first() {
        Some(leaf) => announce(upstream, identity, loaded.number, leaf, &loaded.warnings),
        None => tracing::info!(
            upstream,
            generation = loaded.number,
            anchors = loaded.anchors.len(),
            "trust loaded; no identity is configured for this upstream"
        ),
    }
    let name = identity.unwrap_or(upstream);
    let mut identities = rows("client", name, upstream, loaded.number, &loaded.chain);
    identities.extend(rows("trust", upstream, upstream, loaded.number, &loaded.anchors));
    Standing {
        condition: condition(upstream, identity),
        what: What::InUse(identities),
    }
}

fn refused_now(upstream: &str, identity: Option<&str>, sentence: String, before: Option<&Standing>) -> Standing {
    let now = Instant::now();
    let said_before = before.and_then(|before| match &before.what {
        What::Refused { sentence: last, said } if *last == sentence && now < *said + REMIND => Some(*said),
        _ => None,
    });
    let said = said_before.unwrap_or_else(|| {
        let identity = identity.unwrap_or("-");
        tracing::warn!(upstream, identity, reason = %sentence, "identity or trust not taken into use; looking again every second");
        now
    });
    Standing {
        condition: condition(upstream, identity),
        what: What::Refused { sentence, said },
    }
}

/// Readiness waits for an identity by its name; where none is configured, for the trust bundle.
fn condition(upstream: &str, identity: Option<&str>) -> String {
    identity.map_or_else(
        || format!("trust:{upstream}"),
        |identity| format!("identity:{identity}"),
    )
}

fn announce(upstream: &str, identity: Option<&str>, generation: u64, leaf: &Facts, warnings: &[Finding]) {
    let identity = identity.unwrap_or("-");
    tracing::info!(
        audit = true,
        upstream,
        identity,
        generation,
        subject = %leaf.subject,
        names = %names(leaf).join(", "),
        serial = %leaf.serial,
        fingerprint = %leaf.fingerprint(),
        not_before = %rfc3339(leaf.not_before),
        not_after = %rfc3339(leaf.not_after),
        "identity taken into use"
    );
    for warning in warnings {
        tracing::warn!(upstream, identity, generation, "{warning}");
    }
}

fn lock(known: &Mutex<Known>) -> MutexGuard<'_, Known> {
    known.lock().unwrap_or_else(PoisonError::into_inner)
}

#[cfg(test)]
mod tests {
    use std::io;
    use std::path::PathBuf;

    use super::*;
    use crate::identity::store::Refusal;

    const CERTIFICATE: &str = "delius_sidecar_certificate_not_after_timestamp_seconds{role=\"client\",name=\"am\"";

    fn reporter() -> Reporter {
        let readiness = Readiness::new();
        readiness.met("listening");
        readiness.met("configuration");
        Reporter::new(Arc::new(Metrics::new(1)), readiness)
    }

    fn refused(upstream: &str, file: &str) -> News {
        News::Refused {
            upstream: upstream.to_owned(),
            identity: Some("am".to_owned()),
            refusal: Refusal::Unreadable {
                path: PathBuf::from(file),
                error: io::Error::from(io::ErrorKind::NotFound),
            },
        }
    }

    fn loaded(upstream: &str) -> News {
        let key = rcgen::KeyPair::generate().expect("a key");
        let parameters = rcgen::CertificateParams::new(vec!["am.example".to_owned()]).expect("parameters");
        let certificate = parameters.self_signed(&key).expect("a certificate");
        News::Loaded {
            upstream: upstream.to_owned(),
            loaded: Box::new(build::Facts {
                number: 1,
                identity: Some("am".to_owned()),
                chain: vec![Facts::read(certificate.der()).expect("readable")],
                anchors: Vec::new(),
                warnings: Vec::new(),
            }),
        }
    }

    fn shows_certificate(reporter: &Reporter) -> bool {
        reporter.metrics.exposition().expect("text").contains(CERTIFICATE)
    }

    #[test]
    fn readiness_waits_for_an_identity_until_it_is_loaded() {
        let reporter = reporter();
        reporter.take(&[refused("ndh", "/tls/tls.crt")], &["ndh"]);
        let pending = reporter.readiness.pending();
        assert_eq!(pending.len(), 1, "{pending:?}");
        assert_eq!(pending[0].0, "identity:am");
        assert!(pending[0].1.contains("/tls/tls.crt"), "{pending:?}");
        reporter.take(&[loaded("ndh")], &["ndh"]);
        assert!(reporter.readiness.ready() && shows_certificate(&reporter));
    }

    #[test]
    fn an_identity_that_one_of_two_upstreams_cannot_use_keeps_it_waiting() {
        let reporter = reporter();
        reporter.take(&[refused("a", "/trust/a"), loaded("b")], &["a", "b"]);
        assert!(!reporter.readiness.ready());
        reporter.take(&[], &["b"]);
        assert!(reporter.readiness.ready(), "the other one is no longer configured");
        assert!(shows_certificate(&reporter), "and this one is still in use");
    }

    #[test]
    fn what_is_no_longer_configured_is_no_longer_shown() {
        let reporter = reporter();
        reporter.take(&[loaded("ndh")], &["ndh"]);
        reporter.take(&[], &[]);
        assert!(!shows_certificate(&reporter));
        let text = reporter.metrics.exposition().expect("text");
        assert!(!text.contains("certificate_generation{"), "{text}");
    }

    #[tokio::test(start_paused = true)]
    async fn a_refusal_is_said_again_when_it_changes_or_after_a_minute() {
        let said = |standing: &Standing| match &standing.what {
            What::Refused { said, .. } => *said,
            What::InUse(_) => panic!("refused"),
        };
        let again = |text: &str, before: &Standing| refused_now("ndh", None, text.to_owned(), Some(before));
        let first = refused_now("ndh", None, "no file".to_owned(), None);
        tokio::time::advance(Duration::from_secs(1)).await;
        let same = again("no file", &first);
        assert_eq!(said(&same), said(&first), "left unsaid");
        let other = again("half a file", &same);
        assert_eq!(said(&other), Instant::now(), "said, since it is another one");
        tokio::time::advance(REMIND).await;
        assert_eq!(
            said(&again("half a file", &other)),
            Instant::now(),
            "said as a reminder"
        );
    }
}
