//! Task-level fields (`job-definitions` 3).

use std::collections::BTreeMap;

use colony_core::method::Method;

use crate::decode::fields::{Fields, Findings};
use crate::decode::parts;
use crate::model::{Task, is_template};
use crate::yaml::Node;

/// Members that only container executors read; kept as written.
const PLACEMENT: [&str; 9] = [
    "name",
    "container",
    "helper",
    "services",
    "affinity",
    "node_selector",
    "node_tolerations",
    "pod_labels",
    "pod_annotations",
];

/// Reads one item of `tasks`; `default` is the method of one that names neither a method nor a
/// container.
pub(crate) fn decode_task(node: &Node, default: Method, findings: &Findings<'_>) -> Task {
    let task = Fields::of(node, "a task", findings);
    Task {
        task_type: task.text("task_type").trim().to_owned(),
        method: method(&task, default),
        description: task.text("description"),
        on_completed: task.text("on_completed").trim().to_owned(),
        on_failed: task.text("on_failed").trim().to_owned(),
        on_exit_code: targets(&task),
        allow_failure: task.flag("allow_failure"),
        always_run: task.flag("always_run"),
        allow_start_if_completed: task.flag("allow_start_if_completed"),
        except: task.text("except"),
        retry: task.count("retry"),
        delay_between_retries: task.duration("delay_between_retries"),
        retry_backoff_policy: task.object("retry_backoff_policy", parts::backoff),
        timeout: task.duration("timeout"),
        tags: lower_case(tags(&task)),
        resources: task.object("resources", parts::resource),
        webhook: task.object("webhook", parts::webhook),
        approval_policy: task.object("approval_policy", parts::approval_policy),
        fan_out: task.object("fan_out", parts::fan_out),
        script: task.commands("script"),
        before_script: task.commands("before_script"),
        after_script: task.commands("after_script"),
        url: task.text("url"),
        variables: task.variables("variables"),
        environment: task.text_map("environment"),
        helper_environment: task.text_map("helper_environment"),
        headers: task.text_map("headers"),
        query: task.text_map("query"),
        working_dir: task.text("working_dir"),
        report_stdout: task.flag("report_stdout"),
        execute_command_without_shell: task.flag("execute_command_without_shell"),
        debug: task.flag("debug"),
        artifacts: task.object("artifacts", parts::artifacts),
        dependencies: task.texts("dependencies"),
        artifact_ids: either(task.texts("artifact_ids"), || {
            task.texts("dependent_artifact_ids")
        }),
        artifacts_dir: task.text("artifacts_dir"),
        cache_dir: task.text("cache_dir"),
        artifact_key_prefix: task.text("artifact_key_prefix"),
        cache: task.object("cache", parts::cache),
        host_network: task.text("host_network"),
        network_mode: task.text("network_mode"),
        privileged: task.flag("privileged"),
        cost_factor: task.number("cost_factor"),
        placement: placement(&task),
        fork_job_type: task.text("fork_job_type"),
        fork_job_version: either(task.text("fork_job_version"), || task.text("job_version")),
        await_forked_tasks: task.texts("await_forked_tasks"),
        sub_workflow: task.object("sub_workflow", parts::sub_workflow),
        messaging_request_queue: task.text("messaging_request_queue"),
        messaging_reply_queue: task.text("messaging_reply_queue"),
        worker_type: task.text("worker_type"),
    }
}

/// The first value, or the alias when the first was not written.
fn either<T: Default + PartialEq>(value: T, alias: impl FnOnce() -> T) -> T {
    if value == T::default() {
        alias()
    } else {
        value
    }
}

/// The items, or the template that stands for all of them.
fn tags(task: &Fields<'_, '_>) -> Vec<String> {
    if task.is_opaque("tags") {
        return vec![task.text("tags")];
    }
    task.texts("tags")
}

fn lower_case(tags: Vec<String>) -> Vec<String> {
    tags.into_iter()
        .map(|tag| {
            if is_template(&tag) {
                tag
            } else {
                tag.to_lowercase()
            }
        })
        .collect()
}

fn method(task: &Fields<'_, '_>, default: Method) -> Method {
    let text = task.text("method");
    let text = text.trim();
    if text.is_empty() || is_template(text) {
        let has_container = task.has("container");
        return if has_container {
            Method::Kubernetes
        } else {
            default
        };
    }
    // An unknown word is reported by validation, in its place among the rules.
    text.parse().unwrap_or(default)
}

/// `on_exit_code` with both states; the fields `on_completed` and `on_failed` win.
fn targets(task: &Fields<'_, '_>) -> BTreeMap<String, String> {
    let mut targets: BTreeMap<String, String> = task
        .text_map("on_exit_code")
        .into_iter()
        .map(|(code, target)| (exit_code(&code), target.trim().to_owned()))
        .collect();
    for (state, field) in [("COMPLETED", "on_completed"), ("FAILED", "on_failed")] {
        let target = task.text(field).trim().to_owned();
        if !target.is_empty() {
            targets.insert(state.to_owned(), target);
        }
    }
    targets
}

/// Codes and states compare in upper case.
fn exit_code(code: &str) -> String {
    if is_template(code) {
        return code.trim().to_owned();
    }
    code.trim().to_uppercase()
}

fn placement(task: &Fields<'_, '_>) -> BTreeMap<String, serde_json::Value> {
    PLACEMENT
        .iter()
        .filter_map(|key| Some(((*key).to_owned(), task.raw(key)?)))
        .collect()
}
