//! Claiming: who gets which waiting tasks.

use std::collections::{BTreeMap, VecDeque};
use std::time::Duration;

use colony_core::id::{AttemptRef, TaskId, TokenId};
use colony_core::time::Timestamp;
use colony_store::ledger::TaskRow;
use colony_store::ledger::offer::{self, Offer};
use colony_store::ledger::task::WorkerLease;
use colony_store::{StoreError, Tx};

use super::job_task::{self, ClaimedJobTask};

/// The most tasks that are taken out of one queue in one transaction. More would make others wait
/// for it; no claim may ask for more.
const FRONT_MAX: u32 = 1024;

/// A worker's wish for tasks.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Claim {
    /// Owner.
    pub org_id: String,
    /// Types that the worker can do.
    pub kinds: Vec<String>,
    /// Id of the worker.
    pub worker_id: String,
    /// At most so many.
    pub limit: u32,
    /// How long the leases last.
    pub lease: Duration,
    /// How long to wait for the first task.
    pub wait: Duration,
    /// The key of the caller: a claim that waited gets nothing once it is over.
    pub key: Option<TokenId>,
}

/// A task and the right to work on it.
#[derive(Debug, Clone, PartialEq)]
pub struct ClaimedTask {
    /// The task.
    pub row: TaskRow,
    /// When the lease ends unless it is renewed. Its number is the task's epoch.
    pub expires_at: Timestamp,
    /// Set for the task of a job.
    pub(super) job: Option<ClaimedJobTask>,
}

impl ClaimedTask {
    /// The task with the number of its lease.
    pub fn attempt(&self) -> AttemptRef {
        AttemptRef {
            task_id: self.row.id,
            epoch: self.row.epoch,
        }
    }
}

/// What a claim gets of the queues.
#[derive(Default)]
pub(super) struct Share {
    pub(super) tasks: Vec<ClaimedTask>,
    /// It got nothing because claims before it took all that one transaction takes.
    pub(super) look_again: bool,
}

/// A queue: organization and type.
pub(super) type Queue = (String, String);

impl Claim {
    /// The queues that it looks into.
    pub(super) fn queues(&self) -> impl Iterator<Item = Queue> + '_ {
        (self.kinds.iter()).map(|kind| (self.org_id.clone(), kind.clone()))
    }
}

/// Gives the first tasks of the queues to the claims, in the order of the claims.
pub(super) fn claim_tasks(
    tx: &mut Tx<'_>,
    claims: &[&Claim],
    now: Timestamp,
) -> Result<Vec<Share>, StoreError> {
    loop {
        if let Some(shares) = claim_first(tx, claims, now)? {
            return Ok(shares);
        }
    }
}

/// None when there were only stale places, which are gone now: what is behind them may be for
/// these claims.
fn claim_first(
    tx: &mut Tx<'_>,
    claims: &[&Claim],
    now: Timestamp,
) -> Result<Option<Vec<Share>>, StoreError> {
    let mut fronts = fronts(tx, claims)?;
    let mut chosen: BTreeMap<TaskId, (usize, Offer)> = BTreeMap::new();
    for (index, claim) in claims.iter().enumerate() {
        if !chosen.is_empty() && is_cut_short(&fronts, claim) {
            continue;
        }
        for _ in 0..claim.limit {
            let Some(offer) = take_first(&mut fronts, claim) else {
                break;
            };
            chosen.insert(offer.task_id, (index, offer));
        }
    }
    let mut claimed: Vec<Share> = (claims.iter())
        .map(|claim| Share {
            tasks: Vec::new(),
            look_again: claim.queues().any(|queue| fronts[&queue].may_have_more),
        })
        .collect();
    let mut left = Vec::new();
    let mut jobs = job_task::lock_chosen(tx, &mut chosen, &mut left)?;
    let ids: Vec<TaskId> = chosen.keys().copied().collect();
    let (mut taken, mut leases) = (Vec::new(), Vec::new());
    let started = match ids.is_empty() {
        true => Vec::new(),
        false => offer::start_tasks(tx, &ids, now)?,
    };
    for row in started {
        let Some((index, offer)) = chosen.remove(&row.id) else {
            continue;
        };
        let claim = claims[index];
        let expires_at = now.after(claim.lease);
        let job = match jobs.remove(&row.id).zip(offer.timeout_ms) {
            Some(task) => Some(job_task::lease(tx, claim, &row, task, now)?),
            None => {
                leases.push(worker_lease(claim, &row, now));
                None
            }
        };
        taken.push(offer);
        claimed[index].tasks.push(ClaimedTask {
            row,
            expires_at,
            job,
        });
        claimed[index].look_again = false;
    }
    left.extend(chosen.into_values().map(|(_, offer)| offer));
    let stale = drop_stale(tx, left)?;
    if stale && taken.is_empty() {
        return Ok(None);
    }
    offer::delete_offers(tx, &taken)?;
    offer::insert_leases(tx, &leases)?;
    for share in &mut claimed {
        share.look_again |= stale && share.tasks.is_empty();
    }
    for share in &mut claimed {
        (share.tasks).sort_by_key(|task| (task.row.priority, task.row.id));
    }
    Ok(Some(claimed))
}

/// Places in queues that no task waits in would be chosen again and again. True when there were
/// any.
fn drop_stale(tx: &mut Tx<'_>, left: Vec<Offer>) -> Result<bool, StoreError> {
    if left.is_empty() {
        return Ok(false);
    }
    let stale = offer::stale(tx, left)?;
    for offer in &stale {
        tracing::error!(task.id = %offer.task_id, "dropped an offer: its task does not wait for it");
    }
    offer::delete_offers(tx, &stale)?;
    Ok(!stale.is_empty())
}

/// The task that a claim would get first.
pub(super) fn first_offer(tx: &mut Tx<'_>, claim: &Claim) -> Result<Option<TaskId>, StoreError> {
    let mut fronts = fronts(tx, &[claim])?;
    Ok(take_first(&mut fronts, claim).map(|offer| offer.task_id))
}

fn worker_lease(claim: &Claim, row: &TaskRow, now: Timestamp) -> WorkerLease {
    WorkerLease {
        task_id: row.id,
        org_id: row.org_id.clone(),
        epoch: row.epoch,
        holder: claim.worker_id.clone(),
        started_at: now,
        expires_at: now.after(claim.lease),
    }
}

/// The first tasks of a queue.
struct Front {
    offers: VecDeque<Offer>,
    /// Only so many were looked at as one transaction takes.
    may_have_more: bool,
}

/// The front of each queue, as far as all claims together may need it.
fn fronts(tx: &mut Tx<'_>, claims: &[&Claim]) -> Result<BTreeMap<Queue, Front>, StoreError> {
    let mut demand: BTreeMap<Queue, u32> = BTreeMap::new();
    for claim in claims {
        for queue in claim.queues() {
            let limit = demand.entry(queue).or_default();
            *limit = limit.saturating_add(claim.limit);
        }
    }
    let mut fronts = BTreeMap::new();
    for (queue, wanted) in demand {
        let offers = offer::front(tx, &queue.0, &queue.1, wanted.min(FRONT_MAX))?;
        let front = Front {
            may_have_more: wanted > FRONT_MAX && offers.len() >= FRONT_MAX as usize,
            offers: offers.into(),
        };
        fronts.insert(queue, front);
    }
    Ok(fronts)
}

/// Whether a claim would get less than it wants, but not in the next transaction.
fn is_cut_short(fronts: &BTreeMap<Queue, Front>, claim: &Claim) -> bool {
    let queues = || claim.queues().filter_map(|queue| fronts.get(&queue));
    let left: usize = queues().map(|front| front.offers.len()).sum();
    left < claim.limit as usize && queues().any(|front| front.may_have_more)
}

/// The first offer among the queues of a claim.
fn take_first(fronts: &mut BTreeMap<Queue, Front>, claim: &Claim) -> Option<Offer> {
    let place = |queue: &Queue| {
        let first = fronts.get(queue)?.offers.front()?;
        Some((first.rank, first.task_id))
    };
    let queue = (claim.queues())
        .filter_map(|queue| Some((place(&queue)?, queue)))
        .min()?
        .1;
    fronts.get_mut(&queue)?.offers.pop_front()
}
