//! The rules of `job-definitions` 1.5 on the structural view, in the order of that table.

mod control;
mod extras;
mod graph;
mod job;
mod keys;
mod not_yet;
mod task;

pub(crate) use graph::check_rendered_targets;
pub use graph::{RESERVED_TARGETS, is_reserved_target};
pub(crate) use not_yet::calls_not_yet;
pub(crate) use task::check_rendered_task;

use crate::diagnostic::Diagnostic;
use crate::model::Definition;
use crate::span::Span;
use crate::yaml::Node;

/// How a definition is judged.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Rules {
    /// Whether what would certainly fail at run time is refused already.
    pub(crate) strict: bool,
    /// Whether edges may be missing from the view, because templates hide them.
    pub(crate) edges_unknown: bool,
}

/// A definition under examination.
pub(crate) struct Check<'d> {
    definition: &'d Definition,
    root: &'d Node,
    source: &'d str,
    rules: Rules,
    errors: Vec<Diagnostic>,
    warnings: Vec<Diagnostic>,
}

/// Errors in the order of the rules, and warnings.
pub(crate) struct Verdict {
    pub(crate) errors: Vec<Diagnostic>,
    pub(crate) warnings: Vec<Diagnostic>,
}

/// Applies every rule.
pub(crate) fn validate(
    definition: &Definition,
    root: &Node,
    source: &str,
    rules: Rules,
) -> Verdict {
    let mut check = Check {
        definition,
        root,
        source,
        rules,
        errors: Vec::new(),
        warnings: Vec::new(),
    };
    check.job_texts();
    check.control_characters();
    check.plugin();
    check.cron();
    check.task_list();
    if definition.tasks.len() > TASKS_MAX {
        // The other rules compare tasks with each other, which takes long for very many.
        return check.verdict();
    }
    check.task_fields();
    check.targets();
    check.entry();
    check.recipients();
    check.triggers();
    check.variables();
    check.scripts();
    check.references();
    check.keys();
    check.not_yet();
    check.verdict()
}

/// Most tasks of a definition.
pub(crate) const TASKS_MAX: usize = 100;
/// Most findings of each severity that are reported; the first ones tell enough.
pub(crate) const FINDINGS_MAX: usize = 100;

impl Check<'_> {
    fn verdict(self) -> Verdict {
        Verdict {
            errors: self.errors,
            warnings: self.warnings,
        }
    }

    /// Notes an error at a path of the document, such as `tasks/2/on_completed`.
    fn error(&mut self, path: &str, message: impl Into<String>, help: impl Into<String>) {
        self.error_at(self.root.place(path), message, help);
    }

    fn error_at(&mut self, span: Span, message: impl Into<String>, help: impl Into<String>) {
        if self.errors.len() < FINDINGS_MAX {
            let error = Diagnostic::error(self.source, span, message).with_help(help);
            self.errors.push(error);
        }
    }

    fn warn(&mut self, path: &str, message: impl Into<String>, help: impl Into<String>) {
        self.warn_at(self.root.place(path), message, help);
    }

    fn warn_at(&mut self, span: Span, message: impl Into<String>, help: impl Into<String>) {
        if self.warnings.len() < FINDINGS_MAX {
            let warning = Diagnostic::warning(self.source, span, message).with_help(help);
            self.warnings.push(warning);
        }
    }

    /// Refuses a text that is longer than `max` characters.
    fn limit(&mut self, path: &str, text: &str, max: usize, message: &str) {
        let length = text.chars().count();
        if length > max {
            let help = format!("at most {max} characters are allowed, found {length}");
            self.error(path, message, help);
        }
    }

    /// The item of `tasks` at an index.
    fn task_node(&self, index: usize) -> Option<&Node> {
        self.root.get("tasks")?.items().get(index)
    }
}
