//! Definitions ready to be run: parsed once, kept in memory. Rows of versions never change.

use std::collections::{BTreeMap, HashMap};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use colony_core::backoff::{Backoff, Wait};
use colony_core::id::DefinitionId;
use colony_core::method::Method;
use colony_core::plan::{
    DEFAULT_JOB_TIMEOUT, DEFAULT_MAX_CONCURRENCY, DEFAULT_TASK_TIMEOUT, Plan, Target, TaskPlan,
};
use colony_spec::{Definition, Loader, Task};
use colony_store::Tx;
use colony_store::definition::{self, DefinitionRow};

use crate::engine::Engine;
use crate::error::EngineError;

/// Definitions kept in memory; more than this many are compiled again when they are needed.
const CACHED_MAX: usize = 512;

/// A definition ready to be run.
#[derive(Debug)]
pub struct Compiled {
    /// As stored. Its flags are those of the time when it was loaded.
    pub row: DefinitionRow,
    /// Its typed form.
    pub definition: Definition,
    /// Its control flow, as it was understood when it was saved.
    pub plan: Arc<Plan>,
}

/// Compiled definitions by id.
#[derive(Debug)]
pub(crate) struct Definitions {
    default_method: Method,
    cached: Mutex<Cached>,
}

#[derive(Debug, Default)]
struct Cached {
    compiled: HashMap<DefinitionId, Arc<Compiled>>,
    /// Control flows, also of definitions that are not needed whole.
    plans: HashMap<DefinitionId, Arc<Plan>>,
    /// The version that a type had when it was last looked up, by organization, name and wanted
    /// `sem_version`.
    versions: HashMap<(String, String, String), DefinitionId>,
}

impl Definitions {
    pub(crate) fn new(default_method: Method) -> Self {
        Self {
            default_method,
            cached: Mutex::default(),
        }
    }

    /// Reads definitions as this engine understands them.
    pub(crate) fn loader(&self) -> Loader {
        Loader::new().default_method(self.default_method)
    }

    /// The definition of that id, if it is in memory.
    pub(crate) fn cached(&self, id: DefinitionId) -> Option<Arc<Compiled>> {
        self.lock().compiled.get(&id).cloned()
    }

    /// The version that a type had when it was last looked up.
    pub(crate) fn version(&self, place: &(String, String, String)) -> Option<DefinitionId> {
        self.lock().versions.get(place).copied()
    }

    /// Notes the version of a type.
    pub(crate) fn set_version(&self, place: (String, String, String), id: DefinitionId) {
        let mut cached = self.lock();
        if cached.versions.len() >= CACHED_MAX {
            cached.versions.clear();
        }
        cached.versions.insert(place, id);
    }

    /// A version that was looked up is not the newest any more.
    pub(crate) fn forget_version(&self, place: &(String, String, String)) {
        self.lock().versions.remove(place);
    }

    /// The definition of that id, from memory or the database.
    pub(crate) fn load(
        &self,
        tx: &mut Tx<'_>,
        id: DefinitionId,
    ) -> Result<Arc<Compiled>, EngineError> {
        if let Some(compiled) = self.cached(id) {
            return Ok(compiled);
        }
        let row = definition::find_definition(tx, id)?;
        let row = row.ok_or_else(|| EngineError::not_found("definition", id))?;
        let definition = self
            .loader()
            .load_stored(&row.raw_yaml)
            .map_err(EngineError::InvalidDefinition)?;
        let plan = match definition::find_plan(tx, id)? {
            Some(plan) => plan,
            // Saved by a program that did not store it.
            None => plan(&definition)?,
        };
        let compiled = Arc::new(Compiled {
            row,
            definition,
            plan: Arc::new(plan),
        });
        let mut cached = self.lock();
        if cached.compiled.len() >= CACHED_MAX {
            cached.compiled.clear();
        }
        cached.compiled.insert(id, Arc::clone(&compiled));
        Ok(compiled)
    }

    /// The control flow of the version of that id, from memory or the database.
    pub(crate) fn plan(&self, tx: &mut Tx<'_>, id: DefinitionId) -> Result<Arc<Plan>, EngineError> {
        let cached = {
            let cached = self.lock();
            let compiled = cached.compiled.get(&id).map(|compiled| &compiled.plan);
            compiled.or_else(|| cached.plans.get(&id)).cloned()
        };
        if let Some(plan) = cached {
            return Ok(plan);
        }
        let Some(plan) = definition::find_plan(tx, id)? else {
            return Ok(Arc::clone(&self.load(tx, id)?.plan));
        };
        let plan = Arc::new(plan);
        let mut cached = self.lock();
        if cached.plans.len() >= CACHED_MAX {
            cached.plans.clear();
        }
        cached.plans.insert(id, Arc::clone(&plan));
        Ok(plan)
    }

    /// Puts a definition into memory that was made without a text.
    #[cfg(test)]
    pub(crate) fn keep(&self, compiled: Arc<Compiled>) {
        self.lock().compiled.insert(compiled.row.id, compiled);
    }

    fn lock(&self) -> std::sync::MutexGuard<'_, Cached> {
        self.cached.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Engine {
    /// The definition of that id, ready to be run.
    pub(crate) async fn compiled(&self, id: DefinitionId) -> Result<Arc<Compiled>, EngineError> {
        if let Some(compiled) = self.definitions.cached(id) {
            return Ok(compiled);
        }
        let definitions = Arc::clone(&self.definitions);
        self.store.read(move |tx| definitions.load(tx, id)).await
    }
}

/// The control flow of a definition.
pub(crate) fn plan(definition: &Definition) -> Result<Plan, EngineError> {
    let first = definition.first_task().ok_or_else(|| {
        EngineError::Invalid(format!("no first task found in `{}`", definition.job_type))
    })?;
    Ok(Plan {
        first: first.task_type.clone(),
        tasks: definition
            .tasks
            .iter()
            .map(|task| task_plan(definition, task))
            .collect(),
        retry: definition.retry,
        wait: wait(
            definition.retry_backoff_policy.as_ref(),
            definition.delay_between_retries,
        ),
        timeout: or_default(definition.timeout, DEFAULT_JOB_TIMEOUT),
        pause_time: set(definition.pause_time),
        hard_reset_after_retries: definition.hard_reset_after_retries,
    })
}

/// The control flow of one task, as written or as rendered for a run.
pub(crate) fn task_plan(definition: &Definition, task: &Task) -> TaskPlan {
    // Already lower case, but for templates, whose words are names.
    let mut tags = task.tags.clone();
    tags.sort();
    tags.dedup();
    TaskPlan {
        name: task.task_type.clone(),
        method: task.method,
        tags,
        routes: routes(definition, task),
        retry: task.retry,
        wait: wait(
            task.retry_backoff_policy.as_ref(),
            task.delay_between_retries,
        ),
        timeout: or_default(task.timeout, DEFAULT_TASK_TIMEOUT),
        allow_failure: task.allow_failure,
        always_run: task.always_run,
        allow_start_if_completed: task.allow_start_if_completed,
        artifacts_kept: (task.artifacts.as_ref())
            .and_then(|artifacts| set(artifacts.expires_after)),
    }
}

/// `on_exit_code` already holds `on_completed` and `on_failed`. A target that is neither a task nor
/// a reserved word can only be a template that is not rendered yet: it leads nowhere.
fn routes(definition: &Definition, task: &Task) -> BTreeMap<String, Target> {
    task.on_exit_code
        .iter()
        .filter_map(|(code, word)| {
            let target = Target::parse(word, definition.task(word).is_some())?;
            Some((code.clone(), target))
        })
        .collect()
}

fn wait(policy: Option<&colony_spec::model::Backoff>, delay: Duration) -> Wait {
    let backoff = policy
        .filter(|policy| !policy.min.is_zero())
        .map(|policy| Backoff {
            min: policy.min,
            max: policy.max,
            factor: policy.factor,
            jitter: policy.jitter,
        });
    Wait {
        backoff,
        delay: set(delay),
    }
}

fn set(duration: Duration) -> Option<Duration> {
    (!duration.is_zero()).then_some(duration)
}

fn or_default(duration: Duration, default: Duration) -> Duration {
    set(duration).unwrap_or(default)
}

/// How many requests of a definition may run at once.
pub(crate) fn max_concurrency(definition: &Definition) -> u32 {
    definition
        .max_concurrency
        .unwrap_or(DEFAULT_MAX_CONCURRENCY)
}
