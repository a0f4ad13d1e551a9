//! Runs.

use std::collections::BTreeMap;

use colony_core::id::RunId;
use colony_core::time::Timestamp;

use super::row::{RUN_COLUMNS, RunRow, run};
use crate::error::StoreError;
use crate::params;
use crate::tx::{Dialect, Tx};

/// Stores new runs.
///
/// # Errors
///
/// The database's.
pub fn insert_runs(tx: &mut Tx<'_>, runs: &[RunRow]) -> Result<(), StoreError> {
    tx.send_rows(
        "INSERT INTO runs (id, org_id, status, input, metadata, total_tasks, completed_tasks, \
         failed_tasks, created_at, updated_at) \
         VALUES {rows: id, text, text, text, text, int, int, int, int, int}",
        &[],
        runs,
        |run| {
            params![
                &run.id,
                &run.org_id,
                &run.status,
                &run.input,
                &run.metadata,
                &run.total_tasks,
                &run.completed_tasks,
                &run.failed_tasks,
                &run.created_at,
                &run.updated_at,
            ]
        },
    )?;
    Ok(())
}

/// A run of that organization.
///
/// # Errors
///
/// The database's.
pub fn find_run(tx: &mut Tx<'_>, org_id: &str, id: RunId) -> Result<Option<RunRow>, StoreError> {
    select_run(tx, org_id, id, "")
}

/// A run of that organization, locked until the end of the transaction.
///
/// # Errors
///
/// The database's.
pub fn lock_run(tx: &mut Tx<'_>, org_id: &str, id: RunId) -> Result<Option<RunRow>, StoreError> {
    let lock = no_key_lock(tx);
    select_run(tx, org_id, id, lock)
}

fn select_run(
    tx: &mut Tx<'_>,
    org_id: &str,
    id: RunId,
    lock: &str,
) -> Result<Option<RunRow>, StoreError> {
    let sql = format!("SELECT {RUN_COLUMNS} FROM runs WHERE id = $1 AND org_id = $2{lock}");
    tx.query_opt(&sql, &[&id, &org_id])?
        .as_ref()
        .map(run)
        .transpose()
}

/// Locks rows that keep their keys: new rows may refer to them meanwhile.
pub(crate) fn no_key_lock(tx: &Tx<'_>) -> &'static str {
    match tx.dialect() {
        Dialect::Sqlite => "",
        Dialect::Postgres => " FOR NO KEY UPDATE",
    }
}

/// Whether a job executes in that run.
///
/// # Errors
///
/// The database's.
pub fn is_job_run(tx: &mut Tx<'_>, id: RunId) -> Result<bool, StoreError> {
    let sql = "SELECT id FROM runs WHERE id = $1 AND request_id IS NOT NULL";
    Ok(tx.query_opt(sql, &[&id])?.is_some())
}

/// Stores what a PATCH may change of a run.
///
/// # Errors
///
/// The database's.
pub fn update_run(tx: &mut Tx<'_>, run: &RunRow) -> Result<(), StoreError> {
    tx.send(
        "UPDATE runs SET status = $2, output = $3, error = $4, metadata = $5, updated_at = $6, \
         started_at = $7, completed_at = $8, duration_ms = $9 WHERE id = $1",
        &[
            &run.id,
            &run.status,
            &run.output,
            &run.error,
            &run.metadata,
            &run.updated_at,
            &run.marks.started_at,
            &run.marks.completed_at,
            &run.marks.duration_ms,
        ],
    )?;
    Ok(())
}

/// Whose a run is.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct RunOwner {
    /// The organization.
    pub org_id: String,
    /// A job executes in it.
    pub of_job: bool,
}

/// Owners of runs, which are locked until the end of the transaction. Unknown ones are left out.
///
/// # Errors
///
/// The database's.
pub fn lock_runs(tx: &mut Tx<'_>, ids: &[RunId]) -> Result<BTreeMap<RunId, RunOwner>, StoreError> {
    let mut ids = ids.to_vec();
    ids.sort_unstable();
    ids.dedup();
    let lock = no_key_lock(tx);
    let sql = format!(
        "SELECT id, org_id, request_id IS NOT NULL FROM runs \
         WHERE id IN ({{list}}) ORDER BY id{lock}"
    );
    let rows = tx.query_list(&sql, &[], &ids)?;
    rows.iter()
        .map(|row| {
            let (org_id, of_job) = (row.get(1)?, row.get(2)?);
            Ok((row.get(0)?, RunOwner { org_id, of_job }))
        })
        .collect()
}

/// Locks runs before their counters grow, always in the order of their ids, so that two
/// transactions never wait for each other. SQLite's one writer needs no lock.
///
/// # Errors
///
/// The database's.
pub fn lock_counters(tx: &mut Tx<'_>, ids: &[RunId]) -> Result<(), StoreError> {
    match tx.dialect() {
        Dialect::Sqlite => Ok(()),
        Dialect::Postgres => {
            let lock = no_key_lock(tx);
            let sql = format!("SELECT id FROM runs WHERE id IN ({{list}}) ORDER BY id{lock}");
            tx.send_list(&sql, &[], ids)
        }
    }
}

/// How the counters of a run grow.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Growth {
    /// Of `totalTasks`.
    pub total: i64,
    /// Of `completedTasks`.
    pub completed: i64,
    /// Of `failedTasks`.
    pub failed: i64,
}

/// Lets the counters of runs grow. Lock the runs before.
///
/// # Errors
///
/// The database's.
pub fn grow_runs(
    tx: &mut Tx<'_>,
    growth: &BTreeMap<RunId, Growth>,
    now: Timestamp,
) -> Result<(), StoreError> {
    let rows: Vec<(&RunId, &Growth)> = growth.iter().collect();
    let sql = match tx.dialect() {
        Dialect::Sqlite => {
            "UPDATE runs SET total_tasks = total_tasks + $3, \
             completed_tasks = completed_tasks + $4, failed_tasks = failed_tasks + $5, \
             updated_at = $1 WHERE id = $2"
        }
        Dialect::Postgres => {
            "WITH new (id, total, completed, failed) AS (VALUES {rows: id, int, int, int}) \
             UPDATE runs SET total_tasks = total_tasks + new.total, \
             completed_tasks = completed_tasks + new.completed, \
             failed_tasks = failed_tasks + new.failed, updated_at = $1 \
             FROM new WHERE runs.id = new.id"
        }
    };
    tx.send_rows(sql, &[&now], &rows, |(id, growth)| {
        params![*id, &growth.total, &growth.completed, &growth.failed]
    })?;
    Ok(())
}

/// Owners of runs. Unknown ones are left out.
///
/// # Errors
///
/// The database's.
pub fn owners_of_runs(
    tx: &mut Tx<'_>,
    ids: &[RunId],
) -> Result<BTreeMap<RunId, String>, StoreError> {
    tx.query_list("SELECT id, org_id FROM runs WHERE id IN ({list})", &[], ids)?
        .iter()
        .map(|row| Ok((row.get(0)?, row.get(1)?)))
        .collect()
}
