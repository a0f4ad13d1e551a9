//! How requests move from state to state. What is stored follows from decisions of the engine.

use colony_core::id::{DefinitionId, RequestId, RunId};
use colony_core::job::JobError;
use colony_core::state::JobState;
use colony_core::time::Timestamp;

use crate::error::StoreError;
use crate::params;
use crate::timer;
use crate::tx::{Dialect, Tx};
use crate::value::Param;

/// What becomes of a request.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum RequestChange {
    /// The scheduler picked it: it executes in that run of that version.
    Launched(RunId, DefinitionId),
    /// It waits again.
    Requeued(Requeue),
    /// Its job waits for a person at that task.
    AwaitsApproval(String),
    /// It was passed over, for that reason.
    Waits(String),
    /// It is not looked at before some ant takes from that queue; the reason in words.
    Unserved(String, String),
    /// Its state is final.
    Ended(Ended),
}

/// How a request waits again.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Requeue {
    /// PENDING or PAUSED.
    pub state: JobState,
    /// Until when.
    pub at: Timestamp,
    /// Retries so far.
    pub retried: u32,
    /// Pauses so far.
    pub paused_count: u32,
    /// Task to resume at.
    pub current_task: String,
}

/// How a request ended.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Ended {
    /// COMPLETED, FAILED or CANCELLED.
    pub state: JobState,
    /// Set unless COMPLETED.
    pub error: Option<JobError>,
    /// Retries, when they are known.
    pub retried: Option<u32>,
}

/// Stores what becomes of requests, each row once for each kind of change, in the order in which one
/// request can go through them.
///
/// # Errors
///
/// The database refused it.
pub fn change_requests(
    tx: &mut Tx<'_>,
    changes: &[(RequestId, RequestChange)],
    now: Timestamp,
) -> Result<(), StoreError> {
    launched(tx, changes, now)?;
    requeued(tx, changes, now)?;
    waiting(tx, changes, now)?;
    ended(tx, changes, now)
}

type Change = (RequestId, RequestChange);

fn of_kind<'c, T>(
    changes: &'c [Change],
    kind: impl Fn(&'c RequestChange) -> Option<T>,
) -> Vec<(RequestId, T)> {
    let found = changes.iter();
    found
        .filter_map(|(id, change)| Some((*id, kind(change)?)))
        .collect()
}

fn launched(tx: &mut Tx<'_>, changes: &[Change], now: Timestamp) -> Result<(), StoreError> {
    let rows = of_kind(changes, |change| match change {
        RequestChange::Launched(run_id, definition_id) => Some((*run_id, *definition_id)),
        _ => None,
    });
    let sql = match tx.dialect() {
        Dialect::Sqlite => {
            "UPDATE requests SET job_state = 'EXECUTING', eligible = FALSE, hard_restart = FALSE, \
             run_id = $3, definition_id = $4, schedule_attempts = schedule_attempts + 1, \
             error_code = '', error_message = '', updated_at = $1 WHERE id = $2"
        }
        Dialect::Postgres => {
            "WITH new (id, run_id, definition_id) AS (VALUES {rows: id, id, id}) \
             UPDATE requests SET job_state = 'EXECUTING', eligible = FALSE, hard_restart = FALSE, \
             run_id = new.run_id, definition_id = new.definition_id, \
             schedule_attempts = schedule_attempts + 1, error_code = '', error_message = '', \
             updated_at = $1 FROM new WHERE requests.id = new.id"
        }
    };
    tx.send_rows(sql, &[&now], &rows, |(id, (run_id, definition_id))| {
        params![id, run_id, definition_id]
    })
}

fn requeued(tx: &mut Tx<'_>, changes: &[Change], now: Timestamp) -> Result<(), StoreError> {
    let rows = of_kind(changes, |change| match change {
        RequestChange::Requeued(requeue) => Some(requeue),
        _ => None,
    });
    let sql = match tx.dialect() {
        Dialect::Sqlite => {
            "UPDATE requests SET job_state = $3, eligible = $4, scheduled_at = $5, retried = $6, \
             paused_count = $7, current_task = $8, updated_at = $1 WHERE id = $2"
        }
        Dialect::Postgres => {
            "WITH new (id, job_state, eligible, scheduled_at, retried, paused_count, current_task) \
             AS (VALUES {rows: id, text, bool, int, int, int, text}) \
             UPDATE requests SET job_state = new.job_state, eligible = new.eligible, \
             scheduled_at = new.scheduled_at, retried = new.retried, \
             paused_count = new.paused_count, current_task = new.current_task, updated_at = $1 \
             FROM new WHERE requests.id = new.id"
        }
    };
    tx.send_rows(sql, &[&now], &rows, |(id, requeue)| {
        params![
            id,
            &requeue.state,
            Param::Bool(requeue.at <= now),
            &requeue.at,
            &requeue.retried,
            &requeue.paused_count,
            &requeue.current_task,
        ]
    })
}

/// Those that wait for something: a person, a slot, an ant.
fn waiting(tx: &mut Tx<'_>, changes: &[Change], now: Timestamp) -> Result<(), StoreError> {
    for (id, change) in changes {
        match change {
            RequestChange::AwaitsApproval(task) => tx.send(
                "UPDATE requests SET job_state = 'MANUAL_APPROVAL_REQUIRED', eligible = FALSE, \
                 current_task = $2, updated_at = $3 WHERE id = $1",
                &[id, task, &now],
            )?,
            // Writes nothing when it is the same as before.
            RequestChange::Waits(reason) => tx.send(
                "UPDATE requests SET error_message = $2, \
                 schedule_attempts = schedule_attempts + 1, updated_at = $3 \
                 WHERE id = $1 AND error_message <> $2 AND eligible",
                &[id, reason, &now],
            )?,
            RequestChange::Unserved(key, reason) => tx.send(
                "UPDATE requests SET error_message = $3, eligible = FALSE, unserved = $2, \
                 schedule_attempts = schedule_attempts + 1, updated_at = $4 WHERE id = $1",
                &[id, key, reason, &now],
            )?,
            RequestChange::Launched(..) | RequestChange::Requeued(_) | RequestChange::Ended(_) => {}
        }
    }
    Ok(())
}

/// Releases `user_key` as well.
fn ended(tx: &mut Tx<'_>, changes: &[Change], now: Timestamp) -> Result<(), StoreError> {
    let rows = of_kind(changes, |change| match change {
        RequestChange::Ended(ended) => Some(ended),
        _ => None,
    });
    let sql = match tx.dialect() {
        Dialect::Sqlite => {
            "UPDATE requests SET job_state = $3, eligible = FALSE, unserved = NULL, \
             user_key = NULL, error_code = $4, error_message = $5, \
             retried = COALESCE($6, retried), current_task = '', updated_at = $1, ended_at = $1 \
             WHERE id = $2"
        }
        Dialect::Postgres => {
            "WITH new (id, job_state, error_code, error_message, retried) AS \
             (VALUES {rows: id, text, text, text, int}) \
             UPDATE requests SET job_state = new.job_state, eligible = FALSE, unserved = NULL, \
             user_key = NULL, error_code = new.error_code, error_message = new.error_message, \
             retried = COALESCE(new.retried, requests.retried), current_task = '', \
             updated_at = $1, ended_at = $1 FROM new WHERE requests.id = new.id"
        }
    };
    tx.send_rows(sql, &[&now], &rows, |(id, ended)| {
        let error = ended.error.as_ref();
        params![
            id,
            &ended.state,
            error.map_or("", |error| &error.code),
            error.map_or("", |error| &error.message),
            &ended.retried,
        ]
    })
}

/// Makes waiting requests eligible: they are due. Gives their schedule keys; one that no longer waits
/// is left out.
///
/// # Errors
///
/// The database's.
pub fn requests_due(tx: &mut Tx<'_>, ids: &[RequestId]) -> Result<Vec<String>, StoreError> {
    let rows = tx.query_list(
        "UPDATE requests SET eligible = TRUE, unserved = NULL \
         WHERE id IN ({list}) AND job_state IN ('PENDING', 'PAUSED') RETURNING schedule_key",
        &[],
        ids,
    )?;
    rows.iter().map(|row| row.get(0)).collect()
}

/// The queues that requests wait for because no ant takes from them.
///
/// # Errors
///
/// The database's.
pub fn unserved_keys(tx: &mut Tx<'_>) -> Result<Vec<String>, StoreError> {
    crate::queue::hop(tx, "requests", "unserved", "unserved IS NOT NULL")
}

/// The oldest requests that wait for ants of a queue are looked at again. Gives their schedule keys,
/// at most `limit`.
///
/// # Errors
///
/// The database's.
pub fn serve_requests(tx: &mut Tx<'_>, key: &str, limit: u32) -> Result<Vec<String>, StoreError> {
    let sql = format!("SELECT id FROM requests WHERE unserved = $1 ORDER BY id LIMIT {limit}");
    let rows = tx.query(&sql, &[&key])?;
    let ids: Vec<RequestId> = rows
        .iter()
        .map(|row| row.get(0))
        .collect::<Result<_, _>>()?;
    let rows = tx.query_list(
        "UPDATE requests SET eligible = TRUE, unserved = NULL \
         WHERE id IN ({list}) RETURNING schedule_key",
        &[],
        &ids,
    )?;
    rows.iter().map(|row| row.get(0)).collect()
}

/// Requests of a type that wait for ants are looked at again: another version may need none.
///
/// # Errors
///
/// The database refused it.
pub fn reconsider(tx: &mut Tx<'_>, schedule_key: &str) -> Result<(), StoreError> {
    tx.send(
        "UPDATE requests SET eligible = TRUE, unserved = NULL \
         WHERE unserved IS NOT NULL AND schedule_key = $1",
        &[&schedule_key],
    )
}

/// Puts a finished, paused or waiting request back to PENDING for a new execution
/// (`formicary-api` 8.4).
///
/// # Errors
///
/// The database's.
pub fn restart_request(
    tx: &mut Tx<'_>,
    id: RequestId,
    definition_id: DefinitionId,
    hard: bool,
    now: Timestamp,
) -> Result<(), StoreError> {
    timer::clear(tx, &[id.uuid()])?;
    tx.send(
        "UPDATE requests SET job_state = 'PENDING', eligible = TRUE, unserved = NULL, \
         definition_id = $2, last_run_id = run_id, run_id = NULL, hard_restart = $3, \
         retried = retried + 1, schedule_attempts = 0, error_code = '', error_message = '', \
         current_task = '', scheduled_at = $4, updated_at = $4, ended_at = NULL WHERE id = $1",
        &[&id, &definition_id, &hard, &now],
    )
}
