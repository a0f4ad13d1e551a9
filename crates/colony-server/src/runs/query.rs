//! Query strings (`foreman-api` 1.4).

use serde_json::Value;

use super::check::{custom, holds_nul, not_a_uuid, number_out_of_bounds, wrong_type, wrong_word};
use super::refusal::Refusal;

/// The largest integer that every client can write.
const INTEGER_MAX: i64 = (1 << 53) - 1;

/// The parameters of a request, and the problems found on the way.
pub(super) struct Query {
    pairs: Vec<(String, String)>,
    problems: Vec<Value>,
}

impl Query {
    /// Reads a query string.
    pub(super) fn parse(text: &str) -> Self {
        let pairs = (text.split('&').filter(|pair| !pair.is_empty()))
            .map(|pair| {
                let (name, value) = pair.split_once('=').unwrap_or((pair, ""));
                (decode_form(name), decode_form(value))
            })
            .collect();
        Self {
            pairs,
            problems: Vec::new(),
        }
    }

    /// Refuses when any problem was found.
    pub(super) fn finish(&mut self) -> Result<(), Refusal> {
        match std::mem::take(&mut self.problems) {
            problems if problems.is_empty() => Ok(()),
            problems => Err(Refusal::Invalid(problems)),
        }
    }

    /// As [`Query::finish`], with the text of queries of run data (K-9).
    pub(super) fn finish_data(&mut self) -> Result<(), Refusal> {
        match std::mem::take(&mut self.problems) {
            problems if problems.is_empty() => Ok(()),
            problems => Err(Refusal::InvalidQuery(problems)),
        }
    }

    /// Adds a problem of the whole query.
    pub(super) fn object(&mut self, message: &str) {
        self.problems.push(custom(&[], message));
    }

    /// A parameter; twice is an array, which nothing expects.
    fn single(&mut self, name: &str, array_is: (&str, &str)) -> Option<String> {
        let mut found = None;
        for (given, value) in &self.pairs {
            let listed = given.strip_suffix("[]").is_some_and(|given| given == name);
            if listed || (given == name && found.is_some()) {
                let problem = wrong_type(&[Value::from(name)], array_is.0, array_is.1);
                self.problems.push(problem);
                return None;
            }
            if given == name {
                found = Some(value.clone());
            }
        }
        found
    }

    /// A text.
    pub(super) fn text(&mut self, name: &str) -> Option<String> {
        let text = self.single(name, ("string", "array"))?;
        if text.contains('\0') {
            self.problems.push(holds_nul(&[Value::from(name)]));
            return None;
        }
        Some(text)
    }

    /// A text; empty is as not given.
    pub(super) fn filled(&mut self, name: &str) -> Option<String> {
        self.text(name).filter(|text| !text.is_empty())
    }

    /// Texts separated by commas.
    pub(super) fn list(&mut self, name: &str) -> Option<Vec<String>> {
        let text = self.text(name)?;
        Some(text.split(',').map(str::to_owned).collect())
    }

    /// One of some words, each with its meaning.
    pub(super) fn word<T: Copy>(&mut self, name: &str, words: &[(&str, T)]) -> Option<T> {
        let text = self.text(name)?;
        if let Some((_, value)) = words.iter().find(|(word, _)| *word == text) {
            return Some(*value);
        }
        let options: Vec<&str> = words.iter().map(|(word, _)| *word).collect();
        let problem = wrong_word(&[Value::from(name)], &options, &text);
        self.problems.push(problem);
        None
    }

    /// A UUID.
    pub(super) fn uuid<T: std::str::FromStr>(&mut self, name: &str) -> Option<T> {
        let text = self.text(name)?;
        let id = text.parse().ok();
        if id.is_none() {
            self.problems.push(not_a_uuid(&[Value::from(name)]));
        }
        id
    }

    /// An integer within bounds. Empty is 0.
    pub(super) fn integer(&mut self, name: &str, minimum: i64, maximum: i64) -> Option<i64> {
        let text = self.single(name, ("number", "nan"))?;
        let path = [Value::from(name)];
        let Some(value) = parse_integer(text.trim()) else {
            let problem = if text.trim().parse::<f64>().is_ok() {
                wrong_type(&path, "integer", "float")
            } else {
                wrong_type(&path, "number", "nan")
            };
            self.problems.push(problem);
            return None;
        };
        if value < minimum {
            (self.problems).push(number_out_of_bounds(&path, true, minimum));
            return None;
        }
        if value > maximum {
            (self.problems).push(number_out_of_bounds(&path, false, maximum));
            return None;
        }
        Some(value)
    }

    /// An integer that is at least 0 and otherwise as large as clients can write.
    pub(super) fn count(&mut self, name: &str) -> Option<i64> {
        self.integer(name, 0, INTEGER_MAX)
    }
}

fn parse_integer(text: &str) -> Option<i64> {
    if text.is_empty() {
        return Some(0);
    }
    let digits = text.strip_prefix(['-', '+']).unwrap_or(text);
    if digits.is_empty() || !digits.bytes().all(|byte| byte.is_ascii_digit()) {
        return None;
    }
    let value: i64 = text.parse().ok()?;
    (value.abs() <= INTEGER_MAX).then_some(value)
}

/// Decodes a name or value of a form. What is no valid escape stands for itself.
fn decode_form(text: &str) -> String {
    let mut bytes = Vec::with_capacity(text.len());
    let mut rest = text.as_bytes();
    while let Some((&byte, after)) = rest.split_first() {
        rest = after;
        match (byte, escape(after)) {
            (b'%', Some(value)) => {
                bytes.push(value);
                rest = &after[2..];
            }
            (b'+', _) => bytes.push(b' '),
            (byte, _) => bytes.push(byte),
        }
    }
    String::from_utf8_lossy(&bytes).into_owned()
}

/// The byte that two hexadecimal digits stand for.
fn escape(text: &[u8]) -> Option<u8> {
    let digit = |byte: &u8| char::from(*byte).to_digit(16);
    let (high, low) = (digit(text.first()?)?, digit(text.get(1)?)?);
    u8::try_from(high * 16 + low).ok()
}

/// Decodes a part of a path. None when an escape is no escape, or the bytes are no text.
pub(super) fn decode_path(text: &str) -> Option<String> {
    let mut bytes = Vec::with_capacity(text.len());
    let mut rest = text.as_bytes();
    while let Some((&byte, after)) = rest.split_first() {
        rest = after;
        if byte == b'%' {
            bytes.push(escape(after)?);
            rest = &after[2..];
        } else {
            bytes.push(byte);
        }
    }
    String::from_utf8(bytes).ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn forms_and_paths() {
        assert_eq!(decode_form("a+b%20c%2C%zz%"), "a b c,%zz%");
        assert_eq!(decode_path("a+b%20c").as_deref(), Some("a+b c"));
        assert_eq!(decode_path("%zz"), None);
        assert_eq!(decode_path("%ff"), None);
        assert_eq!(decode_path("%"), None);
    }

    #[test]
    fn integers() {
        for (text, expected) in [
            ("7", Some(7)),
            ("", Some(0)),
            ("-1", Some(-1)),
            ("1.5", None),
            ("0x10", None),
            ("1e3", None),
            ("Infinity", None),
            ("9007199254740992", None),
            ("9007199254740991", Some(9_007_199_254_740_991)),
        ] {
            assert_eq!(parse_integer(text), expected, "{text}");
        }
    }

    #[test]
    fn a_parameter_given_twice_is_a_problem() {
        for text in ["limit=1&limit=2", "limit[]=1"] {
            let mut query = Query::parse(text);
            assert_eq!(query.integer("limit", 1, 100), None);
            assert!(query.finish().is_err(), "{text}");
        }
    }
}
