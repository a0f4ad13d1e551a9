//! One event against one run, in one transaction: load, decide, store, and turn effects into rows.

use std::collections::BTreeMap;

use colony_core::id::{RunDataId, RunId, TaskId};
use colony_core::job::{self, Effect, Event, JobError, JobRun, Phase, StopReason};
use colony_core::method::Method;
use colony_core::plan::{Plan, TaskPlan};
use colony_core::state::JobState;
use colony_core::time::Timestamp;
use colony_store::Tx;
use colony_store::context::{self, Context};
use colony_store::dispatch::{self, ReadyTask};
use colony_store::job_run::{self, JobRunRow, SaveJobRun};
use colony_store::request::{self, Requeue};
use colony_store::timer::{self, Timer, TimerKind};
use colony_store::worker_task;

use crate::action::Actions;
use crate::engine::Engine;
use crate::error::EngineError;
use crate::event::RunEventKind;
use crate::order::TIMEOUT_GRACE;
use crate::tags;

/// Applies `event` to a run. An event that does not fit changes nothing: it came late or twice.
/// False then, and when there is no such run.
pub(crate) fn advance(
    tx: &mut Tx<'_>,
    engine: &Engine,
    run_id: RunId,
    event: Event,
    now: Timestamp,
    actions: &mut Actions,
) -> Result<bool, EngineError> {
    let Some(before) = job_run::lock_job_run(tx, run_id)? else {
        return Ok(false);
    };
    advance_locked(tx, engine, &before, event, now, actions)
}

/// As [`advance`], for a run that is loaded and locked already.
pub(crate) fn advance_locked(
    tx: &mut Tx<'_>,
    engine: &Engine,
    before: &JobRunRow,
    event: Event,
    now: Timestamp,
    actions: &mut Actions,
) -> Result<bool, EngineError> {
    let compiled = engine.definitions.load(tx, before.definition_id)?;
    check_active(&compiled.plan, before)?;
    let decision = job::apply(
        &compiled.plan,
        before.run.clone(),
        event,
        now,
        &mut *engine.rng(),
    );
    let (after, effects) = match decision {
        Ok(decision) => decision,
        Err(refused) => {
            tracing::debug!(run.id = %before.run_id, "{refused}");
            return Ok(false);
        }
    };
    let task_ids = job_run::save_job_run(
        tx,
        SaveJobRun {
            before,
            after: &after,
            job_state: job_state(before, &after, &effects),
            plan: &compiled.plan,
            new_task_id: &mut || TaskId::new(engine.ids.next_uuid()),
            now,
        },
    )?;
    let mut advance = Advance {
        tx,
        engine,
        plan: &compiled.plan,
        before,
        after: &after,
        now,
        actions,
    };
    advance.tell_changes();
    for effect in effects {
        advance.perform(effect, |name| task_ids.get(name).copied())?;
    }
    advance.copy_reused(|name| task_ids.get(name).copied())?;
    actions.note_change(engine, before.run_id, task_ids);
    Ok(true)
}

/// The end of an attempt whose lease was current must move its run, or nothing ever will.
pub(crate) fn expect_moved(moved: bool, before: &JobRunRow, task: &str) -> Result<(), EngineError> {
    if moved || before.run.phase == Phase::Ended {
        return Ok(());
    }
    let message = format!("an attempt of task {task} has ended, but the run does not wait for it");
    Err(EngineError::Invalid(message))
}

/// A run whose task is not in its definition can go nowhere.
fn check_active(plan: &Plan, before: &JobRunRow) -> Result<(), EngineError> {
    let mut active = before.run.active();
    match active.find(|(name, _)| plan.task(name).is_none()) {
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

/// A stored decision whose effects are being turned into rows and actions.
struct Advance<'a, 'tx> {
    tx: &'a mut Tx<'tx>,
    engine: &'a Engine,
    plan: &'a Plan,
    before: &'a JobRunRow,
    after: &'a JobRun,
    now: Timestamp,
    actions: &'a mut Actions,
}

impl<'a> Advance<'a, '_> {
    fn perform(
        &mut self,
        effect: Effect,
        id_of: impl Fn(&str) -> Option<TaskId>,
    ) -> Result<(), EngineError> {
        let run_id = self.before.run_id;
        match effect {
            // Children have no use-case yet: ants are asked, and none says that it can.
            Effect::Offer { task }
            | Effect::StartChildren { task }
            | Effect::AwaitChildren { task } => {
                if let (Some(task_id), Some(control)) = (id_of(&task), self.control(&task)) {
                    let queue = tags::queue_in_run(self.tx, self.engine, self.before, control)?;
                    let (ready, method) =
                        (self.ready_task(task_id, control, queue), control.method);
                    dispatch::offer_task(self.tx, &ready)?;
                    match method {
                        Method::Worker => self.actions.offer = true,
                        _ => self.actions.dispatch = true,
                    }
                }
            }
            Effect::WakeTask { task, at } => {
                self.set_timer(&Timer::run(TimerKind::TaskDue, run_id, &task, at))?;
            }
            Effect::WakeJob { at } => {
                self.set_timer(&Timer::run(TimerKind::JobRetryDue, run_id, "", at))?;
            }
            Effect::Stop { task, reason } | Effect::StopChildren { task, reason } => {
                if let Some(task_id) = id_of(&task) {
                    self.stop(task_id, reason)?;
                }
            }
            Effect::Withdraw { task } => {
                if let Some(task_id) = id_of(&task) {
                    dispatch::withdraw_task(self.tx, task_id)?;
                    if self.control(&task).map(|task| task.method) == Some(Method::Worker) {
                        worker_task::withdraw_task(self.tx, task_id)?;
                    }
                }
                timer::clear(self.tx, run_id.uuid())?;
            }
            Effect::Requeue { state, at } => self.requeue(state, at)?,
            // People are asked through the request (`AwaitApproval`).
            Effect::AskReview { .. } => {}
            Effect::AwaitApproval { task } => {
                let id = self.before.request_id;
                request::request_awaits_approval(self.tx, id, &task, self.now)?;
                self.actions.slot_freed = true;
            }
            Effect::EndRequest { state, error } => self.end_request(state, error.as_ref())?,
            Effect::EndRun { state, error } => {
                self.actions.slot_freed = true;
                self.store_result(error.as_ref())?;
                let event = RunEventKind::RunEnded { state, error };
                self.actions.events.push((self.before.request_id, event));
            }
        }
        Ok(())
    }

    /// What the Runs API shows of the run: the latest value of each name that was written in it.
    fn store_result(&mut self, error: Option<&JobError>) -> Result<(), EngineError> {
        let run_id = self.before.run_id;
        let contexts = if self.before.has_data {
            context::contexts_of_run(self.tx, run_id)?
        } else {
            BTreeMap::new()
        };
        if contexts.is_empty() && error.is_none() {
            return Ok(());
        }
        let values = contexts
            .into_iter()
            .map(|(key, context)| (key, context.value));
        let values: serde_json::Map<_, _> = values.collect();
        let output = (!values.is_empty()).then(|| serde_json::Value::Object(values).to_string());
        job_run::set_result(self.tx, run_id, output.as_deref(), error)?;
        Ok(())
    }

    fn ready_task(&self, task_id: TaskId, control: &TaskPlan, queue: String) -> ReadyTask {
        ReadyTask {
            queue,
            rank: self.before.rank,
            task_id,
            run_id: self.before.run_id,
            timeout_ms: i64::try_from((control.timeout + TIMEOUT_GRACE).as_millis())
                .unwrap_or(i64::MAX / 2),
        }
    }

    fn control(&self, name: &str) -> Option<&'a TaskPlan> {
        self.plan.task(name)
    }

    fn set_timer(&mut self, timer: &Timer) -> Result<(), EngineError> {
        timer::set(self.tx, timer)?;
        self.actions.due(timer.due_at);
        Ok(())
    }

    fn stop(&mut self, task_id: TaskId, reason: StopReason) -> Result<(), EngineError> {
        let reason = match reason {
            StopReason::Cancelled => "job cancelled by user",
            StopReason::TaskTimedOut => "task did not end within its timeout",
            StopReason::JobTimedOut => "job did not end within its timeout",
            StopReason::JobFailed => "another task of the job failed",
            StopReason::JobPaused => "another task paused the job",
            StopReason::JobRestarted => "another task restarts the job",
        };
        if let Some(lease) = dispatch::find_lease(self.tx, task_id)? {
            self.actions
                .stops
                .push((lease.holder, lease.attempt, reason.to_owned()));
        }
        Ok(())
    }

    fn requeue(&mut self, state: JobState, at: Timestamp) -> Result<(), EngineError> {
        let change = Requeue {
            state,
            at,
            retried: self.after.retried,
            paused_count: self.after.paused_count,
            current_task: self
                .after
                .current_task(self.plan)
                .unwrap_or_default()
                .to_owned(),
        };
        request::requeue_request(self.tx, self.before.request_id, &change, self.now)?;
        self.actions.due(at);
        self.actions.schedule = true;
        Ok(())
    }

    fn end_request(
        &mut self,
        state: JobState,
        error: Option<&JobError>,
    ) -> Result<(), EngineError> {
        let retried = Some(self.after.retried);
        let id = self.before.request_id;
        request::end_request(self.tx, id, state, error, retried, self.now)?;
        self.actions.wakes.push(id);
        if self.before.run.phase == Phase::Suspended {
            timer::clear(self.tx, id.uuid())?;
        }
        Ok(())
    }

    /// Tells watchers which tasks changed.
    fn tell_changes(&mut self) {
        if !self.engine.is_watched() {
            return;
        }
        for (name, task) in &self.after.tasks {
            let old = self.before.run.tasks.get(name).map(|task| task.state);
            if old == Some(task.state) || task.pass == 0 {
                continue;
            }
            let event = RunEventKind::TaskChanged {
                task: name.clone(),
                state: task.state,
                exit_code: task.exit_code.clone(),
                error: task.error.clone(),
            };
            self.actions.events.push((self.before.request_id, event));
        }
    }

    /// A task whose earlier result was reused brings along what it exported and stored
    /// (`job-definitions` 7.5).
    fn copy_reused(&mut self, id_of: impl Fn(&str) -> Option<TaskId>) -> Result<(), EngineError> {
        for (name, task) in &self.after.tasks {
            let first_seen = !self.before.task_ids.contains_key(name);
            let (true, true, Some(new_id)) = (task.reused, first_seen, id_of(name)) else {
                continue;
            };
            let request = request::find_request(self.tx, self.before.request_id)?;
            let Some(from) = request.and_then(|request| request.last_run_id) else {
                continue;
            };
            self.copy_task(from, name, new_id)?;
        }
        Ok(())
    }

    fn copy_task(&mut self, from: RunId, name: &str, to: TaskId) -> Result<(), EngineError> {
        let Some(old) = job_run::find_task(self.tx, from, name)? else {
            return Ok(());
        };
        for old in context::contexts_of_task(self.tx, from, old)? {
            let id = RunDataId::new(self.engine.ids.next_uuid());
            let copy = Context {
                id,
                task_id: to,
                ..old
            };
            context::insert_context(self.tx, self.before.run_id, &self.before.org_id, &copy)?;
        }
        let mut new_id = || colony_core::id::ArtifactId::new(self.engine.ids.next_uuid());
        let place = (self.before.run_id, to);
        colony_store::artifact::copy_artifacts(self.tx, old, place, &mut new_id, self.now)?;
        Ok(())
    }
}

/// The queue of ready tasks that only ants with this method and these tags take from. Workers say
/// what they can do by the types that they claim, not by tags.
pub(crate) fn queue_of(task: &TaskPlan) -> String {
    if task.tags.is_empty() || task.method == Method::Worker {
        task.method.to_string()
    } else {
        format!("{}|{}", task.method, task.tags.join(","))
    }
}
