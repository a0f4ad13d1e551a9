//! Job tasks that workers do: from the engine's queue of ready tasks into the queue of the Runs
//! API, and leased from there.
//!
//! Their leases are in `leases`, as those of ants are: the engine watches over both.

use std::collections::BTreeMap;

use colony_core::id::{AttemptRef, Epoch, RequestId, RunId, TaskId};
use colony_core::method::Method;
use colony_core::time::Timestamp;

use crate::dispatch::{Lease, ReadyTask};
use crate::error::StoreError;
use crate::ledger::TaskRow;
use crate::ledger::offer::{self, Offer};
use crate::text::Text;
use crate::tx::Tx;

/// How holders of leases begin that are workers. No ant is mistaken for one.
const HOLDER_PREFIX: &str = "worker:";

/// The holder of a worker's lease.
pub fn holder(worker_id: &str) -> String {
    format!("{HOLDER_PREFIX}{worker_id}")
}

/// Whether a lease is with a worker.
pub fn is_worker(holder: &str) -> bool {
    holder.starts_with(HOLDER_PREFIX)
}

/// The first ready tasks for workers.
///
/// # Errors
///
/// The database's.
pub fn ready_tasks(tx: &mut Tx<'_>, limit: u32) -> Result<Vec<ReadyTask>, StoreError> {
    let sql = format!(
        "SELECT rank, task_id, run_id, timeout_ms FROM ready_tasks WHERE queue = $1 \
         ORDER BY rank, task_id LIMIT {limit}"
    );
    let queue = Method::Worker.as_str();
    tx.query(&sql, &[&queue])?
        .iter()
        .map(|row| {
            Ok(ReadyTask {
                queue: queue.to_owned(),
                rank: row.get(0)?,
                task_id: row.get(1)?,
                run_id: row.get(2)?,
                timeout_ms: row.get(3)?,
            })
        })
        .collect()
}

/// Takes a ready task out of the engine's queue. False when it is not there any more.
///
/// # Errors
///
/// The database's.
pub fn take_ready(tx: &mut Tx<'_>, task: &ReadyTask) -> Result<bool, StoreError> {
    let taken = tx.execute(
        "DELETE FROM ready_tasks WHERE queue = $1 AND rank = $2 AND task_id = $3",
        &[&task.queue, &task.rank, &task.task_id],
    )?;
    Ok(taken > 0)
}

/// Puts a job task where workers claim tasks, with its JSON: input and metadata.
///
/// # Errors
///
/// The database's.
pub fn offer_task(
    tx: &mut Tx<'_>,
    offer: &Offer,
    (input, metadata): (&str, &str),
    now: Timestamp,
) -> Result<(), StoreError> {
    tx.send(
        "UPDATE tasks SET type = $2, input = $3, metadata = $4, priority = $5, \
         waiting = 'offered', updated_at = $6 WHERE id = $1",
        &[
            &offer.task_id,
            &offer.kind,
            &input,
            &metadata,
            &offer.rank,
            &now,
        ],
    )?;
    offer::insert_offers(tx, std::slice::from_ref(offer))
}

/// Takes a job task back that no worker has claimed.
///
/// # Errors
///
/// The database's.
pub fn withdraw_task(tx: &mut Tx<'_>, task_id: TaskId) -> Result<(), StoreError> {
    let row = tx.query_opt(
        "UPDATE tasks SET waiting = NULL WHERE id = $1 AND waiting = 'offered' \
         RETURNING org_id, type, priority",
        &[&task_id],
    )?;
    let Some(row) = row else { return Ok(()) };
    let offer = Offer {
        org_id: row.get(0)?,
        kind: row.get(1)?,
        rank: row.get(2)?,
        task_id,
        timeout_ms: None,
    };
    offer::delete_offers(tx, &[offer])
}

/// A job task that a worker wants to claim.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct WorkerTask {
    /// Its run.
    pub run_id: RunId,
    /// The request that it is part of.
    pub request_id: RequestId,
    /// Its name in the job.
    pub name: String,
    /// Attempts before this one.
    pub retry: u32,
}

/// Locks the runs of offered job tasks: whoever cancels one comes before or after the claim, never
/// between. On PostgreSQL tasks of runs that others have locked are left out.
///
/// # Errors
///
/// The database's.
pub fn lock_tasks(
    tx: &mut Tx<'_>,
    ids: &[TaskId],
) -> Result<BTreeMap<TaskId, WorkerTask>, StoreError> {
    let lock = match tx.skip_locked() {
        "" => "",
        _ => " FOR UPDATE OF job_runs SKIP LOCKED",
    };
    let sql = format!(
        "SELECT tasks.id, job_runs.run_id, job_runs.request_id, job_tasks.task_type, \
         job_tasks.retries FROM tasks JOIN job_runs ON job_runs.run_id = tasks.run_id \
         JOIN job_tasks ON job_tasks.run_id = tasks.run_id AND job_tasks.task_id = tasks.id \
         WHERE tasks.id IN ({{list}}){lock}"
    );
    tx.query_list(&sql, &[], ids)?
        .iter()
        .map(|row| {
            let task = WorkerTask {
                run_id: row.get(1)?,
                request_id: row.get(2)?,
                name: row.get(3)?,
                retry: row.get(4)?,
            };
            Ok((row.get(0)?, task))
        })
        .collect()
}

/// Gives a started job task to a worker. Returns until when its attempts may last together.
///
/// # Errors
///
/// The database's.
pub fn lease_task(
    tx: &mut Tx<'_>,
    lease: &Lease,
    expires_at: Timestamp,
    timeout_ms: i64,
) -> Result<Timestamp, StoreError> {
    let AttemptRef { task_id, epoch } = lease.attempt;
    let deadline_at: Timestamp = tx
        .query_one(
            "UPDATE job_tasks SET state = 'EXECUTING', ant_id = $3, ant_host = '', \
             started_at = COALESCE(started_at, $4), deadline_at = COALESCE(deadline_at, $4 + $5) \
             WHERE run_id = $1 AND task_id = $2 RETURNING deadline_at",
            &[
                &lease.run_id,
                &task_id,
                &lease.holder,
                &lease.started_at,
                &timeout_ms,
            ],
        )?
        .get(0)?;
    tx.send(
        "INSERT INTO leases (task_id, run_id, epoch, holder, expires_at, deadline_at, started_at) \
         VALUES ($1, $2, $3, $4, $5, $6, $7)",
        &[
            &task_id,
            &lease.run_id,
            &epoch,
            &lease.holder,
            &expires_at,
            &deadline_at,
            &lease.started_at,
        ],
    )?;
    Ok(deadline_at)
}

/// A worker's lease of a job task.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct HeldTask {
    /// When it ends unless it is renewed.
    pub expires_at: Timestamp,
    /// The worker was asked to stop: the lease is not renewed any more.
    pub stop: bool,
}

/// Extends the lease of a job task of that organization, unless the worker is to stop. None when
/// the lease is not current.
///
/// # Errors
///
/// The database's.
pub fn renew_task(
    tx: &mut Tx<'_>,
    org_id: &str,
    attempt: AttemptRef,
    expires_at: Timestamp,
) -> Result<Option<HeldTask>, StoreError> {
    let lock = match tx.for_update() {
        "" => "",
        _ => " FOR UPDATE OF leases",
    };
    let sql = format!(
        "SELECT leases.expires_at, job_tasks.stop FROM leases \
         JOIN tasks ON tasks.id = leases.task_id \
         JOIN job_tasks ON job_tasks.run_id = leases.run_id \
         AND job_tasks.task_id = leases.task_id \
         WHERE leases.task_id = $1 AND leases.epoch = $2 AND tasks.org_id = $3{lock}"
    );
    let row = tx.query_opt(&sql, &[&attempt.task_id, &attempt.epoch, &org_id])?;
    let Some(row) = row else { return Ok(None) };
    let stop: Option<&str> = row.get(1)?;
    if stop.is_some() {
        let expires_at = row.get(0)?;
        return Ok(Some(HeldTask {
            expires_at,
            stop: true,
        }));
    }
    tx.send(
        "UPDATE leases SET expires_at = $2 WHERE task_id = $1",
        &[&attempt.task_id, &expires_at],
    )?;
    Ok(Some(HeldTask {
        expires_at,
        stop: false,
    }))
}

/// What a worker says of its task beside the outcome. `None` leaves as it is, an inner `None`
/// clears.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct TaskWords {
    /// JSON.
    pub output: Option<Option<Text>>,
    /// JSON.
    pub error: Option<Option<Text>>,
    /// A JSON object.
    pub metadata: Option<Text>,
}

/// Stores it; returns the task as it is then.
///
/// # Errors
///
/// The database's; the task is missing.
pub fn set_words(
    tx: &mut Tx<'_>,
    org_id: &str,
    id: TaskId,
    words: &TaskWords,
    now: Timestamp,
) -> Result<Option<TaskRow>, StoreError> {
    let (output, error) = (words.output.as_ref(), words.error.as_ref());
    if *words != TaskWords::default() {
        tx.send(
            "UPDATE tasks SET output = CASE WHEN $3 THEN $4 ELSE output END, \
             error = CASE WHEN $5 THEN $6 ELSE error END, \
             metadata = COALESCE($7, metadata), updated_at = $8 WHERE id = $1 AND org_id = $2",
            &[
                &id,
                &org_id,
                &output.is_some(),
                &output.and_then(Option::as_ref),
                &error.is_some(),
                &error.and_then(Option::as_ref),
                &words.metadata,
                &now,
            ],
        )?;
    }
    crate::ledger::task::find_task(tx, org_id, id)
}

/// Number of a task's current lease, if a worker has it. Locks the lease.
///
/// # Errors
///
/// The database's.
pub fn epoch_held(tx: &mut Tx<'_>, id: TaskId) -> Result<Option<Epoch>, StoreError> {
    let lock = tx.for_update();
    let sql = format!("SELECT epoch, holder FROM leases WHERE task_id = $1{lock}");
    let Some(row) = tx.query_opt(&sql, &[&id])? else {
        return Ok(None);
    };
    let held = is_worker(row.get(1)?);
    Ok(if held { Some(row.get(0)?) } else { None })
}
