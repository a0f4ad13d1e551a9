//! Loading runs with their tasks, and locking them.

use std::collections::BTreeMap;

use colony_core::id::{Epoch, RunId, TaskId};
use colony_core::job::{JobError, JobRun, StopReason, TaskRun, Verdict};
use colony_core::plan::TaskPlan;
use colony_core::time::Timestamp;

use super::{JobRunRow, JobTaskRow};
use crate::error::StoreError;
use crate::lease::{LEASE_COLUMNS, lease_at};
use crate::row::Row;
use crate::tx::{Dialect, Tx};
use crate::value::Json;

/// Runs of jobs by id; one whose rows make no sense has the reason instead.
pub type LoadedRuns = BTreeMap<RunId, Result<JobRunRow, StoreError>>;

/// Loads runs of jobs with their tasks and leases, and locks them until the end of the transaction,
/// in the order of their ids. Others are left out; with `skip_locked` also those that somebody else
/// has locked.
///
/// # Errors
///
/// The database's.
pub fn lock_runs(
    tx: &mut Tx<'_>,
    ids: &[RunId],
    skip_locked: bool,
) -> Result<LoadedRuns, StoreError> {
    if ids.is_empty() {
        return Ok(LoadedRuns::new());
    }
    let mut ids = ids.to_vec();
    ids.sort_unstable();
    ids.dedup();
    // New rows may refer to the run meanwhile: its key stays.
    let lock = match (tx.dialect(), skip_locked) {
        (Dialect::Sqlite, _) => "",
        (Dialect::Postgres, false) => " FOR NO KEY UPDATE",
        (Dialect::Postgres, true) => " FOR NO KEY UPDATE SKIP LOCKED",
    };
    let sql = format!(
        "SELECT {RUN} FROM runs WHERE id IN ({{list}}) AND request_id IS NOT NULL ORDER BY id{lock}"
    );
    let rows = tx.query_list(&sql, &[], &ids)?;
    let mut runs = LoadedRuns::new();
    for row in &rows {
        runs.insert(row.get(0)?, run(row));
    }
    let ids: Vec<RunId> = runs.keys().copied().collect();
    load_tasks(tx, &ids, &mut runs)?;
    Ok(runs)
}

/// Loads a run of a job without locking it.
///
/// # Errors
///
/// The database's, or a row that makes no sense.
pub fn find_run(tx: &mut Tx<'_>, id: RunId) -> Result<Option<JobRunRow>, StoreError> {
    let sql = format!("SELECT {RUN} FROM runs WHERE id = $1 AND request_id IS NOT NULL");
    let Some(row) = tx.query_opt(&sql, &[&id])? else {
        return Ok(None);
    };
    let mut runs = LoadedRuns::from([(id, run(&row))]);
    load_tasks(tx, &[id], &mut runs)?;
    runs.remove(&id).transpose()
}

const RUN: &str = "id, org_id, request_id, definition_id, schedule_key, rank, job_state, phase, \
     pass, job_retries, retried, paused_count, task_runs, deadline_at, verdict, skip_cleanup, \
     created_at";

fn run(row: &Row) -> Result<JobRunRow, StoreError> {
    Ok(JobRunRow {
        run_id: row.get(0)?,
        org_id: row.get(1)?,
        request_id: row.get(2)?,
        definition_id: row.get(3)?,
        schedule_key: row.get(4)?,
        rank: row.get(5)?,
        job_state: row.get(6)?,
        created_at: row.get(16)?,
        run: JobRun {
            phase: word(row, "phase")?,
            pass: row.get(8)?,
            job_retries: row.get(9)?,
            retried: row.get(10)?,
            paused_count: row.get(11)?,
            task_runs: row.get(12)?,
            deadline: row.get::<Option<Timestamp>>(13)?.unwrap_or_default(),
            verdict: row.get::<Option<Json<Verdict>>>(14)?.map(|json| json.0),
            skip_cleanup: row.get(15)?,
            tasks: BTreeMap::new(),
        },
        tasks: BTreeMap::new(),
        has_data: false,
        fresh: None,
    })
}

const TASK: &str = "tasks.run_id, tasks.job_task, tasks.id, tasks.epoch, tasks.created_at, \
     tasks.started_at, tasks.completed_at, tasks.ant_id, tasks.ant_host, tasks.queue_key, \
     tasks.job_state, tasks.pass, tasks.seq, tasks.exit_code, tasks.error_code, \
     tasks.error_message, tasks.failed_attempts, tasks.retry_count, tasks.losses, \
     tasks.deadline_at, tasks.stop AS stop_reason, tasks.old_status, tasks.old_error_code, \
     tasks.reused, tasks.control";

/// How many columns [`TASK`] are.
const TASK_WIDTH: usize = 25;

fn load_tasks(tx: &mut Tx<'_>, ids: &[RunId], runs: &mut LoadedRuns) -> Result<(), StoreError> {
    // Whether there is data is asked here, after the wait for the lock: what was written meanwhile counts.
    let sql = format!(
        "SELECT {TASK}, {LEASE_COLUMNS}, \
         EXISTS (SELECT 1 FROM run_data WHERE run_data.run_id = tasks.run_id) AS has_data FROM tasks LEFT JOIN leases ON leases.task_id = tasks.id \
         WHERE tasks.run_id IN ({{list}}) AND tasks.job_task IS NOT NULL"
    );
    for row in &tx.query_list(&sql, &[], ids)? {
        let Some(loaded) = runs.get_mut(&row.get::<RunId>(0)?) else {
            continue;
        };
        let added = match loaded {
            Ok(run) => add_task(run, row),
            Err(_) => continue,
        };
        if let Err(error) = added {
            *loaded = Err(error);
        }
    }
    Ok(())
}

fn add_task(run: &mut JobRunRow, row: &Row) -> Result<(), StoreError> {
    let name: String = row.get(1)?;
    run.has_data |= row.get::<bool>("has_data")?;
    run.tasks.insert(name.clone(), task_row(row)?);
    run.run.tasks.insert(name, task_run(row)?);
    Ok(())
}

fn task_row(row: &Row) -> Result<JobTaskRow, StoreError> {
    let id: TaskId = row.get(2)?;
    let leased: Option<Epoch> = row.get(TASK_WIDTH + 1)?;
    Ok(JobTaskRow {
        id,
        epoch: row.get(3)?,
        created_at: row.get(4)?,
        started_at: row.get(5)?,
        ended_at: row.get(6)?,
        ant_id: row.get(7)?,
        ant_host: row.get(8)?,
        queue_key: row.get(9)?,
        lease: leased.map(|_| lease_at(row, TASK_WIDTH)).transpose()?,
        details: None,
        shown: None,
    })
}

fn task_run(row: &Row) -> Result<TaskRun, StoreError> {
    let code: String = row.get(14)?;
    let message: String = row.get(15)?;
    let old_status: Option<String> = row.get(21)?;
    let old_code: Option<String> = row.get(22)?;
    let stop: Option<&str> = row.get(20)?;
    let control: Option<Json<Box<TaskPlan>>> = row.get(24)?;
    Ok(TaskRun {
        state: row.get(10)?,
        pass: row.get(11)?,
        seq: row.get(12)?,
        exit_code: row.get(13)?,
        error: (!code.is_empty()).then_some(JobError { code, message }),
        failed_attempts: row.get(16)?,
        retries: row.get(17)?,
        losses: row.get(18)?,
        deadline: row.get(19)?,
        stop: stop
            .map(|_| word::<StopReason>(row, "stop_reason"))
            .transpose()?,
        overridden: old_status.zip(old_code),
        reused: row.get(23)?,
        control: control.map(|json| json.0),
    })
}

/// Reads an enumeration that is stored as its serde word.
fn word<T: serde::de::DeserializeOwned>(row: &Row, column: &str) -> Result<T, StoreError> {
    let text: &str = row.get(column)?;
    let value = serde_json::Value::String(text.to_owned());
    serde_json::from_value(value).map_err(|error| row.misfit(column, error.to_string()))
}
