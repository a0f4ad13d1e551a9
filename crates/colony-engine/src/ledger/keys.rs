//! Keys of organizations: making, listing, revoking, recognizing (`foreman-api` 3.2).

use std::collections::HashMap;
use std::fmt;
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use colony_core::id::TokenId;
use colony_core::text::{code_point, control_in_name};
use colony_core::time::Timestamp;
use colony_store::ledger::key::{self, KeyRow};

use super::error::LedgerError;
use super::handle::Ledger;
use super::key_watch::WatchedKeys;
use super::signals::lock;
use crate::error::EngineError;
use crate::setup::hash_token;

/// How long a recognized key is trusted without asking the database: so long a key that was
/// revoked by another process lives on.
const TRUSTED: Duration = Duration::from_secs(1);

/// The most keys that are remembered.
const REMEMBERED_MAX: usize = 10_000;

/// A key to be made.
#[derive(Debug, Clone)]
pub struct NewKey {
    /// Owner; no `_` in it.
    pub org_id: String,
    /// Second part of the key's text; no `_` in it.
    pub environment: String,
    /// What it is called.
    pub name: String,
    /// When it ends by itself.
    pub expires_at: Option<Timestamp>,
    /// 24 random bytes.
    pub random: [u8; 24],
}

/// Whose key it is.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct KeyOwner {
    /// The key.
    pub id: TokenId,
    /// The organization.
    pub org_id: String,
}

/// Keys recognized lately, and those whose end is waited for.
#[derive(Default)]
pub(super) struct KeyCache {
    known: Mutex<Known>,
    pub(super) watched: Arc<WatchedKeys>,
}

/// Keys by hash.
#[derive(Default)]
struct Known {
    keys: HashMap<String, (Instant, KeyRow)>,
    /// Grows when a key is revoked: what was read before is not remembered after.
    revocations: u64,
}

impl fmt::Debug for KeyCache {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("KeyCache(***)")
    }
}

impl Ledger {
    /// Makes a key. Its text is given only now; a hash is stored.
    ///
    /// # Errors
    ///
    /// The database's, or a text holds control characters.
    pub async fn create_key(&self, new: NewKey) -> Result<(KeyRow, String), LedgerError> {
        let texts = [&new.org_id, &new.environment, &new.name];
        if let Some(letter) = texts.into_iter().find_map(|text| control_in_name(text)) {
            let letter = code_point(letter);
            let message = format!("a key's texts hold no control characters, found {letter}");
            return Err(EngineError::Invalid(message).into());
        }
        let random = URL_SAFE_NO_PAD.encode(new.random);
        let text = format!("fmn_{}_{}_{random}", new.environment, new.org_id);
        let row = KeyRow {
            id: TokenId::new(self.ids().next_uuid()),
            org_id: new.org_id,
            environment: new.environment,
            name: new.name,
            active: true,
            expires_at: new.expires_at,
            created_at: self.now(),
        };
        let (stored, hash) = (row.clone(), hash_token(&text));
        self.store()
            .write(move |tx| key::insert_key(tx, &stored, &hash))
            .await?;
        Ok((row, text))
    }

    /// All keys, or those of one organization, oldest first. Never their text.
    ///
    /// # Errors
    ///
    /// The database's.
    pub async fn list_keys(&self, org_id: Option<String>) -> Result<Vec<KeyRow>, LedgerError> {
        let list = self
            .store()
            .read(move |tx| key::list_keys(tx, org_id.as_deref()));
        Ok(list.await?)
    }

    /// Revokes a key. False when there is no such active key.
    ///
    /// # Errors
    ///
    /// The database's.
    pub async fn revoke_key(&self, id: TokenId) -> Result<bool, LedgerError> {
        let revoked = self
            .store()
            .write(move |tx| key::revoke_key(tx, id))
            .await?;
        let mut known = lock(&self.keys().known);
        known.keys.clear();
        known.revocations += 1;
        drop(known);
        self.keys().watched.end(id);
        Ok(revoked)
    }

    /// Whose key that is; none when it is unknown, revoked or expired.
    ///
    /// # Errors
    ///
    /// The database's.
    pub async fn recognize_key(&self, text: &str) -> Result<Option<KeyOwner>, LedgerError> {
        let hash = hash_token(text);
        let row = match self.remembered(&hash) {
            Some(row) => row,
            None => {
                let (wanted, before) = (hash.clone(), lock(&self.keys().known).revocations);
                let found = self.store().read(move |tx| key::find_key(tx, &wanted));
                let Some(row) = found.await? else {
                    return Ok(None);
                };
                self.remember_key(hash, row.clone(), before);
                row
            }
        };
        let now = self.now();
        let expired = row.expires_at.is_some_and(|expires_at| expires_at <= now);
        Ok((!expired).then_some(KeyOwner {
            id: row.id,
            org_id: row.org_id,
        }))
    }

    /// Whether any key was ever made.
    ///
    /// # Errors
    ///
    /// The database's.
    pub async fn has_keys(&self) -> Result<bool, LedgerError> {
        Ok(self.store().read(key::has_keys).await?)
    }

    fn remembered(&self, hash: &str) -> Option<KeyRow> {
        let known = lock(&self.keys().known);
        let (since, row) = known.keys.get(hash)?;
        (since.elapsed() < TRUSTED).then(|| row.clone())
    }

    fn remember_key(&self, hash: String, row: KeyRow, revocations: u64) {
        let mut known = lock(&self.keys().known);
        if known.revocations != revocations {
            return;
        }
        if known.keys.len() >= REMEMBERED_MAX {
            known.keys.clear();
        }
        known.keys.insert(hash, (Instant::now(), row));
    }
}
