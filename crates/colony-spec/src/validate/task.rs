//! Rules about the fields of tasks.

use std::collections::HashSet;

use colony_core::method::Method;

use crate::diagnostic::Diagnostic;
use crate::model::{Task, is_template};
use crate::suggest::nearest;
use crate::validate::{Check, control};
use crate::yaml::{Kind, Node};

impl Check<'_> {
    pub(super) fn task_fields(&mut self) {
        let tasks = &self.definition.tasks;
        for (index, task) in tasks.iter().enumerate() {
            let path = format!("tasks/{index}/task_type");
            if task.task_type.is_empty() {
                let help = "give the task a name: `task_type: <name>`";
                self.error(&path, "taskType is not specified", help);
            }
            self.limit(&path, &task.task_type, 100, "taskType is too big");
        }
        for (index, task) in tasks.iter().enumerate() {
            let path = format!("tasks/{index}/host_network");
            self.limit(&path, &task.host_network, 100, "host network is too big");
        }
        self.methods();
        for (index, task) in tasks.iter().enumerate() {
            for fault in work_faults(task) {
                self.error(&format!("tasks/{index}"), fault.message, fault.help);
            }
        }
    }

    fn methods(&mut self) {
        for index in 0..self.definition.tasks.len() {
            let Some(node) = self.task_node(index) else {
                continue;
            };
            if let Some((message, help)) = unknown_method(node) {
                self.error(&format!("tasks/{index}/method"), message, help);
            }
        }
    }

    /// Tasks whose method needs commands and that have none.
    pub(super) fn scripts(&mut self) {
        for (index, task) in self.definition.tasks.iter().enumerate() {
            let is_templated = is_template(self.source);
            let has_hidden_script = self
                .task_node(index)
                .is_some_and(|node| is_templated && node.get("script").is_some());
            if has_hidden_script || !lacks_script(task) {
                continue;
            }
            let path = format!("tasks/{index}");
            let message = format!(
                "script is not specified for `{}`, whose method is {}",
                task.task_type, task.method
            );
            if self.rules.strict {
                self.error(&path, message, SCRIPT_HELP);
            } else {
                self.warn(&path, message, SCRIPT_HELP);
            }
        }
    }
}

const SCRIPT_HELP: &str = "add `script:` with at least one item; a task of method MANUAL, \
                           FORK_JOB, WORKER or MESSAGING needs none";

/// A broken rule of a task alone.
struct Fault {
    message: String,
    help: &'static str,
}

fn fault(message: impl Into<String>, help: &'static str) -> Fault {
    Fault {
        message: message.into(),
        help,
    }
}

/// Faults of fork, await, fan-out, child data and approval settings.
fn work_faults(task: &Task) -> Vec<Fault> {
    let mut faults = Vec::new();
    let fans_out_jobs = task
        .fan_out
        .as_ref()
        .is_some_and(|fan_out| !fan_out.fork_job_type.is_empty());
    if task.method == Method::ForkJob && task.fork_job_type.is_empty() && !fans_out_jobs {
        let help = "name the job to start: `fork_job_type: <job_type>`";
        faults.push(fault("forkJobType is not specified", help));
    }
    if task.method == Method::AwaitForkedJob && task.await_forked_tasks.is_empty() {
        let help = "list the FORK_JOB tasks to wait for under `await_forked_tasks`";
        faults.push(fault("waitJobTasks is not specified", help));
    }
    if let Some(fan_out) = &task.fan_out {
        let help = "fan_out needs `source` (a variable with a JSON array) and `item_var`";
        for (name, value, max) in [
            ("source", &fan_out.source, 200),
            ("item_var", &fan_out.item_var, 100),
        ] {
            if value.is_empty() {
                faults.push(fault(format!("fan_out.{name} is required"), help));
            } else if value.chars().count() > max {
                faults.push(fault(format!("fan_out.{name} is too big"), help));
            }
        }
        if fan_out.fork_job_type.chars().count() > 200 {
            faults.push(fault("fan_out.fork_job_type is too big", help));
        }
    }
    faults.extend(duplicate_input_param(task));
    let too_few = |policy: &crate::model::ApprovalPolicy| policy.min_approvals < 1;
    if task.approval_policy.as_ref().is_some_and(too_few) {
        let message = "approval_policy.min_approvals must be at least 1";
        faults.push(fault(message, "write 1 or more"));
    }
    faults
}

fn duplicate_input_param(task: &Task) -> Option<Fault> {
    let params = &task.sub_workflow.as_ref()?.input_params;
    let mut names = HashSet::new();
    let twin = params.iter().find(|param| !names.insert(&param.name))?;
    let message = format!("duplicate input_params name `{}`", twin.name);
    Some(fault(message, "give each child parameter once"))
}

/// Message and help when the method of a task item is not one of ours.
fn unknown_method(node: &Node) -> Option<(String, String)> {
    let text = match &node.get("method")?.kind {
        Kind::Scalar(scalar) if !scalar.opaque && !scalar.is_null() => scalar.text.trim(),
        _ => return None,
    };
    if text.is_empty() || text.parse::<Method>().is_ok() {
        return None;
    }
    let task = node.get("task_type").map(|node| &node.kind);
    let task = match task {
        Some(Kind::Scalar(scalar)) => scalar.text.as_str(),
        _ => "",
    };
    let known = Method::ALL.map(Method::as_str);
    let did_you_mean = nearest(text, known)
        .map(|near| format!("did you mean `{near}`? "))
        .unwrap_or_default();
    Some((
        format!("method `{text}` is not supported for `{task}`"),
        format!("{did_you_mean}methods are {}", known.join(", ")),
    ))
}

fn lacks_script(task: &Task) -> bool {
    let needs_script = match task.method {
        Method::Kubernetes
        | Method::Docker
        | Method::Shell
        | Method::HttpGet
        | Method::HttpPostForm
        | Method::HttpPostJson
        | Method::HttpPutForm
        | Method::HttpPutJson
        | Method::HttpDelete => true,
        Method::Websocket
        | Method::Messaging
        | Method::Worker
        | Method::ForkJob
        | Method::AwaitForkedJob
        | Method::FanOutJob
        | Method::ExpireArtifacts
        | Method::Manual => false,
    };
    needs_script && task.commands().is_empty()
}

/// The rules of a task that was rendered for dispatch: those of upload that concern one task, and
/// what its method needs.
pub(crate) fn check_rendered_task(task: &Task, node: &Node, source: &str) -> Vec<Diagnostic> {
    let mut faults = work_faults(task);
    if task.task_type.is_empty() {
        faults.push(fault("taskType is not specified", "give the task a name"));
    }
    if lacks_script(task) {
        faults.push(fault(
            "script is not specified in task-request",
            SCRIPT_HELP,
        ));
    }
    if task.method == Method::Messaging {
        for (name, queue) in [
            ("messaging_request_queue", &task.messaging_request_queue),
            ("messaging_reply_queue", &task.messaging_reply_queue),
        ] {
            if queue.is_empty() {
                let message = format!("{name} is not specified for `{}`", task.task_type);
                faults.push(fault(message, "a MESSAGING task needs both queues"));
            }
        }
    }
    let mut found: Vec<Diagnostic> = unknown_method(node)
        .into_iter()
        .map(|(message, help)| {
            Diagnostic::error(source, node.place("method"), message).with_help(help)
        })
        .collect();
    found.extend(control::in_task(task).into_iter().map(|control| {
        Diagnostic::error(source, node.place(&control.path), control.message)
            .with_help(control::HELP)
    }));
    found.extend(faults.into_iter().map(|fault| {
        Diagnostic::error(source, node.place(""), fault.message).with_help(fault.help)
    }));
    found
}

/// Whether a name is known before rendering.
pub(super) fn is_known(name: &str) -> bool {
    !name.is_empty() && !is_template(name)
}
