//! Ending what cannot go on: its rows cannot be read, or no decision about them can be stored.
//!
//! Nothing here reads a row into a type, so that whatever is wrong with it does not matter; and
//! what is left can be read again.

use colony_core::id::{AttemptRef, RequestId, RunId, TaskId};
use colony_core::job::{JobError, Verdict};
use colony_core::state::JobState;
use colony_core::time::Timestamp;

use crate::error::StoreError;
use crate::job_run::error_json;
use crate::ledger::run::no_key_lock;
use crate::timer;
use crate::tx::Tx;
use crate::value::Json;

/// Someone who works on a task of a run that was given up.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Orphaned {
    /// Who.
    pub holder: String,
    /// On what.
    pub attempt: AttemptRef,
}

/// What was given up.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct GivenUp {
    /// The request that ended.
    pub request: Option<RequestId>,
    /// The run that ended, with its tasks.
    pub run: Option<(RunId, Vec<TaskId>)>,
    /// Who works on it.
    pub orphaned: Vec<Orphaned>,
}

/// Ends a request FAILED, with its run if it has one. Nothing happens to one that has ended.
///
/// # Errors
///
/// The database's.
pub fn give_up_request(
    tx: &mut Tx<'_>,
    id: RequestId,
    error: &JobError,
    now: Timestamp,
) -> Result<GivenUp, StoreError> {
    let sql = "SELECT run_id FROM requests WHERE id = $1 AND ended_at IS NULL";
    let run_id: Option<RunId> = match tx.query_opt(sql, &[&id])? {
        Some(row) => row.get(0)?,
        None => None,
    };
    let mut given_up = match run_id {
        Some(run_id) => give_up_run(tx, run_id, error, now)?,
        None => GivenUp::default(),
    };
    // The run may belong to another request, or to none.
    end_request(tx, id, error, now)?;
    given_up.request = Some(id);
    Ok(given_up)
}

fn end_request(
    tx: &mut Tx<'_>,
    id: RequestId,
    error: &JobError,
    now: Timestamp,
) -> Result<(), StoreError> {
    tx.send(
        "UPDATE requests SET job_state = 'FAILED', eligible = FALSE, user_key = NULL, \
         error_code = $2, error_message = $3, current_task = '', updated_at = $4, ended_at = $4 \
         WHERE id = $1 AND ended_at IS NULL",
        &[&id, &error.code, &error.message, &now],
    )?;
    // Numbers that cannot be read as what they are.
    tx.send(
        "UPDATE requests SET retried = CASE WHEN retried < 0 THEN 0 ELSE retried END, \
         paused_count = CASE WHEN paused_count < 0 THEN 0 ELSE paused_count END, \
         schedule_attempts = CASE WHEN schedule_attempts < 0 THEN 0 ELSE schedule_attempts END \
         WHERE id = $1 AND (retried < 0 OR paused_count < 0 OR schedule_attempts < 0)",
        &[&id],
    )?;
    // The state of a request that has ended may be the word that cannot be read.
    tx.send(
        "UPDATE requests SET job_state = 'FAILED', eligible = FALSE, \
         ended_at = COALESCE(ended_at, $2) WHERE id = $1 \
         AND job_state NOT IN ('COMPLETED', 'FAILED', 'CANCELLED')",
        &[&id, &now],
    )?;
    // One that has ended is not to be launched, whatever its row says.
    tx.send(
        "UPDATE requests SET eligible = FALSE, unserved = NULL \
         WHERE id = $1 AND (eligible OR unserved IS NOT NULL)",
        &[&id],
    )?;
    timer::clear(tx, &[id.uuid()])
}

/// Ends a run of a job FAILED, and its request with it: its tasks are over, nothing of it waits,
/// its slot is free. Clean-up does not run, since nothing can be decided about it. Nothing happens
/// to one that has ended.
///
/// # Errors
///
/// The database's.
pub fn give_up_run(
    tx: &mut Tx<'_>,
    run_id: RunId,
    error: &JobError,
    now: Timestamp,
) -> Result<GivenUp, StoreError> {
    // The run first, as everywhere: whoever decides about it comes before or after.
    let lock = no_key_lock(tx);
    tx.query(
        &format!("SELECT id FROM runs WHERE id = $1{lock}"),
        &[&run_id],
    )?;
    let orphaned = take_leases(tx, run_id, error, now)?;
    empty_queues(tx, run_id)?;
    end_tasks(tx, run_id, error, now)?;
    end_run(tx, run_id, error, now)?;
    timer::clear(tx, &[run_id.uuid()])?;
    let sql = "SELECT request_id FROM runs WHERE id = $1 AND request_id IS NOT NULL";
    // Without its row the run is known to its request only. Rare, so it may read the whole table.
    let by_run = "SELECT id FROM requests WHERE run_id = $1 AND ended_at IS NULL";
    let request = match tx.query_opt(sql, &[&run_id])? {
        Some(row) => Some(row.get(0)?),
        None => match tx.query_opt(by_run, &[&run_id])? {
            Some(row) => Some(row.get(0)?),
            None => None,
        },
    };
    tx.send(
        "UPDATE slots SET taken = taken - 1 WHERE taken > 0 AND schedule_key = \
         (SELECT schedule_key FROM requests WHERE id = $2 AND ended_at IS NULL \
         AND NOT EXISTS (SELECT 1 FROM runs WHERE id = $1 AND request_id IS NOT NULL))",
        &[&run_id, &request],
    )?;
    if let Some(id) = request {
        end_request(tx, id, error, now)?;
    }
    let tasks = tx.query("SELECT id FROM tasks WHERE run_id = $1", &[&run_id])?;
    let tasks = tasks.iter().map(|row| row.get(0));
    Ok(GivenUp {
        request,
        run: Some((run_id, tasks.collect::<Result<_, _>>()?)),
        orphaned,
    })
}

fn take_leases(
    tx: &mut Tx<'_>,
    run_id: RunId,
    error: &JobError,
    now: Timestamp,
) -> Result<Vec<Orphaned>, StoreError> {
    tx.send(
        "INSERT INTO attempts (task_id, epoch, run_id, retry, holder, outcome, exit_code, \
         error_message, started_at, ended_at) \
         SELECT task_id, epoch, run_id, 0, holder, 'failed', '', $2, started_at, $3 \
         FROM leases WHERE task_id IN (SELECT id FROM tasks WHERE run_id = $1) \
         ON CONFLICT DO NOTHING",
        &[&run_id, &error.message, &now],
    )?;
    let rows = tx.query(
        "DELETE FROM leases WHERE task_id IN (SELECT id FROM tasks WHERE run_id = $1) \
         RETURNING holder, task_id, epoch",
        &[&run_id],
    )?;
    rows.iter()
        .map(|row| {
            let attempt = AttemptRef {
                task_id: row.get(1)?,
                epoch: row.get(2)?,
            };
            let holder = row.get(0)?;
            Ok(Orphaned { holder, attempt })
        })
        .collect()
}

/// By the tasks' ids alone: whatever their rows say may be wrong. Rare, so it may read the whole
/// queue.
fn empty_queues(tx: &mut Tx<'_>, run_id: RunId) -> Result<(), StoreError> {
    tx.send("DELETE FROM queue WHERE run_id = $1", &[&run_id])
}

fn end_tasks(
    tx: &mut Tx<'_>,
    run_id: RunId,
    error: &JobError,
    now: Timestamp,
) -> Result<(), StoreError> {
    tx.send(
        "UPDATE tasks SET status = 'failed', error = $2, updated_at = $3, \
         completed_at = $3, duration_ms = $3 - COALESCE(started_at, created_at) \
         WHERE run_id = $1 AND status NOT IN ('completed', 'failed', 'cancelled')",
        &[&run_id, &error_json(Some(error)), &now],
    )?;
    tx.send(
        "UPDATE tasks SET waiting = NULL, queue_key = NULL WHERE run_id = $1 \
         AND (waiting IS NOT NULL OR queue_key IS NOT NULL)",
        &[&run_id],
    )?;
    tx.send(
        "UPDATE tasks SET job_state = 'FAILED', error_code = $2, error_message = $3, \
         completed_at = $4 WHERE run_id = $1 AND job_task IS NOT NULL \
         AND job_state NOT IN ('COMPLETED', 'FAILED', 'CANCELLED')",
        &[&run_id, &error.code, &error.message, &now],
    )?;
    tx.send(
        "UPDATE tasks SET deadline_at = NULL, stop = NULL, control = NULL, warnings = NULL \
         WHERE run_id = $1 AND job_task IS NOT NULL",
        &[&run_id],
    )
}

fn end_run(
    tx: &mut Tx<'_>,
    run_id: RunId,
    error: &JobError,
    now: Timestamp,
) -> Result<(), StoreError> {
    tx.send(
        "UPDATE slots SET taken = taken - 1 WHERE taken > 0 AND schedule_key = \
         (SELECT schedule_key FROM runs WHERE id = $1 AND occupies_slot AND request_id IS NOT NULL)",
        &[&run_id],
    )?;
    tx.send(
        "UPDATE runs SET status = 'failed', error = $2, updated_at = $3, completed_at = $3, \
         duration_ms = $3 - COALESCE(started_at, created_at), \
         failed_tasks = (SELECT COUNT(*) FROM tasks WHERE run_id = $1 AND status = 'failed') \
         WHERE id = $1 \
         AND (completed_at IS NULL OR status NOT IN ('completed', 'failed', 'cancelled'))",
        &[&run_id, &error_json(Some(error)), &now],
    )?;
    let verdict = Verdict {
        state: JobState::Failed,
        error: Some(error.clone()),
    };
    tx.send(
        "UPDATE runs SET phase = 'ended', job_state = 'FAILED', occupies_slot = FALSE, \
         deadline_at = NULL, current_task = NULL, verdict = $2 \
         WHERE id = $1 AND request_id IS NOT NULL AND (phase <> 'ended' OR job_state NOT IN ('COMPLETED', 'FAILED', 'CANCELLED'))",
        &[&run_id, &Json(&verdict)],
    )
}

/// Ends a task: with its run when a job owns it, else alone. A task that is not there is taken out
/// of the queues.
///
/// # Errors
///
/// The database's.
pub fn give_up_task(
    tx: &mut Tx<'_>,
    id: TaskId,
    error: &JobError,
    now: Timestamp,
) -> Result<GivenUp, StoreError> {
    let of_job = "SELECT run_id FROM leases WHERE task_id = $1 AND of_job \
                  UNION SELECT run_id FROM queue WHERE task_id = $1 AND timeout_ms IS NOT NULL \
                  UNION SELECT run_id FROM tasks WHERE id = $1 AND job_task IS NOT NULL";
    let given_up = match tx.query(of_job, &[&id])?.first() {
        Some(row) => Some(give_up_run(tx, row.get(0)?, error, now)?),
        None => None,
    };
    if let Some(given_up) = given_up {
        drop_places(tx, id)?;
        return Ok(given_up);
    }
    tx.send(
        "UPDATE runs SET failed_tasks = failed_tasks + 1, updated_at = $2 WHERE id = \
         (SELECT run_id FROM tasks WHERE id = $1 \
         AND status NOT IN ('completed', 'failed', 'cancelled'))",
        &[&id, &now],
    )?;
    tx.send(
        "UPDATE tasks SET status = 'failed', error = $2, updated_at = $3, completed_at = $3 \
         WHERE id = $1 AND status NOT IN ('completed', 'failed', 'cancelled')",
        &[&id, &error_json(Some(error)), &now],
    )?;
    tx.send(
        "UPDATE tasks SET waiting = NULL, due_at = NULL WHERE id = $1",
        &[&id],
    )?;
    drop_places(tx, id)?;
    Ok(GivenUp::default())
}

/// Takes a task out of every queue, by its id alone: whatever its row says may be wrong. Rare, so
/// it may read whole tables.
fn drop_places(tx: &mut Tx<'_>, id: TaskId) -> Result<(), StoreError> {
    for table in ["queue", "leases"] {
        tx.send(&format!("DELETE FROM {table} WHERE task_id = $1"), &[&id])?;
    }
    timer::clear(tx, &[id.uuid()])
}
