//! Rows of the ledger. JSON stays text: it is shown as it was stored.

use colony_core::id::{Epoch, RunDataId, RunId, TaskId};
use colony_core::ledger::Marks;
use colony_core::queue_key;
use colony_core::state::{RunStatus, TaskStatus};
use colony_core::time::Timestamp;

use crate::error::StoreError;
use crate::queue::QueuedTask;
use crate::row::Row;
use crate::text::Text;
use crate::value::{Json, Param};

/// A run (`foreman-api` 6.1).
#[derive(Debug, Clone, PartialEq, Hash)]
pub struct RunRow {
    /// Its id.
    pub id: RunId,
    /// Owner.
    pub org_id: String,
    /// Where it is.
    pub status: RunStatus,
    /// JSON.
    pub input: Text,
    /// JSON.
    pub output: Option<Text>,
    /// JSON.
    pub error: Option<Text>,
    /// A JSON object.
    pub metadata: Option<Text>,
    /// Tasks ever created in it.
    pub total_tasks: i64,
    /// Tasks that completed.
    pub completed_tasks: i64,
    /// Tasks that failed.
    pub failed_tasks: i64,
    /// When it was created.
    pub created_at: Timestamp,
    /// Last change of the row.
    pub updated_at: Timestamp,
    /// Times that its status changes left.
    pub marks: Marks,
}

pub(super) const RUN_COLUMNS: &str = "id, org_id, status, input, output, error, metadata, \
     total_tasks, completed_tasks, failed_tasks, created_at, updated_at, started_at, \
     completed_at, duration_ms";

pub(super) fn run(row: &Row) -> Result<RunRow, StoreError> {
    Ok(RunRow {
        id: row.get(0)?,
        org_id: row.get(1)?,
        status: row.get(2)?,
        input: row.get(3)?,
        output: row.get(4)?,
        error: row.get(5)?,
        metadata: row.get(6)?,
        total_tasks: row.get(7)?,
        completed_tasks: row.get(8)?,
        failed_tasks: row.get(9)?,
        created_at: row.get(10)?,
        updated_at: row.get(11)?,
        marks: Marks {
            queued_at: None,
            started_at: row.get(12)?,
            completed_at: row.get(13)?,
            duration_ms: row.get(14)?,
            retry_count: 0,
        },
    })
}

/// Where a task waits for a worker.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Waiting {
    /// Any worker of the organization may claim it.
    Offered,
    /// It is offered at that time.
    Delayed(Timestamp),
}

/// A task (`foreman-api` 6.2).
#[derive(Debug, Clone, PartialEq, Hash)]
pub struct TaskRow {
    /// Its id.
    pub id: TaskId,
    /// Its run.
    pub run_id: RunId,
    /// A task of the same run.
    pub parent_task_id: Option<TaskId>,
    /// Owner.
    pub org_id: String,
    /// What kind of work it is.
    pub kind: String,
    /// Where it is.
    pub status: TaskStatus,
    /// JSON.
    pub input: Text,
    /// JSON.
    pub output: Option<Text>,
    /// JSON.
    pub error: Option<Text>,
    /// A JSON object.
    pub metadata: Option<Text>,
    /// How often it should be tried again.
    pub max_retries: i64,
    /// Id of the job in an external queue.
    pub queue_job_id: Option<String>,
    /// Number of its latest lease.
    pub epoch: Epoch,
    /// When it was created.
    pub created_at: Timestamp,
    /// Last change.
    pub updated_at: Timestamp,
    /// Times that its status changes left, and its retries.
    pub marks: Marks,
    /// Lower is claimed first.
    pub priority: i64,
    /// Where it waits for a worker.
    pub waiting: Option<Waiting>,
}

impl TaskRow {
    /// Its place in the queue, as the task of a program.
    pub fn place(&self) -> QueuedTask {
        QueuedTask {
            key: queue_key::worker(&self.org_id, &self.kind),
            rank: self.priority,
            flow: String::new(),
            task_id: self.id,
            run_id: self.run_id,
            timeout_ms: None,
        }
    }
}

/// The columns of [`TaskRow`], of a table named `tasks`.
pub(super) const TASK_COLUMNS: &str = "tasks.id, tasks.run_id, tasks.parent_task_id, \
     tasks.org_id, tasks.type, tasks.status, tasks.input, tasks.output, tasks.error, \
     tasks.metadata, tasks.max_retries, tasks.queue_job_id, tasks.epoch, tasks.created_at, \
     tasks.updated_at, tasks.queued_at, tasks.started_at, tasks.completed_at, \
     tasks.duration_ms, tasks.retry_count, tasks.priority, tasks.waiting, tasks.due_at";

/// How many columns that are.
pub(super) const TASK_WIDTH: usize = 23;

pub(super) fn task(row: &Row) -> Result<TaskRow, StoreError> {
    Ok(TaskRow {
        id: row.get(0)?,
        run_id: row.get(1)?,
        parent_task_id: row.get(2)?,
        org_id: row.get(3)?,
        kind: row.get(4)?,
        status: row.get(5)?,
        input: row.get(6)?,
        output: row.get(7)?,
        error: row.get(8)?,
        metadata: row.get(9)?,
        max_retries: row.get(10)?,
        queue_job_id: row.get(11)?,
        epoch: row.get(12)?,
        created_at: row.get(13)?,
        updated_at: row.get(14)?,
        marks: Marks {
            queued_at: row.get(15)?,
            started_at: row.get(16)?,
            completed_at: row.get(17)?,
            duration_ms: row.get(18)?,
            retry_count: row.get(19)?,
        },
        priority: row.get(20)?,
        waiting: waiting(row)?,
    })
}

fn waiting(row: &Row) -> Result<Option<Waiting>, StoreError> {
    match row.get::<Option<&str>>(21)? {
        None => Ok(None),
        Some("offered") => Ok(Some(Waiting::Offered)),
        Some("delayed") => Ok(Some(Waiting::Delayed(row.get(22)?))),
        Some(other) => Err(row.misfit("waiting", format!("unknown word `{other}`"))),
    }
}

impl Waiting {
    /// The column `waiting`.
    pub(super) fn word(this: Option<Self>) -> Param<'static> {
        match this {
            None => Param::Null,
            Some(Self::Offered) => Param::Text("offered".into()),
            Some(Self::Delayed(_)) => Param::Text("delayed".into()),
        }
    }

    /// The column `due_at`.
    pub(super) fn due_at(this: Option<Self>) -> Param<'static> {
        match this {
            Some(Self::Delayed(due_at)) => Param::Int(due_at.as_millis()),
            Some(Self::Offered) | None => Param::Null,
        }
    }
}

/// An entry of run data (`foreman-api` 6.3).
#[derive(Debug, Clone, PartialEq)]
pub struct DataRow {
    /// Its id; a greater one was written later.
    pub id: RunDataId,
    /// Its run.
    pub run_id: RunId,
    /// The task that wrote it.
    pub task_id: TaskId,
    /// Owner.
    pub org_id: String,
    /// Its name.
    pub key: String,
    /// JSON.
    pub value: Text,
    /// In the order in which they were given.
    pub tags: Vec<String>,
    /// A JSON object.
    pub metadata: Option<Text>,
    /// When it was written.
    pub created_at: Timestamp,
    /// Last change of its tags.
    pub updated_at: Timestamp,
}

/// The columns of [`DataRow`].
pub(super) const DATA_COLUMNS: &str =
    "id, run_id, task_id, org_id, key, value, tags, metadata, created_at, updated_at";

pub(super) fn data(row: &Row) -> Result<DataRow, StoreError> {
    Ok(DataRow {
        id: row.get(0)?,
        run_id: row.get(1)?,
        task_id: row.get(2)?,
        org_id: row.get(3)?,
        key: row.get(4)?,
        value: row.get(5)?,
        tags: row.get::<Json<Vec<String>>>(6)?.0,
        metadata: row.get(7)?,
        created_at: row.get(8)?,
        updated_at: row.get(9)?,
    })
}
