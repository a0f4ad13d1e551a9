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
    /// The source line around the place.
    pub excerpt: Box<Excerpt>,
    /// What is allowed and what to do.
    pub help: Option<String>,
}

/// The part of a source line that a finding is about. It is kept with the finding, because the
/// text that was read may be a rendered one that nobody else has.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize)]
pub struct Excerpt {
    /// The line, or a part of a very long one; empty when there is nothing to show.
    pub text: String,
    /// Characters of `text` before the place.
    pub indent: usize,
    /// Characters of the place.
    pub width: usize,
}

/// Longest excerpt in characters, and how much of it comes before the place.
const EXCERPT_CHARS_MAX: usize = 160;
const EXCERPT_CHARS_BEFORE: usize = 60;

impl Excerpt {
    fn of(source: &str, span: Span, column: usize) -> Self {
        let line = line_at(source, span.start).trim_end();
        if line.trim().is_empty() {
            return Self::default();
        }
        let skipped = if line.chars().count() > EXCERPT_CHARS_MAX {
            (column - 1).saturating_sub(EXCERPT_CHARS_BEFORE)
        } else {
            0
        };
        let text: String = line.chars().skip(skipped).take(EXCERPT_CHARS_MAX).collect();
        let indent = column - 1 - skipped;
        let meant = span.slice(source).lines().next().unwrap_or("").trim_end();
        let room = text.chars().count().saturating_sub(indent);
        let width = meant.chars().count().min(room).max(1);
        Self {
            text,
            indent,
            width,
        }
    }

    /// White space up to the place (tabs kept, so that columns line up) and the carets.
    fn underline(&self) -> String {
        let blanks = self
            .text
            .chars()
            .map(|c| if c == '\t' { '\t' } else { ' ' });
        let mut line: String = blanks
            .chain(std::iter::repeat(' '))
            .take(self.indent)
            .collect();
        line.push_str(&"^".repeat(self.width));
        line
    }
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
            excerpt: Box::new(Excerpt::of(source, span, column)),
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

    /// The same finding with some text replaced everywhere, such as secrets by a mask.
    #[must_use]
    pub(crate) fn map_texts(mut self, change: impl Fn(&str) -> String) -> Self {
        self.message = change(&self.message);
        self.excerpt.text = change(&self.excerpt.text);
        self.help = self.help.map(|help| change(&help));
        self
    }

    /// Plain text for a terminal: place and message, the source line with a caret, and the help.
    pub fn to_text(&self, file: &str) -> String {
        let mut text = format!(
            "{file}:{}:{}: {}: {}\n",
            self.line,
            self.column,
            self.severity.as_str(),
            self.message
        );
        if !self.excerpt.text.is_empty() {
            let number = self.line.to_string();
            let margin = " ".repeat(number.len());
            // Writing to a String cannot fail.
            let _ = writeln!(text, "{margin} |\n{number} | {}", self.excerpt.text);
            let _ = writeln!(text, "{margin} | {}", self.excerpt.underline());
        }
        if let Some(help) = &self.help {
            let _ = writeln!(text, "help: {help}");
        }
        text
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
            diagnostic.to_text("job.yaml"),
            "job.yaml:3:11: error: no such method\n  |\n3 | - method: SHEL\n  |           ^^^^\nhelp: did you mean `SHELL`?\n"
        );
    }

    #[test]
    fn long_lines_are_cut_around_the_place() {
        let source = format!("{}X{}", "a".repeat(500), "b".repeat(500));
        let text = Diagnostic::error(&source, Span::new(500, 501), "m").to_text("f");
        let lines: Vec<&str> = text.lines().collect();
        assert_eq!(lines[0], "f:1:501: error: m");
        assert_eq!(lines[2].len(), "1 | ".len() + EXCERPT_CHARS_MAX);
        assert_eq!(lines[2].find('X'), lines[3].find('^'));
    }
}
