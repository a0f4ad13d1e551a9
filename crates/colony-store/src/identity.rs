//! Organizations, users and tokens. Only hashes of tokens are kept.

use colony_core::id::{TokenId, UserId};
use colony_core::time::Timestamp;

use crate::error::StoreError;
use crate::tx::Tx;

/// A user to be made together with the first token.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct FirstAdmin {
    /// Id and name of the organization.
    pub org_id: String,
    /// Id of the user.
    pub user_id: UserId,
    /// Login name.
    pub username: String,
    /// Id of the token.
    pub token_id: TokenId,
    /// Lower-case hex SHA-256 of the token.
    pub token_sha256: String,
    /// Now.
    pub now: Timestamp,
}

/// Makes organization, admin and token in an empty database. False, and nothing done, when there
/// is an organization already.
///
/// # Errors
///
/// The database's.
pub fn bootstrap(tx: &mut Tx<'_>, first: &FirstAdmin) -> Result<bool, StoreError> {
    let organizations: i64 = tx
        .query_one("SELECT COUNT(*) FROM organizations", &[])?
        .get(0)?;
    if organizations > 0 {
        return Ok(false);
    }
    tx.execute(
        "INSERT INTO organizations (id, name, created_at) VALUES ($1, $1, $2)",
        &[&first.org_id, &first.now],
    )?;
    tx.execute(
        "INSERT INTO users (id, org_id, username, name, email, roles, permissions, active, \
         created_at, updated_at) VALUES ($1, $2, $3, $3, '', 'Admin[]', '', TRUE, $4, $4)",
        &[&first.user_id, &first.org_id, &first.username, &first.now],
    )?;
    insert_user_token(tx, first)?;
    Ok(true)
}

fn insert_user_token(tx: &mut Tx<'_>, first: &FirstAdmin) -> Result<(), StoreError> {
    tx.execute(
        "INSERT INTO tokens (id, kind, org_id, user_id, name, sha256, active, created_at) \
         VALUES ($1, 'user', $2, $3, 'first start', $4, TRUE, $5)",
        &[
            &first.token_id,
            &first.org_id,
            &first.user_id,
            &first.token_sha256,
            &first.now,
        ],
    )?;
    Ok(())
}

/// Who a token belongs to.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct TokenOwner {
    /// The organization.
    pub org_id: String,
    /// The user.
    pub user_id: Option<UserId>,
    /// Roles of the user, serialized (`formicary-api` 4.4).
    pub roles: String,
}

/// The owner of an active, unexpired token with that hash.
///
/// # Errors
///
/// The database's.
pub fn find_token_owner(
    tx: &mut Tx<'_>,
    sha256: &str,
    now: Timestamp,
) -> Result<Option<TokenOwner>, StoreError> {
    let row = tx.query_opt(
        "SELECT tokens.org_id, users.id, users.roles FROM tokens \
         JOIN users ON users.id = tokens.user_id AND users.active \
         WHERE tokens.sha256 = $1 AND tokens.kind = 'user' AND tokens.active \
         AND (tokens.expires_at IS NULL OR tokens.expires_at > $2)",
        &[&sha256, &now],
    )?;
    row.map(|row| {
        Ok(TokenOwner {
            org_id: row.get(0)?,
            user_id: row.get(1)?,
            roles: row.get(2)?,
        })
    })
    .transpose()
}
