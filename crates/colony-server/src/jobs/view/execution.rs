//! Executions, their tasks and contexts (`formicary-api` 6.5, 6.6).

use colony_api::jobs::{Context, JobExecution, TaskExecution, Time};
use colony_core::id::RunId;
use colony_core::state::{JobState, JobTaskState};
use colony_core::time::Timestamp;
use colony_engine::{Compiled, Derived, ExecutionView, TaskView};
use serde_json::Value;

use super::{artifact, organization};
use crate::state::ServerState;

pub(in crate::jobs) fn execution(view: &ExecutionView, state: &ServerState) -> JobExecution {
    let (row, definition) = (&view.row, &view.compiled.row);
    let error = row
        .verdict
        .as_ref()
        .and_then(|verdict| verdict.error.as_ref());
    let decisive = decisive_task(view);
    let user_id = view.user_id.clone();
    JobExecution {
        id: row.run_id.to_string(),
        job_request_id: row.request_id.to_string(),
        job_type: definition.job_type.clone(),
        job_version: definition.sem_version.clone(),
        job_state: row.job_state,
        organization_id: organization(&row.org_id, &user_id),
        user_id,
        current_task: row.current_task.clone().unwrap_or_default(),
        exit_code: decisive
            .map(|task| task.row.exit_code.clone())
            .unwrap_or_default(),
        exit_message: decisive.map(exit_message).unwrap_or_default(),
        error_code: error.map(|error| error.code.clone()).unwrap_or_default(),
        error_message: error.map(|error| error.message.clone()).unwrap_or_default(),
        contexts: contexts(view),
        tasks: view
            .tasks
            .iter()
            .map(|task| task_execution(view, task, state))
            .collect(),
        started_at: Time(row.started_at),
        ended_at: row.ended_at.map(Time),
        updated_at: Time(row.updated_at),
        cpu_secs: view.tasks.iter().map(task_secs).sum(),
    }
}

/// The task whose end decided that of the job: of a failed job the last one that failed it, else
/// the last one.
fn decisive_task(view: &ExecutionView) -> Option<&TaskView> {
    if !view.row.job_state.is_terminal() {
        return None;
    }
    let failed = view
        .tasks
        .iter()
        .rev()
        .find(|task| task.row.state == JobTaskState::Failed && !task.row.allow_failure);
    match view.row.job_state {
        JobState::Failed => failed.or(view.tasks.last()),
        _ => view.tasks.last(),
    }
}

fn task_secs(task: &TaskView) -> i64 {
    let (Some(start), Some(end)) = (task.row.started_at, task.row.ended_at) else {
        return 0;
    };
    i64::try_from(end.since(start).as_secs()).unwrap_or(i64::MAX)
}

/// Exported values by name, after those that every execution has.
fn contexts(view: &ExecutionView) -> Vec<Context> {
    let run_id = view.row.run_id;
    let mut contexts = built_in(&view.compiled, run_id, view.row.started_at);
    contexts.extend(view.derived.iter().map(|derived| Context {
        job_execution_id: Some(run_id.to_string()),
        ..self::derived(derived)
    }));
    for context in view.contexts.values() {
        let value = (context.key.as_str(), &context.value);
        contexts.retain(|known| known.name != context.key);
        contexts.push(Context {
            job_execution_id: Some(run_id.to_string()),
            ..named(value, context.id.to_string(), context.created_at)
        });
    }
    contexts.sort_by(|a, b| a.name.cmp(&b.name));
    contexts
}

fn built_in(compiled: &Compiled, run_id: RunId, at: Timestamp) -> Vec<Context> {
    let row = &compiled.row;
    let values: [(&str, Value); 3] = [
        ("JobDefinitionID", row.id.to_string().into()),
        ("WorkflowInternalVersion", row.version.into()),
        ("WorkflowVersion", row.sem_version.clone().into()),
    ];
    let contexts = values.into_iter().map(|(name, value)| Context {
        job_execution_id: Some(run_id.to_string()),
        ..named((name, &value), run_id.to_string(), at)
    });
    contexts.collect()
}

fn derived(derived: &Derived) -> Context {
    let value = (derived.name.as_str(), &derived.value);
    named(value, derived.id.to_string(), derived.at)
}

fn named((name, value): (&str, &Value), id: String, created_at: Timestamp) -> Context {
    Context {
        name: name.to_owned(),
        kind: kind(value).to_owned(),
        value: value
            .as_str()
            .map_or_else(|| value.to_string(), str::to_owned),
        secret: false,
        id,
        job_execution_id: None,
        task_execution_id: None,
        created_at: Time(created_at),
    }
}

/// The type label of a value (`formicary-api` 6.3).
fn kind(value: &Value) -> &'static str {
    match value {
        Value::Null | Value::String(_) => "string",
        Value::Bool(_) => "bool",
        Value::Number(number) if number.is_f64() => "float64",
        Value::Number(_) => "int64",
        Value::Array(_) => "[]interface {}",
        Value::Object(_) => "map[string]interface {}",
    }
}

fn task_execution(view: &ExecutionView, task: &TaskView, state: &ServerState) -> TaskExecution {
    let row = &task.row;
    let definition = view.compiled.definition.task(&row.task_type);
    let services = definition.and_then(|task| task.placement.get("services")?.as_array());
    TaskExecution {
        id: row.id.to_string(),
        job_execution_id: view.row.run_id.to_string(),
        task_type: row.task_type.clone(),
        method: row.method.clone(),
        task_state: task_state(row.state),
        allow_failure: row.allow_failure,
        exit_code: row.exit_code.clone(),
        exit_message: exit_message(task),
        error_code: row.error_code.clone(),
        error_message: row.error_message.clone(),
        failed_command: row.failed_command.clone(),
        comments: String::new(),
        ant_id: row.ant_id.clone(),
        ant_host: row.ant_host.clone(),
        retried: row.retries,
        contexts: task_contexts(task),
        artifacts: task
            .artifacts
            .iter()
            .map(|row| artifact(row, state))
            .collect(),
        task_order: row.order,
        count_services: services.map_or(0, Vec::len),
        cost_factor: definition.and_then(|task| task.cost_factor).unwrap_or(1.0),
        started_at: Time::from(row.started_at),
        ended_at: row.ended_at.map(Time),
        updated_at: Time(row.updated_at),
        stdout: None,
    }
}

/// What the task exported, and what the queen notes of it.
fn task_contexts(task: &TaskView) -> Vec<Context> {
    let exported = task.contexts.iter().map(|context| {
        let value = (context.key.as_str(), &context.value);
        named(value, context.id.to_string(), context.created_at)
    });
    let noted = task.derived.iter().map(derived);
    let mut contexts: Vec<Context> = Vec::new();
    for context in noted.chain(exported) {
        contexts.retain(|known| known.name != context.name);
        contexts.push(Context {
            task_execution_id: Some(task.row.id.to_string()),
            ..context
        });
    }
    contexts.sort_by(|a, b| a.name.cmp(&b.name));
    contexts
}

/// What went wrong without changing the outcome.
fn exit_message(task: &TaskView) -> String {
    task.row.warnings.join("; ")
}

/// The one vocabulary of the Jobs API, which knows no delay between attempts.
const fn task_state(state: JobTaskState) -> JobState {
    match state {
        JobTaskState::Ready => JobState::Ready,
        JobTaskState::Delayed | JobTaskState::Executing => JobState::Executing,
        JobTaskState::Paused => JobState::Paused,
        JobTaskState::ManualApprovalRequired => JobState::ManualApprovalRequired,
        JobTaskState::Completed => JobState::Completed,
        JobTaskState::Failed => JobState::Failed,
        JobTaskState::Cancelled => JobState::Cancelled,
    }
}
