//! Leases for ants that have room: the best tasks of all queues that they serve, in one merge.

use std::collections::{BTreeMap, BTreeSet, VecDeque};
use std::sync::{Mutex, PoisonError};

use colony_core::id::{AttemptRef, RequestId, RunId};
use colony_core::job::TaskRun;
use colony_core::schedule::{Cursor, Flow, Turns};
use colony_core::state::JobTaskState;
use colony_core::time::Timestamp;
use colony_store::lease::{Holder, Lease};
use colony_store::queue::{self, QueuedTask};
use colony_store::{StoreError, Tx, artifact, context, request};

use super::batch::{Base, Ground, RunEntry};
use super::operation::{Needs, Operation};
use super::stage::Stage;
use crate::ant::AntRoom;
use crate::dispatcher::Claimed;
use crate::error::EngineError;
use crate::isolate::Subject;
use crate::order::Facts;

/// Tasks leased in one transaction.
const BATCH: u32 = 64;

/// Room at ants, and nothing else: whatever waits for it is leased.
pub(crate) struct Dispatch;

impl Operation for Dispatch {
    type Output = ();

    fn needs(&self, _: &mut Needs) {}

    fn decide(&self, _: &mut Stage<'_>) -> Result<(), EngineError> {
        Ok(())
    }
}

/// Whose turn was last. Lost with the process, which only moves turns.
#[derive(Debug, Default)]
pub(crate) struct LastTurns(Mutex<(Cursor, String)>);

impl LastTurns {
    fn take(&self) -> (Cursor, String) {
        std::mem::take(&mut *self.0.lock().unwrap_or_else(PoisonError::into_inner))
    }

    fn set(&self, cursor: Cursor, flow: String) {
        *self.0.lock().unwrap_or_else(PoisonError::into_inner) = (cursor, flow);
    }
}

/// Gives the best of what waits to ants with room.
pub(super) fn lease_to_ants(
    tx: &mut Tx<'_>,
    ground: &Ground,
    base: &mut Base,
    mut rooms: Vec<AntRoom>,
    now: Timestamp,
) -> Result<(), StoreError> {
    merge(&mut rooms);
    let (cursor, mut last) = ground.turns.take();
    let waiting = waiting(tx, base, &rooms, &last)?;
    let flows: Vec<Flow> = waiting.iter().map(|task| flow(&task.flow)).collect();
    // It does not grow for ever.
    let mut cursor = cursor.kept_for(flows.iter());
    let known: BTreeSet<RunId> = base.runs.keys().copied().collect();
    let chosen = choose(waiting, &mut rooms, &mut cursor);
    let others = chosen.iter().map(|(task, _)| task.run_id);
    let others: BTreeSet<RunId> = others.filter(|id| !known.contains(id)).collect();
    let others: Vec<RunId> = others.into_iter().collect();
    base.load_runs(tx, ground, &others, true)?;
    let absent = base.absent(tx, &others)?;
    let mut leased = Vec::new();
    for (task, room) in chosen {
        let leasing = match absent.contains(&task.run_id) {
            true => Leasing::Stale,
            false => base.lease(ground, &task, &room, now),
        };
        match leasing {
            Leasing::Leased(lease) => {
                task.flow.clone_into(&mut last);
                leased.push(lease);
            }
            // Someone else is at it: soon it can be leased, or is gone.
            Leasing::Busy => {
                base.effects.dispatch = true;
                give_back(&mut rooms, &room);
            }
            Leasing::Stale => {
                // Or another batch was a moment earlier.
                tracing::debug!(task.id = %task.task_id, "not in the queue: it does not wait");
                base.writes.unqueued.push(task);
                give_back(&mut rooms, &room);
            }
            Leasing::Guilty(reason) => {
                let subject = Subject::Task(task.task_id);
                base.effects.guilty.push((subject, reason));
                give_back(&mut rooms, &room);
            }
        }
    }
    ground.turns.set(cursor, last);
    for room in rooms {
        base.effects.room_left.push((room.ant_id, room.free));
    }
    base.effects.dispatch |= base.has_queued_for_ants();
    if let Some(first) = leased.first() {
        base.effects.due(first.expires_at);
    }
    claim_all(tx, base, leased)
}

/// One room for each ant.
fn merge(rooms: &mut Vec<AntRoom>) {
    let mut merged: BTreeMap<String, AntRoom> = BTreeMap::new();
    for room in rooms.drain(..) {
        match merged.get_mut(&room.ant_id) {
            Some(known) => known.free += room.free,
            None => {
                merged.insert(room.ant_id.clone(), room);
            }
        }
    }
    rooms.extend(merged.into_values());
}

/// What waits for these ants: what is stored, and what this batch has made ready.
fn waiting(
    tx: &mut Tx<'_>,
    base: &Base,
    rooms: &[AntRoom],
    last: &str,
) -> Result<Vec<QueuedTask>, StoreError> {
    let serves = |key: &str| rooms.iter().any(|room| room.serves(key));
    let new = base.writes.queued.iter();
    let mut waiting: Vec<QueuedTask> = new.filter(|task| serves(&task.key)).cloned().collect();
    for key in queue::ant_keys(tx)?.into_iter().filter(|key| serves(key)) {
        let free = rooms.iter().filter(|room| room.serves(&key));
        let free: u32 = free.map(|room| room.free).sum();
        waiting.extend(queue::fronts(tx, &key, last, free.min(BATCH))?);
    }
    Ok(waiting)
}

/// Who gets what: lower ranks first, flows of a rank in turns.
fn choose(
    waiting: Vec<QueuedTask>,
    rooms: &mut [AntRoom],
    cursor: &mut Cursor,
) -> Vec<(QueuedTask, AntRoom)> {
    let mut by_rank: BTreeMap<i64, BTreeMap<String, VecDeque<QueuedTask>>> = BTreeMap::new();
    let mut waiting = waiting;
    waiting.sort_unstable_by_key(|task| task.task_id);
    for task in waiting {
        let flows = by_rank.entry(task.rank).or_default();
        flows.entry(task.flow.clone()).or_default().push_back(task);
    }
    let mut chosen = Vec::new();
    for (rank, flows) in by_rank {
        let mut turns = Turns::default();
        for (name, tasks) in flows {
            turns.insert(flow(&name), tasks);
        }
        while rooms.iter().any(|room| room.free > 0)
            && let Some((flow, mut tasks)) = turns.take(cursor, rank)
        {
            let task = tasks.pop_front();
            let picked = task.and_then(|task| Some((pick(rooms, &task.key)?, task)));
            chosen.extend(picked.map(|(room, task)| (task, room)));
            if !tasks.is_empty() {
                turns.insert(flow, tasks);
            }
        }
    }
    chosen
}

/// Organization and job of a schedule key.
pub(crate) fn flow(key: &str) -> Flow {
    let (org, job_type) = key.split_once('/').unwrap_or((key, ""));
    Flow {
        org: org.to_owned(),
        job_type: job_type.to_owned(),
    }
}

/// Takes a place at the ant with the lowest share of its capacity in use (`job-definitions` 8.6).
fn pick(rooms: &mut [AntRoom], key: &str) -> Option<AntRoom> {
    let idle_share = |room: &AntRoom| f64::from(room.free) / f64::from(room.capacity.max(1));
    let open = rooms
        .iter_mut()
        .filter(|room| room.free > 0 && room.serves(key));
    let room = open.max_by(|a, b| idle_share(a).total_cmp(&idle_share(b)))?;
    room.free -= 1;
    Some(AntRoom {
        free: 1,
        ..room.clone()
    })
}

fn give_back(rooms: &mut [AntRoom], place: &AntRoom) {
    if let Some(room) = rooms.iter_mut().find(|room| room.ant_id == place.ant_id) {
        room.free += place.free;
    }
}

/// What becomes of a task that was chosen.
enum Leasing {
    Leased(Lease),
    Busy,
    Stale,
    Guilty(String),
}

impl Base {
    fn lease(
        &mut self,
        ground: &Ground,
        task: &QueuedTask,
        room: &AntRoom,
        now: Timestamp,
    ) -> Leasing {
        let entry = match self.runs.get_mut(&task.run_id) {
            None => return Leasing::Busy,
            Some(Err(reason)) => return Leasing::Guilty(reason.clone()),
            Some(Ok(entry)) => entry,
        };
        let name = entry.row.task_name(task.task_id);
        let row = name.and_then(|name| entry.row.tasks.get(name));
        let waits = row.is_some_and(|row| row.queue_key.as_deref() == Some(&*task.key));
        if waits && row.is_some_and(|row| row.lease.is_some()) {
            return Leasing::Guilty("its task waits and is leased at once".to_owned());
        }
        let expires_at = now.after(ground.settings.lease_duration);
        let holder = Holder::ant(&room.ant_id);
        let Some(lease) = entry.lease(task, (holder, &room.host), now, expires_at) else {
            return Leasing::Stale;
        };
        self.writes.unqueue(task.clone());
        self.writes.leases.push(lease.clone());
        Leasing::Leased(lease)
    }
}

impl RunEntry {
    /// Gives a queued task to a holder. None when it does not wait for one.
    pub(super) fn lease(
        &mut self,
        task: &QueuedTask,
        (holder, host): (Holder, &str),
        now: Timestamp,
        expires_at: Timestamp,
    ) -> Option<Lease> {
        let name = self.row.task_name(task.task_id)?.to_owned();
        let row = self.row.tasks.get_mut(&name)?;
        let record: &mut TaskRun = self.row.run.tasks.get_mut(&name)?;
        if record.state != JobTaskState::Ready || row.queue_key.as_deref() != Some(&*task.key) {
            return None;
        }
        let limit = task.timeout_ms.unwrap_or(0);
        let deadline = record
            .deadline
            .unwrap_or_else(|| Timestamp::from_millis(now.as_millis().saturating_add(limit)));
        record.state = JobTaskState::Executing;
        record.deadline = Some(deadline);
        row.epoch = row.epoch.next();
        row.started_at = row.started_at.or(Some(now));
        row.ant_id = holder.to_string();
        host.clone_into(&mut row.ant_host);
        row.queue_key = None;
        let lease = Lease {
            attempt: AttemptRef {
                task_id: task.task_id,
                epoch: row.epoch,
            },
            run_id: self.row.run_id,
            org_id: self.row.org_id.clone(),
            of_job: true,
            holder,
            started_at: now,
            expires_at,
            deadline_at: Some(deadline),
            stop: false,
        };
        row.lease = Some(lease.clone());
        self.touched = true;
        Some(lease)
    }
}

/// Adds to leases what the rendering of their tasks needs.
fn claim_all(tx: &mut Tx<'_>, base: &mut Base, leases: Vec<Lease>) -> Result<(), StoreError> {
    if leases.is_empty() {
        return Ok(());
    }
    let mut seen = seen(tx, base, &leases)?;
    for lease in leases {
        let run_id = lease.run_id;
        match facts(base, &mut seen, &lease) {
            Some(Ok(facts)) => base.effects.claimed.push(Claimed { lease, facts }),
            Some(Err(reason)) => {
                let subject = Subject::Run(run_id);
                base.effects.guilty.push((subject, reason));
                base.effects.room_left.push((lease.holder.id, 1));
            }
            None => {}
        }
    }
    Ok(())
}

/// What runs have that is in none of their own rows.
struct Seen {
    requests: request::LoadedRequests,
    contexts: BTreeMap<RunId, BTreeMap<String, context::Context>>,
    artifacts: BTreeMap<RunId, Result<Vec<artifact::ArtifactRow>, StoreError>>,
}

fn seen(tx: &mut Tx<'_>, base: &Base, leases: &[Lease]) -> Result<Seen, StoreError> {
    let entries = leases.iter().filter_map(|lease| {
        let entry = base.runs.get(&lease.run_id)?.as_ref();
        entry.ok().map(|entry| &entry.row)
    });
    let (mut requests, mut with_data, mut later) = (Vec::new(), Vec::new(), Vec::new());
    for row in entries {
        if !base.requests.contains_key(&row.request_id) {
            requests.push(row.request_id);
        }
        if row.has_data {
            with_data.push(row.run_id);
        }
        // The first task of a run can have no artifacts before it, unless the job is tried again.
        let tasks = row.run.tasks.values();
        let first = row.tasks.len() == 1 && row.run.retried == 0;
        if !first || tasks.map(|task| task.retries).sum::<u32>() > 0 {
            later.push(row.run_id);
        }
    }
    Ok(Seen {
        requests: request::find_requests(tx, &requests)?,
        contexts: match with_data.is_empty() {
            true => BTreeMap::new(),
            false => contexts(tx, base, &with_data)?,
        },
        artifacts: match later.is_empty() {
            true => BTreeMap::new(),
            false => artifacts(tx, base, &later)?,
        },
    })
}

/// What was written in runs, with what this batch adds.
fn contexts(
    tx: &mut Tx<'_>,
    base: &Base,
    ids: &[RunId],
) -> Result<BTreeMap<RunId, BTreeMap<String, context::Context>>, StoreError> {
    let mut found = context::contexts_of_runs(tx, ids)?;
    for new in &base.writes.contexts {
        if ids.contains(&new.run_id) {
            let of_run = found.entry(new.run_id).or_default();
            of_run.insert(new.context.key.clone(), new.context.clone());
        }
    }
    Ok(found)
}

fn artifacts(
    tx: &mut Tx<'_>,
    base: &Base,
    ids: &[RunId],
) -> Result<BTreeMap<RunId, Result<Vec<artifact::ArtifactRow>, StoreError>>, StoreError> {
    let mut found = artifact::artifacts_of_runs(tx, ids)?;
    for new in &base.writes.artifacts {
        if let Some(run_id) = new.run_id.filter(|id| ids.contains(id))
            && let Ok(of_run) = found.entry(run_id).or_insert(Ok(Vec::new()))
        {
            of_run.push(new.clone());
        }
    }
    Ok(found)
}

/// What the rendering of a leased task needs; the reason when its rows make no sense.
fn facts(base: &Base, seen: &mut Seen, lease: &Lease) -> Option<Result<Facts, String>> {
    let entry = base.runs.get(&lease.run_id)?.as_ref().ok()?;
    let id: RequestId = entry.row.request_id;
    let request = match (base.requests.get(&id), seen.requests.get(&id)) {
        (Some(Ok(request)), _) | (None, Some(Ok(request))) => request.clone(),
        (Some(Err(reason)), _) => return Some(Err(reason.clone())),
        (None, Some(Err(error))) => return Some(Err(error.reason())),
        (None, None) => return Some(Err(format!("there is no request `{id}`"))),
    };
    let artifacts = match seen.artifacts.get(&lease.run_id) {
        None => Vec::new(),
        Some(Ok(artifacts)) => artifacts.clone(),
        Some(Err(error)) => return Some(Err(error.reason())),
    };
    let contexts = seen.contexts.get(&lease.run_id).cloned();
    let id = lease.attempt.task_id;
    let contexts = contexts.unwrap_or_default();
    let facts = Facts::new(&entry.row, id, request, contexts, artifacts);
    facts.map(Ok)
}
