//! What the scheduler reads: requests that are due, by the queue they wait in.

use colony_core::id::RequestId;

use crate::dispatch::hop;
use crate::error::StoreError;
use crate::tx::Tx;

/// The schedule keys with requests that are due.
///
/// # Errors
///
/// The database's.
pub fn eligible_keys(tx: &mut Tx<'_>) -> Result<Vec<String>, StoreError> {
    hop(tx, "requests", "schedule_key", "eligible")
}

/// The due requests of a key, best first: highest priority, then oldest (`job-definitions` 8.2).
///
/// # Errors
///
/// The database's.
pub fn eligible_requests(
    tx: &mut Tx<'_>,
    schedule_key: &str,
    limit: u32,
) -> Result<Vec<RequestId>, StoreError> {
    let sql = format!(
        "SELECT id FROM requests WHERE eligible AND schedule_key = $1 \
         ORDER BY job_priority DESC, id LIMIT {limit}"
    );
    tx.query(&sql, &[&schedule_key])?
        .iter()
        .map(|row| row.get(0))
        .collect()
}
