//! Sweeping the object store of what attempts left that were killed: they stored bytes, and no
//! report of theirs was taken.
//!
//! Bytes are removed only when nobody can name them any more. An object goes when all of this
//! holds; whatever is not certain stays:
//!
//! - its key is one that attempts make, under one of [`OBJECT_PREFIXES`];
//! - this database is the only one that has a mark in the object store, and the mark was there
//!   before the object (`mark`);
//! - it was there at the last sweep, an earlier process made it or this one a day ago by the clock
//!   that nobody sets, and the object store says that it is a day old;
//! - its id is smaller than those of all tasks at work when the sweep begins: attempts make ids
//!   after their tasks', so nothing that is still to be reported is looked at;
//! - no row names it. Rows come with the end of the lease, in one transaction, so an attempt that
//!   was not at work when the sweep began has its rows when they are looked up.

mod mark;

use std::time::Duration;

use colony_core::id::ArtifactId;
use colony_core::time::Timestamp;
use colony_store::object;
use futures_util::TryStreamExt as _;
use object_store::path::Path;
use object_store::{ObjectMeta, ObjectStore as _, ObjectStoreExt as _};
use tokio::time::Instant;
use uuid::Uuid;

use crate::engine::Engine;
use crate::error::EngineError;

/// Where attempts store objects.
pub const OBJECT_PREFIXES: [&str; 2] = ["artifacts", "logs"];

/// What is younger may be somebody's.
const AGE: Duration = Duration::from_secs(24 * 60 * 60);

/// Objects that are looked up at once.
const BATCH: usize = 500;

/// Objects that cannot be removed before a sweep gives up.
const FAILURES_MAX: u32 = 20;

/// Removes objects that no row names.
pub struct ObjectSweeper {
    engine: Engine,
    horizon: Horizon,
}

impl ObjectSweeper {
    /// A sweeper of the engine's object store. To be made before the first ant is connected: what is
    /// there by then is from earlier processes.
    pub fn new(engine: &Engine) -> Self {
        Self {
            horizon: Horizon::new(Instant::now(), engine.ids.next_uuid()),
            engine: engine.clone(),
        }
    }

    /// Says in the object store that this database uses it, so that others leave its objects.
    ///
    /// # Errors
    ///
    /// The database's or the object store's.
    pub async fn mark(&self) -> Result<(), EngineError> {
        mark::put(&self.engine).await.map(drop)
    }

    /// Removes what is left. Gives what holds for other remains of the same age; none when the
    /// object store is not this database's alone.
    ///
    /// # Errors
    ///
    /// The database's or the object store's. What was removed until then is.
    pub async fn sweep(&mut self) -> Result<Option<Leftover>, EngineError> {
        let engine = &self.engine;
        let Some(claim) = mark::claim(engine).await? else {
            return Ok(None);
        };
        let horizon = self
            .horizon
            .at(Instant::now(), || engine.ids.next_uuid())
            .min(claim.seen);
        let oldest = engine.store.read(object::oldest_task_at_work).await?;
        let leftover = Leftover {
            since: claim.since,
            until: oldest.map_or(horizon, |task| horizon.min(task.uuid())),
            modified: before(engine.now(), AGE),
        };
        let mut removed = Removed::default();
        let swept = self.sweep_all(&leftover, &mut removed).await;
        let Removed { objects, bytes, .. } = removed;
        if objects > 0 {
            tracing::info!(objects, bytes, "removed what killed attempts had stored");
        }
        match (swept, removed.failure) {
            (Ok(()), None) => Ok(Some(leftover)),
            (Ok(()), Some(error)) => Err(error.into()),
            (Err(error), _) => Err(error),
        }
    }

    async fn sweep_all(
        &self,
        leftover: &Leftover,
        removed: &mut Removed,
    ) -> Result<(), EngineError> {
        for prefix in OBJECT_PREFIXES {
            let mut listing = self.engine.objects.list(Some(&Path::from(prefix)));
            let mut batch = Vec::with_capacity(BATCH);
            while let Some(object) = listing.try_next().await? {
                if leftover.has_object(&object) {
                    batch.push(object);
                }
                if batch.len() == BATCH {
                    self.remove_unnamed(&mut batch, removed).await?;
                }
            }
            self.remove_unnamed(&mut batch, removed).await?;
        }
        Ok(())
    }

    async fn remove_unnamed(
        &self,
        batch: &mut Vec<ObjectMeta>,
        removed: &mut Removed,
    ) -> Result<(), EngineError> {
        let keys: Vec<String> = (batch.iter())
            .map(|object| object.location.to_string())
            .collect();
        let named = match keys.is_empty() {
            true => return Ok(()),
            false => {
                self.engine
                    .store
                    .read(move |tx| object::named_objects(tx, &keys))
                    .await?
            }
        };
        for object in batch.drain(..) {
            if named.contains(object.location.as_ref()) {
                continue;
            }
            match self.engine.objects.delete(&object.location).await {
                Ok(()) => removed.count(&object),
                Err(object_store::Error::NotFound { .. }) => {}
                Err(error) => removed.fail(error)?,
            }
        }
        Ok(())
    }
}

#[derive(Default)]
struct Removed {
    objects: u64,
    bytes: u64,
    failures: u32,
    failure: Option<object_store::Error>,
}

impl Removed {
    /// One object that cannot be removed does not keep the others. Many are the object store.
    fn fail(&mut self, error: object_store::Error) -> Result<(), EngineError> {
        self.failures += 1;
        if self.failures > FAILURES_MAX {
            return Err(error.into());
        }
        self.failure.get_or_insert(error);
        Ok(())
    }

    fn count(&mut self, object: &ObjectMeta) {
        self.objects += 1;
        self.bytes = self.bytes.saturating_add(object.size);
    }
}

/// Of what age and origin something is that nobody can be at work on any more.
#[derive(Debug, Clone, Copy)]
pub struct Leftover {
    /// Earlier ids may be another database's.
    since: Uuid,
    /// Later ids may be of work that is under way.
    until: Uuid,
    /// What was changed later is too young.
    modified: Timestamp,
}

impl Leftover {
    /// Whether something of that name, last changed at that time, belongs to no work that is under
    /// way. Whether a row names it is another question.
    pub fn has(&self, name: &str, modified: Timestamp) -> bool {
        let Ok(id) = name.parse::<ArtifactId>() else {
            return false;
        };
        let is_ours = id.uuid().get_version_num() == 7 && id.to_string() == name;
        is_ours && (self.since..self.until).contains(&id.uuid()) && modified <= self.modified
    }

    fn has_object(&self, object: &ObjectMeta) -> bool {
        let mut parts = object.location.parts();
        let (Some(_prefix), Some(name), None) = (parts.next(), parts.next(), parts.next()) else {
            return false;
        };
        let modified = Timestamp::from_millis(object.last_modified.timestamp_millis());
        self.has(name.as_ref(), modified)
    }
}

fn before(now: Timestamp, age: Duration) -> Timestamp {
    let age = i64::try_from(age.as_millis()).unwrap_or(i64::MAX);
    Timestamp::from_millis(now.as_millis().saturating_sub(age))
}

/// Knows an id that was made a day ago, or when the process started. Time is counted by the clock
/// that nobody sets, and ids of one process only grow.
struct Horizon {
    id: Uuid,
    next: Uuid,
    drawn: Instant,
}

impl Horizon {
    fn new(now: Instant, id: Uuid) -> Self {
        Self {
            id,
            next: id,
            drawn: now,
        }
    }

    fn at(&mut self, now: Instant, new_id: impl FnOnce() -> Uuid) -> Uuid {
        if now.duration_since(self.drawn) >= AGE {
            self.id = self.next;
            self.next = new_id();
            self.drawn = now;
        }
        self.id
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_horizon_is_an_id_of_a_day_ago_or_of_the_start() {
        let (start, hour) = (Instant::now(), Duration::from_secs(3600));
        let mut horizon = Horizon::new(start, Uuid::from_u128(0));
        let mut seen = Vec::new();
        for hours in [0, 23, 24, 47, 48, 71, 72] {
            let drawn = Uuid::from_u128(u128::from(hours));
            seen.push(horizon.at(start + hour * hours, || drawn).as_u128());
        }
        assert_eq!(seen, [0, 0, 0, 0, 24, 24, 48]);
    }

    #[test]
    fn only_names_that_attempts_make_are_leftovers() {
        let leftover = Leftover {
            since: Uuid::nil(),
            until: Uuid::max(),
            modified: Timestamp::from_millis(1000),
        };
        let has = |name: &str| leftover.has(name, Timestamp::from_millis(1000));
        assert!(has("0190b5c0-aa6a-7d0e-9c59-2f8a6b7c8d9e"));
        for foreign in [
            "",
            "whole",
            "0190B5C0-AA6A-7D0E-9C59-2F8A6B7C8D9E",
            "0190b5c0-aa6a-4d0e-9c59-2f8a6b7c8d9e",
            "0190b5c0-aa6a-7d0e-9c59-2f8a6b7c8d9e.zip",
            "0190b5c0aa6a7d0e9c592f8a6b7c8d9e",
        ] {
            assert!(!has(foreign), "{foreign}");
        }
        let young = Timestamp::from_millis(1001);
        assert!(!leftover.has("0190b5c0-aa6a-7d0e-9c59-2f8a6b7c8d9e", young));
    }
}
