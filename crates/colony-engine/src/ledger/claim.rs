//! Claiming: who gets which waiting tasks.

use std::collections::{BTreeMap, VecDeque};
use std::time::Duration;

use colony_core::id::{AttemptRef, TaskId, TokenId};
use colony_core::queue_key;
use colony_core::time::Timestamp;
use colony_store::lease::{self, Holder, Lease};
use colony_store::ledger::{TaskRow, task};
use colony_store::queue::{self, QueuedTask};
use colony_store::{StoreError, Tx};

use crate::effects::Effects;
use crate::runs::{Claims, Ground, WorkerClaim, lease_to_worker};

/// The most tasks that are taken out of one key in one transaction. More would make others wait
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
    /// It is a task of a job.
    pub(super) of_job: bool,
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

impl Claim {
    /// The keys that it looks under.
    pub(super) fn keys(&self) -> impl Iterator<Item = String> + '_ {
        (self.kinds.iter()).map(|kind| queue_key::worker(&self.org_id, kind))
    }
}

/// Gives the first tasks of the queue to the claims, in the order of the claims.
pub(super) fn claim_tasks(
    tx: &mut Tx<'_>,
    ground: &Ground,
    claims: &[&Claim],
    now: Timestamp,
) -> Result<(Vec<Share>, Effects), StoreError> {
    let mut effects = Effects::default();
    loop {
        if let Some(shares) = claim_first(tx, ground, claims, now, &mut effects)? {
            return Ok((shares, effects));
        }
    }
}

type Chosen = BTreeMap<TaskId, (usize, QueuedTask)>;

/// None when there were only stale places, which are gone now: what is behind them may be for
/// these claims.
fn claim_first(
    tx: &mut Tx<'_>,
    ground: &Ground,
    claims: &[&Claim],
    now: Timestamp,
    effects: &mut Effects,
) -> Result<Option<Vec<Share>>, StoreError> {
    let mut fronts = fronts(tx, claims)?;
    let (jobs, programs) = choose(&mut fronts, claims);
    let mut shares: Vec<Share> = (claims.iter())
        .map(|claim| Share {
            tasks: Vec::new(),
            look_again: claim.keys().any(|key| fronts[&key].may_have_more),
        })
        .collect();
    let stale = claim_of_programs(tx, claims, programs, &mut shares, now)?
        | claim_of_jobs(tx, ground, claims, &jobs, &mut shares, (now, &mut *effects))?;
    if stale && shares.iter().all(|share| share.tasks.is_empty()) {
        return Ok(None);
    }
    for share in &mut shares {
        share.look_again = share.tasks.is_empty() && (share.look_again || stale);
        (share.tasks).sort_by_key(|task| (task.row.priority, task.row.id));
    }
    Ok(Some(shares))
}

/// What each claim is to get: tasks of jobs, and tasks of programs.
fn choose(fronts: &mut BTreeMap<String, Front>, claims: &[&Claim]) -> (Chosen, Chosen) {
    let mut chosen = Chosen::new();
    for (index, claim) in claims.iter().enumerate() {
        if !chosen.is_empty() && is_cut_short(fronts, claim) {
            continue;
        }
        for _ in 0..claim.limit {
            let Some(task) = take_first(fronts, claim) else {
                break;
            };
            chosen.insert(task.task_id, (index, task));
        }
    }
    (chosen.into_iter()).partition(|(_, (_, task))| task.timeout_ms.is_some())
}

/// True when there were stale places.
fn claim_of_programs(
    tx: &mut Tx<'_>,
    claims: &[&Claim],
    mut chosen: Chosen,
    shares: &mut [Share],
    now: Timestamp,
) -> Result<bool, StoreError> {
    if chosen.is_empty() {
        return Ok(false);
    }
    let ids: Vec<TaskId> = chosen.keys().copied().collect();
    let (mut taken, mut leases) = (Vec::new(), Vec::new());
    for row in task::start_tasks(tx, &ids, now)? {
        let Some((index, place)) = chosen.remove(&row.id) else {
            continue;
        };
        let lease = lease_of(claims[index], &row, now);
        taken.push(place);
        shares[index].tasks.push(ClaimedTask {
            row,
            expires_at: lease.expires_at,
            of_job: false,
        });
        leases.push(lease);
    }
    queue::remove(tx, &taken)?;
    lease::insert(tx, &leases)?;
    let left = chosen.into_values().map(|(_, place)| place);
    drop_stale(tx, left.collect())
}

fn lease_of(claim: &Claim, row: &TaskRow, now: Timestamp) -> Lease {
    Lease {
        attempt: AttemptRef {
            task_id: row.id,
            epoch: row.epoch,
        },
        run_id: row.run_id,
        org_id: row.org_id.clone(),
        of_job: false,
        holder: Holder::worker(&claim.worker_id),
        started_at: now,
        expires_at: now.after(claim.lease),
        deadline_at: None,
        stop: false,
    }
}

/// True when there were stale places.
fn claim_of_jobs(
    tx: &mut Tx<'_>,
    ground: &Ground,
    claims: &[&Claim],
    chosen: &Chosen,
    shares: &mut [Share],
    (now, effects): (Timestamp, &mut Effects),
) -> Result<bool, StoreError> {
    let wanted: Vec<WorkerClaim> = (chosen.values())
        .map(|(index, place)| WorkerClaim {
            place: place.clone(),
            worker_id: claims[*index].worker_id.clone(),
            expires_at: now.after(claims[*index].lease),
        })
        .collect();
    let claimed: Claims = lease_to_worker(tx, ground, &wanted, now)?;
    effects.extend(claimed.effects);
    if !claimed.leases.is_empty() {
        let ids: Vec<TaskId> = claimed.leases.keys().copied().collect();
        let mut rows = task::find_tasks(tx, &ids)?;
        for (id, lease) in claimed.leases {
            if let Some((row, (index, _))) = rows.remove(&id).zip(chosen.get(&id)) {
                shares[*index].tasks.push(ClaimedTask {
                    row,
                    expires_at: lease.expires_at,
                    of_job: true,
                });
            }
        }
    }
    forget(tx, &claimed.stale)
}

/// Places that no task waits in would be chosen again and again. True when there were any.
fn drop_stale(tx: &mut Tx<'_>, mut left: Vec<QueuedTask>) -> Result<bool, StoreError> {
    if left.is_empty() {
        return Ok(false);
    }
    let ids: Vec<TaskId> = left.iter().map(|task| task.task_id).collect();
    let waiting = task::waiting_tasks(tx, &ids)?;
    left.retain(|task| !waiting.contains(&task.task_id));
    forget(tx, &left)
}

fn forget(tx: &mut Tx<'_>, stale: &[QueuedTask]) -> Result<bool, StoreError> {
    for place in stale {
        tracing::error!(task.id = %place.task_id, "dropped from the queue: it does not wait");
    }
    queue::remove(tx, stale)?;
    Ok(!stale.is_empty())
}

/// The task that a claim would get first.
pub(super) fn first_waiting(tx: &mut Tx<'_>, claim: &Claim) -> Result<Option<TaskId>, StoreError> {
    let mut fronts = fronts(tx, &[claim])?;
    Ok(take_first(&mut fronts, claim).map(|task| task.task_id))
}

/// The first tasks under a key.
struct Front {
    tasks: VecDeque<QueuedTask>,
    /// Only so many were looked at as one transaction takes.
    may_have_more: bool,
}

/// The front of each key, as far as all claims together may need it.
fn fronts(tx: &mut Tx<'_>, claims: &[&Claim]) -> Result<BTreeMap<String, Front>, StoreError> {
    let mut demand: BTreeMap<String, u32> = BTreeMap::new();
    for claim in claims {
        for key in claim.keys() {
            let limit = demand.entry(key).or_default();
            *limit = limit.saturating_add(claim.limit);
        }
    }
    let mut fronts = BTreeMap::new();
    for (key, wanted) in demand {
        let tasks = queue::front(tx, &key, wanted.min(FRONT_MAX))?;
        let front = Front {
            may_have_more: wanted > FRONT_MAX && tasks.len() >= FRONT_MAX as usize,
            tasks: tasks.into(),
        };
        fronts.insert(key, front);
    }
    Ok(fronts)
}

/// Whether a claim would get less than it wants, but not in the next transaction.
fn is_cut_short(fronts: &BTreeMap<String, Front>, claim: &Claim) -> bool {
    let keys = || claim.keys().filter_map(|key| fronts.get(&key));
    let left: usize = keys().map(|front| front.tasks.len()).sum();
    left < claim.limit as usize && keys().any(|front| front.may_have_more)
}

/// The first task under the keys of a claim.
fn take_first(fronts: &mut BTreeMap<String, Front>, claim: &Claim) -> Option<QueuedTask> {
    let place = |key: &String| {
        let first = fronts.get(key)?.tasks.front()?;
        Some((first.rank, first.task_id))
    };
    let key = (claim.keys())
        .filter_map(|key| Some((place(&key)?, key)))
        .min()?
        .1;
    fronts.get_mut(&key)?.tasks.pop_front()
}
