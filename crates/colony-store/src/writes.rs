//! Everything that one transaction of the engine writes, gathered before anything is written, so that
//! each table is written to once.

use std::collections::BTreeMap;

use colony_core::id::{RequestId, TaskId};
use colony_core::time::Timestamp;
use uuid::Uuid;

use crate::artifact::{self, ArtifactRow};
use crate::attempt::{self, EndedAttempt};
use crate::context::{self, NewContext};
use crate::error::StoreError;
use crate::job_run::{self, RunWrite};
use crate::lease::{self, Lease};
use crate::params;
use crate::queue::{self, QueuedTask};
use crate::request::{self, NewRequest, RequestChange};
use crate::timer::{self, Timer};
use crate::tx::Tx;

/// Rows to be written.
#[derive(Debug, Default)]
pub struct Writes {
    /// New requests.
    pub requests: Vec<NewRequest>,
    /// What becomes of others.
    pub request_changes: Vec<(RequestId, RequestChange)>,
    /// Runs of jobs, with their tasks.
    pub runs: Vec<RunWrite>,
    /// Tasks that wait from now on.
    pub queued: Vec<QueuedTask>,
    /// Tasks that do not wait any more.
    pub unqueued: Vec<QueuedTask>,
    /// New leases.
    pub leases: Vec<Lease>,
    /// Tasks whose lease is over.
    pub unleased: Vec<TaskId>,
    /// Tasks whose holder is asked to stop, and the word for why.
    pub stops: Vec<(TaskId, &'static str)>,
    /// Until when the attempts of leased tasks may last.
    pub deadlines: Vec<(TaskId, Option<Timestamp>)>,
    /// Attempts that are over.
    pub attempts: Vec<EndedAttempt>,
    /// Timers to be set.
    pub timers: Vec<Timer>,
    /// Timers that have fired.
    pub fired: Vec<Timer>,
    /// Requests, runs and tasks without timers from now on.
    pub timeless: Vec<Uuid>,
    /// Stored outputs.
    pub artifacts: Vec<ArtifactRow>,
    /// Exported values.
    pub contexts: Vec<NewContext>,
    /// How the numbers of slots in use move, by schedule key.
    pub slots: BTreeMap<String, i64>,
}

impl Writes {
    /// Takes over what `other` writes, after what is here already.
    pub fn extend(&mut self, other: Self) {
        self.requests.extend(other.requests);
        self.request_changes.extend(other.request_changes);
        self.runs.extend(other.runs);
        other
            .unqueued
            .into_iter()
            .for_each(|place| self.unqueue(place));
        self.queued.extend(other.queued);
        self.leases.extend(other.leases);
        self.unleased.extend(other.unleased);
        self.stops.extend(other.stops);
        self.deadlines.extend(other.deadlines);
        self.attempts.extend(other.attempts);
        (other.fired.into_iter()).for_each(|timer| self.take_timer_back(timer));
        (other.timeless.into_iter()).for_each(|subject| self.clear_timers(subject));
        self.timers.extend(other.timers);
        self.artifacts.extend(other.artifacts);
        self.contexts.extend(other.contexts);
        for (key, change) in other.slots {
            self.move_slots(key, change);
        }
    }

    /// A task does not wait any more. One that was to wait a moment ago is never stored.
    pub fn unqueue(&mut self, place: QueuedTask) {
        let before = self.queued.len();
        let is_it =
            |queued: &QueuedTask| queued.task_id == place.task_id && queued.key == place.key;
        self.queued.retain(|queued| !is_it(queued));
        if self.queued.len() == before {
            self.unqueued.push(place);
        }
    }

    /// A timer is not to fire any more, wherever it is.
    pub fn take_timer_back(&mut self, timer: Timer) {
        let place = |timer: &Timer| (timer.subject, timer.kind, timer.detail.clone());
        let gone = place(&timer);
        self.timers.retain(|set| place(set) != gone);
        self.fired.push(timer);
    }

    /// A request, run or task has no timers any more.
    pub fn clear_timers(&mut self, subject: Uuid) {
        self.timers.retain(|set| set.subject != subject);
        self.timeless.push(subject);
    }

    /// The number of slots in use of a schedule key grows by `change`.
    pub fn move_slots(&mut self, key: String, change: i64) {
        *self.slots.entry(key).or_default() += change;
    }

    /// Writes all of it.
    ///
    /// # Errors
    ///
    /// The database refused it.
    pub fn save(self, tx: &mut Tx<'_>, now: Timestamp) -> Result<(), StoreError> {
        request::insert_requests(tx, &self.requests)?;
        job_run::insert_runs(tx, &self.runs)?;
        job_run::update_runs(tx, &self.runs)?;
        job_run::insert_tasks(tx, &self.runs)?;
        job_run::update_tasks(tx, &self.runs)?;
        queue::remove(tx, &self.unqueued)?;
        queue::insert(tx, &self.queued)?;
        lease::remove(tx, &self.unleased)?;
        lease::insert(tx, &self.leases)?;
        lease::ask_to_stop(tx, &self.stops)?;
        lease::set_deadlines(tx, &self.deadlines)?;
        attempt::insert(tx, &self.attempts)?;
        timer::remove(tx, &self.fired)?;
        timer::clear(tx, &self.timeless)?;
        timer::set(tx, &latest(self.timers))?;
        artifact::insert(tx, &self.artifacts)?;
        context::insert(tx, &self.contexts)?;
        request::change_requests(tx, &self.request_changes, now)?;
        save_slots(tx, &self.slots)
    }
}

/// Of several timers of one kind, subject and detail the last one.
fn latest(timers: Vec<Timer>) -> Vec<Timer> {
    let mut by_place = BTreeMap::new();
    for timer in timers {
        by_place.insert((timer.subject, timer.kind, timer.detail.clone()), timer);
    }
    by_place.into_values().collect()
}

/// The rows are locked in the order of their keys, as everywhere.
fn save_slots(tx: &mut Tx<'_>, slots: &BTreeMap<String, i64>) -> Result<(), StoreError> {
    let moved: Vec<_> = slots.iter().filter(|(_, change)| **change != 0).collect();
    tx.send_rows(
        "INSERT INTO slots (schedule_key, taken) VALUES {rows: text, int} \
         ON CONFLICT (schedule_key) DO UPDATE SET taken = slots.taken + excluded.taken",
        &[],
        &moved,
        |(key, change)| params![*key, *change],
    )
}
