//! Attempts that are over, and where the logs of attempts are.

use colony_core::id::{ArtifactId, AttemptRef, Epoch, RunId, TaskId};
use colony_core::time::Timestamp;

use crate::error::StoreError;
use crate::lease::Lease;
use crate::params;
use crate::row::Row;
use crate::tx::Tx;

/// An attempt that is over.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct EndedAttempt {
    /// The lease it ran under.
    pub lease: Lease,
    /// Attempts at the task before it.
    pub retry: i64,
    /// How it ended: what was reported, or `lost`, or `given_back`.
    pub outcome: &'static str,
    /// Exit code; empty when there is none.
    pub exit_code: String,
    /// Why it did not succeed.
    pub error_message: String,
    /// When it ended.
    pub ended_at: Timestamp,
}

/// Records attempts that are over.
///
/// # Errors
///
/// The database refused it; one attempt has one outcome.
pub fn insert(tx: &mut Tx<'_>, attempts: &[EndedAttempt]) -> Result<(), StoreError> {
    tx.send_rows(
        "INSERT INTO attempts (task_id, epoch, run_id, retry, holder, outcome, exit_code, \
         error_message, started_at, ended_at) \
         VALUES {rows: id, int, id, int, text, text, text, text, int, int}",
        &[],
        attempts,
        |ended| {
            params![
                &ended.lease.attempt.task_id,
                &ended.lease.attempt.epoch,
                &ended.lease.run_id,
                &ended.retry,
                &ended.lease.holder.id,
                ended.outcome,
                &ended.exit_code,
                &ended.error_message,
                &ended.lease.started_at,
                &ended.ended_at,
            ]
        },
    )
}

/// Outcomes of the attempts at a task, oldest first.
///
/// # Errors
///
/// The database's.
pub fn outcomes_of(tx: &mut Tx<'_>, id: TaskId) -> Result<Vec<(Epoch, String)>, StoreError> {
    let sql = "SELECT epoch, outcome FROM attempts WHERE task_id = $1 ORDER BY epoch";
    let rows = tx.query(sql, &[&id])?;
    rows.iter()
        .map(|row| Ok((row.get(0)?, row.get(1)?)))
        .collect()
}

/// An attempt and its log.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct AttemptLog {
    /// The attempt.
    pub attempt: AttemptRef,
    /// Name of its task.
    pub task_type: String,
    /// Number of the attempt within the task, from 0.
    pub retry: u32,
    /// Where the log is.
    pub place: LogPlace,
    /// Size of the stored log.
    pub size_bytes: u64,
}

/// Where the log of an attempt is.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum LogPlace {
    /// The attempt runs; its log is not stored yet.
    Running,
    /// The attempt left none: it was lost, or its log has expired.
    Nowhere,
    /// In the object store, under this key.
    Object(String),
    /// In the row of this artifact; see [`inline_log`].
    Row(ArtifactId),
}

/// The attempts of a run in the order in which they started, the lost ones among them: a reader
/// may have come to the middle of one.
///
/// # Errors
///
/// The database's.
pub fn logs_of_run(tx: &mut Tx<'_>, run_id: RunId) -> Result<Vec<AttemptLog>, StoreError> {
    let rows = tx.query(
        "SELECT attempts.task_id, attempts.epoch, tasks.job_task, attempts.retry, \
         artifacts.object_key, artifacts.id, COALESCE(artifacts.size_bytes, 0), \
         attempts.started_at, FALSE, tasks.seq FROM tasks \
         JOIN attempts ON attempts.task_id = tasks.id \
         LEFT JOIN artifacts ON artifacts.task_id = attempts.task_id \
            AND artifacts.epoch = attempts.epoch AND artifacts.kind = 'LOGS' \
         WHERE tasks.run_id = $1 AND tasks.job_task IS NOT NULL \
         UNION ALL \
         SELECT leases.task_id, leases.epoch, tasks.job_task, tasks.retry_count, NULL, NULL, \
         0, leases.started_at, TRUE, tasks.seq FROM tasks \
         JOIN leases ON leases.task_id = tasks.id \
         WHERE tasks.run_id = $1 AND tasks.job_task IS NOT NULL \
         ORDER BY 8, 10, 2",
        &[&run_id],
    )?;
    rows.iter().map(attempt_log).collect()
}

fn attempt_log(row: &Row) -> Result<AttemptLog, StoreError> {
    let running: bool = row.get(8)?;
    let place = match (row.get(4)?, row.get(5)?) {
        _ if running => LogPlace::Running,
        (Some(key), _) => LogPlace::Object(key),
        (None, Some(id)) => LogPlace::Row(id),
        (None, None) => LogPlace::Nowhere,
    };
    Ok(AttemptLog {
        attempt: AttemptRef {
            task_id: row.get(0)?,
            epoch: row.get(1)?,
        },
        task_type: row.get(2)?,
        retry: row.get(3)?,
        place,
        size_bytes: u64::try_from(row.get::<i64>(6)?).unwrap_or(0),
    })
}

/// The text of a log that is kept in its row; empty when it is gone.
///
/// # Errors
///
/// The database's.
pub fn inline_log(tx: &mut Tx<'_>, id: ArtifactId) -> Result<String, StoreError> {
    let row = tx.query_opt("SELECT inline_text FROM artifacts WHERE id = $1", &[&id])?;
    let text = row.map(|row| row.get::<Option<String>>(0)).transpose()?;
    Ok(text.flatten().unwrap_or_default())
}

/// Whether nothing of a run is at work any more: clean-up goes on after the end of its request.
///
/// # Errors
///
/// The database's.
pub fn run_is_at_rest(tx: &mut Tx<'_>, run_id: RunId) -> Result<bool, StoreError> {
    let sql = "SELECT occupies_slot FROM runs WHERE id = $1";
    let row = tx.query_opt(sql, &[&run_id])?;
    let busy = row.map(|row| row.get::<Option<bool>>(0)).transpose()?;
    Ok(!busy.flatten().unwrap_or(false))
}
