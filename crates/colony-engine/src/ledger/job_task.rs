//! Job tasks in the hands of workers: claiming, renewing, reporting. The engine owns them, so a
//! report goes to the decision of their run instead of into the row.

use std::collections::BTreeMap;

use colony_core::id::{AttemptRef, RunDataId, RunId, TaskId};
use colony_core::job::{AttemptEnd, EndStatus};
use colony_core::state::TaskStatus;
use colony_core::text::control_in_name;
use colony_core::time::Timestamp;
use colony_store::context::{self, Context};
use colony_store::dispatch::{self, Lease};
use colony_store::ledger::offer::Offer;
use colony_store::ledger::{TaskRow, task};
use colony_store::worker_task::{self, TaskWords, WorkerTask};
use colony_store::{StoreError, Tx};
use serde_json::Value;

use super::change::{ChangeTask, TaskChange};
use super::claim::Claim;
use super::error::{LedgerError, Missing};
use super::release::HeldLease;
use crate::action::Actions;
use crate::ant::Lost;
use crate::engine::Engine;
use crate::error::EngineError;
use crate::event::RunEventKind;
use crate::isolate::Subject;
use crate::report::end_attempt;

/// A job task that was claimed.
#[derive(Debug, Clone, PartialEq)]
pub(super) struct ClaimedJobTask {
    task: WorkerTask,
    attempt: AttemptRef,
    /// When the timers loop must look: the lease ends or the task runs out of time.
    due_at: Timestamp,
}

impl ClaimedJobTask {
    /// Tells the engine, once it is committed.
    pub(super) fn announce(&self, engine: &Engine) {
        engine.nudges.due_at(self.due_at);
        let event = RunEventKind::TaskStarted {
            task: self.task.name.clone(),
            attempt: self.attempt,
            retry: self.task.retry,
        };
        engine.tell(self.task.request_id, event);
    }
}

/// Locks the runs of the job tasks among chosen offers; leaves those of runs that are busy or not
/// there.
pub(super) fn lock_chosen<T>(
    tx: &mut Tx<'_>,
    chosen: &mut BTreeMap<TaskId, (T, Offer)>,
    left: &mut Vec<Offer>,
) -> Result<BTreeMap<TaskId, WorkerTask>, StoreError> {
    let is_job = |offer: &Offer| offer.timeout_ms.is_some();
    let jobs = chosen.iter().filter(|(_, (_, offer))| is_job(offer));
    let ids: Vec<TaskId> = jobs.map(|(id, _)| *id).collect();
    if ids.is_empty() {
        return Ok(BTreeMap::new());
    }
    let locked = worker_task::lock_tasks(tx, &ids)?;
    chosen.retain(|id, (_, offer)| {
        let stays = !is_job(offer) || locked.contains_key(id);
        if !stays {
            left.push(offer.clone());
        }
        stays
    });
    Ok(locked)
}

/// Gives a started job task to the worker that claimed it.
pub(super) fn lease(
    tx: &mut Tx<'_>,
    claim: &Claim,
    row: &TaskRow,
    (task, timeout_ms): (WorkerTask, i64),
    now: Timestamp,
) -> Result<ClaimedJobTask, StoreError> {
    let attempt = AttemptRef {
        task_id: row.id,
        epoch: row.epoch,
    };
    let lease = Lease {
        attempt,
        run_id: task.run_id,
        holder: worker_task::holder(&claim.worker_id),
        started_at: now,
    };
    let expires_at = now.after(claim.lease);
    let deadline_at = worker_task::lease_task(tx, &lease, expires_at, timeout_ms)?;
    Ok(ClaimedJobTask {
        task,
        attempt,
        due_at: expires_at.min(deadline_at),
    })
}

/// Renews the lease of a job task. A worker that is to stop keeps what is left of its lease, to
/// report in.
pub(super) fn renew(
    tx: &mut Tx<'_>,
    org_id: &str,
    held: &mut HeldLease,
    expires_at: Timestamp,
) -> Result<(), StoreError> {
    if let Some(current) = worker_task::renew_task(tx, org_id, held.attempt, expires_at)? {
        held.expires_at = Some(current.expires_at);
        held.stop = current.stop;
    }
    Ok(())
}

/// Changes a job task for the holder of its lease: an end drives the job.
pub(super) fn change(
    tx: &mut Tx<'_>,
    engine: &Engine,
    item: &ChangeTask,
    now: Timestamp,
    actions: &mut Actions,
) -> Result<TaskRow, LedgerError> {
    let found = task::find_task(tx, &item.org_id, item.id)?;
    let row = found.ok_or(LedgerError::missing(Missing::Task))?;
    let change = &item.change;
    let Some(attempt) = item.lease.filter(|_| change.queue_job_id.is_none()) else {
        return Err(LedgerError::OwnedByJob(Box::new(row)));
    };
    if worker_task::epoch_held(tx, item.id)? != Some(attempt.epoch) {
        return Err(LedgerError::LeaseLost(Box::new(row)));
    }
    let current = match change.status {
        None | Some(TaskStatus::Running) => true,
        Some(TaskStatus::Pending | TaskStatus::Queued) => {
            put_back(tx, engine, attempt, now, actions)?
        }
        Some(
            status @ (TaskStatus::Completed
            | TaskStatus::Failed
            | TaskStatus::Cancelled
            | TaskStatus::Retrying),
        ) => {
            if status == TaskStatus::Completed {
                export(tx, engine, &row, change, now)?;
            }
            let end = attempt_end(status, change);
            end_attempt(tx, engine, attempt, end, None, now, actions)?
        }
    };
    if !current {
        return Err(LedgerError::LeaseLost(Box::new(row)));
    }
    let words = TaskWords {
        output: change.output.clone(),
        error: change.error.clone(),
        metadata: change.metadata.clone(),
    };
    let row = worker_task::set_words(tx, &item.org_id, item.id, &words, now)?;
    row.ok_or(LedgerError::missing(Missing::Task))
}

/// The worker gives the task up without an outcome. False when its lease is not current.
fn put_back(
    tx: &mut Tx<'_>,
    engine: &Engine,
    attempt: AttemptRef,
    now: Timestamp,
    actions: &mut Actions,
) -> Result<bool, LedgerError> {
    let Some(lease) = dispatch::end_lease(tx, attempt)? else {
        return Ok(false);
    };
    let lost = Lost {
        lease,
        counts: false,
        outcome: "given_back",
        message: "given back by its worker",
    };
    lost.store(tx, engine, now, actions)?;
    Ok(true)
}

/// The members of an output that is an object become variables of later tasks: run data.
fn export(
    tx: &mut Tx<'_>,
    engine: &Engine,
    row: &TaskRow,
    change: &TaskChange,
    now: Timestamp,
) -> Result<(), StoreError> {
    let Some(output) = change.output.as_ref().and_then(Option::as_ref) else {
        return Ok(());
    };
    let run_id: RunId = row.run_id;
    for (key, value) in members(output) {
        if control_in_name(&key).is_some() {
            let key = key.escape_debug();
            tracing::warn!(task.id = %row.id, "the output `{key}` gives no variable: its name holds control characters");
            continue;
        }
        let context = Context {
            id: RunDataId::new(engine.ids.next_uuid()),
            task_id: row.id,
            key,
            value,
            created_at: now,
        };
        context::insert_context(tx, run_id, &row.org_id, &context)?;
    }
    Ok(())
}

fn members(output: &str) -> BTreeMap<String, Value> {
    match serde_json::from_str(output) {
        Ok(Value::Object(members)) => members.into_iter().collect(),
        Ok(_) => BTreeMap::new(),
        Err(error) => {
            // Deeper than templates can use; the output itself is kept as it is.
            tracing::warn!("an output gives no variables: {error}");
            BTreeMap::new()
        }
    }
}

/// What a worker says, in the words of decisions. Its status is its exit code: 0 or 1.
fn attempt_end(status: TaskStatus, change: &TaskChange) -> AttemptEnd {
    if status == TaskStatus::Completed {
        return AttemptEnd::completed("0");
    }
    let error = change.error.as_ref().and_then(Option::as_ref);
    let error: Value = error
        .and_then(|text| serde_json::from_str(text).ok())
        .unwrap_or_default();
    let message = match &error {
        Value::String(message) => message.clone(),
        Value::Object(members) => (members.get("message").and_then(Value::as_str))
            .map_or_else(|| error.to_string(), str::to_owned),
        Value::Null => format!("worker reported {status}"),
        other => other.to_string(),
    };
    let end = AttemptEnd::failed("1", message);
    match error.get("code").and_then(Value::as_str) {
        _ if status == TaskStatus::Cancelled => AttemptEnd {
            status: EndStatus::Cancelled,
            ..end
        },
        Some(code) if !code.is_empty() => end.with_code(code),
        _ => end,
    }
}

/// Gives job tasks back that were claimed for someone who has gone.
pub(super) async fn give_back(engine: &Engine, attempts: &[AttemptRef]) {
    for attempt in attempts {
        let given = engine.give_back(*attempt, "its worker went away").await;
        if let Err(error) = given {
            // Its lease runs out.
            tracing::warn!(task.id = %attempt.task_id, "failed to give a task back: {error}");
        }
    }
}

impl Engine {
    /// Changes job tasks for the holders of their leases, each with an outcome of its own.
    pub(super) async fn change_job_task(
        &self,
        item: ChangeTask,
        now: Timestamp,
    ) -> Result<TaskRow, LedgerError> {
        let (engine, id) = (self.clone(), item.id);
        let changed = self
            .store
            .write(move |tx| {
                let mut actions = Actions::default();
                let row = change(tx, &engine, &item, now, &mut actions)?;
                Ok::<_, LedgerError>((row, actions))
            })
            .await;
        match changed {
            Ok((row, actions)) => {
                actions.carry_out(self);
                Ok(row)
            }
            Err(error) => Err(self.end_changeless(id, error).await?),
        }
    }

    /// A job whose task cannot be changed, whoever asks, ends. Gives the error back.
    async fn end_changeless(
        &self,
        id: TaskId,
        error: LedgerError,
    ) -> Result<LedgerError, LedgerError> {
        let cause = match error {
            LedgerError::Store(error) if error.is_about_rows() => EngineError::Store(error),
            LedgerError::Engine(error) if error.is_about_rows() => *error,
            other => return Ok(other),
        };
        self.give_up(Subject::Task(id), &cause).await?;
        Ok(cause.into())
    }
}
