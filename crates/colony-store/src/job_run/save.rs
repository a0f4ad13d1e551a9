//! Storing decisions: the run's own row, and the rows of the tasks that changed.

use std::collections::BTreeMap;

use colony_core::id::TaskId;
use colony_core::job::{JobError, JobRun, Phase, TaskRun};
use colony_core::plan::Plan;
use colony_core::state::{JobState, JobTaskState, RunStatus, TaskStatus};
use colony_core::time::Timestamp;

use super::{FreshRun, JobRunRow};
use crate::error::StoreError;
use crate::tx::Tx;
use crate::value::Json;

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
    let changed: Vec<(&String, &TaskRun)> = after
        .tasks
        .iter()
        // Results of an earlier execution count only once the path has reached them.
        .filter(|(name, task)| before.run.tasks.get(*name) != Some(*task) && task.pass > 0)
        .collect();
    let counts = Counts::of(before, &changed);
    match &before.fresh {
        Some(fresh) => {
            insert_ledger(tx, before, job_state, &counts, fresh, now)?;
            insert_run(tx, before, after, plan, job_state)?;
        }
        None => {
            update_run(tx, before, after, plan, job_state)?;
            update_ledger(tx, before, job_state, &counts, now)?;
        }
    }
    count_slot(tx, before, after)?;
    let mut task_ids = before.task_ids.clone();
    for (name, task) in changed {
        let old = before.run.tasks.get(name);
        let place = TaskPlace {
            before,
            plan,
            name,
            now,
        };
        match task_ids.get(name) {
            Some(id) => update_task(tx, &place, *id, old, task)?,
            None => {
                let id = new_task_id();
                insert_task(tx, &place, id, task)?;
                task_ids.insert(name.clone(), id);
            }
        }
    }
    Ok(task_ids)
}

/// A suspended run gives its slot to others.
fn occupies_slot(phase: Phase) -> bool {
    match phase {
        Phase::Walking | Phase::Retrying | Phase::Stopping | Phase::Cleaning => true,
        Phase::Suspended | Phase::Ended => false,
    }
}

/// How a run's counters move (`foreman-api` 8.3).
#[derive(Default, PartialEq)]
struct Counts {
    total: i64,
    completed: i64,
    failed: i64,
}

impl Counts {
    fn of(before: &JobRunRow, changed: &[(&String, &TaskRun)]) -> Self {
        let mut counts = Self::default();
        for (name, task) in changed {
            counts.total += i64::from(!before.task_ids.contains_key(*name));
            let old = before.run.tasks.get(*name).map(|old| old.state);
            if !old.is_some_and(JobTaskState::is_terminal) {
                counts.completed += i64::from(task.state == JobTaskState::Completed);
                counts.failed += i64::from(task.state == JobTaskState::Failed);
            }
        }
        counts
    }
}

/// Keeps the number of slots in use (`slots`) in step with the run's phase.
fn count_slot(tx: &mut Tx<'_>, before: &JobRunRow, after: &JobRun) -> Result<(), StoreError> {
    let taken = i64::from(occupies_slot(after.phase)) - i64::from(occupies_slot(before.run.phase));
    if taken != 0 {
        tx.send(
            "INSERT INTO slots (schedule_key, taken) VALUES ($1, $2) \
             ON CONFLICT (schedule_key) DO UPDATE SET taken = slots.taken + $2",
            &[&before.schedule_key, &taken],
        )?;
    }
    Ok(())
}

/// Makes the rows of a run as the first decision left it.
fn insert_ledger(
    tx: &mut Tx<'_>,
    before: &JobRunRow,
    job_state: JobState,
    counts: &Counts,
    fresh: &FreshRun,
    now: Timestamp,
) -> Result<(), StoreError> {
    let status = RunStatus::from(job_state);
    let ended_at = status.is_terminal().then_some(now);
    tx.send(
        "INSERT INTO runs (id, org_id, status, input, metadata, total_tasks, completed_tasks, \
         failed_tasks, created_at, updated_at, started_at, completed_at) \
         VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9, $9, $9, $10)",
        &[
            &before.run_id,
            &before.org_id,
            &status,
            &fresh.input,
            &fresh.metadata,
            &counts.total,
            &counts.completed,
            &counts.failed,
            &now,
            &ended_at,
        ],
    )?;
    Ok(())
}

fn insert_run(
    tx: &mut Tx<'_>,
    before: &JobRunRow,
    after: &JobRun,
    plan: &Plan,
    job_state: JobState,
) -> Result<(), StoreError> {
    tx.send(
        "INSERT INTO job_runs (run_id, request_id, definition_id, schedule_key, rank, job_state, \
         phase, occupies_slot, pass, job_retries, retried, paused_count, task_runs, deadline_at, \
         current_task, verdict, skip_cleanup) \
         VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10, $11, $12, $13, $14, $15, $16, $17)",
        &[
            &before.run_id,
            &before.request_id,
            &before.definition_id,
            &before.schedule_key,
            &before.rank,
            &job_state,
            &word_of(after.phase),
            &occupies_slot(after.phase),
            &after.pass,
            &after.job_retries,
            &after.retried,
            &after.paused_count,
            &after.task_runs,
            &after.due_at(),
            &after.current_task(plan),
            &after.verdict.as_ref().map(Json),
            &after.skip_cleanup,
        ],
    )?;
    Ok(())
}

fn update_run(
    tx: &mut Tx<'_>,
    before: &JobRunRow,
    after: &JobRun,
    plan: &Plan,
    job_state: JobState,
) -> Result<(), StoreError> {
    tx.send(
        "UPDATE job_runs SET job_state = $2, phase = $3, occupies_slot = $4, pass = $5, \
         job_retries = $6, retried = $7, paused_count = $8, task_runs = $9, deadline_at = $10, \
         current_task = $11, verdict = $12, skip_cleanup = $13 WHERE run_id = $1",
        &[
            &before.run_id,
            &job_state,
            &word_of(after.phase),
            &occupies_slot(after.phase),
            &after.pass,
            &after.job_retries,
            &after.retried,
            &after.paused_count,
            &after.task_runs,
            &after.due_at(),
            &after.current_task(plan),
            &after.verdict.as_ref().map(Json),
            &after.skip_cleanup,
        ],
    )?;
    Ok(())
}

fn update_ledger(
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
    tx.send(
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
    let error = task.error.as_ref();
    // A task sees the parameters of its run, and says what job it is part of.
    tx.send(
        "INSERT INTO tasks (id, run_id, org_id, type, status, input, metadata, retry_count, \
         max_retries, epoch, created_at, updated_at, queued_at, completed_at, error) \
         SELECT $1, id, $3, $4, $5, input, metadata, $6, $7, 0, $8, $8, $8, $9, $10 \
         FROM runs WHERE id = $2",
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
            &error_json(error),
        ],
    )?;
    tx.send(
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
    let error = task.error.as_ref();
    tx.send(
        "UPDATE tasks SET status = $2, retry_count = $3, updated_at = $4, \
         started_at = CASE WHEN $5 THEN NULL ELSE started_at END, completed_at = $6, \
         duration_ms = $6 - COALESCE(started_at, created_at), error = $7 WHERE id = $1",
        &[
            &id,
            &TaskStatus::from(task.state),
            &task.retries,
            &place.now,
            &fresh,
            &ended_at,
            &error_json(error),
        ],
    )?;
    let overridden = task.overridden.as_ref();
    tx.send(
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

/// An error as the Runs API shows it.
pub(crate) fn error_json(error: Option<&JobError>) -> Option<String> {
    let json = |error: &JobError| {
        serde_json::json!({ "code": error.code, "message": error.message }).to_string()
    };
    error.map(json)
}

/// The serde word of an enumeration.
fn word_of<T: serde::Serialize>(value: T) -> String {
    match serde_json::to_value(value) {
        Ok(serde_json::Value::String(word)) => word,
        other => unreachable!("an enumeration of words serializes as text, not {other:?}"),
    }
}
