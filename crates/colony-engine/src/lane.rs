//! How operations on runs reach the database.

use std::sync::Arc;

use colony_store::{Store, StoreError};
use tokio::sync::mpsc;

use crate::effects::Effects;
use crate::error::EngineError;
use crate::runs::{Ask, Ground, run_operations};

/// Takes operations on runs. Cheap to clone.
#[derive(Clone)]
pub(crate) struct RunsLane {
    store: Store,
    ground: Arc<Ground>,
    effects: mpsc::UnboundedSender<Effects>,
}

impl RunsLane {
    pub(crate) fn new(
        store: Store,
        ground: Arc<Ground>,
        effects: mpsc::UnboundedSender<Effects>,
    ) -> Self {
        Self {
            store,
            ground,
            effects,
        }
    }

    /// Carries an operation out.
    pub(crate) async fn run(&self, ask: Ask) -> Result<(), EngineError> {
        let ground = Arc::clone(&self.ground);
        let done = self.store.write(move |tx| {
            let asks = std::slice::from_ref(&ask);
            let (mut outcomes, effects) = run_operations(tx, &ground, asks)?;
            Ok::<_, StoreError>((outcomes.pop(), effects))
        });
        let (outcome, effects) = done.await?;
        // Nobody carries them out any more: the loops have ended.
        let _ = self.effects.send(effects);
        outcome.unwrap_or(Err(EngineError::Store(StoreError::Closed)))
    }
}
