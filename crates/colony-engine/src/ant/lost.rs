//! Attempts that end without a report.

use colony_core::job::Event;
use colony_store::dispatch::{self, EndedAttempt, Lease};
use colony_store::job_run;

use crate::action::Actions;
use crate::advance::{advance_locked, expect_moved};
use crate::engine::Engine;
use crate::error::EngineError;

/// A lease that ended without a report.
pub(crate) struct Lost {
    pub(crate) lease: Lease,
    pub(crate) counts: bool,
    pub(crate) outcome: &'static str,
    pub(crate) message: &'static str,
}

impl Lost {
    /// Records the attempt and lets the run go on without it.
    pub(crate) fn store(
        self,
        tx: &mut colony_store::Tx<'_>,
        engine: &Engine,
        now: colony_core::time::Timestamp,
        actions: &mut Actions,
    ) -> Result<(), EngineError> {
        let run_id = self.lease.run_id;
        let before = job_run::lock_job_run(tx, run_id)?;
        let before = before.ok_or_else(|| EngineError::not_found("run of a job", run_id))?;
        let id = self.lease.attempt.task_id;
        let task = before.task_name(id);
        let task = task.ok_or_else(|| EngineError::not_found("task of a job", id))?;
        let ended = EndedAttempt {
            lease: self.lease,
            retry: 0,
            outcome: self.outcome,
            exit_code: String::new(),
            error_message: self.message.to_owned(),
            ended_at: now,
        };
        dispatch::insert_attempt(tx, &ended)?;
        actions.ended.push(ended.lease.attempt);
        let message = self.message.to_owned();
        let event = Event::AttemptLost {
            task: task.clone(),
            counts: self.counts,
            message,
        };
        let moved = advance_locked(tx, engine, &before, event, now, actions)?;
        expect_moved(moved, &before, &task)
    }
}
