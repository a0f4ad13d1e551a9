//! From text to tree, and the refusals of the YAML parser in plain words.

use std::collections::HashMap;

use granit_parser::{ErrorKind, Parser, ScanError};

use crate::diagnostic::Diagnostic;
use crate::span::Span;
use crate::view::View;
use crate::yaml::Node;
use crate::yaml::build::Builder;

/// Deepest nesting, aliases included. Definitions need about ten levels.
pub(super) const DEPTH_MAX: usize = 64;

/// A parsed document.
#[derive(Debug, Default)]
pub(crate) struct Document {
    pub(crate) root: Node,
    /// Whether a key stood in two branches of an `if`, so that the second one was left out.
    pub(crate) has_twins: bool,
    /// The anchored values by name.
    pub(crate) anchors: HashMap<String, Node>,
}

/// Parses the first document of `view`, whose source is `source`.
pub(crate) fn parse(view: &View, source: &str) -> Result<Document, Diagnostic> {
    parse_within(view, source, &HashMap::new())
}

/// Parses a piece of a document, whose aliases may refer to anchors elsewhere in it.
pub(crate) fn parse_within(
    view: &View,
    source: &str,
    outer: &HashMap<String, Node>,
) -> Result<Document, Diagnostic> {
    let options = granit_parser::options! {
        emit_comments: false,
        emit_anchor_events: true,
        emit_unresolved_aliases: true,
        flow_nesting_limit: DEPTH_MAX,
        block_nesting_limit: DEPTH_MAX,
    };
    let mut builder = Builder::new(view, source, outer);
    for event in Parser::new_from_str_with_options(&view.text, options) {
        let (event, span) = event.map_err(|error| scan_error(&error, view, source))?;
        let span = builder.source_span(span);
        if builder.take(event, span)? {
            break;
        }
    }
    Ok(builder.finish())
}

/// The parser's refusal, at its place in the source.
fn scan_error(error: &ScanError, view: &View, source: &str) -> Diagnostic {
    let start = view.source_offset(error.marker().index());
    let width = source[start.min(source.len())..]
        .chars()
        .next()
        .map_or(0, char::len_utf8);
    let span = Span::new(start, start + width);
    if matches!(error.kind(), ErrorKind::RecursionLimitExceeded) {
        return too_deep(source, span);
    }
    let reason = error.info();
    let help = yaml_help(&reason);
    Diagnostic::error(source, span, format!("invalid YAML: {reason}"))
        .with_help(help.unwrap_or("check indentation, quotes and brackets near this place"))
}

/// The refusal of a document that is nested too deeply.
pub(super) fn too_deep(source: &str, span: Span) -> Diagnostic {
    let message = format!("values are nested more than {DEPTH_MAX} levels deep");
    Diagnostic::error(source, span, message)
        .with_help("definitions need about ten levels; flatten the value or pass it as text")
}

/// Advice for the YAML errors that people meet most.
fn yaml_help(message: &str) -> Option<&'static str> {
    let advice = [
        (
            "mapping values are not allowed",
            "quote a value that contains `: `",
        ),
        (
            "cannot start any token",
            "quote a value that begins with `@`, `` ` `` or `%`",
        ),
        ("tab", "indent with blanks, not tabs"),
    ];
    let found = advice.iter().find(|(part, _)| message.contains(part))?;
    Some(found.1)
}
