//! One operation's view of a batch: what it reads, and what it wants written.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use colony_core::id::{DefinitionId, RequestId, RunId, TaskId};
use colony_core::job::{self, Effect, Event, JobRun, Phase, StopReason};
use colony_core::method::Method;
use colony_core::plan::{Plan, TaskPlan};
use colony_core::queue_key;
use colony_core::state::{JobState, JobTaskState};
use colony_core::time::Timestamp;
use colony_store::Writes;
use colony_store::definition::Flags;
use colony_store::job_run::{JobRunRow, JobTaskRow, occupies_slot};
use colony_store::lease::HolderKind;
use colony_store::ledger::TaskRow;
use colony_store::request::{Ended, RequestChange, RequestRow, Requeue};
use colony_store::timer::{Timer, TimerKind};
use rand::SeedableRng as _;
use rand::rngs::StdRng;

use super::batch::{Base, Ground, Readable, RunEntry};
use crate::effects::Effects;
use crate::error::EngineError;
use crate::event::RunEventKind;
use crate::order::TIMEOUT_GRACE;
use crate::tags;

/// What one operation has decided.
#[derive(Default)]
pub(super) struct Staged {
    pub(super) runs: BTreeMap<RunId, RunEntry>,
    pub(super) requests: BTreeMap<RequestId, RequestRow>,
    pub(super) writes: Writes,
    pub(super) effects: Effects,
}

/// One operation's view of a batch.
pub(crate) struct Stage<'b> {
    ground: &'b Ground,
    base: &'b Base,
    /// The time of the decision.
    pub(super) now: Timestamp,
    rng: StdRng,
    staged: Staged,
}

impl<'b> Stage<'b> {
    pub(super) fn new(ground: &'b Ground, base: &'b Base, now: Timestamp, seed: u64) -> Self {
        Self {
            ground,
            base,
            now,
            rng: StdRng::seed_from_u64(seed),
            staged: Staged::default(),
        }
    }

    pub(super) fn into_staged(self) -> Staged {
        self.staged
    }

    /// Nothing of what was decided so far is to happen.
    pub(super) fn undo(&mut self) {
        self.staged = Staged::default();
    }

    pub(super) fn ground(&self) -> &'b Ground {
        self.ground
    }

    pub(super) fn writes(&mut self) -> &mut Writes {
        &mut self.staged.writes
    }

    pub(super) fn effects(&mut self) -> &mut Effects {
        &mut self.staged.effects
    }

    /// A run of a job.
    pub(super) fn run(&self, id: RunId) -> Result<Option<&RunEntry>, EngineError> {
        if let Some(entry) = self.staged.runs.get(&id) {
            return Ok(Some(entry));
        }
        self.base.runs.get(&id).map(readable).transpose()
    }

    /// Whether a run was looked for when the batch was loaded, or made in it.
    pub(super) fn was_looked_for(&self, id: RunId) -> bool {
        self.base.wanted.contains(&id) || self.base.runs.contains_key(&id)
    }

    /// The run of a job's task.
    pub(super) fn run_of(&self, task_id: TaskId) -> Option<RunId> {
        self.base.run_of.get(&task_id).copied()
    }

    /// A run that must be there.
    pub(super) fn expect_run(&self, id: RunId) -> Result<&RunEntry, EngineError> {
        let run = self.run(id)?;
        run.ok_or_else(|| EngineError::not_found("run of a job", id))
    }

    /// Changes a run.
    pub(super) fn edit(
        &mut self,
        id: RunId,
        change: impl FnOnce(&mut RunEntry),
    ) -> Result<(), EngineError> {
        let mut entry = self.expect_run(id)?.clone();
        entry.touched = true;
        change(&mut entry);
        self.staged.runs.insert(id, entry);
        Ok(())
    }

    /// Adds a run that is not stored yet.
    pub(super) fn add_run(&mut self, row: JobRunRow, plan: Arc<Plan>) {
        let entry = RunEntry::new(row, plan);
        self.staged.runs.insert(entry.row.run_id, entry);
    }

    /// A request.
    pub(super) fn request(&self, id: RequestId) -> Result<Option<&RequestRow>, EngineError> {
        if let Some(request) = self.staged.requests.get(&id) {
            return Ok(Some(request));
        }
        self.base.requests.get(&id).map(readable).transpose()
    }

    /// A request as it is from now on, for what follows in the same batch.
    pub(super) fn set_request(&mut self, row: RequestRow) {
        self.staged.requests.insert(row.id, row);
    }

    /// A task as the Runs API shows it.
    pub(super) fn shown(&self, id: TaskId) -> Option<&TaskRow> {
        self.base.shown.get(&id)
    }

    pub(super) fn flags(&self, id: DefinitionId) -> Option<Flags> {
        self.base.flags.get(&id).copied()
    }

    /// Who holds a key of users.
    pub(super) fn holder_of_key(&self, key: &str) -> Option<RequestId> {
        self.base.user_keys.get(key).copied()
    }

    /// Whether requests are due under a schedule key.
    pub(super) fn is_in_use(&self, key: &str) -> bool {
        self.base.in_use.contains(key)
    }

    /// How many runs of a schedule key hold a slot.
    pub(super) fn taken(&self, key: &str) -> u32 {
        self.base.taken.get(key).copied().unwrap_or(0)
    }

    /// Applies `event` to a run. An event that does not fit changes nothing: it came late or twice.
    /// False then, and when there is no such run.
    pub(super) fn advance(&mut self, run_id: RunId, event: Event) -> Result<bool, EngineError> {
        let Some(entry) = self.run(run_id)? else {
            return Ok(false);
        };
        check_active(entry)?;
        let mut entry = entry.clone();
        let plan = Arc::clone(&entry.plan);
        let run = entry.row.run.clone();
        let (after, effects) = match job::apply(&plan, run, event, self.now, &mut self.rng) {
            Ok(decision) => decision,
            Err(refused) => {
                tracing::debug!(run.id = %run_id, "{refused}");
                return Ok(false);
            }
        };
        let taken = i64::from(occupies_slot(after.phase));
        let taken = taken - i64::from(occupies_slot(entry.row.run.phase));
        if taken != 0 {
            let key = entry.row.schedule_key.clone();
            self.writes().move_slots(key, taken);
        }
        let phase_before = entry.row.run.phase;
        if phase_before == Phase::Retrying && after.phase != Phase::Retrying {
            self.writes().clear_timers(run_id.uuid());
        }
        entry.row.job_state = job_state(&entry.row, &after, &effects);
        entry.touched = true;
        self.take_over(&mut entry, after);
        for effect in effects {
            self.perform(&mut entry, phase_before, effect);
        }
        self.staged.runs.insert(run_id, entry);
        Ok(true)
    }

    /// The new records of a run, and what follows from them for the rows of its tasks.
    fn take_over(&mut self, entry: &mut RunEntry, after: JobRun) {
        let now = self.now;
        for (name, task) in &after.tasks {
            let old = entry.row.run.tasks.get(name);
            // Results of an earlier execution count only once the path has reached them.
            if old == Some(task) || task.pass == 0 {
                continue;
            }
            let old_state = old.map(|old| old.state);
            let is_fresh = old.is_none_or(|old| old.seq != task.seq);
            if !entry.row.tasks.contains_key(name) {
                let id = TaskId::new(self.ground.ids.next_uuid());
                (entry.row.tasks).insert(name.clone(), JobTaskRow::new(id, now));
                if task.reused {
                    entry.reused.push(name.clone());
                }
            }
            if let Some(row) = entry.row.tasks.get_mut(name) {
                // A new record takes the place of the old one: its times begin again.
                if is_fresh {
                    row.started_at = None;
                }
                let ended = task.state.is_terminal() || task.state == JobTaskState::Paused;
                row.ended_at = ended.then_some(now);
            }
            if old_state != Some(task.state) {
                let event = RunEventKind::TaskChanged {
                    task: name.clone(),
                    state: task.state,
                    exit_code: task.exit_code.clone(),
                    error: task.error.clone(),
                };
                let request_id = entry.row.request_id;
                self.effects().events.push((request_id, event));
            }
        }
        entry.row.run = after;
    }

    fn perform(&mut self, entry: &mut RunEntry, phase_before: Phase, effect: Effect) {
        let (run_id, request_id) = (entry.row.run_id, entry.row.request_id);
        match effect {
            // Children have no use-case yet: ants are asked, and none says that it can.
            Effect::Offer { task }
            | Effect::StartChildren { task }
            | Effect::AwaitChildren { task } => self.offer(entry, &task),
            Effect::WakeTask { task, at } => {
                self.set_timer(Timer::run(TimerKind::TaskDue, run_id, &task, at));
            }
            Effect::WakeJob { at } => {
                self.set_timer(Timer::run(TimerKind::JobRetryDue, run_id, "", at));
            }
            Effect::Stop { task, reason } | Effect::StopChildren { task, reason } => {
                self.stop(entry, &task, reason);
            }
            // People are asked through the request (`AwaitApproval`).
            Effect::AskReview { .. } => {}
            Effect::Withdraw { task } => {
                self.withdraw(entry, &task);
                let timer = Timer::run(TimerKind::TaskDue, run_id, &task, self.now);
                self.writes().take_timer_back(timer);
            }
            Effect::Requeue { state, at } => self.requeue(entry, state, at),
            Effect::AwaitApproval { task } => {
                let change = RequestChange::AwaitsApproval(task);
                self.writes().request_changes.push((request_id, change));
                let key = entry.row.schedule_key.clone();
                self.effects().freed.insert(key);
            }
            Effect::EndRequest { state, error } => {
                let ended = Ended {
                    state,
                    error,
                    retried: Some(entry.row.run.retried),
                };
                self.end_request(request_id, ended);
                if phase_before == Phase::Suspended {
                    self.writes().clear_timers(request_id.uuid());
                }
            }
            Effect::EndRun { state, error } => {
                entry.ended = Some(error.clone());
                let key = entry.row.schedule_key.clone();
                self.effects().freed.insert(key);
                let event = RunEventKind::RunEnded { state, error };
                self.effects().events.push((request_id, event));
            }
        }
    }

    /// A request's state is final.
    pub(super) fn end_request(&mut self, id: RequestId, ended: Ended) {
        // Nobody launches it later in the same batch.
        if let Ok(Some(request)) = self.request(id) {
            let row = RequestRow {
                job_state: ended.state,
                ended_at: Some(self.now),
                ..request.clone()
            };
            self.set_request(row);
        }
        let change = RequestChange::Ended(ended);
        self.writes().request_changes.push((id, change));
        self.effects().wakes.push(id);
    }

    /// Puts a ready task into its queue.
    fn offer(&mut self, entry: &mut RunEntry, name: &str) {
        let Some((control, row)) = entry.plan.task(name).zip(entry.row.tasks.get(name)) else {
            return;
        };
        let key = queue_of(control);
        let limit = timeout_ms(control);
        let place = entry.row.place(row.id, &key, Some(limit));
        if key == queue_key::RENDER {
            self.effects().render = true;
        }
        self.writes().queued.push(place);
        if let Some(row) = entry.row.tasks.get_mut(name) {
            row.queue_key = Some(key);
        }
    }

    /// Takes a task out of its queue.
    pub(super) fn withdraw(&mut self, entry: &mut RunEntry, name: &str) {
        let Some(row) = entry.row.tasks.get_mut(name) else {
            return;
        };
        let (id, key) = (row.id, row.queue_key.take());
        if let Some(key) = key {
            let place = entry.row.place(id, &key, None);
            self.writes().unqueue(place);
        }
    }

    fn set_timer(&mut self, timer: Timer) {
        self.effects().due(timer.due_at);
        self.writes().timers.push(timer);
    }

    fn stop(&mut self, entry: &mut RunEntry, name: &str, reason: StopReason) {
        let (word, text) = match reason {
            StopReason::Cancelled => ("cancelled", "job cancelled by user"),
            StopReason::TaskTimedOut => ("task_timed_out", "task did not end within its timeout"),
            StopReason::JobTimedOut => ("job_timed_out", "job did not end within its timeout"),
            StopReason::JobFailed => ("job_failed", "another task of the job failed"),
            StopReason::JobPaused => ("job_paused", "another task paused the job"),
            StopReason::JobRestarted => ("job_restarted", "another task restarts the job"),
        };
        let row = entry.row.tasks.get_mut(name);
        let Some(lease) = row.and_then(|row| row.lease.as_mut()) else {
            return;
        };
        lease.stop = true;
        let (attempt, holder) = (lease.attempt, lease.holder.clone());
        self.writes().stops.push((attempt.task_id, word));
        // A worker hears it in the answer to its next heartbeat.
        if holder.kind == HolderKind::Ant {
            self.effects().stops.push((holder.id, attempt, text));
        }
    }

    fn requeue(&mut self, entry: &RunEntry, state: JobState, at: Timestamp) {
        let row = &entry.row;
        let current_task = row.run.current_task(&entry.plan);
        let requeue = Requeue {
            state,
            at,
            retried: row.run.retried,
            paused_count: row.run.paused_count,
            current_task: current_task.unwrap_or_default().to_owned(),
        };
        let change = RequestChange::Requeued(requeue);
        self.writes().request_changes.push((row.request_id, change));
        let key = row.schedule_key.clone();
        self.effects().freed.insert(key.clone());
        if at <= self.now {
            self.effects().due_keys.insert(key);
        } else {
            self.set_timer(Timer::request(TimerKind::RequestDue, row.request_id, at));
        }
    }
}

fn readable<T>(row: &Readable<T>) -> Result<&T, EngineError> {
    (row.as_ref()).map_err(|reason| EngineError::Unreadable(reason.clone()))
}

/// The end of an attempt whose lease was current must move its run, or nothing ever will.
pub(super) fn expect_moved(moved: bool, phase: Phase, task: &str) -> Result<(), EngineError> {
    if moved || phase == Phase::Ended {
        return Ok(());
    }
    let message = format!("an attempt of task {task} has ended, but the run does not wait for it");
    Err(EngineError::Invalid(message))
}

/// A run whose task is not in its definition can go nowhere.
fn check_active(entry: &RunEntry) -> Result<(), EngineError> {
    let mut active = entry.row.run.active();
    match active.find(|(name, _)| entry.plan.task(name).is_none()) {
        Some((name, _)) => Err(EngineError::Invalid(format!(
            "its definition has no task {name}, which it is at"
        ))),
        None => Ok(()),
    }
}

/// What the Jobs API shows of the run.
fn job_state(before: &JobRunRow, after: &JobRun, effects: &[Effect]) -> JobState {
    let shown = effects.iter().rev().find_map(|effect| match effect {
        Effect::EndRun { state, .. } => Some(*state),
        Effect::Requeue {
            state: JobState::Pending,
            ..
        } => Some(JobState::Ready),
        Effect::Requeue { state, .. } => Some(*state),
        Effect::AwaitApproval { .. } => Some(JobState::ManualApprovalRequired),
        Effect::Offer { .. }
        | Effect::WakeTask { .. }
        | Effect::StartChildren { .. }
        | Effect::AwaitChildren { .. }
        | Effect::StopChildren { .. }
        | Effect::AskReview { .. }
        | Effect::Stop { .. }
        | Effect::Withdraw { .. }
        | Effect::WakeJob { .. }
        | Effect::EndRequest { .. } => None,
    });
    shown.unwrap_or(match after.phase {
        Phase::Walking | Phase::Retrying | Phase::Stopping | Phase::Cleaning => JobState::Executing,
        Phase::Suspended | Phase::Ended => before.job_state,
    })
}

/// The queue that a ready task goes into: of its ants, or to be rendered first, when only that tells
/// who can do it.
fn queue_of(task: &TaskPlan) -> String {
    match task.method {
        Method::Worker => queue_key::RENDER.to_owned(),
        _ if tags::are_templates(task) => queue_key::RENDER.to_owned(),
        method => queue_key::ant(method, &task.tags),
    }
}

/// How long the attempts at a task may take together, in milliseconds: the queen waits a little longer
/// than the ant.
pub(super) fn timeout_ms(control: &TaskPlan) -> i64 {
    let limit: Duration = control.timeout + TIMEOUT_GRACE;
    i64::try_from(limit.as_millis()).unwrap_or(i64::MAX / 2)
}
