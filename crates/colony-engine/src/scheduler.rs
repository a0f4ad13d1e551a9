//! The scheduler loop: picks due requests by priority and age within limits, and launches runs
//! (`job-definitions` 8.2, with the rulings of the design: nothing is polled or pushed back).

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use colony_core::id::{DefinitionId, RunId};
use colony_core::job::{Event, JobError, JobRun, Phase};
use colony_core::plan::{DEFAULT_MAX_CONCURRENCY, TaskPlan};
use colony_core::state::JobState;
use colony_core::time::Timestamp;
use colony_core::{error_code, method::Method};
use colony_store::definition::{self, DefinitionRow};
use colony_store::job_run::{self, JobRunRow, NewJobRun};
use colony_store::request::{self, RequestRow};
use colony_store::{Tx, schedule};

use crate::action::Actions;
use crate::advance::{advance_locked, queue_of};
use crate::ant::AntRoom;
use crate::backoff::Backoff;
use crate::compile::Compiled;
use crate::dispatcher::{self, Room};
use crate::engine::Engine;
use crate::error::EngineError;
use crate::event::RunEventKind;
use crate::isolate::{Focus, Subject};
use crate::tags;

/// Launches in one transaction.
const BATCH: u32 = 64;
/// What the loop is called for.
enum Call {
    /// Something may be launched.
    Schedule,
    /// Something may be leased.
    Dispatch,
}

/// Launches and leases. One loop does both, so that a task is leased in the transaction that makes
/// it ready, and so that room is not given away twice.
pub(crate) async fn run(engine: Engine) {
    let mut call = Call::Schedule;
    let mut backoff = Backoff::new("scheduler");
    loop {
        let done = match call {
            Call::Schedule => launch_due(&engine).await,
            Call::Dispatch => dispatcher::lease_ready(&engine).await.map(|()| true),
        };
        if done.is_ok() {
            backoff.reset();
        }
        call = match (done, call) {
            (Ok(true), _) => called(&engine).await,
            (Ok(false), call) => call,
            (Err(error), call) => {
                tracing::error!("failed to schedule: {error}");
                backoff.pause().await;
                // Tried again, but what cannot be launched must not hold up what is ready.
                match call {
                    Call::Schedule => {
                        engine.nudges.scheduler.notify_one();
                        Call::Dispatch
                    }
                    Call::Dispatch => {
                        engine.nudges.dispatcher.notify_one();
                        Call::Schedule
                    }
                }
            }
        };
    }
}

async fn called(engine: &Engine) -> Call {
    tokio::select! {
        biased;
        () = engine.nudges.scheduler.notified() => Call::Schedule,
        () = engine.nudges.dispatcher.notified() => Call::Dispatch,
    }
}

/// Launches what may run now, and leases what is ready then. False when there may be more.
async fn launch_due(engine: &Engine) -> Result<bool, EngineError> {
    let now = engine.now();
    let ants = engine.ants.rooms();
    let room = Room::now(engine);
    let inside = engine.clone();
    engine.nudges.set_short_of_slots(true);
    let (mut actions, launched, short, claimed) = engine
        .round(move |tx, focus| {
            let actions = Actions::default();
            let mut round = Round {
                engine: &inside,
                focus,
                ants: &ants,
                now,
                actions,
                moved: 0,
                short_of_slots: false,
            };
            for key in schedule::eligible_keys(tx)? {
                round.queue(tx, &key)?;
            }
            let claimed = match round.actions.dispatch && !room.is_full() {
                true => room.claim(tx, &inside, focus)?,
                false => Vec::new(),
            };
            Ok((round.actions, round.moved, round.short_of_slots, claimed))
        })
        .await?;
    engine.nudges.set_short_of_slots(short);
    // Whoever has room from now on says so.
    actions.dispatch = false;
    actions.carry_out(engine);
    dispatcher::send_all(engine, claimed);
    Ok(launched < BATCH)
}

/// One look at everything that is due.
struct Round<'a> {
    engine: &'a Engine,
    focus: &'a Focus,
    ants: &'a [AntRoom],
    now: Timestamp,
    actions: Actions,
    moved: u32,
    /// Something was passed over for want of a slot.
    short_of_slots: bool,
}

impl Round<'_> {
    /// The requests of one type, as far as there are slots. Other types are not held up by it.
    fn queue(&mut self, tx: &mut Tx<'_>, key: &str) -> Result<(), EngineError> {
        if self.moved >= BATCH {
            return Ok(());
        }
        self.focus.off(tx)?;
        let taken = job_run::slots_taken(tx, key)?;
        let requests = schedule::eligible_requests(tx, key, BATCH - self.moved)?;
        let mut definitions = BTreeMap::new();
        let mut launched = 0;
        for id in requests {
            self.focus.on(tx, Subject::Request(id))?;
            let Some(request) = request::lock_request(tx, id)? else {
                continue;
            };
            let row = self.definition(tx, &request, &mut definitions)?;
            let compiled = match self.engine.definitions.load(tx, row.id) {
                Ok(compiled) => compiled,
                Err(EngineError::Store(error)) => return Err(error.into()),
                Err(error) => {
                    self.end(
                        tx,
                        &request,
                        JobError::new(error_code::VALIDATION, error.to_string()),
                    )?;
                    self.moved += 1;
                    continue;
                }
            };
            let slots = row.max_concurrency.saturating_sub(taken + launched);
            self.short_of_slots |= slots == 0;
            if let Some(reason) = self.obstacle(&row, &compiled, slots) {
                return self.wait(tx, &request, reason);
            }
            if let Some(reason) = self.missing_tags(&request, &compiled)? {
                // Another request may ask for other tags.
                self.wait(tx, &request, reason)?;
                continue;
            }
            launched += u32::from(self.launch(tx, &request, &compiled)?);
            self.moved += 1;
        }
        Ok(())
    }

    /// The definition that the request will run: the pinned one, or the newest for a request that
    /// named no version and has not run yet (`job-definitions` 15.2).
    fn definition(
        &self,
        tx: &mut Tx<'_>,
        request: &RequestRow,
        seen: &mut BTreeMap<DefinitionId, DefinitionRow>,
    ) -> Result<DefinitionRow, EngineError> {
        if let Some(row) = seen.get(&request.definition_id) {
            return Ok(row.clone());
        }
        let pinned = definition::find_definition(tx, request.definition_id)?
            .ok_or_else(|| EngineError::not_found("definition", request.definition_id))?;
        let untouched = request.run_id.is_none() && request.last_run_id.is_none();
        let row = if pinned.active || !untouched || !request.job_version.is_empty() {
            pinned
        } else {
            definition::find_definition_by_type(tx, &request.org_id, &request.job_type, "")?
                .unwrap_or(pinned)
        };
        seen.insert(request.definition_id, row.clone());
        Ok(row)
    }

    /// Why a request of this definition cannot run now.
    fn obstacle(&self, row: &DefinitionRow, compiled: &Compiled, slots: u32) -> Option<String> {
        if row.disabled || row.deleted {
            let word = if row.deleted { "deleted" } else { "disabled" };
            return Some(format!("definition {} is {word}", row.job_type));
        }
        if slots == 0 {
            return Some(no_slot(row.max_concurrency, compiled));
        }
        let needs_ant = |task: &&TaskPlan| !matches!(task.method, Method::Manual | Method::Worker);
        let mut tasks = compiled.plan.tasks.iter().filter(needs_ant);
        let unserved = tasks.find(|task| {
            let queue = queue_of(&tags::known(task));
            !self.is_served(&queue)
        })?;
        Some(no_ant_for(&tags::known(unserved)))
    }

    fn is_served(&self, queue: &str) -> bool {
        self.ants.iter().any(|ant| ant.serves(queue))
    }

    /// Why a request cannot run whose tasks take their tags from its parameters.
    fn missing_tags(
        &self,
        request: &RequestRow,
        compiled: &Compiled,
    ) -> Result<Option<String>, EngineError> {
        let is_served = |queue: &str| self.is_served(queue);
        let unserved = tags::unserved(self.engine, request, compiled, is_served)?;
        Ok(unserved.map(|task| no_ant_for(&task)))
    }

    fn wait(
        &mut self,
        tx: &mut Tx<'_>,
        request: &RequestRow,
        reason: String,
    ) -> Result<(), EngineError> {
        request::request_waits(tx, request.id, &reason, self.now)?;
        self.actions
            .events
            .push((request.id, RunEventKind::Waiting { reason }));
        Ok(())
    }

    /// Starts a run, or lets a suspended one go on. False when the request ended instead.
    fn launch(
        &mut self,
        tx: &mut Tx<'_>,
        request: &RequestRow,
        compiled: &Arc<Compiled>,
    ) -> Result<bool, EngineError> {
        if let Some(error) = self.refusal(request, compiled)? {
            self.end(tx, request, error)?;
            return Ok(false);
        }
        let run = match request.run_id {
            Some(run_id) => job_run::lock_job_run(tx, run_id)?,
            None => None,
        };
        let run = match run {
            Some(run) if run.run.phase == Phase::Suspended => run,
            Some(_) | None => self.new_run(tx, request, compiled)?,
        };
        request::request_launched(tx, request.id, run.run_id, compiled.row.id, self.now)?;
        let timeout = u64::try_from(request.timeout_ms)
            .ok()
            .filter(|millis| *millis > 0);
        let timeout = timeout.map(Duration::from_millis);
        self.actions
            .due(self.now.after(timeout.unwrap_or(compiled.plan.timeout)));
        advance_locked(
            tx,
            self.engine,
            &run,
            Event::Launched { timeout },
            self.now,
            &mut self.actions,
        )?;
        Ok(true)
    }

    /// The request fails without a run.
    fn end(
        &mut self,
        tx: &mut Tx<'_>,
        request: &RequestRow,
        error: JobError,
    ) -> Result<(), EngineError> {
        let state = JobState::Failed;
        request::end_request(tx, request.id, state, Some(&error), None, self.now)?;
        let error = Some(error);
        let event = RunEventKind::RunEnded { state, error };
        self.actions.events.push((request.id, event));
        Ok(())
    }

    fn new_run(
        &self,
        tx: &mut Tx<'_>,
        request: &RequestRow,
        compiled: &Compiled,
    ) -> Result<JobRunRow, EngineError> {
        let earlier = match request.last_run_id {
            Some(last) if !request.hard_restart => job_run::reusable_tasks(tx, last)?,
            Some(_) | None => BTreeMap::new(),
        };
        let run = JobRun::new(request.retried, request.paused_count, earlier);
        let metadata = serde_json::json!({
            "jobType": request.job_type,
            "requestId": request.id,
            "definitionId": compiled.row.id,
            "version": compiled.row.version,
        });
        let new = NewJobRun {
            run_id: RunId::new(self.engine.ids.next_uuid()),
            org_id: request.org_id.clone(),
            request_id: request.id,
            definition_id: compiled.row.id,
            schedule_key: request.schedule_key.clone(),
            rank: request.job_priority.saturating_neg(),
            input: request.params.clone(),
            metadata: metadata.to_string(),
        };
        Ok(new.into_row(run))
    }

    /// Why the request must end without running: a required parameter is missing, or it is
    /// filtered (`job-definitions` 8.2, steps 1 and 3).
    fn refusal(
        &self,
        request: &RequestRow,
        compiled: &Compiled,
    ) -> Result<Option<JobError>, EngineError> {
        let data = crate::order::JobData::of_request(self.engine, request, compiled)?;
        let missing = data.missing_params(compiled);
        if !missing.is_empty() {
            let message = format!(
                "required parameter(s) not configured: {} — set them via org configs or job \
                 parameters",
                missing.join(", ")
            );
            return Ok(Some(JobError::new(error_code::VALIDATION, message)));
        }
        Ok(data.filtered_by(compiled).map(|expression| {
            let message = format!("job filtered due to {expression}");
            JobError::new(error_code::FILTERED_JOB, message)
        }))
    }
}

/// People meet the bound without ever having set it: it is named, and where it came from.
fn no_slot(max: u32, compiled: &Compiled) -> String {
    let origin = match compiled.definition.max_concurrency {
        Some(_) => String::new(),
        None => format!(", {DEFAULT_MAX_CONCURRENCY} unless set"),
    };
    format!("waits for a free slot: {max} of {max} in use (max_concurrency{origin})")
}

fn no_ant_for(task: &TaskPlan) -> String {
    let tags = match task.tags.join(", ") {
        tags if tags.is_empty() => String::new(),
        tags => format!(" with tags {tags}"),
    };
    let (method, name) = (task.method, &task.name);
    format!("no ant offers {method}{tags}, which task {name} needs")
}
