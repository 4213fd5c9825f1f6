//! One `[token.NAME]`: its slots, its client, and who waits for it.
//!
//! The lock is held for moments and never while something is awaited; the token that names no user is read without it.

use std::fmt;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use arc_swap::ArcSwapOption;
use tokio::sync::{Semaphore, watch};
use tokio::time::{Instant, sleep_until};

use super::ask::Connector;
use super::flight::Order;
use super::gate::{Gate, Kind, Trouble};
use super::pairs::Pairs;
use super::slot::{Answer, Refusal, Slot};
use super::users::{self, User, Users};
use super::{Bearer, Tokens};
use crate::clock;
use crate::config::settings;
use crate::fault::{Code, Fault};
use crate::telemetry::metrics::Metrics;

/// Requests that may wait for one token name.
const WAITING: usize = 1024;
/// Fetches of one name that may be under way: for users, each of whom has a token of their own.
const LANES: usize = 16;
/// A pause that a request waits out; a longer one it is told of.
const PATIENCE: Duration = Duration::from_millis(1500);

pub(super) struct Entry {
    pub(super) name: String,
    pub(super) settings: settings::Token,
    pub(super) metrics: Arc<Metrics>,
    /// The token that names no user.
    pub(super) shared: ArcSwapOption<Bearer>,
    state: Mutex<State>,
    /// Counts fetches that ended.
    pub(super) landed: watch::Sender<u64>,
    pub(super) lanes: Semaphore,
    pub(super) connector: Connector,
    waiting: AtomicUsize,
}

pub(super) struct State {
    pub(super) slot: Slot<Arc<Bearer>>,
    pub(super) users: Users<Arc<Bearer>>,
    /// Of the other side as a whole.
    pub(super) gate: Gate,
    pub(super) pairs: Pairs,
    /// Why there is no pair.
    pub(super) unusable: Option<String>,
}

/// One of those who wait.
struct Waiting<'a>(&'a AtomicUsize);

impl Drop for Waiting<'_> {
    fn drop(&mut self) {
        self.0.fetch_sub(1, Ordering::Relaxed);
    }
}

impl State {
    /// The slot of a user, or of nobody, with the gate in front of all of them.
    pub(super) fn slot(&mut self, user: Option<&User>) -> Option<(&mut Slot<Arc<Bearer>>, &mut Gate)> {
        let slot = match user {
            None => &mut self.slot,
            Some(user) => self.users.slot(user)?,
        };
        Some((slot, &mut self.gate))
    }
}

impl Entry {
    pub(super) fn new(name: &str, settings: &settings::Token, metrics: Arc<Metrics>) -> Self {
        let users = match &settings.source {
            settings::Source::ClientCredentials(credentials) => credentials.users,
            settings::Source::DeliusLogon(_) => 1,
        };
        Self {
            name: name.to_owned(),
            settings: settings.clone(),
            metrics,
            shared: ArcSwapOption::empty(),
            state: Mutex::new(State {
                slot: Slot::default(),
                users: Users::new(users),
                gate: Gate::default(),
                pairs: Pairs::default(),
                unusable: None,
            }),
            landed: watch::Sender::new(0),
            lanes: Semaphore::new(LANES),
            connector: Connector::default(),
            waiting: AtomicUsize::new(0),
        }
    }

    pub(super) fn is_of(&self, settings: &settings::Token) -> bool {
        self.settings == *settings
    }

    pub(super) fn is_logon(&self) -> bool {
        matches!(self.settings.source, settings::Source::DeliusLogon(_))
    }

    pub(super) fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    pub(super) fn bearer(self: &Arc<Self>, username: Option<&str>, tokens: &Tokens) -> Option<Arc<Bearer>> {
        let now = clock::monotonic();
        let Some(username) = username.filter(|_| self.settings.username_header().is_some()) else {
            let shared = self.shared.load();
            return shared.as_ref().filter(|bearer| bearer.life.is_usable(now)).cloned();
        };
        let name = users::name(username)?;
        let mut state = self.state();
        let State { users, gate, .. } = &mut *state;
        let slot = users.find(name)?;
        let bearer = slot.usable(now)?.clone();
        // Nobody tends the tokens of users: whoever uses one has it renewed.
        if bearer.life.renew_at <= now {
            let number = tokens.number();
            if slot.renew(now, gate, number) {
                tokens.send(Order::new(self, User::parse(name), number));
            }
        }
        Some(bearer)
    }

    pub(super) async fn fetch(
        self: Arc<Self>,
        username: Option<&str>,
        deadline: Instant,
        tokens: &Tokens,
    ) -> Result<Arc<Bearer>, Fault> {
        let user = self.user(username)?;
        let _waiting = self.queue()?;
        let mut landed = self.landed.subscribe();
        loop {
            landed.mark_unchanged();
            let now = clock::monotonic();
            let pause = match self.wanted(user.as_ref(), now, tokens)? {
                Answer::Ready(bearer) => return Ok(bearer),
                Answer::Pause(until, trouble) => {
                    let pause = until.saturating_sub(now);
                    let wake = Instant::now() + pause;
                    if wake > deadline
                        || trouble
                            .as_ref()
                            .is_some_and(|trouble| !is_worth_waiting(trouble, pause))
                    {
                        return Err(self.fault(trouble.as_ref(), pause));
                    }
                    wake
                }
                Answer::Fly | Answer::Wait => deadline,
            };
            tokio::select! {
                biased;
                // The sender is a part of this entry, which is held here.
                _ = landed.changed() => {}
                () = sleep_until(pause.min(deadline)) => {}
            }
            if Instant::now() >= deadline {
                let mut state = self.state();
                let now = clock::monotonic();
                if let Some(bearer) = state
                    .slot(user.as_ref())
                    .and_then(|(slot, _)| slot.usable(now).cloned())
                {
                    return Ok(bearer);
                }
                let trouble = state.gate.trouble().cloned();
                drop(state);
                return Err(self.fault(trouble.as_ref(), Duration::from_secs(1)));
            }
        }
    }

    fn wanted(
        self: &Arc<Self>,
        user: Option<&User>,
        now: Duration,
        tokens: &Tokens,
    ) -> Result<Answer<Arc<Bearer>>, Fault> {
        let mut state = self.state();
        let Some((slot, gate)) = state.slot(user) else {
            let sentence = format!(
                "[token.{}]: more users' tokens are being fetched than `users` allows to keep; raise it",
                self.name
            );
            return Err(Fault::new(Code::Overloaded, sentence).retry_after(1));
        };
        let number = tokens.number();
        let answer = slot.wanted(now, gate, number);
        if answer == Answer::Fly {
            tokens.send(Order::new(self, user.cloned(), number));
        }
        Ok(answer)
    }

    pub(super) fn refused(&self, username: Option<&str>, bearer: &Bearer) -> Result<(), Fault> {
        let user = self.user(username)?;
        let now = clock::monotonic();
        let mut state = self.state();
        let refusal = match &user {
            None => state.slot.refused(now, bearer.serial, bearer.has_worked()),
            Some(user) => match state.users.find(user.expose()) {
                Some(slot) => slot.refused(now, bearer.serial, bearer.has_worked()),
                None => Refusal::Another,
            },
        };
        if user.is_none() && state.slot.life().is_none() {
            self.shared.store(None);
            self.metrics.token_expires(&self.name, None);
        }
        match refusal {
            Refusal::Another => Ok(()),
            Refusal::Standing => Err(Fault::new(
                Code::TokenRefused,
                format!(
                    "the API refuses the token of [token.{}], which was fetched anew just before; check that the client has \
                     the role that the API asks for, and that both belong to the same environment",
                    self.name
                ),
            )),
        }
    }

    /// The user that a request names, where this token has a header for that.
    fn user(&self, username: Option<&str>) -> Result<Option<User>, Fault> {
        let Some((username, header)) = username.zip(self.settings.username_header()) else {
            return Ok(None);
        };
        User::parse(username).map(Some).ok_or_else(|| {
            let sentence =
                format!("the header {header} names no user; expected one word of at most 128 visible characters");
            Fault::new(Code::RequestMalformed, sentence)
        })
    }

    fn queue(&self) -> Result<Waiting<'_>, Fault> {
        let waiting = Waiting(&self.waiting);
        if self.waiting.fetch_add(1, Ordering::Relaxed) < WAITING {
            return Ok(waiting);
        }
        let sentence = format!("{WAITING} requests wait for [token.{}] already", self.name);
        Err(Fault::new(Code::Overloaded, sentence).retry_after(1))
    }

    fn fault(&self, trouble: Option<&Trouble>, pause: Duration) -> Fault {
        let sentence = match trouble {
            Some(trouble) => format!("no valid token from [token.{}]: {}", self.name, trouble.sentence),
            None => format!(
                "[token.{}] did not come in time; is the server that gives it slow?",
                self.name
            ),
        };
        let seconds = u32::try_from(pause.as_secs()).unwrap_or(u32::MAX).saturating_add(1);
        Fault::new(Code::TokenUnavailable, sentence).retry_after(seconds)
    }
}

impl PartialEq for Bearer {
    fn eq(&self, other: &Self) -> bool {
        self.serial == other.serial
    }
}

/// A short pause after what passes by itself. Whoever waited for a server that says nothing has waited enough.
fn is_worth_waiting(trouble: &Trouble, pause: Duration) -> bool {
    let passes = matches!(trouble.kind, Kind::Unreachable | Kind::ServerError | Kind::Invalid);
    passes && pause <= PATIENCE
}

impl fmt::Debug for Entry {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Entry")
            .field("name", &self.name)
            .finish_non_exhaustive()
    }
}
