//! Keys of organizations: only their hashes are kept (`foreman-api` 3.2).

use colony_core::id::TokenId;
use colony_core::time::Timestamp;

use crate::error::StoreError;
use crate::row::Row;
use crate::tx::Tx;

/// A key as it is listed.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct KeyRow {
    /// Its id.
    pub id: TokenId,
    /// Owner.
    pub org_id: String,
    /// The second part of its text.
    pub environment: String,
    /// What it is called.
    pub name: String,
    /// Not revoked.
    pub active: bool,
    /// When it ends by itself.
    pub expires_at: Option<Timestamp>,
    /// When it was made.
    pub created_at: Timestamp,
}

const COLUMNS: &str = "id, org_id, environment, name, active, expires_at, created_at";

fn key(row: &Row) -> Result<KeyRow, StoreError> {
    Ok(KeyRow {
        id: row.get(0)?,
        org_id: row.get(1)?,
        environment: row.get::<Option<String>>(2)?.unwrap_or_default(),
        name: row.get(3)?,
        active: row.get(4)?,
        expires_at: row.get(5)?,
        created_at: row.get(6)?,
    })
}

/// Stores a key, and its organization if that is new.
///
/// # Errors
///
/// The database's.
pub fn insert_key(tx: &mut Tx<'_>, key: &KeyRow, sha256: &str) -> Result<(), StoreError> {
    tx.execute(
        "INSERT INTO organizations (id, name, created_at) VALUES ($1, $1, $2) \
         ON CONFLICT DO NOTHING",
        &[&key.org_id, &key.created_at],
    )?;
    tx.execute(
        "INSERT INTO tokens (id, kind, org_id, name, sha256, active, expires_at, created_at, \
         environment) VALUES ($1, 'key', $2, $3, $4, $5, $6, $7, $8)",
        &[
            &key.id,
            &key.org_id,
            &key.name,
            &sha256,
            &key.active,
            &key.expires_at,
            &key.created_at,
            &key.environment,
        ],
    )?;
    Ok(())
}

/// The key with that hash, unless it was revoked.
///
/// # Errors
///
/// The database's.
pub fn find_key(tx: &mut Tx<'_>, sha256: &str) -> Result<Option<KeyRow>, StoreError> {
    let sql = format!("SELECT {COLUMNS} FROM tokens WHERE sha256 = $1 AND kind = 'key' AND active");
    tx.query_opt(&sql, &[&sha256])?
        .as_ref()
        .map(key)
        .transpose()
}

/// All keys, or those of one organization, oldest first.
///
/// # Errors
///
/// The database's.
pub fn list_keys(tx: &mut Tx<'_>, org_id: Option<&str>) -> Result<Vec<KeyRow>, StoreError> {
    let sql = format!(
        "SELECT {COLUMNS} FROM tokens WHERE kind = 'key' AND org_id = COALESCE($1, org_id) \
         ORDER BY id"
    );
    tx.query(&sql, &[&org_id])?.iter().map(key).collect()
}

/// Revokes a key. False when there is no such active key.
///
/// # Errors
///
/// The database's.
pub fn revoke_key(tx: &mut Tx<'_>, id: TokenId) -> Result<bool, StoreError> {
    let changed = tx.execute(
        "UPDATE tokens SET active = FALSE WHERE id = $1 AND kind = 'key' AND active",
        &[&id],
    )?;
    Ok(changed > 0)
}

/// Those of some keys that are neither revoked nor expired.
///
/// # Errors
///
/// The database's.
pub fn valid_keys(
    tx: &mut Tx<'_>,
    ids: &[TokenId],
    now: Timestamp,
) -> Result<Vec<TokenId>, StoreError> {
    let mut valid = Vec::with_capacity(ids.len());
    for id in ids {
        let row = tx.query_opt(
            "SELECT 1 FROM tokens WHERE id = $1 AND kind = 'key' AND active \
             AND (expires_at IS NULL OR expires_at > $2)",
            &[id, &now],
        )?;
        valid.extend(row.map(|_| *id));
    }
    Ok(valid)
}

/// Whether there is any key.
///
/// # Errors
///
/// The database's.
pub fn has_keys(tx: &mut Tx<'_>) -> Result<bool, StoreError> {
    let row = tx.query_opt("SELECT 1 FROM tokens WHERE kind = 'key' LIMIT 1", &[])?;
    Ok(row.is_some())
}
