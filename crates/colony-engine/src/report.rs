//! Storing what ants report.

use std::sync::Arc;

use colony_core::id::{AttemptRef, RunId};
use colony_core::job::AttemptEnd;
use colony_core::text::with_causes;
use colony_wire::{QueenMessage, Report};

use crate::ant::AntRoom;
use crate::engine::Engine;
use crate::error::EngineError;
use crate::isolate::{Subject, why};
use crate::runs::End;

impl Engine {
    /// Stores a report, and tells the ant that it may forget the attempt; the place that it had is
    /// for the next task. When the database fails nothing is said: the ant repeats the report. A
    /// report that cannot be stored fails its task, and if that cannot be stored either, its run.
    pub(crate) async fn store_report(
        &self,
        ant_id: &str,
        report: Report,
        (place, run_id): (Option<AntRoom>, Option<RunId>),
    ) {
        let attempt = report.attempt;
        let end = End::reported(Arc::new(report), run_id);
        let rooms = place.into_iter().collect();
        let stored = match self.perform_with(end, rooms).await {
            Err(error) if error.is_about_rows() => self.fail_report(attempt, run_id, &error).await,
            stored => stored,
        };
        match stored {
            Ok(accepted) => {
                // Also of one that is refused: nothing more comes of it.
                self.live_logs.forget(attempt);
                self.ants
                    .send(ant_id, QueenMessage::ReportStored { attempt, accepted });
            }
            Err(error) => {
                tracing::error!(task.id = %attempt.task_id, "failed to store a report: {}", with_causes(&error));
            }
        }
    }

    /// The attempt failed, whatever its report says: that cannot be stored.
    async fn fail_report(
        &self,
        attempt: AttemptRef,
        run_id: Option<RunId>,
        error: &EngineError,
    ) -> Result<bool, EngineError> {
        let id = attempt.task_id;
        tracing::error!(task.id = %id, "failed to store a report: {}", with_causes(&error));
        let message = format!("its report cannot be stored: {}", why(error));
        let failed = End {
            attempt,
            run_id,
            end: AttemptEnd {
                retryable: false,
                ..AttemptEnd::failed("", message)
            },
            report: None,
        };
        match self.perform(failed).await {
            Err(error) if error.is_about_rows() => {
                self.give_up(Subject::Task(id), &error).await?;
                Ok(false)
            }
            stored => stored,
        }
    }
}
