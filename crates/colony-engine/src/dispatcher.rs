//! Leasing ready tasks to ants that have room, and sending them their orders.

use colony_core::id::AttemptRef;
use colony_core::job::AttemptEnd;
use colony_core::time::Timestamp;
use colony_store::Tx;
use colony_store::dispatch::{self, ClaimTasks, Lease};
use colony_wire::QueenMessage;

use crate::action::Actions;
use crate::ant::AntRoom;
use crate::backoff::Backoff;
use crate::engine::Engine;
use crate::error::EngineError;
use crate::event::RunEventKind;
use crate::order::{Prepared, TaskInput};

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
        .store
        .write(move |tx| room.claim(tx, &inside))
        .await?;
    send_all(engine, claimed);
    Ok(())
}

/// A leased task, and what its rendering needs.
pub(crate) type Claimed = (Lease, Option<TaskInput>);

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
    ) -> Result<Vec<Claimed>, EngineError> {
        let mut claimed = Vec::new();
        let mut rooms = self.ants.clone();
        for queue in dispatch::ready_queues(tx)? {
            while let Some((holder, host, limit)) = pick(&mut rooms, &queue) {
                let claim = ClaimTasks {
                    queue: queue.clone(),
                    limit,
                    holder,
                    host,
                    now: self.now,
                    expires_at: self.now.after(engine.settings.lease_duration),
                };
                let leases = dispatch::claim_tasks(tx, &claim)?;
                let taken = leases.len();
                give_back_room(&mut rooms, &claim.holder, limit, taken);
                for lease in leases {
                    let task_id = lease.attempt.task_id;
                    let input = TaskInput::load(tx, engine, lease.run_id, task_id)?;
                    claimed.push((lease, input));
                }
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
fn send(engine: &Engine, lease: Lease, input: Option<TaskInput>) {
    let Some(input) = input else {
        tracing::error!(task.id = %lease.attempt.task_id, "a leased task has no job run");
        return;
    };
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
                    tracing::error!("failed to note a rendered task: {error}");
                }
                let order = Box::new(input.order(lease.attempt, *rendered));
                let event = RunEventKind::TaskStarted {
                    task: order.task_type.clone(),
                    attempt: lease.attempt,
                    retry: input.retry(),
                };
                engine.tell(input.request_id(), event);
                if !engine.ants.send(&lease.holder, QueenMessage::Start(order)) {
                    spawn_give_back(&engine, &lease);
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
        let mut stored = self.store_end(lease.attempt, &end).await;
        self.nudges.dispatcher.notify_one();
        while let Err(error) = &stored
            && error.is_unavailable()
            && !self.store.is_taken_over()
        {
            tracing::error!("failed to end a task: {error}");
            backoff.pause().await;
            stored = self.store_end(lease.attempt, &end).await;
        }
        match stored {
            Ok(actions) => actions.carry_out(self),
            Err(error) => tracing::error!("failed to end a task: {error}"),
        }
    }

    async fn store_end(
        &self,
        attempt: AttemptRef,
        end: &AttemptEnd,
    ) -> Result<Actions, EngineError> {
        let (engine, now, end) = (self.clone(), self.now(), end.clone());
        let store = move |tx: &mut Tx<'_>| {
            let mut actions = Actions::default();
            let end = end.clone();
            crate::report::end_attempt(tx, &engine, attempt, end, None, now, &mut actions)?;
            Ok::<_, EngineError>(actions)
        };
        self.store.write(store).await
    }
}
