//! A worker: one thread, one runtime, and everything its connections share. Nothing here is shared with other workers
//! but counters; there is no lock on the way of a request.

use std::cell::{Cell, RefCell};
use std::rc::Rc;
use std::sync::Arc;
use std::task::Waker;
use std::time::Duration;

use tokio::time::Instant;

use super::attempt::RetryBudget;
use super::breaker::{Breaker, State};
use super::plan::Plan;
use super::way::Dialling;
use crate::clock;
use crate::identity::{Generation, Standing};
use crate::telemetry::exchange::Scribe;
use crate::transport::buffer::Spares;
use crate::upstream::Target;
use crate::upstream::connection::Connection;
use crate::upstream::pool::Pool;
use crate::wire::head::Fields;

/// How often idle connections are looked at.
const SWEEP: Duration = Duration::from_secs(1);

/// What the connections of one thread share.
pub struct Worker {
    pub scribe: RefCell<Scribe>,
    pub spares: Spares,
    world: RefCell<Rc<World>>,
    workspaces: RefCell<Vec<Workspace>>,
    random: Cell<u64>,
    draining: Cell<Option<Instant>>,
    /// When the gateway's front was last replaced.
    renewed: Cell<Option<Instant>>,
    warned: Cell<Option<Instant>>,
    /// Open connections by key; a key comes free with its connection.
    connections: RefCell<Vec<Option<Waker>>>,
    free_keys: RefCell<Vec<usize>>,
    /// Requests under way, for the drain.
    busy: Cell<usize>,
    /// Somebody waits for its replies.
    serves: bool,
}

/// A plan with this worker's state for each of its upstreams.
pub struct World {
    pub plan: Arc<Plan>,
    pub lenders: Vec<Rc<Lender>>,
}

/// This worker's side of one upstream.
pub struct Lender {
    pub target: RefCell<Arc<Target>>,
    pub(super) pool: RefCell<Pool>,
    pub(super) dialling: RefCell<Option<Dialling>>,
    pub breaker: RefCell<Breaker>,
    pub budget: RefCell<RetryBudget>,
    /// Serves requests that somebody waits for: its circuit is the one that is shown.
    pub(super) shown: bool,
}

/// Memory that a request needs while it is under way; reused from request to request.
#[derive(Debug, Default)]
pub struct Workspace {
    pub fields: Fields,
    /// The head for the upstream.
    pub head: Vec<u8>,
    /// The normalised path, where it differs from what came.
    pub path: Vec<u8>,
    pub request_id: Vec<u8>,
    pub trace_parent: Vec<u8>,
}

impl Worker {
    /// A worker that serves nothing yet.
    #[must_use]
    pub fn new(plan: Arc<Plan>, scribe: Scribe, seed: u64) -> Rc<Self> {
        Self::of(plan, scribe, seed, true)
    }

    /// One that asks for nobody who waits: what it meets is its own affair and not shown as the upstream's circuit.
    #[must_use]
    pub fn beside(plan: Arc<Plan>, scribe: Scribe, seed: u64) -> Rc<Self> {
        Self::of(plan, scribe, seed, false)
    }

    fn of(plan: Arc<Plan>, scribe: Scribe, seed: u64, serves: bool) -> Rc<Self> {
        let worker = Self {
            scribe: RefCell::new(scribe),
            spares: Spares::default(),
            world: RefCell::new(Rc::new(World {
                plan: plan.clone(),
                lenders: Vec::new(),
            })),
            workspaces: RefCell::default(),
            random: Cell::new(seed | 1),
            draining: Cell::new(None),
            renewed: Cell::new(None),
            warned: Cell::new(None),
            connections: RefCell::default(),
            free_keys: RefCell::default(),
            busy: Cell::new(0),
            serves,
        };
        worker.adopt(plan);
        Rc::new(worker)
    }

    /// The plan in force.
    #[must_use]
    pub fn world(&self) -> Rc<World> {
        self.world.borrow().clone()
    }

    /// Puts a new plan in force. State of an upstream that goes on under its name is kept; connections of generations
    /// that are no longer in use are closed, idle ones now and busy ones after their reply.
    pub fn adopt(&self, plan: Arc<Plan>) {
        let old = self.world();
        let lenders = plan.targets.iter().map(|target| {
            let known = old
                .lenders
                .iter()
                .find(|lender| lender.target.borrow().name == target.name);
            let lender = match known {
                Some(lender) if lender.target.borrow().same_place(target) => {
                    let before = lender.target.replace(target.clone());
                    if generation_of(&before) != generation_of(target) {
                        lender.breaker.borrow_mut().begin_anew();
                    }
                    lender.clone()
                }
                _ => Rc::new(Lender {
                    target: RefCell::new(target.clone()),
                    pool: RefCell::default(),
                    dialling: RefCell::default(),
                    breaker: RefCell::new(Breaker::new(target.breaker.clone(), self.random())),
                    budget: RefCell::new(RetryBudget::default()),
                    shown: self.serves,
                }),
            };
            lender.pool.borrow_mut().promote(generation_of(target));
            lender
        });
        let lenders: Vec<_> = lenders.collect();
        for gone in old
            .lenders
            .iter()
            .filter(|lender| !lenders.iter().any(|kept| Rc::ptr_eq(kept, lender)))
        {
            gone.pool.borrow_mut().promote(0);
        }
        let front = |plan: &Plan| plan.front.as_ref().map(|front| front.number);
        let renewed = front(&old.plan) != front(&plan);
        *self.world.borrow_mut() = Rc::new(World { plan, lenders });
        if renewed {
            self.renewed.set(Some(Instant::now()));
            self.wake_all();
        }
    }

    /// Looks after idle connections and the log, until the worker's runtime ends.
    pub async fn housekeeping(self: Rc<Self>) {
        let mut tick = tokio::time::interval(SWEEP / 5);
        let mut ticks = 0u32;
        loop {
            tick.tick().await;
            self.scribe.borrow_mut().flush_if_due();
            ticks = ticks.wrapping_add(1);
            if ticks.is_multiple_of(5) {
                self.spares.trim();
                for lender in &self.world().lenders {
                    lender.sweep(&self.spares);
                }
            }
        }
    }

    /// Memory for a request.
    #[must_use]
    pub fn workspace(&self) -> Workspace {
        self.workspaces.borrow_mut().pop().unwrap_or_default()
    }

    /// Gives memory back.
    pub fn give_back(&self, workspace: Workspace) {
        let mut kept = self.workspaces.borrow_mut();
        if kept.len() < 16 {
            kept.push(workspace);
        }
    }

    /// A random number; not for secrets (xorshift64*).
    #[must_use]
    pub fn random(&self) -> u64 {
        let mut x = self.random.get();
        x ^= x >> 12;
        x ^= x << 25;
        x ^= x >> 27;
        self.random.set(x);
        x.wrapping_mul(0x2545_f491_4f6c_dd1d)
    }

    /// Registers a connection, so that a drain can wake it.
    pub fn enter(&self, waker: Waker) -> Entered<'_> {
        let mut connections = self.connections.borrow_mut();
        if let Some(key) = self.free_keys.borrow_mut().pop() {
            connections[key] = Some(waker);
            return Entered { worker: self, key };
        }
        connections.push(Some(waker));
        Entered {
            worker: self,
            key: connections.len() - 1,
        }
    }

    /// Counts a request as under way until the answer is dropped.
    pub fn begin(&self) -> Busy<'_> {
        self.busy.set(self.busy.get() + 1);
        Busy(self)
    }

    /// Open connections.
    #[must_use]
    pub fn open(&self) -> usize {
        self.connections.borrow().len() - self.free_keys.borrow().len()
    }

    /// Requests under way.
    #[must_use]
    pub fn busy(&self) -> usize {
        self.busy.get()
    }

    /// From now on replies announce the end of their connection, and idle connections end after a quiet time.
    pub fn drain(&self) {
        self.draining.set(Some(Instant::now()));
        self.wake_all();
    }

    /// When the gateway's front was last replaced: connections of the one before are to end.
    #[must_use]
    pub fn renewed(&self) -> Option<Instant> {
        self.renewed.get()
    }

    fn wake_all(&self) {
        for waker in self.connections.borrow().iter().flatten() {
            waker.wake_by_ref();
        }
    }

    /// Whether a warning that may repeat many times a second is due again: once in ten seconds.
    #[must_use]
    pub fn may_warn(&self) -> bool {
        let now = Instant::now();
        let due = self
            .warned
            .get()
            .is_none_or(|last| now.duration_since(last) >= Duration::from_secs(10));
        if due {
            self.warned.set(Some(now));
        }
        due
    }

    /// Since when the worker is draining.
    #[must_use]
    pub fn draining(&self) -> Option<Instant> {
        self.draining.get()
    }
}

/// An open connection; left on drop, also when its task ends by a panic.
pub struct Entered<'a> {
    worker: &'a Worker,
    key: usize,
}

impl Drop for Entered<'_> {
    fn drop(&mut self) {
        self.worker.connections.borrow_mut()[self.key] = None;
        self.worker.free_keys.borrow_mut().push(self.key);
    }
}

/// A request under way.
pub struct Busy<'a>(&'a Worker);

impl Drop for Busy<'_> {
    fn drop(&mut self) {
        self.0.busy.set(self.0.busy.get() - 1);
    }
}

/// The number of what is shown to an upstream; 0 while there is nothing.
fn generation_of(target: &Target) -> u64 {
    match &target.standing {
        Standing::Ready(generation) => generation.number,
        Standing::Absent(_) => 0,
    }
}

impl Lender {
    /// A kept connection of the generation now in use.
    pub fn kept(&self, target: &Target, spares: &Spares, now: Instant) -> Option<Connection> {
        self.pool.borrow_mut().take(&target.pool, spares, now)
    }

    /// Takes a connection back that may carry another request.
    pub fn put(&self, connection: Connection, spares: &Spares, now: Instant) {
        let target = self.target.borrow();
        self.pool.borrow_mut().put(connection, &target.pool, spares, now);
    }

    /// As far as is known without asking, the upstream can be used.
    #[must_use]
    pub fn is_up(&self) -> bool {
        let ready = |generation: &Generation| generation.check_dates(clock::unix_seconds()).is_ok();
        self.breaker.borrow().state() != State::Open
            && matches!(&self.target.borrow().standing, Standing::Ready(generation) if ready(generation))
    }

    fn sweep(&self, spares: &Spares) {
        let target = self.target.borrow().clone();
        let expired = match &target.standing {
            Standing::Ready(generation) => generation.check_dates(clock::unix_seconds()).is_err(),
            Standing::Absent(_) => true,
        };
        let mut pool = self.pool.borrow_mut();
        if expired {
            pool.clear();
        }
        pool.sweep(&target.pool, spares, Instant::now());
        if self.shown {
            target.meter.circuit(self.breaker.borrow().state().as_str());
        }
    }
}
