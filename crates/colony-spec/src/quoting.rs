//! Protects YAML quotes from inserted values (`job-definitions` 5.3, F95).
//!
//! Values are inserted as text before the YAML is parsed. Inside a quoted scalar a value with
//! quotes or newlines would break the scalar, so each action there that prints a value is piped
//! through a function that escapes it.

use crate::action::{Action, ActionKind, find_actions};
use crate::lines::split_lines;
use crate::span::Span;

/// Name of the function for values in double quotes.
pub(crate) const DOUBLE: &str = "colony_in_double_quotes";
/// Name of the function for values in single quotes.
pub(crate) const SINGLE: &str = "colony_in_single_quotes";

/// A template with its insertions, to find places of the original.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Protected {
    pub(crate) text: String,
    /// Where text was inserted in the original, and how much.
    insertions: Vec<(usize, usize)>,
}

impl Protected {
    /// The byte of the original behind a byte of the protected text.
    pub(crate) fn original_offset(&self, offset: usize) -> usize {
        let mut shift = 0;
        for (at, length) in &self.insertions {
            if at + shift >= offset {
                break;
            }
            shift += (offset - at - shift).min(*length);
        }
        offset - shift
    }
}

/// Escapes what a template inserts into quoted scalars.
pub(crate) fn protect_quotes(template: &str) -> Protected {
    let mut text = String::with_capacity(template.len());
    let mut insertions = Vec::new();
    let mut done = 0;
    for (action, quote) in quoted_actions(template) {
        if !prints_a_value(action, template) {
            continue;
        }
        let inside = action.span.slice(template);
        let closing = if inside.ends_with(" -}}") { 4 } else { 2 };
        let at = action.span.end - closing;
        let name = if quote == '"' { DOUBLE } else { SINGLE };
        let pipe = format!(" | {name}");
        text.push_str(&template[done..at]);
        text.push_str(&pipe);
        insertions.push((at, pipe.len()));
        done = at;
    }
    text.push_str(&template[done..]);
    Protected { text, insertions }
}

/// Whether an action is a pipeline whose value is printed.
fn prints_a_value(action: Action, template: &str) -> bool {
    if action.kind != ActionKind::Other {
        return false;
    }
    let inside = action.span.slice(template);
    let inside = &inside[2..inside.len() - 2];
    let inside = inside.strip_prefix("- ").unwrap_or(inside).trim();
    let word = inside
        .split(|c: char| !c.is_ascii_alphanumeric() && c != '_')
        .next()
        .unwrap_or("");
    let is_statement = matches!(word, "template" | "break" | "continue");
    // `$x := …` and `$x = …`; a comparison needs a function, so `=` means nothing else.
    let is_assignment = inside.starts_with('$')
        && inside
            .trim_start_matches(|c: char| c == '$' || c == '_' || c.is_alphanumeric())
            .trim_start()
            .starts_with(['=', ':', ',']);
    !inside.is_empty() && !inside.starts_with("/*") && !is_statement && !is_assignment
}

/// The actions inside quoted scalars, with the quote.
fn quoted_actions(template: &str) -> Vec<(Action, char)> {
    let actions = find_actions(template);
    let mut found = Vec::new();
    let mut next = actions.iter().peekable();
    let mut scan = Scan::default();
    for line in split_lines(template) {
        let is_text = line.in_block || line.is_comment();
        if !is_text {
            scan.begin_line(line.text);
        }
        let mut at = line.span.start;
        while at < line.span.end {
            while next.peek().is_some_and(|action| action.span.end <= at) {
                next.next();
            }
            if let Some(action) = next.peek().filter(|action| action.span.start <= at) {
                if let (Some(quote), false) = (scan.quote, is_text) {
                    found.push((**action, quote));
                }
                scan.skip_action();
                at = action.span.end;
                continue;
            }
            let Some(c) = template[at..].chars().next() else {
                break;
            };
            if !is_text {
                scan.take(c, Span::new(at, line.span.end).slice(template));
            }
            at += c.len_utf8();
        }
    }
    found.dedup_by_key(|(action, _)| action.span);
    found
}

/// Follows the quoting of YAML outside block scalars.
#[derive(Debug, Default)]
struct Scan {
    /// The quote of the scalar being read.
    quote: Option<char>,
    /// Whether the next character may open a scalar.
    at_start: bool,
    /// Whether the key of this line is behind us.
    after_key: bool,
    /// Open `[` and `{`.
    flow: usize,
    /// Whether the next character is escaped or already taken.
    skip: bool,
}

impl Scan {
    fn begin_line(&mut self, line: &str) {
        if self.quote.is_none() {
            self.at_start = true;
            self.after_key = false;
            if !line.starts_with(' ') && self.flow > 0 && line.ends_with(':') {
                self.flow = 0; // brackets of a broken text do not swallow the rest
            }
        }
    }

    fn skip_action(&mut self) {
        self.skip = false;
        if self.quote.is_none() {
            self.at_start = false;
        }
    }

    fn take(&mut self, c: char, rest: &str) {
        if self.skip {
            self.skip = false;
            return;
        }
        match self.quote {
            Some('"') if c == '\\' => self.skip = true,
            Some('\'') if c == '\'' && rest.starts_with("''") => self.skip = true,
            Some(quote) if c == quote => self.quote = None,
            Some(_) => {}
            None => self.take_outside(c, rest),
        }
    }

    fn take_outside(&mut self, c: char, rest: &str) {
        let next_is_blank = rest[c.len_utf8()..]
            .chars()
            .next()
            .is_none_or(char::is_whitespace);
        match c {
            '"' | '\'' if self.at_start => {
                self.quote = Some(c);
                self.at_start = false;
            }
            '[' | '{' if self.at_start => self.flow += 1,
            ']' | '}' if self.flow > 0 => self.flow -= 1,
            ',' if self.flow > 0 => self.at_start = true,
            '-' if self.at_start && next_is_blank => {}
            ':' if next_is_blank && (self.flow > 0 || !self.after_key) => {
                self.at_start = true;
                self.after_key = true;
            }
            ':' if self.flow > 0 => self.at_start = true,
            c if c.is_whitespace() => {}
            _ => self.at_start = false,
        }
    }
}

/// A value as it may stand in single quotes: quotes doubled, newlines as blanks.
pub(crate) fn in_single_quotes(value: &str) -> String {
    value.replace('\'', "''").replace(['\n', '\r'], " ")
}

/// A value as it may stand in double quotes: bare quotes and newlines escaped, backslashes kept.
pub(crate) fn in_double_quotes(value: &str) -> String {
    let mut result = String::with_capacity(value.len());
    let mut escaped = false;
    for c in value.chars() {
        match c {
            '"' if !escaped => result.push_str("\\\""),
            '\n' => result.push_str("\\n"),
            '\r' => result.push_str("\\r"),
            c => result.push(c),
        }
        escaped = c == '\\' && !escaped;
    }
    result
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn check(template: &str, expected: &str) {
        let text = protect_quotes(template).text;
        let shown = text.replace(DOUBLE, "D").replace(SINGLE, "S");
        assert_eq!(shown, expected);
    }

    #[test]
    fn only_yaml_quotes_are_protected() {
        check("a: \"{{ .X }}\"\n", "a: \"{{ .X  | D}}\"\n");
        check(
            "a: '{{ .X -}} b {{- .Y}}'\n",
            "a: '{{ .X | S -}} b {{- .Y | S}}'\n",
        );
        check("- echo \"{{ .X }}\"\n", "- echo \"{{ .X }}\"\n");
        check("- \"{{ .X }}\"\n", "- \"{{ .X  | D}}\"\n");
        check("a: x \"{{ .X }}\"\n", "a: x \"{{ .X }}\"\n");
        check("a: |\n  \"{{ .X }}\"\n", "a: |\n  \"{{ .X }}\"\n");
        check(
            "a: [\"{{ .X }}\", {b: '{{ .Y }}'}]\n",
            "a: [\"{{ .X  | D}}\", {b: '{{ .Y  | S}}'}]\n",
        );
        check("a: {\"b\":\"{{ .X }}\"}\n", "a: {\"b\":\"{{ .X  | D}}\"}\n");
        check("a: \"\\\"{{ .X }}\"\n", "a: \"\\\"{{ .X  | D}}\"\n");
        check(
            "a: 'it''s {{ .X }}'\nb: {{ .X }}\n",
            "a: 'it''s {{ .X  | S}}'\nb: {{ .X }}\n",
        );
        check("a: \"x\n  {{ .X }}\"\n", "a: \"x\n  {{ .X  | D}}\"\n");
        check("\"k\": {{ .X }}\n", "\"k\": {{ .X }}\n");
        check("- curl -H \"A: {{ .X }}\"\n", "- curl -H \"A: {{ .X }}\"\n");
    }

    #[test]
    fn statements_print_nothing() {
        check(
            "a: \"{{ $x := .A }}{{ $x = 1 }}{{/* c */}}{{ $x }}\"\n",
            "a: \"{{ $x := .A }}{{ $x = 1 }}{{/* c */}}{{ $x  | D}}\"\n",
        );
        check(
            "a: \"{{ if .A }}b{{ else }}{{ .C }}{{ end }}\"\n",
            "a: \"{{ if .A }}b{{ else }}{{ .C  | D}}{{ end }}\"\n",
        );
    }

    #[test]
    fn values_are_escaped() {
        assert_eq!(in_single_quotes("it's\nx"), "it''s x");
        assert_eq!(
            in_double_quotes("{\"a\": \"b\\\"\"}\n\\\\\""),
            "{\\\"a\\\": \\\"b\\\"\\\"}\\n\\\\\\\""
        );
    }

    #[test]
    fn places_lead_back() {
        let protected = protect_quotes("a: \"{{ .X }}\"\nb: \"{{ .Y }}\"\nc: {{ .Z }}\n");
        let at = protected.text.find(".Z").unwrap();
        assert_eq!(
            protected.original_offset(at),
            "a: \"{{ .X }}\"\nb: \"{{ .Y }}\"\nc: {{ ".len()
        );
        assert_eq!(protected.original_offset(3), 3);
    }

    proptest! {
        #[test]
        fn no_text_panics(text in "[-{}:\\[\\],a\"'\\\\|# \n]{0,50}") {
            let protected = protect_quotes(&text);
            for offset in 0..=protected.text.len() {
                prop_assert!(protected.original_offset(offset) <= text.len());
            }
        }
    }
}
