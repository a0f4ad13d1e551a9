//! Rust values as `Value`s.

use super::{List, Map, Value};
use crate::function::Function;
use crate::text::Text;

macro_rules! from {
    ($($source:ty => |$name:ident| $value:expr;)*) => {$(
        impl From<$source> for Value {
            fn from($name: $source) -> Self {
                $value
            }
        }
    )*};
}

from! {
    bool => |value| Value::Bool(value);
    i32 => |value| Value::Int(i64::from(value));
    i64 => |value| Value::Int(value);
    u32 => |value| Value::Uint(u64::from(value));
    u64 => |value| Value::Uint(value);
    f64 => |value| Value::Float(value);
    &str => |value| Value::String(value.into());
    String => |value| Value::String(value.into());
    Text => |value| Value::String(value);
    List => |value| Value::List(value);
    Map => |value| Value::Map(value);
    Vec<Value> => |value| Value::List(List::new(value));
    Function => |value| Value::Function(value);
}

impl<T: Into<Value>> From<Option<T>> for Value {
    fn from(value: Option<T>) -> Self {
        value.map_or(Self::Nil, Into::into)
    }
}
