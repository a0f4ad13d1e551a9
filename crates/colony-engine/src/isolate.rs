//! One bad row stops nobody else.
//!
//! Operations are decided one by one in memory, and a batch that the database refuses is run again one
//! by one, so that the guilty one is known: what it is about ends FAILED with the reason, and the
//! others go on.

use colony_core::error_code;
use colony_core::id::{AttemptRef, RequestId, RunId, TaskId};
use colony_core::job::JobError;
use colony_core::state::JobState;
use colony_core::text::with_causes;
use colony_store::give_up::{self, GivenUp};
use colony_wire::QueenMessage;
use uuid::Uuid;

use crate::effects::Effects;
use crate::engine::Engine;
use crate::error::EngineError;
use crate::event::RunEventKind;

/// What an operation is about.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Subject {
    Request(RequestId),
    Run(RunId),
    Task(TaskId),
    /// A request, run or task.
    Unknown(Uuid),
}

impl Engine {
    /// Ends what cannot go on, with the reason.
    pub(crate) async fn give_up(
        &self,
        subject: Subject,
        cause: &EngineError,
    ) -> Result<(), EngineError> {
        self.give_up_because(subject, why(cause)).await
    }

    /// As [`Engine::give_up`], when there is time.
    pub(crate) fn give_up_soon(&self, guilty: Vec<(Subject, String)>) {
        let engine = self.clone();
        tokio::spawn(async move {
            for (subject, reason) in guilty {
                if let Err(error) = engine.give_up_because(subject, reason).await {
                    tracing::error!(?subject, "failed to give up: {}", with_causes(&error));
                }
            }
            engine.nudges.dispatcher.notify_one();
        });
    }

    async fn give_up_because(&self, subject: Subject, reason: String) -> Result<(), EngineError> {
        let error = JobError::new(error_code::JOB_EXECUTE, format!("cannot go on: {reason}"));
        tracing::error!(?subject, "given up: {}", error.message);
        let (now, inside) = (self.now(), error.clone());
        let given_up = self
            .store
            .write(move |tx| match subject {
                Subject::Request(id) => give_up::give_up_request(tx, id, &inside, now),
                Subject::Run(id) => give_up::give_up_run(tx, id, &inside, now),
                Subject::Task(id) => give_up::give_up_task(tx, id, &inside, now),
                Subject::Unknown(id) => {
                    give_up::give_up_request(tx, RequestId::new(id), &inside, now)?;
                    give_up::give_up_run(tx, RunId::new(id), &inside, now)
                }
            })
            .await?;
        self.announce(given_up, error);
        Ok(())
    }

    fn announce(&self, given_up: GivenUp, error: JobError) {
        let mut effects = Effects::default();
        for orphaned in given_up.orphaned {
            let attempt: AttemptRef = orphaned.attempt;
            self.ants.release(&orphaned.holder, attempt);
            self.ants
                .send(&orphaned.holder, QueenMessage::LeaseLost { attempt });
            effects.ended.push(attempt);
        }
        if let Some(request_id) = given_up.request {
            let ended = RunEventKind::RunEnded {
                state: JobState::Failed,
                error: Some(error),
            };
            effects.events.push((request_id, ended));
        }
        effects.changes.extend(given_up.run);
        effects.carry_out(self);
        // Whose slot it was may not be readable.
        self.nudges.schedule_everything();
        self.nudges.room_freed();
    }
}

/// A cause in words for those who own the rows.
pub(crate) fn why(cause: &EngineError) -> String {
    match cause {
        EngineError::Store(error) => error.reason(),
        other => other.to_string(),
    }
}
