//! The timers loop: delays that are over, deadlines that passed, leases that were not renewed.
//!
//! It sleeps until the next due time, and for ever when there is none.

use std::time::Duration;

use colony_core::id::{RequestId, RunId};
use colony_core::job::Event;
use colony_core::time::Timestamp;
use colony_store::Tx;
use colony_store::absence::{self, Absence};
use colony_store::dispatch::{self, Lease};
use colony_store::job_run;
use colony_store::request;
use colony_store::timer::{self, Timer, TimerKind};
use colony_store::worker_task;

use crate::action::Actions;
use crate::advance::advance;
use crate::ant::Lost;
use crate::backoff::Backoff;
use crate::engine::Engine;
use crate::error::EngineError;
use crate::isolate::{Focus, Subject};
use crate::presence::{DEADLINE_GRACE, Presence, TICK};

/// Rows of each kind handled in one transaction.
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
                tracing::error!("failed to fire timers: {error}");
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
            let absence = Absence {
                missed,
                expiry_min: now.after(engine.settings.lease_duration),
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

/// Handles what is due, as much as one transaction takes.
async fn fire(engine: &Engine) -> Result<(), EngineError> {
    let now = engine.now();
    let inside = engine.clone();
    let actions = engine
        .round(move |tx, focus| {
            let mut firing = Firing {
                engine: &inside,
                focus,
                now,
                actions: Actions::default(),
            };
            firing.timers(tx)?;
            firing.expired_leases(tx)?;
            firing.overdue_leases(tx)?;
            firing.overdue_runs(tx)?;
            Ok(firing.actions)
        })
        .await?;
    actions.carry_out(engine);
    Ok(())
}

struct Firing<'a> {
    engine: &'a Engine,
    focus: &'a Focus,
    now: Timestamp,
    actions: Actions,
}

impl Firing<'_> {
    fn timers(&mut self, tx: &mut Tx<'_>) -> Result<(), EngineError> {
        let due = timer::due(tx, self.now, BATCH)?;
        for due in due {
            self.focus.on(tx, Subject::Unknown(due.subject))?;
            let timer = due.timer?;
            timer::remove(tx, &timer)?;
            self.timer(tx, timer)?;
        }
        Ok(())
    }

    fn timer(&mut self, tx: &mut Tx<'_>, timer: Timer) -> Result<(), EngineError> {
        let run_id = RunId::new(timer.subject);
        match timer.kind {
            TimerKind::RequestDue => {
                let id = RequestId::new(timer.subject);
                self.focus.on(tx, Subject::Request(id))?;
                request::request_due(tx, id)?;
                self.actions.schedule = true;
                Ok(())
            }
            TimerKind::TaskDue => self.event(tx, run_id, Event::TaskDue { task: timer.detail }),
            TimerKind::JobRetryDue => self.event(tx, run_id, Event::JobRetryDue),
        }
    }

    /// An ant that stopped sending heartbeats has lost its attempts.
    fn expired_leases(&mut self, tx: &mut Tx<'_>) -> Result<(), EngineError> {
        self.focus.off(tx)?;
        let leases = dispatch::expired_leases(tx, self.now, BATCH)?;
        for lease in leases {
            self.focus.on(tx, Subject::Task(lease.attempt.task_id))?;
            if self.engine.ants.works_inside(&lease.holder, lease.attempt) {
                self.keep(tx, &lease)?;
            } else {
                self.lose(tx, lease)?;
            }
        }
        Ok(())
    }

    /// This process slept, or was slow: its own ant is as alive as it is.
    fn keep(&mut self, tx: &mut Tx<'_>, lease: &Lease) -> Result<(), EngineError> {
        let expires_at = self.now.after(self.engine.settings.lease_duration);
        dispatch::renew_leases(tx, &[lease.attempt], expires_at)?;
        self.actions.due(expires_at);
        Ok(())
    }

    fn lose(&mut self, tx: &mut Tx<'_>, lease: Lease) -> Result<(), EngineError> {
        tracing::warn!(task.id = %lease.attempt.task_id, holder = %lease.holder, "lease expired");
        if dispatch::end_lease(tx, lease.attempt)?.is_none() {
            return Ok(());
        }
        let message = if worker_task::is_worker(&lease.holder) {
            "its worker did not renew its lease in time"
        } else {
            "the ant that worked on it was lost"
        };
        let lost = Lost {
            lease,
            counts: true,
            outcome: "lost",
            message,
        };
        lost.store(tx, self.engine, self.now, &mut self.actions)
    }

    fn overdue_leases(&mut self, tx: &mut Tx<'_>) -> Result<(), EngineError> {
        self.focus.off(tx)?;
        let leases = dispatch::take_overdue_leases(tx, self.now, BATCH)?;
        for lease in leases {
            self.focus.on(tx, Subject::Task(lease.attempt.task_id))?;
            let name = job_run::task_name(tx, lease.run_id, lease.attempt.task_id)?;
            if let Some(task) = name {
                self.event(tx, lease.run_id, Event::TaskTimedOut { task })?;
            }
        }
        Ok(())
    }

    fn overdue_runs(&mut self, tx: &mut Tx<'_>) -> Result<(), EngineError> {
        self.focus.off(tx)?;
        let runs = job_run::take_overdue_runs(tx, self.now, BATCH)?;
        for run_id in runs {
            self.event(tx, run_id, Event::JobTimedOut)?;
        }
        Ok(())
    }

    /// A run that cannot go on ends, and does not hold up the others.
    fn event(&mut self, tx: &mut Tx<'_>, run_id: RunId, event: Event) -> Result<(), EngineError> {
        self.focus.on(tx, Subject::Run(run_id))?;
        advance(tx, self.engine, run_id, event, self.now, &mut self.actions)?;
        Ok(())
    }
}
