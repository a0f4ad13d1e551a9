//! Texts and times.

use colony_core::time::Timestamp;
use colony_template::{Functions, List, Value};
use jiff::tz::TimeZone;

pub(super) fn add(functions: &mut Functions, now: Option<(Timestamp, TimeZone)>) {
    functions.add("default", default);
    functions.add("trimPrefix", |text: String, affix: String| {
        text.strip_prefix(&affix).unwrap_or(&text).to_owned()
    });
    functions.add("trimSuffix", |text: String, affix: String| {
        text.strip_suffix(&affix).unwrap_or(&text).to_owned()
    });
    functions.add("hasPrefix", |text: String, affix: String| {
        text.starts_with(&affix)
    });
    functions.add("hasSuffix", |text: String, affix: String| {
        text.ends_with(&affix)
    });
    functions.add("contains", |text: String, part: String| {
        text.contains(&part)
    });
    functions.add("replace", |text: String, old: String, new: String| {
        text.replace(&old, &new)
    });
    functions.add("lower", |text: String| text.to_lowercase());
    functions.add("upper", |text: String| text.to_uppercase());
    functions.add("title", |text: String| title(&text));
    functions.add("split", |text: String, separator: String| {
        split(&text, &separator)
    });
    functions.add("join", |list: Value, separator: String| {
        join(&list, &separator)
    });
    functions.add("Unescape", |text: String| text);
    functions.add("MarkdownLink", |text: String| markdown_link(&text));
    functions.add("formatTime", |time: Value| format_time(&time));
    functions.add("FormatTime", |time: Value| format_time(&time));
    functions.add("now", move || {
        now.as_ref().map_or_else(String::new, now_text)
    });
}

fn default(fallback: Value, value: Value) -> Value {
    let is_empty = value.is_nil() || value.as_str().is_some_and(|text| text.is_empty());
    if is_empty { fallback } else { value }
}

/// Every word with a capital first letter.
fn title(text: &str) -> String {
    let mut result = String::with_capacity(text.len());
    let mut in_word = false;
    for c in text.chars() {
        if in_word {
            result.push(c);
        } else {
            result.extend(c.to_uppercase());
        }
        in_word = c.is_alphanumeric() || c == '\'' || c == '_';
    }
    result
}

fn split(text: &str, separator: &str) -> List {
    let parts: Vec<Value> = if separator.is_empty() {
        text.chars().map(|c| Value::from(c.to_string())).collect()
    } else {
        text.split(separator).map(Value::from).collect()
    };
    List::new(parts)
}

/// Joins a list, or the JSON text of one, as tasks see lists.
fn join(list: &Value, separator: &str) -> Result<String, String> {
    let parsed = list
        .as_str()
        .and_then(|text| Value::from_json_text(&text).ok());
    let items = parsed.as_ref().unwrap_or(list).as_list();
    let items = items.ok_or_else(|| format!("expected a list, got {}", list.type_name()))?;
    let texts: Vec<String> = items.iter().map(Value::to_string).collect();
    Ok(texts.join(separator))
}

/// An HTML link for `[text](http…)` or a bare address, else the text escaped.
fn markdown_link(text: &str) -> String {
    let is_address = |s: &str| {
        (s.starts_with("http://") || s.starts_with("https://")) && !s.contains(char::is_whitespace)
    };
    let trimmed = text.trim();
    let parts = trimmed
        .strip_prefix('[')
        .and_then(|rest| rest.strip_suffix(')'))
        .and_then(|rest| rest.split_once("]("))
        .filter(|(_, address)| is_address(address));
    let link = |address: &str, words: &str| {
        format!(
            "<a href=\"{}\">{}</a>",
            escape_html(address),
            escape_html(words)
        )
    };
    match parts {
        Some((words, address)) => link(address, words),
        None if is_address(trimmed) => link(trimmed, trimmed),
        None => escape_html(text),
    }
}

fn escape_html(text: &str) -> String {
    text.replace('&', "&amp;")
        .replace('<', "&lt;")
        .replace('>', "&gt;")
        .replace('"', "&#34;")
        .replace('\'', "&#39;")
}

fn now_text((now, zone): &(Timestamp, TimeZone)) -> String {
    let instant = jiff::Timestamp::from_millisecond(now.as_millis()).unwrap_or_default();
    let local = instant.to_zoned(zone.clone());
    local.strftime("%Y-%m-%dT%H:%M:%S%:z").to_string()
}

/// `YYYY-MM-DD HH:MM:SS` of an RFC 3339 time; `—` for no time.
fn format_time(time: &Value) -> Result<String, String> {
    let text = match time {
        Value::Nil => return Ok("—".to_owned()),
        other => other.to_string(),
    };
    if text.is_empty() || text.starts_with("0001-01-01") {
        return Ok("—".to_owned());
    }
    let pieces = text.get(..10).zip(text.get(11..19));
    match (text.parse::<jiff::Timestamp>(), pieces) {
        // The time as it was written, in its own zone.
        (Ok(_), Some((date, clock))) => Ok(format!("{date} {clock}")),
        _ => Err(format!("`{text}` is not an RFC 3339 time")),
    }
}
