//! The scheduler loop: picks due requests by priority and age within limits, and launches runs
//! (`job-definitions` 8.2, with the rulings of the design: nothing is polled or pushed back).
//!
//! It looks at what it is called for, prepares it outside of any transaction, and leaves the rest to
//! operations in batches ([`Launch`], [`Pass`]).

use std::collections::{BTreeMap, BTreeSet, VecDeque};

use colony_core::id::{DefinitionId, RequestId};
use colony_core::job::TaskRun;
use colony_core::turns::take_turns;
use colony_store::definition::{self, Flags};
use colony_store::request::{self, RequestRow};
use colony_store::{StoreError, Tx, job_run, schedule};

use crate::ant::AntRoom;
use crate::backoff::Backoff;
use crate::engine::Engine;
use crate::error::EngineError;
use crate::isolate::Subject;
use crate::nudge::Wanted;
use crate::readiness::readiness;
use crate::runs::{Launch, Launched, Pass, Readiness};

/// Requests looked at in one round.
const BATCH: u32 = 64;

/// Requests that are served at once when an ant comes.
const SERVED_MAX: u32 = 1024;

pub(crate) async fn run(engine: Engine) {
    let mut backoff = Backoff::new("scheduler");
    loop {
        let wanted = engine.nudges.scheduler_called().await;
        match look(&engine, &wanted).await {
            Ok(()) => backoff.reset(),
            Err(error) => {
                tracing::error!("failed to schedule: {error}");
                backoff.pause().await;
                engine.nudges.want_again(wanted);
            }
        }
    }
}

async fn look(engine: &Engine, wanted: &Wanted) -> Result<(), EngineError> {
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
        keys.extend(look_at(engine, some).await?);
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
struct Found {
    due: BTreeMap<String, Vec<(RequestId, Result<RequestRow, StoreError>)>>,
    taken: BTreeMap<String, u32>,
    flags: BTreeMap<DefinitionId, Flags>,
    /// The newest version of a key.
    newest: BTreeMap<String, DefinitionId>,
    /// Completed tasks of the runs before, by request.
    earlier: BTreeMap<RequestId, BTreeMap<String, TaskRun>>,
}

impl Found {
    fn read(tx: &mut Tx<'_>, keys: &[String]) -> Result<Self, StoreError> {
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

/// Looks at the best requests of some keys. Gives the keys of which there may be more to launch.
async fn look_at(engine: &Engine, keys: Vec<String>) -> Result<Vec<String>, EngineError> {
    for key in &keys {
        engine.nudges.set_short(key, true);
    }
    let wanted = keys.clone();
    let found = engine
        .store
        .read(move |tx| Found::read(tx, &wanted))
        .await?;
    let ants = engine.ants.rooms();
    let mut more = Vec::new();
    let (mut launches, mut passes) = (BTreeMap::new(), Vec::new());
    for (key, due) in &found.due {
        let count = due.len();
        let mut ready = VecDeque::new();
        for (id, row) in due {
            let subject = Subject::Request(*id);
            match prepare(engine, &found, row.as_ref(), &ants).await {
                Ok(Prepared::Launch(launch)) => ready.push_back((subject, *launch)),
                Ok(Prepared::Pass(pass)) => passes.push((subject, pass)),
                Err(error) if error.is_about_rows() => engine.give_up(subject, &error).await?,
                Err(error) => return Err(error),
            }
        }
        // Those behind the last slot need not be asked for: the first of them tells why it waits.
        let free = slots_free(&found, due, key);
        let asked = ready.len().min(free as usize + 1);
        ready.truncate(asked);
        if count >= BATCH as usize && asked <= free as usize {
            more.push(key.clone());
        }
        launches.insert(key.clone(), ready);
    }
    engine.perform_each(passes).await?;
    let in_turns = take_turns(launches, "");
    let short = launch(engine, in_turns).await?;
    for key in &keys {
        // Somebody waits for a slot, or may come to.
        let waits = short.contains(key) || more.contains(key);
        engine.nudges.set_short(key, waits);
    }
    more.retain(|key| !short.contains(key));
    Ok(more)
}

fn slots_free(
    found: &Found,
    due: &[(RequestId, Result<RequestRow, StoreError>)],
    key: &str,
) -> u32 {
    let versions = due.iter().filter_map(|(_, row)| row.as_ref().ok());
    let flags = versions.filter_map(|row| found.flags.get(&found.version(row)));
    // A version that was just looked up has no flags here; it is asked for in any case.
    let most = flags.map(|flags| flags.max_concurrency).max();
    let taken = found.taken.get(key).copied().unwrap_or(0);
    most.map_or(BATCH, |most| most.saturating_sub(taken))
}

/// Launches requests in their order. Gives the keys without a free slot.
async fn launch(
    engine: &Engine,
    launches: Vec<(Subject, Launch)>,
) -> Result<BTreeSet<String>, EngineError> {
    let keys: Vec<String> = (launches.iter())
        .map(|(_, launch)| launch.request.schedule_key.clone())
        .collect();
    let rooms = match launches.is_empty() {
        true => Vec::new(),
        false => engine.ants.keep_all(),
    };
    let outcomes = engine.perform_all(launches, rooms).await?;
    let short = keys.into_iter().zip(outcomes);
    Ok(short
        .filter(|(_, outcome)| *outcome == Some(Launched::NoSlot))
        .map(|(key, _)| key)
        .collect())
}

enum Prepared {
    Launch(Box<Launch>),
    Pass(Pass),
}

async fn prepare(
    engine: &Engine,
    found: &Found,
    row: Result<&RequestRow, &StoreError>,
    ants: &[AntRoom],
) -> Result<Prepared, EngineError> {
    let row = row.map_err(|error| EngineError::Unreadable(error.reason()))?;
    if !found.flags.contains_key(&row.definition_id) {
        let id = row.definition_id;
        return Err(EngineError::not_found("readable definition", id));
    }
    let pass = |readiness| {
        Prepared::Pass(Pass {
            id: row.id,
            readiness,
        })
    };
    let compiled = match engine.compiled(found.version(row)).await {
        Ok(compiled) => compiled,
        Err(error) if error.is_about_rows() && !matches!(error, EngineError::Store(_)) => {
            let error = colony_core::job::JobError::new(
                colony_core::error_code::VALIDATION,
                error.to_string(),
            );
            return Ok(pass(Readiness::Refused(error)));
        }
        Err(error) => return Err(error),
    };
    Ok(match readiness(engine, row, &compiled, ants)? {
        Readiness::Ready => Prepared::Launch(Box::new(Launch {
            request: row.clone(),
            compiled,
            earlier: found.earlier.get(&row.id).cloned().unwrap_or_default(),
        })),
        not_ready => pass(not_ready),
    })
}
