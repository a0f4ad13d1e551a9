//! Host functions: Rust closures that a template can call, with the types that they take.

use std::borrow::Cow;
use std::fmt;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::Arc;

use crate::value::Value;

mod args;

pub use self::args::{FromValue, IntoFunction, IntoResult, Rest};

/// The Go type of a parameter. A value must have exactly this type; only literals are converted.
///
/// ```
/// use colony_template::{Param, Value};
/// assert!(Param::Int.accepts(&Value::Int(1)));
/// assert!(!Param::Int.accepts(&Value::Uint(1)));
/// assert!(Param::Any.accepts(&Value::Nil));
/// ```
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum Param {
    /// `interface{}`: any value, nil too.
    Any,
    /// `bool`.
    Bool,
    /// `int`.
    Int,
    /// `uint`.
    Uint,
    /// `float64`.
    Float,
    /// `string`.
    String,
    /// A slice.
    List,
    /// `map[string]interface{}`.
    Map,
    /// A function.
    Function,
}

impl Param {
    /// Whether a value has this type.
    ///
    /// ```
    /// use colony_template::{Param, Value};
    /// assert!(!Param::String.accepts(&Value::Int(5)));
    /// ```
    pub fn accepts(self, value: &Value) -> bool {
        match self {
            Self::Any => true,
            Self::Bool => matches!(value, Value::Bool(_)),
            Self::Int => matches!(value, Value::Int(_)),
            Self::Uint => matches!(value, Value::Uint(_)),
            Self::Float => matches!(value, Value::Float(_)),
            Self::String => matches!(value, Value::String(_)),
            Self::List => matches!(value, Value::List(_)),
            Self::Map => matches!(value, Value::Map(_)),
            Self::Function => matches!(value, Value::Function(_)),
        }
    }

    /// Whether a missing value or a literal `nil` may be passed.
    pub(crate) fn takes_nil(self) -> bool {
        matches!(self, Self::Any | Self::List | Self::Map | Self::Function)
    }

    pub(crate) fn type_name(self) -> &'static str {
        match self {
            Self::Any => "interface {}",
            Self::Bool => "bool",
            Self::Int => "int",
            Self::Uint => "uint",
            Self::Float => "float64",
            Self::String => "string",
            Self::List => "[]interface {}",
            Self::Map => "map[string]interface {}",
            Self::Function => "func()",
        }
    }
}

/// What a function takes: fixed parameters, and perhaps any number of further ones.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Signature {
    pub(crate) fixed: Cow<'static, [Param]>,
    pub(crate) rest: Option<Param>,
}

impl Signature {
    /// The type of the parameter at an index.
    pub(crate) fn param(&self, index: usize) -> Param {
        self.fixed
            .get(index)
            .copied()
            .or(self.rest)
            .unwrap_or(Param::Any)
    }

    /// The complaint about a number of arguments, if there is one.
    pub(crate) fn arity_fault(&self, name: &str, count: usize) -> Option<String> {
        let want = self.fixed.len();
        match self.rest {
            Some(_) if count < want => Some(format!(
                "wrong number of args for {name}: want at least {want} got {count}"
            )),
            None if count != want => Some(format!(
                "wrong number of args for {name}: want {want} got {count}"
            )),
            _ => None,
        }
    }
}

type Run = dyn Fn(&[Value]) -> Result<Value, String> + Send + Sync;

/// A function that templates can call; made from a closure by [`IntoFunction`].
///
/// ```
/// use colony_template::{Function, IntoFunction, Value};
/// let double: Function = (|n: i64| n * 2).into_function();
/// assert_eq!(double.call(&[Value::Int(4)]), Ok(Value::Int(8)));
/// assert!(double.call(&[Value::from("4")]).is_err());
/// ```
#[derive(Clone)]
pub struct Function(Arc<Inner>);

struct Inner {
    signature: Signature,
    run: Box<Run>,
}

impl Function {
    /// A function from its parameter types and a closure over checked arguments, for signatures
    /// that [`IntoFunction`] does not cover.
    ///
    /// ```
    /// use colony_template::{Function, Param, Value};
    /// let count = Function::new([], Some(Param::Any), |args| Ok(Value::Int(args.len() as i64)));
    /// assert_eq!(count.call(&[Value::Nil, Value::Nil]), Ok(Value::Int(2)));
    /// ```
    pub fn new(
        fixed: impl Into<Vec<Param>>,
        rest: Option<Param>,
        run: impl Fn(&[Value]) -> Result<Value, String> + Send + Sync + 'static,
    ) -> Self {
        Self(Arc::new(Inner {
            signature: Signature {
                fixed: Cow::Owned(fixed.into()),
                rest,
            },
            run: Box::new(run),
        }))
    }

    /// Calls the function, after checking the number and the types of the arguments.
    ///
    /// ```
    /// use colony_template::{IntoFunction, Value};
    /// let fails = (|| Err::<Value, _>("no")).into_function();
    /// assert_eq!(fails.call(&[]), Err("no".to_owned()));
    /// ```
    pub fn call(&self, args: &[Value]) -> Result<Value, String> {
        if let Some(fault) = self.signature().arity_fault("function", args.len()) {
            return Err(fault);
        }
        for (index, arg) in args.iter().enumerate() {
            let param = self.signature().param(index);
            if !(param.accepts(arg) || arg.is_nil() && param.takes_nil()) {
                return Err(format!(
                    "arg {index}: value has type {}; should be {}",
                    arg.type_name(),
                    param.type_name()
                ));
            }
        }
        self.run(args)
    }

    /// Calls with arguments that were checked. A panic comes back as an error.
    pub(crate) fn run(&self, args: &[Value]) -> Result<Value, String> {
        catch_unwind(AssertUnwindSafe(|| (self.0.run)(args))).unwrap_or_else(|panic| {
            let text = panic.downcast_ref::<String>().cloned();
            let text = text.or_else(|| panic.downcast_ref::<&str>().map(|text| (*text).to_owned()));
            Err(text.unwrap_or_else(|| "the function panicked".to_owned()))
        })
    }

    pub(crate) fn signature(&self) -> &Signature {
        &self.0.signature
    }

    pub(crate) fn type_name(&self) -> String {
        let signature = self.signature();
        let mut params: Vec<String> = signature
            .fixed
            .iter()
            .map(|param| param.type_name().to_owned())
            .collect();
        params.extend(
            signature
                .rest
                .map(|param| format!("...{}", param.type_name())),
        );
        format!("func({}) interface {{}}", params.join(", "))
    }
}

impl fmt::Debug for Function {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.type_name())
    }
}
