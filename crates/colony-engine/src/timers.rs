//! The timers loop: delays that are over, deadlines that passed, leases that were not renewed.
//!
//! It sleeps until the next due time, and for ever when there is none.

use std::time::Duration;

use colony_core::id::{RequestId, RunId};
use colony_core::job::Event;
use colony_core::time::Timestamp;
use colony_store::Tx;
use colony_store::dispatch::{self, Lease};
use colony_store::job_run;
use colony_store::request;
use colony_store::timer::{self, Timer, TimerKind};
use colony_store::worker_task;

use crate::action::Actions;
use crate::advance::advance;
use crate::ant::Lost;
use crate::engine::Engine;
use crate::error::EngineError;
use crate::isolate::{Focus, Subject};

/// Rows of each kind handled in one transaction.
const BATCH: u32 = 256;
/// Pause after a failure of the database.
const FAILURE_PAUSE: Duration = Duration::from_secs(1);

pub(crate) async fn run(engine: Engine) {
    loop {
        let Some(at) = engine.nudges.timers_wake_at() else {
            engine.nudges.timers_called().await;
            continue;
        };
        let rest = at.since(engine.now());
        if rest.is_zero() {
            look(&engine).await;
            continue;
        }
        tokio::select! {
            () = tokio::time::sleep(rest) => {}
            () = engine.nudges.timers_called() => {}
        }
    }
}

/// Handles what is due and notes when to look again.
async fn look(engine: &Engine) {
    engine.nudges.timers_look();
    let next = match fire(engine).await {
        // A full batch: there may be more.
        Ok(true) => Ok(Some(engine.now())),
        Ok(false) => engine
            .store
            .read(timer::next_due)
            .await
            .map_err(EngineError::from),
        Err(error) => Err(error),
    };
    match next {
        Ok(next) => next.into_iter().for_each(|at| engine.nudges.due_at(at)),
        Err(error) => {
            tracing::error!("failed to fire timers: {error}");
            tokio::time::sleep(FAILURE_PAUSE).await;
            engine.nudges.due_at(engine.now());
        }
    }
}

/// Handles what is due. True when a batch was full.
async fn fire(engine: &Engine) -> Result<bool, EngineError> {
    let now = engine.now();
    let inside = engine.clone();
    let (actions, full) = engine
        .round(move |tx, focus| {
            let mut firing = Firing {
                engine: &inside,
                focus,
                now,
                actions: Actions::default(),
                full: false,
            };
            firing.timers(tx)?;
            firing.expired_leases(tx)?;
            firing.overdue_leases(tx)?;
            firing.overdue_runs(tx)?;
            Ok((firing.actions, firing.full))
        })
        .await?;
    actions.carry_out(engine);
    Ok(full)
}

struct Firing<'a> {
    engine: &'a Engine,
    focus: &'a Focus,
    now: Timestamp,
    actions: Actions,
    full: bool,
}

impl Firing<'_> {
    fn timers(&mut self, tx: &mut Tx<'_>) -> Result<(), EngineError> {
        let due = timer::due(tx, self.now, BATCH)?;
        self.note_batch(due.len());
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
        self.note_batch(leases.len());
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
        self.note_batch(leases.len());
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
        self.note_batch(runs.len());
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

    fn note_batch(&mut self, rows: usize) {
        self.full |= rows >= usize::try_from(BATCH).unwrap_or(usize::MAX);
    }
}
