//! The OAuth client is rotated as HMPPS does it: a copy with a number more, whose identifier and secret both differ. Then come
//! pairs that cannot work, and a signing key that is dropped with every token it signed.
//!
//! The witness is the read API of the standard route: it counts by mark whose token each request came with.

use std::io;
use std::time::Instant;

use super::super::auth::Client;
use super::super::client::Ask;
use super::super::place::{self, File};
use super::super::scene::{CLIENT, FIRST_CLIENT, TOKEN, pair, secret};
use super::told::{ClientChange, KeyChange};
use super::{APART, Broken, Drill, PATIENCE, STEADY, TAKEN_UP, Way, unwritten};
use crate::secret::Secret;

/// An identifier with its secret.
#[derive(Clone, Debug)]
pub(super) struct Pair {
    id: String,
    secret: Secret<String>,
}

impl Pair {
    pub(super) fn first(secret: &Secret<String>) -> Self {
        Self {
            id: FIRST_CLIENT.to_owned(),
            secret: secret.clone(),
        }
    }
}

impl Drill<'_> {
    /// A copy of the client takes its place, and the one before is withdrawn.
    pub(super) fn change_client(&mut self, way: Way) -> Result<(), String> {
        let before = self.client_in_use.clone();
        let next = self.copy_of_client()?;
        self.scene
            .standard()
            .auth
            .admit(Client::new(&next.id, next.secret.expose()));
        self.put_client(&next, way)?;
        let written = Instant::now();
        self.until(&format!("the first request comes with a token of {}", next.id), || {
            Ok(self.saw_client(&next.id).then_some(()))
        })?;
        let noticed = written.elapsed();
        self.scene.standard().auth.withdraw(&before.id);
        self.pause(TAKEN_UP)?;
        let mark = self.load.mark();
        self.pause(STEADY)?;
        self.load.mark();
        self.note(format!(
            "{} for {}, {}: in use {} ms after it was there; {} withdrawn",
            next.id,
            before.id,
            way.of_client(),
            noticed.as_millis(),
            before.id
        ));
        self.clients.push(ClientChange {
            way: way.of_client(),
            client: next.id.clone(),
            before: before.id,
            noticed,
            requests_after: 0,
            requests_on_old: 0,
            mark,
        });
        self.client_in_use = next;
        Ok(())
    }

    /// Pairs that cannot work, one after the other, then the working one again.
    pub(super) fn put_broken_clients_in_place(&mut self) -> Result<(), String> {
        let good = self.client_in_use.clone();
        let next = self.copy_of_client()?;
        // Known to Auth, with a secret that no file here will ever hold.
        let other = secret().map_err(|error| error.to_string())?;
        self.scene.standard().auth.admit(Client::new(&next.id, other.expose()));
        let id = Secret::new(good.id.clone());
        for (what, id, secret) in [
            ("a new client with a wrong secret", &next.id, &next.secret),
            ("a new client's identifier without its secret", &next.id, &good.secret),
            ("identifier and secret swapped", good.secret.expose(), &id),
        ] {
            self.put_broken_client(what, &pair(id, secret))?;
        }
        self.put_client(&good, Way::Swap)?;
        self.note(format!("{} is back in its files", good.id));
        let log = self.scene.sidecar_log();
        let log = log.map_err(|error| format!("the sidecar's log cannot be read: {error}"))?;
        if [&good, &next]
            .iter()
            .any(|pair| log.contains(pair.secret.expose().as_str()))
        {
            return Err("a client's secret stands in the sidecar's log".to_owned());
        }
        Ok(())
    }

    fn put_broken_client(&mut self, what: &'static str, files: &[File<'_>]) -> Result<(), String> {
        let refused = || self.refused_clients();
        let before = refused()?;
        let mark = self.load.mark();
        let directory = self.directory(CLIENT);
        place::swap(&directory, files).map_err(|error| unwritten(&directory, &error))?;
        self.until(&format!("the sidecar says that {what} is refused"), || {
            Ok((refused()? > before).then_some(()))
        })?;
        self.pause(STEADY)?;
        self.load.mark();
        let said = "refused by Auth; the one in use goes on".to_owned();
        self.note(format!("{what}: {said}"));
        self.broken_clients.push(Broken {
            what,
            said,
            requests: 0,
            requests_on_other: 0,
            mark,
            current: self.client_in_use.id.clone(),
        });
        Ok(())
    }

    /// Auth signs with another key and publishes the old one no more: every token is refused from now on.
    pub(super) fn drop_the_signing_key(&mut self) -> Result<(), String> {
        let auth = &self.scene.standard().auth;
        let fetched = || auth.requests("POST", "/auth/oauth/token");
        let before = fetched();
        let dropped = auth.change_key(false);
        dropped.map_err(|error| format!("the signing key cannot be changed: {error}"))?;
        let began = Instant::now();
        self.until("a new token is fetched", || Ok((fetched() > before).then_some(())))?;
        let took = began.elapsed();
        self.pause(TAKEN_UP)?;
        let mark = self.load.mark();
        self.pause(2 * STEADY)?;
        self.load.mark();
        let refreshes = fetched() - before;
        self.note(format!(
            "every token was refused at once; another one came {} ms later, {refreshes} in all",
            took.as_millis()
        ));
        self.keys.push(KeyChange {
            refreshes,
            requests_after: 0,
            mark,
            client: self.client_in_use.id.clone(),
        });
        Ok(())
    }

    fn copy_of_client(&mut self) -> Result<Pair, String> {
        self.copies += 1;
        Ok(Pair {
            id: format!("{FIRST_CLIENT}-{}", self.copies),
            secret: secret().map_err(|error| error.to_string())?,
        })
    }

    fn put_client(&self, client: &Pair, way: Way) -> Result<(), String> {
        let directory = self.directory(CLIENT);
        let files = pair(&client.id, &client.secret);
        let put: io::Result<()> = match way {
            Way::Swap => place::swap(&directory, &files),
            Way::Rename => place::rename(&directory, &files),
            Way::InPlace | Way::Asked => {
                let [id, secret] = files;
                let first = place::in_place(&directory, id);
                self.pause(APART)?;
                first.and_then(|()| place::in_place(&directory, secret))
            }
        };
        put.map_err(|error| unwritten(&directory, &error))
    }

    fn saw_client(&self, id: &str) -> bool {
        let tally = self.scene.standard().api.tally();
        tally.keys().any(|(_, client)| client == id)
    }

    /// How many pairs were refused so far, by the sidecar's metrics.
    fn refused_clients(&self) -> Result<u64, String> {
        let observe = self.scene.observe().ok_or("the sidecar has no listener for metrics")?;
        let answer = Ask::get("/metrics").send(observe, PATIENCE);
        let answer = answer.map_err(|error| format!("the sidecar's metrics cannot be read: {error}"))?;
        let text = String::from_utf8_lossy(&answer.body).into_owned();
        let row = format!("delius_sidecar_token_pair_changed_total{{token=\"{TOKEN}\",result=\"refused\"}} ");
        let found = text.lines().find_map(|line| line.strip_prefix(&row));
        Ok(found.and_then(|number| number.trim().parse().ok()).unwrap_or_default())
    }
}

impl Way {
    const fn of_client(self) -> &'static str {
        match self {
            Self::InPlace => "written in place, identifier and secret 2.5 s apart",
            other => other.as_str(),
        }
    }
}
