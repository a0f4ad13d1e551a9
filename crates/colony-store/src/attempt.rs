//! Attempts of a run and where their logs are.

use colony_core::id::{AttemptRef, RunId};

use crate::artifact::Content;
use crate::error::StoreError;
use crate::row::Row;
use crate::tx::Tx;

/// An attempt and its log.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct AttemptLog {
    /// The attempt.
    pub attempt: AttemptRef,
    /// Name of its task.
    pub task_type: String,
    /// Number of the attempt within the task, from 0.
    pub retry: u32,
    /// None while the attempt runs.
    pub content: Option<Content>,
    /// Size of the log; 0 while the attempt runs.
    pub size_bytes: u64,
}

/// The attempts of a run in the order in which they started. Attempts that were lost left no log
/// and are not listed.
///
/// # Errors
///
/// The database's.
pub fn logs_of_run(tx: &mut Tx<'_>, run_id: RunId) -> Result<Vec<AttemptLog>, StoreError> {
    let rows = tx.query(
        "SELECT attempts.task_id, attempts.epoch, job_tasks.task_type, attempts.retry, \
         artifacts.object_key, artifacts.inline_text, artifacts.size_bytes, attempts.started_at \
         FROM attempts \
         JOIN job_tasks ON job_tasks.run_id = $1 AND job_tasks.task_id = attempts.task_id \
         JOIN artifacts ON artifacts.task_id = attempts.task_id \
            AND artifacts.epoch = attempts.epoch AND artifacts.kind = 'LOGS' \
         WHERE attempts.task_id IN (SELECT task_id FROM job_tasks WHERE run_id = $1) \
         UNION ALL \
         SELECT leases.task_id, leases.epoch, job_tasks.task_type, job_tasks.retries, NULL, NULL, \
         0, leases.started_at FROM leases \
         JOIN job_tasks ON job_tasks.run_id = $1 AND job_tasks.task_id = leases.task_id \
         WHERE leases.task_id IN (SELECT task_id FROM job_tasks WHERE run_id = $1) \
         ORDER BY 8, 1, 2",
        &[&run_id],
    )?;
    rows.iter().map(attempt_log).collect()
}

fn attempt_log(row: &Row) -> Result<AttemptLog, StoreError> {
    let content = match (row.get(4)?, row.get(5)?) {
        (Some(key), _) => Some(Content::Object(key)),
        (None, Some(text)) => Some(Content::Inline(text)),
        (None, None) => None,
    };
    Ok(AttemptLog {
        attempt: AttemptRef {
            task_id: row.get(0)?,
            epoch: row.get(1)?,
        },
        task_type: row.get(2)?,
        retry: row.get(3)?,
        content,
        size_bytes: u64::try_from(row.get::<i64>(6)?).unwrap_or(0),
    })
}
