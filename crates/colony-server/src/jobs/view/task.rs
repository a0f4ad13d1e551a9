//! Tasks of definitions (`formicary-api` 6.2).

use colony_api::jobs::{ApprovalPolicy, FanOut, Nanos, TaskDefinition, Time};
use colony_core::method::Method;
use colony_spec::{Task, model};
use colony_store::definition::DefinitionRow;
use serde::Serialize;
use serde_json::{Map, Value};
use uuid::Uuid;

use super::parts;

pub(super) fn task(row: &DefinitionRow, order: usize, task: &Task) -> TaskDefinition {
    let id = task_id(row, order);
    let approval_policy = task.approval_policy.as_ref();
    TaskDefinition {
        job_definition_id: row.id.to_string(),
        task_type: task.task_type.clone(),
        method: method(task).to_owned(),
        description: task.description.clone(),
        host_network: task.host_network.clone(),
        allow_failure: task.allow_failure,
        allow_start_if_completed: task.allow_start_if_completed,
        always_run: task.always_run,
        timeout: Nanos::from(task.timeout),
        delay_between_retries: Nanos::from(task.delay_between_retries),
        retry: task.retry,
        retry_backoff_policy: task.retry_backoff_policy.as_ref().map(parts::backoff),
        webhook: task.webhook.as_ref().map(parts::webhook),
        on_exit_code: task.on_exit_code.clone(),
        on_completed: task.on_completed.clone(),
        on_failed: task.on_failed.clone(),
        approval_policy: approval_policy.map(|policy| approval(row, &id, policy)),
        created_at: Time(row.created_at),
        updated_at: Time(row.updated_at),
        report_stdout: task.report_stdout,
        variables: parts::variables(&task.variables),
        headers: task.headers.clone(),
        before_script: task.before_script.clone(),
        script: task.script.clone(),
        after_script: task.after_script.clone(),
        resources: parts::resource(task.resources.as_ref()),
        tags: task.tags.clone(),
        except: task.except.clone(),
        job_version: task.fork_job_version.clone(),
        dependencies: task.dependencies.clone(),
        artifact_ids: task.artifact_ids.clone(),
        await_forked_tasks: task.await_forked_tasks.clone(),
        fork_job_type: task.fork_job_type.clone(),
        url: task.url.clone(),
        messaging_request_queue: task.messaging_request_queue.clone(),
        messaging_reply_queue: task.messaging_reply_queue.clone(),
        sub_workflow: task.sub_workflow.as_ref().map(parts::sub_workflow),
        fan_out: task
            .fan_out
            .as_ref()
            .map(|fan_out| fan_out_view(task, fan_out)),
        executor: executor(task),
        id,
    }
}

/// Tasks of definitions have no row: their id is that of the definition, moved on by their place.
fn task_id(row: &DefinitionRow, order: usize) -> String {
    let place = u128::try_from(order).unwrap_or(0) + 1;
    let id = Uuid::from_u128(row.id.uuid().as_u128().wrapping_add(place));
    id.hyphenated().to_string()
}

/// A task with `fan_out` shows a method of its own (`formicary-api` 5.3).
fn method(task: &Task) -> &'static str {
    match task.fan_out {
        Some(_) => "FAN_OUT_JOB",
        None => task.method.as_str(),
    }
}

fn fan_out_view(task: &Task, fan_out: &model::FanOut) -> FanOut {
    FanOut {
        source: fan_out.source.clone(),
        item_var: fan_out.item_var.clone(),
        max_parallel: fan_out.max_parallel,
        fail_fast: fan_out.fail_fast,
        execution_method: Method::as_str(task.method).to_owned(),
        fork_job_type: fan_out.fork_job_type.clone(),
        fork_job_version: fan_out.fork_job_version.clone(),
    }
}

fn approval(row: &DefinitionRow, task_id: &str, policy: &model::ApprovalPolicy) -> ApprovalPolicy {
    let action = match policy.timeout_action {
        model::TimeoutAction::AutoApprove => "AUTO_APPROVE",
        model::TimeoutAction::AutoReject => "AUTO_REJECT",
        model::TimeoutAction::Escalate => "ESCALATE",
    };
    ApprovalPolicy {
        id: task_id.to_owned(),
        task_definition_id: task_id.to_owned(),
        min_approvals: policy.min_approvals,
        allowed_roles: policy.allowed_roles.join(","),
        allowed_users: policy.allowed_users.join(","),
        require_unanimous: policy.require_unanimous,
        sla_deadline: Nanos::from(policy.sla_deadline),
        timeout_action: action.to_owned(),
        escalation_recipients: policy.escalation_recipients.join(","),
        escalation_message: policy.escalation_message.clone(),
        created_at: Time(row.created_at),
        updated_at: Time(row.updated_at),
    }
}

/// Settings of the executor that the author wrote.
fn executor(task: &Task) -> Map<String, Value> {
    let mut settings = Map::new();
    for (name, value) in &task.placement {
        settings.insert(name.clone(), value.clone());
    }
    add(&mut settings, "environment", &task.environment);
    add(
        &mut settings,
        "helper_environment",
        &task.helper_environment,
    );
    add(&mut settings, "query", &task.query);
    add(&mut settings, "working_dir", &task.working_dir);
    add(&mut settings, "artifacts", &task.artifacts);
    add(&mut settings, "artifacts_dir", &task.artifacts_dir);
    add(
        &mut settings,
        "artifact_key_prefix",
        &task.artifact_key_prefix,
    );
    add(&mut settings, "cache", &task.cache);
    add(&mut settings, "cache_dir", &task.cache_dir);
    add(&mut settings, "network_mode", &task.network_mode);
    add(&mut settings, "privileged", &task.privileged);
    add(&mut settings, "cost_factor", &task.cost_factor);
    add(
        &mut settings,
        "execute_command_without_shell",
        &task.execute_command_without_shell,
    );
    add(&mut settings, "debug", &task.debug);
    add(&mut settings, "worker_type", &task.worker_type);
    settings
}

/// Adds a setting unless it says nothing.
fn add(settings: &mut Map<String, Value>, name: &str, value: &impl Serialize) {
    let value = serde_json::to_value(value).unwrap_or(Value::Null);
    let silent = match &value {
        Value::Null | Value::Bool(false) => true,
        Value::String(text) => text.is_empty(),
        Value::Object(members) => members.is_empty(),
        Value::Bool(true) | Value::Number(_) | Value::Array(_) => false,
    };
    if !silent {
        settings.insert(name.to_owned(), value);
    }
}
