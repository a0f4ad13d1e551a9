//! Leasing ready tasks to ants that have room, and sending them their orders.

use colony_core::job::{AttemptEnd, EndStatus};
use colony_core::time::Timestamp;
use colony_store::Tx;
use colony_store::dispatch::{self, ClaimTasks, Lease};

use crate::action::Actions;
use crate::ant::{AntRoom, Sent};
use crate::backoff::Backoff;
use crate::engine::Engine;
use crate::error::EngineError;
use crate::event::RunEventKind;
use crate::isolate::{Focus, Subject};
use crate::order::{Prepared, TaskInput};
use crate::report::end_attempt;

/// Tasks leased in one transaction.
const BATCH: u32 = 64;
/// Leases what ants have room for, and sends it.
pub(crate) async fn lease_ready(engine: &Engine) -> Result<(), EngineError> {
    let room = Room::now(engine);
    if room.is_full() {
        return Ok(());
    }
    let inside = engine.clone();
    let claimed = engine
        .round(move |tx, focus| room.claim(tx, &inside, focus))
        .await?;
    send_all(engine, claimed);
    Ok(())
}

/// A leased task, and what its rendering needs.
pub(crate) type Claimed = (Lease, TaskInput);

/// The ants that have room, and since when that is known.
pub(crate) struct Room {
    ants: Vec<AntRoom>,
    now: Timestamp,
}

impl Room {
    pub(crate) fn now(engine: &Engine) -> Self {
        let mut ants = engine.ants.rooms();
        ants.retain(|ant| ant.free > 0);
        let now = engine.now();
        Self { ants, now }
    }

    pub(crate) fn is_full(&self) -> bool {
        self.ants.is_empty()
    }

    /// Leases ready tasks, as many as there is room for.
    pub(crate) fn claim(
        &self,
        tx: &mut Tx<'_>,
        engine: &Engine,
        focus: &Focus,
    ) -> Result<Vec<Claimed>, EngineError> {
        let mut claimed = Vec::new();
        let mut rooms = self.ants.clone();
        focus.off(tx)?;
        for queue in dispatch::ready_queues(tx)? {
            while let Some((holder, host, limit)) = pick(&mut rooms, &queue) {
                let claim = ClaimTasks {
                    queue: queue.clone(),
                    holder,
                    host,
                    now: self.now,
                    expires_at: self.now.after(engine.settings.lease_duration),
                };
                let ready = dispatch::first_tasks(tx, &claim.queue, limit)?;
                let taken = ready.len();
                give_back_room(&mut rooms, &claim.holder, limit, taken);
                for ready in ready {
                    focus.on(tx, Subject::Run(ready.run_id))?;
                    let lease = dispatch::claim_task(tx, &claim, &ready)?;
                    let task_id = lease.attempt.task_id;
                    let input = TaskInput::load(tx, engine, lease.run_id, task_id)?;
                    claimed.push((lease, input));
                }
                focus.off(tx)?;
                if taken < usize::try_from(limit).unwrap_or(usize::MAX) {
                    break;
                }
            }
        }
        Ok(claimed)
    }
}

/// Sends what was leased to the ants, once it is committed.
pub(crate) fn send_all(engine: &Engine, claimed: Vec<Claimed>) {
    if let Some((lease, _)) = claimed.first() {
        let expires_at = lease.started_at.after(engine.settings.lease_duration);
        engine.nudges.due_at(expires_at);
    }
    for (lease, input) in claimed {
        if let Some(signals) = engine.ledger_signals() {
            signals.job_changed(lease.run_id, &[lease.attempt.task_id]);
        }
        send(engine, lease, input);
    }
}

/// Takes room for a queue from the ant with the lowest share of its capacity in use
/// (`job-definitions` 8.6). Returns its id, its host and how many tasks it takes.
fn pick(rooms: &mut [AntRoom], queue: &str) -> Option<(String, String, u32)> {
    let idle_share = |room: &AntRoom| f64::from(room.free) / f64::from(room.capacity.max(1));
    let open = rooms
        .iter_mut()
        .filter(|room| room.free > 0 && room.serves(queue));
    let room = open.max_by(|a, b| idle_share(a).total_cmp(&idle_share(b)))?;
    let limit = room.free.min(BATCH);
    room.free -= limit;
    Some((room.ant_id.clone(), room.host.clone(), limit))
}

fn give_back_room(rooms: &mut [AntRoom], holder: &str, limit: u32, taken: usize) {
    let taken = u32::try_from(taken).unwrap_or(limit);
    if let Some(room) = rooms.iter_mut().find(|room| room.ant_id == holder) {
        room.free += limit.saturating_sub(taken);
    }
}

/// Renders a leased task and sends it to its ant. Rendering may take its time: others go first.
fn send(engine: &Engine, lease: Lease, input: TaskInput) {
    if !engine
        .ants
        .assign(&lease.holder, lease.attempt, input.request_id())
    {
        spawn_give_back(engine, &lease);
        return;
    }
    let engine = engine.clone();
    tokio::spawn(async move {
        match input.prepare(&engine) {
            Prepared::Rendered(rendered) => {
                if let Some(control) = rendered.changed_control()
                    && let Err(error) = engine.note_control(&lease, control.clone()).await
                {
                    // Not started by rules that are not stored.
                    return engine.end_unsent(&lease, &error).await;
                }
                let order = Box::new(input.order(lease.attempt, *rendered));
                let event = RunEventKind::TaskStarted {
                    task: order.task_type.clone(),
                    attempt: lease.attempt,
                    retry: input.retry(),
                };
                let tell = || engine.tell(input.request_id(), event);
                match engine.ants.start(&lease.holder, order, tell) {
                    Sent::Started => {}
                    Sent::Stopped => {
                        let message = "attempt was stopped before it started";
                        let end = AttemptEnd {
                            status: EndStatus::Cancelled,
                            ..AttemptEnd::failed("", message)
                        };
                        engine.end_without_ant(&lease, end).await;
                    }
                    Sent::Gone => spawn_give_back(&engine, &lease),
                }
            }
            Prepared::Ended(end) => engine.end_without_ant(&lease, end).await,
        }
    });
}

fn spawn_give_back(engine: &Engine, lease: &Lease) {
    let (engine, attempt) = (engine.clone(), lease.attempt);
    engine.ants.release(&lease.holder, attempt);
    tokio::spawn(async move {
        engine.give_back_surely(attempt, "its ant was gone").await;
    });
}

impl Engine {
    /// A leased task that no ant needs to see: skipped, or impossible.
    async fn end_without_ant(&self, lease: &Lease, end: AttemptEnd) {
        self.ants.release(&lease.holder, lease.attempt);
        let mut backoff = Backoff::new("end without ant");
        let mut stored = self.store_end(lease, &end).await;
        self.nudges.dispatcher.notify_one();
        while let Err(error) = &stored
            && error.is_unavailable()
            && !self.store.is_taken_over()
        {
            tracing::error!("failed to end a task: {error}");
            backoff.pause().await;
            stored = self.store_end(lease, &end).await;
        }
        match stored {
            Ok(actions) => actions.carry_out(self),
            // Its lease runs out.
            Err(error) => tracing::error!("failed to end a task: {error}"),
        }
    }

    /// A leased task that could not be sent: it is offered again, or its run ends when it is to
    /// blame itself.
    async fn end_unsent(&self, lease: &Lease, error: &EngineError) {
        tracing::error!(task.id = %lease.attempt.task_id, "failed to note a rendered task: {error}");
        if !error.is_about_rows() {
            return spawn_give_back(self, lease);
        }
        self.ants.release(&lease.holder, lease.attempt);
        if let Err(error) = self.give_up(Subject::Run(lease.run_id), error).await {
            tracing::error!("failed to give up a run: {error}");
        }
    }

    async fn store_end(&self, lease: &Lease, end: &AttemptEnd) -> Result<Actions, EngineError> {
        let (engine, now, end) = (self.clone(), self.now(), end.clone());
        let (attempt, run_id) = (lease.attempt, lease.run_id);
        self.round(move |tx: &mut Tx<'_>, focus| {
            focus.on(tx, Subject::Run(run_id))?;
            let mut actions = Actions::default();
            end_attempt(tx, &engine, attempt, end.clone(), None, now, &mut actions)?;
            Ok(actions)
        })
        .await
    }
}
