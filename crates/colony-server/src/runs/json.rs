//! JSON of callers, read without a tree: what an endpoint does not look into stays text.
//!
//! A tree of small values takes many times the memory of its text. So a body is checked once as a
//! whole; then members and items are parts of it, found where they begin and end. A part becomes a
//! value only where an endpoint looks into it, and a text of its own only to be stored: without
//! white space, members sorted by name, the last one of a name.

use std::cmp::Ordering;
use std::collections::BTreeMap;
use std::fmt;

use bytes::Bytes;
use colony_store::Text;
use serde::de::{DeserializeSeed, Error, MapAccess, SeqAccess, Visitor};
use serde_json::Number;

use super::scan::Scan;

/// A value: a part of a body, shared with it.
#[derive(Debug, Clone, PartialEq)]
pub(super) struct Json(Bytes);

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
        match self.0.first() {
            Some(b'n') => "null",
            Some(b't' | b'f') => "boolean",
            Some(b'"') => "string",
            Some(b'[') => "array",
            Some(b'{') => "object",
            Some(_) | None => "number",
        }
    }

    pub(super) fn is_null(&self) -> bool {
        self.type_name() == "null"
    }

    /// The value, if it is a text.
    pub(super) fn text(&self) -> Option<String> {
        match self.type_name() {
            "string" => serde_json::from_slice(&self.0).ok(),
            _ => None,
        }
    }

    /// The value, if it is a number.
    pub(super) fn number(&self) -> Option<Number> {
        match self.type_name() {
            "number" => serde_json::from_slice(&self.0).ok(),
            _ => None,
        }
    }

    /// The members, if it is an object.
    pub(super) fn members(&self) -> Option<Members> {
        (self.type_name() == "object").then(|| members(&self.0))
    }

    /// The text to store.
    pub(super) fn to_text(&self) -> Text {
        // The same or less than what was sent, but for some numbers.
        let mut text = Vec::with_capacity(self.0.len());
        let written = seeded(&self.0, Writing(&mut text));
        written.expect("a part of a body that was checked is JSON");
        let text = String::from_utf8(text).expect("serde_json writes UTF-8");
        text.into()
    }

    /// Hands out the items of an array one after the other.
    pub(super) fn each_item(&self, mut take: impl FnMut(usize, Self)) {
        let mut scan = Scan::new(&self.0);
        let mut index = 0;
        scan.each(|scan| {
            take(index, Self(self.0.slice(scan.value())));
            index += 1;
        });
    }

    /// How many items an array has.
    pub(super) fn count_items(&self) -> usize {
        let mut count = 0;
        Scan::new(&self.0).each(|scan| {
            scan.value();
            count += 1;
        });
        count
    }
}

/// Reads a body. None when it is not JSON. Its depth has to be checked before.
pub(super) fn read(text: &Bytes) -> Option<Document> {
    seeded(text, Checking)?;
    let mut scan = Scan::new(text);
    let whole = Json(text.slice(scan.value()));
    Some(match whole.members() {
        Some(members) => Document::Object(members),
        None => Document::Other(whole.type_name()),
    })
}

/// The members of an object that was checked.
fn members(object: &Bytes) -> Members {
    let mut members = Members::new();
    Scan::new(object).each(|scan| {
        let name = scan.value();
        let name: String = serde_json::from_slice(&object[name]).unwrap_or_default();
        let value = scan.member();
        if members.len() <= MEMBERS_MAX || members.contains_key(&name) {
            members.insert(name, Json(object.slice(value)));
        }
    });
    members
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

/// That is all there is to a scalar.
fn seen<E: Error>(_scalar: impl Sized) -> Result<(), E> {
    Ok(())
}

/// Reads any value and keeps nothing of it.
struct Checking;

impl<'de> DeserializeSeed<'de> for Checking {
    type Value = ();

    fn deserialize<D: serde::Deserializer<'de>>(self, parser: D) -> Result<(), D::Error> {
        parser.deserialize_any(self)
    }
}

impl<'de> Visitor<'de> for Checking {
    type Value = ();

    scalars!(self, value => seen(value));

    fn visit_seq<A: SeqAccess<'de>>(self, mut items: A) -> Result<(), A::Error> {
        while items.next_element_seed(Self)?.is_some() {}
        Ok(())
    }

    fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<(), A::Error> {
        while map.next_key_seed(Self)?.is_some() {
            map.next_value_seed(Self)?;
        }
        Ok(())
    }
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
        let (mut count, mut is_sorted, mut last) = (0, true, start..start);
        loop {
            let begin = text.len();
            if map.next_key_seed(Writing(text))?.is_none() {
                break;
            }
            let name = begin..text.len();
            is_sorted &= count == 0 || by_name(&text[last], &text[name.clone()]) == Ordering::Less;
            (last, count) = (name, count + 1);
            text.push(b':');
            map.next_value_seed(Writing(text))?;
            text.push(b',');
        }
        if !is_sorted {
            sort(text, start, count);
        }
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

/// Brings the members of an object that begins at `start` into order, the last of each name.
fn sort(text: &mut Vec<u8>, start: usize, count: usize) {
    let written = &text[start..];
    let mut begins: Vec<u32> = Vec::with_capacity(count);
    Scan::new(written).members(|scan| {
        // Bodies are far smaller than 4 GiB.
        begins.push(u32::try_from(scan.at()).unwrap_or(u32::MAX));
        scan.value();
        scan.member();
    });
    let at = |begin: u32| Scan::at_place(written, begin as usize);
    let name = |begin: u32| &written[at(begin).value()];
    // Stable: of members with the same name, later ones come later.
    begins.sort_by(|a, b| by_name(name(*a), name(*b)));
    let mut sorted = Vec::with_capacity(written.len());
    for (index, begin) in begins.iter().enumerate() {
        let next = begins.get(index + 1);
        if next.is_none_or(|next| name(*next) != name(*begin)) {
            let mut scan = at(*begin);
            scan.value();
            let end = scan.member().end;
            sorted.extend_from_slice(&written[*begin as usize..end]);
            sorted.push(b',');
        }
    }
    text.truncate(start);
    text.extend_from_slice(&sorted);
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
    use serde_json::Value;

    use super::*;

    /// What is stored is what a tree of values would be written as.
    fn check(text: &str) {
        let value: Value = serde_json::from_str(text).unwrap();
        let body = Bytes::from(format!(
            "\n{{ \"x\":1, \"a\" : [ {text} ,{text}], \"b\":{text} }} "
        ));
        let Some(Document::Object(members)) = read(&body) else {
            panic!("{text}");
        };
        assert_eq!(*members["b"].to_text(), *value.to_string(), "{text}");
        let mut items = Vec::new();
        members["a"].each_item(|index, item| items.push((index, item.to_text().to_string())));
        assert_eq!(
            items,
            [(0, value.to_string()), (1, value.to_string())],
            "{text}"
        );
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
            assert!(
                read(&Bytes::from_static(text.as_bytes())).is_none(),
                "{text}"
            );
        }
        let kind = |text: &'static str| match read(&Bytes::from_static(text.as_bytes())) {
            Some(Document::Other(kind)) => kind,
            _ => "object",
        };
        let kinds = ["[1]", "1", "\"a\"", "null", "true", "{}"].map(kind);
        assert_eq!(
            kinds,
            ["array", "number", "string", "null", "boolean", "object"]
        );
        let part = |text: &'static str| Json(Bytes::from_static(text.as_bytes()));
        assert_eq!(part(r#"[1,[2,3],{"a":"]"}]"#).count_items(), 3);
        assert_eq!(part("[ ]").count_items(), 0);
        let members = part(r#"{"a":[1 ,2]}"#).members().unwrap();
        assert_eq!(members["a"], part("[1 ,2]"));
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
