//! Waiting for the end of a request: on events, never by asking the database again and again.

use std::time::Duration;

use colony_core::id::RequestId;
use tokio::sync::broadcast::Receiver;
use tokio::sync::broadcast::error::RecvError;

use crate::engine::{Caller, Engine};
use crate::error::EngineError;
use crate::event::{RunEvent, RunEventKind};
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
        loop {
            // Before looking, so that nothing is missed between.
            let mut events = self.watch();
            let (caller, name) = (caller.clone(), id.to_owned());
            let request = self
                .store
                .read(move |tx| own_request(tx, &caller, &name))
                .await?;
            if request.job_state.is_terminal() {
                return Ok(());
            }
            let ended = end_of(&mut events, request.id);
            match tokio::time::timeout_at(deadline, ended).await {
                // Events were missed: look again.
                Ok(false) => {}
                Ok(true) | Err(_) => return Ok(()),
            }
        }
    }
}

/// True at the end of the request's run; false when events were missed.
async fn end_of(events: &mut Receiver<RunEvent>, id: RequestId) -> bool {
    loop {
        match events.recv().await {
            Ok(event) if event.request_id == id => {
                if let RunEventKind::RunEnded { .. } = event.kind {
                    return true;
                }
            }
            Ok(_) => {}
            Err(RecvError::Lagged(_) | RecvError::Closed) => return false,
        }
    }
}
