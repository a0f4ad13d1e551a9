//! A batch of operations in one transaction: loading, deciding, writing.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use colony_core::id::{DefinitionId, IdSource, RequestId, RunId, TaskId};
use colony_core::job::JobError;
use colony_core::plan::Plan;
use colony_core::queue_key;
use colony_core::time::Timestamp;
use colony_store::artifact::{self, ArtifactRow};
use colony_store::context::{self, Context, NewContext};
use colony_store::definition::{self, Flags};
use colony_store::job_run::{self, JobRunRow, RunResult, RunWrite};
use colony_store::ledger::{TaskRow, task};
use colony_store::request::{self, RequestRow};
use colony_store::{StoreError, Tx, Writes, schedule};

use super::dispatch;
use super::operation::{Ask, Needs};
use super::stage::Stage;
use crate::compile::Definitions;
use crate::effects::Effects;
use crate::engine::EngineSettings;
use crate::error::EngineError;

/// What decisions stand on beside rows.
pub(crate) struct Ground {
    pub(crate) definitions: Arc<Definitions>,
    pub(crate) ids: Arc<dyn IdSource>,
    pub(crate) settings: Arc<EngineSettings>,
    /// Whose turn it was last when ants were given tasks.
    pub(crate) turns: Arc<dispatch::LastTurns>,
}

/// A run under decision.
#[derive(Debug, Clone)]
pub(super) struct RunEntry {
    /// As it was loaded; none for a new one.
    pub(super) before: Option<JobRunRow>,
    /// As it is by now.
    pub(super) row: JobRunRow,
    pub(super) plan: Arc<Plan>,
    /// Set when it ended: why it failed, if it did.
    pub(super) ended: Option<Option<JobError>>,
    /// Tasks whose earlier results it has reached: what they left is copied.
    pub(super) reused: Vec<String>,
    /// Something of it is to be written.
    pub(super) touched: bool,
    /// Its row is written whatever it says.
    pub(super) forced: bool,
}

/// A row, or why it makes no sense.
pub(super) type Readable<T> = Result<T, String>;

/// Everything that operations of a batch have loaded and decided so far.
#[derive(Default)]
pub(super) struct Base {
    pub(super) runs: BTreeMap<RunId, Readable<RunEntry>>,
    /// The runs that were looked for; those that are not loaded are not there.
    pub(super) wanted: BTreeSet<RunId>,
    pub(super) run_of: BTreeMap<TaskId, RunId>,
    pub(super) shown: BTreeMap<TaskId, TaskRow>,
    pub(super) requests: BTreeMap<RequestId, Readable<RequestRow>>,
    pub(super) taken: BTreeMap<String, u32>,
    pub(super) in_use: BTreeSet<String>,
    pub(super) user_keys: BTreeMap<String, RequestId>,
    pub(super) flags: BTreeMap<DefinitionId, Flags>,
    pub(super) writes: Writes,
    pub(super) effects: Effects,
}

/// Runs operations: an outcome for each, and what is to be done when they are committed.
///
/// # Errors
///
/// The database failed, or a row among those that are written is refused: nothing may be kept.
pub(crate) fn run_operations(
    tx: &mut Tx<'_>,
    ground: &Ground,
    asks: &[Ask],
) -> Result<(Vec<Result<(), EngineError>>, Effects), StoreError> {
    let now = asks.iter().map(|ask| ask.now).max().unwrap_or_default();
    let mut base = load(tx, ground, asks)?;
    let mut outcomes = Vec::with_capacity(asks.len());
    let mut rooms = Vec::new();
    for ask in asks {
        let mut stage = Stage::new(ground, &base, ask.now, ask.seed);
        let outcome = ask.decide(&mut stage);
        if outcome.is_ok() {
            let staged = stage.into_staged();
            base.absorb(staged);
            rooms.extend(ask.room.iter().cloned());
        }
        outcomes.push(outcome);
    }
    base.copy_reused(tx, ground, now)?;
    if !rooms.is_empty() {
        dispatch::lease_to_ants(tx, ground, &mut base, rooms, now)?;
    } else {
        base.effects.dispatch |= base.has_queued_for_ants();
    }
    let effects = base.write(tx, now)?;
    Ok((outcomes, effects))
}

fn load(tx: &mut Tx<'_>, ground: &Ground, asks: &[Ask]) -> Result<Base, StoreError> {
    let mut needs = Needs::default();
    asks.iter().for_each(|ask| ask.needs(&mut needs));
    let mut base = Base::default();
    find_runs(tx, &mut needs, &mut base)?;
    // The run before the request, and both before the slots, as everywhere.
    base.load_runs(tx, ground, &vec_of(&needs.runs), false)?;
    base.wanted.clone_from(&needs.runs);
    needs.requests.extend(needs.with_run);
    if !needs.requests.is_empty() {
        let requests = request::lock_requests(tx, &vec_of(&needs.requests))?;
        let readable = |request: Result<_, StoreError>| request.map_err(|error| error.reason());
        base.requests = (requests.into_iter())
            .map(|(id, request)| (id, readable(request)))
            .collect();
    }
    if !needs.shown.is_empty() {
        base.shown = task::find_tasks(tx, &vec_of(&needs.shown))?;
    }
    if !needs.user_keys.is_empty() {
        base.user_keys = request::holders_of_keys(tx, &vec_of(&needs.user_keys))?;
    }
    if !needs.definitions.is_empty() {
        base.flags = definition::flags_of(tx, &vec_of(&needs.definitions))?;
    }
    if !needs.in_use.is_empty() {
        base.in_use = schedule::keys_in_use(tx, &vec_of(&needs.in_use))?;
    }
    if !needs.slots.is_empty() {
        // Slots of runs that end in this batch, too: locked later they would be out of order.
        let runs = base.runs.values().filter_map(|run| run.as_ref().ok());
        let keys = runs.map(|run| run.row.schedule_key.clone());
        needs.slots.extend(keys);
        base.taken = job_run::lock_slots(tx, &vec_of(&needs.slots))?;
    }
    Ok(base)
}

/// Finds out which runs are meant by tasks and requests.
fn find_runs(tx: &mut Tx<'_>, needs: &mut Needs, base: &mut Base) -> Result<(), StoreError> {
    if !needs.tasks.is_empty() {
        base.run_of = job_run::runs_of_job_tasks(tx, &vec_of(&needs.tasks))?;
        needs.runs.extend(base.run_of.values());
    }
    if !needs.with_run.is_empty() {
        let requests = request::find_requests(tx, &vec_of(&needs.with_run))?;
        let readable = requests.into_values().filter_map(Result::ok);
        needs
            .runs
            .extend(readable.filter_map(|request| request.run_id));
    }
    Ok(())
}

fn vec_of<T: Clone>(set: &BTreeSet<T>) -> Vec<T> {
    set.iter().cloned().collect()
}

impl Base {
    /// Loads and locks runs that are not here yet.
    pub(super) fn load_runs(
        &mut self,
        tx: &mut Tx<'_>,
        ground: &Ground,
        ids: &[RunId],
        skip_locked: bool,
    ) -> Result<(), StoreError> {
        for (id, run) in job_run::lock_runs(tx, ids, skip_locked)? {
            let entry = match run {
                Err(error) => Err(error.reason()),
                Ok(row) => RunEntry::load(tx, ground, row)?,
            };
            self.runs.insert(id, entry);
        }
        Ok(())
    }

    /// Whether a task waits for an ant from now on.
    pub(super) fn has_queued_for_ants(&self) -> bool {
        let queued = self.writes.queued.iter();
        queued
            .map(|task| &*task.key)
            .any(|key| key < queue_key::ANT_END)
    }

    /// Those of some runs that are not loaded because they are not there.
    pub(super) fn absent(
        &self,
        tx: &mut Tx<'_>,
        ids: &[RunId],
    ) -> Result<BTreeSet<RunId>, StoreError> {
        let missing = ids.iter().filter(|id| !self.runs.contains_key(id));
        let missing: Vec<RunId> = missing.copied().collect();
        if missing.is_empty() {
            return Ok(BTreeSet::new());
        }
        let there = job_run::existing(tx, &missing)?;
        Ok(missing
            .into_iter()
            .filter(|id| !there.contains(id))
            .collect())
    }

    /// Takes over what one operation decided.
    pub(super) fn absorb(&mut self, staged: super::stage::Staged) {
        let runs = staged.runs.into_iter();
        self.runs.extend(runs.map(|(id, entry)| (id, Ok(entry))));
        let requests = staged.requests.into_iter();
        self.requests
            .extend(requests.map(|(id, request)| (id, Ok(request))));
        for (key, change) in &staged.writes.slots {
            let taken = self.taken.entry(key.clone()).or_default();
            *taken = taken.saturating_add_signed(i32::try_from(*change).unwrap_or(0));
        }
        for new in &staged.writes.requests {
            if new.eligible {
                self.in_use.insert(new.row.schedule_key.clone());
            }
            if let Some(key) = &new.row.user_key {
                self.user_keys.insert(key.clone(), new.row.id);
            }
        }
        self.writes.extend(staged.writes);
        self.effects.extend(staged.effects);
    }

    /// Writes everything that changed.
    pub(super) fn write(mut self, tx: &mut Tx<'_>, now: Timestamp) -> Result<Effects, StoreError> {
        let runs = std::mem::take(&mut self.runs);
        let entries = runs.into_values().filter_map(Result::ok);
        let entries: Vec<RunEntry> = entries.filter(|entry| entry.touched).collect();
        let mut results = self.results(tx, &entries)?;
        for entry in &entries {
            let ids = entry.row.task_ids();
            self.effects.changes.push((entry.row.run_id, ids));
        }
        let write = |entry: RunEntry| RunWrite {
            result: results.remove(&entry.row.run_id),
            before: entry.before,
            after: entry.row,
            plan: entry.plan,
            forced: entry.forced,
            now,
        };
        self.writes.runs = entries.into_iter().map(write).collect();
        self.writes.save(tx, now)?;
        Ok(self.effects)
    }

    /// What the Runs API shows of runs that ended: the latest value of each name that was written.
    fn results(
        &self,
        tx: &mut Tx<'_>,
        entries: &[RunEntry],
    ) -> Result<BTreeMap<RunId, RunResult>, StoreError> {
        let ended = || entries.iter().filter(|entry| entry.ended.is_some());
        let with_data = ended().filter(|entry| entry.row.has_data);
        let ids: Vec<RunId> = with_data.map(|entry| entry.row.run_id).collect();
        let mut contexts = match ids.is_empty() {
            true => BTreeMap::new(),
            false => context::contexts_of_runs(tx, &ids)?,
        };
        for new in &self.writes.contexts {
            if ids.contains(&new.run_id) {
                let of_run = contexts.entry(new.run_id).or_default();
                of_run.insert(new.context.key.clone(), new.context.clone());
            }
        }
        let result = |entry: &RunEntry| {
            let output = contexts.remove(&entry.row.run_id).and_then(output);
            let error = entry.ended.clone().flatten();
            (entry.row.run_id, RunResult { output, error })
        };
        Ok(ended().map(result).collect())
    }

    /// A task whose earlier result was reused brings along what it exported and stored
    /// (`job-definitions` 7.5).
    fn copy_reused(
        &mut self,
        tx: &mut Tx<'_>,
        ground: &Ground,
        now: Timestamp,
    ) -> Result<(), StoreError> {
        let entries = self.runs.values_mut().filter_map(|run| run.as_mut().ok());
        let reusing = entries.filter(|entry| !entry.reused.is_empty());
        let reusing: Vec<(JobRunRow, Vec<String>)> = reusing
            .map(|entry| {
                entry.row.has_data = true;
                (entry.row.clone(), std::mem::take(&mut entry.reused))
            })
            .collect();
        for (run, names) in reusing {
            let request = request::find_request(tx, run.request_id)?;
            let Some(from) = request.and_then(|request| request.last_run_id) else {
                continue;
            };
            for name in names {
                let to = run.tasks.get(&name).map(|task| task.id);
                let old = job_run::find_task(tx, from, &name)?;
                if let Some((old, to)) = old.zip(to) {
                    self.copy_task(tx, ground, &run, (from, old), to, now)?;
                }
            }
        }
        Ok(())
    }

    fn copy_task(
        &mut self,
        tx: &mut Tx<'_>,
        ground: &Ground,
        run: &JobRunRow,
        (from, old): (RunId, TaskId),
        task_id: TaskId,
        now: Timestamp,
    ) -> Result<(), StoreError> {
        for old in context::contexts_of_task(tx, from, old)? {
            let id = colony_core::id::RunDataId::new(ground.ids.next_uuid());
            self.writes.contexts.push(NewContext {
                run_id: run.run_id,
                org_id: run.org_id.clone(),
                context: Context { id, task_id, ..old },
            });
        }
        for old in artifact::artifacts_of_task(tx, old)? {
            let attempt = old.attempt;
            self.writes.artifacts.push(ArtifactRow {
                id: colony_core::id::ArtifactId::new(ground.ids.next_uuid()),
                run_id: Some(run.run_id),
                attempt: attempt.map(|attempt| colony_core::id::AttemptRef { task_id, ..attempt }),
                created_at: now,
                ..old
            });
        }
        Ok(())
    }
}

fn output(contexts: BTreeMap<String, Context>) -> Option<String> {
    let values = contexts
        .into_iter()
        .map(|(key, context)| (key, context.value));
    let values: serde_json::Map<_, _> = values.collect();
    (!values.is_empty()).then(|| serde_json::Value::Object(values).to_string())
}

impl RunEntry {
    /// A run that was loaded, or why its definition makes no sense.
    fn load(
        tx: &mut Tx<'_>,
        ground: &Ground,
        row: JobRunRow,
    ) -> Result<Readable<Self>, StoreError> {
        let plan = match ground.definitions.plan(tx, row.definition_id) {
            Ok(plan) => plan,
            Err(EngineError::Store(error)) if !error.is_about_rows() => return Err(error),
            Err(error) => return Ok(Err(crate::isolate::why(&error))),
        };
        Ok(Ok(Self {
            before: Some(row.clone()),
            ..Self::new(row, plan)
        }))
    }

    /// A run that is not stored yet.
    pub(super) fn new(row: JobRunRow, plan: Arc<Plan>) -> Self {
        Self {
            before: None,
            row,
            plan,
            ended: None,
            reused: Vec::new(),
            touched: false,
            forced: false,
        }
    }
}
