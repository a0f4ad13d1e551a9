//! `Value`: what a template reads, computes and prints, with the kinds that Go has.

mod convert;
mod json;
mod list;
mod map;
mod serial;

use std::borrow::Cow;
use std::fmt;

pub use self::json::ValueError;
pub use self::list::{Element, List};
pub use self::map::Map;
use crate::function::Function;
use crate::text::Text;

/// A value with a Go kind. Cloning is cheap: long contents are shared.
///
/// ```
/// use colony_template::Value;
/// let value = Value::from(serde_json::json!({"n": 1, "f": 1.5, "l": ["a", null]}));
/// assert_eq!(value.to_string(), "map[f:1.5 l:[a <nil>] n:1]");
/// ```
#[derive(Clone, Default)]
pub enum Value {
    /// `nil`, an empty `interface{}`.
    #[default]
    Nil,
    /// `bool`.
    Bool(bool),
    /// `int`.
    Int(i64),
    /// `int64`, which a parameter of type `int` refuses.
    Int64(i64),
    /// `uint`.
    Uint(u64),
    /// `uint8`, which `index` takes from a string.
    Byte(u8),
    /// `float64`.
    Float(f64),
    /// `complex128`, as its real and its imaginary part.
    Complex(f64, f64),
    /// `string`.
    String(Text),
    /// A slice, such as `[]interface{}`.
    List(List),
    /// `map[string]interface{}`.
    Map(Map),
    /// A function, which `call` runs.
    Function(Function),
}

impl Value {
    /// The name of the Go type, as `%T` prints it.
    ///
    /// ```
    /// use colony_template::Value;
    /// assert_eq!(Value::Float(1.0).type_name(), "float64");
    /// assert_eq!(Value::Nil.type_name(), "<nil>");
    /// ```
    pub fn type_name(&self) -> Cow<'static, str> {
        Cow::Borrowed(match self {
            Self::Nil => "<nil>",
            Self::Bool(_) => "bool",
            Self::Int(_) => "int",
            Self::Int64(_) => "int64",
            Self::Uint(_) => "uint",
            Self::Byte(_) => "uint8",
            Self::Float(_) => "float64",
            Self::Complex(..) => "complex128",
            Self::String(_) => "string",
            Self::List(list) => list.element().list_type(),
            Self::Map(_) => "map[string]interface {}",
            Self::Function(function) => return Cow::Owned(function.type_name()),
        })
    }

    /// Whether the value counts as true: it is neither nil, nor zero, nor empty.
    ///
    /// ```
    /// use colony_template::Value;
    /// assert!(Value::from("false").is_true());
    /// assert!(!Value::from("").is_true());
    /// ```
    pub fn is_true(&self) -> bool {
        match self {
            Self::Nil => false,
            Self::Bool(value) => *value,
            Self::Int(value) | Self::Int64(value) => *value != 0,
            Self::Uint(value) => *value != 0,
            Self::Byte(value) => *value != 0,
            Self::Float(value) => *value != 0.0,
            Self::Complex(real, imaginary) => *real != 0.0 || *imaginary != 0.0,
            Self::String(value) => !value.is_empty(),
            Self::List(value) => !value.is_empty(),
            Self::Map(value) => !value.is_empty(),
            Self::Function(_) => true,
        }
    }

    /// The text of a string value.
    ///
    /// ```
    /// use colony_template::Value;
    /// assert_eq!(Value::from("a").as_str().as_deref(), Some("a"));
    /// assert_eq!(Value::Int(1).as_str(), None);
    /// ```
    pub fn as_str(&self) -> Option<Cow<'_, str>> {
        match self {
            Self::String(text) => Some(text.to_str()),
            _ => None,
        }
    }

    /// The map inside, if it is one.
    ///
    /// ```
    /// use colony_template::Value;
    /// let value = Value::from(serde_json::json!({"a": 1}));
    /// assert_eq!(value.as_map().map(|map| map.len()), Some(1));
    /// ```
    pub fn as_map(&self) -> Option<&Map> {
        match self {
            Self::Map(map) => Some(map),
            _ => None,
        }
    }

    /// The list inside, if it is one.
    ///
    /// ```
    /// use colony_template::Value;
    /// let value = Value::from(serde_json::json!([1, 2]));
    /// assert_eq!(value.as_list().map(|list| list.len()), Some(2));
    /// ```
    pub fn as_list(&self) -> Option<&List> {
        match self {
            Self::List(list) => Some(list),
            _ => None,
        }
    }

    /// Whether this is `nil`.
    ///
    /// ```
    /// assert!(colony_template::Value::default().is_nil());
    /// ```
    pub fn is_nil(&self) -> bool {
        matches!(self, Self::Nil)
    }

    /// A whole number of any integer kind.
    pub(crate) fn integer(&self) -> Option<i128> {
        match self {
            Self::Int(value) | Self::Int64(value) => Some(i128::from(*value)),
            Self::Uint(value) => Some(i128::from(*value)),
            Self::Byte(value) => Some(i128::from(*value)),
            _ => None,
        }
    }

    fn holds_values(&self) -> bool {
        matches!(self, Self::List(_) | Self::Map(_))
    }
}

/// Releases values without recursion, however deep they are.
fn release(values: impl Iterator<Item = Value>) {
    let mut pending: Vec<Value> = values.filter(Value::holds_values).collect();
    while let Some(value) = pending.pop() {
        match value {
            Value::List(list) => list.dismantle(&mut pending),
            Value::Map(map) => map.dismantle(&mut pending),
            _ => {}
        }
    }
}

/// Prints as Go's `%v`.
impl fmt::Display for Value {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&crate::fmt::show(self, "%v"))
    }
}

/// Prints as Go's `%#v`.
impl fmt::Debug for Value {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&crate::fmt::show(self, "%#v"))
    }
}

/// Compares kinds and contents; functions are never equal. Unlike `eq`, it looks into lists and maps.
impl PartialEq for Value {
    fn eq(&self, other: &Self) -> bool {
        let mut pending = vec![(self, other)];
        while let Some((left, right)) = pending.pop() {
            let same = match (left, right) {
                (Self::List(left), Self::List(right)) => left.pair_up(right, &mut pending),
                (Self::Map(left), Self::Map(right)) => left.pair_up(right, &mut pending),
                _ => same_scalar(left, right),
            };
            if !same {
                return false;
            }
        }
        true
    }
}

fn same_scalar(left: &Value, right: &Value) -> bool {
    match (left, right) {
        (Value::Nil, Value::Nil) => true,
        (Value::Bool(left), Value::Bool(right)) => left == right,
        (Value::Int(left), Value::Int(right)) | (Value::Int64(left), Value::Int64(right)) => {
            left == right
        }
        (Value::Uint(left), Value::Uint(right)) => left == right,
        (Value::Byte(left), Value::Byte(right)) => left == right,
        (Value::Float(left), Value::Float(right)) => left == right,
        (Value::Complex(r1, i1), Value::Complex(r2, i2)) => r1 == r2 && i1 == i2,
        (Value::String(left), Value::String(right)) => left == right,
        _ => false,
    }
}
