//! Job tasks in the hands of users' workers: offering, claiming, reporting. The engine owns them, so a
//! report goes to the decision of their run instead of into the row.

use std::collections::{BTreeMap, BTreeSet};

use colony_core::id::{AttemptRef, RunId, TaskId};
use colony_core::job::{AttemptEnd, EndStatus, Event};
use colony_core::plan::TaskPlan;
use colony_core::state::TaskStatus;
use colony_core::text::{control_in_name, with_causes};
use colony_core::time::Timestamp;
use colony_store::job_run::{Shown, error_json};
use colony_store::lease::{Holder, HolderKind, Lease};
use colony_store::ledger::{TaskRow, Waiting};
use colony_store::queue::QueuedTask;
use colony_store::{StoreError, Tx};
use serde_json::Value;

use super::batch::{Base, Ground, RunEntry};
use super::end::EndedLease;
use super::operation::{Needs, Operation};
use super::stage::{Stage, timeout_ms};
use crate::effects::Effects;
use crate::error::EngineError;
use crate::event::RunEventKind;
use crate::isolate::Subject;
use crate::ledger::{ChangeTask, LedgerError, Missing, TaskChange};

/// A task that had to be rendered before it was known who can do it.
pub(crate) struct Offer {
    /// Its place while it was to be rendered.
    pub(crate) place: QueuedTask,
    pub(crate) outcome: Rendering,
}

/// What became of the rendering.
pub(crate) enum Rendering {
    /// It waits under that key from now on.
    Queued {
        key: String,
        /// What workers see of it.
        shown: Option<Shown>,
        /// Its control flow as rendered, and whether that is not what the plan says.
        control: Box<TaskPlan>,
        changed: bool,
    },
    /// Nobody needs to see it: skipped, or impossible.
    Ended(AttemptEnd),
}

impl Operation for Offer {
    type Output = ();

    fn needs(&self, needs: &mut Needs) {
        needs.runs.insert(self.place.run_id);
    }

    fn decide(&self, stage: &mut Stage<'_>) -> Result<(), EngineError> {
        let run = stage.expect_run(self.place.run_id)?;
        let Some(name) = run.row.task_name(self.place.task_id).map(str::to_owned) else {
            return Err(EngineError::not_found("task of a job", self.place.task_id));
        };
        let row = run.row.tasks.get(&name);
        if row.and_then(|row| row.queue_key.as_deref()) != Some(&*self.place.key) {
            // Withdrawn meanwhile.
            stage.writes().unqueued.push(self.place.clone());
            return Ok(());
        }
        match &self.outcome {
            Rendering::Ended(end) => self.end(stage, &name, end),
            Rendering::Queued {
                key,
                shown,
                control,
                changed,
            } => self.queue(stage, &name, (key, shown), control, *changed),
        }
    }
}

impl Offer {
    fn queue(
        &self,
        stage: &mut Stage<'_>,
        name: &str,
        (key, shown): (&String, &Option<Shown>),
        control: &TaskPlan,
        changed: bool,
    ) -> Result<(), EngineError> {
        let run = stage.expect_run(self.place.run_id)?;
        let place = run
            .row
            .place(self.place.task_id, key, Some(timeout_ms(control)));
        stage.edit(self.place.run_id, |entry| {
            if let Some(row) = entry.row.tasks.get_mut(name) {
                row.queue_key = Some(key.clone());
                row.shown.clone_from(shown);
            }
            if let Some(record) = entry.row.run.tasks.get_mut(name).filter(|_| changed) {
                record.control = Some(Box::new(control.clone()));
            }
        })?;
        stage.writes().unqueued.push(self.place.clone());
        stage.writes().queued.push(place.clone());
        if shown.is_some() {
            stage.effects().offered.push(place);
        }
        Ok(())
    }

    /// It ends without having been offered: the queen did it, in no time.
    fn end(&self, stage: &mut Stage<'_>, name: &str, end: &AttemptEnd) -> Result<(), EngineError> {
        let (run_id, now) = (self.place.run_id, stage.now);
        let mut lease = None;
        stage.edit(run_id, |entry| {
            lease = entry.lease(&self.place, (Holder::queen(), ""), now, now);
            if let Some(row) = entry.row.tasks.get_mut(name) {
                row.lease = None;
            }
        })?;
        stage.writes().unqueued.push(self.place.clone());
        let Some(lease) = lease else {
            return Ok(());
        };
        let run = stage.expect_run(run_id)?;
        let retries = run.row.run.tasks.get(name).map_or(0, |task| task.retries);
        let ended = EndedLease::new(lease, name, retries);
        stage.record(&ended, super::end::outcome_word(end.status), end);
        let event = Event::AttemptEnded {
            task: name.to_owned(),
            end: end.clone(),
        };
        stage.move_on(&ended, event)
    }
}

/// A claim of a job's task.
pub(crate) struct WorkerClaim {
    pub(crate) place: QueuedTask,
    pub(crate) worker_id: String,
    pub(crate) expires_at: Timestamp,
}

/// What became of claims of job tasks.
#[derive(Default)]
pub(crate) struct Claims {
    pub(crate) leases: BTreeMap<TaskId, Lease>,
    /// Places whose task does not wait in them.
    pub(crate) stale: Vec<QueuedTask>,
    pub(crate) effects: Effects,
}

/// Gives job tasks to workers that claim them, but for those whose run somebody else is changing
/// right now.
pub(crate) fn lease_to_worker(
    tx: &mut Tx<'_>,
    ground: &Ground,
    claims: &[WorkerClaim],
    now: Timestamp,
) -> Result<Claims, StoreError> {
    let mut result = Claims::default();
    if claims.is_empty() {
        return Ok(result);
    }
    let runs: BTreeSet<RunId> = claims.iter().map(|claim| claim.place.run_id).collect();
    let runs: Vec<RunId> = runs.into_iter().collect();
    let mut base = Base::default();
    base.load_runs(tx, ground, &runs, true)?;
    let absent = base.absent(tx, &runs)?;
    for claim in claims {
        let place = &claim.place;
        match base.runs.get_mut(&place.run_id) {
            None if absent.contains(&place.run_id) => result.stale.push(place.clone()),
            // Somebody else is at it: claims look again at once.
            None => base.effects.offered.push(place.clone()),
            Some(Err(reason)) => {
                let subject = Subject::Task(place.task_id);
                base.effects.guilty.push((subject, reason.clone()));
            }
            Some(Ok(entry)) => {
                let holder = Holder::worker(&claim.worker_id);
                match entry.lease(place, (holder, ""), now, claim.expires_at) {
                    None => result.stale.push(place.clone()),
                    Some(lease) => {
                        let started = started(entry, &lease);
                        base.effects.events.extend(started);
                        base.effects.due(lease.expires_at);
                        base.effects
                            .due(lease.deadline_at.unwrap_or(lease.expires_at));
                        base.writes.unqueued.push(place.clone());
                        base.writes.leases.push(lease.clone());
                        result.leases.insert(place.task_id, lease);
                    }
                }
            }
        }
    }
    result.effects = base.write(tx, now)?;
    Ok(result)
}

fn started(entry: &RunEntry, lease: &Lease) -> Option<(colony_core::id::RequestId, RunEventKind)> {
    let task = entry.row.task_name(lease.attempt.task_id)?.to_owned();
    let retry = entry
        .row
        .run
        .tasks
        .get(&task)
        .map_or(0, |task| task.retries);
    let event = RunEventKind::TaskStarted {
        task,
        attempt: lease.attempt,
        retry,
    };
    Some((entry.row.request_id, event))
}

/// A worker changes a job task. Output: the task as it is then, or why nothing changed.
pub(crate) struct Change {
    pub(crate) item: ChangeTask,
}

impl Operation for Change {
    type Output = Result<TaskRow, LedgerError>;

    fn needs(&self, needs: &mut Needs) {
        needs.tasks.insert(self.item.id);
        needs.shown.insert(self.item.id);
    }

    fn decide(&self, stage: &mut Stage<'_>) -> Result<Self::Output, EngineError> {
        let item = &self.item;
        let row = stage.shown(item.id).filter(|row| row.org_id == item.org_id);
        let Some(row) = row.cloned() else {
            // A row that cannot be read is left out of what is shown.
            return match stage.run_of(item.id) {
                Some(_) if stage.shown(item.id).is_none() => {
                    Err(EngineError::Unreadable("its row cannot be read".to_owned()))
                }
                Some(_) | None => Ok(Err(LedgerError::missing(Missing::Task))),
            };
        };
        let Some(attempt) = item.lease.filter(|_| item.change.queue_job_id.is_none()) else {
            return Ok(Err(LedgerError::OwnedByJob(Box::new(row))));
        };
        let Some((run_id, name)) = held(stage, attempt)? else {
            return Ok(Err(LedgerError::LeaseLost(Box::new(row))));
        };
        self.change(stage, attempt, (run_id, &name))?;
        let shown = Shown {
            kind: None,
            input: None,
            metadata: item.change.metadata.clone(),
            output: item.change.output.clone(),
            error: item.change.error.clone(),
        };
        if shown != Shown::default() {
            stage.edit(run_id, |entry| {
                if let Some(row) = entry.row.tasks.get_mut(&name) {
                    let before = row.shown.take().unwrap_or_default();
                    row.shown = Some(before.then(shown.clone()));
                }
            })?;
        }
        let now = stage.now;
        let run = stage.expect_run(run_id)?;
        Ok(Ok(as_shown(row, run, &name, &item.change, now)))
    }
}

/// The run and name of a job's task that a worker holds under that lease.
fn held(stage: &Stage<'_>, attempt: AttemptRef) -> Result<Option<(RunId, String)>, EngineError> {
    let Some(run_id) = stage.run_of(attempt.task_id) else {
        return Ok(None);
    };
    let Some(run) = stage.run(run_id)? else {
        return Ok(None);
    };
    let Some(name) = run.row.task_name(attempt.task_id) else {
        return Ok(None);
    };
    let lease = run.row.tasks.get(name).and_then(|row| row.lease.as_ref());
    let held = lease
        .is_some_and(|lease| lease.attempt == attempt && lease.holder.kind == HolderKind::Worker);
    Ok(held.then(|| (run_id, name.to_owned())))
}

impl Change {
    fn change(
        &self,
        stage: &mut Stage<'_>,
        attempt: AttemptRef,
        (run_id, name): (RunId, &str),
    ) -> Result<(), EngineError> {
        let Some(status) = self.item.change.status else {
            return Ok(());
        };
        let task = name.to_owned();
        let (outcome, end, event) = match status {
            TaskStatus::Running => return Ok(()),
            TaskStatus::Pending | TaskStatus::Queued => {
                let message = "given back by its worker".to_owned();
                let event = Event::AttemptLost {
                    task,
                    counts: false,
                    message: message.clone(),
                };
                ("given_back", AttemptEnd::failed("", message), event)
            }
            TaskStatus::Completed
            | TaskStatus::Failed
            | TaskStatus::Cancelled
            | TaskStatus::Retrying => {
                let end = attempt_end(status, &self.item.change);
                let event = Event::AttemptEnded {
                    task,
                    end: end.clone(),
                };
                (outcome_word(status), end, event)
            }
        };
        let Some(ended) = stage.end_lease(Some(run_id), attempt)? else {
            return Ok(());
        };
        if status == TaskStatus::Completed {
            self.export(stage, &ended)?;
        }
        stage.record(&ended, outcome, &end);
        stage.move_on(&ended, event)
    }

    /// The members of an output that is an object become variables of later tasks: run data.
    fn export(&self, stage: &mut Stage<'_>, ended: &EndedLease) -> Result<(), EngineError> {
        let output = self.item.change.output.as_ref().and_then(Option::as_ref);
        let Some(output) = output else {
            return Ok(());
        };
        let id = self.item.id;
        for (key, value) in members(output) {
            if control_in_name(&key).is_some() {
                let key = key.escape_debug();
                tracing::warn!(task.id = %id, "the output `{key}` gives no variable: its name holds control characters");
                continue;
            }
            stage.export(ended, key, value);
        }
        stage.edit(ended.run_id, |entry| entry.row.has_data = true)
    }
}

/// The task as the Runs API shows it after the change.
fn as_shown(
    row: TaskRow,
    run: &RunEntry,
    name: &str,
    change: &TaskChange,
    now: Timestamp,
) -> TaskRow {
    let mut row = row;
    row.updated_at = now;
    if let Some(record) = run.row.run.tasks.get(name) {
        row.status = TaskStatus::from(record.state);
        row.marks.retry_count = i64::from(record.retries);
        row.error = error_json(record.error.as_ref()).map(Into::into);
    }
    if let Some(task) = run.row.tasks.get(name) {
        row.marks.started_at = task.started_at;
        row.marks.completed_at = task.ended_at;
        let start = task.started_at.unwrap_or(task.created_at);
        let ended = task.ended_at.map(Timestamp::as_millis);
        row.marks.duration_ms = ended.map(|ended| ended - start.as_millis());
        row.waiting = task.queue_key.as_ref().map(|_| Waiting::Offered);
    }
    if let Some(output) = &change.output {
        row.output.clone_from(output);
    }
    if let Some(error) = &change.error {
        row.error.clone_from(error);
    }
    if let Some(metadata) = &change.metadata {
        row.metadata = Some(metadata.clone());
    }
    row
}

const fn outcome_word(status: TaskStatus) -> &'static str {
    match status {
        TaskStatus::Completed => "completed",
        TaskStatus::Cancelled => "cancelled",
        _ => "failed",
    }
}

fn members(output: &str) -> BTreeMap<String, Value> {
    match serde_json::from_str(output) {
        Ok(Value::Object(members)) => members.into_iter().collect(),
        Ok(_) => BTreeMap::new(),
        Err(error) => {
            // Deeper than templates can use; the output itself is kept as it is.
            tracing::warn!("an output gives no variables: {}", with_causes(&error));
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
