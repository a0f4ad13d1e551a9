//! Tasks: creating them, locking them for a change, storing the change.

use std::collections::{BTreeMap, BTreeSet};

use colony_core::id::{Epoch, RunId, TaskId};
use colony_core::state::TaskStatus;
use colony_core::time::Timestamp;

use super::row::{TASK_COLUMNS, TASK_WIDTH, TaskRow, Waiting, task};
use super::run::no_key_lock;
use crate::error::StoreError;
use crate::lease::{LEASE_COLUMNS, Lease, lease_at};
use crate::params;
use crate::row::{Row, readable};
use crate::tx::{Dialect, Tx};
use crate::value::Param;

/// A task to be stored.
#[derive(Debug, Clone, PartialEq)]
pub struct NewTask {
    /// The task as it will be.
    pub row: TaskRow,
    /// At most one task of a run has a given key.
    pub dedupe_key: Option<String>,
}

/// Stores new tasks. Returns the ids of those that were stored: a task whose key for
/// deduplication is taken is left out.
///
/// # Errors
///
/// The database's.
pub fn insert_tasks(tx: &mut Tx<'_>, tasks: &[NewTask]) -> Result<Vec<TaskId>, StoreError> {
    const INSERT: &str = "INSERT INTO tasks (id, run_id, parent_task_id, org_id, type, status, input, metadata, \
         retry_count, max_retries, epoch, created_at, updated_at, priority, dedupe_key, waiting, \
         due_at) VALUES {rows: id, id, id, text, text, text, text, text, int, int, int, int, int, \
         int, text, text, int}";
    if tasks.iter().all(|task| task.dedupe_key.is_none()) {
        tx.send_rows(INSERT, &[], tasks, columns)?;
        return Ok(tasks.iter().map(|task| task.row.id).collect());
    }
    let sql = format!(
        "{INSERT} ON CONFLICT (run_id, dedupe_key) WHERE dedupe_key IS NOT NULL DO NOTHING \
         RETURNING id"
    );
    let rows = tx.query_rows(&sql, &[], tasks, columns)?;
    rows.iter().map(|row| row.get(0)).collect()
}

fn columns(NewTask { row, dedupe_key }: &NewTask) -> [Param<'_>; 17] {
    params![
        &row.id,
        &row.run_id,
        &row.parent_task_id,
        &row.org_id,
        &row.kind,
        &row.status,
        &row.input,
        &row.metadata,
        &row.marks.retry_count,
        &row.max_retries,
        &row.epoch,
        &row.created_at,
        &row.updated_at,
        &row.priority,
        dedupe_key,
        Waiting::word(row.waiting),
        Waiting::due_at(row.waiting),
    ]
}

/// The task of a run with that key for deduplication.
///
/// # Errors
///
/// The database's.
pub fn find_duplicate(
    tx: &mut Tx<'_>,
    run_id: RunId,
    dedupe_key: &str,
) -> Result<Option<TaskRow>, StoreError> {
    let sql = format!("SELECT {TASK_COLUMNS} FROM tasks WHERE run_id = $1 AND dedupe_key = $2");
    tx.query_opt(&sql, &[&run_id, &dedupe_key])?
        .as_ref()
        .map(task)
        .transpose()
}

/// A task of that organization.
///
/// # Errors
///
/// The database's.
pub fn find_task(tx: &mut Tx<'_>, org_id: &str, id: TaskId) -> Result<Option<TaskRow>, StoreError> {
    let sql = format!("SELECT {TASK_COLUMNS} FROM tasks WHERE id = $1 AND org_id = $2");
    tx.query_opt(&sql, &[&id, &org_id])?
        .as_ref()
        .map(task)
        .transpose()
}

/// Tasks by id, whoever owns them.
///
/// # Errors
///
/// The database's.
pub fn find_tasks(
    tx: &mut Tx<'_>,
    ids: &[TaskId],
) -> Result<BTreeMap<TaskId, TaskRow>, StoreError> {
    let sql = format!("SELECT {TASK_COLUMNS} FROM tasks WHERE id IN ({{list}})");
    let rows = tx.query_list(&sql, &[], ids)?;
    let tasks = readable(&rows, task)?;
    Ok(tasks.into_iter().map(|task| (task.id, task)).collect())
}

/// The tasks of a run that changed at that time or later, a page of them in the order of their ids,
/// which no change moves.
///
/// # Errors
///
/// The database's.
pub fn changed_tasks(
    tx: &mut Tx<'_>,
    run_id: RunId,
    since: Timestamp,
    after: TaskId,
    limit: u32,
) -> Result<Vec<TaskRow>, StoreError> {
    let sql = format!(
        "SELECT {TASK_COLUMNS} FROM tasks WHERE run_id = $1 AND id > $2 AND updated_at >= $3 \
         ORDER BY id LIMIT $4"
    );
    tx.query(&sql, &[&run_id, &after, &since, &i64::from(limit)])?
        .iter()
        .map(task)
        .collect()
}

/// The runs of tasks, with the owner. Unknown tasks are left out.
///
/// # Errors
///
/// The database's.
pub fn runs_of_tasks(
    tx: &mut Tx<'_>,
    ids: &[TaskId],
) -> Result<BTreeMap<TaskId, RunId>, StoreError> {
    tx.query_list(
        "SELECT id, run_id FROM tasks WHERE id IN ({list})",
        &[],
        ids,
    )?
    .iter()
    .map(|row| Ok((row.get(0)?, row.get(1)?)))
    .collect()
}

/// A task that is about to change.
#[derive(Debug, Clone, PartialEq)]
pub struct LockedTask {
    /// The task.
    pub row: TaskRow,
    /// Its current lease.
    pub lease: Option<Lease>,
    /// The engine runs it as part of a job.
    pub is_job_task: bool,
}

/// Locks tasks until the end of the transaction. Unknown ones are left out.
///
/// # Errors
///
/// The database's.
pub fn lock_tasks(tx: &mut Tx<'_>, ids: &[TaskId]) -> Result<Vec<LockedTask>, StoreError> {
    let mut ids = ids.to_vec();
    ids.sort_unstable();
    ids.dedup();
    // On PostgreSQL the rows are locked before the leases are read: a join would show leases as
    // they were before the wait for the lock.
    if tx.dialect() == Dialect::Postgres {
        let lock = no_key_lock(tx);
        // Those of jobs are locked by their run.
        let sql = format!(
            "SELECT id FROM tasks WHERE id IN ({{list}}) AND job_task IS NULL ORDER BY id{lock}"
        );
        tx.send_list(&sql, &[], &ids)?;
    }
    let sql = format!(
        "SELECT {TASK_COLUMNS}, tasks.job_task IS NOT NULL, {LEASE_COLUMNS} FROM tasks \
         LEFT JOIN leases ON leases.task_id = tasks.id WHERE tasks.id IN ({{list}})"
    );
    tx.query_list(&sql, &[], &ids)?
        .iter()
        .map(locked_task)
        .collect()
}

fn locked_task(row: &Row) -> Result<LockedTask, StoreError> {
    let leased: Option<Epoch> = row.get(TASK_WIDTH + 2)?;
    let lease = leased.map(|_| lease_at(row, TASK_WIDTH + 1)).transpose()?;
    Ok(LockedTask {
        row: task(row)?,
        lease,
        is_job_task: row.get(TASK_WIDTH)?,
    })
}

/// Gives queued tasks of programs to workers: each gets its next epoch and runs. On PostgreSQL a task
/// that someone else is changing right now is left out, and stays in its queue.
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

/// Those of some tasks that wait to be claimed.
///
/// # Errors
///
/// The database's.
pub fn waiting_tasks(tx: &mut Tx<'_>, ids: &[TaskId]) -> Result<BTreeSet<TaskId>, StoreError> {
    let sql = "SELECT id FROM tasks WHERE id IN ({list}) AND waiting = 'offered'";
    let rows = tx.query_list(sql, &[], ids)?;
    rows.iter().map(|row| row.get(0)).collect()
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

/// From so many bytes on a value is not copied for the sake of a shorter statement.
const LONG: usize = 64 * 1024;

fn is_long(row: &TaskRow) -> bool {
    let values = [&row.output, &row.error, &row.metadata];
    (values.into_iter().flatten()).any(|value| value.len() >= LONG)
}

/// Stores what changes and reports may change of tasks.
///
/// # Errors
///
/// The database's.
pub fn update_tasks(tx: &mut Tx<'_>, tasks: &[TaskRow]) -> Result<(), StoreError> {
    let sql = match tx.dialect() {
        // For several rows it would be dearer, but would not copy their values.
        Dialect::Sqlite if tasks.len() == 1 || tasks.iter().any(is_long) => {
            "UPDATE tasks SET status = $2, output = $3, error = $4, metadata = $5, \
             queue_job_id = $6, updated_at = $7, queued_at = $8, started_at = $9, \
             completed_at = $10, duration_ms = $11, retry_count = $12, waiting = $13, \
             due_at = $14 WHERE id = $1"
        }
        _ => {
            "WITH new (id, status, output, error, metadata, queue_job_id, updated_at, queued_at, \
         started_at, completed_at, duration_ms, retry_count, waiting, due_at) AS (VALUES \
         {rows: id, text, text, text, text, text, int, int, int, int, int, int, text, int}) \
         UPDATE tasks SET status = new.status, output = new.output, error = new.error, \
         metadata = new.metadata, queue_job_id = new.queue_job_id, updated_at = new.updated_at, \
         queued_at = new.queued_at, started_at = new.started_at, \
         completed_at = new.completed_at, duration_ms = new.duration_ms, \
         retry_count = new.retry_count, waiting = new.waiting, due_at = new.due_at \
         FROM new WHERE tasks.id = new.id"
        }
    };
    tx.send_rows(sql, &[], tasks, |row| {
        params![
            &row.id,
            &row.status,
            &row.output,
            &row.error,
            &row.metadata,
            &row.queue_job_id,
            &row.updated_at,
            &row.marks.queued_at,
            &row.marks.started_at,
            &row.marks.completed_at,
            &row.marks.duration_ms,
            &row.marks.retry_count,
            Waiting::word(row.waiting),
            Waiting::due_at(row.waiting),
        ]
    })?;
    Ok(())
}
