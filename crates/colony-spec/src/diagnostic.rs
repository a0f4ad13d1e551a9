//! What is wrong with a definition, where, and what to do about it.

use std::fmt::Write as _;

use serde::Serialize;

use crate::span::{Span, line_and_column, line_at};

/// How bad a finding is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum Severity {
    /// The definition is refused.
    Error,
    /// The definition is accepted, but probably not what its author meant.
    Warning,
}

impl Severity {
    const fn as_str(self) -> &'static str {
        match self {
            Self::Error => "error",
            Self::Warning => "warning",
        }
    }
}

/// One finding about a definition, with its place in the text.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Diagnostic {
    /// How bad it is.
    pub severity: Severity,
    /// The rule that is broken. Texts of `job-definitions` 1.5 are exact: clients match them.
    pub message: String,
    /// Line, counted from 1.
    pub line: usize,
    /// Column in characters, counted from 1.
    pub column: usize,
    /// The bytes of the source that are meant.
    pub span: Span,
    /// What is allowed and what to do.
    pub help: Option<String>,
}

impl Diagnostic {
    /// An error at a place of `source`.
    pub fn error(source: &str, span: Span, message: impl Into<String>) -> Self {
        Self::new(Severity::Error, source, span, message.into())
    }

    /// A warning at a place of `source`.
    pub fn warning(source: &str, span: Span, message: impl Into<String>) -> Self {
        Self::new(Severity::Warning, source, span, message.into())
    }

    fn new(severity: Severity, source: &str, span: Span, message: String) -> Self {
        let (line, column) = line_and_column(source, span.start);
        Self {
            severity,
            message,
            line,
            column,
            span,
            help: None,
        }
    }

    /// Adds what is allowed and what to do.
    #[must_use]
    pub fn with_help(mut self, help: impl Into<String>) -> Self {
        self.help = Some(help.into());
        self
    }

    /// The same finding, not severe enough to refuse the definition.
    #[must_use]
    pub fn into_warning(mut self) -> Self {
        self.severity = Severity::Warning;
        self
    }

    /// Plain text for a terminal: place and message, the source line with a caret, and the help.
    pub fn to_text(&self, file: &str, source: &str) -> String {
        let mut text = format!(
            "{file}:{}:{}: {}: {}\n",
            self.line,
            self.column,
            self.severity.as_str(),
            self.message
        );
        let line = line_at(source, self.span.start);
        if !line.trim().is_empty() {
            let number = self.line.to_string();
            let margin = " ".repeat(number.len());
            let (indent, caret) = self.caret(source, line);
            // Writing to a String cannot fail.
            let _ = writeln!(text, "{margin} |\n{number} | {}", line.trim_end());
            let _ = writeln!(text, "{margin} | {indent}{caret}");
        }
        if let Some(help) = &self.help {
            let _ = writeln!(text, "help: {help}");
        }
        text
    }

    /// White space up to the place (tabs kept, so that columns line up) and the carets.
    fn caret(&self, source: &str, line: &str) -> (String, String) {
        let indent: String = line
            .chars()
            .take(self.column - 1)
            .map(|c| if c == '\t' { '\t' } else { ' ' })
            .collect();
        let first_line = self.span.slice(source).lines().next().unwrap_or("");
        let width = first_line.trim_end().chars().count().max(1);
        (indent, "^".repeat(width))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn text_shows_place_line_caret_and_help() {
        let source = "job_type: x\ntasks:\n- method: SHEL\n";
        let span = Span::new(29, 33);
        let diagnostic =
            Diagnostic::error(source, span, "no such method").with_help("did you mean `SHELL`?");
        assert_eq!(
            diagnostic.to_text("job.yaml", source),
            "job.yaml:3:11: error: no such method\n  |\n3 | - method: SHEL\n  |           ^^^^\nhelp: did you mean `SHELL`?\n"
        );
    }
}
