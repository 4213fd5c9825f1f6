//! The keeper: looks at the files, has tokens renewed ahead, and makes the fetches.

use std::sync::Arc;
use std::time::Duration;

use tokio::task::JoinSet;
use tokio::time::{Instant, sleep_until};

use super::Tokens;
use super::entry::Entry;
use super::files;
use super::flight::Order;
use super::gate::Kind;
use super::pairs::News;
use crate::clock;
use crate::config::settings::Source;

/// Between two looks at the files, and the longest sleep.
const LOOK: Duration = Duration::from_secs(1);

impl Tokens {
    /// Keeps the tokens for as long as it runs: to be run once, on the main thread's runtime. When it is dropped, the
    /// fetches under way end with it, and whoever waits for one is told.
    pub async fn keep(self: Arc<Self>) {
        let mut orders = self.taken.lock().await;
        let mut flights = JoinSet::new();
        let mut next_look = Instant::now();
        loop {
            let entries = self.entries.load_full();
            let now = clock::monotonic();
            let look = Instant::now() >= next_look;
            if look {
                next_look = Instant::now() + LOOK;
            }
            let mut wake = next_look;
            for entry in entries.values() {
                let due = entry.tend(now, look, &self);
                if let Some(pause) = due.map(|due| due.saturating_sub(now)) {
                    wake = wake.min(Instant::now() + pause);
                }
            }
            tokio::select! {
                Some(order) = orders.recv() => {
                    flights.spawn(order.fly(self.clone()));
                }
                Some(_) = flights.join_next(), if !flights.is_empty() => {}
                () = self.changed.notified() => next_look = Instant::now(),
                () = sleep_until(wake) => {}
            }
        }
    }
}

impl Entry {
    /// What is due at this moment; when something is due next.
    fn tend(self: &Arc<Self>, now: Duration, look: bool, tokens: &Tokens) -> Option<Duration> {
        if look {
            self.look(now);
            self.look_for_upstream(tokens);
        }
        let mut state = self.state();
        let number = tokens.number();
        if let Some(pair) = state.pairs.to_try(now).cloned() {
            if state.slot.occupy(now, number) {
                tokens.send(Order::proof(self, pair, number));
            }
            return None;
        }
        let (slot, gate) = state.slot(None)?;
        if slot.renew(now, gate, number) {
            tokens.send(Order::new(self, None, number));
        }
        slot.due(gate)
    }

    /// A logon that had nothing to go over does not wait for its pause to end once it has.
    fn look_for_upstream(&self, tokens: &Tokens) {
        let Source::DeliusLogon(settings) = &self.settings.source else {
            return;
        };
        let lacks = self.state().gate.trouble().map(|trouble| trouble.kind) == Some(Kind::Files);
        if lacks && tokens.place(&settings.upstream).is_ok() {
            self.state().gate.ajar();
        }
    }

    /// Looks at the client's files.
    pub(super) fn look(&self, now: Duration) {
        let Source::ClientCredentials(settings) = &self.settings.source else {
            return;
        };
        let seen = files::look(settings);
        let mut state = self.state();
        let in_need = state.gate.trouble().is_some_and(|trouble| trouble.kind.is_lasting());
        let news = state.pairs.saw(now, seen.marks, seen.pair, in_need);
        match &news {
            News::First(_) => {
                state.unusable = None;
                state.gate.ajar();
            }
            News::Unusable(sentence) if state.pairs.current().is_none() => state.unusable = Some(sentence.clone()),
            _ => {}
        }
        drop(state);
        let token = self.name.as_str();
        match news {
            News::Nothing => return,
            News::First(pair) => {
                self.metrics.token_secret_since(token, pair.since);
                tracing::info!(audit = true, token, "a client was found");
            }
            // Unproven, it has no name yet: who swaps the two files has the secret stand where the identifier belongs.
            News::Found => {
                tracing::info!(
                    audit = true,
                    token,
                    "the client's files have changed; the pair is tried"
                );
            }
            News::Withdrawn => {
                tracing::info!(
                    audit = true,
                    token,
                    "the client's files are those of the client in use again"
                );
            }
            News::Unusable(reason) => {
                self.metrics.token_pair_changed(token, "unusable");
                tracing::warn!(audit = true, token, reason, "the client's files cannot be used");
                return;
            }
        }
        if let Some(note) = seen.note {
            tracing::info!(token, note, "of the client's files");
        }
    }
}
