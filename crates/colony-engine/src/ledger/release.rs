//! Leases after the claim: renewing, giving back, and what happens when they run out.

use std::collections::BTreeMap;
use std::time::Duration;

use colony_core::id::{AttemptRef, TaskId};
use colony_core::state::TaskStatus;
use colony_core::text::with_causes;
use colony_core::time::Timestamp;
use colony_store::lease::{self, Held, HolderKind};
use colony_store::ledger::{TaskRow, Waiting, task};
use colony_store::timer::{self, Timer};
use colony_store::{StoreError, Tx};
use serde_json::json;

use super::claim::ClaimedTask;
use super::signals::Signals;
use super::work::{Entry, Work};
use crate::engine::Engine;
use crate::error::EngineError;
use crate::isolate::Subject;

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
    let who = (HolderKind::Worker, Some(&*beat.org_id));
    let held = lease::renew(tx, who, &wanted, expires_at)?.into_iter();
    let held: BTreeMap<AttemptRef, Held> = held.map(|held| (held.attempt, held)).collect();
    let ids: Vec<TaskId> = wanted.iter().map(|attempt| attempt.task_id).collect();
    let states = task::states_of(tx, &beat.org_id, &ids)?;
    let answer = |attempt: &AttemptRef| {
        let current = held.get(attempt);
        HeldLease {
            attempt: *attempt,
            expires_at: current.map(|held| held.expires_at),
            status: states.get(&attempt.task_id).copied(),
            stop: current.is_none_or(|held| held.stop),
        }
    };
    Ok(beat.leases.iter().map(answer).collect())
}

/// Puts tasks back that were claimed for someone who has gone.
pub(super) async fn give_back(engine: &Engine, signals: &Signals, tasks: Vec<ClaimedTask>) {
    let now = engine.now();
    let attempts: Vec<AttemptRef> = tasks.iter().map(ClaimedTask::attempt).collect();
    let rows = engine
        .store
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
        Err(error) => tracing::warn!("failed to give tasks back: {}", with_causes(&error)),
    }
}

fn give_back_one(entry: &mut Entry, attempt: AttemptRef, now: Timestamp) {
    let held = (entry.task.lease.as_ref()).is_some_and(|lease| lease.attempt == attempt);
    if held {
        entry.end_lease("given_back", "", now);
        entry.set_status(TaskStatus::Queued, now);
        entry.wait(Some(Waiting::Offered));
        entry.touch(now);
    }
}

/// Ends leases of programs' tasks that ran out, and offers tasks whose delay is over. One for which
/// that cannot be done ends with the reason.
pub(crate) async fn tend(
    engine: &Engine,
    ids: Vec<TaskId>,
    now: Timestamp,
) -> Result<(), EngineError> {
    if ids.is_empty() {
        return Ok(());
    }
    let all = ids.clone();
    let together = engine.store.write(move |tx| tend_all(tx, &all, now)).await;
    match together {
        Ok(rows) => engine.signals.tasks_changed(rows.iter()),
        Err(error) if error.is_about_rows() => {
            for id in ids {
                tend_one(engine, id, now).await?;
            }
        }
        Err(error) => return Err(error.into()),
    }
    Ok(())
}

async fn tend_one(engine: &Engine, id: TaskId, now: Timestamp) -> Result<(), EngineError> {
    match engine.store.write(move |tx| tend_all(tx, &[id], now)).await {
        Ok(rows) => engine.signals.tasks_changed(rows.iter()),
        Err(error) if error.is_about_rows() => {
            engine.give_up(Subject::Task(id), &error.into()).await?;
        }
        Err(error) => return Err(error.into()),
    }
    Ok(())
}

/// Does for these tasks what is due. Leases and delays of tasks that are not there are dropped.
fn tend_all(tx: &mut Tx<'_>, ids: &[TaskId], now: Timestamp) -> Result<Vec<TaskRow>, StoreError> {
    let mut work = Work::lock(tx, ids)?;
    let (mut missing, mut stale, mut later) = (Vec::new(), Vec::new(), Vec::new());
    for id in ids {
        let Some(entry) = work.get(*id) else {
            missing.push(*id);
            stale.push(Timer::offer(*id, now));
            continue;
        };
        expire(entry, now);
        match entry.task.row.waiting {
            Some(Waiting::Delayed(due_at)) if due_at <= now => {
                entry.wait(Some(Waiting::Offered));
                entry.touch(now);
            }
            // Put off again meanwhile.
            Some(Waiting::Delayed(due_at)) => later.push(Timer::offer(*id, due_at)),
            Some(Waiting::Offered) | None => stale.push(Timer::offer(*id, now)),
        }
    }
    lease::remove(tx, &missing)?;
    timer::remove(tx, &stale)?;
    timer::set(tx, &later)?;
    work.save(tx, now)
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
        lease.holder.id
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
