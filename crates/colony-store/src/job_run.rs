//! Runs of declared jobs: loading and storing what decisions are made on.

use std::collections::BTreeMap;

use colony_core::id::{DefinitionId, RequestId, RunId, TaskId};
use colony_core::job::{JobError, JobRun, Phase, StopReason, TaskRun, Verdict};
use colony_core::plan::{Plan, TaskPlan};
use colony_core::state::{JobState, JobTaskState, RunStatus, TaskStatus};
use colony_core::time::Timestamp;

use crate::error::StoreError;
use crate::row::Row;
use crate::tx::Tx;
use crate::value::Json;

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

/// Makes the rows of a run that was not launched yet.
///
/// # Errors
///
/// The database's.
pub fn insert_job_run(
    tx: &mut Tx<'_>,
    new: NewJobRun,
    run: JobRun,
    now: Timestamp,
) -> Result<JobRunRow, StoreError> {
    tx.execute(
        "INSERT INTO runs (id, org_id, status, input, metadata, total_tasks, completed_tasks, \
         failed_tasks, created_at, updated_at, started_at) \
         VALUES ($1, $2, 'running', $3, $4, 0, 0, 0, $5, $5, $5)",
        &[&new.run_id, &new.org_id, &new.input, &new.metadata, &now],
    )?;
    tx.execute(
        "INSERT INTO job_runs (run_id, request_id, definition_id, schedule_key, rank, job_state, \
         phase, occupies_slot, pass, job_retries, retried, paused_count, task_runs, skip_cleanup) \
         VALUES ($1, $2, $3, $4, $5, 'READY', 'suspended', TRUE, 0, 0, $6, $7, 0, FALSE)",
        &[
            &new.run_id,
            &new.request_id,
            &new.definition_id,
            &new.schedule_key,
            &new.rank,
            &run.retried,
            &run.paused_count,
        ],
    )?;
    Ok(JobRunRow {
        run_id: new.run_id,
        org_id: new.org_id,
        request_id: new.request_id,
        definition_id: new.definition_id,
        schedule_key: new.schedule_key,
        rank: new.rank,
        job_state: JobState::Ready,
        run,
        task_ids: BTreeMap::new(),
    })
}

/// Loads a run of a job and locks it until the end of the transaction.
///
/// # Errors
///
/// The database's, or a row that makes no sense.
pub fn lock_job_run(tx: &mut Tx<'_>, run_id: RunId) -> Result<Option<JobRunRow>, StoreError> {
    let sql = format!(
        "SELECT org_id, request_id, definition_id, schedule_key, rank, job_state, phase, pass, \
         job_retries, retried, paused_count, task_runs, deadline_at, current_task, verdict, \
         skip_cleanup FROM job_runs JOIN runs ON runs.id = job_runs.run_id \
         WHERE run_id = $1{}",
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
        current: row.get(13)?,
        verdict: row.get::<Option<Json<Verdict>>>(14)?.map(|json| json.0),
        skip_cleanup: row.get(15)?,
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

/// The serde word of an enumeration.
fn word_of<T: serde::Serialize>(value: T) -> String {
    match serde_json::to_value(value) {
        Ok(serde_json::Value::String(word)) => word,
        other => unreachable!("an enumeration of words serializes as text, not {other:?}"),
    }
}

/// A decision to be stored.
pub struct SaveJobRun<'a> {
    /// The run as it was loaded.
    pub before: &'a JobRunRow,
    /// The run as decided.
    pub after: &'a JobRun,
    /// What the Jobs API shows of the run from now on.
    pub job_state: JobState,
    /// Its definition's control flow.
    pub plan: &'a Plan,
    /// Makes ids of tasks that are reached for the first time.
    pub new_task_id: &'a mut dyn FnMut() -> TaskId,
    /// The time of the decision.
    pub now: Timestamp,
}

/// Stores a decision: the run's own row, and the rows of the tasks that changed. Returns the ids
/// of all tasks reached so far.
///
/// # Errors
///
/// The database's.
pub fn save_job_run(
    tx: &mut Tx<'_>,
    save: SaveJobRun<'_>,
) -> Result<BTreeMap<String, TaskId>, StoreError> {
    let SaveJobRun {
        before,
        after,
        job_state,
        plan,
        new_task_id,
        now,
    } = save;
    let mut task_ids = before.task_ids.clone();
    let mut counts = Counts::default();
    for (name, task) in &after.tasks {
        let old = before.run.tasks.get(name);
        // Results of an earlier execution count only once the path has reached them.
        if old == Some(task) || task.pass == 0 {
            continue;
        }
        counts.add(old.map(|old| old.state), task.state);
        let place = TaskPlace {
            before,
            plan,
            name,
            now,
        };
        match task_ids.get(name) {
            Some(id) => update_task(tx, &place, *id, old, task)?,
            None => {
                counts.total += 1;
                let id = new_task_id();
                insert_task(tx, &place, id, task)?;
                task_ids.insert(name.clone(), id);
            }
        }
    }
    save_run(tx, before, after, job_state)?;
    save_ledger(tx, before, job_state, &counts, now)?;
    Ok(task_ids)
}

/// How a run's counters move (`foreman-api` 8.3).
#[derive(Default, PartialEq)]
struct Counts {
    total: i64,
    completed: i64,
    failed: i64,
}

impl Counts {
    fn add(&mut self, old: Option<JobTaskState>, new: JobTaskState) {
        if old.is_some_and(JobTaskState::is_terminal) {
            return;
        }
        self.completed += i64::from(new == JobTaskState::Completed);
        self.failed += i64::from(new == JobTaskState::Failed);
    }
}

fn save_run(
    tx: &mut Tx<'_>,
    before: &JobRunRow,
    after: &JobRun,
    job_state: JobState,
) -> Result<(), StoreError> {
    let ended = after.phase == Phase::Ended;
    // Only a run that follows its path can run out of time.
    let clocked = matches!(after.phase, Phase::Walking | Phase::Retrying);
    let deadline = clocked.then_some(after.deadline);
    let occupies_slot = !ended && after.phase != Phase::Suspended;
    tx.execute(
        "UPDATE job_runs SET job_state = $2, phase = $3, occupies_slot = $4, pass = $5, \
         job_retries = $6, retried = $7, paused_count = $8, task_runs = $9, deadline_at = $10, \
         current_task = $11, verdict = $12, skip_cleanup = $13 WHERE run_id = $1",
        &[
            &before.run_id,
            &job_state,
            &word_of(after.phase),
            &occupies_slot,
            &after.pass,
            &after.job_retries,
            &after.retried,
            &after.paused_count,
            &after.task_runs,
            &deadline,
            &after.current,
            &after.verdict.as_ref().map(Json),
            &after.skip_cleanup,
        ],
    )?;
    Ok(())
}

fn save_ledger(
    tx: &mut Tx<'_>,
    before: &JobRunRow,
    job_state: JobState,
    counts: &Counts,
    now: Timestamp,
) -> Result<(), StoreError> {
    let status = RunStatus::from(job_state);
    let ended_at = status.is_terminal().then_some(now);
    if *counts == Counts::default() && ended_at.is_none() {
        return Ok(());
    }
    tx.execute(
        "UPDATE runs SET status = $2, total_tasks = total_tasks + $3, \
         completed_tasks = completed_tasks + $4, failed_tasks = failed_tasks + $5, \
         updated_at = $6, completed_at = COALESCE($7, completed_at), \
         duration_ms = COALESCE($7 - started_at, duration_ms) WHERE id = $1",
        &[
            &before.run_id,
            &status,
            &counts.total,
            &counts.completed,
            &counts.failed,
            &now,
            &ended_at,
        ],
    )?;
    Ok(())
}

/// What a task's rows say beside its record.
struct TaskPlace<'a> {
    before: &'a JobRunRow,
    plan: &'a Plan,
    name: &'a str,
    now: Timestamp,
}

fn insert_task(
    tx: &mut Tx<'_>,
    place: &TaskPlace<'_>,
    id: TaskId,
    task: &TaskRun,
) -> Result<(), StoreError> {
    let (before, name) = (place.before, place.name);
    let order = place
        .plan
        .tasks
        .iter()
        .position(|planned| planned.name == name)
        .unwrap_or(0);
    let planned = place.plan.tasks.get(order);
    let method = planned.map_or("", |planned| planned.method.as_str());
    let ended_at = task.state.is_terminal().then_some(place.now);
    tx.execute(
        "INSERT INTO tasks (id, run_id, org_id, type, status, input, retry_count, max_retries, \
         epoch, created_at, updated_at, queued_at, completed_at) \
         VALUES ($1, $2, $3, $4, $5, 'null', $6, $7, 0, $8, $8, $8, $9)",
        &[
            &id,
            &before.run_id,
            &before.org_id,
            &name,
            &TaskStatus::from(task.state),
            &task.retries,
            &planned.map_or(0, |planned| planned.retry),
            &place.now,
            &ended_at,
        ],
    )?;
    let error = task.error.as_ref();
    tx.execute(
        "INSERT INTO job_tasks (run_id, task_type, task_id, task_order, method, allow_failure, \
         state, pass, seq, exit_code, error_code, error_message, failed_command, failed_attempts, \
         retries, losses, reused, ant_id, ant_host, ended_at) \
         VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10, $11, $12, '', $13, $14, $15, $16, '', \
         '', $17)",
        &[
            &before.run_id,
            &name,
            &id,
            &i64::try_from(order).unwrap_or(i64::MAX),
            &method,
            &planned.is_some_and(|planned| planned.allow_failure),
            &task.state,
            &task.pass,
            &task.seq,
            &task.exit_code,
            &error.map_or("", |error| &error.code),
            &error.map_or("", |error| &error.message),
            &task.failed_attempts,
            &task.retries,
            &task.losses,
            &task.reused,
            &ended_at,
        ],
    )?;
    Ok(())
}

fn update_task(
    tx: &mut Tx<'_>,
    place: &TaskPlace<'_>,
    id: TaskId,
    old: Option<&TaskRun>,
    task: &TaskRun,
) -> Result<(), StoreError> {
    // A new record takes the place of the old one: its times begin again.
    let fresh = old.is_none_or(|old| old.seq != task.seq);
    let ended = task.state.is_terminal() || task.state == JobTaskState::Paused;
    let ended_at = ended.then_some(place.now);
    tx.execute(
        "UPDATE tasks SET status = $2, retry_count = $3, updated_at = $4, \
         started_at = CASE WHEN $5 THEN NULL ELSE started_at END, completed_at = $6, \
         duration_ms = $6 - COALESCE(started_at, created_at) WHERE id = $1",
        &[
            &id,
            &TaskStatus::from(task.state),
            &task.retries,
            &place.now,
            &fresh,
            &ended_at,
        ],
    )?;
    let error = task.error.as_ref();
    let overridden = task.overridden.as_ref();
    tx.execute(
        "UPDATE job_tasks SET state = $3, pass = $4, seq = $5, exit_code = $6, error_code = $7, \
         error_message = $8, failed_attempts = $9, retries = $10, losses = $11, deadline_at = $12, \
         stop = $13, old_status = $14, old_error_code = $15, reused = $16, control = $17, \
         started_at = CASE WHEN $18 THEN NULL ELSE started_at END, ended_at = $19 \
         WHERE run_id = $1 AND task_type = $2",
        &[
            &place.before.run_id,
            &place.name,
            &task.state,
            &task.pass,
            &task.seq,
            &task.exit_code,
            &error.map_or("", |error| &error.code),
            &error.map_or("", |error| &error.message),
            &task.failed_attempts,
            &task.retries,
            &task.losses,
            &task.deadline,
            &task.stop.map(word_of),
            &overridden.map(|(status, _)| status),
            &overridden.map(|(_, code)| code),
            &task.reused,
            &task.control.as_ref().map(Json),
            &fresh,
            &ended_at,
        ],
    )?;
    Ok(())
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
    deadline: Timestamp,
) -> Result<(), StoreError> {
    tx.execute(
        "UPDATE job_tasks SET control = $3, deadline_at = $4 WHERE run_id = $1 AND task_type = $2",
        &[&run_id, &task, &Json(control), &deadline],
    )?;
    tx.execute(
        "UPDATE leases SET deadline_at = $3 WHERE run_id = $1 AND task_id = \
         (SELECT task_id FROM job_tasks WHERE run_id = $1 AND task_type = $2)",
        &[&run_id, &task, &deadline],
    )?;
    Ok(())
}

/// How many runs of a schedule key hold a slot.
///
/// # Errors
///
/// The database's.
pub fn slots_taken(tx: &mut Tx<'_>, schedule_key: &str) -> Result<u32, StoreError> {
    tx.query_one(
        "SELECT COUNT(*) FROM job_runs WHERE occupies_slot AND schedule_key = $1",
        &[&schedule_key],
    )?
    .get(0)
}

/// Runs whose deadline passed.
///
/// # Errors
///
/// The database's.
pub fn overdue_runs(tx: &mut Tx<'_>, now: Timestamp, limit: u32) -> Result<Vec<RunId>, StoreError> {
    let sql = format!(
        "SELECT run_id FROM job_runs WHERE deadline_at IS NOT NULL AND deadline_at <= $1 \
         ORDER BY deadline_at LIMIT {limit}"
    );
    tx.query(&sql, &[&now])?
        .iter()
        .map(|row| row.get(0))
        .collect()
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
    tx.execute(
        "UPDATE job_runs SET phase = 'ended', job_state = 'CANCELLED', occupies_slot = FALSE, \
         deadline_at = NULL, current_task = NULL WHERE run_id = $1",
        &[&run_id],
    )?;
    tx.execute(
        "UPDATE runs SET status = 'cancelled', updated_at = $2, completed_at = $2, \
         duration_ms = $2 - started_at WHERE id = $1",
        &[&run_id, &now],
    )?;
    tx.execute(
        "UPDATE tasks SET status = 'cancelled', updated_at = $2, completed_at = $2 \
         WHERE run_id = $1 AND status NOT IN ('completed', 'failed', 'cancelled')",
        &[&run_id, &now],
    )?;
    tx.execute(
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
