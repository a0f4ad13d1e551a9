//! Rounds over many rows in which a bad one stops nobody else.
//!
//! A round is one transaction. When it fails for a reason that belongs to the rows and not to the
//! database, it is run again carefully: each thing that it touches is named first, and what was
//! sent for the one before is waited for, so that the guilty one is known. That one ends FAILED
//! with the reason, and the round is run without it.

use std::sync::{Arc, Mutex, PoisonError};

use colony_core::error_code;
use colony_core::id::{AttemptRef, RequestId, RunId, TaskId};
use colony_core::job::JobError;
use colony_core::state::JobState;
use colony_store::give_up::{self, GivenUp};
use colony_store::{StoreError, Tx};
use colony_wire::QueenMessage;
use uuid::Uuid;

use crate::action::Actions;
use crate::engine::Engine;
use crate::error::EngineError;
use crate::event::RunEventKind;

/// Bad rows that end in one round; what is left is for the next one.
const GIVEN_UP_MAX: usize = 1024;

/// What a round is at work on.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Subject {
    Request(RequestId),
    Run(RunId),
    Task(TaskId),
    /// A request or a run.
    Unknown(Uuid),
}

/// Knows what a round is at work on. Shared with the closure, which may be gone when it is asked.
#[derive(Debug, Clone)]
pub(crate) struct Focus {
    subject: Arc<Mutex<Option<Subject>>>,
    careful: bool,
}

impl Focus {
    fn new(careful: bool) -> Self {
        Self {
            subject: Arc::default(),
            careful,
        }
    }

    /// From here on the round works on that.
    pub(crate) fn on(&self, tx: &mut Tx<'_>, subject: Subject) -> Result<(), StoreError> {
        self.set(tx, Some(subject))
    }

    /// From here on the round works on nothing of its own.
    pub(crate) fn off(&self, tx: &mut Tx<'_>) -> Result<(), StoreError> {
        self.set(tx, None)
    }

    fn set(&self, tx: &mut Tx<'_>, subject: Option<Subject>) -> Result<(), StoreError> {
        if self.careful {
            tx.settle()?;
        }
        *self.subject.lock().unwrap_or_else(PoisonError::into_inner) = subject;
        Ok(())
    }

    fn subject(&self) -> Option<Subject> {
        *self.subject.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Engine {
    /// Runs a round in a transaction; see the module.
    pub(crate) async fn round<T, F>(&self, round: F) -> Result<T, EngineError>
    where
        F: Fn(&mut Tx<'_>, &Focus) -> Result<T, EngineError> + Send + Sync + 'static,
        T: Send + 'static,
    {
        let round = Arc::new(round);
        let mut focus = Focus::new(false);
        let mut last = None;
        for _ in 0..GIVEN_UP_MAX {
            let (inside, round) = (focus.clone(), Arc::clone(&round));
            let done = self.store.write(move |tx| {
                inside.off(tx)?;
                let result = round(tx, &inside)?;
                inside.off(tx)?;
                Ok::<_, EngineError>(result)
            });
            match done.await {
                Err(error) if error.is_about_rows() && !focus.careful => focus = Focus::new(true),
                Err(error) if error.is_about_rows() => match focus.subject() {
                    // Giving it up again would change nothing.
                    Some(subject) if last != Some(subject) => {
                        self.give_up(subject, &error).await?;
                        last = Some(subject);
                    }
                    Some(_) | None => return Err(error),
                },
                done => return done,
            }
        }
        let message = format!("more than {GIVEN_UP_MAX} bad rows in one round");
        Err(EngineError::Invalid(message))
    }

    /// Ends what cannot go on, with the reason.
    pub(crate) async fn give_up(
        &self,
        subject: Subject,
        cause: &EngineError,
    ) -> Result<(), EngineError> {
        let error = reason(cause);
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
        let mut actions = Actions::default();
        actions.slot_freed = true;
        for orphaned in given_up.orphaned {
            let attempt: AttemptRef = orphaned.attempt;
            self.ants.release(&orphaned.holder, attempt);
            self.ants
                .send(&orphaned.holder, QueenMessage::LeaseLost { attempt });
            actions.ended.push(attempt);
        }
        if let Some(request_id) = given_up.request {
            let ended = RunEventKind::RunEnded {
                state: JobState::Failed,
                error: Some(error),
            };
            actions.events.push((request_id, ended));
        }
        actions.carry_out(self);
        if let (Some((run_id, tasks)), Some(signals)) = (given_up.run, self.ledger_signals()) {
            signals.job_changed(run_id, &tasks);
        }
    }
}

fn reason(cause: &EngineError) -> JobError {
    let message = format!("cannot go on: {}", why(cause));
    JobError::new(error_code::JOB_EXECUTE, message)
}

/// A cause in words for those who own the rows.
pub(crate) fn why(cause: &EngineError) -> String {
    match cause {
        EngineError::Store(error) => error.reason(),
        other => other.to_string(),
    }
}
