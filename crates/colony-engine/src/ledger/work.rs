//! Tasks under change: what was loaded, what becomes of it, and storing all of it at once.

use std::collections::BTreeMap;

use colony_core::id::{RunId, TaskId};
use colony_core::ledger::{Counted, counted};
use colony_core::state::TaskStatus;
use colony_core::time::Timestamp;
use colony_store::attempt::{self, EndedAttempt};
use colony_store::ledger::run::{self, Growth};
use colony_store::ledger::task::{self, LockedTask};
use colony_store::ledger::{TaskRow, Waiting};
use colony_store::queue::{self, QueuedTask};
use colony_store::timer::{self, Timer};
use colony_store::{StoreError, Tx, lease};

/// Locked tasks of one transaction.
pub(super) struct Work {
    tasks: BTreeMap<TaskId, Entry>,
}

/// One of them.
pub(super) struct Entry {
    /// The task as it is by now.
    pub(super) task: LockedTask,
    waited: Option<Waiting>,
    changed: bool,
    ended: Vec<EndedAttempt>,
    growth: Growth,
}

impl Entry {
    /// Changes the status with all that follows from it (`foreman-api` 8.2, 8.3).
    pub(super) fn set_status(&mut self, status: TaskStatus, now: Timestamp) {
        let row = &mut self.task.row;
        match counted(row.status, status) {
            Some(Counted::Completed) => self.growth.completed += 1,
            Some(Counted::Failed) => self.growth.failed += 1,
            None => {}
        }
        row.marks.change_task(status, row.created_at, now);
        row.status = status;
    }

    /// Marks the row as changed.
    pub(super) fn touch(&mut self, now: Timestamp) {
        self.task.row.updated_at = now;
        self.changed = true;
    }

    /// Ends the lease, if there is one, with that outcome.
    pub(super) fn end_lease(&mut self, outcome: &'static str, message: &str, now: Timestamp) {
        if let Some(lease) = self.task.lease.take() {
            self.ended.push(EndedAttempt {
                lease,
                retry: self.task.row.marks.retry_count,
                outcome,
                exit_code: String::new(),
                error_message: message.to_owned(),
                ended_at: now,
            });
        }
    }

    /// Where the task waits from now on.
    pub(super) fn wait(&mut self, waiting: Option<Waiting>) {
        self.task.row.waiting = waiting;
    }
}

impl Work {
    /// Locks tasks.
    pub(super) fn lock(tx: &mut Tx<'_>, ids: &[TaskId]) -> Result<Self, StoreError> {
        let entry = |task: LockedTask| Entry {
            waited: task.row.waiting,
            task,
            changed: false,
            ended: Vec::new(),
            growth: Growth::default(),
        };
        let tasks = (task::lock_tasks(tx, ids)?.into_iter())
            .map(|task| (task.row.id, entry(task)))
            .collect();
        Ok(Self { tasks })
    }

    /// A task, if it is there.
    pub(super) fn get(&mut self, id: TaskId) -> Option<&mut Entry> {
        self.tasks.get_mut(&id)
    }

    /// Stores everything that changed; returns the rows that did.
    pub(super) fn save(self, tx: &mut Tx<'_>, now: Timestamp) -> Result<Vec<TaskRow>, StoreError> {
        let mut save = Save::default();
        for entry in self.tasks.into_values().filter(|entry| entry.changed) {
            save.add(entry);
        }
        task::update_tasks(tx, &save.rows)?;
        let over = save.ended.iter().map(|end| end.lease.attempt.task_id);
        lease::remove(tx, &over.collect::<Vec<TaskId>>())?;
        attempt::insert(tx, &save.ended)?;
        queue::remove(tx, &save.unqueued)?;
        timer::remove(tx, &save.fired)?;
        queue::insert(tx, &save.queued)?;
        timer::set(tx, &save.timers)?;
        if !save.growth.is_empty() {
            let ids: Vec<RunId> = save.growth.keys().copied().collect();
            run::lock_counters(tx, &ids)?;
            run::grow_runs(tx, &save.growth, now)?;
        }
        Ok(save.rows)
    }
}

#[derive(Default)]
struct Save {
    rows: Vec<TaskRow>,
    ended: Vec<EndedAttempt>,
    queued: Vec<QueuedTask>,
    unqueued: Vec<QueuedTask>,
    timers: Vec<Timer>,
    fired: Vec<Timer>,
    growth: BTreeMap<RunId, Growth>,
}

impl Save {
    fn add(&mut self, entry: Entry) {
        let row = entry.task.row;
        self.ended.extend(entry.ended);
        if entry.waited != row.waiting {
            match entry.waited {
                Some(Waiting::Offered) => self.unqueued.push(row.place()),
                Some(Waiting::Delayed(due_at)) => self.fired.push(Timer::offer(row.id, due_at)),
                None => {}
            }
            match row.waiting {
                Some(Waiting::Offered) => self.queued.push(row.place()),
                Some(Waiting::Delayed(due_at)) => self.timers.push(Timer::offer(row.id, due_at)),
                None => {}
            }
        }
        if entry.growth != Growth::default() {
            let growth = self.growth.entry(row.run_id).or_default();
            growth.completed += entry.growth.completed;
            growth.failed += entry.growth.failed;
        }
        self.rows.push(row);
    }
}
