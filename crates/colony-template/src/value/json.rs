//! Values from and to JSON. Reading is done without recursion; writing is bounded in depth,
//! because `serde_json::Value` itself recurses when it is dropped or printed.

use serde_json::Value as Json;
use thiserror::Error;

use super::{List, Map, Value};
use crate::text::Text;

/// How deep a value may be to become JSON: the depth that `serde_json` reads back.
const JSON_DEPTH_MAX: usize = 127;

/// Why a value could not be converted.
///
/// ```
/// use colony_template::Value;
/// let error = Value::Float(f64::NAN).to_json().unwrap_err();
/// assert_eq!(error.to_string(), "a float64 that is not finite has no JSON form");
/// ```
#[derive(Debug, Error)]
#[non_exhaustive]
pub enum ValueError {
    /// A Rust value did not serialize.
    #[error("cannot serialize the value")]
    Serialize(#[source] serde_json::Error),
    /// A text was not JSON.
    #[error("cannot read the JSON text")]
    Parse(#[source] serde_json::Error),
    /// NaN or an infinity.
    #[error("a float64 that is not finite has no JSON form")]
    NotFinite,
    /// A function, or a complex number.
    #[error("a {0} has no JSON form")]
    NoJson(String),
    /// Too many levels.
    #[error("the value is more than {JSON_DEPTH_MAX} levels deep")]
    TooDeep,
}

/// One step of the conversion: look at a value, or collect the values that were made.
enum Step<'a> {
    Visit(&'a Json),
    List(usize),
    Map(&'a serde_json::Map<String, Json>),
}

/// Integers become `int` (or `uint` beyond its range), other numbers `float64`.
impl From<&Json> for Value {
    fn from(json: &Json) -> Self {
        let mut steps = vec![Step::Visit(json)];
        let mut made: Vec<Self> = Vec::new();
        while let Some(step) = steps.pop() {
            match step {
                Step::Visit(Json::Array(items)) => {
                    steps.push(Step::List(items.len()));
                    steps.extend(items.iter().rev().map(Step::Visit));
                }
                Step::Visit(Json::Object(entries)) => {
                    steps.push(Step::Map(entries));
                    steps.extend(entries.values().rev().map(Step::Visit));
                }
                Step::Visit(scalar) => made.push(scalar_from(scalar)),
                Step::List(len) => {
                    let list = made.split_off(made.len() - len);
                    made.push(Self::List(List::new(list)));
                }
                Step::Map(entries) => {
                    let values = made.split_off(made.len() - entries.len());
                    let map: Map = entries
                        .keys()
                        .map(String::as_str)
                        .map(Text::from)
                        .zip(values)
                        .collect();
                    made.push(Self::Map(map));
                }
            }
        }
        made.pop().unwrap_or_default()
    }
}

impl From<Json> for Value {
    fn from(json: Json) -> Self {
        Self::from(&json)
    }
}

fn scalar_from(json: &Json) -> Value {
    match json {
        Json::Bool(value) => Value::Bool(*value),
        Json::String(value) => Value::from(value.as_str()),
        Json::Number(number) => number
            .as_i64()
            .map(Value::Int)
            .or_else(|| number.as_u64().map(Value::Uint))
            .or_else(|| number.as_f64().map(Value::Float))
            .unwrap_or_default(),
        Json::Null | Json::Array(_) | Json::Object(_) => Value::Nil,
    }
}

impl Value {
    /// Reads a JSON text: integers become `int`, numbers with a point or an exponent `float64`.
    ///
    /// ```
    /// use colony_template::Value;
    /// let value = Value::from_json_text("[1, 1.0, 1e6]").unwrap();
    /// assert_eq!(value.to_string(), "[1 1 1e+06]");
    /// ```
    pub fn from_json_text(text: &str) -> Result<Self, ValueError> {
        serde_json::from_str(text).map_err(ValueError::Parse)
    }

    /// Takes any Rust value that serializes; numbers follow the rule of JSON texts.
    ///
    /// ```
    /// use colony_template::Value;
    /// #[derive(serde::Serialize)]
    /// struct Job { name: &'static str, retry: u8 }
    /// let value = Value::from_serialize(&Job { name: "build", retry: 2 }).unwrap();
    /// assert_eq!(value.to_string(), "map[name:build retry:2]");
    /// ```
    pub fn from_serialize<T: serde::Serialize + ?Sized>(source: &T) -> Result<Self, ValueError> {
        serde_json::to_value(source)
            .map(Self::from)
            .map_err(ValueError::Serialize)
    }

    /// The value as JSON; fails for what JSON cannot say, and beyond 127 levels.
    ///
    /// ```
    /// use colony_template::Value;
    /// assert_eq!(Value::from(vec![Value::Int(1)]).to_json().unwrap(), serde_json::json!([1]));
    /// ```
    pub fn to_json(&self) -> Result<Json, ValueError> {
        json_from(self, JSON_DEPTH_MAX)
    }
}

fn json_from(value: &Value, depth_left: usize) -> Result<Json, ValueError> {
    let inner = || depth_left.checked_sub(1).ok_or(ValueError::TooDeep);
    Ok(match value {
        Value::Nil => Json::Null,
        Value::Bool(value) => Json::from(*value),
        Value::Int(value) | Value::Int64(value) => Json::from(*value),
        Value::Uint(value) => Json::from(*value),
        Value::Byte(value) => Json::from(*value),
        Value::Float(value) => {
            Json::Number(serde_json::Number::from_f64(*value).ok_or(ValueError::NotFinite)?)
        }
        Value::String(value) => Json::from(value.to_str().into_owned()),
        Value::List(list) => {
            let depth_left = inner()?;
            Json::Array(
                list.iter()
                    .map(|item| json_from(item, depth_left))
                    .collect::<Result<_, _>>()?,
            )
        }
        Value::Map(map) => {
            let depth_left = inner()?;
            let entries = map
                .iter()
                .map(|(key, item)| Ok((key.to_string(), json_from(item, depth_left)?)));
            Json::Object(entries.collect::<Result<_, ValueError>>()?)
        }
        Value::Complex(..) | Value::Function(_) => {
            return Err(ValueError::NoJson(value.type_name().into_owned()));
        }
    })
}
