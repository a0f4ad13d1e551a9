//! Cancelling requests (`formicary-api` 7.2, `job-definitions` 7.8).

use colony_core::id::RequestId;
use colony_store::Tx;
use colony_store::request::{self, RequestRow};

use crate::engine::{Caller, Engine};
use crate::error::EngineError;
use crate::isolate::Subject;
use crate::runs::{Cancel, Cancelled};

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

    async fn try_cancel(&self, caller: &Caller, name: &str) -> Result<(), EngineError> {
        let not_found = || EngineError::not_found("request", name);
        let id: RequestId = name.parse().map_err(|_| not_found())?;
        let org_id = caller.org_id.clone();
        loop {
            let org_id = org_id.clone();
            match self.perform(Cancel { org_id, id }).await? {
                Cancelled::Done => return Ok(()),
                Cancelled::NotFound => return Err(not_found()),
                Cancelled::Again => {}
            }
        }
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
    let request = request::lock_requests(tx, &[id])?.remove(&id).transpose()?;
    request
        .filter(|request| request.org_id == caller.org_id)
        .ok_or_else(not_found)
}
