//! From a ready task to what an ant or worker is asked to do: data, templates, dependencies.

mod surroundings;

use std::collections::BTreeMap;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::Arc;
use std::time::Duration;

use colony_core::error_code;
use colony_core::id::{AttemptRef, DefinitionId, RequestId, RunId, TaskId};
use colony_core::job::AttemptEnd;
use colony_core::plan::{DEFAULT_TASK_TIMEOUT, TaskPlan};
use colony_core::queue_key;
use colony_core::state::JobTaskState;
use colony_core::time::Timestamp;
use colony_spec::Task;
use colony_spec::data::{Attempt, BuiltIns, Layers};
use colony_spec::model::Variables;
use colony_spec::not_yet::fan_out_refusal;
use colony_spec::render::{Except, Outside, Renderer};
use colony_store::Tx;
use colony_store::artifact::{self, ArtifactRow, Content};
use colony_store::context::{self, Context};
use colony_store::job_run::{self, JobRunRow, JobTaskRow, Shown};
use colony_store::request::{self, RequestRow};
use colony_wire::{ArtifactRules, Dependency, Environment, Order, Phases, UploadWhen};
use jiff::tz::TimeZone;
use serde_json::Value;

use crate::compile::{Compiled, task_plan};
use crate::derived;
use crate::engine::Engine;
use crate::error::EngineError;
use crate::tags;

/// The queen waits this much longer than the ant before it calls a task timed out
/// (`job-definitions` 7.3).
pub(crate) const TIMEOUT_GRACE: Duration = Duration::from_secs(2);

/// What job-level templates and checks see of a request.
pub(crate) struct JobData {
    layers: Layers,
    seed: u64,
}

impl JobData {
    /// The data of a request that does not run yet: no contexts.
    pub(crate) fn of_request(
        engine: &Engine,
        request: &RequestRow,
        compiled: &Compiled,
    ) -> Result<Self, EngineError> {
        let now = engine.now();
        let mut layers = layers(request, compiled, (request.retried, 0), now)?;
        let seed = engine.seed();
        layers.job_variables = job_variables(compiled, &layers, seed);
        Ok(Self { layers, seed })
    }

    /// A text of the job, rendered; `None` when that fails.
    pub(crate) fn text(&self, template: &str) -> Option<String> {
        let renderer = renderer(self.seed, &self.layers);
        renderer.text(template, &self.layers.template_data()).ok()
    }

    /// Names in `required_params` that have no value.
    pub(crate) fn missing_params(&self, compiled: &Compiled) -> Vec<String> {
        self.layers
            .missing_params(&compiled.definition.required_params)
    }

    /// The `skip_if` expression, when it is true.
    pub(crate) fn filtered_by(&self, compiled: &Compiled) -> Option<String> {
        let definition = &compiled.definition;
        if definition.skip_if.is_empty() {
            return None;
        }
        let renderer = renderer(self.seed, &self.layers);
        let filtered = renderer.skip_if(definition, &self.layers.template_data());
        filtered.then(|| definition.skip_if.clone())
    }
}

fn layers(
    request: &RequestRow,
    compiled: &Compiled,
    (job_retry, job_elapsed_secs): (u32, u64),
    now: Timestamp,
) -> Result<Layers, EngineError> {
    let params: serde_json::Map<String, Value> = serde_json::from_str(&request.params)
        .map_err(|error| EngineError::Invalid(format!("stored parameters: {error}")))?;
    Ok(Layers {
        job_type: request.job_type.clone(),
        job_variables: compiled.definition.job_variables.clone(),
        user_id: (!request.user_id.is_empty()).then(|| request.user_id.clone()),
        organization_id: Some(request.org_id.clone()),
        built_ins: Some(BuiltIns {
            job_id: request.id.to_string(),
            job_retry,
            job_elapsed_secs,
            sem_version: compiled.definition.sem_version.clone(),
        }),
        params: variables(params),
        now: Some((now, TimeZone::system())),
        ..Layers::default()
    })
}

fn variables(values: impl IntoIterator<Item = (String, Value)>) -> Variables {
    let mut variables = Variables::new();
    for (name, value) in values {
        variables.insert(name, value);
    }
    variables
}

/// The job's variables, with those that are templates rendered (`job-definitions` 5.5).
fn job_variables(compiled: &Compiled, layers: &Layers, seed: u64) -> Variables {
    if is_static(compiled) {
        return compiled.definition.job_variables.clone();
    }
    renderer(seed, layers).job_variables(&compiled.definition, &layers.template_data())
}

fn renderer(seed: u64, layers: &Layers) -> Renderer {
    Renderer::new(Outside {
        seed,
        now: layers.now.clone(),
        ..Outside::default()
    })
}

/// No template anywhere: nothing needs to be rendered.
fn is_static(compiled: &Compiled) -> bool {
    !compiled.row.raw_yaml.contains("{{")
}

/// A task of a run as its rendering sees it.
#[derive(Debug, Clone)]
struct SeenTask {
    id: TaskId,
    name: String,
    state: JobTaskState,
    retries: u32,
}

/// What the rows of a ready task say.
#[derive(Debug, Clone)]
pub(crate) struct Facts {
    definition_id: DefinitionId,
    request: RequestRow,
    run_started_at: Timestamp,
    job_retry: u32,
    task: SeenTask,
    tasks: Vec<SeenTask>,
    contexts: BTreeMap<String, Context>,
    artifacts: Vec<ArtifactRow>,
}

impl Facts {
    /// Of a task that was reached in a run.
    pub(crate) fn new(
        run: &JobRunRow,
        task_id: TaskId,
        request: RequestRow,
        contexts: BTreeMap<String, Context>,
        artifacts: Vec<ArtifactRow>,
    ) -> Option<Self> {
        let seen = |(name, row): (&String, &JobTaskRow)| {
            let record = run.run.tasks.get(name)?;
            Some(SeenTask {
                id: row.id,
                name: name.clone(),
                state: record.state,
                retries: record.retries,
            })
        };
        let tasks: Vec<SeenTask> = run.tasks.iter().filter_map(seen).collect();
        let task = tasks.iter().find(|task| task.id == task_id)?.clone();
        Some(Self {
            definition_id: run.definition_id,
            request,
            run_started_at: run.created_at,
            job_retry: run.run.retried,
            task,
            tasks,
            contexts,
            artifacts,
        })
    }

    /// Loads them.
    pub(crate) fn load(
        tx: &mut Tx<'_>,
        run_id: RunId,
        task_id: TaskId,
    ) -> Result<Self, EngineError> {
        let run = job_run::find_run(tx, run_id)?;
        let run = run.ok_or_else(|| EngineError::not_found("run of a job", run_id))?;
        let id = run.request_id;
        let request = request::find_request(tx, id)?;
        let request = request.ok_or_else(|| EngineError::not_found("request", id))?;
        let contexts = context::contexts_of_run(tx, run_id)?;
        let artifacts = artifact::artifacts_of_run(tx, run_id)?;
        Self::new(&run, task_id, request, contexts, artifacts)
            .ok_or_else(|| EngineError::not_found("task of a job", task_id))
    }

    pub(crate) fn request_id(&self) -> RequestId {
        self.request.id
    }

    pub(crate) fn definition_id(&self) -> DefinitionId {
        self.definition_id
    }

    #[cfg(test)]
    pub(crate) fn task_name(&self) -> &str {
        &self.task.name
    }
}

/// A ready task with all that its rendering needs.
pub(crate) struct TaskInput {
    compiled: Arc<Compiled>,
    facts: Facts,
    seed: u64,
}

/// What becomes of a ready task.
pub(crate) enum Prepared {
    /// It goes to an ant or worker.
    Rendered(Box<Rendered>),
    /// It ends here: skipped, or impossible.
    Ended(AttemptEnd),
}

/// A task as it is to be done.
pub(crate) struct Rendered {
    task: Task,
    layers: Layers,
    dependencies: Vec<Dependency>,
    control: TaskPlan,
    is_control_changed: bool,
}

impl Rendered {
    /// Its control flow, when rendering changed it.
    pub(crate) fn changed_control(&self) -> Option<&TaskPlan> {
        self.is_control_changed.then_some(&self.control)
    }

    /// Its control flow, and whether rendering changed it.
    pub(crate) fn control(&self) -> (&TaskPlan, bool) {
        (&self.control, self.is_control_changed)
    }
}

impl TaskInput {
    /// `seed` is for what its templates draw.
    pub(crate) fn new(facts: Facts, compiled: Arc<Compiled>, seed: u64) -> Self {
        Self {
            compiled,
            facts,
            seed,
        }
    }

    pub(crate) fn request_id(&self) -> RequestId {
        self.facts.request.id
    }

    pub(crate) fn retry(&self) -> u32 {
        self.facts.task.retries
    }

    /// Renders the task (`job-definitions` 6.3, steps 2 to 4).
    pub(crate) fn prepare(&self, engine: &Engine) -> Prepared {
        // A fault in a template engine must not take others down with it.
        let prepared = catch_unwind(AssertUnwindSafe(|| self.try_prepare(engine)));
        let prepared =
            prepared.unwrap_or_else(|_| Err("an internal error while rendering".to_owned()));
        match prepared {
            Ok(prepared) => prepared,
            Err(message) => Prepared::Ended(AttemptEnd {
                retryable: false,
                ..AttemptEnd::failed("", message).with_code(error_code::JOB_EXECUTE)
            }),
        }
    }

    fn try_prepare(&self, engine: &Engine) -> Result<Prepared, String> {
        let name = &self.facts.task.name;
        let layers = self.layers(engine).map_err(|error| error.to_string())?;
        let definition = &self.compiled.definition;
        let task = if is_static(&self.compiled) {
            definition
                .task(name)
                .cloned()
                .ok_or_else(|| format!("task {name} is not defined"))?
        } else {
            let renderer = renderer(self.seed, &layers);
            let data = layers.template_data();
            if renderer.except(definition, name, &data) == Except::Skip {
                return Ok(Prepared::Ended(AttemptEnd::completed("SKIPPED")));
            }
            renderer
                .task(definition, name, &data)
                .map_err(|error| error.to_string())?
        };
        if task.except.trim() == "true" {
            return Ok(Prepared::Ended(AttemptEnd::completed("SKIPPED")));
        }
        if let Some(message) = fan_out_refusal(&task).or_else(|| tags::refusal(&task)) {
            let refused = AttemptEnd::failed("", message).with_code(error_code::VALIDATION);
            return Ok(Prepared::Ended(AttemptEnd {
                retryable: false,
                ..refused
            }));
        }
        let planned = self.compiled.plan.task(name).map(|planned| planned.method);
        if planned.is_some_and(|planned| planned != task.method) {
            let method = task.method;
            return Err(format!(
                "task {name} is {method} as rendered, but waited for another method: write the \
                 method without a template"
            ));
        }
        let dependencies = match self.dependencies(&task) {
            Ok(dependencies) => dependencies,
            Err(message) => return Ok(Prepared::Ended(AttemptEnd::failed("", message))),
        };
        let control = task_plan(definition, &task);
        let is_control_changed = self.compiled.plan.task(name) != Some(&control);
        Ok(Prepared::Rendered(Box::new(Rendered {
            task,
            layers,
            dependencies,
            control,
            is_control_changed,
        })))
    }

    fn layers(&self, engine: &Engine) -> Result<Layers, EngineError> {
        let now = engine.now();
        let elapsed = now.since(self.facts.run_started_at).as_secs();
        let so_far = (self.facts.job_retry, elapsed);
        let mut layers = layers(&self.facts.request, &self.compiled, so_far, now)?;
        layers.job_variables = job_variables(&self.compiled, &layers, self.seed);
        layers.contexts = self.context_values();
        let task_type = self.facts.task.name.clone();
        layers.attempt = Some(Attempt {
            task_type,
            task_retry: self.facts.task.retries,
        });
        Ok(layers)
    }

    /// Row 10 of `job-definitions` 5.4.
    fn context_values(&self) -> Variables {
        let row = &self.compiled.row;
        let mut values = variables([
            (
                "JobDefinitionID".to_owned(),
                Value::from(row.id.to_string()),
            ),
            (
                "WorkflowVersion".to_owned(),
                Value::from(row.sem_version.as_str()),
            ),
            (
                "WorkflowInternalVersion".to_owned(),
                Value::from(row.version),
            ),
        ]);
        let over = self.facts.tasks.iter().map(|task| derived::SeenTask {
            name: &task.name,
            state: task.state,
            id: task.id,
            at: self.facts.run_started_at,
        });
        for derived in derived::of_job(over, &self.facts.artifacts) {
            values.insert(derived.name, derived.value);
        }
        for (key, context) in &self.facts.contexts {
            values.insert(key.clone(), context.value.clone());
        }
        values
    }

    /// The archives of the tasks that this one depends on (`job-definitions` 6.3, 11.4).
    fn dependencies(&self, task: &Task) -> Result<Vec<Dependency>, String> {
        let mut found = Vec::new();
        for name in &task.dependencies {
            let own = *name == task.task_type;
            let ran = self.facts.tasks.iter().find(|other| other.name == *name);
            match ran {
                _ if own => {}
                Some(other) if other.state.is_terminal() => {}
                Some(_) | None => {
                    return Err(format!(
                        "failed to find artifacts from dependent task '{name}' for task '{}'",
                        task.task_type
                    ));
                }
            }
            found.extend(self.archive_of(name));
        }
        Ok(found)
    }

    /// The newest archive of a task.
    fn archive_of(&self, name: &str) -> Option<Dependency> {
        let archives = self.facts.artifacts.iter().rev();
        let mut archives =
            archives.filter(|row| row.task_type == name && row.kind == "TASK_ARTIFACTS");
        let archive = archives.next()?;
        let Content::Object(object_key) = &archive.content else {
            return None;
        };
        Some(Dependency {
            artifact_id: archive.id,
            task_type: name.to_owned(),
            object_key: object_key.clone(),
            sha256: archive.sha256.clone(),
        })
    }

    /// What an ant is asked to do.
    pub(crate) fn order(&self, attempt: AttemptRef, rendered: Rendered) -> Order {
        let Rendered {
            task,
            layers,
            dependencies,
            ..
        } = rendered;
        let mut environment: Environment = task.environment.clone();
        let (given, warnings) = surroundings::of_task(&layers, &task.variables);
        environment.extend(given);
        let timeout = if task.timeout.is_zero() {
            DEFAULT_TASK_TIMEOUT
        } else {
            task.timeout
        };
        Order {
            attempt,
            request_id: self.facts.request.id,
            job_type: self.facts.request.job_type.clone(),
            task_type: task.task_type.clone(),
            method: task.method,
            phases: Phases {
                before_script: task.before_script.clone(),
                script: task.commands(),
                after_script: task.after_script.clone(),
            },
            environment,
            working_dir: (!task.working_dir.is_empty()).then(|| task.working_dir.clone()),
            timeout_ms: u64::try_from(timeout.as_millis()).unwrap_or(u64::MAX),
            artifacts: artifact_rules(&task),
            dependencies,
            report_stdout: task.report_stdout,
            secrets: layers.secrets(),
            warnings,
        }
    }
}

impl TaskInput {
    /// What a worker is asked to do: the queue in which the task waits for it, and what the worker sees
    /// of it. The input is the task's variables and the request's parameters, which win
    /// (`job-definitions` 5.4).
    pub(crate) fn offer(&self, rendered: &Rendered) -> (String, Shown) {
        let Rendered { task, layers, .. } = rendered;
        let kind = match task.worker_type.as_str() {
            "" => task.task_type.clone(),
            kind => kind.to_owned(),
        };
        let mut input = serde_json::Map::new();
        for (name, value) in task.variables.iter().chain(layers.params.iter()) {
            input.insert(name.to_owned(), value.clone());
        }
        let row = &self.compiled.row;
        let metadata = serde_json::json!({
            "jobType": self.facts.request.job_type,
            "taskType": self.facts.task.name,
            "requestId": self.facts.request.id,
            "definitionId": row.id,
            "version": row.version,
        });
        let key = queue_key::worker(&self.facts.request.org_id, &kind);
        let shown = Shown {
            kind: Some(kind),
            input: Some(Value::Object(input).to_string().into()),
            metadata: Some(metadata.to_string().into()),
            output: None,
            error: None,
        };
        (key, shown)
    }
}

fn artifact_rules(task: &Task) -> ArtifactRules {
    let Some(artifacts) = &task.artifacts else {
        return ArtifactRules::default();
    };
    let when = match artifacts.when.to_lowercase().as_str() {
        "" | "always" => UploadWhen::Always,
        "onsuccess" => UploadWhen::OnSuccess,
        "onfailure" => UploadWhen::OnFailure,
        _ => UploadWhen::Never,
    };
    ArtifactRules {
        paths: artifacts.paths.clone(),
        when,
    }
}

/// Until when all attempts of a task together may last, by the queen's clock.
pub(crate) fn attempts_deadline(control: &TaskPlan, started_at: Timestamp) -> Timestamp {
    started_at.after(control.timeout).after(TIMEOUT_GRACE)
}
