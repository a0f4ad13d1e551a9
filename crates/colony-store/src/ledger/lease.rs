//! Leases of workers: renewing, ending, and finding those that ran out.

use std::collections::BTreeMap;

use colony_core::id::{AttemptRef, Epoch, RunId, TaskId};
use colony_core::state::TaskStatus;
use colony_core::time::Timestamp;

use super::task::WorkerLease;
use crate::error::StoreError;
use crate::params;
use crate::row::readable;
use crate::tx::{Dialect, Tx};

/// Extends leases of an organization. Returns those that are still current.
///
/// # Errors
///
/// The database's.
pub fn renew(
    tx: &mut Tx<'_>,
    org_id: &str,
    attempts: &[AttemptRef],
    expires_at: Timestamp,
) -> Result<Vec<AttemptRef>, StoreError> {
    let sql = match tx.dialect() {
        Dialect::Sqlite => {
            "UPDATE worker_leases SET expires_at = $2 \
             WHERE task_id = $3 AND epoch = $4 AND org_id = $1 RETURNING task_id, epoch"
        }
        Dialect::Postgres => {
            "WITH held (task_id, epoch) AS (VALUES {rows: id, int}) \
             UPDATE worker_leases SET expires_at = $2 FROM held \
             WHERE worker_leases.task_id = held.task_id AND worker_leases.epoch = held.epoch \
             AND org_id = $1 RETURNING worker_leases.task_id, worker_leases.epoch"
        }
    };
    let rows = tx.query_rows(sql, &[&org_id, &expires_at], attempts, |attempt| {
        params![&attempt.task_id, &attempt.epoch]
    })?;
    rows.iter()
        .map(|row| {
            Ok(AttemptRef {
                task_id: row.get(0)?,
                epoch: row.get(1)?,
            })
        })
        .collect()
}

/// Where tasks of an organization are. Unknown ones and those that cannot be read are left out.
///
/// # Errors
///
/// The database's.
pub fn states_of(
    tx: &mut Tx<'_>,
    org_id: &str,
    ids: &[TaskId],
) -> Result<BTreeMap<TaskId, TaskStatus>, StoreError> {
    let sql = "SELECT id, status FROM tasks WHERE org_id = $1 AND id IN ({list})";
    let rows = tx.query_list(sql, &[&org_id], ids)?;
    let states = readable(&rows, |row| Ok((row.get(0)?, row.get(1)?)))?;
    Ok(states.into_iter().collect())
}

/// Ends leases.
///
/// # Errors
///
/// The database's.
pub fn delete_leases(tx: &mut Tx<'_>, ids: &[TaskId]) -> Result<(), StoreError> {
    tx.send_list(
        "DELETE FROM worker_leases WHERE task_id IN ({list})",
        &[],
        ids,
    )?;
    Ok(())
}

/// Tasks whose lease was not renewed in time.
///
/// # Errors
///
/// The database's.
pub fn expired(tx: &mut Tx<'_>, now: Timestamp, limit: u32) -> Result<Vec<TaskId>, StoreError> {
    let sql = format!(
        "SELECT task_id FROM worker_leases WHERE expires_at <= $1 ORDER BY expires_at LIMIT {limit}"
    );
    tx.query(&sql, &[&now])?
        .iter()
        .map(|row| row.get(0))
        .collect()
}

/// When a lease runs out or a task put off is due next.
///
/// # Errors
///
/// The database's.
pub fn next_due(tx: &mut Tx<'_>) -> Result<Option<Timestamp>, StoreError> {
    tx.query_one(
        "SELECT MIN(due_at) FROM (SELECT MIN(expires_at) AS due_at FROM worker_leases \
         UNION ALL SELECT MIN(due_at) FROM delayed_tasks) AS due",
        &[],
    )?
    .get(0)
}

/// An attempt that is over.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct EndedAttempt {
    /// The lease it ran under.
    pub lease: WorkerLease,
    /// Its run.
    pub run_id: RunId,
    /// Retries of the task before it.
    pub retry: i64,
    /// How it ended: the status that was reported, or `lost`.
    pub outcome: &'static str,
    /// Why it was lost.
    pub error_message: String,
    /// When it ended.
    pub ended_at: Timestamp,
}

/// Records attempts that are over: one accepted outcome each.
///
/// # Errors
///
/// The database's.
pub fn insert_attempts(tx: &mut Tx<'_>, attempts: &[EndedAttempt]) -> Result<(), StoreError> {
    tx.send_rows(
        "INSERT INTO attempts (task_id, epoch, run_id, retry, holder, outcome, exit_code, \
         error_message, started_at, ended_at) \
         VALUES {rows: id, int, id, int, text, text, text, text, int, int}",
        &[],
        attempts,
        |ended| {
            params![
                &ended.lease.task_id,
                &ended.lease.epoch,
                &ended.run_id,
                &ended.retry,
                &ended.lease.holder,
                ended.outcome,
                "",
                &ended.error_message,
                &ended.lease.started_at,
                &ended.ended_at,
            ]
        },
    )?;
    Ok(())
}

/// Outcomes of the attempts at a task, oldest first.
///
/// # Errors
///
/// The database's.
pub fn outcomes_of(tx: &mut Tx<'_>, id: TaskId) -> Result<Vec<(Epoch, String)>, StoreError> {
    tx.query(
        "SELECT epoch, outcome FROM attempts WHERE task_id = $1 ORDER BY epoch",
        &[&id],
    )?
    .iter()
    .map(|row| Ok((row.get(0)?, row.get(1)?)))
    .collect()
}
