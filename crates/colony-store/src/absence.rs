//! Giving time back after the queen was away: nobody could renew a lease or report meanwhile.

use std::time::Duration;

use colony_core::time::Timestamp;

use crate::error::StoreError;
use crate::tx::Tx;

/// What holders get back.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Absence {
    /// How long the queen was away, as far as it knows.
    pub missed: Duration,
    /// Every lease lasts until then, at least.
    pub expiry_min: Timestamp,
}

/// Leases last longer. What should have ended meanwhile ends at `deadline_min` instead, so that
/// reports on their way come first.
///
/// # Errors
///
/// The database's.
pub fn prolong_leases(
    tx: &mut Tx<'_>,
    absence: Absence,
    deadline_min: Timestamp,
) -> Result<(), StoreError> {
    let missed = i64::try_from(absence.missed.as_millis()).unwrap_or(i64::MAX / 2);
    let sql = "UPDATE leases SET expires_at = \
               CASE WHEN expires_at + $1 < $2 THEN $2 ELSE expires_at + $1 END";
    tx.execute(sql, &[&missed, &absence.expiry_min])?;
    for table in ["leases", "runs"] {
        let sql = format!("UPDATE {table} SET deadline_at = $1 WHERE deadline_at < $1");
        tx.execute(&sql, &[&deadline_min])?;
    }
    Ok(())
}
