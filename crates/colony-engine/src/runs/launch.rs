//! Requests that are submitted or due (`job-definitions` 8.2, `formicary-api` 7.2).

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use colony_core::id::{DefinitionId, RequestId, RunId};
use colony_core::job::{Event, JobError, JobRun, Phase, TaskRun};
use colony_core::schedule::Reason;
use colony_core::state::JobState;
use colony_store::definition::Flags;
use colony_store::job_run::JobRunRow;
use colony_store::request::{Ended, NewRequest, RequestChange, RequestRow};
use colony_store::timer::{Timer, TimerKind};

use super::operation::{Needs, Operation};
use super::stage::Stage;
use crate::compile::Compiled;
use crate::error::EngineError;
use crate::event::RunEventKind;

/// What is known of a request before it is launched: from its parameters and its definition, and from
/// the ants that are there.
#[derive(Debug, Clone, PartialEq)]
pub(crate) enum Readiness {
    /// It may run once there is a slot.
    Ready,
    /// It ends without running.
    Refused(JobError),
    /// No ant takes from that queue; the reason in words.
    Unserved(String, String),
    /// It waits for something else; the reason in words.
    Waits(String),
}

/// A request that is submitted. It runs at once when it is due and may.
pub(crate) struct Submission {
    pub(crate) row: RequestRow,
    pub(crate) compiled: Arc<Compiled>,
    pub(crate) readiness: Readiness,
    /// The version was looked up for it, not taken from memory.
    pub(crate) looked_up: bool,
}

/// What became of a submission.
pub(crate) enum Submitted {
    Stored,
    /// The version that was remembered is not the newest any more: it is to be looked up.
    Outdated,
}

impl Operation for Submission {
    type Output = Submitted;

    fn needs(&self, needs: &mut Needs) {
        needs.user_keys.extend(self.row.user_key.clone());
        needs.definitions.insert(self.row.definition_id);
        if self.is_due() && self.readiness == Readiness::Ready {
            needs.slots.insert(self.row.schedule_key.clone());
            needs.in_use.insert(self.row.schedule_key.clone());
        }
    }

    fn decide(&self, stage: &mut Stage<'_>) -> Result<Submitted, EngineError> {
        let row = &self.row;
        if let Some(by) = (row.user_key.as_ref()).and_then(|key| stage.holder_of_key(key)) {
            return Err(EngineError::KeyTaken { by });
        }
        let Some(flags) = stage.flags(row.definition_id) else {
            return Ok(Submitted::Outdated);
        };
        if !self.looked_up && (!flags.active || flags.deleted) {
            return Ok(Submitted::Outdated);
        }
        if !self.is_due() {
            self.store_for_later(stage);
            return Ok(Submitted::Stored);
        }
        match &self.readiness {
            Readiness::Refused(error) => self.store_refused(stage, error),
            // The scheduler tells why it waits.
            _ if closed(flags).is_some() => self.store_due(stage),
            Readiness::Unserved(key, reason) => self.store_unserved(stage, key, reason),
            Readiness::Ready if self.may_run(stage, flags) => self.store_launched(stage)?,
            Readiness::Ready | Readiness::Waits(_) => self.store_due(stage),
        }
        Ok(Submitted::Stored)
    }
}

impl Submission {
    fn is_due(&self) -> bool {
        self.row.scheduled_at <= self.row.created_at
    }

    /// Nobody waits before it, and there is a slot.
    fn may_run(&self, stage: &Stage<'_>, flags: Flags) -> bool {
        let key = &self.row.schedule_key;
        closed(flags).is_none() && !stage.is_in_use(key) && stage.taken(key) < flags.max_concurrency
    }

    fn store(&self, stage: &mut Stage<'_>, row: RequestRow) {
        stage.writes().requests.push(NewRequest {
            row,
            eligible: false,
            unserved: None,
        });
    }

    fn store_for_later(&self, stage: &mut Stage<'_>) {
        let (id, at) = (self.row.id, self.row.scheduled_at);
        self.store(stage, self.row.clone());
        stage
            .writes()
            .timers
            .push(Timer::request(TimerKind::RequestDue, id, at));
        stage.effects().due(at);
    }

    fn store_refused(&self, stage: &mut Stage<'_>, error: &JobError) {
        self.store(
            stage,
            RequestRow {
                job_state: JobState::Failed,
                user_key: None,
                error_code: error.code.clone(),
                error_message: error.message.clone(),
                ended_at: Some(stage.now),
                ..self.row.clone()
            },
        );
        tell_refused(stage, self.row.id, error);
    }

    fn store_unserved(&self, stage: &mut Stage<'_>, key: &str, reason: &str) {
        stage.writes().requests.push(NewRequest {
            row: RequestRow {
                error_message: reason.to_owned(),
                schedule_attempts: 1,
                ..self.row.clone()
            },
            eligible: false,
            unserved: Some(key.to_owned()),
        });
        stage.effects().unserved = true;
        tell_waiting(stage, self.row.id, reason);
    }

    fn store_due(&self, stage: &mut Stage<'_>) {
        stage.writes().requests.push(NewRequest {
            row: self.row.clone(),
            eligible: true,
            unserved: None,
        });
        let key = self.row.schedule_key.clone();
        stage.effects().due_keys.insert(key);
    }

    fn store_launched(&self, stage: &mut Stage<'_>) -> Result<(), EngineError> {
        let run = new_run(stage, &self.row, &self.compiled, &BTreeMap::new());
        let run_id = run.run_id;
        let row = launched(&self.row, run_id, self.compiled.row.id);
        self.store(stage, row.clone());
        stage.set_request(row);
        stage.add_run(run, Arc::clone(&self.compiled.plan));
        launch(stage, &self.row, run_id, &self.compiled)
    }
}

/// A request that is due and was looked at.
pub(crate) struct Launch {
    pub(crate) request: RequestRow,
    pub(crate) compiled: Arc<Compiled>,
    /// Completed tasks of its previous execution that may be reused.
    pub(crate) earlier: BTreeMap<String, TaskRun>,
}

/// What became of a request that was looked at.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Launched {
    /// It runs.
    Running,
    /// It waits for a slot.
    NoSlot,
    /// It waits for something else, or is not due any more.
    No,
}

impl Operation for Launch {
    type Output = Launched;

    fn needs(&self, needs: &mut Needs) {
        needs.requests.insert(self.request.id);
        needs.definitions.insert(self.compiled.row.id);
        needs.slots.insert(self.request.schedule_key.clone());
        needs.runs.extend(self.request.run_id);
    }

    fn decide(&self, stage: &mut Stage<'_>) -> Result<Launched, EngineError> {
        let Some(request) = stage.request(self.request.id)?.cloned() else {
            return Ok(Launched::No);
        };
        let waits = matches!(request.job_state, JobState::Pending | JobState::Paused);
        if !waits || request.run_id != self.request.run_id {
            return Ok(Launched::No);
        }
        let id = self.compiled.row.id;
        let flags = stage.flags(id);
        let flags = flags.ok_or_else(|| EngineError::not_found("readable definition", id))?;
        if let Some(word) = closed(flags) {
            let job_type = request.job_type.clone();
            let reason = Reason::Closed { job_type, word };
            waits_because(stage, request.id, reason.to_string());
            return Ok(Launched::No);
        }
        if stage.taken(&request.schedule_key) >= flags.max_concurrency {
            let reason = Reason::NoSlot {
                max: flags.max_concurrency,
                is_default: self.compiled.definition.max_concurrency.is_none(),
            };
            waits_because(stage, request.id, reason.to_string());
            return Ok(Launched::NoSlot);
        }
        self.launch(stage, &request)?;
        Ok(Launched::Running)
    }
}

impl Launch {
    fn launch(&self, stage: &mut Stage<'_>, request: &RequestRow) -> Result<(), EngineError> {
        let suspended = match request.run_id {
            Some(run_id) => stage.run(run_id)?,
            None => None,
        };
        let suspended = suspended.filter(|entry| entry.row.run.phase == Phase::Suspended);
        let run_id = match suspended.map(|entry| entry.row.run_id) {
            Some(run_id) => run_id,
            None => {
                let run = new_run(stage, request, &self.compiled, &self.earlier);
                let run_id = run.run_id;
                stage.add_run(run, Arc::clone(&self.compiled.plan));
                run_id
            }
        };
        let definition_id = self.compiled.row.id;
        stage
            .writes()
            .request_changes
            .push((request.id, RequestChange::Launched(run_id, definition_id)));
        stage.set_request(launched(request, run_id, definition_id));
        launch(stage, request, run_id, &self.compiled)
    }
}

/// The request as it is once it was launched.
fn launched(request: &RequestRow, run_id: RunId, definition_id: DefinitionId) -> RequestRow {
    RequestRow {
        job_state: JobState::Executing,
        hard_restart: false,
        run_id: Some(run_id),
        definition_id,
        schedule_attempts: request.schedule_attempts + 1,
        error_code: String::new(),
        error_message: String::new(),
        ..request.clone()
    }
}

fn launch(
    stage: &mut Stage<'_>,
    request: &RequestRow,
    run_id: RunId,
    compiled: &Compiled,
) -> Result<(), EngineError> {
    let timeout = u64::try_from(request.timeout_ms).ok();
    let timeout = timeout
        .filter(|millis| *millis > 0)
        .map(Duration::from_millis);
    let deadline = stage.now.after(timeout.unwrap_or(compiled.plan.timeout));
    stage.effects().due(deadline);
    stage.advance(run_id, Event::Launched { timeout })?;
    Ok(())
}

fn new_run(
    stage: &Stage<'_>,
    request: &RequestRow,
    compiled: &Compiled,
    earlier: &BTreeMap<String, TaskRun>,
) -> JobRunRow {
    let metadata = serde_json::json!({
        "jobType": request.job_type,
        "requestId": request.id,
        "definitionId": compiled.row.id,
        "version": compiled.row.version,
    });
    JobRunRow {
        run_id: RunId::new(stage.ground().ids.next_uuid()),
        org_id: request.org_id.clone(),
        request_id: request.id,
        definition_id: compiled.row.id,
        schedule_key: request.schedule_key.clone(),
        rank: request.job_priority.saturating_neg(),
        job_state: JobState::Ready,
        created_at: stage.now,
        run: JobRun::new(request.retried, request.paused_count, earlier.clone()),
        tasks: BTreeMap::new(),
        has_data: false,
        fresh: Some((request.params.clone(), metadata.to_string())),
    }
}

/// A request that was looked at and does not run now.
pub(crate) struct Pass {
    pub(crate) id: RequestId,
    pub(crate) readiness: Readiness,
}

impl Operation for Pass {
    type Output = ();

    fn needs(&self, needs: &mut Needs) {
        needs.requests.insert(self.id);
    }

    fn decide(&self, stage: &mut Stage<'_>) -> Result<(), EngineError> {
        let waits = |request: &RequestRow| {
            matches!(request.job_state, JobState::Pending | JobState::Paused)
        };
        if !stage.request(self.id)?.is_some_and(waits) {
            return Ok(());
        }
        match &self.readiness {
            Readiness::Ready => {}
            Readiness::Waits(reason) => waits_because(stage, self.id, reason.clone()),
            Readiness::Refused(error) => {
                let ended = Ended {
                    state: JobState::Failed,
                    error: Some(error.clone()),
                    retried: None,
                };
                stage.end_request(self.id, ended);
                tell_refused(stage, self.id, error);
            }
            Readiness::Unserved(key, reason) => {
                let change = RequestChange::Unserved(key.clone(), reason.clone());
                stage.writes().request_changes.push((self.id, change));
                stage.effects().unserved = true;
                tell_waiting(stage, self.id, reason);
            }
        }
        Ok(())
    }
}

fn waits_because(stage: &mut Stage<'_>, id: RequestId, reason: String) {
    tell_waiting(stage, id, &reason);
    let change = RequestChange::Waits(reason);
    stage.writes().request_changes.push((id, change));
}

fn tell_waiting(stage: &mut Stage<'_>, id: RequestId, reason: &str) {
    let reason = reason.to_owned();
    let event = RunEventKind::Waiting { reason };
    stage.effects().events.push((id, event));
}

fn tell_refused(stage: &mut Stage<'_>, id: RequestId, error: &JobError) {
    let event = RunEventKind::RunEnded {
        state: JobState::Failed,
        error: Some(error.clone()),
    };
    stage.effects().events.push((id, event));
}

/// Why no request of that version may run.
pub(crate) fn closed(flags: Flags) -> Option<&'static str> {
    match flags {
        Flags { deleted: true, .. } => Some("deleted"),
        Flags { disabled: true, .. } => Some("disabled"),
        _ => None,
    }
}
