//! Lanes: operations of one kind that wait together are one set.
//!
//! A [`Lane`] keeps its waiting operations and puts one small job into a writer's queue. When the
//! writer comes to that job it takes all operations that have come meanwhile, up to a number and a
//! weight, and runs them as one [`Command`] in one transaction. Between a caller and the writer
//! there is nothing but that list.

mod batch;

use std::collections::VecDeque;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Instant;

use tokio::sync::oneshot;

use batch::Batch;

use crate::error::StoreError;
use crate::line::{Line, Place, Room};
use crate::store::Store;
use crate::tx::Tx;

/// The most operations in one batch: more would only make the first ones wait.
const OPS_MAX: usize = 256;

/// As soon as a batch weighs so much it is full: a caller with one row does not wait for many
/// callers with a thousand each.
const WEIGHT_MAX: usize = 1024;

/// Operations that may wait in front of one writer before their callers wait too.
const WAITING_MAX: usize = 4096;

/// What a transaction makes of each of its operations, in their order.
pub type Outs<Out, Error> = Result<Vec<Result<Out, Error>>, StoreError>;

/// A use-case over many operations of one kind.
pub trait Command: Send + Sync + 'static {
    /// What one caller asks for.
    type Op: Send + 'static;
    /// What one caller gets.
    type Out: Send + 'static;
    /// Why one caller does not get it.
    type Error: From<StoreError> + Send + 'static;

    /// Runs the operations as one set, in their order. May be run more than once, as every closure
    /// of a [`Store`].
    ///
    /// An operation that is refused has its own error in the list and has changed nothing; the
    /// others are stored. When one of them must not be stored with the others, the whole fails:
    /// then each is run in a smaller set, and at last alone.
    ///
    /// On PostgreSQL several connections do this at once: rows are locked in the order of their
    /// ids, by one statement for each table, and tables always in the same order.
    ///
    /// # Errors
    ///
    /// The database's; nothing is stored.
    fn run(&self, tx: &mut Tx<'_>, ops: &[Self::Op]) -> Outs<Self::Out, Self::Error>;

    /// How many rows an operation has.
    fn weight(&self, _op: &Self::Op) -> usize {
        1
    }

    /// Operations with the same key stay in order, on one connection: a hash of the run's id.
    fn key(&self, op: &Self::Op) -> u64;

    /// Called once with each result that was committed, before its caller hears of it, and also
    /// when that has gone away. Runs on the writer's thread: it must not wait.
    fn committed(&self, _out: &Self::Out) {}
}

/// Takes operations, and runs those that wait together as one set. Cheap to clone.
pub struct Lane<C: Command> {
    store: Store,
    stops: Arc<[Arc<Stop<C>>]>,
}

impl<C: Command> Clone for Lane<C> {
    fn clone(&self) -> Self {
        Self {
            store: self.store.clone(),
            stops: Arc::clone(&self.stops),
        }
    }
}

impl<C: Command> Lane<C> {
    pub(crate) fn new(store: Store, command: C) -> Self {
        let command = Arc::new(command);
        let stops = store.writers().iter().map(|queue| {
            Arc::new(Stop {
                command: Arc::clone(&command),
                queue: queue.clone(),
                room: Room::new(WAITING_MAX),
                waiting: Mutex::default(),
            })
        });
        Self {
            stops: stops.collect(),
            store,
        }
    }

    /// Runs an operation, together with others.
    ///
    /// # Errors
    ///
    /// Its own, or the database's; then nothing of it was stored, but see
    /// [`StoreError::OutcomeUnknown`].
    pub async fn run(&self, op: C::Op) -> Result<C::Out, C::Error> {
        let stop = self.stop(&op);
        let Ok(place) = stop.room.enter().await else {
            return Err(self.closed());
        };
        let answer = stop.put(op, place).await;
        answer.unwrap_or_else(|_| Err(self.closed()))
    }

    /// [`Lane::run`] for threads outside of any async runtime.
    ///
    /// # Errors
    ///
    /// As [`Lane::run`].
    pub fn run_blocking(&self, op: C::Op) -> Result<C::Out, C::Error> {
        let stop = self.stop(&op);
        let Ok(place) = stop.room.enter_blocking() else {
            return Err(self.closed());
        };
        let answer = stop.put(op, place).blocking_recv();
        answer.unwrap_or_else(|_| Err(self.closed()))
    }

    fn stop(&self, op: &C::Op) -> &Arc<Stop<C>> {
        let stops = self.stops.len();
        // Spreads any keys evenly (the multiplier of SplitMix64); the upper half of the product
        // with a number is below that number.
        let key = self.stops[0]
            .command
            .key(op)
            .wrapping_mul(0x9E37_79B9_7F4A_7C15);
        let index = (u128::from(key) * stops as u128) >> u64::BITS;
        &self.stops[usize::try_from(index).unwrap_or(0)]
    }

    fn closed(&self) -> C::Error {
        self.store.why_closed().into()
    }
}

/// Where the operations for one writer wait.
struct Stop<C: Command> {
    command: Arc<C>,
    queue: Line,
    room: Room,
    waiting: Mutex<Waiting<C>>,
}

struct Waiting<C: Command> {
    ops: VecDeque<(C::Op, Caller<C>)>,
    /// Whether a job that will take them is on its way.
    is_called: bool,
}

impl<C: Command> Default for Waiting<C> {
    fn default() -> Self {
        Self {
            ops: VecDeque::new(),
            is_called: false,
        }
    }
}

type Answer<C> = Result<<C as Command>::Out, <C as Command>::Error>;

struct Caller<C: Command> {
    reply: oneshot::Sender<Answer<C>>,
    since: Instant,
    _place: Place,
}

impl<C: Command> Stop<C> {
    fn lock(&self) -> MutexGuard<'_, Waiting<C>> {
        self.waiting.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Adds an operation, and calls the writer unless that was done.
    fn put(self: &Arc<Self>, op: C::Op, place: Place) -> oneshot::Receiver<Answer<C>> {
        let (reply, answer) = oneshot::channel();
        let caller = Caller {
            reply,
            since: Instant::now(),
            _place: place,
        };
        let mut waiting = self.lock();
        waiting.ops.push_back((op, caller));
        let was_called = std::mem::replace(&mut waiting.is_called, true);
        drop(waiting);
        if !was_called && self.queue.push(Box::new(Batch::new(self))).is_err() {
            self.clear();
        }
        answer
    }

    /// Nobody will come: all who wait hear that the store is closed.
    fn clear(&self) {
        self.room.close();
        let mut waiting = self.lock();
        waiting.is_called = false;
        let gone = std::mem::take(&mut waiting.ops);
        drop(waiting);
        drop(gone);
    }
}
