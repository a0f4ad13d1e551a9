//! Waiting for the end of a request: on events, never by asking the database again and again.

use std::time::Duration;

use colony_core::id::RequestId;

use crate::engine::{Caller, Engine};
use crate::error::EngineError;
use crate::query::own_request;

impl Engine {
    /// Returns when the request is in a final state, or after `wait`.
    ///
    /// # Errors
    ///
    /// [`EngineError::NotFound`].
    pub async fn wait_ended(
        &self,
        caller: &Caller,
        id: &str,
        wait: Duration,
    ) -> Result<(), EngineError> {
        let deadline = tokio::time::Instant::now() + wait;
        // Before looking, so that nothing is missed between.
        let mut waiter = id.parse::<RequestId>().ok().map(|id| self.waiters.add(id));
        loop {
            let (caller, name) = (caller.clone(), id.to_owned());
            let request = self
                .store
                .read(move |tx| own_request(tx, &caller, &name))
                .await?;
            // What it was woken for may be an end that a restart has undone.
            let (false, Some(waiter)) = (request.job_state.is_terminal(), &mut waiter) else {
                return Ok(());
            };
            if tokio::time::timeout_at(deadline, waiter.woken())
                .await
                .is_err()
            {
                return Ok(());
            }
        }
    }
}
