//! Runs of declared jobs: loading and storing what decisions are made on.

mod load;
mod save;

use std::collections::{BTreeMap, BTreeSet};

use colony_core::id::{DefinitionId, Epoch, RequestId, RunId, TaskId};
use colony_core::job::{JobRun, TaskRun};
use colony_core::queue_key;
use colony_core::state::JobState;
use colony_core::time::Timestamp;

use crate::error::StoreError;
use crate::execution::ReportDetails;
use crate::lease::Lease;
use crate::queue::QueuedTask;
use crate::text::Text;
use crate::tx::Tx;

pub use load::{LoadedRuns, find_run, lock_runs};
pub use save::error_json;
pub use save::{RunResult, RunWrite, occupies_slot};
pub(crate) use save::{insert_runs, insert_tasks, update_runs, update_tasks};

/// A run of a job as stored.
#[derive(Debug, Clone, PartialEq)]
pub struct JobRunRow {
    /// The run.
    pub run_id: RunId,
    /// Owner.
    pub org_id: String,
    /// The request that it executes.
    pub request_id: RequestId,
    /// The version that it executes.
    pub definition_id: DefinitionId,
    /// Requests of one organization and type queue under this key.
    pub schedule_key: String,
    /// Order among queued tasks: the negative priority of the request.
    pub rank: i64,
    /// What the Jobs API shows.
    pub job_state: JobState,
    /// When it was made.
    pub created_at: Timestamp,
    /// What decisions read and change.
    pub run: JobRun,
    /// What rows say of the tasks that were reached, beside their records in `run`.
    pub tasks: BTreeMap<String, JobTaskRow>,
    /// Whether anything was written in it: run data.
    pub has_data: bool,
    /// Set while it is not stored: parameters and what the Runs API shows beside them, both JSON
    /// objects.
    pub fresh: Option<(String, String)>,
}

impl JobRunRow {
    /// Name of a task that was reached.
    pub fn task_name(&self, id: TaskId) -> Option<&str> {
        let mut tasks = self.tasks.iter();
        tasks
            .find(|(_, row)| row.id == id)
            .map(|(name, _)| name.as_str())
    }

    /// Ids of the tasks that were reached.
    pub fn task_ids(&self) -> Vec<TaskId> {
        self.tasks.values().map(|task| task.id).collect()
    }

    /// The place in the queue of a task under a key.
    pub fn place(&self, task_id: TaskId, key: &str, timeout_ms: Option<i64>) -> QueuedTask {
        // Workers take what they claim in the order in which it came.
        let in_flows = key < queue_key::ANT_END || key == queue_key::RENDER;
        QueuedTask {
            key: key.to_owned(),
            rank: self.rank,
            flow: if in_flows {
                self.schedule_key.clone()
            } else {
                String::new()
            },
            task_id,
            run_id: self.run_id,
            timeout_ms,
        }
    }
}

/// What rows say of a job's task beside its record.
#[derive(Debug, Clone, PartialEq)]
pub struct JobTaskRow {
    /// The task.
    pub id: TaskId,
    /// Number of its latest lease.
    pub epoch: Epoch,
    /// When it was first reached.
    pub created_at: Timestamp,
    /// When its first attempt started.
    pub started_at: Option<Timestamp>,
    /// When it ended.
    pub ended_at: Option<Timestamp>,
    /// Who did its last attempt.
    pub ant_id: String,
    /// Host of that ant.
    pub ant_host: String,
    /// The key under which it is queued.
    pub queue_key: Option<String>,
    /// Its lease.
    pub lease: Option<Lease>,
    /// What its last report said, when it is to be stored.
    pub details: Option<ReportDetails>,
    /// What workers see of it, when that is to be stored.
    pub shown: Option<Shown>,
}

impl JobTaskRow {
    /// A task that was just reached.
    pub fn new(id: TaskId, now: Timestamp) -> Self {
        Self {
            id,
            epoch: Epoch(0),
            created_at: now,
            started_at: None,
            ended_at: None,
            ant_id: String::new(),
            ant_host: String::new(),
            queue_key: None,
            lease: None,
            details: None,
            shown: None,
        }
    }
}

/// A job's task as workers see it. `None` leaves as it is, an inner `None` clears.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Shown {
    /// The type under which it is claimed.
    pub kind: Option<String>,
    /// JSON.
    pub input: Option<Text>,
    /// A JSON object.
    pub metadata: Option<Text>,
    /// JSON.
    pub output: Option<Option<Text>>,
    /// JSON.
    pub error: Option<Option<Text>>,
}

impl Shown {
    /// What was said, with what is said after it.
    #[must_use]
    pub fn then(self, later: Self) -> Self {
        Self {
            kind: later.kind.or(self.kind),
            input: later.input.or(self.input),
            metadata: later.metadata.or(self.metadata),
            output: later.output.or(self.output),
            error: later.error.or(self.error),
        }
    }
}

/// Completed tasks of a run that a later execution of the same request may reuse.
///
/// # Errors
///
/// The database's.
pub fn reusable_tasks(
    tx: &mut Tx<'_>,
    run_id: RunId,
) -> Result<BTreeMap<String, TaskRun>, StoreError> {
    let rows = tx.query(
        "SELECT job_task, exit_code FROM tasks WHERE run_id = $1 AND job_state = 'COMPLETED'",
        &[&run_id],
    )?;
    rows.iter()
        .map(|row| Ok((row.get(0)?, TaskRun::completed_before(row.get(1)?))))
        .collect()
}

/// How many runs of some schedule keys hold a slot, locked until the end of the transaction. Keys
/// without any are left out.
///
/// # Errors
///
/// The database's.
pub fn lock_slots(tx: &mut Tx<'_>, keys: &[String]) -> Result<BTreeMap<String, u32>, StoreError> {
    let lock = tx.for_update();
    let sql = format!(
        "SELECT schedule_key, taken FROM slots WHERE schedule_key IN ({{list}}) \
         ORDER BY schedule_key{lock}"
    );
    taken(tx, &sql, keys)
}

/// How many runs of some schedule keys hold a slot. Keys without any are left out.
///
/// # Errors
///
/// The database's.
pub fn slots_taken(tx: &mut Tx<'_>, keys: &[String]) -> Result<BTreeMap<String, u32>, StoreError> {
    let sql = "SELECT schedule_key, taken FROM slots WHERE schedule_key IN ({list})";
    taken(tx, sql, keys)
}

fn taken(tx: &mut Tx<'_>, sql: &str, keys: &[String]) -> Result<BTreeMap<String, u32>, StoreError> {
    let rows = tx.query_list(sql, &[], keys)?;
    rows.iter()
        .map(|row| {
            let taken: i64 = row.get(1)?;
            Ok((row.get(0)?, u32::try_from(taken.max(0)).unwrap_or(u32::MAX)))
        })
        .collect()
}

/// Runs whose deadline passed.
///
/// # Errors
///
/// The database's.
pub fn overdue_runs(tx: &mut Tx<'_>, now: Timestamp, limit: u32) -> Result<Vec<RunId>, StoreError> {
    let sql = format!(
        "SELECT id FROM runs WHERE deadline_at IS NOT NULL AND deadline_at <= $1 \
         ORDER BY deadline_at LIMIT {limit}"
    );
    let rows = tx.query(&sql, &[&now])?;
    rows.iter().map(|row| row.get(0)).collect()
}

/// Runs of tasks that jobs own; others are left out.
///
/// # Errors
///
/// The database's.
pub fn runs_of_job_tasks(
    tx: &mut Tx<'_>,
    ids: &[TaskId],
) -> Result<BTreeMap<TaskId, RunId>, StoreError> {
    let sql = "SELECT id, run_id FROM tasks WHERE id IN ({list}) AND job_task IS NOT NULL";
    let rows = tx.query_list(sql, &[], ids)?;
    rows.iter()
        .map(|row| Ok((row.get(0)?, row.get(1)?)))
        .collect()
}

/// Those of some runs of jobs that are there.
///
/// # Errors
///
/// The database's.
pub fn existing(tx: &mut Tx<'_>, ids: &[RunId]) -> Result<BTreeSet<RunId>, StoreError> {
    let sql = "SELECT id FROM runs WHERE id IN ({list}) AND request_id IS NOT NULL";
    let rows = tx.query_list(sql, &[], ids)?;
    rows.iter().map(|row| row.get(0)).collect()
}

/// Id of a job's task by its name.
///
/// # Errors
///
/// The database's.
pub fn find_task(tx: &mut Tx<'_>, run_id: RunId, name: &str) -> Result<Option<TaskId>, StoreError> {
    let sql = "SELECT id FROM tasks WHERE run_id = $1 AND job_task = $2";
    let row = tx.query_opt(sql, &[&run_id, &name])?;
    row.map(|row| row.get(0)).transpose()
}

/// Gives up a run that waits: its request goes on with a new one.
///
/// # Errors
///
/// The database refused it.
pub fn abandon_run(tx: &mut Tx<'_>, run_id: RunId, now: Timestamp) -> Result<(), StoreError> {
    tx.send(
        "UPDATE runs SET phase = 'ended', job_state = 'CANCELLED', occupies_slot = FALSE, \
         deadline_at = NULL, current_task = NULL, status = 'cancelled', updated_at = $2, \
         completed_at = $2, duration_ms = $2 - started_at WHERE id = $1",
        &[&run_id, &now],
    )?;
    tx.send(
        "UPDATE tasks SET status = 'cancelled', job_state = 'CANCELLED', updated_at = $2, \
         completed_at = $2 WHERE run_id = $1 \
         AND job_state NOT IN ('COMPLETED', 'FAILED', 'CANCELLED')",
        &[&run_id, &now],
    )
}
