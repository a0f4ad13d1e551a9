//! The structural view: a templated definition as YAML that can be read before it is rendered
//! (`job-definitions` 1.2).
//!
//! Each action becomes a short mark inside its scalar, and a line of nothing but actions is
//! emptied. Every character of the view remembers the byte of the source it stands for, so that
//! findings show places of the text that the author wrote.

use crate::action::{Action, ActionKind, find_actions};
use crate::lines::blank_template_comments;
use crate::span::Span;

/// How much of a line an action makes unknown.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Grain {
    /// The action alone.
    Action,
    /// The whole value or list item around it: for texts that are YAML only once rendered, such
    /// as `key: {{ .A }}: {{ .B }}`.
    Value,
    /// The whole line, as the reference does: for lines that are no YAML at all until rendered.
    Line,
}

/// Text that is YAML, with the way back to its source.
#[derive(Debug)]
pub(crate) struct View {
    /// The YAML text.
    pub(crate) text: String,
    /// For each character of `text`, and one past it, the byte of the source.
    origin: Vec<u32>,
    /// Surrounds the number of an opaque part; a character that the source does not use.
    mark: char,
    /// The opaque parts, as places in the source.
    opaque: Vec<Span>,
    /// Whether the source is still to be rendered.
    templated: bool,
    /// Where the source has `else` actions.
    pub(crate) else_at: Vec<usize>,
}

impl View {
    /// The view of a text without templates: the text itself.
    pub(crate) fn plain(source: &str) -> Self {
        let mut builder = Builder::new(source);
        builder.copy(Span::new(0, source.len()));
        builder.finish(&[], false)
    }

    /// The view of a text that may hold template actions.
    pub(crate) fn of_template(source: &str, grain: Grain) -> Self {
        let clean = blank_template_comments(source);
        let actions = find_actions(&clean);
        let mut builder = Builder::new(source);
        let mut done = 0;
        for action in &actions {
            if action.span.start < done {
                continue; // inside a value that is opaque already
            }
            let part = match grain {
                Grain::Action => action.span,
                Grain::Value => value_around(&clean, action.span, done).unwrap_or(action.span),
                Grain::Line => line_around(&clean, action.span, done),
            };
            builder.copy_from(&clean, Span::new(done, part.start));
            builder.hide(part);
            done = part.end;
        }
        builder.copy_from(&clean, Span::new(done, clean.len()));
        builder.finish(&actions, true)
    }

    /// Whether scalars that look like templates are values unknown until run time.
    pub(crate) fn is_templated(&self) -> bool {
        self.templated
    }

    /// The byte of the source behind the `index`th character of the view.
    pub(crate) fn source_offset(&self, index: usize) -> usize {
        let last = self.origin.last().copied().unwrap_or(0);
        self.origin.get(index).copied().unwrap_or(last) as usize
    }

    /// Puts the source text of opaque parts back into a scalar; `None` when it has none.
    pub(crate) fn restore(&self, scalar: &str, source: &str) -> Option<String> {
        if !scalar.contains(self.mark) {
            return None;
        }
        let mut text = String::new();
        for (index, piece) in scalar.split(self.mark).enumerate() {
            let hidden = (index % 2 == 1)
                .then(|| piece.parse().ok())
                .flatten()
                .and_then(|number: usize| self.opaque.get(number));
            text.push_str(hidden.map_or(piece, |span| span.slice(source)));
        }
        Some(text)
    }
}

/// The value or list item that holds `action`: from after `key: ` or `- ` to the end of the line.
fn value_around(text: &str, action: Span, done: usize) -> Option<Span> {
    let line_start = text[..action.start].rfind('\n').map_or(0, |at| at + 1);
    let before = &text[line_start..action.start];
    let body = before.trim_start();
    let mut start = line_start + before.len() - body.len();
    let mut rest = body;
    while let Some(after) = rest.strip_prefix("- ") {
        start += rest.len() - after.trim_start().len();
        rest = after.trim_start();
    }
    if let Some(colon) = rest.find(": ") {
        let value = &rest[colon + 2..];
        start += colon + 2 + value.len() - value.trim_start().len();
    } else if rest.len() == body.len() {
        return None;
    }
    let end = text[action.end..]
        .find('\n')
        .map_or(text.len(), |at| action.end + at);
    let start = start.max(done).min(action.start);
    Some(Span::new(start, start + text[start..end].trim_end().len()))
}

/// The lines that hold `action`, without indentation.
fn line_around(text: &str, action: Span, done: usize) -> Span {
    let line_start = text[..action.start].rfind('\n').map_or(0, |at| at + 1);
    let end = text[action.end..]
        .find('\n')
        .map_or(text.len(), |at| action.end + at);
    Span::new(line_start.max(done), end)
}

struct Builder<'s> {
    source: &'s str,
    mark: char,
    text: String,
    origin: Vec<u32>,
    opaque: Vec<Span>,
}

impl<'s> Builder<'s> {
    fn new(source: &'s str) -> Self {
        let mark = ('\u{E000}'..='\u{E01F}').find(|c| !source.contains(*c));
        Self {
            source,
            mark: mark.unwrap_or('\u{E000}'),
            text: String::with_capacity(source.len()),
            origin: Vec::with_capacity(source.len() + 1),
            opaque: Vec::new(),
        }
    }

    fn copy(&mut self, span: Span) {
        self.copy_from(self.source, span);
    }

    fn copy_from(&mut self, text: &str, span: Span) {
        for (at, c) in span.slice(text).char_indices() {
            self.push(c, span.start + at);
        }
    }

    fn hide(&mut self, part: Span) {
        let number = self.opaque.len().to_string();
        self.opaque.push(part);
        self.push(self.mark, part.start);
        for digit in number.chars() {
            self.push(digit, part.start);
        }
        self.push(self.mark, part.start);
    }

    fn push(&mut self, c: char, origin: usize) {
        self.text.push(c);
        self.origin.push(u32::try_from(origin).unwrap_or(u32::MAX));
    }

    fn finish(mut self, actions: &[Action], templated: bool) -> View {
        if !self.opaque.is_empty() {
            self.empty_action_lines();
        }
        let end = u32::try_from(self.source.len()).unwrap_or(u32::MAX);
        self.origin.push(end);
        let else_at = actions
            .iter()
            .filter(|action| action.kind == ActionKind::Else)
            .map(|action| action.span.start)
            .collect();
        View {
            text: self.text,
            origin: self.origin,
            mark: self.mark,
            opaque: self.opaque,
            templated,
            else_at,
        }
    }

    /// Drops the content of lines that hold nothing but marks and white space.
    fn empty_action_lines(&mut self) {
        let mut text = String::with_capacity(self.text.len());
        let mut origin = Vec::with_capacity(self.origin.len());
        let mut at = 0;
        for line in self.text.split_inclusive('\n') {
            let count = line.chars().count();
            let origins = &self.origin[at..at + count];
            at += count;
            if !is_marks_only(line, self.mark) {
                text.push_str(line);
                origin.extend_from_slice(origins);
            } else if line.ends_with('\n') {
                text.push('\n');
                origin.extend(origins.last());
            }
        }
        self.text = text;
        self.origin = origin;
    }
}

fn is_marks_only(line: &str, mark: char) -> bool {
    line.contains(mark)
        && line
            .split(mark)
            .step_by(2)
            .all(|outside| outside.trim().is_empty())
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn shown(view: &View) -> String {
        view.text.replace(view.mark, "~")
    }

    fn check(source: &str, grain: Grain, expected: &str) {
        assert_eq!(
            shown(&View::of_template(source, grain)),
            expected,
            "{source}"
        );
    }

    #[test]
    fn actions_become_marks_and_action_lines_vanish() {
        check("a: {{ .X }}\n", Grain::Action, "a: ~0~\n");
        check(
            "{{ if .X }}\na: 1\n  {{ end }}\n",
            Grain::Action,
            "\na: 1\n\n",
        );
        check(
            "a: {{ if\n .X }}1{{ end }}\n",
            Grain::Action,
            "a: ~0~1~1~\n",
        );
        check("# {{ .X }}\na: 1\n", Grain::Action, "          \na: 1\n");
        check("- {{ .X }}\n", Grain::Action, "- ~0~\n");
    }

    #[test]
    fn whole_values_can_be_hidden() {
        check("a: x {{ .A }}: {{ .B }} # c\n", Grain::Value, "a: ~0~\n");
        check("- - x: {{ .A }}\n- y\n", Grain::Value, "- - x: ~0~\n- y\n");
        check(
            "{{ .A }}: {{ .B }}\nb: 1\n",
            Grain::Value,
            "~0~: ~1~\nb: 1\n",
        );
        check("a: 1\n{{ .A }} - x\n", Grain::Line, "a: 1\n\n");
        check("a: |\n  x {{ .B }}\n", Grain::Value, "a: |\n  x ~0~\n");
    }

    #[test]
    fn scalars_are_restored() {
        let source = "a: x-{{ .X }}-{{ .Y }}\n";
        let view = View::of_template(source, Grain::Action);
        let scalar = view.text["a: ".len()..].trim_end();
        assert_eq!(
            view.restore(scalar, source).as_deref(),
            Some("x-{{ .X }}-{{ .Y }}")
        );
        assert_eq!(view.restore("plain", source), None);
    }

    proptest! {
        #[test]
        fn every_character_has_an_origin(source in "[-{}: ax#\"é\n]{0,40}") {
            for grain in [Grain::Action, Grain::Value, Grain::Line] {
                let view = View::of_template(&source, grain);
                prop_assert_eq!(view.origin.len(), view.text.chars().count() + 1);
                prop_assert!(view.origin.windows(2).all(|pair| pair[0] <= pair[1]));
            }
        }
    }
}
