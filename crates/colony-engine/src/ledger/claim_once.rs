//! Claims of which some carry a key: a claim and its stored answer are one transaction.

use std::fmt;

use colony_core::id::TokenId;
use colony_core::time::Timestamp;
use colony_store::ledger::TaskRow;
use colony_store::ledger::{idempotency, key};
use colony_store::{StoreError, Tx};

use super::claim::{Claim, ClaimedTask, Share, claim_tasks};
use super::command::{KEPT, OnceKey, now_minus};
use super::desk::{Answer, Claimed, Wish};
use super::error::LedgerError;
use crate::effects::Effects;
use crate::runs::Ground;

/// Makes the answer to a claim: status and body.
type Render = dyn Fn(Vec<ClaimedTask>) -> (u16, String) + Send + Sync;

/// The key of a claim, and how its answer looks.
pub(super) struct OnceClaim {
    pub(super) key: OnceKey,
    pub(super) render: Box<Render>,
}

impl fmt::Debug for OnceClaim {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("OnceClaim").field(&self.key).finish()
    }
}

/// What one look gives to a claim.
pub(super) struct Given {
    pub(super) answer: Claimed,
    /// The tasks that it got now.
    pub(super) rows: Vec<TaskRow>,
    /// When the first of their leases ends.
    pub(super) expires_at: Option<Timestamp>,
    /// It got nothing because of the claims before it.
    pub(super) look_again: bool,
}

impl Given {
    fn answer(answer: Claimed, look_again: bool) -> Self {
        Self {
            answer,
            rows: Vec::new(),
            expires_at: None,
            look_again,
        }
    }

    fn share(share: Share, once: Option<&OnceClaim>) -> Self {
        let rows = share.tasks.iter().map(|task| task.row.clone()).collect();
        let expires_at = share.tasks.iter().map(|task| task.expires_at).min();
        let answer = match once {
            Some(once) if expires_at.is_some() => Answer::Stored((once.render)(share.tasks)),
            Some(_) | None => Answer::Tasks(share.tasks),
        };
        Self {
            answer: Ok(answer),
            rows,
            expires_at,
            look_again: share.look_again,
        }
    }

    /// Whether the claim may go on waiting.
    pub(super) fn is_nothing(&self) -> bool {
        matches!(&self.answer, Ok(Answer::Tasks(tasks)) if tasks.is_empty())
    }
}

/// Answers claims: by what is stored under their keys, else with tasks. A key stays free as long
/// as its claim gets nothing.
pub(super) fn claim_group(
    tx: &mut Tx<'_>,
    ground: &Ground,
    wishes: &[Wish],
    now: Timestamp,
) -> Result<(Vec<Given>, Effects), StoreError> {
    let mut given: Vec<Option<Given>> = Vec::with_capacity(wishes.len());
    let revoked = revoked_keys(tx, wishes, now)?;
    for wish in wishes {
        given.push(match (&wish.claim.key, &wish.once) {
            (Some(key), _) if wish.waited && revoked.contains(key) => {
                Some(Given::answer(Err(LedgerError::KeyRevoked), false))
            }
            (_, Some(once)) => answered(tx, &once.key, now)?,
            (_, None) => None,
        });
    }
    let open = || {
        wishes
            .iter()
            .zip(&given)
            .filter(|(_, given)| given.is_none())
    };
    let claims: Vec<&Claim> = open().map(|(wish, _)| wish.claim.as_ref()).collect();
    let (shares, effects) = match claims.as_slice() {
        [] => (Vec::new(), Effects::default()),
        claims => claim_tasks(tx, ground, claims, now)?,
    };
    let mut shares = shares.into_iter();
    let mut result = Vec::with_capacity(wishes.len());
    for (wish, given) in wishes.iter().zip(given) {
        result.push(match given {
            Some(given) => given,
            None => {
                let share = shares.next().unwrap_or_default();
                let given = Given::share(share, wish.once.as_deref());
                keep(tx, wish, &given)?;
                given
            }
        });
    }
    Ok((result, effects))
}

/// Keys of claims that have waited, and are over. Claims that have just come were let in just now.
fn revoked_keys(
    tx: &mut Tx<'_>,
    wishes: &[Wish],
    now: Timestamp,
) -> Result<Vec<TokenId>, StoreError> {
    let waited = wishes.iter().filter(|wish| wish.waited);
    let mut keys: Vec<TokenId> = waited.filter_map(|wish| wish.claim.key).collect();
    keys.sort_unstable();
    keys.dedup();
    let valid = key::valid_keys(tx, &keys, now)?;
    keys.retain(|key| !valid.contains(key));
    Ok(keys)
}

/// The answer stored under a key; without one the key is reserved.
fn answered(tx: &mut Tx<'_>, once: &OnceKey, now: Timestamp) -> Result<Option<Given>, StoreError> {
    let (org_id, key) = (&once.org_id, &once.key);
    idempotency::forget(tx, now_minus(now, KEPT))?;
    let stored = idempotency::reserve(tx, org_id, key, &once.request_sha256, now)?;
    Ok(stored.map(|stored| {
        if stored.request_sha256 != once.request_sha256 {
            return Given::answer(Err(LedgerError::KeyReused), false);
        }
        match u16::try_from(stored.status) {
            // Reserved by the same request, before it in this group.
            Ok(0) | Err(_) => Given::answer(Ok(Answer::Tasks(Vec::new())), true),
            Ok(status) => Given::answer(Ok(Answer::Stored((status, stored.response))), false),
        }
    }))
}

/// Stores the answer of a claim that has a key and got tasks.
fn keep(tx: &mut Tx<'_>, wish: &Wish, given: &Given) -> Result<(), StoreError> {
    let Some(once) = &wish.once else {
        return Ok(());
    };
    let OnceKey { org_id, key, .. } = &once.key;
    match &given.answer {
        Ok(Answer::Stored((status, body))) => {
            idempotency::store(tx, org_id, key, i64::from(*status), body)
        }
        Ok(Answer::Tasks(_)) | Err(_) => idempotency::give_back(tx, org_id, key),
    }
}
