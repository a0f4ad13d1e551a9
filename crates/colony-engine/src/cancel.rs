//! Cancelling requests (`formicary-api` 7.2, `job-definitions` 7.8).

use colony_core::error_code;
use colony_core::id::RequestId;
use colony_core::job::{Event, JobError};
use colony_core::state::JobState;
use colony_core::time::Timestamp;
use colony_store::job_run;
use colony_store::request::{self, RequestRow};
use colony_store::{Tx, timer};

use crate::action::Actions;
use crate::advance::advance;
use crate::engine::{Caller, Engine};
use crate::error::EngineError;
use crate::isolate::Subject;
use crate::query::own_request;

impl Engine {
    /// Cancels a request: one that waits at once, one that runs by stopping its attempt. Nothing
    /// happens to a finished one. One whose rows cannot be read ends FAILED.
    ///
    /// # Errors
    ///
    /// [`EngineError::NotFound`].
    pub async fn cancel(&self, caller: &Caller, id: &str) -> Result<(), EngineError> {
        match self.try_cancel(caller, id).await {
            Err(error) if error.is_about_rows() => self.cancel_unreadable(caller, id, error).await,
            cancelled => cancelled,
        }
    }

    async fn cancel_unreadable(
        &self,
        caller: &Caller,
        name: &str,
        error: EngineError,
    ) -> Result<(), EngineError> {
        let Ok(id) = name.parse::<RequestId>() else {
            return Err(error);
        };
        let owner = self.store.read(move |tx| request::owner(tx, id)).await?;
        match owner {
            Some(org_id) if org_id == caller.org_id => {
                self.give_up(Subject::Request(id), &error).await
            }
            Some(_) | None => Err(error),
        }
    }

    async fn try_cancel(&self, caller: &Caller, id: &str) -> Result<(), EngineError> {
        let (engine, caller, name) = (self.clone(), caller.clone(), id.to_owned());
        let now = self.now();
        let actions = self
            .store
            .write(move |tx| {
                // The run before the request, as everywhere: reports lock in that order.
                if let Some(run_id) = own_request(tx, &caller, &name)?.run_id {
                    job_run::lock_job_run(tx, run_id)?;
                }
                let request = lock_own_request(tx, &caller, &name)?;
                let mut actions = Actions::default();
                engine.cancel_locked(tx, &request, now, &mut actions)?;
                Ok::<_, EngineError>(actions)
            })
            .await?;
        actions.carry_out(self);
        Ok(())
    }

    fn cancel_locked(
        &self,
        tx: &mut Tx<'_>,
        request: &RequestRow,
        now: Timestamp,
        actions: &mut Actions,
    ) -> Result<(), EngineError> {
        if request.job_state.is_terminal() {
            return Ok(());
        }
        // A request that was restarted waits for a run that it does not have yet.
        let Some(run_id) = request.run_id else {
            let error = JobError::new(error_code::JOB_CANCELLED, "job cancelled by user");
            let state = JobState::Cancelled;
            timer::clear(tx, request.id.uuid())?;
            request::end_request(tx, request.id, state, Some(&error), None, now)?;
            let event = crate::event::RunEventKind::RunEnded {
                state,
                error: Some(error),
            };
            actions.events.push((request.id, event));
            return Ok(());
        };
        advance(tx, self, run_id, Event::CancelAsked, now, actions)?;
        Ok(())
    }
}

/// The request of that id, locked, if it is the caller's.
pub(crate) fn lock_own_request(
    tx: &mut Tx<'_>,
    caller: &Caller,
    name: &str,
) -> Result<RequestRow, EngineError> {
    let not_found = || EngineError::not_found("request", name);
    let id: RequestId = name.parse().map_err(|_| not_found())?;
    let request = request::lock_request(tx, id)?;
    request
        .filter(|request| request.org_id == caller.org_id)
        .ok_or_else(not_found)
}
