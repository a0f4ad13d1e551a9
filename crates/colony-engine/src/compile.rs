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
    /// Its control flow.
    pub plan: Plan,
}

/// Compiled definitions by id.
#[derive(Debug)]
pub(crate) struct Definitions {
    default_method: Method,
    cached: Mutex<HashMap<DefinitionId, Arc<Compiled>>>,
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

    /// The definition of that id, from memory or the database.
    pub(crate) fn load(
        &self,
        tx: &mut Tx<'_>,
        id: DefinitionId,
    ) -> Result<Arc<Compiled>, EngineError> {
        if let Some(compiled) = self.lock().get(&id) {
            return Ok(Arc::clone(compiled));
        }
        let row = definition::find_definition(tx, id)?;
        let row = row.ok_or_else(|| EngineError::not_found("definition", id))?;
        let definition = self
            .loader()
            .load_stored(&row.raw_yaml)
            .map_err(EngineError::InvalidDefinition)?;
        let compiled = Arc::new(compile(row, definition)?);
        let mut cached = self.lock();
        if cached.len() >= CACHED_MAX {
            cached.clear();
        }
        cached.insert(id, Arc::clone(&compiled));
        Ok(compiled)
    }

    fn lock(&self) -> std::sync::MutexGuard<'_, HashMap<DefinitionId, Arc<Compiled>>> {
        self.cached.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

fn compile(row: DefinitionRow, definition: Definition) -> Result<Compiled, EngineError> {
    let plan = plan(&definition)?;
    Ok(Compiled {
        row,
        definition,
        plan,
    })
}

/// The control flow of a definition.
fn plan(definition: &Definition) -> Result<Plan, EngineError> {
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
