//! Leases after the claim: renewing, giving back, and what happens when they run out.

use std::collections::BTreeSet;
use std::time::Duration;

use colony_core::id::{AttemptRef, TaskId};
use colony_core::state::TaskStatus;
use colony_core::time::Timestamp;
use colony_store::ledger::{TaskRow, Waiting, lease, offer};
use colony_store::{Store, StoreError, Tx};
use serde_json::json;

use super::claim::ClaimedTask;
use super::job_task;
use super::signals::Signals;
use super::work::{Entry, Work};

/// The most leases that are ended in one transaction.
const EXPIRED_MAX: u32 = 256;

/// A worker renews leases.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Heartbeat {
    /// Owner.
    pub org_id: String,
    /// The leases.
    pub leases: Vec<AttemptRef>,
    /// How long they last from now on.
    pub lease: Duration,
}

/// What became of a lease.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct HeldLease {
    /// The lease.
    pub attempt: AttemptRef,
    /// When it ends; none when it is over already. With `stop` it is not renewed any more.
    pub expires_at: Option<Timestamp>,
    /// Where the task is; none when it is unknown.
    pub status: Option<TaskStatus>,
    /// The worker should stop: someone asked for it, or the lease is over.
    pub stop: bool,
}

pub(super) fn renew(
    tx: &mut Tx<'_>,
    beat: &Heartbeat,
    now: Timestamp,
) -> Result<Vec<HeldLease>, StoreError> {
    let expires_at = now.after(beat.lease);
    let mut wanted = beat.leases.clone();
    wanted.sort_unstable();
    wanted.dedup();
    let renewed: BTreeSet<AttemptRef> = lease::renew(tx, &beat.org_id, &wanted, expires_at)?
        .into_iter()
        .collect();
    let ids: Vec<TaskId> = wanted.iter().map(|attempt| attempt.task_id).collect();
    let states = lease::states_of(tx, &beat.org_id, &ids)?;
    let mut leases = Vec::with_capacity(beat.leases.len());
    for attempt in &beat.leases {
        let current = renewed.contains(attempt);
        let mut held = HeldLease {
            attempt: *attempt,
            expires_at: current.then_some(expires_at),
            status: states.get(&attempt.task_id).copied(),
            stop: !current,
        };
        if !current && held.status == Some(TaskStatus::Running) {
            job_task::renew(tx, &beat.org_id, &mut held, expires_at)?;
        }
        leases.push(held);
    }
    Ok(leases)
}

/// Puts tasks back that were claimed for someone who has gone.
pub(super) async fn give_back(
    store: &Store,
    signals: &Signals,
    tasks: Vec<ClaimedTask>,
    now: Timestamp,
) {
    let attempts: Vec<AttemptRef> = tasks.iter().map(ClaimedTask::attempt).collect();
    let rows = store
        .write(move |tx| {
            let ids: Vec<TaskId> = attempts.iter().map(|attempt| attempt.task_id).collect();
            let mut work = Work::lock(tx, &ids)?;
            for attempt in &attempts {
                if let Some(entry) = work.get(attempt.task_id) {
                    give_back_one(entry, *attempt, now);
                }
            }
            work.save(tx, now)
        })
        .await;
    match rows {
        Ok(rows) => signals.tasks_changed(rows.iter()),
        // Their leases run out.
        Err(error) => tracing::warn!("failed to give tasks back: {error}"),
    }
}

fn give_back_one(entry: &mut Entry, attempt: AttemptRef, now: Timestamp) {
    let held = (entry.task.lease.as_ref()).is_some_and(|lease| lease.epoch == attempt.epoch);
    if held {
        entry.end_lease("given_back", "", now);
        entry.set_status(TaskStatus::Queued, now);
        entry.wait(Some(Waiting::Offered));
        entry.touch(now);
    }
}

/// What one round of upkeep did.
pub(super) struct Round {
    /// The tasks that changed.
    pub(super) rows: Vec<TaskRow>,
    /// When the next round is due.
    pub(super) next_due: Option<Timestamp>,
}

/// Ends leases that ran out, and offers tasks whose delay is over.
pub(super) fn upkeep(tx: &mut Tx<'_>, now: Timestamp) -> Result<Round, StoreError> {
    let ids = due(tx, now)?;
    let rows = upkeep_of(tx, &ids, now)?;
    let next_due = lease::next_due(tx)?;
    Ok(Round { rows, next_due })
}

/// Tasks whose lease ran out or whose delay is over.
pub(super) fn due(tx: &mut Tx<'_>, now: Timestamp) -> Result<Vec<TaskId>, StoreError> {
    let mut ids = lease::expired(tx, now, EXPIRED_MAX)?;
    ids.extend(offer::due_tasks(tx, now, EXPIRED_MAX)?);
    Ok(ids)
}

/// Does for these tasks what is due. Leases and delays of tasks that are not there are dropped.
pub(super) fn upkeep_of(
    tx: &mut Tx<'_>,
    ids: &[TaskId],
    now: Timestamp,
) -> Result<Vec<TaskRow>, StoreError> {
    if ids.is_empty() {
        return Ok(Vec::new());
    }
    let mut work = Work::lock(tx, ids)?;
    let (mut missing, mut stale) = (Vec::new(), Vec::new());
    for id in ids {
        let Some(entry) = work.get(*id) else {
            missing.push(*id);
            continue;
        };
        expire(entry, now);
        if !offer_due(entry, now) {
            stale.push(*id);
        }
    }
    lease::delete_leases(tx, &missing)?;
    stale.extend(missing);
    offer::forget_delayed(tx, &stale, now)?;
    work.save(tx, now)
}

/// False when the task is not one of those whose delay is over.
fn offer_due(entry: &mut Entry, now: Timestamp) -> bool {
    match entry.task.row.waiting {
        Some(Waiting::Delayed(due_at)) if due_at <= now => {
            entry.wait(Some(Waiting::Offered));
            entry.touch(now);
            true
        }
        Some(Waiting::Delayed(_) | Waiting::Offered) | None => false,
    }
}

/// A lease ran out: the task is tried again, or fails when it was tried often enough.
fn expire(entry: &mut Entry, now: Timestamp) {
    let Some(lease) = &entry.task.lease else {
        return;
    };
    if lease.expires_at > now {
        return;
    }
    let message = format!(
        "lease expired: worker {} did not renew it in time",
        lease.holder
    );
    let retries_left = entry.task.row.marks.retry_count < entry.task.row.max_retries;
    entry.end_lease("lost", &message, now);
    if retries_left {
        entry.set_status(TaskStatus::Retrying, now);
        entry.wait(Some(Waiting::Offered));
    } else {
        entry.set_status(TaskStatus::Failed, now);
        let error = json!({ "code": "LEASE_EXPIRED", "message": message });
        entry.task.row.error = Some(error.to_string().into());
        entry.wait(None);
    }
    entry.touch(now);
}
