//! The scheduler loop: picks due requests by priority and age within limits, and launches runs
//! (`job-definitions` 8.2, with the rulings of the design: nothing is polled or pushed back).
//!
//! It looks at what it is called for in one state of the database, asks `colony_core::schedule` for a
//! plan, and leaves the rest to operations in batches ([`Launch`], [`Pass`]), which look again.

use std::collections::{BTreeMap, BTreeSet, VecDeque};
use std::sync::Arc;

use colony_core::error_code;
use colony_core::id::{DefinitionId, RequestId};
use colony_core::job::{JobError, TaskRun};
use colony_core::schedule::{
    Ant, Cursor, Need, Queue, Reason, SchedulePlan, Snapshot, Waiting, plan,
};
use colony_core::state::JobState;
use colony_store::definition::{self, Flags};
use colony_store::request::{self, RequestRow};
use colony_store::{StoreError, Tx, job_run, schedule};

use crate::backoff::Backoff;
use crate::compile::Compiled;
use crate::engine::Engine;
use crate::error::EngineError;
use crate::isolate::Subject;
use crate::nudge::Wanted;
use crate::readiness::{ants, needs_of, unserved};
use crate::runs::{Launch, Launched, Pass, Readiness, closed, flow};

/// Requests looked at in one round.
const BATCH: u32 = 64;

/// Requests that are served at once when an ant comes.
const SERVED_MAX: u32 = 1024;

pub(crate) async fn run(engine: Engine) {
    let mut backoff = Backoff::new("scheduler");
    // Whose turn it was last. Lost with the process, which only moves turns.
    let mut cursor = Cursor::default();
    loop {
        let wanted = engine.nudges.scheduler_called().await;
        match look(&engine, &wanted, &mut cursor).await {
            Ok(()) => backoff.reset(),
            Err(error) => {
                tracing::error!("failed to schedule: {error}");
                backoff.pause().await;
                engine.nudges.want_again(wanted);
            }
        }
    }
}

async fn look(engine: &Engine, wanted: &Wanted, cursor: &mut Cursor) -> Result<(), EngineError> {
    let mut keys = wanted.keys.clone();
    if wanted.unserved || wanted.everything {
        keys.extend(serve(engine).await?);
    }
    if wanted.everything {
        keys.extend(engine.store.read(schedule::eligible_keys).await?);
    }
    let mut keys: VecDeque<String> = keys.into_iter().collect();
    while !keys.is_empty() {
        let some: Vec<String> = keys.drain(..keys.len().min(BATCH as usize)).collect();
        // What is left of one key comes after the others.
        keys.extend(look_at(engine, some, cursor).await?);
    }
    Ok(())
}

/// Requests for which an ant has come are looked at again. Gives their schedule keys.
async fn serve(engine: &Engine) -> Result<BTreeSet<String>, EngineError> {
    let unserved = engine.store.read(request::unserved_keys).await?;
    let ants = engine.ants.rooms();
    let served = |key: &String| ants.iter().any(|ant| ant.serves(key));
    let mut keys = BTreeSet::new();
    for key in unserved.into_iter().filter(served) {
        let limit = SERVED_MAX;
        let write = move |tx: &mut Tx<'_>| request::serve_requests(tx, &key, limit);
        let served: Vec<String> = engine.store.write(write).await?;
        if served.len() >= SERVED_MAX as usize {
            engine.nudges.look_for_ants();
        }
        keys.extend(served);
    }
    Ok(keys)
}

/// What a look at some schedule keys has found.
#[derive(Default)]
pub(crate) struct Found {
    due: BTreeMap<String, Vec<(RequestId, Result<RequestRow, StoreError>)>>,
    taken: BTreeMap<String, u32>,
    flags: BTreeMap<DefinitionId, Flags>,
    /// The newest version of a key.
    newest: BTreeMap<String, DefinitionId>,
    /// Completed tasks of the runs before, by request.
    earlier: BTreeMap<RequestId, BTreeMap<String, TaskRun>>,
}

impl Found {
    pub(crate) fn read(tx: &mut Tx<'_>, keys: &[String]) -> Result<Self, StoreError> {
        let mut found = Self {
            taken: job_run::slots_taken(tx, keys)?,
            ..Self::default()
        };
        for key in keys {
            let due = schedule::eligible_requests(tx, key, BATCH)?;
            found.due.insert(key.clone(), due);
        }
        let readable = || {
            found
                .due
                .values()
                .flatten()
                .filter_map(|(_, row)| row.as_ref().ok())
        };
        let ids: BTreeSet<DefinitionId> = readable().map(|row| row.definition_id).collect();
        let ids: Vec<DefinitionId> = ids.into_iter().collect();
        found.flags = definition::flags_of(tx, &ids)?;
        // Those that name no version and have not run yet move on to the newest.
        let moves = |row: &&RequestRow| {
            let flags = found.flags.get(&row.definition_id);
            let untouched = row.run_id.is_none() && row.last_run_id.is_none();
            untouched && row.job_version.is_empty() && flags.is_some_and(|flags| !flags.active)
        };
        let types = readable().filter(moves);
        let types: BTreeSet<(String, String)> = types
            .map(|row| (row.org_id.clone(), row.job_type.clone()))
            .collect();
        let types: Vec<(String, String)> = types.into_iter().collect();
        found.newest = definition::newest_versions(tx, &types)?;
        let again = readable().filter(|row| !row.hard_restart);
        let again: Vec<_> = again
            .filter_map(|row| Some((row.id, row.last_run_id?)))
            .collect();
        for (id, last) in again {
            let earlier = job_run::reusable_tasks(tx, last)?;
            found.earlier.insert(id, earlier);
        }
        Ok(found)
    }

    /// The versions that requests will run.
    pub(crate) fn versions(&self) -> BTreeSet<DefinitionId> {
        let rows = self.due.values().flatten();
        let readable = rows.filter_map(|(_, row)| row.as_ref().ok());
        let known = readable.filter(|row| self.flags.contains_key(&row.definition_id));
        known.map(|row| self.version(row)).collect()
    }

    /// The version that a request will run: the pinned one, or the newest for a request that named no
    /// version and has not run yet (`job-definitions` 15.2).
    fn version(&self, row: &RequestRow) -> DefinitionId {
        let untouched = row.run_id.is_none() && row.last_run_id.is_none();
        let active = self
            .flags
            .get(&row.definition_id)
            .is_none_or(|flags| flags.active);
        match self.newest.get(&row.schedule_key) {
            Some(newest) if !active && untouched && row.job_version.is_empty() => *newest,
            Some(_) | None => row.definition_id,
        }
    }
}

/// A request that was looked at.
struct Looked {
    row: RequestRow,
    compiled: Arc<Compiled>,
    needs: Vec<Need>,
}

/// Looks at the best requests of some keys. Gives the keys of which there may be more to launch.
async fn look_at(
    engine: &Engine,
    keys: Vec<String>,
    cursor: &mut Cursor,
) -> Result<Vec<String>, EngineError> {
    Round::begin(engine, &keys);
    let wanted = keys.clone();
    let found = engine
        .store
        .read(move |tx| Found::read(tx, &wanted))
        .await?;
    let mut versions = Versions::new();
    for id in found.versions() {
        versions.insert(id, engine.compiled(id).await);
    }
    let mut round = Round::decide(engine, keys, &found, &versions, cursor)?;
    for (subject, cause) in std::mem::take(&mut round.guilty) {
        engine.give_up(subject, &cause).await?;
    }
    engine
        .perform_each(std::mem::take(&mut round.passes))
        .await?;
    let launches = std::mem::take(&mut round.launches);
    let outcomes = match launches.is_empty() {
        true => Vec::new(),
        false => {
            let (rooms, _) = engine.ants.keep_all();
            engine.perform_all(launches, rooms).await?
        }
    };
    Ok(round.settle(engine, outcomes))
}

/// Definitions ready to be run, or why they are not.
pub(crate) type Versions = BTreeMap<DefinitionId, Result<Arc<Compiled>, EngineError>>;

/// What a look at some schedule keys comes to.
pub(crate) struct Round {
    keys: Vec<String>,
    /// What cannot be looked at, and why.
    pub(crate) guilty: Vec<(Subject, EngineError)>,
    /// Those that do not run now.
    pub(crate) passes: Vec<(Subject, Pass)>,
    /// Those that do.
    pub(crate) launches: Vec<(Subject, Launch)>,
    /// The keys of `launches`, and whether their requests were there to be launched.
    launched: Vec<(String, bool)>,
    /// Keys of which somebody waits for a slot.
    short: BTreeSet<String>,
    /// Keys of which more may be launched.
    more: BTreeSet<String>,
}

impl Round {
    /// Before anything is read: a slot that is freed from now on wakes the scheduler.
    pub(crate) fn begin(engine: &Engine, keys: &[String]) {
        for key in keys {
            engine.nudges.set_short(key, true);
        }
    }

    /// Decides about what was found.
    pub(crate) fn decide(
        engine: &Engine,
        keys: Vec<String>,
        found: &Found,
        versions: &Versions,
        cursor: &mut Cursor,
    ) -> Result<Self, EngineError> {
        let (mut guilty, mut passes) = (Vec::new(), Vec::new());
        let mut looked: BTreeMap<&str, Vec<Looked>> = BTreeMap::new();
        for (key, due) in &found.due {
            for (id, row) in due {
                let subject = Subject::Request(*id);
                match look_closer(engine, found, versions, row.as_ref()) {
                    Ok(Ok(request)) => looked.entry(key).or_default().push(request),
                    Ok(Err(readiness)) => passes.push((subject, Pass { id: *id, readiness })),
                    Err(error) if error.is_about_rows() => guilty.push((subject, error)),
                    Err(error) => return Err(error),
                }
            }
        }
        let snapshot = snapshot(found, &looked, &ants(&engine.ants.rooms()));
        let plan = plan(&snapshot, std::mem::take(cursor), BATCH as usize);
        *cursor = plan.cursor.clone();
        let (mut more, mut short) = (BTreeSet::new(), BTreeSet::new());
        for (queue, key) in snapshot.queues.iter().zip(looked.keys()) {
            let waits = waiting(queue, &plan, &mut passes);
            short.extend(waits.for_slot.then(|| (*key).to_owned()));
            more.extend(waits.for_turn.then(|| (*key).to_owned()));
            let count = found.due.get(*key).map_or(0, Vec::len);
            // There may be more behind those that were looked at.
            let all = count >= BATCH as usize && !waits.for_slot && queue.closed.is_none();
            more.extend(all.then(|| (*key).to_owned()));
        }
        let launches = launches(found, looked, &plan.launch);
        let launched = launches.iter().map(|launch| {
            let row = &launch.request;
            let waits = matches!(row.job_state, JobState::Pending | JobState::Paused);
            (row.schedule_key.clone(), waits)
        });
        Ok(Self {
            keys,
            guilty,
            passes,
            launched: launched.collect(),
            launches: (launches.into_iter())
                .map(|launch| (Subject::Request(launch.request.id), launch))
                .collect(),
            short,
            more,
        })
    }

    /// Notes who waits for a slot. Gives the keys of which there may be more to launch.
    pub(crate) fn settle(
        mut self,
        engine: &Engine,
        outcomes: Vec<Option<Launched>>,
    ) -> Vec<String> {
        let mut again = BTreeSet::new();
        for ((key, waited), outcome) in self.launched.into_iter().zip(outcomes) {
            match outcome {
                Some(Launched::NoSlot) => {
                    self.short.insert(key);
                }
                // Its slot is for another one, who was told that there is none.
                Some(Launched::No) if waited => {
                    again.insert(key);
                }
                Some(Launched::Running | Launched::No) | None => {}
            }
        }
        for key in &self.keys {
            // Somebody waits for a slot, or may come to.
            let short = self.short.contains(key) || self.more.contains(key);
            engine.nudges.set_short(key, short);
        }
        let short = self.short;
        again.extend(self.more.into_iter().filter(|key| !short.contains(key)));
        again.into_iter().collect()
    }
}

/// What requests of a key wait for that are not launched.
#[derive(Default)]
struct Waits {
    for_slot: bool,
    for_turn: bool,
}

/// Notes why those wait that a plan does not launch: each that no ant can serve, and of the others the
/// first one.
fn waiting(queue: &Queue, plan: &SchedulePlan, passes: &mut Vec<(Subject, Pass)>) -> Waits {
    let mut waits = Waits::default();
    let mut told = false;
    for waiting in &queue.waiting {
        if plan.launch.contains(&waiting.id) {
            continue;
        }
        let readiness = match plan.why(queue, waiting) {
            Reason::NoAnt(need) => unserved(need),
            Reason::Turn => {
                waits.for_turn = true;
                continue;
            }
            reason => {
                waits.for_slot |= matches!(reason, Reason::NoSlot { .. });
                if std::mem::replace(&mut told, true) {
                    continue;
                }
                Readiness::Waits(reason.to_string())
            }
        };
        let id = waiting.id;
        passes.push((Subject::Request(id), Pass { id, readiness }));
    }
    waits
}

fn snapshot(found: &Found, looked: &BTreeMap<&str, Vec<Looked>>, ants: &[Ant]) -> Snapshot {
    let mut snapshot = Snapshot {
        ants: ants.to_vec(),
        ..Snapshot::default()
    };
    for (key, requests) in looked {
        // Versions of one type hardly differ in it; each is checked when it is launched.
        let first = requests.first();
        let flags = first.and_then(|first| found.flags.get(&first.row.definition_id));
        let mut queue = Queue {
            flow: flow(key),
            closed: flags.copied().and_then(closed),
            taken: found.taken.get(*key).copied().unwrap_or(0),
            max_concurrency: flags.map_or(0, |flags| flags.max_concurrency),
            is_default: first.is_some_and(|first| {
                let definition = &first.compiled.definition;
                definition.max_concurrency.is_none()
            }),
            waiting: Vec::new(),
        };
        for request in requests {
            let known = snapshot
                .needs
                .iter()
                .position(|needs| *needs == request.needs);
            let needs = known.unwrap_or_else(|| {
                snapshot.needs.push(request.needs.clone());
                snapshot.needs.len() - 1
            });
            queue.waiting.push(Waiting {
                id: request.row.id,
                priority: request.row.job_priority,
                needs,
            });
        }
        snapshot.queues.push(queue);
    }
    snapshot
}

/// The requests of a plan in their order.
fn launches(
    found: &Found,
    looked: BTreeMap<&str, Vec<Looked>>,
    order: &[RequestId],
) -> Vec<Launch> {
    let all = looked.into_values().flatten();
    let mut by_id: BTreeMap<RequestId, Looked> =
        all.map(|request| (request.row.id, request)).collect();
    let planned = order.iter().filter_map(|id| by_id.remove(id));
    let launch = |request: Looked| Launch {
        earlier: (found.earlier.get(&request.row.id).cloned()).unwrap_or_default(),
        request: request.row,
        compiled: request.compiled,
    };
    planned.map(launch).collect()
}

/// What a request asks for, or why it is passed over.
fn look_closer(
    engine: &Engine,
    found: &Found,
    versions: &Versions,
    row: Result<&RequestRow, &StoreError>,
) -> Result<Result<Looked, Readiness>, EngineError> {
    let row = row.map_err(|error| EngineError::Unreadable(error.reason()))?;
    let id = found.version(row);
    let compiled = match versions.get(&id) {
        Some(Ok(compiled)) => Arc::clone(compiled),
        Some(Err(EngineError::Store(error))) => return Err(error.clone().into()),
        Some(Err(error)) if error.is_about_rows() => {
            let error = JobError::new(error_code::VALIDATION, error.to_string());
            return Ok(Err(Readiness::Refused(error)));
        }
        Some(Err(_)) | None => {
            return Err(EngineError::not_found("readable definition", id));
        }
    };
    let needs = needs_of(engine, row, &compiled)?;
    Ok(needs
        .map(|needs| Looked {
            row: row.clone(),
            compiled,
            needs,
        })
        .map_err(Readiness::Refused))
}
