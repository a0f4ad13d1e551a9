//! Rules about targets and reachability (`job-definitions` 6.2, 6.4).

use std::collections::HashSet;

use crate::diagnostic::Diagnostic;
use crate::model::{Definition, Task, is_template};
use crate::span::Span;
use crate::suggest::nearest;
use crate::validate::task::is_known;
use crate::validate::{Check, FINDINGS_MAX};
use crate::yaml::{Kind, Node};

/// Targets that need no task of that name; `ERR_…` are reserved too.
pub const RESERVED_TARGETS: [&str; 9] = [
    "COMPLETED",
    "FAILED",
    "FATAL",
    "EXECUTING",
    "RESTART_TASK",
    "RESTART_JOB",
    "PAUSE_JOB",
    "PAUSED",
    "WAIT_FOR_APPROVAL",
];

/// Whether a target is a reserved action and not the name of a task (`job-definitions` 6.4).
pub fn is_reserved_target(target: &str) -> bool {
    RESERVED_TARGETS.contains(&target) || target.starts_with("ERR_")
}

impl Check<'_> {
    pub(super) fn targets(&mut self) {
        let job = self.definition;
        for (index, task) in job.tasks.iter().enumerate() {
            if RESERVED_TARGETS.contains(&task.task_type.as_str()) {
                let message = format!("task type `{}` is a reserved word", task.task_type);
                let help = "reserved words are actions of `on_exit_code`; choose another name";
                self.error(&format!("tasks/{index}/task_type"), message, help);
            }
            for (key, target) in &task.on_exit_code {
                if target.is_empty() {
                    let message = format!("empty task target for `{}`", task.task_type);
                    let help = format!("name a task, or a reserved word: {}", reserved());
                    self.error_at(self.target_place(index, key), message, help);
                }
            }
        }
        let hidden_names = job.tasks.iter().any(|task| is_template(&task.task_type));
        if !hidden_names {
            self.unknown_targets();
        }
    }

    fn unknown_targets(&mut self) {
        let job = self.definition;
        for (index, task) in job.tasks.iter().enumerate() {
            let unknown = unknown_targets(job, task);
            for (key, message, help) in unknown {
                self.error_at(self.target_place(index, key), message, help);
            }
        }
    }

    fn target_place(&self, index: usize, key: &str) -> Span {
        match self.task_node(index) {
            Some(task) => target_place(task, key),
            None => self.root.place("tasks"),
        }
    }

    pub(super) fn entry(&mut self) {
        let job = self.definition;
        self.completed_loops();
        if job.tasks.is_empty() || self.has_hidden_edges() {
            return;
        }
        if job.tasks.iter().all(|task| job.has_successor(task)) {
            let message = "tasks are not valid and could not find starting task";
            let help = "at least one task must lead to no other task";
            self.error("tasks", message, help);
            return;
        }
        let Some(first) = job.first_task() else {
            let message = format!("no first task found for `{}`", job.job_type);
            let help = "one task that no other task points to must lead on with `on_completed`";
            self.error("tasks", message, help);
            return;
        };
        let unreachable: Vec<&str> = job
            .unreferenced()
            .filter(|task| task.task_type != first.task_type && !task.always_run)
            .map(|task| task.task_type.as_str())
            .collect();
        for name in unreachable {
            let index = job.tasks.iter().position(|task| task.task_type == name);
            let path = format!("tasks/{}/task_type", index.unwrap_or_default());
            let message = format!(
                "task `{name}` is not reachable, first task is `{}`",
                first.task_type
            );
            let help = format!(
                "point to it from another task: `on_completed: {name}`, or set `always_run: true`"
            );
            self.error(&path, message, help);
        }
    }

    /// Whether an edge or a name is unknown until run time.
    fn has_hidden_edges(&self) -> bool {
        self.rules.edges_unknown
            || self.definition.tasks.iter().any(|task| {
                is_template(&task.task_type)
                    || task.on_exit_code.values().any(|target| is_template(target))
            })
            || self.root.get("tasks").is_some_and(|tasks| {
                tasks.items().iter().any(|task| {
                    task.is_opaque() || task.get("on_exit_code").is_some_and(Node::is_opaque)
                })
            })
    }

    /// Warns of loops in which every edge is `on_completed`.
    fn completed_loops(&mut self) {
        let job = self.definition;
        let mut reported = HashSet::new();
        for start in 0..job.tasks.len() {
            let mut path = vec![start];
            while let Some(next) = path.last().and_then(|at| self.completed_successor(*at)) {
                if let Some(begin) = path.iter().position(|at| *at == next) {
                    let members: Vec<&str> = path[begin..]
                        .iter()
                        .map(|at| job.tasks[*at].task_type.as_str())
                        .collect();
                    if reported.insert(path[begin..].iter().min().copied()) {
                        let message = format!(
                            "tasks {} form a loop of on_completed edges",
                            members.join(", ")
                        );
                        let help =
                            "it ends only by the timeout of the job or after 10000 task runs";
                        self.warn(&format!("tasks/{next}/on_completed"), message, help);
                    }
                    break;
                }
                path.push(next);
            }
        }
    }

    fn completed_successor(&self, index: usize) -> Option<usize> {
        let tasks = &self.definition.tasks;
        let next = tasks.get(index)?.on_exit_code.get("COMPLETED")?;
        tasks.iter().position(|task| task.task_type == *next)
    }
}

/// Key, message and help for each target of a task that is neither a task nor a reserved word.
fn unknown_targets<'t>(job: &Definition, task: &'t Task) -> Vec<(&'t str, String, String)> {
    let names: Vec<&str> = job.tasks.iter().map(|t| t.task_type.as_str()).collect();
    let is_unknown =
        |target: &str| is_known(target) && !names.contains(&target) && !is_reserved_target(target);
    let unknown = task
        .on_exit_code
        .iter()
        .filter(|(_, target)| is_unknown(target));
    unknown
        .take(FINDINGS_MAX)
        .map(|(key, target)| {
            let message = format!(
                "task '{}' refers to '{target}' on-exit but it's not defined",
                task.task_type
            );
            let near = nearest(target, names.iter().copied().chain(RESERVED_TARGETS));
            let did_you_mean = near
                .map(|near| format!("did you mean `{near}`? "))
                .unwrap_or_default();
            let help = format!(
                "{did_you_mean}tasks are {}; reserved words are {}",
                names.join(", "),
                reserved()
            );
            (key.as_str(), message, help)
        })
        .collect()
}

/// Targets of a task rendered for dispatch that lead nowhere.
pub(crate) fn check_rendered_targets(
    job: &Definition,
    task: &Task,
    node: &Node,
    source: &str,
) -> Vec<Diagnostic> {
    unknown_targets(job, task)
        .into_iter()
        .map(|(key, message, help)| {
            Diagnostic::error(source, target_place(node, key), message).with_help(help)
        })
        .collect()
}

/// Where a target of a task was written: in its own field, or in `on_exit_code`.
fn target_place(task: &Node, key: &str) -> Span {
    let field = match key {
        "COMPLETED" => task.get("on_completed"),
        "FAILED" => task.get("on_failed"),
        _ => None,
    };
    if let Some(field) = field.filter(|field| !field.is_null()) {
        return field.span;
    }
    let codes = task.get("on_exit_code").map(|node| &node.kind);
    let Some(Kind::Map(entries)) = codes else {
        return task.place("");
    };
    let entry = entries
        .iter()
        .find(|entry| entry.key.trim().to_uppercase() == key);
    match entry {
        Some(entry) if entry.value.span.start < entry.value.span.end => entry.value.span,
        Some(entry) => entry.key_span,
        None => task.place("on_exit_code"),
    }
}

fn reserved() -> String {
    format!("{}, ERR_…", RESERVED_TARGETS.join(", "))
}
