//! What the scheduler reads: requests that are due, by the queue they wait in.

use std::collections::BTreeSet;

use colony_core::id::RequestId;

use crate::error::StoreError;
use crate::params;
use crate::queue::hop;
use crate::request::{COLUMNS, RequestRow};
use crate::tx::Tx;

/// The schedule keys with requests that are due.
///
/// # Errors
///
/// The database's.
pub fn eligible_keys(tx: &mut Tx<'_>) -> Result<Vec<String>, StoreError> {
    hop(tx, "requests", "schedule_key", "eligible")
}

/// Those of some keys under which requests are due.
///
/// # Errors
///
/// The database's.
pub fn keys_in_use(tx: &mut Tx<'_>, keys: &[String]) -> Result<BTreeSet<String>, StoreError> {
    let rows = tx.query_rows(
        "WITH wanted (key) AS (VALUES {rows: text}) SELECT key FROM wanted WHERE EXISTS \
         (SELECT 1 FROM requests WHERE eligible AND schedule_key = wanted.key)",
        &[],
        keys,
        |key| params![key],
    )?;
    rows.iter().map(|row| row.get(0)).collect()
}

/// A request that is due, or why its row makes no sense.
pub type DueRequest = (RequestId, Result<RequestRow, StoreError>);

/// The due requests of a key, best first: highest priority, then oldest (`job-definitions` 8.2). One
/// whose row makes no sense has the reason instead.
///
/// # Errors
///
/// The database's.
pub fn eligible_requests(
    tx: &mut Tx<'_>,
    schedule_key: &str,
    limit: u32,
) -> Result<Vec<DueRequest>, StoreError> {
    let sql = format!(
        "SELECT {COLUMNS} FROM requests WHERE eligible AND schedule_key = $1 \
         ORDER BY job_priority DESC, id LIMIT {}",
        limit.next_power_of_two()
    );
    let rows = tx.query(&sql, &[&schedule_key])?;
    let rows = rows.iter().take(limit as usize);
    rows.map(|row| Ok((row.get(0)?, RequestRow::from_row(row))))
        .collect()
}
