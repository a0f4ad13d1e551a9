//! Stored JSON in the text of answers: spliced in as it is, never parsed.
//!
//! serde_json can do the same with its feature `raw_value`, but that gives a key of users' objects
//! a meaning of its own wherever a `Value` is read. It must stay off: data passes unchanged.

use std::io;

use serde::{Serialize, Serializer};
use serde_json::ser::Formatter;

/// JSON as it was stored.
#[derive(Debug, Clone)]
pub(super) struct Raw(String);

impl Raw {
    /// The text of one JSON value.
    pub(super) fn new(text: String) -> Self {
        Self(text)
    }
}

impl Serialize for Raw {
    /// For [`text`], in which only this becomes bytes.
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.serialize_bytes(self.0.as_bytes())
    }
}

/// Writes compact JSON, and bytes as the JSON that they are.
struct Splicing;

impl Formatter for Splicing {
    fn write_byte_array<W: ?Sized + io::Write>(
        &mut self,
        writer: &mut W,
        value: &[u8],
    ) -> io::Result<()> {
        writer.write_all(value)
    }
}

/// The text of an answer.
pub(super) fn text(value: &impl Serialize) -> String {
    let mut bytes = Vec::with_capacity(128);
    let mut serializer = serde_json::Serializer::with_formatter(&mut bytes, Splicing);
    value
        .serialize(&mut serializer)
        .expect("the types of answers serialize: their keys are text and nothing in them fails");
    String::from_utf8(bytes).expect("both serde_json and stored texts are UTF-8")
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;

    use super::*;

    #[test]
    fn stored_json_is_a_part_of_the_text() {
        let raw = |text: &str| Raw::new(text.to_owned());
        let value = BTreeMap::from([
            ("a", vec![raw(r#"{"x":[1.0,"\u0000"]}"#), raw("null")]),
            ("b", Vec::new()),
        ]);
        assert_eq!(text(&value), r#"{"a":[{"x":[1.0,"\u0000"]},null],"b":[]}"#);
        assert_eq!(text(&"ä\n"), "\"ä\\n\"");
    }
}
