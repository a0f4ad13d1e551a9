//! Tasks that wait for workers, and claiming them.

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
}

impl Offer {
    /// The place of a task.
    pub fn of(row: &TaskRow) -> Self {
        Self {
            org_id: row.org_id.clone(),
            kind: row.kind.clone(),
            rank: row.priority,
            task_id: row.id,
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
        "INSERT INTO offers (org_id, type, rank, task_id) \
         VALUES {rows: text, text, int, id} ON CONFLICT DO NOTHING",
        &[],
        offers,
        |offer| params![&offer.org_id, &offer.kind, &offer.rank, &offer.task_id],
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
        "SELECT rank, task_id FROM offers WHERE org_id = $1 AND type = $2 \
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
    let free = match tx.dialect() {
        Dialect::Sqlite => "{list}",
        Dialect::Postgres => {
            "SELECT id FROM tasks WHERE id IN ({list}) FOR NO KEY UPDATE SKIP LOCKED"
        }
    };
    let sql = format!(
        "UPDATE tasks SET epoch = epoch + 1, status = 'running', waiting = NULL, \
         queued_at = COALESCE(queued_at, $1), started_at = COALESCE(started_at, $1), \
         updated_at = $1 WHERE id IN ({free}) AND waiting = 'offered' RETURNING {TASK_COLUMNS}"
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
