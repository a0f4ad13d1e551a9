//! What several tests share: the job-language functions that the vectors call, and their data.

use colony_template::{Element, Functions, List, Map, Rest, Text, Value};
use serde_json::Value as Json;

/// The functions of the job language that occur in the vectors.
pub(crate) fn job_functions() -> Functions {
    let mut functions = Functions::new();
    functions.add("Add", |a: u64, b: u64| a.wrapping_add(b));
    functions.add("Sub", |a: i64, b: i64| a.wrapping_sub(b));
    functions.add("Iterate", |count: u64| {
        let count = count.min(100_000);
        List::typed(Element::Uint, (0..count).map(Value::Uint).collect())
    });
    functions.add("Dict", |entries: Rest<Value>| dict(&entries.0));
    functions.add("default", |default: Value, value: Value| {
        if value.is_nil() || value == Value::from("") {
            default
        } else {
            value
        }
    });
    functions.add("Percent100", |received: i64, required: i64| {
        if required <= 0 {
            100
        } else {
            (received * 100 / required).min(100)
        }
    });
    functions.add("atoi", |text: String| {
        text.parse::<f64>().map(|number| number as i64)
    });
    functions.add("atof", |text: String| text.parse::<f64>());
    add_text_functions(&mut functions);
    functions
}

fn add_text_functions(functions: &mut Functions) {
    functions.add("lower", |text: String| text.to_lowercase());
    functions.add("upper", |text: String| text.to_uppercase());
    functions.add("urlquery", |text: Text| query_escape(text.as_bytes()));
    functions.add("contains", |text: String, part: String| {
        text.contains(&part)
    });
    functions.add("hasPrefix", |text: String, prefix: String| {
        text.starts_with(&prefix)
    });
    functions.add("hasSuffix", |text: String, suffix: String| {
        text.ends_with(&suffix)
    });
    functions.add("replace", |text: String, old: String, new: String| {
        text.replace(&old, &new)
    });
    functions.add("trimPrefix", |text: String, prefix: String| {
        text.strip_prefix(prefix.as_str())
            .map(str::to_owned)
            .unwrap_or(text)
    });
    functions.add("trimSuffix", |text: String, suffix: String| {
        text.strip_suffix(suffix.as_str())
            .map(str::to_owned)
            .unwrap_or(text)
    });
}

/// The job language has its own `urlquery`: unlike the built-in it takes one string only.
fn query_escape(bytes: &[u8]) -> String {
    let escaped = bytes.iter().map(|byte| match byte {
        b'a'..=b'z' | b'A'..=b'Z' | b'0'..=b'9' | b'-' | b'_' | b'.' | b'~' => {
            char::from(*byte).to_string()
        }
        b' ' => "+".to_owned(),
        _ => format!("%{byte:02X}"),
    });
    escaped.collect()
}

fn dict(entries: &[Value]) -> Result<Map, &'static str> {
    if !entries.len().is_multiple_of(2) {
        return Err("invalid dict call");
    }
    let entries = entries.chunks_exact(2).map(|pair| match &pair[0] {
        Value::String(key) => Ok((key.clone(), pair[1].clone())),
        _ => Err("dict keys must be strings"),
    });
    entries.collect()
}

/// The data of the vectors: JSON with `{"$uint": n}` and `{"$int64": n}` for other integer types.
pub(crate) fn value_from(json: &Json) -> Value {
    match json {
        Json::Array(items) => items.iter().map(value_from).collect::<List>().into(),
        Json::Object(entries) => match (entries.get("$uint"), entries.get("$int64")) {
            (Some(number), _) => Value::Uint(number.as_u64().unwrap()),
            (_, Some(number)) => Value::Int64(number.as_i64().unwrap()),
            _ => entries
                .iter()
                .map(|(key, item)| (key.as_str(), value_from(item)))
                .collect::<Map>()
                .into(),
        },
        scalar => Value::from(scalar),
    }
}
