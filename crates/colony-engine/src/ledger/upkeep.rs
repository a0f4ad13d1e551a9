//! The loop that ends leases and offers tasks put off. It sleeps until the next one is due.

use std::sync::Arc;
use std::sync::atomic::{AtomicI64, Ordering};
use std::time::Duration;

use colony_core::id::TaskId;
use colony_core::job::JobError;
use colony_core::time::{Clock, Timestamp};
use colony_store::{Store, StoreError, give_up};
use tokio::sync::Notify;

use super::release::{due, upkeep, upkeep_of};
use super::signals::Signals;

/// How often to look without being told: another queen of the same database may have ended.
const LOOK_AGAIN: Duration = Duration::from_secs(30);

/// How long to wait after the database has failed.
const AFTER_FAILURE: Duration = Duration::from_secs(1);

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

/// Runs until it is aborted.
pub(super) async fn run(store: Store, clock: Arc<dyn Clock>, signals: Signals) {
    loop {
        let now = clock.now();
        // What is set from here on is not lost in the answer.
        signals.alarm.due.store(NEVER, Ordering::SeqCst);
        match store.write(move |tx| upkeep(tx, now)).await {
            Ok(round) => {
                signals.tasks_changed(round.rows.iter());
                if let Some(due_at) = round.next_due {
                    signals.alarm.set(due_at);
                }
            }
            Err(error) => {
                tracing::error!("failed to end leases that ran out: {error}");
                signals.alarm.set(now.after(AFTER_FAILURE));
                if error.is_about_rows()
                    && let Err(error) = one_by_one(&store, &signals, now).await
                {
                    tracing::error!("failed to end leases one by one: {error}");
                }
            }
        }
        sleep_until_due(&store, clock.as_ref(), &signals.alarm).await;
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

async fn sleep_until_due(store: &Store, clock: &dyn Clock, alarm: &Alarm) {
    let longest = if store.is_exclusive() {
        Duration::MAX
    } else {
        LOOK_AGAIN
    };
    loop {
        let due = Timestamp::from_millis(alarm.due.load(Ordering::SeqCst));
        let wait = due.since(clock.now());
        if wait.is_zero() {
            return;
        }
        tokio::select! {
            () = tokio::time::sleep(wait.min(longest)) => return,
            () = alarm.earlier.notified() => {}
        }
    }
}
