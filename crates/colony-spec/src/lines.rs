//! Which lines of a YAML text lie inside a block scalar, judged by indentation alone.
//!
//! The text may hold template actions, so it is not YAML yet and no YAML parser can say.

use crate::action::is_action_line;
use crate::span::Span;

/// One line of a text.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Line<'t> {
    /// Its text without the line break.
    pub(crate) text: &'t str,
    /// Its bytes without the line break.
    pub(crate) span: Span,
    /// Whether it is content of a `|` or `>` scalar.
    pub(crate) in_block: bool,
}

impl Line<'_> {
    /// Number of leading blanks.
    pub(crate) fn indent(&self) -> usize {
        self.text.len() - self.text.trim_start_matches(' ').len()
    }

    /// Whether the whole line is a YAML comment.
    pub(crate) fn is_comment(&self) -> bool {
        !self.in_block && self.text.trim_start().starts_with('#')
    }
}

/// Splits a text into lines and marks those inside block scalars.
pub(crate) fn split_lines(text: &str) -> Vec<Line<'_>> {
    let mut lines = Vec::new();
    let mut start = 0;
    // Indentation of the key or dash that owns the block scalar being read.
    let mut owner: Option<usize> = None;
    for piece in text.split_inclusive('\n') {
        let content = piece.trim_end_matches(['\n', '\r']);
        let mut line = Line {
            text: content,
            span: Span::new(start, start + content.len()),
            in_block: false,
        };
        let structural = !content.trim().is_empty() && !is_action_line(content);
        if structural && owner.is_some_and(|column| line.indent() <= column) {
            owner = None;
        }
        line.in_block = owner.is_some();
        if structural && owner.is_none() && !line.is_comment() {
            owner = block_owner(content);
        }
        lines.push(line);
        start += piece.len();
    }
    lines
}

/// The column of the key or dash whose value is a block scalar that begins after this line.
fn block_owner(line: &str) -> Option<usize> {
    let body = line.trim_end();
    let body = match body.find(" #") {
        Some(comment) => body[..comment].trim_end(),
        None => body,
    };
    let header = body.rsplit([' ', ':']).next().unwrap_or(body);
    let is_header = header.starts_with(['|', '>'])
        && header[1..].len() <= 2
        && header[1..]
            .chars()
            .all(|c| matches!(c, '+' | '-' | '1'..='9'));
    if !is_header {
        return None;
    }
    let before = body[..body.len() - header.len()].trim_end();
    let mut column = before.len() - before.trim_start().len();
    let mut rest = before.trim_start();
    let mut last_dash = None;
    while let Some(after) = rest
        .strip_prefix('-')
        .filter(|r| r.is_empty() || r.starts_with(' '))
    {
        last_dash = Some(column);
        column += rest.len() - after.trim_start().len();
        rest = after.trim_start();
    }
    match rest {
        "" => last_dash,
        key if key.ends_with(':') => Some(column),
        // `key: !tag |` and `key: &anchor |`
        key if key.contains(": !") || key.contains(": &") => Some(column),
        _ => None,
    }
}

/// Blanks full-line comments that hold an action, keeping every byte position: an action in a
/// comment is never evaluated (`job-definitions` 1.3, F21).
pub(crate) fn blank_template_comments(text: &str) -> String {
    if !text.contains("{{") {
        return text.to_owned();
    }
    let mut result = String::with_capacity(text.len());
    let mut done = 0;
    for line in split_lines(text) {
        if line.is_comment() && line.text.contains("{{") {
            result.push_str(&text[done..line.span.start]);
            result.extend(std::iter::repeat_n(' ', line.text.len()));
            done = line.span.end;
        }
    }
    result.push_str(&text[done..]);
    result
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn check(text: &str, in_block: &[bool]) {
        let marks: Vec<bool> = split_lines(text).iter().map(|l| l.in_block).collect();
        assert_eq!(marks, in_block, "{text}");
    }

    #[test]
    fn block_scalars_end_at_their_owners_column() {
        check(
            "a: |\n  x\n\n  y\nb: 1\n",
            &[false, true, true, true, false],
        );
        check("- a: >-\n    x\n  b: 1\n", &[false, true, false]);
        check("- |\n  x\n- y\n", &[false, true, false]);
        check("- - |2+\n    x\n  - y\n", &[false, true, false]);
        check(
            "a: | # why\n  x\nb: y |\n  z\n",
            &[false, true, false, false],
        );
        check("a: |\n  x\n{{ if .X }}\n  y\n", &[false, true, true, true]);
        check("# a: |\n  x\n", &[false, false]);
        check("- echo a || b |\n  x\n", &[false, false]);
    }

    #[test]
    fn only_comments_with_actions_are_blanked() {
        assert_eq!(
            blank_template_comments("# {{ .X }}\n# a\na: | # {{.Y}}\n  # {{ .Z }}\n"),
            "          \n# a\na: | # {{.Y}}\n  # {{ .Z }}\n"
        );
    }

    proptest! {
        #[test]
        fn no_text_panics_and_positions_stay(text in "[-|>#{}: a1é\n]{0,40}") {
            let blanked = blank_template_comments(&text);
            prop_assert_eq!(blanked.len(), text.len());
        }
    }
}
