//! Job executions as people look at them.

use colony_core::id::{DefinitionId, RequestId, RunId, TaskId};
use colony_core::job::Verdict;
use colony_core::state::{JobState, JobTaskState};
use colony_core::time::Timestamp;

use crate::error::StoreError;
use crate::row::Row;
use crate::tx::Tx;
use crate::value::Json;

/// A job execution.
#[derive(Debug, Clone)]
pub struct ExecutionRow {
    /// The run.
    pub run_id: RunId,
    /// Owner.
    pub org_id: String,
    /// Its request.
    pub request_id: RequestId,
    /// The version that it executes.
    pub definition_id: DefinitionId,
    /// Where it is.
    pub job_state: JobState,
    /// Task at work.
    pub current_task: Option<String>,
    /// `JobRetry`: retries, restarts and resumptions of the request so far.
    pub retried: u32,
    /// How it ends, once that is known.
    pub verdict: Option<Verdict>,
    /// When it started.
    pub started_at: Timestamp,
    /// When it ended.
    pub ended_at: Option<Timestamp>,
    /// Last change.
    pub updated_at: Timestamp,
    /// Its tasks in the order in which they were started.
    pub tasks: Vec<TaskExecutionRow>,
}

/// A task of a job execution.
#[derive(Debug, Clone)]
pub struct TaskExecutionRow {
    /// The task.
    pub id: TaskId,
    /// Its name.
    pub task_type: String,
    /// Place in the definition, from 0.
    pub order: i64,
    /// Name of its method.
    pub method: String,
    /// Its failure does not fail the job.
    pub allow_failure: bool,
    /// Where it is.
    pub state: JobTaskState,
    /// Exit code of its last attempt.
    pub exit_code: String,
    /// Why it failed; empty otherwise.
    pub error_code: String,
    /// Why it failed.
    pub error_message: String,
    /// The command that failed, secrets masked.
    pub failed_command: String,
    /// Attempts and polls before the last one.
    pub retries: u32,
    /// Its result was taken over from an earlier execution.
    pub reused: bool,
    /// State and error code before a route of its exit code changed them.
    pub overridden: Option<(String, String)>,
    /// Ant of its last attempt.
    pub ant_id: String,
    /// Host of that ant.
    pub ant_host: String,
    /// What went wrong without changing the outcome.
    pub warnings: Vec<String>,
    /// When its first attempt started.
    pub started_at: Option<Timestamp>,
    /// When it ended.
    pub ended_at: Option<Timestamp>,
    /// Last change.
    pub updated_at: Timestamp,
}

/// The execution in that run.
///
/// # Errors
///
/// The database's.
pub fn find_execution(tx: &mut Tx<'_>, run_id: RunId) -> Result<Option<ExecutionRow>, StoreError> {
    let row = tx.query_opt(
        "SELECT org_id, request_id, definition_id, job_state, current_task, verdict, created_at, \
         completed_at, updated_at, retried FROM runs WHERE id = $1 AND request_id IS NOT NULL",
        &[&run_id],
    )?;
    let Some(row) = row else { return Ok(None) };
    let tasks = tx.query(
        "SELECT id, job_task, task_order, method, allow_failure, job_state, exit_code, \
         error_code, error_message, failed_command, retry_count, reused, ant_id, ant_host, \
         warnings, started_at, completed_at, updated_at, old_status, old_error_code \
         FROM tasks WHERE run_id = $1 AND job_task IS NOT NULL ORDER BY seq, task_order",
        &[&run_id],
    )?;
    Ok(Some(ExecutionRow {
        run_id,
        org_id: row.get(0)?,
        request_id: row.get(1)?,
        definition_id: row.get(2)?,
        job_state: row.get(3)?,
        current_task: row.get(4)?,
        verdict: row.get::<Option<Json<Verdict>>>(5)?.map(|json| json.0),
        started_at: row.get(6)?,
        ended_at: row.get(7)?,
        updated_at: row.get(8)?,
        retried: row.get(9)?,
        tasks: tasks.iter().map(task).collect::<Result<_, _>>()?,
    }))
}

fn task(row: &Row) -> Result<TaskExecutionRow, StoreError> {
    let warnings: Option<Json<Vec<String>>> = row.get(14)?;
    let (status, code): (Option<String>, Option<String>) = (row.get(18)?, row.get(19)?);
    Ok(TaskExecutionRow {
        id: row.get(0)?,
        task_type: row.get(1)?,
        order: row.get(2)?,
        method: row.get(3)?,
        allow_failure: row.get(4)?,
        state: row.get(5)?,
        exit_code: row.get(6)?,
        error_code: row.get(7)?,
        error_message: row.get(8)?,
        failed_command: row.get(9)?,
        retries: row.get(10)?,
        reused: row.get(11)?,
        overridden: status.zip(code),
        ant_id: row.get(12)?,
        ant_host: row.get(13)?,
        warnings: warnings.map(|json| json.0).unwrap_or_default(),
        started_at: row.get(15)?,
        ended_at: row.get(16)?,
        updated_at: row.get(17)?,
    })
}

/// What a report says of a task beside its outcome.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct ReportDetails {
    /// The command that failed, secrets masked.
    pub failed_command: String,
    /// What went wrong without changing the outcome.
    pub warnings: Vec<String>,
    /// Stdout of `script` items.
    pub stdout: Vec<String>,
}
