//! One fetch: who ordered it, what it asks with, and what becomes of its end.

use std::sync::Arc;
use std::time::Duration;

use tokio::time::timeout;

use super::entry::{Entry, State};
use super::gate::{Kind, Trouble};
use super::life::Life;
use super::pairs::Pair;
use super::reply::Granted;
use super::users::User;
use super::{Bearer, Tokens, ask, files};
use crate::clock;
use crate::config::settings::{DeliusLogon, Source};
use crate::secret::Secret;

/// Whom Delius logs on where no user is named.
pub(super) const NATIONAL_USER: &str = "NationalUser";

/// A fetch that was sent out and has to be made.
#[derive(Debug)]
pub(super) struct Order {
    entry: Arc<Entry>,
    user: Option<User>,
    number: u64,
    /// To prove this pair; else with the pair in use.
    proof: Option<Arc<Pair>>,
    /// Its end was told to the entry.
    landed: bool,
}

impl Order {
    pub(super) fn new(entry: &Arc<Entry>, user: Option<User>, number: u64) -> Self {
        Self {
            entry: entry.clone(),
            user,
            number,
            proof: None,
            landed: false,
        }
    }

    pub(super) fn proof(entry: &Arc<Entry>, pair: Arc<Pair>, number: u64) -> Self {
        let mut order = Self::new(entry, None, number);
        order.proof = Some(pair);
        order
    }

    /// Makes the fetch and tells the entry of its end.
    pub(super) async fn fly(mut self, tokens: Arc<Tokens>) {
        let entry = self.entry.clone();
        let Ok(_lane) = entry.lanes.acquire().await else { return };
        let pair = match self.proof.clone() {
            Some(pair) => Some(pair),
            None => {
                // Ordered before the keeper's first look.
                if entry.state().pairs.is_unseen() {
                    entry.look(clock::monotonic());
                }
                entry.state().pairs.current().cloned()
            }
        };
        let asked = clock::monotonic();
        let bound = entry.settings.timeout;
        let granted = match timeout(bound, self.ask(pair.as_deref(), &tokens)).await {
            Ok(granted) => granted,
            Err(_) => Err(Trouble::new(
                Kind::Timeout,
                format!(
                    "the token request was not answered within {bound:?}; is the server slow, or the network in the way?"
                ),
            )),
        };
        self.land(asked, pair, granted, &tokens);
    }

    async fn ask(&self, pair: Option<&Pair>, tokens: &Tokens) -> Result<Granted, Trouble> {
        let entry = &self.entry;
        match &entry.settings.source {
            Source::ClientCredentials(settings) => match pair {
                Some(pair) => ask::server(&entry.settings, settings, &entry.connector, pair, self.user.as_ref()).await,
                None => {
                    let why = entry.state().unusable.clone();
                    Err(Trouble::new(Kind::Files, why.unwrap_or_default()))
                }
            },
            Source::DeliusLogon(settings) => logon(settings, tokens).await,
        }
    }

    pub(super) fn land(
        &mut self,
        asked: Duration,
        pair: Option<Arc<Pair>>,
        granted: Result<Granted, Trouble>,
        tokens: &Tokens,
    ) {
        let entry = self.entry.clone();
        let now = clock::monotonic();
        let result = granted.and_then(|granted| {
            let serial = tokens.number();
            let life = Life::new(asked, granted.life, entry.settings.refresh_ahead, roll(serial));
            let mut value = Vec::with_capacity(7 + granted.token.len());
            value.extend_from_slice(b"Bearer ");
            value.extend_from_slice(granted.token.as_bytes());
            let value = Secret::new(value);
            if life.is_usable(now) {
                return Ok(Arc::new(Bearer {
                    value,
                    serial,
                    life,
                    worked: false.into(),
                }));
            }
            let sentence = "the token that came is over, or nearly so, as it comes; raise its life at the server";
            Err(Trouble::new(Kind::Invalid, sentence))
        });
        self.landed = true;
        let word = result.as_ref().map_or_else(|trouble| trouble.kind.as_str(), |_| "ok");
        entry.metrics.token_fetched(&entry.name, word);
        match result {
            Ok(bearer) => self.came(&entry, pair, bearer, now),
            Err(trouble) => self.failed(&entry, pair, trouble, now),
        }
        entry.landed.send_modify(|landed| *landed += 1);
    }

    fn came(&self, entry: &Entry, pair: Option<Arc<Pair>>, bearer: Arc<Bearer>, now: Duration) {
        let mut state = entry.state();
        let Some((slot, gate)) = state.slot(self.user.as_ref()) else {
            return;
        };
        let (serial, life) = (bearer.serial, bearer.life);
        let taken = slot.fetched(self.number, serial, bearer.clone(), life);
        let over = gate.open();
        let replaced = pair.as_ref().and_then(|pair| state.pairs.proven(pair));
        if taken && self.user.is_none() {
            entry.shared.store(Some(bearer));
        }
        drop(state);
        if taken && self.user.is_none() {
            let left = i64::try_from(life.ends.saturating_sub(now).as_secs()).unwrap_or(i64::MAX);
            let ends = clock::unix_seconds().saturating_add(left);
            entry.metrics.token_expires(&entry.name, Some(ends));
        }
        if over {
            tracing::info!(token = entry.name, "tokens can be had again");
        }
        // Only the one that is proven is named: an identifier that no server took may be a secret in the wrong file.
        if let Some(pair) = replaced.and(pair) {
            entry.metrics.token_pair_changed(&entry.name, "proven");
            entry.metrics.token_secret_since(&entry.name, pair.since);
            tracing::info!(
                audit = true,
                token = entry.name,
                client_id = pair.id,
                "a changed client was proven by a token and replaces the one before"
            );
        }
    }

    fn failed(&self, entry: &Entry, pair: Option<Arc<Pair>>, trouble: Trouble, now: Duration) {
        let mut state = entry.state();
        let State { gate, pairs, .. } = &mut *state;
        if let Some(pair) = &self.proof {
            let refused = pairs.not_proven(now, pair, trouble.clone(), roll(self.number));
            state.slot.ended(self.number);
            drop(state);
            if refused {
                entry.metrics.token_pair_changed(&entry.name, "refused");
                tracing::warn!(
                    audit = true, token = entry.name, reason = %trouble.sentence,
                    "a changed client is refused; the one in use goes on"
                );
            }
            return;
        }
        // Of a client that was replaced meanwhile, a refusal says nothing of the one in use.
        let stale = match (&pair, pairs.current()) {
            (Some(pair), Some(current)) => !Arc::ptr_eq(pair, current),
            (None, Some(_)) => !entry.is_logon(),
            _ => false,
        };
        let for_all = !stale && !trouble.of_the_user;
        let news = for_all && gate.close(now, trouble.clone(), roll(self.number));
        if let Some((slot, _)) = state.slot(self.user.as_ref()) {
            slot.ended(self.number);
            if trouble.of_the_user && !stale {
                slot.gate.close(now, trouble.clone(), roll(self.number));
            }
        }
        drop(state);
        if !news {
            return;
        }
        if trouble.kind.is_lasting() {
            tracing::error!(
                audit = true, token = entry.name, reason = %trouble.sentence,
                "no token can be had until somebody acts"
            );
        } else {
            let reason = trouble.kind.as_str();
            tracing::warn!(token = entry.name, reason, detail = %trouble.sentence, "no token can be had; it is tried again");
        }
    }
}

/// A fetch whose task ended before it did (the keeper stopped) must not leave others waiting for it.
impl Drop for Order {
    fn drop(&mut self) {
        if self.landed {
            return;
        }
        let mut state = self.entry.state();
        if let Some((slot, _)) = state.slot(self.user.as_ref()) {
            slot.ended(self.number);
        }
        drop(state);
        self.entry.landed.send_modify(|landed| *landed += 1);
    }
}

async fn logon(settings: &DeliusLogon, tokens: &Tokens) -> Result<Granted, Trouble> {
    let user = match &settings.user_file {
        Some(path) => files::user(path).map_err(|sentence| Trouble::new(Kind::Files, sentence))?,
        None => NATIONAL_USER.to_owned(),
    };
    let place = tokens.place(&settings.upstream)?;
    ask::logon(settings, &user, place).await
}

/// A number from 0 to 1 that differs from process to process: pods must not ask in step.
pub(super) fn roll(number: u64) -> f64 {
    use std::hash::BuildHasher as _;
    use std::sync::OnceLock;
    static STATE: OnceLock<std::hash::RandomState> = OnceLock::new();
    let mixed = STATE.get_or_init(std::hash::RandomState::new).hash_one(number);
    f64::from(u32::try_from(mixed >> 32).unwrap_or_default()) / f64::from(u32::MAX)
}
