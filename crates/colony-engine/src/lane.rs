//! How operations on runs reach the database: in one lane, those that wait together as one batch.

use std::sync::{Arc, Mutex, PoisonError};

use colony_store::{Command, Lane, Outs, Store, Tx};
use tokio::sync::mpsc;

use crate::effects::Effects;
use crate::error::EngineError;
use crate::runs::{Ask, Ground, run_operations};

/// Takes operations on runs. Cheap to clone.
pub(crate) type RunsLane = Lane<OnRuns>;

/// A lane for operations on runs, and what those that are committed want done.
pub(crate) fn runs_lane(
    store: &Store,
    ground: &Arc<Ground>,
) -> (RunsLane, mpsc::UnboundedReceiver<Effects>) {
    let (effects, committed) = mpsc::unbounded_channel();
    let ground = Arc::clone(ground);
    (store.lane(OnRuns { ground, effects }), committed)
}

/// Runs batches of operations on runs.
pub(crate) struct OnRuns {
    ground: Arc<Ground>,
    effects: mpsc::UnboundedSender<Effects>,
}

/// An operation that was decided. The first one of a batch brings what all of them want done.
pub(crate) struct Decided {
    effects: Mutex<Option<Effects>>,
}

impl Command for OnRuns {
    type Op = Ask;
    type Out = Decided;
    type Error = EngineError;

    fn run(&self, tx: &mut Tx<'_>, asks: &[Ask]) -> Outs<Decided, EngineError> {
        let (outcomes, effects) = run_operations(tx, &self.ground, asks)?;
        let mut effects = Some(effects);
        let mut decided = |()| Decided {
            effects: Mutex::new(effects.take()),
        };
        let outs = outcomes.into_iter();
        Ok(outs.map(|outcome| outcome.map(&mut decided)).collect())
    }

    fn key(&self, ask: &Ask) -> u64 {
        ask.key()
    }

    fn committed(&self, decided: &Decided) {
        let mut effects = decided
            .effects
            .lock()
            .unwrap_or_else(PoisonError::into_inner);
        if let Some(effects) = effects.take() {
            // Nobody carries them out any more: the loops have ended.
            let _ = self.effects.send(effects);
        }
    }
}
