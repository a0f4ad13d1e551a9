//! Finds template actions (`{{ … }}`) in raw text, without understanding them.
//!
//! Needed where text is looked at before it is rendered: the structural view and the cutting of
//! task fragments. Strings and comments inside an action may hold `}}`, as in Go.

use crate::span::Span;

/// What an action does to the structure around it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum ActionKind {
    /// Opens a part that ends at `end`: `if`, `with`, `define`, `block`.
    Open,
    /// `range`, which opens a part too.
    Range,
    /// `else`, also `else if` and `else with`.
    Else,
    /// `end`.
    End,
    /// Anything else: a value, an assignment, a comment.
    Other,
}

/// One template action and its place.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Action {
    pub(crate) span: Span,
    pub(crate) kind: ActionKind,
}

/// How often a text may be looked through for ends that do not come.
const PATIENCE: usize = 64;

/// All actions of a text, in order. An action that is never closed is left out.
pub(crate) fn find_actions(text: &str) -> Vec<Action> {
    let mut actions = Vec::new();
    let mut from = 0;
    // Bytes that may be looked at in vain, so that a text of nothing but `{{` is no trap.
    let mut patience = text.len().saturating_mul(PATIENCE) + 1;
    while let Some(found) = text[from..].find("{{") {
        let start = from + found;
        let end = match action_end(text, start + 2) {
            Ok(end) => end,
            Err(seen) => {
                // Go would refuse this text; the renderer says so. Later actions still count.
                patience = patience.saturating_sub(seen - start);
                if patience == 0 {
                    break;
                }
                from = start + 2;
                continue;
            }
        };
        actions.push(Action {
            span: Span::new(start, end),
            kind: kind_of(&text[start + 2..end - 2]),
        });
        from = end;
    }
    actions
}

/// One past the closing braces of the action whose inside begins at `at`; the error is how far
/// they were looked for.
fn action_end(text: &str, at: usize) -> Result<usize, usize> {
    if let Some(comment) = trim_marker(&text[at..]).strip_prefix("/*") {
        let end = comment.find("*/").ok_or(text.len())? + 2;
        let end = text.len() - comment.len() + end;
        let close = text[end..].find("}}").ok_or(text.len())?;
        return Ok(end + close + 2);
    }
    let bytes = text.as_bytes();
    let mut at = at;
    while at < bytes.len() {
        match bytes[at] {
            b'}' if bytes.get(at + 1) == Some(&b'}') => return Ok(at + 2),
            quote @ (b'"' | b'\'' | b'`') => at = literal_end(bytes, at, quote)?,
            // An escape outside a literal: the text is inside a YAML scalar in double quotes.
            b'\\' => return Err(at),
            _ => at += 1,
        }
    }
    Err(at)
}

/// One past the closing quote of the literal that opens at `at`.
fn literal_end(bytes: &[u8], at: usize, quote: u8) -> Result<usize, usize> {
    let mut at = at + 1;
    while let Some(&byte) = bytes.get(at) {
        match byte {
            byte if byte == quote => return Ok(at + 1),
            b'\\' if quote != b'`' => at += 2,
            b'\n' if quote != b'`' => return Err(at),
            _ => at += 1,
        }
    }
    Err(bytes.len())
}

fn trim_marker(inside: &str) -> &str {
    let trimmed = inside.strip_prefix('-').unwrap_or(inside);
    match trimmed.strip_prefix([' ', '\t', '\r', '\n']) {
        Some(rest) if trimmed.len() < inside.len() => rest,
        _ => inside,
    }
}

fn kind_of(inside: &str) -> ActionKind {
    let word = trim_marker(inside).trim_start();
    let word = &word[..word
        .find(|c: char| !c.is_ascii_alphanumeric() && c != '_')
        .unwrap_or(word.len())];
    match word {
        "if" | "with" | "define" | "block" => ActionKind::Open,
        "range" => ActionKind::Range,
        "else" => ActionKind::Else,
        "end" => ActionKind::End,
        _ => ActionKind::Other,
    }
}

/// Whether a line holds at least one action and nothing else but white space.
pub(crate) fn is_action_line(line: &str) -> bool {
    let mut rest = line.trim();
    if !rest.starts_with("{{") {
        return false;
    }
    while !rest.is_empty() {
        let Some(end) = rest
            .strip_prefix("{{")
            .and_then(|_| action_end(rest, 2).ok())
        else {
            return false;
        };
        rest = rest[end..].trim_start();
    }
    true
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn check(text: &str, expected: &[&str]) {
        let found: Vec<&str> = find_actions(text)
            .iter()
            .map(|action| action.span.slice(text))
            .collect();
        assert_eq!(found, expected, "{text:?}");
    }

    #[test]
    fn actions_end_where_go_ends_them() {
        check("a {{ .X }} b {{.Y}}", &["{{ .X }}", "{{.Y}}"]);
        check("{{ \"}}\" }}x", &["{{ \"}}\" }}"]);
        check("{{ `}}` }}x", &["{{ `}}` }}"]);
        check("{{/* }} */}}x", &["{{/* }} */}}"]);
        check("{{- /* }} */ -}}x", &["{{- /* }} */ -}}"]);
        check("{{ if\n .X }}", &["{{ if\n .X }}"]);
        check("{{ open", &[]);
        check("a {{ 'x {{ .Y }}", &["{{ .Y }}"]);
    }

    #[test]
    fn keywords_are_told_apart() {
        let kinds: Vec<ActionKind> =
            find_actions("{{- range $i := .L}}{{else if .X}}{{ end }}{{ ending }}{{with .X}}")
                .iter()
                .map(|action| action.kind)
                .collect();
        use ActionKind::{Else, End, Open, Other, Range};
        assert_eq!(kinds, [Range, Else, End, Other, Open]);
    }

    #[test]
    fn lines_of_actions_only() {
        for (line, expected) in [
            ("  {{ end }}", true),
            ("{{ end }} {{ if .X }}\t", true),
            ("{{ end }} x", false),
            ("- {{ .X }}", false),
            ("", false),
        ] {
            assert_eq!(is_action_line(line), expected, "{line:?}");
        }
    }

    #[test]
    fn a_text_of_openings_is_no_trap() {
        assert_eq!(find_actions(&"{{".repeat(500_000)), []);
        assert!(find_actions(&("{{ ` ".repeat(200_001) + "}}")).len() <= 1);
    }

    proptest! {
        #[test]
        fn no_text_panics(text in "[{}\"'`/*\\-\\\\ a\n]{0,40}|.{0,20}") {
            for action in find_actions(&text) {
                prop_assert!(action.span.slice(&text).starts_with("{{"));
            }
            let _ = is_action_line(&text);
        }
    }
}
