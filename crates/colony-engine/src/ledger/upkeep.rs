//! The loop that ends leases and offers tasks put off. It sleeps until the next one is due.

use std::sync::Arc;
use std::sync::atomic::{AtomicI64, Ordering};
use std::time::Duration;

use colony_core::id::TaskId;
use colony_core::job::JobError;
use colony_core::time::{Clock, Timestamp};
use colony_store::absence::{self, Absence};
use colony_store::ledger::lease;
use colony_store::{Store, StoreError, give_up};
use tokio::sync::Notify;

use super::release::{Round, due, upkeep, upkeep_of};
use super::signals::Signals;
use crate::backoff::Backoff;
use crate::engine::Engine;
use crate::jump::{Follower, LONG_AGO};
use crate::presence::{LEASE_GRACE, Presence, TICK};

/// How often to look without being told: another queen of the same database may have ended.
const LOOK_AGAIN: Duration = Duration::from_secs(30);

const NEVER: i64 = i64::MAX;

/// Knows when something is due next. Cheap to clone.
#[derive(Clone)]
pub(super) struct Alarm {
    due: Arc<AtomicI64>,
    earlier: Arc<Notify>,
}

impl Alarm {
    pub(super) fn new() -> Self {
        Self {
            due: Arc::new(AtomicI64::new(NEVER)),
            earlier: Arc::default(),
        }
    }

    /// Something is due at that time.
    pub(super) fn set(&self, at: Timestamp) {
        let at = at.as_millis();
        if self.due.fetch_min(at, Ordering::SeqCst) > at {
            self.earlier.notify_one();
        }
    }
}

/// Who follows the wall clock when it was set.
pub(super) enum Following {
    /// The engine whose jobs are in the same rows.
    Engine(Engine),
    /// Nobody else.
    Alone(Follower),
}

impl Following {
    async fn follow(&self, alarm: &Alarm) {
        match self {
            Self::Engine(engine) => engine.follow_clock().await,
            Self::Alone(follower) => match follower.follow().await {
                Ok(false) => {}
                Ok(true) => alarm.set(LONG_AGO),
                Err(error) => {
                    tracing::error!("failed to move times after a jump of the clock: {error}");
                }
            },
        }
    }
}

/// Runs until it is aborted.
pub(super) async fn run(
    store: Store,
    clock: Arc<dyn Clock>,
    signals: Signals,
    following: Following,
) {
    let mut presence = Presence::new();
    let mut backoff = Backoff::new("upkeep");
    loop {
        // What is set from here on is not lost in the answer.
        signals.alarm.due.store(NEVER, Ordering::SeqCst);
        match look(&store, clock.as_ref(), &mut presence).await {
            Ok(round) => {
                backoff.reset();
                presence.here(Duration::ZERO);
                signals.tasks_changed(round.rows.iter());
                if let Some(due_at) = round.next_due {
                    signals.alarm.set(due_at);
                }
                let sleep = Sleep {
                    store: &store,
                    clock: clock.as_ref(),
                    alarm: &signals.alarm,
                    following: &following,
                };
                sleep.until_due(&mut presence).await;
            }
            Err(error) => {
                tracing::error!("failed to end leases that ran out: {error}");
                if error.is_about_rows()
                    && let Err(error) = one_by_one(&store, &signals, clock.now()).await
                {
                    tracing::error!("failed to end leases one by one: {error}");
                }
                backoff.pause().await;
                presence.in_vain();
            }
        }
    }
}

/// Does what is due for each task alone; one for which it cannot be done ends with the reason.
async fn one_by_one(store: &Store, signals: &Signals, now: Timestamp) -> Result<(), StoreError> {
    for id in store.read(move |tx| due(tx, now)).await? {
        let alone = store.write(move |tx| upkeep_of(tx, &[id], now)).await;
        match alone {
            Ok(rows) => signals.tasks_changed(rows.iter()),
            Err(error) if error.is_about_rows() => give_up_task(store, id, &error, now).await?,
            Err(error) => return Err(error),
        }
    }
    Ok(())
}

/// Ends a task that cannot go on.
pub(super) async fn give_up_task(
    store: &Store,
    id: TaskId,
    cause: &StoreError,
    now: Timestamp,
) -> Result<(), StoreError> {
    let message = format!("cannot go on: {}", cause.reason());
    tracing::error!(task.id = %id, "given up: {message}");
    let error = JobError::new("INTERNAL_ERROR", message);
    store
        .write(move |tx| give_up::give_up_task(tx, id, &error, now))
        .await?;
    Ok(())
}

/// Gives missed time back, and ends what is over then. It reads before it ends anything: when the
/// database was away, it is this that took long.
async fn look(
    store: &Store,
    clock: &dyn Clock,
    presence: &mut Presence,
) -> Result<Round, StoreError> {
    let next_due = store.read(lease::next_due).await?;
    presence.here(Duration::ZERO);
    if let Some(missed) = presence.missed() {
        let absence = Absence {
            missed,
            expiry_min: clock.now().after(LEASE_GRACE),
        };
        let given = store.write(move |tx| absence::prolong_worker_leases(tx, absence));
        given.await?;
        presence.settled(missed);
    }
    let now = clock.now();
    if next_due.is_none_or(|at| at > now) {
        let rows = Vec::new();
        return Ok(Round { rows, next_due });
    }
    store.write(move |tx| upkeep(tx, now)).await
}

/// What the loop needs while it sleeps.
struct Sleep<'a> {
    store: &'a Store,
    clock: &'a dyn Clock,
    alarm: &'a Alarm,
    following: &'a Following,
}

impl Sleep<'_> {
    async fn until_due(&self, presence: &mut Presence) {
        let alone = self.store.is_exclusive();
        let asleep_since = tokio::time::Instant::now();
        loop {
            self.following.follow(self.alarm).await;
            let due = Timestamp::from_millis(self.alarm.due.load(Ordering::SeqCst));
            let wait = due.since(self.clock.now());
            if wait.is_zero() || presence.missed().is_some() {
                return;
            }
            if due.as_millis() == NEVER && alone {
                // Nobody holds a lease: nothing is missed by being away.
                self.alarm.earlier.notified().await;
                *presence = Presence::new();
                continue;
            }
            if !alone && asleep_since.elapsed() >= LOOK_AGAIN {
                return;
            }
            let rest = wait.min(TICK);
            tokio::select! {
                () = tokio::time::sleep(rest) => {}
                () = self.alarm.earlier.notified() => {}
            }
            presence.here(rest);
        }
    }
}
