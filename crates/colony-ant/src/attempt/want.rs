//! What an attempt does on a host that is short of descriptors, processes, memory or disk: that is
//! never the task's failure. Before the end of its commands it is given back to the queue, and what
//! its commands made is stored as soon as there is room.

use std::error::Error;
use std::io;
use std::sync::atomic::{AtomicU32, Ordering};
use std::time::Duration;

use tokio::time::Instant;

use super::{Attempt, Ending, Trouble};
use crate::config::Periods;
use crate::stop::{Level, Wish};

/// Pauses grow up to this.
const PAUSE_MAX: Duration = Duration::from_secs(30);

/// How many attempts in a row could not be made on this host.
#[derive(Debug, Default)]
pub(crate) struct Wants(AtomicU32);

impl Wants {
    fn more(&self) -> u32 {
        self.0.fetch_add(1, Ordering::Relaxed)
    }

    pub(super) fn over(&self) {
        self.0.store(0, Ordering::Relaxed);
    }
}

/// Whether the host is short of something, as far as an error or its causes say.
pub(super) fn is_want(error: &(dyn Error + 'static)) -> bool {
    want_of(error).is_some()
}

/// The error, or that of its causes, which says that the host is short of something.
pub(crate) fn want_of<'e>(error: &'e (dyn Error + 'static)) -> Option<&'e io::Error> {
    let mut cause = Some(error);
    while let Some(error) = cause {
        let here = error.downcast_ref::<io::Error>();
        if let Some(want) = here.filter(|error| colony_reaper::is_want(error)) {
            return Some(want);
        }
        cause = error.source();
    }
    None
}

/// The time between tries to store something.
pub(super) struct Patience {
    until: Instant,
    pause: Duration,
}

impl Patience {
    pub(super) fn new(periods: &Periods) -> Self {
        Self {
            until: Instant::now() + periods.want_patience,
            pause: periods.want_pause,
        }
    }

    /// Waits for the next try. False when there were enough.
    pub(super) async fn once_more(&mut self) -> bool {
        if Instant::now() >= self.until {
            return false;
        }
        tokio::time::sleep(self.pause).await;
        self.pause = (2 * self.pause).min(PAUSE_MAX);
        true
    }
}

impl Attempt<'_> {
    /// Keeps the room that the attempt has for a while, so that not the next one takes it at once,
    /// and gives the attempt back.
    pub(super) async fn give_back(&mut self, why: &str) -> Ending {
        let rounds = self.crew.wants.more() / self.crew.config.capacity.max(1);
        let pause = self.crew.config.periods.want_pause * 2_u32.pow(rounds.min(5));
        let pause = pause.min(PAUSE_MAX);
        tracing::warn!(
            attempt = %self.order.attempt,
            "this host is short of something: an attempt is given back in {pause:?}: {why}"
        );
        tokio::select! {
            () = tokio::time::sleep(pause) => Ending::GiveBack,
            wish = self.stop.above(Level::Run) => match wish {
                Wish::Abandon { .. } => Ending::Abandoned,
                _ => self.finish(Some(Trouble::Cancelled)).await,
            },
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::executor::StartError;
    use crate::objects::ObjectError;

    #[test]
    fn want_is_found_among_the_causes() {
        let full = || io::Error::from_raw_os_error(28);
        let store = object_store::Error::Generic {
            store: "local",
            source: Box::new(full()),
        };
        let key = "k".to_owned();
        assert!(is_want(&ObjectError::Store { key, source: store }));
        assert!(is_want(&StartError::Pipes(io::Error::from_raw_os_error(
            24
        ))));
        let missing = io::Error::from_raw_os_error(2);
        assert!(!is_want(&StartError::Pipes(missing)));
    }
}
