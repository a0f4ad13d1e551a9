//! The writer: operations that wait, in batches; and what they want done afterwards.

use colony_store::{StoreError, Tx};
use rand::RngExt as _;

use super::world::World;
use crate::ant::AntRoom;
use crate::runs::{Ask, Operation, run_operations};

type After = Box<dyn FnOnce(&mut World, &mut Tx<'_>, bool) -> Result<(), StoreError>>;

/// An operation on its way.
pub(super) struct Pending {
    what: String,
    ask: Ask,
    after: After,
}

impl World {
    /// As `Engine::perform_with`. `after` gets the output, or none when the caller learns of no
    /// success.
    pub(super) fn perform<O: Operation>(
        &mut self,
        what: String,
        operation: O,
        rooms: Vec<AntRoom>,
        after: impl FnOnce(&mut Self, &mut Tx<'_>, Option<O::Output>) -> Result<(), StoreError>
        + 'static,
    ) {
        let places: Vec<(String, u32)> = (rooms.iter())
            .map(|room| (room.ant_id.clone(), room.free))
            .collect();
        let seed = self.rng.random();
        let (ask, promised) = Ask::new(operation, (self.engine.now(), seed), rooms);
        let after: After = Box::new(move |world, tx, stored| {
            if stored {
                return after(world, tx, promised.take());
            }
            if world.engine.ants.free(places) {
                world.engine.nudges.room_freed();
            }
            after(world, tx, None)
        });
        self.pending.push_back(Pending { what, ask, after });
    }

    /// Runs a batch of what waits. False when nothing does.
    pub(super) fn write(&mut self, tx: &mut Tx<'_>) -> Result<bool, StoreError> {
        let mut batch = Vec::new();
        let most = self.rng.random_range(1..5);
        while batch.len() < most
            && let Some(next) = self.next_pending()
        {
            batch.push(next);
        }
        if batch.is_empty() {
            return Ok(false);
        }
        let what: Vec<&str> = batch.iter().map(|pending| pending.what.as_str()).collect();
        let what = what.join(" + ");
        if self.mishap(0.03) {
            self.tell(format!("write FAILS: {what}"));
            for pending in batch {
                (pending.after)(self, tx, false)?;
            }
            return Ok(true);
        }
        self.tell(format!("write: {what}"));
        let asks: Vec<Ask> = batch.iter().map(|pending| pending.ask.clone()).collect();
        let (outcomes, effects) = run_operations(tx, &self.engine.ground, &asks)?;
        for (subject, why) in &effects.guilty {
            self.fail(format!("{subject:?} is given up: {why}"));
        }
        self.check(tx)?;
        let unknown = self.mishap(0.03);
        if unknown {
            self.tell("  its outcome is UNKNOWN".to_owned());
            self.engine.nudges.wake_all();
        } else {
            self.effects.push_back(effects);
        }
        for (pending, outcome) in batch.into_iter().zip(outcomes) {
            if let Err(error) = &outcome {
                self.refused(&pending.what, error);
            }
            (pending.after)(self, tx, outcome.is_ok() && !unknown)?;
        }
        Ok(true)
    }

    fn refused(&mut self, what: &str, error: &crate::error::EngineError) {
        match error {
            crate::error::EngineError::KeyTaken { .. } => self.tell(format!("  {error}")),
            error => self.fail(format!("{what}: {error}")),
        }
    }

    /// The next operation: the first one, or one that another connection may overtake it with.
    fn next_pending(&mut self) -> Option<Pending> {
        let last = self.pending.len().checked_sub(1)?;
        let chosen = match self.chance(0.25) {
            true => self.rng.random_range(0..=last),
            false => 0,
        };
        let key = self.pending[chosen].ask.key();
        let first = self.pending.iter().position(|other| other.ask.key() == key);
        self.pending.remove(first.unwrap_or(0))
    }

    /// Carries out what the oldest commit wants done. False when there is nothing.
    pub(super) fn carry_out(&mut self) -> bool {
        let index = match self.effects.len() {
            0 => return false,
            count if self.mishap(0.1) => self.rng.random_range(0..count),
            _ => 0,
        };
        let Some(mut effects) = self.effects.remove(index) else {
            return false;
        };
        let claimed = std::mem::take(&mut effects.claimed);
        effects.guilty.clear();
        effects.carry_out(&self.engine);
        for claimed in claimed {
            self.send_claimed(claimed);
        }
        true
    }
}
