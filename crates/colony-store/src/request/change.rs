//! How requests move from state to state.

use colony_core::id::{DefinitionId, RequestId, RunId};
use colony_core::job::JobError;
use colony_core::state::JobState;
use colony_core::time::Timestamp;

use crate::error::StoreError;
use crate::timer::{self, Timer, TimerKind};
use crate::tx::Tx;

/// Makes a waiting request eligible: it is due. Nothing happens when it no longer waits.
///
/// # Errors
///
/// The database's.
pub fn request_due(tx: &mut Tx<'_>, id: RequestId) -> Result<(), StoreError> {
    tx.send(
        "UPDATE requests SET eligible = TRUE WHERE id = $1 AND job_state IN ('PENDING', 'PAUSED')",
        &[&id],
    )?;
    Ok(())
}

/// Sends a request back to the queue until `at`.
///
/// # Errors
///
/// The database's.
pub fn requeue_request(
    tx: &mut Tx<'_>,
    id: RequestId,
    change: &Requeue,
    now: Timestamp,
) -> Result<(), StoreError> {
    let eligible = change.at <= now;
    tx.send(
        "UPDATE requests SET job_state = $2, eligible = $3, scheduled_at = $4, retried = $5, \
         paused_count = $6, current_task = $7, updated_at = $8 WHERE id = $1",
        &[
            &id,
            &change.state,
            &eligible,
            &change.at,
            &change.retried,
            &change.paused_count,
            &change.current_task,
            &now,
        ],
    )?;
    if eligible {
        return Ok(());
    }
    timer::set(tx, &Timer::request(TimerKind::RequestDue, id, change.at))
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

/// The scheduler picked the request: it executes in that run.
///
/// # Errors
///
/// The database's.
pub fn request_launched(
    tx: &mut Tx<'_>,
    id: RequestId,
    run_id: RunId,
    definition_id: DefinitionId,
    now: Timestamp,
) -> Result<(), StoreError> {
    tx.send(
        "UPDATE requests SET job_state = 'EXECUTING', eligible = FALSE, hard_restart = FALSE, \
         run_id = $2, definition_id = $4, schedule_attempts = schedule_attempts + 1, error_code = '', \
         error_message = '', updated_at = $3 WHERE id = $1",
        &[&id, &run_id, &now, &definition_id],
    )?;
    Ok(())
}

/// The request's job waits for a person at a task.
///
/// # Errors
///
/// The database's.
pub fn request_awaits_approval(
    tx: &mut Tx<'_>,
    id: RequestId,
    task: &str,
    now: Timestamp,
) -> Result<(), StoreError> {
    tx.send(
        "UPDATE requests SET job_state = 'MANUAL_APPROVAL_REQUIRED', eligible = FALSE, \
         current_task = $2, updated_at = $3 WHERE id = $1",
        &[&id, &task, &now],
    )?;
    Ok(())
}

/// Notes why the scheduler passed a request over. Writes nothing when it is the same as before.
///
/// # Errors
///
/// The database's.
pub fn request_waits(
    tx: &mut Tx<'_>,
    id: RequestId,
    reason: &str,
    now: Timestamp,
) -> Result<(), StoreError> {
    tx.send(
        "UPDATE requests SET error_message = $2, schedule_attempts = schedule_attempts + 1, \
         updated_at = $3 WHERE id = $1 AND error_message <> $2 AND eligible",
        &[&id, &reason, &now],
    )?;
    Ok(())
}

/// The request's state is final. Releases its `user_key` and its timer.
///
/// # Errors
///
/// The database's.
pub fn end_request(
    tx: &mut Tx<'_>,
    id: RequestId,
    state: JobState,
    error: Option<&JobError>,
    retried: Option<u32>,
    now: Timestamp,
) -> Result<(), StoreError> {
    let (code, message) = error.map_or(("", ""), |error| (&*error.code, &*error.message));
    tx.send(
        "UPDATE requests SET job_state = $2, eligible = FALSE, user_key = NULL, error_code = $3, \
         error_message = $4, retried = COALESCE($5, retried), current_task = '', updated_at = $6, \
         ended_at = $6 WHERE id = $1",
        &[&id, &state, &code, &message, &retried, &now],
    )?;
    Ok(())
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
    timer::clear(tx, id.uuid())?;
    tx.send(
        "UPDATE requests SET job_state = 'PENDING', eligible = TRUE, definition_id = $2, \
         last_run_id = run_id, run_id = NULL, hard_restart = $3, retried = retried + 1, \
         schedule_attempts = 0, error_code = '', error_message = '', current_task = '', \
         scheduled_at = $4, updated_at = $4, ended_at = NULL WHERE id = $1",
        &[&id, &definition_id, &hard, &now],
    )?;
    Ok(())
}
