//! Cuts the text of one task out of a definition (`job-definitions` 5.3).
//!
//! The text is a template, so it is cut by lines and columns, not by a YAML parser.

use crate::action::{ActionKind, find_actions, is_action_line};
use crate::lines::{Line, blank_template_comments, split_lines};

/// The text of one task, ready to be rendered.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Fragment {
    /// The item without its dash, dedented.
    pub(crate) text: String,
    /// The line of the definition on which it begins, from 1; `None` when it was rebuilt from a
    /// definition in flow style.
    pub(crate) first_line: Option<usize>,
    /// Columns that were taken off.
    pub(crate) dedent: usize,
}

/// The fragment of the task with exactly this type.
pub(crate) fn find_fragment(raw_yaml: &str, task_type: &str) -> Option<Fragment> {
    let lines = split_lines(raw_yaml);
    items(&lines)
        .into_iter()
        .find(|item| item.task_type(&lines) == Some(task_type))
        .map(|item| item.fragment(&lines))
}

/// The fragments of all tasks whose type is written out, in document order.
pub(crate) fn all_fragments(raw_yaml: &str) -> Vec<Fragment> {
    let lines = split_lines(raw_yaml);
    items(&lines)
        .into_iter()
        .filter(|item| item.task_type(&lines).is_some())
        .map(|item| item.fragment(&lines))
        .collect()
}

/// The text under a top-level key, with the key's own line.
pub(crate) fn top_level_block(raw_yaml: &str, key: &str) -> Option<String> {
    let lines = split_lines(raw_yaml);
    let start = lines.iter().position(|line| is_key_line(line, key))?;
    let after = start + 1;
    let end = lines[after..]
        .iter()
        .position(begins_top_level)
        .map_or(lines.len(), |offset| after + offset);
    let text: Vec<&str> = lines[start..end].iter().map(|line| line.text).collect();
    Some(text.join("\n") + "\n")
}

/// A list item under `tasks:`, as a range of lines.
#[derive(Debug, Clone, Copy)]
struct Item {
    start: usize,
    end: usize,
    dash: usize,
}

fn items(lines: &[Line<'_>]) -> Vec<Item> {
    let Some(tasks) = lines.iter().position(|line| is_key_line(line, "tasks")) else {
        return Vec::new();
    };
    let body = tasks + 1;
    let first = (body..lines.len()).find(|&at| is_dash(&lines[at], None));
    let Some(first) = first else {
        return Vec::new();
    };
    let dash = lines[first].indent();
    let end = (first..lines.len())
        .find(|&at| ends_tasks(&lines[at], dash))
        .unwrap_or(lines.len());
    let starts: Vec<usize> = (first..end)
        .filter(|&at| is_dash(&lines[at], Some(dash)))
        .collect();
    starts
        .iter()
        .enumerate()
        .map(|(index, &start)| {
            let limit = starts.get(index + 1).copied().unwrap_or(end);
            let is_last = limit == end;
            let end = item_end(&lines[..limit], start, dash, is_last);
            Item { start, end, dash }
        })
        .collect()
}

/// Where an item ends before `lines.len()`: action lines that stand between items are left out.
fn item_end(lines: &[Line<'_>], start: usize, dash: usize, is_last: bool) -> usize {
    let mut depth = Depth::default();
    let last_content = lines.iter().rposition(is_content).unwrap_or(start);
    for (at, line) in lines.iter().enumerate().skip(start) {
        let is_control = is_action_line(line.text) && !line.in_block && line.indent() <= dash;
        let mut after = depth;
        let closes_outer = after.follow(line.text);
        if is_control {
            let is_inside = depth.open > 0 || is_last || last_content > at;
            if closes_outer || !is_inside {
                return at;
            }
        }
        depth = after;
    }
    lines.len()
}

/// How many parts opened inside an item are still open.
#[derive(Debug, Clone, Copy, Default)]
struct Depth {
    open: usize,
}

impl Depth {
    /// Follows the actions of a line; true when one closes a part that was opened before the item.
    fn follow(&mut self, text: &str) -> bool {
        let mut closes_outer = false;
        for action in find_actions(text) {
            match action.kind {
                ActionKind::Open | ActionKind::Range => self.open += 1,
                ActionKind::End if self.open > 0 => self.open -= 1,
                ActionKind::Else if self.open > 0 => {}
                ActionKind::End | ActionKind::Else => closes_outer = true,
                ActionKind::Other => {}
            }
        }
        closes_outer
    }
}

impl Item {
    /// The column of the item's keys.
    fn key_column(self, lines: &[Line<'_>]) -> usize {
        let after_dash = &lines[self.start].text[self.dash + 1..];
        if after_dash.trim().is_empty() {
            let below = lines[self.start + 1..self.end].iter();
            let mut keys = below.filter(|line| !is_blank(line) && !is_action_line(line.text));
            return keys.next().map_or(self.dash + 2, Line::indent);
        }
        self.dash + 1 + (after_dash.len() - after_dash.trim_start().len())
    }

    /// The `task_type` of the item, wherever it stands in it.
    fn task_type<'t>(self, lines: &[Line<'t>]) -> Option<&'t str> {
        let column = self.key_column(lines);
        let first = lines[self.start].text.get(column..);
        let others = lines[self.start + 1..self.end]
            .iter()
            .filter(|line| !line.in_block && line.indent() == column)
            .map(|line| line.text.trim_start());
        first
            .into_iter()
            .chain(others)
            .find_map(|text| Some(scalar_text(key_value(text, "task_type")?)))
    }

    fn fragment(self, lines: &[Line<'_>]) -> Fragment {
        let column = self.key_column(lines);
        let mut text = String::new();
        for (offset, line) in lines[self.start..self.end].iter().enumerate() {
            let blank_dash;
            let content = if offset == 0 {
                blank_dash = line.text.replacen('-', " ", 1);
                &blank_dash
            } else {
                line.text
            };
            let own_indent = content.len() - content.trim_start_matches(' ').len();
            text.push_str(&content[own_indent.min(column)..]);
            text.push('\n');
        }
        Fragment {
            text: blank_template_comments(&text),
            first_line: Some(self.start + 1),
            dedent: column,
        }
    }
}

/// The text of a plain or quoted one-line scalar, without a comment.
fn scalar_text(value: &str) -> &str {
    let value = value.trim();
    for quote in ['"', '\''] {
        if let Some(inside) = value.strip_prefix(quote) {
            return inside.split(quote).next().unwrap_or(inside);
        }
    }
    value.split(" #").next().unwrap_or(value).trim_end()
}

/// The rest of a line after `key:`, the key quoted or not.
fn key_value<'t>(text: &'t str, key: &str) -> Option<&'t str> {
    let after = ["\"", "'", ""].iter().find_map(|quote| {
        text.strip_prefix(*quote)?
            .strip_prefix(key)?
            .strip_prefix(*quote)
    })?;
    after.trim_start().strip_prefix(':')
}

fn is_key_line(line: &Line<'_>, key: &str) -> bool {
    !line.in_block && key_value(line.text, key).is_some()
}

fn is_content(line: &Line<'_>) -> bool {
    !is_blank(line) && !line.is_comment() && !is_action_line(line.text)
}

fn is_blank(line: &Line<'_>) -> bool {
    line.text.trim().is_empty()
}

/// Whether a line begins a list item, at `column` if given.
fn is_dash(line: &Line<'_>, column: Option<usize>) -> bool {
    let body = line.text.trim_start_matches(' ');
    let begins = body == "-" || body.starts_with("- ") || body.starts_with("-\t");
    begins && !line.in_block && column.is_none_or(|column| line.indent() == column)
}

fn begins_top_level(line: &Line<'_>) -> bool {
    ends_tasks(line, 0)
}

/// Whether a line ends the list of tasks: a key left of the dashes, or a new document.
fn ends_tasks(line: &Line<'_>, dash: usize) -> bool {
    let is_text = line.in_block || is_blank(line) || line.is_comment();
    // What an action at the beginning of a line makes of it is unknown; it is no key for sure.
    if is_text || line.text.trim_start().starts_with("{{") {
        return false;
    }
    let is_item = is_dash(line, None);
    let left = line.indent() < dash || line.indent() == 0;
    let is_mark = line.text.starts_with("---") || line.text.starts_with("...");
    is_mark || (left && !is_item)
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn check(raw_yaml: &str, task_type: &str, expected: Option<&str>) {
        let fragment = find_fragment(raw_yaml, task_type);
        let text = fragment.as_ref().map(|fragment| fragment.text.as_str());
        assert_eq!(text, expected, "{task_type} of\n{raw_yaml}");
    }

    #[test]
    fn items_are_found_by_their_exact_type() {
        let text = "job_type: j\ntasks:\n- task_type: build2\n  url: a\n- script: [x]\n  'task_type': \"build\" # c\n\
                    - method: X\n  task_type: last\nurl: z\n";
        check(text, "build2", Some("task_type: build2\nurl: a\n"));
        check(
            text,
            "build",
            Some("script: [x]\n'task_type': \"build\" # c\n"),
        );
        check(text, "last", Some("method: X\ntask_type: last\n"));
        check(text, "buil", None);
    }

    #[test]
    fn indented_items_and_nested_lists() {
        let text = "tasks:\n  # first\n  -   task_type: a\n      services:\n      - name: n\n        task_type: no\n  \
                    - task_type: b\n    script:\n    - |\n      task_type: c\n    - y\nurl: z\n";
        check(
            text,
            "a",
            Some("task_type: a\nservices:\n- name: n\n  task_type: no\n"),
        );
        check(
            text,
            "b",
            Some("task_type: b\nscript:\n- |\n  task_type: c\n- y\n"),
        );
        check(text, "c", None);
        check(text, "no", None);
        check(
            "tasks:\n-\n  task_type: a\n  url: x\n",
            "a",
            Some("\ntask_type: a\nurl: x\n"),
        );
    }

    #[test]
    fn action_lines_belong_to_items_or_stand_between_them() {
        let between = "tasks:\n{{ if .X }}\n- task_type: a\n  url: x\n{{ else }}\n- task_type: b\n  url: y\n{{ end }}\n";
        check(between, "a", Some("task_type: a\nurl: x\n"));
        check(between, "b", Some("task_type: b\nurl: y\n"));
        let inside = "tasks:\n- task_type: a\n{{ if .X }}\n  url: x\n{{ else }}\n  url: y\n{{ end }}\n- task_type: b\n";
        check(
            inside,
            "a",
            Some("task_type: a\n{{ if .X }}\nurl: x\n{{ else }}\nurl: y\n{{ end }}\n"),
        );
        let value = "tasks:\n- task_type: a\n{{ .Lines }}\nurl: z\n";
        check(value, "a", Some("task_type: a\n{{ .Lines }}\n"));
        let next = "tasks:\n- task_type: a\n  url: x\n{{ if .Y }}\n# why\n- task_type: b\n  url: y\n{{ end }}\nurl: z\n";
        check(next, "a", Some("task_type: a\nurl: x\n"));
        check(next, "b", Some("task_type: b\nurl: y\n"));
    }

    #[test]
    fn comments_with_actions_are_blanked() {
        let text =
            "tasks:\n- task_type: a\n  # {{ bad\n  # {{ .X }}\n  script:\n  - |\n    # {{ .Y }}\n";
        check(
            text,
            "a",
            Some("task_type: a\n        \n          \nscript:\n- |\n  # {{ .Y }}\n"),
        );
    }

    #[test]
    fn blocks_of_top_level_keys() {
        let text =
            "job_type: j\njob_variables:\n  A: 1\n# c\n  B: {{ .A }}\ntasks:\n- task_type: a\n";
        let expected = "job_variables:\n  A: 1\n# c\n  B: {{ .A }}\n";
        assert_eq!(
            top_level_block(text, "job_variables").as_deref(),
            Some(expected)
        );
        assert_eq!(top_level_block(text, "skip_if"), None);
    }

    proptest! {
        #[test]
        fn no_text_panics(body in "[-{}: ta|#é\n]{0,60}") {
            let text = format!("tasks:\n{body}");
            for item in items(&split_lines(&text)) {
                let lines = split_lines(&text);
                let _ = (item.task_type(&lines), item.fragment(&lines));
            }
        }
    }
}
