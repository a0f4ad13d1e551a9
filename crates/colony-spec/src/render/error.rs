//! Why a text could not be rendered, with secrets masked.

use crate::data::TemplateData;
use crate::diagnostic::Diagnostic;
use crate::span::{Span, line_and_column};

/// A template that failed to parse or to run.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("line {line}, column {column}: {message}")]
pub struct TemplateError {
    /// What the engine says, without its place.
    pub message: String,
    /// Line of the template, from 1.
    pub line: usize,
    /// Column in characters, from 1.
    pub column: usize,
    /// Whether the text is no template; else its data did not fit.
    pub is_parse: bool,
}

impl TemplateError {
    pub(super) fn new(
        error: &colony_template::Error,
        offset: usize,
        template: &str,
        data: &TemplateData,
    ) -> Self {
        let (line, column) = line_and_column(template, offset);
        Self {
            message: data.mask(error.message()),
            line,
            column,
            is_parse: error.is_parse(),
        }
    }

    /// The error as a finding about the text that held the template, which began on `first_line`
    /// with `dedent` columns taken off.
    pub(crate) fn diagnose(&self, source: &str, first_line: usize, dedent: usize) -> Diagnostic {
        let line = first_line + self.line - 1;
        let line_start: usize = source
            .split_inclusive('\n')
            .take(line - 1)
            .map(str::len)
            .sum();
        let text = source[line_start..].lines().next().unwrap_or("");
        let column = (dedent + self.column - 1).min(text.chars().count());
        let within: usize = text.chars().take(column).map(char::len_utf8).sum();
        let start = line_start + within;
        let width = text[within..].chars().next().map_or(0, char::len_utf8);
        let span = Span::new(start, start + width);
        Diagnostic::error(source, span, format!("template error: {}", self.message)).with_help(
            "check names, functions and that every `if`, `range` and `with` has its `end`",
        )
    }
}

/// A task that could not be rendered for dispatch; the message is that of `job-definitions` 5.1.
#[derive(Debug, Clone, PartialEq, thiserror::Error)]
#[error("failed to parse task yaml for '{task_type}' task due to {cause}")]
pub struct RenderError {
    /// The task.
    pub task_type: String,
    /// What is wrong.
    pub cause: RenderCause,
}

/// What is wrong with a task at dispatch.
#[derive(Debug, Clone, PartialEq, thiserror::Error)]
pub enum RenderCause {
    /// The stored text has no such task.
    #[error("the definition has no task of this type")]
    NotFound,
    /// The template failed; the place is in the definition, when it is known.
    #[error("{}", .0.message)]
    Template(TemplateError, Option<Box<Diagnostic>>),
    /// The rendered text is not a valid task; places are in the rendered text.
    #[error("line {}: {}", .0.line, .0.message)]
    Invalid(Box<Diagnostic>),
}
