//! How the loop comes to its end: no new work, then no work, then no process.

use std::time::Duration;

use colony_core::id::AttemptRef;
use colony_wire::AntMessage;
use tokio::time::Instant;

use super::{Hub, Slot};
use crate::ant::timetable::arm;
use crate::stop::Wish;

/// After a hard stop: time for killed processes to go, for reports to be acknowledged, and for
/// messages to leave, on top of the grace between soft and hard.
const GIVE_UP_AFTER: Duration = Duration::from_secs(3);

impl Hub {
    pub(super) fn link_is_gone(&mut self) {
        self.link_closed = true;
        self.stop_all("the queen is gone");
    }

    pub(super) fn drain(&mut self) {
        self.draining = true;
        arm(
            &mut self.times.hard_stop,
            self.crew.config.periods.drain_grace,
        );
    }

    pub(super) fn stop_all(&mut self, reason: &str) {
        self.draining = true;
        self.stopped = true;
        self.times.hard_stop = None;
        let patience = self.crew.config.periods.stop_grace + GIVE_UP_AFTER;
        arm(&mut self.times.give_up, patience);
        for slot in self.slots.values_mut() {
            if let Slot::Running {
                wishes, give_back, ..
            } = slot
            {
                *give_back = true;
                let reason = reason.to_owned();
                wishes.make(Wish::Abandon { reason });
            }
        }
    }

    pub(super) fn is_done(&self) -> bool {
        let gave_up = self.times.give_up.is_some_and(|at| at <= Instant::now());
        let told = self.outbox.is_empty() && self.slots.is_empty();
        let nobody_listens = self.link_closed && self.running().next().is_none();
        self.draining && (gave_up || told || nobody_listens)
    }

    /// Drops what did not stop: its reapers kill it.
    pub(super) async fn leave(&mut self) {
        let unfinished: Vec<AttemptRef> = self.running().collect();
        self.attempts.shutdown().await;
        for attempt in unfinished {
            tracing::error!(%attempt, "an attempt did not stop in time");
            // A queen that does not listen learns it from the lease.
            let _ = self
                .crew
                .to_queen
                .try_send(AntMessage::GiveBack { attempt });
        }
        self.slots.clear();
    }
}
