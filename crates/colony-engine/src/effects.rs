//! What is to be done once a transaction is committed.

use std::collections::BTreeSet;

use colony_core::id::{AttemptRef, RequestId, RunId, TaskId};
use colony_core::time::Timestamp;
use colony_store::queue::QueuedTask;
use tokio::sync::mpsc;

use crate::dispatcher::{self, Claimed};
use crate::engine::Engine;
use crate::event::RunEventKind;
use crate::isolate::Subject;

/// What a committed change asks for. Every part of it is safe to lose: loops find the same in the
/// rows when they look next.
#[derive(Debug, Default)]
pub(crate) struct Effects {
    /// Schedule keys under which a request is due.
    pub(crate) due_keys: BTreeSet<String>,
    /// Schedule keys of which a slot is free again.
    pub(crate) freed: BTreeSet<String>,
    /// A request began to wait for an ant, which may have come meanwhile.
    pub(crate) unserved: bool,
    /// A task waits for an ant.
    pub(crate) dispatch: bool,
    /// A task waits to be rendered.
    pub(crate) render: bool,
    /// Tasks of jobs that wait for workers.
    pub(crate) offered: Vec<QueuedTask>,
    /// The earliest time at which something new is due.
    pub(crate) due_at: Option<Timestamp>,
    /// Attempts to stop: which ant runs them, and why.
    pub(crate) stops: Vec<(String, AttemptRef, &'static str)>,
    /// Attempts that are over: what they wrote is stored, or lost with them.
    pub(crate) ended: Vec<AttemptRef>,
    /// Requests of which more can be read than before: their end, or the log of an attempt.
    pub(crate) wakes: Vec<RequestId>,
    /// For watchers.
    pub(crate) events: Vec<(RequestId, RunEventKind)>,
    /// Runs that changed, for those who follow them through the Runs API.
    pub(crate) changes: Vec<(RunId, Vec<TaskId>)>,
    /// Tasks that were leased to ants.
    pub(crate) claimed: Vec<Claimed>,
    /// Places at ants that were kept and not needed.
    pub(crate) room_left: Vec<(String, u32)>,
    /// What cannot go on, and why.
    pub(crate) guilty: Vec<(Subject, String)>,
}

impl Effects {
    /// Something is due at `at`.
    pub(crate) fn due(&mut self, at: Timestamp) {
        self.due_at = Some(self.due_at.map_or(at, |earlier| earlier.min(at)));
    }

    /// Takes over what `other` asks for.
    pub(crate) fn extend(&mut self, other: Self) {
        self.due_keys.extend(other.due_keys);
        self.freed.extend(other.freed);
        self.unserved |= other.unserved;
        self.dispatch |= other.dispatch;
        self.render |= other.render;
        self.offered.extend(other.offered);
        if let Some(at) = other.due_at {
            self.due(at);
        }
        self.stops.extend(other.stops);
        self.ended.extend(other.ended);
        self.wakes.extend(other.wakes);
        self.events.extend(other.events);
        self.changes.extend(other.changes);
        self.claimed.extend(other.claimed);
        self.room_left.extend(other.room_left);
        self.guilty.extend(other.guilty);
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
        let nudges = &engine.nudges;
        if !self.due_keys.is_empty() {
            nudges.schedule(self.due_keys);
        }
        for key in self.freed {
            nudges.slot_freed(key);
        }
        if let Some(at) = self.due_at {
            nudges.due_at(at);
        }
        for (run_id, tasks) in self.changes {
            engine.signals.job_changed(run_id, &tasks);
        }
        for offered in self.offered {
            engine.signals.job_task_offered(&offered);
        }
        for (holder, attempt, reason) in self.stops {
            engine.ants.stop(&holder, attempt, reason.to_owned());
        }
        dispatcher::send_all(engine, self.claimed);
        if engine.ants.free(self.room_left) {
            nudges.room_freed();
        }
        if self.dispatch {
            nudges.dispatcher.notify_one();
        }
        if self.render {
            nudges.render.notify_one();
        }
        if self.unserved {
            nudges.look_for_ants();
        }
        if !self.guilty.is_empty() {
            engine.give_up_soon(self.guilty);
        }
    }
}

/// Carries out what committed operations want done, in the order of their commits.
pub(crate) async fn run(engine: Engine, mut effects: mpsc::UnboundedReceiver<Effects>) {
    while let Some(effects) = effects.recv().await {
        effects.carry_out(&engine);
    }
}
