//! What is to be done once a transaction is committed.

use std::collections::BTreeMap;

use colony_core::id::{AttemptRef, RequestId, RunId, TaskId};
use colony_core::time::Timestamp;

use crate::engine::Engine;
use crate::event::RunEventKind;
use crate::ledger::Signals;

/// What a committed change asks for. Every part of it is safe to lose: loops find the same in the
/// rows when they look next.
#[derive(Debug, Default)]
pub(crate) struct Actions {
    /// A request became eligible or a slot free.
    pub(crate) schedule: bool,
    /// A run gave back its slot.
    pub(crate) slot_freed: bool,
    /// A task became ready.
    pub(crate) dispatch: bool,
    /// A task became ready for a worker.
    pub(crate) offer: bool,
    /// The earliest time at which something new is due.
    pub(crate) due_at: Option<Timestamp>,
    /// Attempts to stop: who runs them, and why.
    pub(crate) stops: Vec<(String, AttemptRef, String)>,
    /// Attempts that are over: what they wrote is stored, or lost with them.
    pub(crate) ended: Vec<AttemptRef>,
    /// Requests of which more can be read than before: their end, or the log of an attempt.
    pub(crate) wakes: Vec<RequestId>,
    /// For watchers.
    pub(crate) events: Vec<(RequestId, RunEventKind)>,
    /// Runs that changed, for those who follow them through the Runs API.
    changes: Vec<(RunId, Vec<TaskId>)>,
}

impl Actions {
    /// Something is due at `at`.
    pub(crate) fn due(&mut self, at: Timestamp) {
        self.due_at = Some(self.due_at.map_or(at, |earlier| earlier.min(at)));
    }

    /// A run changed, whose tasks are these.
    pub(crate) fn note_change(
        &mut self,
        engine: &Engine,
        run_id: RunId,
        tasks: BTreeMap<String, TaskId>,
    ) {
        if engine.ledger_signals().is_some_and(Signals::is_watched) {
            self.changes.push((run_id, tasks.into_values().collect()));
        }
    }

    /// Does it all.
    pub(crate) fn carry_out(self, engine: &Engine) {
        // Watchers first: they hear of the end of a task before the start of the next.
        for (request_id, kind) in self.events {
            engine.tell(request_id, kind);
        }
        for attempt in self.ended {
            engine.live_logs.forget(attempt);
        }
        for request_id in self.wakes {
            engine.waiters.wake(request_id);
        }
        if self.dispatch {
            engine.nudges.dispatcher.notify_one();
        }
        if self.offer {
            engine.nudges.offers.notify_one();
        }
        if self.schedule {
            engine.nudges.scheduler.notify_one();
        }
        if self.slot_freed {
            engine.nudges.slot_freed();
        }
        if let Some(at) = self.due_at {
            engine.nudges.due_at(at);
        }
        if let Some(signals) = engine.ledger_signals() {
            for (run_id, tasks) in self.changes {
                signals.job_changed(run_id, &tasks);
            }
        }
        for (holder, attempt, reason) in self.stops {
            engine.ants.stop(&holder, attempt, reason);
        }
    }
}
