//! Moving stored times when the wall clock was set.
//!
//! What waits for a length of time (a lease, a delay, a limit) keeps what is left of it. What waits
//! for a moment that a user named stays.

use colony_core::time::TimeShift;
use uuid::Uuid;

use crate::error::StoreError;
use crate::ledger::run::no_key_lock;
use crate::tx::Tx;

/// Each moves what its table has by `$1` milliseconds. Tables of what is under way are small; larger
/// ones are reached through them.
const SHIFTS: &[&str] = &[
    // Before the leases, which name them.
    "UPDATE tasks SET started_at = started_at + $1 WHERE started_at IS NOT NULL AND id IN \
     (SELECT task_id FROM leases)",
    "UPDATE tasks SET deadline_at = deadline_at + $1 WHERE deadline_at IS NOT NULL \
     AND run_id IN (SELECT id FROM runs WHERE deadline_at IS NOT NULL \
     UNION SELECT run_id FROM leases WHERE of_job UNION SELECT run_id FROM queue \
     UNION SELECT subject FROM timers WHERE kind = 'task_due')",
    "UPDATE runs SET started_at = started_at + $1 \
     WHERE started_at IS NOT NULL AND deadline_at IS NOT NULL",
    "UPDATE runs SET deadline_at = deadline_at + $1 WHERE deadline_at IS NOT NULL",
    "UPDATE leases SET started_at = started_at + $1, expires_at = expires_at + $1, \
     deadline_at = deadline_at + $1",
    "UPDATE tasks SET due_at = due_at + $1 WHERE id IN \
     (SELECT subject FROM timers WHERE kind = 'offer_due')",
    "UPDATE timers SET due_at = due_at + $1 WHERE kind <> 'request_due'",
    // A request that has run before waits for a delay; another one for the time that its user
    // named.
    "UPDATE requests SET scheduled_at = scheduled_at + $1 \
     WHERE id IN (SELECT subject FROM timers WHERE kind = 'request_due') \
     AND (run_id IS NOT NULL OR last_run_id IS NOT NULL)",
    "UPDATE timers SET due_at = due_at + $1 WHERE kind = 'request_due' AND EXISTS \
     (SELECT 1 FROM requests WHERE requests.id = timers.subject \
     AND (run_id IS NOT NULL OR last_run_id IS NOT NULL))",
];

/// Moves every time that is counted from some moment. Once for each `nonce`, so that it may be
/// tried again when it is unknown whether it was done.
///
/// # Errors
///
/// The database's.
pub fn shift_times(tx: &mut Tx<'_>, shift: TimeShift, nonce: Uuid) -> Result<(), StoreError> {
    let nonce = nonce.to_string();
    let last = tx.query_opt("SELECT value FROM settings WHERE name = 'clock_shift'", &[])?;
    let last: Option<String> = last.map(|row| row.get(0)).transpose()?;
    if last.as_deref() == Some(nonce.as_str()) {
        return Ok(());
    }
    tx.execute(
        "INSERT INTO settings (name, value) VALUES ('clock_shift', $1) \
         ON CONFLICT (name) DO UPDATE SET value = excluded.value",
        &[&nonce],
    )?;
    // Runs before their tasks, as everywhere.
    let lock = no_key_lock(tx);
    let under_way = format!("SELECT id FROM runs WHERE deadline_at IS NOT NULL ORDER BY id{lock}");
    tx.query(&under_way, &[])?;
    for sql in SHIFTS {
        tx.execute(sql, &[&shift.as_millis()])?;
    }
    Ok(())
}
