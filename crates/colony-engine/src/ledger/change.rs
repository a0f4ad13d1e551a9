//! Changing runs and tasks: PATCH and reports (`foreman-api` 7.3, 7.7, 8).

use std::sync::Arc;
use std::time::Duration;

use colony_core::id::{AttemptRef, RunId, TaskId};
use colony_core::state::{RunStatus, TaskStatus};
use colony_core::time::Timestamp;
use colony_store::ledger::run;
use colony_store::ledger::{RunRow, TaskRow, Waiting};
use colony_store::{Text, Tx};

use super::error::{LedgerError, Missing};
use super::lanes::Outs;
use super::work::{Entry, Work};

/// What a PATCH changes of a run. An inner `None` clears.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct RunChange {
    /// The new status.
    pub status: Option<RunStatus>,
    /// JSON.
    pub output: Option<Option<Text>>,
    /// JSON.
    pub error: Option<Option<Text>>,
    /// A JSON object; replaces the old one.
    pub metadata: Option<Text>,
}

/// What a PATCH changes of a task. An inner `None` clears.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct TaskChange {
    /// The new status.
    pub status: Option<TaskStatus>,
    /// JSON.
    pub output: Option<Option<Text>>,
    /// JSON.
    pub error: Option<Option<Text>>,
    /// A JSON object; replaces the old one.
    pub metadata: Option<Text>,
    /// Id of the job in an external queue.
    pub queue_job_id: Option<String>,
    /// With a status that waits: how long it is kept from workers.
    pub delay: Option<Duration>,
}

/// A change of a task and who asks for it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ChangeTask {
    /// Owner.
    pub org_id: String,
    /// The task.
    pub id: TaskId,
    /// The change.
    pub change: TaskChange,
    /// The lease under which it is asked for. Without one it always happens, unless a job owns
    /// the task.
    pub lease: Option<AttemptRef>,
}

/// Several changes, each with an outcome of its own.
pub(super) struct Changes {
    pub(super) items: Arc<Vec<ChangeTask>>,
    pub(super) now: Timestamp,
}

pub(super) type Changed = Vec<Result<TaskRow, LedgerError>>;

pub(super) fn change_tasks(tx: &mut Tx<'_>, ops: &[Changes]) -> Outs<Changed> {
    let ids: Vec<TaskId> = (ops.iter())
        .flat_map(|op| op.items.iter().map(|item| item.id))
        .collect();
    let mut work = Work::lock(tx, &ids)?;
    let mut results = Vec::with_capacity(ops.len());
    let mut latest = Timestamp::default();
    for op in ops {
        latest = latest.max(op.now);
        let items = op.items.iter();
        let changed = items.map(|item| change_task(&mut work, item, op.now));
        results.push(Ok(changed.collect()));
    }
    work.save(tx, latest)?;
    Ok(results)
}

fn change_task(work: &mut Work, item: &ChangeTask, now: Timestamp) -> Result<TaskRow, LedgerError> {
    let entry = (work.get(item.id)).filter(|entry| entry.task.row.org_id == item.org_id);
    let entry = entry.ok_or(LedgerError::missing(Missing::Task))?;
    check_lease(entry, item)?;
    apply(entry, &item.change, now);
    Ok(entry.task.row.clone())
}

/// With a lease: only under the current one. What a job owns goes to the decision of its run.
fn check_lease(entry: &Entry, item: &ChangeTask) -> Result<(), LedgerError> {
    let current = entry.task.lease.as_ref().map(|lease| lease.attempt);
    let row = || Box::new(entry.task.row.clone());
    if entry.task.is_job_task {
        return match (item.lease, &item.change) {
            (None, change) if *change == TaskChange::default() => Ok(()),
            _ => Err(LedgerError::OwnedByJob(row())),
        };
    }
    match item.lease {
        Some(_) if item.lease != current => Err(LedgerError::LeaseLost(row())),
        Some(_) | None => Ok(()),
    }
}

fn apply(entry: &mut Entry, change: &TaskChange, now: Timestamp) {
    entry.touch(now);
    let row = &mut entry.task.row;
    if let Some(output) = &change.output {
        row.output.clone_from(output);
    }
    if let Some(error) = &change.error {
        row.error.clone_from(error);
    }
    if let Some(metadata) = &change.metadata {
        row.metadata = Some(metadata.clone());
    }
    if let Some(id) = &change.queue_job_id {
        row.queue_job_id = Some(id.clone());
        // An external queue has it from now on.
        row.waiting = None;
    }
    if let Some(status) = change.status {
        if status != TaskStatus::Running {
            entry.end_lease(status.as_str(), "", now);
        }
        entry.set_status(status, now);
        let waiting = waiting_after(&entry.task.row, status, change.delay, now);
        entry.wait(waiting);
    }
}

/// Where a task waits after a change to `status`: in our queue, unless an external one has it.
fn waiting_after(
    row: &TaskRow,
    status: TaskStatus,
    delay: Option<Duration>,
    now: Timestamp,
) -> Option<Waiting> {
    match status {
        TaskStatus::Running
        | TaskStatus::Completed
        | TaskStatus::Failed
        | TaskStatus::Cancelled => None,
        TaskStatus::Pending | TaskStatus::Queued | TaskStatus::Retrying => {
            match (&row.queue_job_id, delay) {
                (Some(_), _) => None,
                (None, Some(delay)) if !delay.is_zero() => Some(Waiting::Delayed(now.after(delay))),
                (None, _) => Some(row.waiting.unwrap_or(Waiting::Offered)),
            }
        }
    }
}

pub(super) fn change_run(
    tx: &mut Tx<'_>,
    org_id: &str,
    id: RunId,
    change: &RunChange,
    now: Timestamp,
) -> Result<RunRow, LedgerError> {
    let mut row = run::lock_run(tx, org_id, id)?.ok_or(LedgerError::missing(Missing::Run))?;
    if *change != RunChange::default() && run::is_job_run(tx, id)? {
        return Err(LedgerError::RunOwnedByJob);
    }
    row.updated_at = now;
    if let Some(output) = &change.output {
        row.output.clone_from(output);
    }
    if let Some(error) = &change.error {
        row.error.clone_from(error);
    }
    if let Some(metadata) = &change.metadata {
        row.metadata = Some(metadata.clone());
    }
    if let Some(status) = change.status {
        row.status = status;
        row.marks.change_run(status, row.created_at, now);
    }
    run::update_run(tx, &row)?;
    Ok(row)
}
