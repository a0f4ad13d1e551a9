//! Storing how attempts ended: only the current lease may report, and each attempt has one outcome.

use std::time::Duration;

use colony_core::error_code;
use colony_core::id::{ArtifactId, AttemptRef, RunDataId};
use colony_core::job::{AttemptEnd, EndStatus, Event};
use colony_core::text::{control_in_name, storable};
use colony_core::time::Timestamp;
use colony_store::Tx;
use colony_store::artifact::{self, ArtifactRow, Content};
use colony_store::context::{self, Context};
use colony_store::dispatch::{self, EndedAttempt};
use colony_store::execution::{self, ReportDetails};
use colony_store::job_run::{self, JobRunRow};
use colony_wire::{Failure, LogRef, Outcome, QueenMessage, Report, StoredObject};
use serde_json::Value;
use sha2::{Digest as _, Sha256};

use crate::action::Actions;
use crate::advance::{advance_locked, expect_moved};
use crate::engine::Engine;
use crate::error::EngineError;
use crate::isolate::{Subject, why};
use crate::setup::hex;

impl Engine {
    /// Stores a report, and tells the ant that it may forget the attempt. When the database fails
    /// nothing is said: the ant repeats the report. A report that cannot be stored fails its task,
    /// and if that cannot be stored either, its run.
    pub(crate) async fn store_report(&self, ant_id: &str, report: Report) {
        let attempt = report.attempt;
        let stored = match self.try_report(report).await {
            Err(error) if error.is_about_rows() => self.fail_report(attempt, &error).await,
            stored => stored,
        };
        match stored {
            Ok((accepted, actions)) => {
                actions.carry_out(self);
                // Also of one that is refused: nothing more comes of it.
                self.live_logs.forget(attempt);
                self.ants
                    .send(ant_id, QueenMessage::ReportStored { attempt, accepted });
            }
            Err(error) => {
                tracing::error!(task.id = %attempt.task_id, "failed to store a report: {error}");
            }
        }
    }
}

impl Engine {
    async fn try_report(&self, report: Report) -> Result<(bool, Actions), EngineError> {
        let (engine, now) = (self.clone(), self.now());
        self.store
            .write(move |tx| {
                let mut actions = Actions::default();
                let (attempt, end) = (report.attempt, attempt_end(&report));
                let accepted =
                    end_attempt(tx, &engine, attempt, end, Some(&report), now, &mut actions)?;
                Ok((accepted, actions))
            })
            .await
    }

    /// The attempt failed, whatever its report says: that cannot be stored.
    async fn fail_report(
        &self,
        attempt: AttemptRef,
        error: &EngineError,
    ) -> Result<(bool, Actions), EngineError> {
        let id = attempt.task_id;
        tracing::error!(task.id = %id, "failed to store a report: {error}");
        let message = format!("its report cannot be stored: {}", why(error));
        let (engine, now) = (self.clone(), self.now());
        self.round(move |tx, focus| {
            focus.on(tx, Subject::Task(id))?;
            let mut actions = Actions::default();
            let end = AttemptEnd {
                retryable: false,
                ..AttemptEnd::failed("", message.clone())
            };
            let accepted = end_attempt(tx, &engine, attempt, end, None, now, &mut actions)?;
            Ok((accepted, actions))
        })
        .await
    }
}

/// Ends an attempt if its lease is current: records it, stores what it left behind, and lets the
/// run go on. False when the lease is not current.
pub(crate) fn end_attempt(
    tx: &mut Tx<'_>,
    engine: &Engine,
    attempt: AttemptRef,
    end: AttemptEnd,
    report: Option<&Report>,
    now: Timestamp,
    actions: &mut Actions,
) -> Result<bool, EngineError> {
    let Some(lease) = dispatch::end_lease(tx, attempt)? else {
        return Ok(false);
    };
    let run = job_run::lock_job_run(tx, lease.run_id)?;
    let mut run = run.ok_or_else(|| EngineError::not_found("run of a job", lease.run_id))?;
    let task = run.task_name(attempt.task_id);
    let task = task.ok_or_else(|| EngineError::not_found("task of a job", attempt.task_id))?;
    let retry = run.run.tasks.get(&task).map_or(0, |task| task.retries);
    let ended = EndedAttempt {
        lease,
        retry,
        outcome: outcome_word(end.status),
        exit_code: end.exit_code.clone(),
        error_message: end.message.clone(),
        ended_at: now,
    };
    dispatch::insert_attempt(tx, &ended)?;
    actions.ended.push(attempt);
    actions.wakes.push(run.request_id);
    if let Some(report) = report {
        run.has_data |= !report.outputs.is_empty();
        Left {
            engine,
            run: &run,
            task: &task,
            now,
        }
        .store(tx, report)?;
    }
    let name = task.clone();
    let event = Event::AttemptEnded { task, end };
    let moved = advance_locked(tx, engine, &run, event, now, actions)?;
    expect_moved(moved, &run, &name)?;
    Ok(true)
}

const fn outcome_word(status: EndStatus) -> &'static str {
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

/// What an attempt left behind: artifacts, log, exported values.
struct Left<'a> {
    engine: &'a Engine,
    run: &'a JobRunRow,
    task: &'a str,
    now: Timestamp,
}

impl Left<'_> {
    fn store(&self, tx: &mut Tx<'_>, report: &Report) -> Result<(), EngineError> {
        if let Some(object) = &report.artifacts {
            let row = self.object_row(report.attempt, "TASK_ARTIFACTS", 0, object);
            let expires_at = match self.artifacts_kept(tx)? {
                Some(kept) => self.now.after(kept),
                None => row.expires_at,
            };
            artifact::insert_artifact(tx, &ArtifactRow { expires_at, ..row })?;
        }
        artifact::insert_artifact(tx, &self.log_row(report))?;
        let mut warnings = report.warnings.clone();
        for (key, value) in &report.outputs {
            if control_in_name(key).is_some() {
                let key = key.escape_debug();
                let why = "its name holds control characters";
                warnings.push(format!("the output `{key}` is left out: {why}"));
                continue;
            }
            let context = Context {
                id: RunDataId::new(self.engine.ids.next_uuid()),
                task_id: report.attempt.task_id,
                key: key.clone(),
                value: Value::String(value.clone()),
                created_at: self.now,
            };
            context::insert_context(tx, self.run.run_id, &self.run.org_id, &context)?;
        }
        let details = ReportDetails {
            failed_command: storable(failed_command(report)),
            warnings,
            stdout: report.stdout.clone(),
        };
        let task_id = report.attempt.task_id;
        Ok(execution::set_report_details(
            tx,
            self.run.run_id,
            task_id,
            &details,
        )?)
    }

    /// How long the task's artifacts are kept: as rendered for this run, else as written.
    fn artifacts_kept(&self, tx: &mut Tx<'_>) -> Result<Option<Duration>, EngineError> {
        let rendered = self.run.run.tasks.get(self.task);
        if let Some(control) = rendered.and_then(|task| task.control.as_deref()) {
            return Ok(control.artifacts_kept);
        }
        let compiled = self.engine.definitions.load(tx, self.run.definition_id)?;
        let written = compiled.plan.task(self.task);
        Ok(written.and_then(|task| task.artifacts_kept))
    }

    fn log_row(&self, report: &Report) -> ArtifactRow {
        match &report.log {
            LogRef::Stored(object) => self.object_row(report.attempt, "LOGS", 1, object),
            LogRef::Inline { text } => {
                let object = StoredObject {
                    artifact_id: ArtifactId::new(self.engine.ids.next_uuid()),
                    object_key: String::new(),
                    name: format!("{}_console.txt", self.task),
                    content_type: "text/plain; charset=utf-8".to_owned(),
                    size_bytes: u64::try_from(text.len()).unwrap_or(u64::MAX),
                    sha256: hex(&Sha256::digest(text.as_bytes())),
                };
                let row = self.object_row(report.attempt, "LOGS", 1, &object);
                ArtifactRow {
                    content: Content::Inline(storable(text.clone())),
                    ..row
                }
            }
        }
    }

    fn object_row(
        &self,
        attempt: AttemptRef,
        kind: &str,
        order: i64,
        object: &StoredObject,
    ) -> ArtifactRow {
        ArtifactRow {
            id: object.artifact_id,
            org_id: self.run.org_id.clone(),
            user_id: String::new(),
            request_id: Some(self.run.request_id),
            run_id: Some(self.run.run_id),
            attempt: Some(attempt),
            task_type: self.task.to_owned(),
            kind: kind.to_owned(),
            name: storable(object.name.clone()),
            content: Content::Object(storable(object.object_key.clone())),
            content_type: storable(object.content_type.clone()),
            size_bytes: i64::try_from(object.size_bytes).unwrap_or(i64::MAX),
            sha256: storable(object.sha256.clone()),
            order,
            expires_at: self.now.after(self.engine.settings.artifact_expiration),
            created_at: self.now,
        }
    }
}
