//! The offers loop: renders ready job tasks of method WORKER and puts them where workers claim
//! them.

use colony_core::id::{RunId, TaskId};
use colony_core::job::AttemptEnd;
use colony_core::time::Timestamp;
use colony_store::dispatch::{self, ClaimTasks, ReadyTask};
use colony_store::ledger::offer::Offer;
use colony_store::{Tx, job_run, worker_task};

use crate::action::Actions;
use crate::backoff::Backoff;
use crate::engine::Engine;
use crate::error::EngineError;
use crate::isolate::Subject;
use crate::order::{Prepared, Rendered, TaskInput, WorkerOffer};
use crate::report::end_attempt;

/// Tasks rendered between two looks.
const BATCH: u32 = 64;
/// Who holds the lease of a task that ends without being offered.
const QUEEN: &str = "queen";

pub(crate) async fn run(engine: Engine) {
    let mut backoff = Backoff::new("offers");
    loop {
        let offered = offer_ready(&engine).await;
        if offered.is_ok() {
            backoff.reset();
        }
        match offered {
            Ok(0) => engine.nudges.offers.notified().await,
            Ok(_) => {}
            Err(error) => {
                tracing::error!("failed to offer tasks to workers: {error}");
                backoff.pause().await;
            }
        }
    }
}

/// A ready task and what becomes of it.
struct Step {
    ready: ReadyTask,
    name: String,
    outcome: Outcome,
}

enum Outcome {
    Offered(Box<(WorkerOffer, Rendered)>),
    Ended(AttemptEnd),
}

/// Offers the first ready tasks. Returns how many there were.
async fn offer_ready(engine: &Engine) -> Result<usize, EngineError> {
    let inside = engine.clone();
    let loaded: Vec<(ReadyTask, Result<TaskInput, EngineError>)> = engine
        .store
        .read(move |tx| {
            let mut loaded = Vec::new();
            for ready in worker_task::ready_tasks(tx, BATCH)? {
                match TaskInput::load(tx, &inside, ready.run_id, ready.task_id) {
                    // Reading goes on after a row that cannot be read.
                    Err(error) if error.is_about_rows() => loaded.push((ready, Err(error))),
                    input => loaded.push((ready, Ok(input?))),
                }
            }
            Ok::<_, EngineError>(loaded)
        })
        .await?;
    let count = loaded.len();
    if count == 0 {
        return Ok(0);
    }
    let mut steps = Vec::with_capacity(count);
    for (ready, input) in loaded {
        match input {
            Ok(input) => steps.push(step(engine, ready, &input)),
            Err(error) => engine.give_up(Subject::Task(ready.task_id), &error).await?,
        }
    }
    let (inside, now) = (engine.clone(), engine.now());
    let (actions, offered) = engine
        .round(move |tx, focus| {
            let (mut actions, mut offered) = (Actions::default(), Vec::new());
            for step in &steps {
                focus.on(tx, Subject::Task(step.ready.task_id))?;
                offered.extend(step.store(tx, &inside, now, &mut actions)?);
            }
            Ok((actions, offered))
        })
        .await?;
    actions.carry_out(engine);
    if let Some(signals) = engine.ledger_signals() {
        for (run_id, offer) in &offered {
            signals.job_task_offered(*run_id, offer);
        }
    }
    Ok(count)
}

fn step(engine: &Engine, ready: ReadyTask, input: &TaskInput) -> Step {
    let outcome = match input.prepare(engine) {
        Prepared::Rendered(rendered) => {
            let offer = input.offer(&ready, &rendered);
            Outcome::Offered(Box::new((offer, *rendered)))
        }
        Prepared::Ended(end) => Outcome::Ended(end),
    };
    let name = input.task_name().to_owned();
    Step {
        ready,
        name,
        outcome,
    }
}

impl Step {
    /// Stores what becomes of the task, unless it was withdrawn meanwhile. Gives its place in the
    /// queue of workers.
    fn store(
        &self,
        tx: &mut Tx<'_>,
        engine: &Engine,
        now: Timestamp,
        actions: &mut Actions,
    ) -> Result<Option<(RunId, Offer)>, EngineError> {
        // The run before its tasks, as everywhere.
        let run = job_run::lock_job_run(tx, self.ready.run_id)?;
        if !worker_task::take_ready(tx, &self.ready)? || run.is_none() {
            return Ok(None);
        }
        match &self.outcome {
            Outcome::Offered(offered) => {
                let (
                    WorkerOffer {
                        offer,
                        input,
                        metadata,
                    },
                    rendered,
                ) = &**offered;
                if let Some(control) = rendered.changed_control() {
                    job_run::set_control(tx, self.ready.run_id, &self.name, control)?;
                }
                worker_task::offer_task(tx, offer, (input, metadata), now)?;
                Ok(Some((self.ready.run_id, offer.clone())))
            }
            Outcome::Ended(end) => {
                self.end(tx, engine, end, now, actions)?;
                Ok(None)
            }
        }
    }

    /// A task that no worker needs to see: skipped, or impossible.
    fn end(
        &self,
        tx: &mut Tx<'_>,
        engine: &Engine,
        end: &AttemptEnd,
        now: Timestamp,
        actions: &mut Actions,
    ) -> Result<(), EngineError> {
        let claim = ClaimTasks {
            queue: self.ready.queue.clone(),
            holder: QUEEN.to_owned(),
            host: String::new(),
            now,
            expires_at: now,
        };
        let task: TaskId = self.ready.task_id;
        let place = (task, self.ready.run_id);
        let leased = dispatch::lease_task(tx, &claim, place, self.ready.timeout_ms)?;
        if let Some(lease) = leased {
            end_attempt(tx, engine, lease.attempt, end.clone(), None, now, actions)?;
        }
        Ok(())
    }
}
