//! JSON as written on the command line.

use std::path::Path;

use anyhow::anyhow;
use serde_json::{Map, Value};

use crate::source::Source;

/// Reads JSON, `@FILE` with JSON, or `-` for JSON on stdin.
pub(super) fn read(name: &str, text: &str) -> anyhow::Result<Value> {
    let (place, text) = match text.strip_prefix('@') {
        Some(file) => from(Path::new(file))?,
        None if text == "-" => from(Path::new("-"))?,
        None => (name.to_owned(), text.to_owned()),
    };
    serde_json::from_str(&text).map_err(|error| {
        anyhow!(
            "failed to read JSON from {place}: {error}; a text has quotes, as in '\"text\"', and a \
             file is named as @FILE"
        )
    })
}

fn from(path: &Path) -> anyhow::Result<(String, String)> {
    let source = Source::read(path)?;
    Ok((source.name, source.text))
}

/// As [`read`], for what may be absent.
pub(super) fn optional(name: &str, text: Option<&str>) -> anyhow::Result<Option<Value>> {
    text.map(|text| read(name, text)).transpose()
}

/// As [`optional`], for what must be an object.
pub(super) fn object(name: &str, text: Option<&str>) -> anyhow::Result<Option<Map<String, Value>>> {
    match optional(name, text)? {
        None => Ok(None),
        Some(Value::Object(map)) => Ok(Some(map)),
        Some(_) => Err(anyhow!(
            "failed to use {name}: it must be a JSON object, such as '{{\"by\": \"ada\"}}'"
        )),
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn json_is_read_and_mistakes_have_their_place() {
        assert_eq!(read("--input", "[-1, \"a\"]").unwrap(), json!([-1, "a"]));
        for (text, expected) in [
            ("{\"a\": }", "--input: expected value at line 1 column 7"),
            ("text", "a text has quotes"),
            ("@/nowhere", "the file /nowhere"),
        ] {
            let error = format!("{:#}", read("--input", text).unwrap_err());
            assert!(error.contains(expected), "{error}");
        }
        assert!(object("--metadata", Some("[]")).is_err());
    }
}
