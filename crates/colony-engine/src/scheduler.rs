//! The scheduler loop: picks due requests by priority and age within limits, and launches runs
//! (`job-definitions` 8.2, with the rulings of the design: nothing is polled or pushed back).
//!
//! It looks at what it is called for in one state of the database, asks `colony_core::schedule` for a
//! plan, and leaves the rest to operations in batches ([`Launch`], [`Pass`]), which look again.
//!
//! | file | what it has |
//! | --- | --- |
//! | `found` | what there is to schedule, in one state of the database |
//! | `sorted` | which of it may run |
//! | `round` | what is decided about it |

mod found;
mod round;
mod sorted;

use std::collections::{BTreeSet, VecDeque};

use colony_core::schedule::Cursor;
use colony_core::text::with_causes;
use colony_store::{Tx, request, schedule};

use crate::backoff::Backoff;
use crate::engine::Engine;
use crate::error::EngineError;
use crate::nudge::Wanted;

pub(crate) use found::Found;
pub(crate) use round::Round;
pub(crate) use sorted::Versions;

/// Requests looked at in one round.
const BATCH: u32 = 64;

/// Requests that are served at once when an ant comes.
const SERVED_MAX: u32 = 1024;

pub(crate) async fn run(engine: Engine) {
    let mut backoff = Backoff::new("scheduler");
    // Whose turn it was last. Lost with the process, which only moves turns.
    let mut cursor = Cursor::default();
    let mut keys = Keys::default();
    loop {
        let wanted = match keys.is_empty() {
            true => engine.nudges.scheduler_called().await,
            false => engine.nudges.wanted(),
        };
        match look(&engine, &wanted, &mut keys, &mut cursor).await {
            Ok(()) => backoff.reset(),
            Err(error) => {
                tracing::error!("failed to schedule: {}", with_causes(&error));
                backoff.pause().await;
                engine.nudges.want_again(wanted);
            }
        }
    }
}

/// Schedule keys to look at, each once and in turn: a key of which much waits lets the others go first.
#[derive(Default)]
struct Keys {
    order: VecDeque<String>,
    known: BTreeSet<String>,
}

impl Keys {
    fn is_empty(&self) -> bool {
        self.order.is_empty()
    }

    fn add(&mut self, keys: impl IntoIterator<Item = String>) {
        for key in keys {
            if self.known.insert(key.clone()) {
                self.order.push_back(key);
            }
        }
    }

    /// Those whose turn it is.
    fn take(&mut self) -> Vec<String> {
        let count = self.order.len().min(BATCH as usize);
        let some: Vec<String> = self.order.drain(..count).collect();
        for key in &some {
            self.known.remove(key);
        }
        some
    }
}

/// Takes up what is wanted, and looks at the keys whose turn it is.
async fn look(
    engine: &Engine,
    wanted: &Wanted,
    keys: &mut Keys,
    cursor: &mut Cursor,
) -> Result<(), EngineError> {
    keys.add(wanted.keys.iter().cloned());
    if wanted.unserved || wanted.everything {
        serve(engine, keys).await?;
    }
    if wanted.everything {
        keys.add(engine.store.read(schedule::eligible_keys).await?);
    }
    let some = keys.take();
    if some.is_empty() {
        return Ok(());
    }
    match look_at(engine, some.clone(), cursor).await {
        Ok(more) => {
            keys.add(more);
            Ok(())
        }
        Err(error) => {
            keys.add(some);
            Err(error)
        }
    }
}

/// Requests for which an ant has come are looked at again. Their schedule keys are added to `keys`.
async fn serve(engine: &Engine, keys: &mut Keys) -> Result<(), EngineError> {
    let unserved = engine.store.read(request::unserved_keys).await?;
    let ants = engine.ants.rooms();
    let served = |key: &String| ants.iter().any(|ant| ant.serves(key));
    for key in unserved.into_iter().filter(served) {
        let limit = SERVED_MAX;
        let write = move |tx: &mut Tx<'_>| request::serve_requests(tx, &key, limit);
        let served: Vec<String> = engine.store.write(write).await?;
        if served.len() >= SERVED_MAX as usize {
            engine.nudges.look_for_ants();
        }
        keys.add(served);
    }
    Ok(())
}

/// Looks at the best requests of some keys. Gives the keys of which there may be more to launch.
async fn look_at(
    engine: &Engine,
    keys: Vec<String>,
    cursor: &mut Cursor,
) -> Result<Vec<String>, EngineError> {
    Round::begin(engine, &keys);
    let wanted = keys.clone();
    let found = engine
        .store
        .read(move |tx| Found::read(tx, &wanted))
        .await?;
    let mut versions = Versions::new();
    for id in found.versions() {
        versions.insert(id, engine.compiled(id).await);
    }
    let mut round = Round::decide(engine, keys, &found, &versions, cursor)?;
    for (subject, cause) in std::mem::take(&mut round.guilty) {
        engine.give_up(subject, &cause).await?;
    }
    engine
        .perform_each(std::mem::take(&mut round.passes))
        .await?;
    let launches = std::mem::take(&mut round.launches);
    let outcomes = match launches.is_empty() {
        true => Vec::new(),
        false => {
            let (rooms, _) = engine.ants.keep_all();
            engine.perform_all(launches, rooms).await?
        }
    };
    Ok(round.settle(engine, outcomes))
}
