//! Looking at requests.

use std::collections::BTreeMap;
use std::sync::Arc;

use colony_core::id::TaskId;
use colony_core::text::with_causes;
use colony_store::artifact::{self, ArtifactRow};
use colony_store::context::{self, Context};
use colony_store::execution::{self, ExecutionRow, TaskExecutionRow};
use colony_store::job_run;
use colony_store::request::{self, RequestRow};
use colony_store::{ListQuery, Page, Tx};

use crate::compile::Compiled;
use crate::derived::{self, Derived};
use crate::engine::{Caller, Engine};
use crate::error::EngineError;

/// A job execution with everything that belongs to it.
#[derive(Debug, Clone)]
pub struct ExecutionView {
    /// Its own row, without its tasks.
    pub row: ExecutionRow,
    /// Who submitted the request; may be empty.
    pub user_id: String,
    /// The definition that it executes.
    pub compiled: Arc<Compiled>,
    /// Latest value of each context.
    pub contexts: BTreeMap<String, Context>,
    /// Contexts that follow from tasks and artifacts.
    pub derived: Vec<Derived>,
    /// Its tasks in the order in which they were started.
    pub tasks: Vec<TaskView>,
}

/// A task of a job execution with what it left behind.
#[derive(Debug, Clone)]
pub struct TaskView {
    /// Its own row.
    pub row: TaskExecutionRow,
    /// Contexts that it wrote: the latest value of each name.
    pub contexts: Vec<Context>,
    /// What the queen notes of it.
    pub derived: Vec<Derived>,
    /// Its artifacts, logs included.
    pub artifacts: Vec<ArtifactRow>,
}

impl Engine {
    /// A request with its current execution, unless that cannot be read.
    ///
    /// # Errors
    ///
    /// [`EngineError::NotFound`].
    pub async fn find_request(
        &self,
        caller: &Caller,
        id: &str,
    ) -> Result<(RequestRow, Option<ExecutionView>), EngineError> {
        let (engine, caller, name) = (self.clone(), caller.clone(), id.to_owned());
        self.store
            .read(move |tx| {
                let request = own_request(tx, &caller, &name)?;
                let view = match engine.execution_view(tx, &request) {
                    // What is known of the request must not be hidden by it.
                    Err(error) if error.is_about_rows() => {
                        tracing::error!(request.id = %request.id, "an execution is left out: {}", with_causes(&error));
                        None
                    }
                    view => view?,
                };
                Ok((request, view))
            })
            .await
    }

    /// One page of requests.
    ///
    /// # Errors
    ///
    /// [`EngineError::Invalid`] for unknown fields.
    pub async fn list_requests(
        &self,
        caller: &Caller,
        mut query: ListQuery,
    ) -> Result<Page<RequestRow>, EngineError> {
        query.org_id = Some(caller.org_id.clone());
        self.store
            .read(move |tx| Ok(request::list_requests(tx, &query)?))
            .await
    }

    fn execution_view(
        &self,
        tx: &mut Tx<'_>,
        request: &RequestRow,
    ) -> Result<Option<ExecutionView>, EngineError> {
        let Some(run_id) = request.run_id else {
            return Ok(None);
        };
        let Some(mut row) = execution::find_execution(tx, run_id)? else {
            return Ok(None);
        };
        let compiled = self.definitions.load(tx, row.definition_id)?;
        let written = context::all_contexts(tx, run_id)?;
        let artifacts = artifact::artifacts_of_run(tx, run_id)?;
        let derived = derived::of_job(row.tasks.iter().map(Into::into), &artifacts);
        let mut tasks = Vec::with_capacity(row.tasks.len());
        for task in std::mem::take(&mut row.tasks) {
            let earlier = match request.last_run_id.filter(|_| task.reused) {
                Some(last) => job_run::find_task(tx, last, &task.task_type)?,
                None => None,
            };
            let except = compiled.definition.task(&task.task_type);
            let except = except.map_or("", |defined| &defined.except);
            let of_task = |artifact: &&ArtifactRow| {
                let attempt = artifact.attempt;
                attempt.is_some_and(|attempt| attempt.task_id == task.id)
            };
            tasks.push(TaskView {
                contexts: latest(written.iter().filter(|ctx| ctx.task_id == task.id))
                    .into_values()
                    .collect(),
                derived: derived::of_task(&task, except, earlier.map(TaskId::uuid)),
                artifacts: artifacts.iter().filter(of_task).cloned().collect(),
                row: task,
            });
        }
        Ok(Some(ExecutionView {
            row,
            user_id: request.user_id.clone(),
            compiled,
            contexts: latest(written.iter()),
            derived,
            tasks,
        }))
    }
}

/// The latest value of each name.
fn latest<'c>(written: impl Iterator<Item = &'c Context>) -> BTreeMap<String, Context> {
    written
        .map(|context| (context.key.clone(), context.clone()))
        .collect()
}

/// The request of that id, if it is the caller's.
pub(crate) fn own_request(
    tx: &mut Tx<'_>,
    caller: &Caller,
    name: &str,
) -> Result<RequestRow, EngineError> {
    let not_found = || EngineError::not_found("request", name);
    let id = name.parse().map_err(|_| not_found())?;
    let request = request::find_request(tx, id)?;
    request
        .filter(|request| request.org_id == caller.org_id)
        .ok_or_else(not_found)
}
