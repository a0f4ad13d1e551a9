//! From Rust closures to functions: which types can be parameters and results.

use std::fmt::Display;

use super::{Function, Param};
use crate::text::Text;
use crate::value::{List, Map, Value};

/// A Rust type that can be a parameter.
///
/// ```
/// use colony_template::{FromValue, Param, Value};
/// assert_eq!(<u64 as FromValue>::PARAM, Param::Uint);
/// assert_eq!(bool::from_value(&Value::Bool(true)), Some(true));
/// ```
pub trait FromValue: Sized {
    /// The Go type that is asked for.
    const PARAM: Param;

    /// The argument; `None` when it has another type.
    fn from_value(value: &Value) -> Option<Self>;
}

macro_rules! from_value {
    ($($target:ty, $param:ident, $pattern:pat => $value:expr;)*) => {$(
        impl FromValue for $target {
            const PARAM: Param = Param::$param;

            fn from_value(value: &Value) -> Option<Self> {
                match value {
                    $pattern => Some($value),
                    _ => None,
                }
            }
        }
    )*};
}

from_value! {
    bool, Bool, Value::Bool(value) => *value;
    i64, Int, Value::Int(value) => *value;
    u64, Uint, Value::Uint(value) => *value;
    f64, Float, Value::Float(value) => *value;
    String, String, Value::String(value) => value.to_str().into_owned();
    Text, String, Value::String(value) => value.clone();
}

impl FromValue for Value {
    const PARAM: Param = Param::Any;

    fn from_value(value: &Value) -> Option<Self> {
        Some(value.clone())
    }
}

impl FromValue for List {
    const PARAM: Param = Param::List;

    fn from_value(value: &Value) -> Option<Self> {
        match value {
            Value::List(list) => Some(list.clone()),
            Value::Nil => Some(Self::new(Vec::new())),
            _ => None,
        }
    }
}

impl FromValue for Map {
    const PARAM: Param = Param::Map;

    fn from_value(value: &Value) -> Option<Self> {
        match value {
            Value::Map(map) => Some(map.clone()),
            Value::Nil => Some(Self::default()),
            _ => None,
        }
    }
}

/// The last parameter of a closure that takes any number of arguments.
///
/// ```
/// use colony_template::{Functions, Limits, Rest, Template, Value};
/// let mut functions = Functions::new();
/// functions.add("join", |separator: String, words: Rest<String>| words.0.join(&separator));
/// let template = Template::parse("t", r#"{{join "-" "a" "b"}}"#, &functions, &Limits::default()).unwrap();
/// assert_eq!(template.render(&Value::Nil).unwrap(), "a-b");
/// ```
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Rest<T>(pub Vec<T>);

/// A type that a closure may return: a value, or a `Result` whose error carries text.
///
/// ```
/// use colony_template::{IntoResult, Value};
/// assert_eq!("a".into_result(), Ok(Value::from("a")));
/// assert_eq!(Err::<bool, _>("no").into_result(), Err("no".to_owned()));
/// ```
pub trait IntoResult {
    /// The value, or the text of the error.
    fn into_result(self) -> Result<Value, String>;
}

macro_rules! into_result {
    ($($source:ty)*) => {$(
        impl IntoResult for $source {
            fn into_result(self) -> Result<Value, String> {
                Ok(self.into())
            }
        }
    )*};
}

into_result! { bool i32 i64 u32 u64 f64 &str String Text List Map Vec<Value> Function Value }

impl<T: Into<Value>> IntoResult for Option<T> {
    fn into_result(self) -> Result<Value, String> {
        Ok(self.into())
    }
}

impl<T: Into<Value>, E: Display> IntoResult for Result<T, E> {
    fn into_result(self) -> Result<Value, String> {
        self.map(Into::into).map_err(|error| error.to_string())
    }
}

/// A closure that can become a [`Function`]: up to six typed parameters, the last perhaps a [`Rest`].
///
/// ```
/// use colony_template::{IntoFunction, Value};
/// let add = (|a: u64, b: u64| a.checked_add(b).ok_or("the sum is too large")).into_function();
/// assert_eq!(add.call(&[Value::Uint(1), Value::Uint(2)]), Ok(Value::Uint(3)));
/// ```
pub trait IntoFunction<Shape> {
    /// The function.
    fn into_function(self) -> Function;
}

impl IntoFunction<Function> for Function {
    fn into_function(self) -> Function {
        self
    }
}

/// What is said if a checked argument does not convert; the checks make this unreachable.
const UNCHECKED: &str = "an argument has the wrong type";

macro_rules! into_function {
    ($($name:ident)*) => {
        #[allow(non_snake_case, unused_variables, unused_mut, reason = "one macro for all numbers of parameters")]
        impl<F, R, $($name),*> IntoFunction<fn($($name),*) -> R> for F
        where
            F: Fn($($name),*) -> R + Send + Sync + 'static,
            R: IntoResult,
            $($name: FromValue,)*
        {
            fn into_function(self) -> Function {
                Function::new([$($name::PARAM),*], None, move |args| {
                    let mut args = args.iter();
                    $(let $name = args.next().and_then($name::from_value).ok_or(UNCHECKED)?;)*
                    self($($name),*).into_result()
                })
            }
        }

        #[allow(non_snake_case, unused_mut, reason = "one macro for all numbers of parameters")]
        impl<F, R, T, $($name),*> IntoFunction<(fn($($name),*) -> R, Rest<T>)> for F
        where
            F: Fn($($name,)* Rest<T>) -> R + Send + Sync + 'static,
            R: IntoResult,
            T: FromValue,
            $($name: FromValue,)*
        {
            fn into_function(self) -> Function {
                Function::new([$($name::PARAM),*], Some(T::PARAM), move |args| {
                    let mut args = args.iter();
                    $(let $name = args.next().and_then($name::from_value).ok_or(UNCHECKED)?;)*
                    let rest: Option<Vec<T>> = args.map(T::from_value).collect();
                    self($($name,)* Rest(rest.ok_or(UNCHECKED)?)).into_result()
                })
            }
        }
    };
}

into_function!();
into_function!(A);
into_function!(A B);
into_function!(A B C);
into_function!(A B C D);
into_function!(A B C D E);
into_function!(A B C D E G);
