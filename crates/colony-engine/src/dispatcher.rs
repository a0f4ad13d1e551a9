//! Giving room at ants to what waits for it, and sending orders.

use std::sync::Arc;

use colony_core::id::RunId;
use colony_core::job::{AttemptEnd, EndStatus};
use colony_core::text::with_causes;
use colony_store::lease::Lease;

use crate::ant::{AntRoom, Sent};
use crate::backoff::Backoff;
use crate::compile::Compiled;
use crate::engine::Engine;
use crate::error::EngineError;
use crate::event::RunEventKind;
use crate::isolate::Subject;
use crate::order::{Facts, Prepared, Rendered, TaskInput, attempts_deadline};
use crate::runs::{Control, Dispatch, End};

/// A leased task, and what its rendering needs.
#[derive(Debug)]
pub(crate) struct Claimed {
    pub(crate) lease: Lease,
    pub(crate) facts: Facts,
}

/// Leases what waits whenever an ant has room that nobody keeps for something.
pub(crate) async fn run(engine: Engine) {
    let mut backoff = Backoff::new("dispatcher");
    loop {
        engine.nudges.dispatcher.notified().await;
        let Some(rooms) = look_for_room(&engine) else {
            continue;
        };
        match engine.perform_with(Dispatch, rooms).await {
            Ok(()) => backoff.reset(),
            Err(error) => {
                tracing::error!("failed to lease tasks: {}", with_causes(&error));
                backoff.pause().await;
                engine.nudges.dispatcher.notify_one();
            }
        }
    }
}

/// Keeps all room that there is, if there is some.
pub(crate) fn look_for_room(engine: &Engine) -> Option<Vec<AntRoom>> {
    engine.nudges.set_short_of_room(true);
    let (rooms, all) = engine.ants.keep_all();
    if rooms.is_empty() {
        return None;
    }
    // A place that somebody keeps may be for what these places are not for.
    engine.nudges.set_short_of_room(!all);
    Some(rooms)
}

/// Sends what was leased to the ants, once it is committed.
pub(crate) fn send_all(engine: &Engine, claimed: Vec<Claimed>) {
    for Claimed { lease, facts } in claimed {
        let ids = [lease.attempt.task_id];
        engine.signals.job_changed(lease.run_id, &ids);
        send(engine, lease, facts);
    }
}

/// Renders a leased task and sends it to its ant. Rendering may take its time: others go first.
fn send(engine: &Engine, lease: Lease, facts: Facts) {
    let place = (facts.request_id(), lease.run_id);
    if !engine.ants.assign(&lease.holder.id, lease.attempt, place) {
        spawn_give_back(engine, &lease);
        return;
    }
    let engine = engine.clone();
    tokio::spawn(async move {
        match engine.compiled(facts.definition_id()).await {
            Ok(compiled) => engine.send(lease, facts, compiled).await,
            Err(error) => engine.end_unsent(&lease, &error).await,
        }
    });
}

fn spawn_give_back(engine: &Engine, lease: &Lease) {
    let (engine, lease) = (engine.clone(), lease.clone());
    engine.ants.release(&lease.holder.id, lease.attempt);
    tokio::spawn(async move {
        let run_id = Some(lease.run_id);
        let message = "its ant was gone";
        engine
            .give_back_surely(lease.attempt, run_id, message)
            .await;
        engine.nudges.dispatcher.notify_one();
    });
}

impl Engine {
    async fn send(&self, lease: Lease, facts: Facts, compiled: Arc<Compiled>) {
        let input = TaskInput::new(facts, compiled, self.seed());
        match input.prepare(self) {
            Prepared::Rendered(rendered) => self.send_rendered(&lease, &input, *rendered).await,
            Prepared::Ended(end) => self.end_without_ant(&lease, end).await,
        }
    }

    async fn send_rendered(&self, lease: &Lease, input: &TaskInput, rendered: Rendered) {
        if let Some(control) = rendered.changed_control() {
            let noted = self.perform(Control {
                run_id: lease.run_id,
                attempt: lease.attempt,
                deadline: attempts_deadline(control, lease.started_at),
                control: control.clone(),
            });
            match noted.await {
                Ok(true) => {}
                Ok(false) => return self.not_sent(lease),
                // Not started by rules that are not stored.
                Err(error) => return self.end_unsent(lease, &error).await,
            }
        }
        let order = Box::new(input.order(lease.attempt, rendered));
        let event = RunEventKind::TaskStarted {
            task: order.task_type.clone(),
            attempt: lease.attempt,
            retry: input.retry(),
        };
        let tell = || self.tell(input.request_id(), event);
        match self.ants.start(&lease.holder.id, order, tell) {
            Sent::Started => {}
            Sent::Stopped => {
                let message = "attempt was stopped before it started";
                let end = AttemptEnd {
                    status: EndStatus::Cancelled,
                    ..AttemptEnd::failed("", message)
                };
                self.end_without_ant(lease, end).await;
            }
            Sent::Gone => spawn_give_back(self, lease),
        }
    }

    /// A lease was over before its task was sent.
    pub(crate) fn not_sent(&self, lease: &Lease) {
        self.ants.release(&lease.holder.id, lease.attempt);
        self.nudges.dispatcher.notify_one();
    }

    /// A leased task that no ant needs to see: skipped, or impossible.
    async fn end_without_ant(&self, lease: &Lease, end: AttemptEnd) {
        let (place, _) = self.ants.trade(&lease.holder.id, lease.attempt);
        let mut rooms = place.into_iter().collect();
        let mut backoff = Backoff::new("end without ant");
        loop {
            let ended = End {
                attempt: lease.attempt,
                run_id: Some(lease.run_id),
                end: end.clone(),
                report: None,
            };
            match self.perform_with(ended, std::mem::take(&mut rooms)).await {
                Ok(_) => return,
                Err(error) if error.is_unavailable() && !self.store.is_taken_over() => {
                    tracing::error!("failed to end a task: {}", with_causes(&error));
                    backoff.pause().await;
                }
                Err(error) => return self.give_up_run(lease.run_id, &error).await,
            }
        }
    }

    /// A leased task that could not be sent: it is offered again, or its run ends when it is to
    /// blame itself.
    async fn end_unsent(&self, lease: &Lease, error: &EngineError) {
        tracing::error!(task.id = %lease.attempt.task_id, "failed to send a task: {}", with_causes(&error));
        if !error.is_about_rows() {
            return spawn_give_back(self, lease);
        }
        self.ants.release(&lease.holder.id, lease.attempt);
        self.give_up_run(lease.run_id, error).await;
    }

    async fn give_up_run(&self, id: RunId, error: &EngineError) {
        if let Err(error) = self.give_up(Subject::Run(id), error).await {
            // Its lease runs out.
            tracing::error!("failed to give up a run: {}", with_causes(&error));
        }
    }
}
