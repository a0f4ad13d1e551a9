//! The timers loop: delays that are over, deadlines that passed, leases that were not renewed, of jobs
//! and of programs alike.
//!
//! It sleeps until the next due time, and for ever when there is none.

use std::time::Duration;

use colony_core::id::{RequestId, RunId, TaskId};
use colony_core::text::with_causes;
use colony_core::time::Timestamp;
use colony_store::absence::{self, Absence};
use colony_store::lease::{self, DueLease, HolderKind, Lease};
use colony_store::timer::{self, Due, Timer, TimerKind};
use colony_store::{StoreError, Tx, job_run, request};

use crate::backoff::Backoff;
use crate::engine::Engine;
use crate::error::EngineError;
use crate::isolate::Subject;
use crate::presence::{DEADLINE_GRACE, LEASE_GRACE, Presence, TICK};
use crate::runs::{Fire, JobOverdue, Lose, Overdue};

/// Rows of each kind handled in one look.
const BATCH: u32 = 256;

/// What the loop remembers from one look to the next.
struct Loop {
    engine: Engine,
    presence: Presence,
    backoff: Backoff,
}

pub(crate) async fn run(engine: Engine) {
    let mut this = Loop {
        engine,
        presence: Presence::new(),
        backoff: Backoff::new("timers"),
    };
    loop {
        this.wait().await;
        this.look().await;
    }
}

impl Loop {
    /// Waits until something is due.
    async fn wait(&mut self) {
        loop {
            self.engine.follow_clock().await;
            let nudges = &self.engine.nudges;
            let Some(at) = nudges.timers_wake_at() else {
                // Nobody holds a lease: nothing is missed by being away.
                nudges.timers_called().await;
                self.presence = Presence::new();
                continue;
            };
            let rest = at.since(self.engine.now()).min(TICK);
            if rest.is_zero() {
                return;
            }
            tokio::select! {
                () = tokio::time::sleep(rest) => {}
                () = nudges.timers_called() => {}
            }
            self.presence.here(rest);
            if self.presence.missed().is_some() {
                return;
            }
        }
    }

    /// Handles what is due and notes when to look again.
    async fn look(&mut self) {
        let engine = self.engine.clone();
        engine.nudges.timers_look();
        match self.handle().await {
            Ok(next) => {
                self.backoff.reset();
                self.presence.here(Duration::ZERO);
                next.into_iter().for_each(|at| engine.nudges.due_at(at));
            }
            Err(error) => {
                tracing::error!("failed to fire timers: {}", with_causes(&error));
                self.backoff.pause().await;
                self.presence.in_vain();
                engine.nudges.due_at(engine.now());
            }
        }
    }

    /// Gives missed time back, and handles what is due then. Gives the next due time.
    ///
    /// It reads before it ends anything: when the database was away, it is this that took long, and
    /// leases get the time back.
    async fn handle(&mut self) -> Result<Option<Timestamp>, EngineError> {
        let engine = &self.engine;
        let due = engine.store.read(timer::next_due).await?;
        self.presence.here(Duration::ZERO);
        if let Some(missed) = self.presence.missed() {
            let now = engine.now();
            let grace = engine.settings.lease_duration.max(LEASE_GRACE);
            let absence = Absence {
                missed,
                expiry_min: now.after(grace),
            };
            let deadline_min = now.after(DEADLINE_GRACE);
            let given = engine
                .store
                .write(move |tx| absence::prolong_leases(tx, absence, deadline_min));
            given.await?;
            self.presence.settled(missed);
        }
        if due.is_none_or(|at| at > engine.now()) {
            return Ok(due);
        }
        fire(engine).await?;
        // There may be more, and what is due next is not known.
        Ok(Some(engine.now()))
    }
}

/// What is due.
pub(crate) struct DueNow {
    pub(crate) timers: Vec<Due>,
    pub(crate) expired: Vec<DueLease>,
    pub(crate) overdue: Vec<DueLease>,
    pub(crate) runs: Vec<RunId>,
}

impl DueNow {
    pub(crate) fn read(tx: &mut Tx<'_>, now: Timestamp) -> Result<Self, StoreError> {
        Ok(Self {
            timers: timer::due(tx, now, BATCH)?,
            expired: lease::expired(tx, now, BATCH)?,
            overdue: lease::overdue(tx, now, BATCH)?,
            runs: job_run::overdue_runs(tx, now, BATCH)?,
        })
    }
}

/// Handles what is due, as much as one look takes.
async fn fire(engine: &Engine) -> Result<(), EngineError> {
    let now = engine.now();
    let due = engine.store.read(move |tx| DueNow::read(tx, now)).await?;
    let mut tasks = Vec::new();
    fire_timers(engine, due.timers, &mut tasks).await?;
    expire(engine, due.expired, &mut tasks).await?;
    let mut overdue = Vec::new();
    for lease in due.overdue {
        let subject = Subject::Task(lease.task_id);
        match lease.lease {
            Ok(lease) => overdue.push((subject, Overdue { lease })),
            Err(error) => engine.give_up(subject, &error.into()).await?,
        }
    }
    engine.perform_each(overdue).await?;
    let runs = due.runs.into_iter();
    let runs = runs.map(|run_id| (Subject::Run(run_id), JobOverdue { run_id }));
    engine.perform_each(runs.collect()).await?;
    crate::ledger::tend(engine, tasks, now).await
}

/// Fires timers. Programs' tasks that are to be offered are added to `tasks`.
async fn fire_timers(
    engine: &Engine,
    due: Vec<Due>,
    tasks: &mut Vec<TaskId>,
) -> Result<(), EngineError> {
    let (mut requests, mut fires) = (Vec::new(), Vec::new());
    for Due { subject, timer } in due {
        match timer {
            Err(error) => {
                engine
                    .give_up(Subject::Unknown(subject), &error.into())
                    .await?;
            }
            Ok(timer) => match timer.kind {
                TimerKind::RequestDue => requests.push(timer),
                TimerKind::OfferDue => tasks.push(TaskId::new(subject)),
                TimerKind::TaskDue | TimerKind::JobRetryDue => {
                    fires.push((Subject::Unknown(subject), Fire { timer }));
                }
            },
        }
    }
    engine.perform_each(fires).await?;
    if !requests.is_empty() {
        requests_due(engine, requests).await?;
    }
    Ok(())
}

async fn requests_due(engine: &Engine, timers: Vec<Timer>) -> Result<(), EngineError> {
    let keys = engine.store.write(move |tx| make_due(tx, &timers)).await?;
    engine.nudges.schedule(keys);
    Ok(())
}

/// Requests that waited for a time are due. Gives their schedule keys.
pub(crate) fn make_due(tx: &mut Tx<'_>, timers: &[Timer]) -> Result<Vec<String>, StoreError> {
    let ids = timers.iter().map(|timer| RequestId::new(timer.subject));
    let ids: Vec<RequestId> = ids.collect();
    let keys = request::requests_due(tx, &ids)?;
    timer::remove(tx, timers)?;
    Ok(keys)
}

/// Holders that did not renew their leases have lost their attempts. Programs' tasks are added to
/// `tasks`.
async fn expire(
    engine: &Engine,
    expired: Vec<DueLease>,
    tasks: &mut Vec<TaskId>,
) -> Result<(), EngineError> {
    let (mut lost, mut kept) = (Vec::new(), Vec::new());
    for due in expired {
        let subject = Subject::Task(due.task_id);
        let lease = match due.lease {
            Ok(lease) => lease,
            Err(error) => {
                engine.give_up(subject, &error.into()).await?;
                continue;
            }
        };
        if !lease.of_job {
            tasks.push(due.task_id);
        } else if is_alive(engine, &lease) {
            kept.push(due.task_id);
        } else {
            lost.push((subject, lose(&lease)));
        }
    }
    if !kept.is_empty() {
        let expires_at = engine.now().after(engine.settings.lease_duration);
        let write = move |tx: &mut Tx<'_>| lease::extend(tx, &kept, expires_at);
        engine.store.write(write).await?;
        engine.nudges.due_at(expires_at);
    }
    engine.perform_each(lost).await
}

/// This process slept, or was slow: its own ant is as alive as it is.
pub(crate) fn is_alive(engine: &Engine, lease: &Lease) -> bool {
    lease.holder.kind == HolderKind::Ant
        && engine.ants.works_inside(&lease.holder.id, lease.attempt)
}

pub(crate) fn lose(lease: &Lease) -> Lose {
    let (attempt, holder) = (lease.attempt, &lease.holder);
    tracing::warn!(task.id = %attempt.task_id, holder = %holder, "lease expired");
    Lose {
        attempt,
        run_id: Some(lease.run_id),
        counts: true,
        unless_renewed: true,
        outcome: "lost",
        message: match holder.kind {
            HolderKind::Worker => "its worker did not renew its lease in time",
            HolderKind::Ant | HolderKind::Queen => "the ant that worked on it was lost",
        },
    }
}
