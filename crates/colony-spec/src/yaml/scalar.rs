//! What plain scalars mean: the YAML 1.2 core schema, and booleans as people write them.

use serde_json::{Map, Number, Value};

use crate::yaml::{Kind, Node, Scalar};

impl Scalar {
    /// Whether this is `null`, `~` or empty, written plain.
    pub(crate) fn is_null(&self) -> bool {
        self.plain && matches!(self.text.as_str(), "" | "~" | "null" | "Null" | "NULL")
    }

    /// The value of this scalar by the core schema; times and dates stay text.
    pub(crate) fn to_value(&self) -> Value {
        if !self.plain || self.opaque {
            return Value::String(self.text.clone());
        }
        plain_value(&self.text)
    }
}

/// Reads a boolean field: also `yes`, `no`, `on`, `off`, `y`, `n` in any case.
pub(crate) fn boolean(text: &str) -> Option<bool> {
    match text.to_ascii_lowercase().as_str() {
        "true" | "yes" | "on" | "y" => Some(true),
        "false" | "no" | "off" | "n" => Some(false),
        _ => None,
    }
}

/// Reads an integer as the core schema does: decimal, `0x…`, `0o…`.
pub(crate) fn integer(text: &str) -> Option<i128> {
    let (sign, digits) = match text.strip_prefix(['-', '+']) {
        Some(digits) if text.starts_with('-') => (-1, digits),
        Some(digits) => (1, digits),
        None => (1, text),
    };
    let (radix, digits) = match digits.get(..2) {
        Some("0x") => (16, &digits[2..]),
        Some("0o") => (8, &digits[2..]),
        _ => (10, digits),
    };
    let starts_well = digits.starts_with(|c: char| c.is_digit(radix));
    let value = starts_well.then(|| i128::from_str_radix(digits, radix).ok())??;
    Some(sign * value)
}

fn plain_value(text: &str) -> Value {
    match text {
        "" | "~" | "null" | "Null" | "NULL" => return Value::Null,
        "true" | "True" | "TRUE" => return Value::Bool(true),
        "false" | "False" | "FALSE" => return Value::Bool(false),
        _ => {}
    }
    if let Some(number) = integer(text).and_then(Number::from_i128) {
        return Value::Number(number);
    }
    float(text).map_or_else(|| Value::String(text.to_owned()), Value::Number)
}

/// A finite float of the core schema; infinities and NaN have no JSON form and stay text.
fn float(text: &str) -> Option<Number> {
    let looks_right = text.contains(|c: char| c.is_ascii_digit())
        && text
            .chars()
            .all(|c| c.is_ascii_digit() || matches!(c, '.' | '-' | '+' | 'e' | 'E'));
    let value = looks_right.then(|| text.parse::<f64>().ok())??;
    Number::from_f64(value)
}

impl Node {
    /// The typed value of a tree, for variables.
    pub(crate) fn to_value(&self) -> Value {
        self.convert(&Scalar::to_value)
    }

    /// The value of a tree that keeps the source text of numbers that would print differently,
    /// for settings whose type only their executor knows: `cpu_limit: 1.10` stays `"1.10"`.
    pub(crate) fn to_faithful_value(&self) -> Value {
        self.convert(&|scalar| match scalar.to_value() {
            Value::Number(number) if number.to_string() != scalar.text => {
                Value::String(scalar.text.clone())
            }
            value => value,
        })
    }

    fn convert(&self, scalar_value: &dyn Fn(&Scalar) -> Value) -> Value {
        match &self.kind {
            Kind::Scalar(scalar) => scalar_value(scalar),
            Kind::List(items) => items
                .iter()
                .map(|item| item.convert(scalar_value))
                .collect(),
            Kind::Map(entries) => {
                let members = entries
                    .iter()
                    .map(|entry| (entry.key.clone(), entry.value.convert(scalar_value)));
                Value::Object(members.collect::<Map<_, _>>())
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn plain_scalars_follow_the_core_schema() {
        for (text, expected) in [
            ("", Value::Null),
            ("~", Value::Null),
            ("true", json!(true)),
            ("yes", json!("yes")),
            ("on", json!("on")),
            ("12", json!(12)),
            ("-3", json!(-3)),
            ("+3", json!(3)),
            ("0x1F", json!(31)),
            ("0o17", json!(15)),
            ("007", json!(7)),
            ("2757814270777357683", json!(2_757_814_270_777_357_683_i64)),
            ("18446744073709551615", json!(u64::MAX)),
            ("1.5", json!(1.5)),
            ("1e3", json!(1000.0)),
            ("1.2.3", json!("1.2.3")),
            ("2024-01-31", json!("2024-01-31")),
            (".inf", json!(".inf")),
            ("0x", json!("0x")),
            ("-", json!("-")),
            ("é0", json!("é0")),
        ] {
            assert_eq!(plain_value(text), expected, "{text:?}");
        }
    }
}
