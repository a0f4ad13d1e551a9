//! Creating runs and tasks (`foreman-api` 7.1, 7.5).

use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

use colony_core::id::{Epoch, RunId, TaskId};
use colony_core::ledger::Marks;
use colony_core::state::{RunStatus, TaskStatus};
use colony_core::time::Timestamp;
use colony_store::ledger::run::{self, Growth, RunOwner};
use colony_store::ledger::task::{self, NewTask};
use colony_store::ledger::{RunRow, TaskRow, Waiting};
use colony_store::timer::{self, Timer};
use colony_store::{StoreError, Text, Tx, queue};

use super::error::{LedgerError, Missing};
use super::lanes::Outs;

/// A run to be created.
#[derive(Debug, Clone)]
pub struct CreateRun {
    /// Owner.
    pub org_id: String,
    /// JSON.
    pub input: Text,
    /// A JSON object.
    pub metadata: Option<Text>,
}

impl CreateRun {
    pub(super) fn row(self, id: RunId, now: Timestamp) -> RunRow {
        RunRow {
            id,
            org_id: self.org_id,
            status: RunStatus::Pending,
            input: self.input,
            output: None,
            error: None,
            metadata: self.metadata,
            total_tasks: 0,
            completed_tasks: 0,
            failed_tasks: 0,
            created_at: now,
            updated_at: now,
            marks: Marks::default(),
        }
    }
}

pub(super) fn create_runs(tx: &mut Tx<'_>, runs: &[RunRow]) -> Outs<RunRow> {
    run::insert_runs(tx, runs)?;
    Ok(runs.iter().cloned().map(Ok).collect())
}

/// A task to be created.
#[derive(Debug, Clone)]
pub struct TaskSpec {
    /// Its run.
    pub run_id: RunId,
    /// A task of the same run.
    pub parent_task_id: Option<TaskId>,
    /// What kind of work it is.
    pub kind: String,
    /// JSON.
    pub input: Text,
    /// A JSON object.
    pub metadata: Option<Text>,
    /// How often it should be tried again.
    pub max_retries: i64,
    /// Lower is claimed first.
    pub priority: i64,
    /// How long it is kept from workers.
    pub delay: Option<Duration>,
    /// At most one task of a run has a given key.
    pub dedupe_key: Option<String>,
}

/// Tasks to be created, all or none.
#[derive(Debug, Clone)]
pub struct CreateTasks {
    /// Owner.
    pub org_id: String,
    /// The tasks.
    pub tasks: Vec<TaskSpec>,
}

/// A task, and whether it was there before under the same key for deduplication.
#[derive(Debug, Clone, PartialEq)]
pub struct CreatedTask {
    /// The task.
    pub row: TaskRow,
    /// It was there before.
    pub existed: bool,
}

/// Tasks with ids and times.
pub(super) struct NewTasks {
    pub(super) org_id: String,
    pub(super) tasks: Vec<NewTask>,
}

impl CreateTasks {
    pub(super) fn rows(self, mut id: impl FnMut() -> TaskId, now: Timestamp) -> NewTasks {
        let org_id = self.org_id;
        let tasks = (self.tasks.into_iter())
            .map(|spec| NewTask {
                dedupe_key: spec.dedupe_key.clone(),
                row: row(&org_id, spec, id(), now),
            })
            .collect();
        NewTasks { org_id, tasks }
    }
}

fn row(org_id: &str, spec: TaskSpec, id: TaskId, now: Timestamp) -> TaskRow {
    let waiting = match spec.delay {
        Some(delay) if !delay.is_zero() => Waiting::Delayed(now.after(delay)),
        Some(_) | None => Waiting::Offered,
    };
    TaskRow {
        id,
        run_id: spec.run_id,
        parent_task_id: spec.parent_task_id,
        org_id: org_id.to_owned(),
        kind: spec.kind,
        status: TaskStatus::Pending,
        input: spec.input,
        output: None,
        error: None,
        metadata: spec.metadata,
        max_retries: spec.max_retries,
        queue_job_id: None,
        epoch: Epoch(0),
        created_at: now,
        updated_at: now,
        marks: Marks::default(),
        priority: spec.priority,
        waiting: Some(waiting),
    }
}

pub(super) fn create_tasks(tx: &mut Tx<'_>, ops: &[NewTasks]) -> Outs<Vec<CreatedTask>> {
    let all = || ops.iter().flat_map(|op| &op.tasks);
    let run_ids: Vec<RunId> = all().map(|task| task.row.run_id).collect();
    let parent_ids: Vec<TaskId> = all().filter_map(|task| task.row.parent_task_id).collect();
    let owners = run::lock_runs(tx, &run_ids)?;
    let parents = task::runs_of_tasks(tx, &parent_ids)?;
    let checked: Vec<Result<(), LedgerError>> =
        ops.iter().map(|op| check(op, &owners, &parents)).collect();
    let accepted: Vec<NewTask> = (ops.iter().zip(&checked))
        .filter(|(_, checked)| checked.is_ok())
        .flat_map(|(op, _)| op.tasks.iter().cloned())
        .collect();
    let stored = store(tx, &accepted)?;
    ops.iter()
        .zip(checked)
        .map(|(op, checked)| match checked {
            Ok(()) => created(tx, op, &stored).map(Ok),
            Err(error) => Ok(Err(error)),
        })
        .collect()
}

/// Whether runs and parents are there and belong to the caller.
fn check(
    op: &NewTasks,
    owners: &BTreeMap<RunId, RunOwner>,
    parents: &BTreeMap<TaskId, RunId>,
) -> Result<(), LedgerError> {
    for (item, NewTask { row, .. }) in op.tasks.iter().enumerate() {
        let owner = owners.get(&row.run_id);
        let Some(owner) = owner.filter(|owner| owner.org_id == op.org_id) else {
            let what = Missing::Run;
            return Err(LedgerError::Missing { what, item });
        };
        if owner.of_job {
            return Err(LedgerError::RunOwnedByJob);
        }
        let parent = row.parent_task_id.map(|id| parents.get(&id));
        if parent.is_some_and(|run_id| run_id != Some(&row.run_id)) {
            let what = Missing::Parent;
            return Err(LedgerError::Missing { what, item });
        }
    }
    Ok(())
}

/// Stores tasks, their places in the queues, and the counters of their runs.
fn store(tx: &mut Tx<'_>, tasks: &[NewTask]) -> Result<BTreeSet<TaskId>, StoreError> {
    let stored: BTreeSet<TaskId> = task::insert_tasks(tx, tasks)?.into_iter().collect();
    let mut growth = BTreeMap::<RunId, Growth>::new();
    let (mut queued, mut timers) = (Vec::new(), Vec::new());
    let mut now = Timestamp::default();
    for NewTask { row, .. } in tasks {
        if !stored.contains(&row.id) {
            continue;
        }
        growth.entry(row.run_id).or_default().total += 1;
        now = now.max(row.created_at);
        match row.waiting {
            Some(Waiting::Offered) => queued.push(row.place()),
            Some(Waiting::Delayed(due_at)) => timers.push(Timer::offer(row.id, due_at)),
            None => {}
        }
    }
    queue::insert(tx, &queued)?;
    timer::set(tx, &timers)?;
    run::grow_runs(tx, &growth, now)?;
    Ok(stored)
}

fn created(
    tx: &mut Tx<'_>,
    op: &NewTasks,
    stored: &BTreeSet<TaskId>,
) -> Result<Vec<CreatedTask>, StoreError> {
    let mut result = Vec::with_capacity(op.tasks.len());
    for NewTask { row, dedupe_key } in &op.tasks {
        let duplicate = match dedupe_key {
            Some(key) if !stored.contains(&row.id) => task::find_duplicate(tx, row.run_id, key)?,
            Some(_) | None => None,
        };
        result.push(CreatedTask {
            existed: duplicate.is_some(),
            row: duplicate.unwrap_or_else(|| row.clone()),
        });
    }
    Ok(result)
}
