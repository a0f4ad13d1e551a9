//! JSON of callers, read without a tree: what an endpoint does not look into stays text.
//!
//! A tree of small values takes many times the memory of its text. So only the level that is looked at
//! becomes values; arrays and objects on it are written again as they will be stored: without white
//! space, members sorted by name, the last one of a name.

use std::cmp::Ordering;
use std::collections::BTreeMap;
use std::fmt;
use std::ops::Range;

use serde::de::{DeserializeSeed, Error, MapAccess, SeqAccess, Visitor};
use serde_json::Value;

/// A value, of which only the outermost level is known.
#[derive(Debug, Clone, PartialEq)]
pub(super) enum Json {
    /// Null, a boolean, a number or a text.
    Scalar(Value),
    /// The text of an array.
    Array(String),
    /// The text of an object.
    Object(String),
}

/// The most members that are kept of an object which is looked into; one more shows that there were more.
pub(super) const MEMBERS_MAX: usize = 1000;

/// The members of an object by name.
pub(super) type Members = BTreeMap<String, Json>;

/// A whole body.
pub(super) enum Document {
    /// Its members.
    Object(Members),
    /// Anything else: what JSON calls it.
    Other(&'static str),
}

impl Json {
    /// What JSON calls the type of the value.
    pub(super) fn type_name(&self) -> &'static str {
        match self {
            Self::Scalar(Value::Null) => "null",
            Self::Scalar(Value::Bool(_)) => "boolean",
            Self::Scalar(Value::Number(_)) => "number",
            Self::Scalar(_) => "string",
            Self::Array(_) => "array",
            Self::Object(_) => "object",
        }
    }

    /// The text to store.
    pub(super) fn into_text(self) -> String {
        match self {
            Self::Scalar(value) => value.to_string(),
            Self::Array(text) | Self::Object(text) => text,
        }
    }
}

/// Reads a body. None when it is not JSON. Its depth has to be checked before.
pub(super) fn read(text: &[u8]) -> Option<Document> {
    seeded(text, Whole)
}

/// The members of an object's text.
pub(super) fn members(object: &str) -> Members {
    match read(object.as_bytes()) {
        Some(Document::Object(members)) => members,
        _ => Members::new(),
    }
}

/// Hands out the items of an array's text one after the other.
pub(super) fn each_item(array: &str, take: impl FnMut(usize, Json)) {
    seeded(array.as_bytes(), Items(take));
}

/// How many items an array's text has.
pub(super) fn count_items(array: &str) -> usize {
    let mut count = 0;
    each_item(array, |index, _| count = index + 1);
    count
}

fn seeded<'de, S: DeserializeSeed<'de>>(text: &'de [u8], seed: S) -> Option<S::Value> {
    let mut parser = serde_json::Deserializer::from_slice(text);
    // Its own limit is too low; the reader of bodies has one.
    parser.disable_recursion_limit();
    let value = seed.deserialize(&mut parser).ok()?;
    parser.end().ok()?;
    Some(value)
}

/// What to do with every kind of scalar.
macro_rules! scalars {
    ($self:ident, $value:ident => $done:expr) => {
        fn expecting(&$self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
            formatter.write_str("JSON")
        }

        fn visit_unit<E: Error>($self) -> Result<Self::Value, E> {
            let $value = ();
            $done
        }

        fn visit_bool<E: Error>($self, $value: bool) -> Result<Self::Value, E> {
            $done
        }

        fn visit_u64<E: Error>($self, $value: u64) -> Result<Self::Value, E> {
            $done
        }

        fn visit_i64<E: Error>($self, $value: i64) -> Result<Self::Value, E> {
            $done
        }

        fn visit_f64<E: Error>($self, $value: f64) -> Result<Self::Value, E> {
            $done
        }

        fn visit_str<E: Error>($self, $value: &str) -> Result<Self::Value, E> {
            $done
        }
    };
}

/// Reads a [`Document`].
struct Whole;

impl<'de> DeserializeSeed<'de> for Whole {
    type Value = Document;

    fn deserialize<D: serde::Deserializer<'de>>(self, parser: D) -> Result<Document, D::Error> {
        parser.deserialize_any(self)
    }
}

impl<'de> Visitor<'de> for Whole {
    type Value = Document;

    scalars!(self, value => Ok(Document::Other(Json::Scalar(value.into()).type_name())));

    fn visit_seq<A: SeqAccess<'de>>(self, mut items: A) -> Result<Document, A::Error> {
        while items.next_element_seed(Level)?.is_some() {}
        Ok(Document::Other("array"))
    }

    fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<Document, A::Error> {
        let mut members = Members::new();
        while let Some(name) = map.next_key::<String>()? {
            let value = map.next_value_seed(Level)?;
            if members.len() <= MEMBERS_MAX || members.contains_key(&name) {
                members.insert(name, value);
            }
        }
        Ok(Document::Object(members))
    }
}

/// Reads the items of an array.
struct Items<F>(F);

impl<'de, F: FnMut(usize, Json)> DeserializeSeed<'de> for Items<F> {
    type Value = ();

    fn deserialize<D: serde::Deserializer<'de>>(self, parser: D) -> Result<(), D::Error> {
        parser.deserialize_seq(self)
    }
}

impl<'de, F: FnMut(usize, Json)> Visitor<'de> for Items<F> {
    type Value = ();

    fn expecting(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str("an array")
    }

    fn visit_seq<A: SeqAccess<'de>>(mut self, mut items: A) -> Result<(), A::Error> {
        let mut index = 0;
        while let Some(item) = items.next_element_seed(Level)? {
            (self.0)(index, item);
            index += 1;
        }
        Ok(())
    }
}

/// Reads a [`Json`].
struct Level;

impl<'de> DeserializeSeed<'de> for Level {
    type Value = Json;

    fn deserialize<D: serde::Deserializer<'de>>(self, parser: D) -> Result<Json, D::Error> {
        parser.deserialize_any(self)
    }
}

impl<'de> Visitor<'de> for Level {
    type Value = Json;

    scalars!(self, value => Ok(Json::Scalar(value.into())));

    fn visit_seq<A: SeqAccess<'de>>(self, items: A) -> Result<Json, A::Error> {
        let mut text = Vec::new();
        Writing(&mut text).visit_seq(items)?;
        Ok(Json::Array(utf8(text)))
    }

    fn visit_map<A: MapAccess<'de>>(self, members: A) -> Result<Json, A::Error> {
        let mut text = Vec::new();
        Writing(&mut text).visit_map(members)?;
        Ok(Json::Object(utf8(text)))
    }
}

fn utf8(text: Vec<u8>) -> String {
    String::from_utf8(text).expect("serde_json writes UTF-8")
}

/// Writes what it reads.
struct Writing<'a>(&'a mut Vec<u8>);

impl<'de> DeserializeSeed<'de> for Writing<'_> {
    type Value = ();

    fn deserialize<D: serde::Deserializer<'de>>(self, parser: D) -> Result<(), D::Error> {
        parser.deserialize_any(self)
    }
}

impl<'de> Visitor<'de> for Writing<'_> {
    type Value = ();

    scalars!(self, value => serde_json::to_writer(self.0, &value).map_err(Error::custom));

    fn visit_seq<A: SeqAccess<'de>>(self, mut items: A) -> Result<(), A::Error> {
        let text = self.0;
        text.push(b'[');
        let start = text.len();
        while items.next_element_seed(Writing(text))?.is_some() {
            text.push(b',');
        }
        end(text, start, b']');
        Ok(())
    }

    fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<(), A::Error> {
        let text = self.0;
        text.push(b'{');
        let start = text.len();
        let mut spans = Vec::new();
        loop {
            let begin = text.len();
            if map.next_key_seed(Writing(text))?.is_none() {
                break;
            }
            let name = begin..text.len();
            text.push(b':');
            map.next_value_seed(Writing(text))?;
            text.push(b',');
            spans.push(Span::new(name, text.len()));
        }
        sort(text, start, &mut spans);
        end(text, start, b'}');
        Ok(())
    }
}

/// Closes an array or object; the comma after its last item goes.
fn end(text: &mut Vec<u8>, start: usize, close: u8) {
    match text.len() > start {
        true => text[..].last_mut().map_or((), |last| *last = close),
        false => text.push(close),
    }
}

/// Where a member of an object is. Bodies are far smaller than 4 GiB.
struct Span {
    begin: u32,
    name_end: u32,
    end: u32,
}

impl Span {
    fn new(name: Range<usize>, end: usize) -> Self {
        let place = |at: usize| u32::try_from(at).unwrap_or(u32::MAX);
        Self {
            begin: place(name.start),
            name_end: place(name.end),
            end: place(end),
        }
    }

    fn name<'t>(&self, text: &'t [u8]) -> &'t [u8] {
        &text[self.begin as usize..self.name_end as usize]
    }

    fn whole<'t>(&self, text: &'t [u8]) -> &'t [u8] {
        &text[self.begin as usize..self.end as usize]
    }
}

/// Brings the members of an object that begins at `start` into order, the last of each name.
fn sort(text: &mut Vec<u8>, start: usize, spans: &mut [Span]) {
    let is_sorted = spans.windows(2).all(|pair| {
        let order = by_name(pair[0].name(text), pair[1].name(text));
        order == Ordering::Less
    });
    if is_sorted {
        return;
    }
    // Stable: of members with the same name, later ones come later.
    spans.sort_by(|a, b| by_name(a.name(text), b.name(text)));
    let mut sorted = Vec::with_capacity(text.len() - start);
    for (index, span) in spans.iter().enumerate() {
        let next = spans.get(index + 1);
        if next.is_none_or(|next| next.name(text) != span.name(text)) {
            sorted.extend_from_slice(span.whole(text));
        }
    }
    text.truncate(start);
    text.append(&mut sorted);
}

/// Names by their characters; they are written as JSON.
fn by_name(a: &[u8], b: &[u8]) -> Ordering {
    if !a.contains(&b'\\') && !b.contains(&b'\\') {
        // Without the quotes, which would count.
        return a[1..a.len() - 1].cmp(&b[1..b.len() - 1]);
    }
    let plain = |name| serde_json::from_slice::<String>(name).unwrap_or_default();
    plain(a).cmp(&plain(b))
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    /// What is stored is what a tree of values would be written as.
    fn check(text: &str) {
        let value: Value = serde_json::from_str(text).unwrap();
        let array = format!("[{text}]");
        let mut items = Vec::new();
        each_item(&array, |_, item| items.push(item.into_text()));
        assert_eq!(items, [value.to_string()], "{text}");
    }

    #[test]
    fn texts_are_those_of_a_tree() {
        for text in [
            "null",
            "[]",
            "{}",
            "[[],{}]",
            r#"{"b":1,"a":{"d":[],"c":null}}"#,
            r#"{"a":1,"a":2,"b":3,"a":[4]}"#,
            r#"{"a\n":1,"a":2,"a\u0000":3,"a!":4}"#,
            r#"[1.0,-0,1e5,12345678901234567890,-9223372036854775808,123456789012345678901]"#,
            r#"["\u00e9\ud83d\ude00\"\\\/\b",true,false, 1 ]"#,
            r#"{"$serde_json::private::RawValue":"[1]","$serde_json::private::Number":"2"}"#,
        ] {
            check(text);
        }
    }

    #[test]
    fn only_whole_json_is_read() {
        for text in [
            "",
            "{",
            "{} x",
            "[1,]",
            r#"{"a":"\ud800"}"#,
            r#"["\ud800"]"#,
            "1e400",
        ] {
            assert!(read(text.as_bytes()).is_none(), "{text}");
        }
        let kind = |text: &str| match read(text.as_bytes()) {
            Some(Document::Other(kind)) => kind,
            _ => "object",
        };
        let kinds = ["[1]", "1", "\"a\"", "null", "true", "{}"].map(kind);
        assert_eq!(
            kinds,
            ["array", "number", "string", "null", "boolean", "object"]
        );
        assert_eq!(count_items(r#"[1,[2,3],{"a":4}]"#), 3);
        assert_eq!(
            members(r#"{"a":[1 ,2]}"#)["a"],
            Json::Array("[1,2]".to_owned())
        );
    }

    fn any_json() -> impl Strategy<Value = Value> {
        let leaf = prop_oneof![
            Just(Value::Null),
            any::<bool>().prop_map(Value::from),
            any::<i64>().prop_map(Value::from),
            any::<f64>().prop_map(Value::from),
            any::<String>().prop_map(Value::from),
        ];
        leaf.prop_recursive(4, 40, 6, |inner| {
            let map = prop::collection::btree_map("[a-c\\n\\\\\"!]{0,2}", inner.clone(), 0..6);
            prop_oneof![
                prop::collection::vec(inner, 0..6).prop_map(Value::from),
                map.prop_map(|map| Value::Object(map.into_iter().collect())),
            ]
        })
    }

    proptest! {
        #[test]
        fn any_text_is_that_of_a_tree(value in any_json()) {
            check(&serde_json::to_string_pretty(&value).unwrap());
        }
    }
}
