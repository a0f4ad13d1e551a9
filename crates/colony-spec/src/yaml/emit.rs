//! Writes JSON as block YAML, so that a definition posted as JSON has a text like any other:
//! task fragments are cut from it by lines (`job-definitions` 5.3).

use serde_json::Value;

/// The canonical YAML of a JSON value: one key or item a line, members in the order of `value`.
/// `None` when it is longer than `max` bytes: what is nested deeply grows by its indentation.
pub(crate) fn to_yaml(value: &Value, max: usize) -> Option<String> {
    let text = String::new();
    let mut out = Out { text, max };
    block(value, 0, &mut out);
    (out.text.len() <= max).then_some(out.text)
}

/// Text that stops growing once it is too long.
struct Out {
    text: String,
    max: usize,
}

impl Out {
    fn push_str(&mut self, text: &str) {
        if self.text.len() <= self.max {
            self.text.push_str(text);
        }
    }

    fn push(&mut self, character: char) {
        self.push_str(character.encode_utf8(&mut [0; 4]));
    }
}

fn block(value: &Value, indent: usize, out: &mut Out) {
    match value {
        Value::Object(members) if !members.is_empty() => {
            for (index, (key, member)) in members.iter().enumerate() {
                if index > 0 {
                    pad(indent, out);
                }
                out.push_str(&scalar(key));
                out.push(':');
                nested(member, indent, out);
            }
        }
        Value::Array(items) if !items.is_empty() => {
            for (index, item) in items.iter().enumerate() {
                if index > 0 {
                    pad(indent, out);
                }
                out.push_str("- ");
                item_body(item, indent, out);
            }
        }
        flat => line(flat, indent, out),
    }
}

/// The value of a key: on the same line, or below.
fn nested(value: &Value, indent: usize, out: &mut Out) {
    match value {
        Value::Object(members) if !members.is_empty() => {
            out.push('\n');
            pad(indent + 2, out);
            block(value, indent + 2, out);
        }
        Value::Array(items) if !items.is_empty() => {
            out.push('\n');
            pad(indent, out);
            block(value, indent, out);
        }
        flat => {
            out.push(' ');
            line(flat, indent, out);
        }
    }
}

fn item_body(item: &Value, indent: usize, out: &mut Out) {
    match item {
        Value::String(text) if is_block_text(text) => literal(text, indent, out),
        _ => block(item, indent + 2, out),
    }
}

/// A value on its own line, or a literal block for text of several lines.
fn line(value: &Value, indent: usize, out: &mut Out) {
    match value {
        Value::String(text) if is_block_text(text) => literal(text, indent, out),
        Value::String(text) => {
            out.push_str(&scalar(text));
            out.push('\n');
        }
        Value::Object(_) => out.push_str("{}\n"),
        Value::Array(_) => out.push_str("[]\n"),
        other => {
            out.push_str(&other.to_string());
            out.push('\n');
        }
    }
}

/// Text that a literal block holds exactly: several lines, and nothing that YAML cannot print.
fn is_block_text(text: &str) -> bool {
    text.contains('\n')
        && text.chars().all(|c| c == '\n' || !needs_escape(c))
        && text.contains(|c: char| c != '\n' && c != ' ')
}

fn literal(text: &str, indent: usize, out: &mut Out) {
    let body = text.trim_end_matches('\n');
    let ending = match text.len() - body.len() {
        0 => "-",
        1 => "",
        _ => "+",
    };
    // Two blanks deeper than the owner; said outright when the first line is indented itself.
    out.push('|');
    if text.starts_with([' ', '\n']) {
        out.push('2');
    }
    out.push_str(ending);
    out.push('\n');
    for line in text.split_terminator('\n') {
        if !line.is_empty() {
            pad(indent + 2, out);
            out.push_str(line);
        }
        out.push('\n');
    }
}

/// Single quotes keep template actions as they are; escapes are used only where they must be.
fn scalar(text: &str) -> String {
    if text.contains(needs_escape) || text.contains('\n') {
        return escaped(text);
    }
    let is_word = text.starts_with(|c: char| c.is_ascii_alphabetic())
        && text.chars().all(|c| c.is_ascii_alphanumeric() || c == '_')
        && text.len() > 1
        && !is_reserved(text);
    if is_word {
        return text.to_owned();
    }
    format!("'{}'", text.replace('\'', "''"))
}

fn is_reserved(text: &str) -> bool {
    let lower = text.to_ascii_lowercase();
    lower == "null" || super::scalar::boolean(&lower).is_some()
}

/// Characters that YAML takes only as escapes in double quotes.
fn needs_escape(c: char) -> bool {
    let is_printable = matches!(c, '\t' | '\n' | ' '..='~' | '\u{a0}'..='\u{d7ff}' | '\u{e000}'..='\u{fffd}' | '\u{10000}'..);
    !is_printable || matches!(c, '\u{2028}' | '\u{2029}' | '\u{feff}')
}

fn escaped(text: &str) -> String {
    let mut out = String::from("\"");
    for c in text.chars() {
        match c {
            '"' | '\\' => out.extend(['\\', c]),
            '\n' => out.push_str("\\n"),
            c if needs_escape(c) => out.push_str(&format!("\\U{:08x}", u32::from(c))),
            c => out.push(c),
        }
    }
    out.push('"');
    out
}

fn pad(indent: usize, out: &mut Out) {
    if out.text.len() <= out.max {
        out.text.extend(std::iter::repeat_n(' ', indent));
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;
    use serde_json::json;

    use super::*;
    use crate::view::View;
    use crate::yaml::parse::parse;

    fn read_back(value: &Value) -> Value {
        let text = to_yaml(value, usize::MAX).unwrap();
        match parse(&View::plain(&text), &text) {
            Ok(document) => document.root.to_value(),
            Err(error) => panic!("{}\n{text}", error.to_text("")),
        }
    }

    #[test]
    fn definitions_become_block_yaml() {
        let value = json!({"job_type": "a-b", "tasks": [
            {"script": ["x\n  y\n", "it's {{ .A }}"], "task_type": "t", "variables": {}},
        ]});
        assert_eq!(
            to_yaml(&value, 1000).unwrap(),
            "job_type: 'a-b'\ntasks:\n- script:\n  - |\n    x\n      y\n  - 'it''s {{ .A }}'\n  task_type: 't'\n  variables: {}\n"
        );
    }

    #[test]
    fn what_grows_too_long_is_given_up() {
        let items = Value::from(vec![1; 1000]);
        let deep = (0..50).fold(items, |inner, _| json!([inner]));
        assert_eq!(to_yaml(&deep, 50_000), None);
        assert!(to_yaml(&deep, 200_000).is_some());
    }

    fn any_json() -> impl Strategy<Value = Value> {
        let leaf = prop_oneof![
            Just(Value::Null),
            any::<bool>().prop_map(Value::from),
            any::<i64>().prop_map(Value::from),
            "[ -~é\n\t\u{7f}\u{85}]{0,12}".prop_map(Value::from),
            "(yes|null|12|- a|a: b|#|\\{|~| x\n y\n\n)".prop_map(Value::from),
        ];
        leaf.prop_recursive(4, 24, 4, |inner| {
            prop_oneof![
                prop::collection::vec(inner.clone(), 0..4).prop_map(Value::from),
                prop::collection::hash_map("[a-z<~ \n]{0,4}", inner, 0..4)
                    .prop_map(|map| Value::Object(map.into_iter().collect())),
            ]
        })
    }

    proptest! {
        #[test]
        fn json_reads_back_equal(value in any_json()) {
            let value = json!({"root": value});
            prop_assert_eq!(read_back(&value), value);
        }
    }
}
