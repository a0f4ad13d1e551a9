//! Storing how attempts ended: only the current lease may report, and each attempt has one outcome.

use std::time::Duration;

use colony_core::error_code;
use colony_core::id::{ArtifactId, AttemptRef, RunDataId};
use colony_core::job::{AttemptEnd, EndStatus, Event};
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
use crate::advance::advance_locked;
use crate::engine::Engine;
use crate::error::EngineError;
use crate::setup::hex;

impl Engine {
    /// Stores a report, and tells the ant that it may forget the attempt. When the database fails
    /// nothing is said: the ant repeats the report.
    pub(crate) async fn store_report(&self, ant_id: &str, report: Report) {
        let attempt = report.attempt;
        let (engine, now) = (self.clone(), self.now());
        let stored = self
            .store
            .write(move |tx| {
                let mut actions = Actions::default();
                let end = attempt_end(&report);
                let accepted =
                    end_attempt(tx, &engine, attempt, end, Some(&report), now, &mut actions)?;
                Ok::<_, EngineError>((accepted, actions))
            })
            .await;
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
    let Some(mut run) = job_run::lock_job_run(tx, lease.run_id)? else {
        return Ok(false);
    };
    let name = run.task_ids.iter().find(|(_, id)| **id == attempt.task_id);
    let Some(task) = name.map(|(name, _)| name.clone()) else {
        return Ok(false);
    };
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
    advance_locked(
        tx,
        engine,
        &run,
        Event::AttemptEnded { task, end },
        now,
        actions,
    )?;
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
        for (key, value) in &report.outputs {
            let context = Context {
                id: RunDataId::new(self.engine.ids.next_uuid()),
                task_id: report.attempt.task_id,
                key: key.replace('\0', ""),
                value: Value::String(value.clone()),
                created_at: self.now,
            };
            context::insert_context(tx, self.run.run_id, &self.run.org_id, &context)?;
        }
        let details = ReportDetails {
            failed_command: failed_command(report),
            warnings: report.warnings.clone(),
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
                // NUL cannot be stored as text everywhere.
                ArtifactRow {
                    content: Content::Inline(text.replace('\0', "\u{fffd}")),
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
            name: object.name.clone(),
            content: Content::Object(object.object_key.clone()),
            content_type: object.content_type.clone(),
            size_bytes: i64::try_from(object.size_bytes).unwrap_or(i64::MAX),
            sha256: object.sha256.clone(),
            order,
            expires_at: self.now.after(self.engine.settings.artifact_expiration),
            created_at: self.now,
        }
    }
}
