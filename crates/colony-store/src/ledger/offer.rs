//! Tasks that wait for workers, and claiming them.

use std::collections::BTreeSet;

use colony_core::id::TaskId;
use colony_core::time::Timestamp;

use super::row::{TASK_COLUMNS, TaskRow, task};
use super::task::WorkerLease;
use crate::error::StoreError;
use crate::params;
use crate::tx::{Dialect, Tx};

/// A place in a queue.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub struct Offer {
    /// Owner.
    pub org_id: String,
    /// Type of the task.
    pub kind: String,
    /// Lower first.
    pub rank: i64,
    /// The task; older first.
    pub task_id: TaskId,
    /// For the task of a job: how long its attempts may take together, in milliseconds.
    pub timeout_ms: Option<i64>,
}

impl Offer {
    /// The place of a task that no job owns.
    pub fn of(row: &TaskRow) -> Self {
        Self {
            org_id: row.org_id.clone(),
            kind: row.kind.clone(),
            rank: row.priority,
            task_id: row.id,
            timeout_ms: None,
        }
    }
}

/// Puts tasks into their queues.
///
/// # Errors
///
/// The database's.
pub fn insert_offers(tx: &mut Tx<'_>, offers: &[Offer]) -> Result<(), StoreError> {
    tx.send_rows(
        "INSERT INTO offers (org_id, type, rank, task_id, timeout_ms) \
         VALUES {rows: text, text, int, id, int} ON CONFLICT DO NOTHING",
        &[],
        offers,
        |offer| {
            params![
                &offer.org_id,
                &offer.kind,
                &offer.rank,
                &offer.task_id,
                &offer.timeout_ms,
            ]
        },
    )?;
    Ok(())
}

/// Takes tasks out of their queues.
///
/// # Errors
///
/// The database's.
pub fn delete_offers(tx: &mut Tx<'_>, offers: &[Offer]) -> Result<(), StoreError> {
    let sql = match tx.dialect() {
        Dialect::Sqlite => {
            "DELETE FROM offers WHERE org_id = $1 AND type = $2 AND rank = $3 AND task_id = $4"
        }
        Dialect::Postgres => {
            "WITH old (org_id, type, rank, task_id) AS (VALUES {rows: text, text, int, id}) \
             DELETE FROM offers USING old WHERE offers.org_id = old.org_id \
             AND offers.type = old.type AND offers.rank = old.rank \
             AND offers.task_id = old.task_id"
        }
    };
    tx.send_rows(sql, &[], offers, |offer| {
        params![&offer.org_id, &offer.kind, &offer.rank, &offer.task_id]
    })?;
    Ok(())
}

/// Those of some places whose task is not there, or does not wait in them.
///
/// # Errors
///
/// The database's.
pub fn stale(tx: &mut Tx<'_>, offers: Vec<Offer>) -> Result<Vec<Offer>, StoreError> {
    let is_job = |offer: &Offer| offer.timeout_ms.is_some();
    let (jobs, others): (Vec<_>, Vec<_>) = offers.into_iter().partition(is_job);
    let joined = "JOIN job_runs ON job_runs.run_id = tasks.run_id \
                  JOIN job_tasks ON job_tasks.run_id = tasks.run_id \
                  AND job_tasks.task_id = tasks.id";
    let mut stale = Vec::new();
    for (offers, join) in [(jobs, joined), (others, "")] {
        if offers.is_empty() {
            continue;
        }
        let ids: Vec<TaskId> = offers.iter().map(|offer| offer.task_id).collect();
        let sql = format!(
            "SELECT tasks.id FROM tasks {join} WHERE tasks.id IN ({{list}}) \
             AND waiting = 'offered'"
        );
        let rows = tx.query_list(&sql, &[], &ids)?;
        let waiting = rows.iter().map(|row| row.get(0));
        let waiting: BTreeSet<TaskId> = waiting.collect::<Result<_, _>>()?;
        let is_stale = |offer: &Offer| !waiting.contains(&offer.task_id);
        stale.extend(offers.into_iter().filter(is_stale));
    }
    Ok(stale)
}

/// Puts tasks off until their time.
///
/// # Errors
///
/// The database's.
pub fn insert_delayed(tx: &mut Tx<'_>, delayed: &[(Timestamp, TaskId)]) -> Result<(), StoreError> {
    tx.send_rows(
        "INSERT INTO delayed_tasks (due_at, task_id) VALUES {rows: int, id} ON CONFLICT DO NOTHING",
        &[],
        delayed,
        |(due_at, id)| params![due_at, id],
    )?;
    Ok(())
}

/// Takes tasks out of the list of those put off.
///
/// # Errors
///
/// The database's.
pub fn delete_delayed(tx: &mut Tx<'_>, delayed: &[(Timestamp, TaskId)]) -> Result<(), StoreError> {
    let sql = match tx.dialect() {
        Dialect::Sqlite => "DELETE FROM delayed_tasks WHERE due_at = $1 AND task_id = $2",
        Dialect::Postgres => {
            "WITH old (due_at, task_id) AS (VALUES {rows: int, id}) \
             DELETE FROM delayed_tasks USING old WHERE delayed_tasks.due_at = old.due_at \
             AND delayed_tasks.task_id = old.task_id"
        }
    };
    tx.send_rows(sql, &[], delayed, |(due_at, id)| params![due_at, id])?;
    Ok(())
}

/// Tasks put off whose time has come.
///
/// # Errors
///
/// The database's.
pub fn due_tasks(tx: &mut Tx<'_>, now: Timestamp, limit: u32) -> Result<Vec<TaskId>, StoreError> {
    let sql = format!(
        "SELECT task_id FROM delayed_tasks WHERE due_at <= $1 ORDER BY due_at, task_id LIMIT {limit}"
    );
    tx.query(&sql, &[&now])?
        .iter()
        .map(|row| row.get(0))
        .collect()
}

/// Takes tasks out of the list of those put off until now, when they do not wait there.
///
/// # Errors
///
/// The database's.
pub fn forget_delayed(tx: &mut Tx<'_>, ids: &[TaskId], now: Timestamp) -> Result<(), StoreError> {
    tx.send_list(
        "DELETE FROM delayed_tasks WHERE due_at <= $1 AND task_id IN ({list})",
        &[&now],
        ids,
    )
}

/// The front of a queue. On PostgreSQL the places are locked, and places that others hold are
/// skipped.
///
/// # Errors
///
/// The database's.
pub fn front(
    tx: &mut Tx<'_>,
    org_id: &str,
    kind: &str,
    limit: u32,
) -> Result<Vec<Offer>, StoreError> {
    let lock = tx.skip_locked();
    // A number rather than a parameter, so that the plan is made for it; rounded, so that few
    // texts exist.
    let rounded = limit.next_power_of_two();
    let sql = format!(
        "SELECT rank, task_id, timeout_ms FROM offers WHERE org_id = $1 AND type = $2 \
         ORDER BY rank, task_id LIMIT {rounded}{lock}"
    );
    tx.query(&sql, &[&org_id, &kind])?
        .iter()
        .take(limit as usize)
        .map(|row| {
            Ok(Offer {
                org_id: org_id.to_owned(),
                kind: kind.to_owned(),
                rank: row.get(0)?,
                task_id: row.get(1)?,
                timeout_ms: row.get(2)?,
            })
        })
        .collect()
}

/// Gives tasks of queues to workers: each gets its next epoch and runs. On PostgreSQL a task that
/// someone else is changing right now is left out, and stays in its queue.
///
/// # Errors
///
/// The database's.
pub fn start_tasks(
    tx: &mut Tx<'_>,
    ids: &[TaskId],
    now: Timestamp,
) -> Result<Vec<TaskRow>, StoreError> {
    // A join rather than a list: whatever plan it gets, it never looks at a row twice.
    let (free, these) = match tx.dialect() {
        Dialect::Sqlite => ("", "WHERE id IN ({list})"),
        Dialect::Postgres => (
            "WITH free AS MATERIALIZED (SELECT id FROM tasks WHERE id IN ({list}) \
             ORDER BY id FOR NO KEY UPDATE SKIP LOCKED) ",
            "FROM free WHERE tasks.id = free.id",
        ),
    };
    let sql = format!(
        "{free}UPDATE tasks SET epoch = epoch + 1, status = 'running', waiting = NULL, \
         queued_at = COALESCE(queued_at, $1), started_at = COALESCE(started_at, $1), \
         updated_at = $1 {these} AND waiting = 'offered' RETURNING {TASK_COLUMNS}"
    );
    tx.query_list(&sql, &[&now], ids)?
        .iter()
        .map(task)
        .collect()
}

/// Stores leases.
///
/// # Errors
///
/// The database's.
pub fn insert_leases(tx: &mut Tx<'_>, leases: &[WorkerLease]) -> Result<(), StoreError> {
    tx.send_rows(
        "INSERT INTO worker_leases (task_id, org_id, epoch, holder, started_at, expires_at) \
         VALUES {rows: id, text, int, text, int, int}",
        &[],
        leases,
        |lease| {
            params![
                &lease.task_id,
                &lease.org_id,
                &lease.epoch,
                &lease.holder,
                &lease.started_at,
                &lease.expires_at,
            ]
        },
    )?;
    Ok(())
}
