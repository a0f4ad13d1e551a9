//! Answers to requests that carry a key and may be sent again.

use colony_core::time::Timestamp;

use crate::error::StoreError;
use crate::tx::Tx;

/// A stored answer.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct StoredAnswer {
    /// Hash of the request that it answers.
    pub request_sha256: String,
    /// HTTP status.
    pub status: i64,
    /// Body.
    pub response: String,
}

/// Reserves a key for the request of this transaction. On PostgreSQL this waits for another
/// transaction with the same key. Gives the stored answer when the key was used before.
///
/// # Errors
///
/// The database's.
pub fn reserve(
    tx: &mut Tx<'_>,
    org_id: &str,
    key: &str,
    request_sha256: &str,
    now: Timestamp,
) -> Result<Option<StoredAnswer>, StoreError> {
    let reserved = tx.execute(
        "INSERT INTO idempotency_keys (org_id, key, request_sha256, status, response, created_at) \
         VALUES ($1, $2, $3, 0, '', $4) ON CONFLICT DO NOTHING",
        &[&org_id, &key, &request_sha256, &now],
    )?;
    if reserved == 1 {
        return Ok(None);
    }
    let row = tx.query_one(
        "SELECT request_sha256, status, response FROM idempotency_keys \
         WHERE org_id = $1 AND key = $2",
        &[&org_id, &key],
    )?;
    Ok(Some(StoredAnswer {
        request_sha256: row.get(0)?,
        status: row.get(1)?,
        response: row.get(2)?,
    }))
}

/// Stores the answer under a key reserved before.
///
/// # Errors
///
/// The database's.
pub fn store(
    tx: &mut Tx<'_>,
    org_id: &str,
    key: &str,
    status: i64,
    response: &str,
) -> Result<(), StoreError> {
    tx.send(
        "UPDATE idempotency_keys SET status = $3, response = $4 WHERE org_id = $1 AND key = $2",
        &[&org_id, &key, &status, &response],
    )?;
    Ok(())
}

/// Gives a reserved key back.
///
/// # Errors
///
/// The database's.
pub fn give_back(tx: &mut Tx<'_>, org_id: &str, key: &str) -> Result<(), StoreError> {
    tx.send(
        "DELETE FROM idempotency_keys WHERE org_id = $1 AND key = $2 AND status = 0",
        &[&org_id, &key],
    )?;
    Ok(())
}

/// Forgets a few answers from before that time. Called with every new key, it keeps up.
///
/// # Errors
///
/// The database's.
pub fn forget(tx: &mut Tx<'_>, before: Timestamp) -> Result<(), StoreError> {
    const FEW: u32 = 4;
    let lock = tx.skip_locked();
    let sql = format!(
        "DELETE FROM idempotency_keys WHERE (org_id, key) IN \
         (SELECT org_id, key FROM idempotency_keys WHERE created_at < $1 \
         ORDER BY created_at LIMIT {FEW}{lock})"
    );
    tx.send(&sql, &[&before])
}
