//! Who wants to know of a change: waiting claims, the upkeep loop, watchers.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, PoisonError};

use colony_core::id::{RunId, TaskId};
use colony_core::queue_key;
use colony_store::ledger::{TaskRow, Waiting};
use colony_store::queue::QueuedTask;
use tokio::sync::{Notify, broadcast};

use super::desk::DeskBell;
use crate::nudge::Nudges;

/// Changes that a slow watcher of a run may fall behind before it looks at the rows again.
const CHANGES_BUFFERED: usize = 256;

/// What happened in a run.
#[derive(Debug, Clone)]
pub(super) enum Change {
    /// A task is there or changed.
    Task(Arc<TaskRow>),
    /// The run's own row changed.
    Run,
    /// The engine changed the run or its tasks.
    Job,
}

/// Tells those who wait. Cheap to clone.
#[derive(Clone)]
pub(crate) struct Signals {
    pub(super) bell: DeskBell,
    nudges: Arc<Nudges>,
    runs: Arc<Mutex<HashMap<RunId, broadcast::Sender<Change>>>>,
    tasks: Arc<Mutex<HashMap<TaskId, Arc<Notify>>>>,
}

impl Signals {
    pub(crate) fn new(bell: DeskBell, nudges: Arc<Nudges>) -> Self {
        Self {
            bell,
            nudges,
            runs: Arc::default(),
            tasks: Arc::default(),
        }
    }

    /// Tasks were created or changed, and with them perhaps the counters of their runs.
    pub(super) fn tasks_changed<'t>(&self, rows: impl Iterator<Item = &'t TaskRow>) {
        for row in rows {
            match row.waiting {
                Some(Waiting::Offered) => {
                    self.bell.ring(|| queue_key::worker(&row.org_id, &row.kind));
                }
                Some(Waiting::Delayed(due_at)) => self.nudges.due_at(due_at),
                None => {}
            }
            self.tell_run(row.run_id, || Change::Task(Arc::new(row.clone())));
            self.tell_run(row.run_id, || Change::Run);
            if let Some(notify) = lock(&self.tasks).get(&row.id) {
                notify.notify_waiters();
            }
        }
    }

    /// The run's own row changed.
    pub(super) fn run_changed(&self, id: RunId) {
        self.tell_run(id, || Change::Run);
    }

    /// The same for a ledger with a desk of its own.
    pub(super) fn with_bell(&self, bell: DeskBell) -> Self {
        Self {
            bell,
            ..self.clone()
        }
    }

    /// Leases were given to workers.
    pub(super) fn due_at(&self, at: colony_core::time::Timestamp) {
        self.nudges.due_at(at);
    }

    /// A job task waits for workers.
    pub(crate) fn job_task_offered(&self, offered: &QueuedTask) {
        self.bell.ring(|| offered.key.clone());
        self.job_changed(offered.run_id, &[offered.task_id]);
    }

    /// The engine changed a run or its tasks.
    pub(crate) fn job_changed(&self, id: RunId, tasks: &[TaskId]) {
        self.tell_run(id, || Change::Job);
        let waiting = lock(&self.tasks);
        for notify in tasks.iter().filter_map(|id| waiting.get(id)) {
            notify.notify_waiters();
        }
    }

    fn tell_run(&self, id: RunId, change: impl FnOnce() -> Change) {
        let mut runs = lock(&self.runs);
        if let Some(sender) = runs.get(&id)
            && sender.send(change()).is_err()
        {
            // The last watcher has gone.
            runs.remove(&id);
        }
    }

    /// Follows a run from now on.
    pub(super) fn watch_run(&self, id: RunId) -> broadcast::Receiver<Change> {
        let mut runs = lock(&self.runs);
        runs.retain(|_, sender| sender.receiver_count() > 0);
        runs.entry(id)
            .or_insert_with(|| broadcast::channel(CHANGES_BUFFERED).0)
            .subscribe()
    }

    /// Is notified of changes of a task from now on.
    pub(super) fn watch_task(&self, id: TaskId) -> Arc<Notify> {
        let mut tasks = lock(&self.tasks);
        // Entries that only this table holds are of watchers that have gone.
        tasks.retain(|_, notify| Arc::strong_count(notify) > 1);
        Arc::clone(tasks.entry(id).or_default())
    }
}

/// A panic elsewhere leaves tables of watchers as usable as before.
pub(super) fn lock<T>(mutex: &Mutex<T>) -> std::sync::MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}
