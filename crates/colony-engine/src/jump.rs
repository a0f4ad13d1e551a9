//! Following the wall clock after it was set.
//!
//! The engine's clock runs evenly, so a jump changes nothing at first: leases, delays and limits go
//! on. Then all stored times that are counted from some moment are moved by the jump, in one
//! transaction, and the clock with them. Moments that users named are not moved.
//!
//! A jump is noticed when somebody looks: loops do as long as something is due, and the program when
//! the system tells it.

use std::sync::Arc;

use colony_core::id::IdSource;
use colony_core::text::with_causes;
use colony_core::time::{Clock, TimeShift, Timestamp};
use colony_store::{Store, StoreError, clock_shift};
use tokio::sync::Mutex;
use uuid::Uuid;

use crate::engine::Engine;

/// A time that is over by any clock.
pub(crate) const LONG_AGO: Timestamp = Timestamp::from_millis(0);

/// Moves stored times, one jump after the other.
pub(crate) struct Follower {
    store: Store,
    clock: Arc<dyn Clock>,
    ids: Arc<dyn IdSource>,
    /// A move that was begun and may or may not be stored.
    begun: Mutex<Option<(TimeShift, Uuid)>>,
}

impl Follower {
    pub(crate) fn new(store: Store, clock: Arc<dyn Clock>, ids: Arc<dyn IdSource>) -> Self {
        Self {
            store,
            clock,
            ids,
            begun: Mutex::default(),
        }
    }

    /// True when there was a jump: whoever sleeps until some time has to look again.
    pub(crate) async fn follow(&self) -> Result<bool, StoreError> {
        if self.clock.look_at_wall().is_none() {
            return Ok(false);
        }
        let mut begun = self.begun.lock().await;
        let (shift, nonce) = match *begun {
            Some(begun) => begun,
            // Another loop may have followed it meanwhile.
            None => match self.clock.look_at_wall() {
                None => return Ok(true),
                Some(shift) => *begun.insert((shift, self.ids.next_uuid())),
            },
        };
        tracing::warn!(%shift, "the clock of this machine was set; running work is not affected");
        let store = move |tx: &mut colony_store::Tx<'_>| clock_shift::shift_times(tx, shift, nonce);
        self.store.write(store).await?;
        self.clock.follow(shift);
        *begun = None;
        Ok(true)
    }
}

impl Engine {
    /// Looks whether the wall clock was set, and follows it. Somebody who learns of it at once may
    /// call this; the engine's loops do so while they wait for something.
    pub async fn follow_clock(&self) {
        match self.follower.follow().await {
            Ok(false) => {}
            Ok(true) => {
                self.nudges.due_at(LONG_AGO);
            }
            Err(error) => {
                tracing::error!(
                    "failed to move times after a jump of the clock: {}",
                    with_causes(&error)
                );
            }
        }
    }
}
