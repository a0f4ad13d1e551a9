//! Runs of declared jobs: loading and storing what decisions are made on.

mod save;

use std::collections::BTreeMap;

use colony_core::id::{DefinitionId, RequestId, RunId, TaskId};
use colony_core::job::{JobError, JobRun, StopReason, TaskRun, Verdict};
use colony_core::plan::TaskPlan;
use colony_core::state::JobState;
use colony_core::time::Timestamp;

use crate::error::StoreError;
use crate::row::Row;
use crate::tx::Tx;
use crate::value::Json;

pub(crate) use save::error_json;
pub use save::{SaveJobRun, save_job_run};

/// A run of a job as stored.
#[derive(Debug, Clone)]
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
    /// Order among ready tasks: the negative priority of the request.
    pub rank: i64,
    /// What the Jobs API shows.
    pub job_state: JobState,
    /// What decisions read and change.
    pub run: JobRun,
    /// Ids of the tasks that were reached.
    pub task_ids: BTreeMap<String, TaskId>,
    /// Whether anything was written in it: run data.
    pub has_data: bool,
    /// What only the rows of a run that is not stored yet need.
    fresh: Option<FreshRun>,
}

impl JobRunRow {
    /// Name of a task that was reached.
    pub fn task_name(&self, id: TaskId) -> Option<String> {
        let mut names = self.task_ids.iter();
        names
            .find(|(_, known)| **known == id)
            .map(|(name, _)| name.clone())
    }
}

/// What is written once, when the rows of a run are made.
#[derive(Debug, Clone)]
struct FreshRun {
    input: String,
    metadata: String,
}

/// A run to be made.
#[derive(Debug, Clone)]
pub struct NewJobRun {
    /// Its id.
    pub run_id: RunId,
    /// Owner.
    pub org_id: String,
    /// The request that it executes.
    pub request_id: RequestId,
    /// The version that it executes.
    pub definition_id: DefinitionId,
    /// Requests of one organization and type queue under this key.
    pub schedule_key: String,
    /// The negative priority of the request.
    pub rank: i64,
    /// The request's parameters: a JSON object.
    pub input: String,
    /// What the Runs API shows beside it: a JSON object.
    pub metadata: String,
}

impl NewJobRun {
    /// The run in memory. [`save_job_run`] makes its rows together with the first decision.
    pub fn into_row(self, run: JobRun) -> JobRunRow {
        JobRunRow {
            run_id: self.run_id,
            org_id: self.org_id,
            request_id: self.request_id,
            definition_id: self.definition_id,
            schedule_key: self.schedule_key,
            rank: self.rank,
            job_state: JobState::Ready,
            run,
            task_ids: BTreeMap::new(),
            has_data: false,
            fresh: Some(FreshRun {
                input: self.input,
                metadata: self.metadata,
            }),
        }
    }
}

/// Loads a run of a job and locks it until the end of the transaction.
///
/// # Errors
///
/// The database's, or a row that makes no sense.
pub fn lock_job_run(tx: &mut Tx<'_>, run_id: RunId) -> Result<Option<JobRunRow>, StoreError> {
    let sql = format!(
        "SELECT org_id, request_id, definition_id, schedule_key, rank, job_state, phase, pass, \
         job_retries, retried, paused_count, task_runs, deadline_at, verdict, \
         skip_cleanup, EXISTS (SELECT 1 FROM run_data WHERE run_data.run_id = job_runs.run_id) \
         FROM job_runs JOIN runs ON runs.id = job_runs.run_id WHERE run_id = $1{}",
        tx.for_update()
    );
    let Some(row) = tx.query_opt(&sql, &[&run_id])? else {
        return Ok(None);
    };
    let (tasks, task_ids) = load_tasks(tx, run_id)?;
    let run = JobRun {
        phase: word(&row, "phase")?,
        pass: row.get(7)?,
        job_retries: row.get(8)?,
        retried: row.get(9)?,
        paused_count: row.get(10)?,
        task_runs: row.get(11)?,
        deadline: row.get::<Option<Timestamp>>(12)?.unwrap_or_default(),
        verdict: row.get::<Option<Json<Verdict>>>(13)?.map(|json| json.0),
        skip_cleanup: row.get(14)?,
        tasks,
    };
    Ok(Some(JobRunRow {
        run_id,
        org_id: row.get(0)?,
        request_id: row.get(1)?,
        definition_id: row.get(2)?,
        schedule_key: row.get(3)?,
        rank: row.get(4)?,
        job_state: row.get(5)?,
        run,
        task_ids,
        has_data: row.get(15)?,
        fresh: None,
    }))
}

type LoadedTasks = (BTreeMap<String, TaskRun>, BTreeMap<String, TaskId>);

fn load_tasks(tx: &mut Tx<'_>, run_id: RunId) -> Result<LoadedTasks, StoreError> {
    let rows = tx.query(
        "SELECT task_type, task_id, state, pass, seq, exit_code, error_code, error_message, \
         failed_attempts, retries, losses, deadline_at, stop, old_status, old_error_code, reused, \
         control FROM job_tasks WHERE run_id = $1",
        &[&run_id],
    )?;
    let mut tasks = BTreeMap::new();
    let mut ids = BTreeMap::new();
    for row in &rows {
        let name: String = row.get(0)?;
        ids.insert(name.clone(), row.get(1)?);
        tasks.insert(name, task_run(row)?);
    }
    Ok((tasks, ids))
}

fn task_run(row: &Row) -> Result<TaskRun, StoreError> {
    let code: String = row.get(6)?;
    let message: String = row.get(7)?;
    let old_status: Option<String> = row.get(13)?;
    let old_code: Option<String> = row.get(14)?;
    let stop: Option<&str> = row.get(12)?;
    Ok(TaskRun {
        state: row.get(2)?,
        pass: row.get(3)?,
        seq: row.get(4)?,
        exit_code: row.get(5)?,
        error: (!code.is_empty()).then_some(JobError { code, message }),
        failed_attempts: row.get(8)?,
        retries: row.get(9)?,
        losses: row.get(10)?,
        deadline: row.get(11)?,
        stop: stop.map(|_| word::<StopReason>(row, "stop")).transpose()?,
        overridden: old_status.zip(old_code),
        reused: row.get(15)?,
        control: row
            .get::<Option<Json<Box<TaskPlan>>>>(16)?
            .map(|json| json.0),
    })
}

/// Reads an enumeration that is stored as its serde word.
fn word<T: serde::de::DeserializeOwned>(row: &Row, column: &str) -> Result<T, StoreError> {
    let text: &str = row.get(column)?;
    let value = serde_json::Value::String(text.to_owned());
    serde_json::from_value(value).map_err(|error| row.misfit(column, error.to_string()))
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
        "SELECT task_type, exit_code FROM job_tasks WHERE run_id = $1 AND state = 'COMPLETED'",
        &[&run_id],
    )?;
    rows.iter()
        .map(|row| Ok((row.get(0)?, TaskRun::completed_before(row.get(1)?))))
        .collect()
}

/// Notes how a task's fields were rendered for this run, where that changes its control flow.
///
/// # Errors
///
/// The database's.
pub fn set_control(
    tx: &mut Tx<'_>,
    run_id: RunId,
    task: &str,
    control: &TaskPlan,
) -> Result<(), StoreError> {
    tx.send(
        "UPDATE job_tasks SET control = $3 WHERE run_id = $1 AND task_type = $2",
        &[&run_id, &task, &Json(control)],
    )?;
    Ok(())
}

/// Changes until when all attempts of a leased task together may last.
///
/// # Errors
///
/// The database's.
pub fn set_deadline(
    tx: &mut Tx<'_>,
    run_id: RunId,
    task: &str,
    deadline: Timestamp,
) -> Result<(), StoreError> {
    tx.send(
        "UPDATE job_tasks SET deadline_at = $3 WHERE run_id = $1 AND task_type = $2",
        &[&run_id, &task, &deadline],
    )?;
    tx.send(
        "UPDATE leases SET deadline_at = $3 WHERE run_id = $1 AND task_id = \
         (SELECT task_id FROM job_tasks WHERE run_id = $1 AND task_type = $2)",
        &[&run_id, &task, &deadline],
    )?;
    Ok(())
}

/// What the Runs API shows of a run that ended: JSON of what its tasks exported, and why it
/// failed.
///
/// # Errors
///
/// The database's.
pub fn set_result(
    tx: &mut Tx<'_>,
    run_id: RunId,
    output: Option<&str>,
    error: Option<&JobError>,
) -> Result<(), StoreError> {
    tx.send(
        "UPDATE runs SET output = $2, error = $3 WHERE id = $1",
        &[&run_id, &output, &error_json(error)],
    )?;
    Ok(())
}

/// How many runs of a schedule key hold a slot.
///
/// # Errors
///
/// The database's.
pub fn slots_taken(tx: &mut Tx<'_>, schedule_key: &str) -> Result<u32, StoreError> {
    let sql = "SELECT taken FROM slots WHERE schedule_key = $1";
    let row = tx.query_opt(sql, &[&schedule_key])?;
    let taken: i64 = row.map_or(Ok(0), |row| row.get(0))?;
    Ok(u32::try_from(taken.max(0)).unwrap_or(u32::MAX))
}

/// Runs whose deadline passed. Each is given once: its deadline is cleared.
///
/// # Errors
///
/// The database's.
pub fn take_overdue_runs(
    tx: &mut Tx<'_>,
    now: Timestamp,
    limit: u32,
) -> Result<Vec<RunId>, StoreError> {
    let sql = format!(
        "SELECT run_id FROM job_runs WHERE deadline_at IS NOT NULL AND deadline_at <= $1 \
         ORDER BY deadline_at LIMIT {limit}"
    );
    let runs = tx
        .query(&sql, &[&now])?
        .iter()
        .map(|row| row.get(0))
        .collect::<Result<Vec<RunId>, _>>()?;
    for run_id in &runs {
        tx.send(
            "UPDATE job_runs SET deadline_at = NULL WHERE run_id = $1",
            &[run_id],
        )?;
    }
    Ok(runs)
}

/// Id of a job's task by its name.
///
/// # Errors
///
/// The database's.
pub fn find_task(
    tx: &mut Tx<'_>,
    run_id: RunId,
    task_type: &str,
) -> Result<Option<TaskId>, StoreError> {
    let sql = "SELECT task_id FROM job_tasks WHERE run_id = $1 AND task_type = $2";
    tx.query_opt(sql, &[&run_id, &task_type])?
        .map(|row| row.get(0))
        .transpose()
}

/// Gives up a run that waits: its request goes on with a new one.
///
/// # Errors
///
/// The database's.
pub fn abandon_run(tx: &mut Tx<'_>, run_id: RunId, now: Timestamp) -> Result<(), StoreError> {
    tx.send(
        "UPDATE job_runs SET phase = 'ended', job_state = 'CANCELLED', occupies_slot = FALSE, \
         deadline_at = NULL, current_task = NULL WHERE run_id = $1",
        &[&run_id],
    )?;
    tx.send(
        "UPDATE runs SET status = 'cancelled', updated_at = $2, completed_at = $2, \
         duration_ms = $2 - started_at WHERE id = $1",
        &[&run_id, &now],
    )?;
    tx.send(
        "UPDATE tasks SET status = 'cancelled', updated_at = $2, completed_at = $2 \
         WHERE run_id = $1 AND status NOT IN ('completed', 'failed', 'cancelled')",
        &[&run_id, &now],
    )?;
    tx.send(
        "UPDATE job_tasks SET state = 'CANCELLED', ended_at = $2 \
         WHERE run_id = $1 AND state NOT IN ('COMPLETED', 'FAILED', 'CANCELLED')",
        &[&run_id, &now],
    )?;
    Ok(())
}

/// Name of a job's task by its id.
///
/// # Errors
///
/// The database's.
pub fn task_name(
    tx: &mut Tx<'_>,
    run_id: RunId,
    task_id: TaskId,
) -> Result<Option<String>, StoreError> {
    let sql = "SELECT task_type FROM job_tasks WHERE run_id = $1 AND task_id = $2";
    tx.query_opt(sql, &[&run_id, &task_id])?
        .map(|row| row.get(0))
        .transpose()
}
