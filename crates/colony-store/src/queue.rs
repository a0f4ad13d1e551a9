//! The work queue: tasks that wait for somebody who can do them.

mod turns;

use colony_core::id::{RunId, TaskId};
use colony_core::queue_key;

use crate::error::StoreError;
use crate::params;
use crate::row::Row;
use crate::tx::{Dialect, Tx};

pub use turns::fronts;

/// A task that waits, and its place.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub struct QueuedTask {
    /// Who can do it (`colony_core::queue_key`).
    pub key: String,
    /// Lower first.
    pub rank: i64,
    /// Within a rank, flows take turns: organization and job, or empty.
    pub flow: String,
    /// The task; older first within its flow.
    pub task_id: TaskId,
    /// Its run.
    pub run_id: RunId,
    /// For the task of a job: how long its attempts may take together, in milliseconds.
    pub timeout_ms: Option<i64>,
}

/// Puts tasks into the queue. One that is there already stays where it is.
///
/// # Errors
///
/// The database refused it.
pub fn insert(tx: &mut Tx<'_>, tasks: &[QueuedTask]) -> Result<(), StoreError> {
    tx.send_rows(
        "INSERT INTO queue (key, rank, flow, task_id, run_id, timeout_ms) \
         VALUES {rows: text, int, text, id, id, int} ON CONFLICT DO NOTHING",
        &[],
        tasks,
        |task| {
            params![
                &task.key,
                &task.rank,
                &task.flow,
                &task.task_id,
                &task.run_id,
                &task.timeout_ms,
            ]
        },
    )
}

/// Takes tasks out of the queue, by their places.
///
/// # Errors
///
/// The database refused it.
pub fn remove(tx: &mut Tx<'_>, tasks: &[QueuedTask]) -> Result<(), StoreError> {
    let sql = match tx.dialect() {
        Dialect::Sqlite => {
            "DELETE FROM queue WHERE key = $1 AND rank = $2 AND flow = $3 AND task_id = $4"
        }
        Dialect::Postgres => {
            "WITH old (key, rank, flow, task_id) AS (VALUES {rows: text, int, text, id}) \
             DELETE FROM queue USING old WHERE queue.key = old.key AND queue.rank = old.rank \
             AND queue.flow = old.flow AND queue.task_id = old.task_id"
        }
    };
    tx.send_rows(sql, &[], tasks, |task| {
        params![&task.key, &task.rank, &task.flow, &task.task_id]
    })
}

/// The keys of ants under which tasks wait, in order. Hops from one key to the next in the index.
///
/// # Errors
///
/// The database's.
pub fn ant_keys(tx: &mut Tx<'_>) -> Result<Vec<String>, StoreError> {
    let only = format!("key < '{}'", queue_key::ANT_END);
    hop(tx, "queue", "key", &only)
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

/// The front of a key of workers, whose tasks are all of one flow. On PostgreSQL the places are locked,
/// and places that others hold are skipped.
///
/// # Errors
///
/// The database's.
pub fn front(tx: &mut Tx<'_>, key: &str, limit: u32) -> Result<Vec<QueuedTask>, StoreError> {
    let lock = tx.skip_locked();
    first(tx, key, limit, lock)
}

/// What is to be rendered first, for a look.
///
/// # Errors
///
/// The database's.
pub fn to_render(tx: &mut Tx<'_>, limit: u32) -> Result<Vec<QueuedTask>, StoreError> {
    first(tx, queue_key::RENDER, limit, "")
}

fn first(
    tx: &mut Tx<'_>,
    key: &str,
    limit: u32,
    lock: &str,
) -> Result<Vec<QueuedTask>, StoreError> {
    // A number rather than a parameter, so that the plan is made for it; rounded, so that few
    // texts exist.
    let rounded = limit.next_power_of_two();
    let sql = format!(
        "SELECT {COLUMNS} FROM queue WHERE key = $1 ORDER BY rank, flow, task_id \
         LIMIT {rounded}{lock}"
    );
    let rows = tx.query(&sql, &[&key])?;
    rows.iter().take(limit as usize).map(queued).collect()
}

const COLUMNS: &str = "key, rank, flow, task_id, run_id, timeout_ms";

fn queued(row: &Row) -> Result<QueuedTask, StoreError> {
    Ok(QueuedTask {
        key: row.get(0)?,
        rank: row.get(1)?,
        flow: row.get(2)?,
        task_id: row.get(3)?,
        run_id: row.get(4)?,
        timeout_ms: row.get(5)?,
    })
}
