//! Warns of what is accepted and not carried out yet.

use crate::action::find_actions;
use crate::diagnostic::Diagnostic;
use crate::lines::blank_template_comments;
use crate::not_yet::{FUNCTIONS, METHODS, NotYet, OF_JOBS, OF_TASKS, TARGETS};
use crate::span::Span;
use crate::validate::{Check, FINDINGS_MAX};
use crate::yaml::{Kind, Node, scalar};

impl Check<'_> {
    /// Members, methods and targets, in the order of the document.
    pub(super) fn not_yet(&mut self) {
        let mut found = members(self.root, OF_JOBS);
        for (index, task) in self.definition.tasks.iter().enumerate() {
            let Some(node) = self.task_node(index) else {
                continue;
            };
            found.extend(members(node, OF_TASKS));
            found.extend(targets(node));
            if !METHODS.contains(&task.method) {
                let place = format!("tasks/{index}/method");
                let message = format!(
                    "method `{}` is not carried out yet: no ant offers it, and the job waits",
                    task.method
                );
                found.push((self.root.place(&place), message));
            }
        }
        found.sort_by_key(|(span, _)| span.start);
        for (span, message) in found {
            let help =
                "the definition is accepted; this part of it has no effect until a later version";
            self.warn_at(span, message, help);
        }
    }
}

/// Calls of template functions that do nothing yet.
pub(crate) fn calls_not_yet(text: &str) -> Vec<Diagnostic> {
    let clean = blank_template_comments(text);
    let mut found = Vec::new();
    for action in find_actions(&clean) {
        let inside = action.span.slice(&clean);
        for function in FUNCTIONS {
            for (at, word) in inside.match_indices(function.member) {
                if is_word(inside, at, word.len()) && found.len() < FINDINGS_MAX {
                    let start = action.span.start + at;
                    let span = Span::new(start, start + word.len());
                    found.push(Diagnostic::warning(text, span, function.warning()));
                }
            }
        }
    }
    found
}

/// Whether the text there is a name of its own, neither part of another nor a field.
fn is_word(text: &str, at: usize, length: usize) -> bool {
    let continues = |c: char| c.is_alphanumeric() || matches!(c, '_' | '.' | '$' | '"' | '`');
    !text[..at].ends_with(continues) && !text[at + length..].starts_with(continues)
}

fn members(node: &Node, table: &[NotYet]) -> Vec<(Span, String)> {
    let found = table.iter().filter_map(|entry| {
        let mut node = node;
        let mut span = None;
        for part in entry.member.split('/') {
            let member = node.entry(part)?;
            (node, span) = (&member.value, Some(member.key_span));
        }
        (!says_nothing(entry.member, node)).then_some((span?, entry.warning()))
    });
    found.collect()
}

/// Whether a value asks for nothing: null, empty, off, or a history that is kept for ever.
fn says_nothing(member: &str, value: &Node) -> bool {
    match &value.kind {
        Kind::List(items) => items.is_empty(),
        Kind::Map(entries) => entries.is_empty(),
        Kind::Scalar(scalar) if scalar.is_null() || scalar.text.is_empty() => true,
        Kind::Scalar(scalar) if member.starts_with("retention_days") => {
            scalar::integer(&scalar.text).is_some_and(|days| days <= 0)
        }
        Kind::Scalar(scalar) => scalar::boolean(&scalar.text) == Some(false),
    }
}

fn targets(task: &Node) -> Vec<(Span, String)> {
    let fields = ["on_completed", "on_failed"].map(|field| task.get(field));
    let codes = match task.get("on_exit_code").map(|codes| &codes.kind) {
        Some(Kind::Map(entries)) => entries.as_slice(),
        _ => &[],
    };
    let codes = codes.iter().map(|code| &code.value);
    let written = fields.into_iter().flatten().chain(codes);
    let found = written.filter_map(|value| match &value.kind {
        Kind::Scalar(scalar) => {
            let word = scalar.text.trim();
            let entry = TARGETS.iter().find(|entry| entry.member == word)?;
            Some((value.span, entry.warning()))
        }
        Kind::List(_) | Kind::Map(_) => None,
    });
    found.collect()
}
