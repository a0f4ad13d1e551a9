//! Checking the members of bodies (`foreman-api` 5.3). All problems are found at once.

use colony_store::Text;
use serde_json::{Value, json};

use super::json::{Document, Json, MEMBERS_MAX, Members};
use super::refusal::Refusal;

/// The most problems that are told of one body.
const PROBLEMS_MAX: usize = 1000;

/// The members of a body, taken out one by one, and the problems found on the way.
pub(super) struct Fields {
    map: Members,
    path: Vec<Value>,
    problems: Vec<Value>,
}

/// The most tags of one entry, or in one change of them.
pub(super) const TAGS_MAX: usize = 10_000;

/// The bounds of a text's length, in UTF-16 code units.
#[derive(Clone, Copy)]
pub(super) struct Length(pub(super) usize, pub(super) usize);

/// From 1 to 255, as most texts.
pub(super) const NAME: Length = Length(1, 255);

/// The problem of a value of the wrong type.
pub(super) fn wrong_type(path: &[Value], expected: &str, received: &str) -> Value {
    let message = match received {
        "undefined" => "Required".to_owned(),
        received => format!("Expected {expected}, received {received}"),
    };
    json!({
        "code": "invalid_type", "expected": expected, "received": received,
        "path": path, "message": message,
    })
}

/// The problem of a number out of bounds.
pub(super) fn number_out_of_bounds(path: &[Value], minimum: bool, bound: i64) -> Value {
    let (code, member, words) = if minimum {
        ("too_small", "minimum", "greater")
    } else {
        ("too_big", "maximum", "less")
    };
    json!({
        "code": code, member: bound, "type": "number", "inclusive": true, "exact": false,
        "path": path, "message": format!("Number must be {words} than or equal to {bound}"),
    })
}

/// The problem of a text that is no UUID.
pub(super) fn not_a_uuid(path: &[Value]) -> Value {
    json!({
        "code": "invalid_string", "validation": "uuid", "path": path, "message": "Invalid uuid",
    })
}

/// The problem of a text with the character U+0000.
pub(super) fn holds_nul(path: &[Value]) -> Value {
    json!({
        "code": "invalid_string", "validation": "nul", "path": path,
        "message": "String must not contain the character U+0000",
    })
}

/// A problem in words.
pub(super) fn custom(path: &[Value], message: &str) -> Value {
    json!({ "code": "custom", "path": path, "message": message })
}

/// The problem of a word that is none of an enumeration.
pub(super) fn wrong_word(path: &[Value], options: &[&str], received: &str) -> Value {
    json!({
        "code": "invalid_enum_value", "received": received, "options": options, "path": path,
        "message": format!(
            "Invalid enum value. Expected {}, received '{received}'", alternatives(options)
        ),
    })
}

fn alternatives(options: &[&str]) -> String {
    let quoted: Vec<String> = options.iter().map(|word| format!("'{word}'")).collect();
    quoted.join(" | ")
}

/// Problems of a text's length.
pub(super) fn check_length(path: &[Value], text: &str, length: Length) -> Option<Value> {
    let units = text.encode_utf16().count();
    let Length(minimum, maximum) = length;
    let (code, member, bound, words) = if units < minimum {
        ("too_small", "minimum", minimum, "at least")
    } else if units > maximum {
        ("too_big", "maximum", maximum, "at most")
    } else if text.contains('\0') {
        return Some(holds_nul(path));
    } else {
        return None;
    };
    Some(json!({
        "code": code, member: bound, "type": "string", "inclusive": true, "exact": false,
        "path": path, "message": format!("String must contain {words} {bound} character(s)"),
    }))
}

impl Fields {
    /// The members of a body.
    pub(super) fn new(body: Document) -> Result<Self, Refusal> {
        match body {
            Document::Object(map) => Ok(Self::at(map, Vec::new())),
            Document::Other(kind) => {
                let problem = wrong_type(&[], "object", kind);
                Err(Refusal::Invalid(vec![problem]))
            }
        }
    }

    fn at(map: Members, path: Vec<Value>) -> Self {
        let problems = match map.len() > MEMBERS_MAX {
            true => vec![too_many(&path, "object", "Object", MEMBERS_MAX, "member")],
            false => Vec::new(),
        };
        Self {
            map,
            path,
            problems,
        }
    }

    /// Refuses when any problem was found.
    pub(super) fn finish(self) -> Result<(), Refusal> {
        if self.problems.is_empty() {
            Ok(())
        } else {
            Err(Refusal::Invalid(self.problems))
        }
    }

    fn path(&self, name: &str) -> Vec<Value> {
        let mut path = self.path.clone();
        path.push(Value::from(name));
        path
    }

    fn wrong(&mut self, name: &str, expected: &str, received: &str) {
        let problem = wrong_type(&self.path(name), expected, received);
        self.note(problem);
    }

    fn note(&mut self, problem: Value) {
        if self.problems.len() < PROBLEMS_MAX {
            self.problems.push(problem);
        }
    }

    /// Any JSON, as text. Must be there.
    pub(super) fn json(&mut self, name: &str) -> Text {
        match self.map.remove(name) {
            Some(value) => value.to_text(),
            None => {
                self.wrong(name, "any", "undefined");
                Text::default()
            }
        }
    }

    /// Any JSON, as text; an inner `None` for null, which clears.
    pub(super) fn clearable(&mut self, name: &str) -> Option<Option<Text>> {
        let value = self.map.remove(name)?;
        Some((!value.is_null()).then(|| value.to_text()))
    }

    /// An object, as text.
    pub(super) fn object(&mut self, name: &str) -> Option<Text> {
        Some(self.taken(name, "object", "object")?.to_text())
    }

    /// A member of that type; `expected` says so in the problem of another one.
    fn taken(&mut self, name: &str, kind: &str, expected: &str) -> Option<Json> {
        let value = self.map.remove(name)?;
        if value.type_name() == kind {
            return Some(value);
        }
        self.wrong(name, expected, value.type_name());
        None
    }

    /// A text that may be absent.
    pub(super) fn text(&mut self, name: &str, length: Length) -> Option<String> {
        let text = self.taken(name, "string", "string")?.text()?;
        match check_length(&self.path(name), &text, length) {
            Some(problem) => {
                self.note(problem);
                None
            }
            None => Some(text),
        }
    }

    /// A text that must be there.
    pub(super) fn required_text(&mut self, name: &str, length: Length) -> String {
        if !self.map.contains_key(name) {
            self.wrong(name, "string", "undefined");
        }
        self.text(name, length).unwrap_or_default()
    }

    /// A UUID that may be absent, with the text as given.
    pub(super) fn uuid<T: std::str::FromStr>(&mut self, name: &str) -> Option<(T, String)> {
        let text = self.taken(name, "string", "string")?.text()?;
        match text.parse() {
            Ok(id) => Some((id, text)),
            Err(_) => {
                let problem = not_a_uuid(&self.path(name));
                self.note(problem);
                None
            }
        }
    }

    /// A UUID that must be there.
    pub(super) fn required_uuid<T: std::str::FromStr>(
        &mut self,
        name: &str,
    ) -> Option<(T, String)> {
        if !self.map.contains_key(name) {
            self.wrong(name, "string", "undefined");
        }
        self.uuid(name)
    }

    /// One of the words of an enumeration.
    pub(super) fn word<T: std::str::FromStr>(&mut self, name: &str, options: &[&str]) -> Option<T> {
        let word = self.taken(name, "string", &alternatives(options))?.text()?;
        match word.parse() {
            Ok(value) => Some(value),
            Err(_) => {
                let problem = wrong_word(&self.path(name), options, &word);
                self.note(problem);
                None
            }
        }
    }

    /// An integer within bounds.
    pub(super) fn integer(&mut self, name: &str, minimum: i64, maximum: i64) -> Option<i64> {
        let value = self.any_integer(name)?;
        let path = self.path(name);
        if value < minimum {
            self.note(number_out_of_bounds(&path, true, minimum));
        } else if value > maximum {
            self.note(number_out_of_bounds(&path, false, maximum));
        }
        Some(value)
    }

    /// An integer of any size; absurd ones become the nearest that can be held.
    pub(super) fn any_integer(&mut self, name: &str) -> Option<i64> {
        let number = self.taken(name, "number", "number")?.number()?;
        let whole = number.as_f64().filter(|value| value.fract() == 0.0);
        match (number.as_i64(), whole) {
            (Some(value), _) => Some(value),
            // Saturates at the bounds.
            (None, Some(value)) => Some(value as i64),
            (None, None) => {
                self.wrong(name, "integer", "float");
                None
            }
        }
    }

    /// An array of texts, no more than `maximum`.
    pub(super) fn texts(&mut self, name: &str, maximum: usize) -> Option<Vec<String>> {
        let array = self.taken(name, "array", "array")?;
        // Before any of them is kept.
        let count = array.count_items();
        self.check_count(name, count, Length(0, maximum));
        if count > maximum {
            return None;
        }
        let mut texts = Vec::with_capacity(count);
        array.each_item(|index, item| match item.text() {
            Some(text) if text.contains('\0') => {
                let path = self.item_path(name, index);
                self.note(holds_nul(&path));
            }
            Some(text) => texts.push(text),
            None => {
                let path = self.item_path(name, index);
                self.note(wrong_type(&path, "string", item.type_name()));
            }
        });
        Some(texts)
    }

    /// An array of texts that must be there, with bounds of its length and of each text's.
    pub(super) fn required_texts(
        &mut self,
        name: &str,
        length: Length,
        each: Length,
    ) -> Vec<String> {
        if !self.map.contains_key(name) {
            self.wrong(name, "array", "undefined");
        }
        let Some(texts) = self.texts(name, length.1) else {
            return Vec::new();
        };
        self.check_count(name, texts.len(), length);
        for (index, text) in texts.iter().enumerate() {
            let path = self.item_path(name, index);
            if let Some(problem) = check_length(&path, text, each) {
                self.note(problem);
            }
        }
        texts
    }

    /// An array of objects that must be there; each is checked by `check`.
    pub(super) fn required_objects<T>(
        &mut self,
        name: &str,
        length: Length,
        mut check: impl FnMut(&mut Self) -> T,
    ) -> Vec<T> {
        if !self.map.contains_key(name) {
            self.wrong(name, "array", "undefined");
            return Vec::new();
        }
        let Some(array) = self.taken(name, "array", "array") else {
            return Vec::new();
        };
        let count = array.count_items();
        self.check_count(name, count, length);
        if count > length.1 {
            return Vec::new();
        }
        let mut result = Vec::with_capacity(count);
        array.each_item(|index, item| {
            let path = self.item_path(name, index);
            match item.members() {
                Some(members) => {
                    let mut fields = Self::at(members, path);
                    result.push(check(&mut fields));
                    (fields.problems.into_iter()).for_each(|problem| self.note(problem));
                }
                None => self.note(wrong_type(&path, "object", item.type_name())),
            }
        });
        result
    }

    fn item_path(&self, name: &str, index: usize) -> Vec<Value> {
        let mut path = self.path(name);
        path.push(Value::from(index));
        path
    }

    fn check_count(&mut self, name: &str, count: usize, Length(minimum, maximum): Length) {
        let path = self.path(name);
        if count < minimum {
            self.note(json!({
                "code": "too_small", "minimum": minimum, "type": "array", "inclusive": true,
                "exact": false, "path": path,
                "message": format!("Array must contain at least {minimum} element(s)"),
            }));
        } else if count > maximum {
            self.note(too_many(&path, "array", "Array", maximum, "element"));
        }
    }
}

/// The problem of an array or object that holds too much.
fn too_many(path: &[Value], kind: &str, subject: &str, maximum: usize, part: &str) -> Value {
    json!({
        "code": "too_big", "maximum": maximum, "type": kind, "inclusive": true, "exact": false,
        "path": path, "message": format!("{subject} must contain at most {maximum} {part}(s)"),
    })
}
