//! Attempts that end: only the current lease may report, and each attempt has one outcome.

use std::sync::Arc;

use colony_core::error_code;
use colony_core::id::{ArtifactId, AttemptRef, RunDataId, RunId};
use colony_core::job::{AttemptEnd, EndStatus, Event};
use colony_core::text::{control_in_name, storable};
use colony_store::artifact::{ArtifactRow, Content};
use colony_store::attempt::EndedAttempt;
use colony_store::context::{Context, NewContext};
use colony_store::execution::ReportDetails;
use colony_store::lease::Lease;
use colony_wire::{Failure, LogRef, Outcome, Report, StoredObject};
use serde_json::Value;
use sha2::{Digest as _, Sha256};

use super::batch::RunEntry;
use super::operation::{Needs, Operation};
use super::stage::{Stage, expect_moved};
use crate::error::EngineError;
use crate::setup::hex;

/// An attempt has ended. Output: whether its lease was current.
pub(crate) struct End {
    pub(crate) attempt: AttemptRef,
    /// Its run, if that is known.
    pub(crate) run_id: Option<RunId>,
    pub(crate) end: AttemptEnd,
    /// What it left behind.
    pub(crate) report: Option<Arc<Report>>,
}

impl End {
    /// What an ant says.
    pub(crate) fn reported(report: Arc<Report>, run_id: Option<RunId>) -> Self {
        Self {
            attempt: report.attempt,
            run_id,
            end: attempt_end(&report),
            report: Some(report),
        }
    }
}

impl Operation for End {
    type Output = bool;

    fn needs(&self, needs: &mut Needs) {
        needs_run(needs, self.run_id, self.attempt);
    }

    fn decide(&self, stage: &mut Stage<'_>) -> Result<bool, EngineError> {
        let Some(ended) = stage.end_lease(self.run_id, self.attempt)? else {
            return Ok(false);
        };
        stage.record(&ended, outcome_word(self.end.status), &self.end);
        if let Some(report) = &self.report {
            stage.keep(&ended, report)?;
        }
        let event = Event::AttemptEnded {
            task: ended.task.clone(),
            end: self.end.clone(),
        };
        stage.move_on(&ended, event)?;
        Ok(true)
    }
}

/// Nobody works on an attempt any more. Output: whether its lease was current.
pub(crate) struct Lose {
    pub(crate) attempt: AttemptRef,
    /// Its run, if that is known.
    pub(crate) run_id: Option<RunId>,
    /// Somebody is to blame: it is counted.
    pub(crate) counts: bool,
    /// Only if the lease has not been renewed by then.
    pub(crate) unless_renewed: bool,
    /// `lost` or `given_back`.
    pub(crate) outcome: &'static str,
    pub(crate) message: &'static str,
}

impl Operation for Lose {
    type Output = bool;

    fn needs(&self, needs: &mut Needs) {
        needs_run(needs, self.run_id, self.attempt);
    }

    fn decide(&self, stage: &mut Stage<'_>) -> Result<bool, EngineError> {
        let Some(ended) = stage.end_lease(self.run_id, self.attempt)? else {
            return Ok(false);
        };
        if self.unless_renewed && ended.lease.expires_at > stage.now {
            stage.undo();
            return Ok(false);
        }
        let end = AttemptEnd::failed("", self.message);
        stage.record(&ended, self.outcome, &end);
        let event = Event::AttemptLost {
            task: ended.task.clone(),
            counts: self.counts,
            message: self.message.to_owned(),
        };
        stage.move_on(&ended, event)?;
        Ok(true)
    }
}

fn needs_run(needs: &mut Needs, run_id: Option<RunId>, attempt: AttemptRef) {
    match run_id {
        Some(run_id) => needs.runs.insert(run_id),
        None => needs.tasks.insert(attempt.task_id),
    };
}

/// A lease that is over, and whose it was.
pub(super) struct EndedLease {
    pub(super) lease: Lease,
    pub(super) run_id: RunId,
    pub(super) task: String,
    retries: u32,
}

impl EndedLease {
    /// A lease that was over as soon as it was given.
    pub(super) fn new(lease: Lease, task: &str, retries: u32) -> Self {
        Self {
            run_id: lease.run_id,
            lease,
            task: task.to_owned(),
            retries,
        }
    }
}

impl Stage<'_> {
    /// Ends a lease if it is current.
    pub(super) fn end_lease(
        &mut self,
        run_id: Option<RunId>,
        attempt: AttemptRef,
    ) -> Result<Option<EndedLease>, EngineError> {
        let id = attempt.task_id;
        let run_id = run_id.or_else(|| self.run_of(id));
        let run_id = run_id.ok_or_else(|| EngineError::not_found("task of a job", id))?;
        let run = self.expect_run(run_id)?;
        if run.row.task_name(id).is_none() {
            return Err(EngineError::not_found("task of a job", id));
        }
        let Some(ended) = current_lease(run, attempt) else {
            return Ok(None);
        };
        self.edit(run_id, |entry| {
            if let Some(row) = entry.row.tasks.get_mut(&ended.task) {
                row.lease = None;
            }
        })?;
        self.writes().unleased.push(attempt.task_id);
        self.effects().ended.push(attempt);
        Ok(Some(ended))
    }

    /// Notes how the attempt ended.
    pub(super) fn record(&mut self, ended: &EndedLease, outcome: &'static str, end: &AttemptEnd) {
        let ended_at = self.now;
        self.writes().attempts.push(EndedAttempt {
            lease: ended.lease.clone(),
            retry: i64::from(ended.retries),
            outcome,
            exit_code: end.exit_code.clone(),
            error_message: end.message.clone(),
            ended_at,
        });
    }

    /// Lets the run go on.
    pub(super) fn move_on(&mut self, ended: &EndedLease, event: Event) -> Result<(), EngineError> {
        let run = self.expect_run(ended.run_id)?;
        let (phase, request_id) = (run.row.run.phase, run.row.request_id);
        self.effects().wakes.push(request_id);
        let moved = self.advance(ended.run_id, event)?;
        expect_moved(moved, phase, &ended.task)
    }

    /// Keeps what an attempt left behind: artifacts, log, exported values.
    fn keep(&mut self, ended: &EndedLease, report: &Report) -> Result<(), EngineError> {
        let run = self.expect_run(ended.run_id)?.clone();
        let left = Left {
            run: &run,
            task: &ended.task,
        };
        if let Some(object) = &report.artifacts {
            let row = left.object_row(self, report.attempt, ("TASK_ARTIFACTS", 0), object);
            let expires_at = left
                .artifacts_kept()
                .map_or(row.expires_at, |kept| self.now.after(kept));
            let row = ArtifactRow { expires_at, ..row };
            self.writes().artifacts.push(row);
        }
        let log = left.log_row(self, report);
        self.writes().artifacts.push(log);
        let mut warnings = report.warnings.clone();
        for (key, value) in &report.outputs {
            if control_in_name(key).is_some() {
                let key = key.escape_debug();
                let why = "its name holds control characters";
                warnings.push(format!("the output `{key}` is left out: {why}"));
                continue;
            }
            self.export(ended, key.clone(), Value::String(value.clone()));
        }
        let details = ReportDetails {
            failed_command: storable(failed_command(report)),
            warnings,
            stdout: report.stdout.clone(),
        };
        let has_data = !report.outputs.is_empty();
        self.edit(ended.run_id, |entry| {
            entry.row.has_data |= has_data;
            if let Some(row) = entry.row.tasks.get_mut(&ended.task) {
                row.details = (details != ReportDetails::default()).then_some(details);
            }
        })
    }

    /// A value that later tasks see.
    pub(super) fn export(&mut self, ended: &EndedLease, key: String, value: Value) {
        let context = Context {
            id: RunDataId::new(self.ground().ids.next_uuid()),
            task_id: ended.lease.attempt.task_id,
            key,
            value,
            created_at: self.now,
        };
        let org_id = ended.lease.org_id.clone();
        self.writes().contexts.push(NewContext {
            run_id: ended.run_id,
            org_id,
            context,
        });
    }
}

fn current_lease(run: &RunEntry, attempt: AttemptRef) -> Option<EndedLease> {
    let name = run.row.task_name(attempt.task_id)?;
    let lease = run.row.tasks.get(name)?.lease.clone()?;
    let retries = run.row.run.tasks.get(name).map_or(0, |task| task.retries);
    (lease.attempt == attempt).then(|| EndedLease {
        lease,
        run_id: run.row.run_id,
        task: name.to_owned(),
        retries,
    })
}

pub(super) const fn outcome_word(status: EndStatus) -> &'static str {
    match status {
        EndStatus::Completed => "completed",
        EndStatus::Failed => "failed",
        EndStatus::Cancelled => "cancelled",
        EndStatus::Executing => "executing",
    }
}

/// What an ant says, in the words of decisions.
fn attempt_end(report: &Report) -> AttemptEnd {
    let exit_code = report.exit_code.clone();
    match &report.outcome {
        Outcome::Completed => AttemptEnd::completed(exit_code),
        Outcome::Cancelled => AttemptEnd {
            status: EndStatus::Cancelled,
            ..AttemptEnd::failed(exit_code, "attempt was stopped")
        },
        Outcome::Failed(failure) => failed(exit_code, failure),
    }
}

fn failed(exit_code: String, failure: &Failure) -> AttemptEnd {
    match failure {
        Failure::Exited { code, command } => AttemptEnd::failed(
            exit_code,
            format!("command exited with status {code}: {command}"),
        ),
        Failure::Signalled { signal, command } => AttemptEnd::failed(
            exit_code,
            format!("command was ended by signal {signal}: {command}"),
        ),
        Failure::TimedOut {
            phase,
            timeout_ms,
            command,
        } => {
            let seconds = *timeout_ms as f64 / 1000.0;
            let message = format!(
                "{phase} took longer than its timeout of {seconds} s: context deadline exceeded: \
                 {command}"
            );
            AttemptEnd::failed(exit_code, message).with_code(error_code::TASK_TIMED_OUT)
        }
        Failure::CouldNotStart { message } => AttemptEnd::failed(exit_code, message.clone())
            .with_code(error_code::ANT_EXECUTION_FAILED),
        Failure::Dependencies { message } | Failure::Artifacts { message } => {
            AttemptEnd::failed(exit_code, message.clone())
        }
    }
}

fn failed_command(report: &Report) -> String {
    match &report.outcome {
        Outcome::Failed(
            Failure::Exited { command, .. }
            | Failure::Signalled { command, .. }
            | Failure::TimedOut { command, .. },
        ) => command.clone(),
        Outcome::Failed(
            Failure::CouldNotStart { .. }
            | Failure::Dependencies { .. }
            | Failure::Artifacts { .. },
        )
        | Outcome::Completed
        | Outcome::Cancelled => String::new(),
    }
}

/// Whose an attempt's objects are.
struct Left<'a> {
    run: &'a RunEntry,
    task: &'a str,
}

impl Left<'_> {
    /// How long the task's artifacts are kept: as rendered for this run, else as written.
    fn artifacts_kept(&self) -> Option<std::time::Duration> {
        let record = self.run.row.run.tasks.get(self.task);
        let rendered = record.and_then(|task| task.control.as_deref());
        let control = rendered.or_else(|| self.run.plan.task(self.task));
        control.and_then(|task| task.artifacts_kept)
    }

    fn log_row(&self, stage: &Stage<'_>, report: &Report) -> ArtifactRow {
        match &report.log {
            LogRef::Stored(object) => self.object_row(stage, report.attempt, ("LOGS", 1), object),
            LogRef::Inline { text } => {
                let object = StoredObject {
                    artifact_id: ArtifactId::new(stage.ground().ids.next_uuid()),
                    object_key: String::new(),
                    name: format!("{}_console.txt", self.task),
                    content_type: "text/plain; charset=utf-8".to_owned(),
                    size_bytes: u64::try_from(text.len()).unwrap_or(u64::MAX),
                    sha256: hex(&Sha256::digest(text.as_bytes())),
                };
                let row = self.object_row(stage, report.attempt, ("LOGS", 1), &object);
                ArtifactRow {
                    content: Content::Inline(storable(text.clone())),
                    ..row
                }
            }
        }
    }

    fn object_row(
        &self,
        stage: &Stage<'_>,
        attempt: AttemptRef,
        (kind, order): (&str, i64),
        object: &StoredObject,
    ) -> ArtifactRow {
        let run = &self.run.row;
        ArtifactRow {
            id: object.artifact_id,
            org_id: run.org_id.clone(),
            user_id: String::new(),
            request_id: Some(run.request_id),
            run_id: Some(run.run_id),
            attempt: Some(attempt),
            task_type: self.task.to_owned(),
            kind: kind.to_owned(),
            name: storable(object.name.clone()),
            content: Content::Object(storable(object.object_key.clone())),
            content_type: storable(object.content_type.clone()),
            size_bytes: i64::try_from(object.size_bytes).unwrap_or(i64::MAX),
            sha256: storable(object.sha256.clone()),
            order,
            expires_at: stage.now.after(stage.ground().settings.artifact_expiration),
            created_at: stage.now,
        }
    }
}
