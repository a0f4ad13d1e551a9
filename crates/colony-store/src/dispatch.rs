//! Ready tasks and leases: who may work on what, and until when.

use colony_core::id::{AttemptRef, Epoch, RunId, TaskId};
use colony_core::time::Timestamp;

use crate::error::StoreError;
use crate::row::Row;
use crate::tx::Tx;

/// A task that waits for an ant or worker.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ReadyTask {
    /// What can do it: method and sorted tags.
    pub queue: String,
    /// Lower first.
    pub rank: i64,
    /// The task.
    pub task_id: TaskId,
    /// Its run.
    pub run_id: RunId,
    /// Limit of its attempts together, from the first start.
    pub timeout_ms: i64,
}

/// Offers a task.
///
/// # Errors
///
/// The database's.
pub fn offer_task(tx: &mut Tx<'_>, task: &ReadyTask) -> Result<(), StoreError> {
    tx.send(
        "INSERT INTO ready_tasks (queue, rank, task_id, run_id, timeout_ms) \
         VALUES ($1, $2, $3, $4, $5) ON CONFLICT DO NOTHING",
        &[
            &task.queue,
            &task.rank,
            &task.task_id,
            &task.run_id,
            &task.timeout_ms,
        ],
    )?;
    Ok(())
}

/// Takes an offer back.
///
/// # Errors
///
/// The database's.
pub fn withdraw_task(tx: &mut Tx<'_>, task_id: TaskId) -> Result<(), StoreError> {
    tx.send("DELETE FROM ready_tasks WHERE task_id = $1", &[&task_id])?;
    Ok(())
}

/// The queues in which tasks wait, in order. Hops from one queue to the next in the index.
///
/// # Errors
///
/// The database's.
pub fn ready_queues(tx: &mut Tx<'_>) -> Result<Vec<String>, StoreError> {
    hop(tx, "ready_tasks", "queue", "TRUE")
}

/// The distinct values of an indexed column, without reading every row.
pub(crate) fn hop(
    tx: &mut Tx<'_>,
    table: &str,
    column: &str,
    only: &str,
) -> Result<Vec<String>, StoreError> {
    let sql = format!(
        "WITH RECURSIVE hop (value) AS ( \
            SELECT MIN({column}) FROM {table} WHERE {only} \
            UNION ALL \
            SELECT (SELECT MIN({column}) FROM {table} WHERE {only} AND {column} > hop.value) \
            FROM hop WHERE hop.value IS NOT NULL \
         ) SELECT value FROM hop WHERE value IS NOT NULL"
    );
    tx.query(&sql, &[])?.iter().map(|row| row.get(0)).collect()
}

/// Who claims, and from where.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ClaimTasks {
    /// The queue.
    pub queue: String,
    /// Id of the ant or worker.
    pub holder: String,
    /// Its host.
    pub host: String,
    /// Now.
    pub now: Timestamp,
    /// When the leases end unless they are renewed.
    pub expires_at: Timestamp,
}

/// A leased task.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Lease {
    /// The task and the lease's epoch.
    pub attempt: AttemptRef,
    /// Its run.
    pub run_id: RunId,
    /// Who holds it.
    pub holder: String,
    /// When it was given.
    pub started_at: Timestamp,
}

/// The first ready tasks of a queue, locked. Those that are part of no job are left out.
///
/// # Errors
///
/// The database's.
pub fn first_tasks(tx: &mut Tx<'_>, queue: &str, limit: u32) -> Result<Vec<Claimable>, StoreError> {
    // The run is locked together with the offer: whoever cancels it comes before or after, never
    // between.
    let sql = format!(
        "SELECT ready_tasks.task_id, ready_tasks.run_id, timeout_ms, epoch, job_tasks.deadline_at \
         FROM ready_tasks JOIN job_runs ON job_runs.run_id = ready_tasks.run_id \
         JOIN tasks ON tasks.id = ready_tasks.task_id \
         JOIN job_tasks ON job_tasks.run_id = ready_tasks.run_id \
         AND job_tasks.task_id = ready_tasks.task_id \
         WHERE queue = $1 ORDER BY ready_tasks.rank, ready_tasks.task_id LIMIT {limit}{}",
        tx.skip_locked()
    );
    tx.query(&sql, &[&queue])?
        .iter()
        .map(|row| {
            Ok(Claimable {
                task_id: row.get(0)?,
                run_id: row.get(1)?,
                timeout_ms: row.get(2)?,
                epoch: row.get(3)?,
                deadline_at: row.get(4)?,
            })
        })
        .collect()
}

/// Leases a task out of its queue: it gets its next epoch.
///
/// # Errors
///
/// The database's.
pub fn claim_task(
    tx: &mut Tx<'_>,
    claim: &ClaimTasks,
    ready: &Claimable,
) -> Result<Lease, StoreError> {
    withdraw_task(tx, ready.task_id)?;
    lease(tx, claim, ready)
}

/// Leases a task of a locked run that is not in a queue any more. None when it is not there.
///
/// # Errors
///
/// The database's.
pub fn lease_task(
    tx: &mut Tx<'_>,
    claim: &ClaimTasks,
    (task_id, run_id): (TaskId, RunId),
    timeout_ms: i64,
) -> Result<Option<Lease>, StoreError> {
    let row = tx.query_opt(
        "SELECT epoch, job_tasks.deadline_at FROM tasks \
         JOIN job_tasks ON job_tasks.run_id = tasks.run_id AND job_tasks.task_id = tasks.id \
         WHERE tasks.id = $1",
        &[&task_id],
    )?;
    let Some(row) = row else { return Ok(None) };
    let ready = Claimable {
        task_id,
        run_id,
        timeout_ms,
        epoch: row.get(0)?,
        deadline_at: row.get(1)?,
    };
    lease(tx, claim, &ready).map(Some)
}

/// A task that is about to be leased.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Claimable {
    /// The task.
    pub task_id: TaskId,
    /// Its run.
    pub run_id: RunId,
    timeout_ms: i64,
    /// Number of its latest lease.
    epoch: Epoch,
    /// Set by the first lease.
    deadline_at: Option<Timestamp>,
}

fn lease(tx: &mut Tx<'_>, claim: &ClaimTasks, ready: &Claimable) -> Result<Lease, StoreError> {
    let Claimable {
        task_id, run_id, ..
    } = *ready;
    let now = claim.now;
    let epoch = Epoch(ready.epoch.0 + 1);
    let deadline_at = ready.deadline_at.unwrap_or_else(|| {
        Timestamp::from_millis(now.as_millis().saturating_add(ready.timeout_ms))
    });
    tx.send(
        "UPDATE tasks SET epoch = $2, status = 'running', \
         started_at = COALESCE(started_at, $3), updated_at = $3 WHERE id = $1",
        &[&task_id, &epoch, &now],
    )?;
    tx.send(
        "UPDATE job_tasks SET state = 'EXECUTING', ant_id = $3, ant_host = $4, \
         started_at = COALESCE(started_at, $5), deadline_at = $6 \
         WHERE run_id = $1 AND task_id = $2",
        &[
            &run_id,
            &task_id,
            &claim.holder,
            &claim.host,
            &now,
            &deadline_at,
        ],
    )?;
    tx.send(
        "INSERT INTO leases (task_id, run_id, epoch, holder, expires_at, deadline_at, started_at) \
         VALUES ($1, $2, $3, $4, $5, $6, $7)",
        &[
            &task_id,
            &run_id,
            &epoch,
            &claim.holder,
            &claim.expires_at,
            &deadline_at,
            &now,
        ],
    )?;
    let attempt = AttemptRef { task_id, epoch };
    Ok(Lease {
        attempt,
        run_id,
        holder: claim.holder.clone(),
        started_at: now,
    })
}

/// Ends a lease if it is still the current one.
///
/// # Errors
///
/// The database's.
pub fn end_lease(tx: &mut Tx<'_>, attempt: AttemptRef) -> Result<Option<Lease>, StoreError> {
    let row = tx.query_opt(
        "DELETE FROM leases WHERE task_id = $1 AND epoch = $2 RETURNING run_id, holder, started_at",
        &[&attempt.task_id, &attempt.epoch],
    )?;
    row.map(|row| {
        Ok(Lease {
            attempt,
            run_id: row.get(0)?,
            holder: row.get(1)?,
            started_at: row.get(2)?,
        })
    })
    .transpose()
}

/// The current lease of a task.
///
/// # Errors
///
/// The database's.
pub fn find_lease(tx: &mut Tx<'_>, task_id: TaskId) -> Result<Option<Lease>, StoreError> {
    let row = tx.query_opt(
        "SELECT task_id, epoch, run_id, holder, started_at FROM leases WHERE task_id = $1",
        &[&task_id],
    )?;
    row.as_ref().map(lease_row).transpose()
}

fn lease_row(row: &Row) -> Result<Lease, StoreError> {
    Ok(Lease {
        attempt: AttemptRef {
            task_id: row.get(0)?,
            epoch: row.get(1)?,
        },
        run_id: row.get(2)?,
        holder: row.get(3)?,
        started_at: row.get(4)?,
    })
}

/// Extends leases. Returns the attempts whose lease is no longer current.
///
/// # Errors
///
/// The database's.
pub fn renew_leases(
    tx: &mut Tx<'_>,
    attempts: &[AttemptRef],
    expires_at: Timestamp,
) -> Result<Vec<AttemptRef>, StoreError> {
    let mut lost = Vec::new();
    for attempt in attempts {
        let renewed = tx.execute(
            "UPDATE leases SET expires_at = $3 WHERE task_id = $1 AND epoch = $2",
            &[&attempt.task_id, &attempt.epoch, &expires_at],
        )?;
        if renewed == 0 {
            lost.push(*attempt);
        }
    }
    Ok(lost)
}

/// Those of some attempts with a current lease that were asked to stop.
///
/// # Errors
///
/// The database's.
pub fn stops_of(tx: &mut Tx<'_>, attempts: &[AttemptRef]) -> Result<Vec<AttemptRef>, StoreError> {
    let ids: Vec<TaskId> = attempts.iter().map(|attempt| attempt.task_id).collect();
    let rows = tx.query_list(
        "SELECT leases.task_id, leases.epoch FROM leases \
         JOIN job_tasks ON job_tasks.run_id = leases.run_id \
         AND job_tasks.task_id = leases.task_id \
         WHERE leases.task_id IN ({list}) AND job_tasks.stop IS NOT NULL",
        &[],
        &ids,
    )?;
    let stopped = rows.iter().map(|row| {
        Ok(AttemptRef {
            task_id: row.get(0)?,
            epoch: row.get(1)?,
        })
    });
    let stopped = stopped.collect::<Result<Vec<_>, StoreError>>()?;
    let named = |attempt: &AttemptRef| attempts.contains(attempt);
    Ok(stopped.into_iter().filter(named).collect())
}

/// Leases that were not renewed in time.
///
/// # Errors
///
/// The database's.
pub fn expired_leases(
    tx: &mut Tx<'_>,
    now: Timestamp,
    limit: u32,
) -> Result<Vec<Lease>, StoreError> {
    let sql = format!(
        "SELECT task_id, epoch, run_id, holder, started_at FROM leases WHERE expires_at <= $1 \
         ORDER BY expires_at LIMIT {limit}"
    );
    tx.query(&sql, &[&now])?.iter().map(lease_row).collect()
}

/// Leases of one holder.
///
/// # Errors
///
/// The database's.
pub fn leases_of(tx: &mut Tx<'_>, holder: &str) -> Result<Vec<Lease>, StoreError> {
    let sql = "SELECT task_id, epoch, run_id, holder, started_at FROM leases WHERE holder = $1";
    tx.query(sql, &[&holder])?.iter().map(lease_row).collect()
}

/// Leases whose task has run out of time. Each is given once: its deadline is cleared.
///
/// # Errors
///
/// The database's.
pub fn take_overdue_leases(
    tx: &mut Tx<'_>,
    now: Timestamp,
    limit: u32,
) -> Result<Vec<Lease>, StoreError> {
    let sql = format!(
        "SELECT task_id, epoch, run_id, holder, started_at FROM leases \
         WHERE deadline_at IS NOT NULL AND deadline_at <= $1 ORDER BY deadline_at LIMIT {limit}"
    );
    let leases = tx
        .query(&sql, &[&now])?
        .iter()
        .map(lease_row)
        .collect::<Result<Vec<_>, _>>()?;
    for lease in &leases {
        tx.send(
            "UPDATE leases SET deadline_at = NULL WHERE task_id = $1",
            &[&lease.attempt.task_id],
        )?;
    }
    Ok(leases)
}

/// An attempt that is over.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct EndedAttempt {
    /// Its lease.
    pub lease: Lease,
    /// Number of the attempt within the task, from 0.
    pub retry: u32,
    /// `completed`, `failed`, `cancelled`, `lost`, `given_back`.
    pub outcome: &'static str,
    /// Exit code.
    pub exit_code: String,
    /// Why it failed.
    pub error_message: String,
    /// When it ended.
    pub ended_at: Timestamp,
}

/// Records an attempt that is over.
///
/// # Errors
///
/// The database's; one attempt has one outcome.
pub fn insert_attempt(tx: &mut Tx<'_>, ended: &EndedAttempt) -> Result<(), StoreError> {
    let lease = &ended.lease;
    tx.send(
        "INSERT INTO attempts (task_id, epoch, run_id, retry, holder, outcome, exit_code, \
         error_message, started_at, ended_at) VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10)",
        &[
            &lease.attempt.task_id,
            &lease.attempt.epoch,
            &lease.run_id,
            &ended.retry,
            &lease.holder,
            &ended.outcome,
            &ended.exit_code,
            &ended.error_message,
            &lease.started_at,
            &ended.ended_at,
        ],
    )?;
    Ok(())
}
