//! The functions that every template has.

mod call;
mod compare;
mod escape;
pub(crate) mod index;

use std::borrow::Cow;

use crate::exec::{Operand, Stop, Texts};
use crate::fmt;
use crate::function::{Param, Signature};
use crate::value::Value;

/// One of Go's predefined functions.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Builtin {
    And,
    Call,
    Eq,
    Ge,
    Gt,
    Html,
    Index,
    Js,
    Le,
    Len,
    Lt,
    Ne,
    Not,
    Or,
    Print,
    Printf,
    Println,
    Slice,
    UrlQuery,
}

impl Builtin {
    pub(crate) fn named(name: &str) -> Option<Self> {
        Some(match name {
            "and" => Self::And,
            "call" => Self::Call,
            "eq" => Self::Eq,
            "ge" => Self::Ge,
            "gt" => Self::Gt,
            "html" => Self::Html,
            "index" => Self::Index,
            "js" => Self::Js,
            "le" => Self::Le,
            "len" => Self::Len,
            "lt" => Self::Lt,
            "ne" => Self::Ne,
            "not" => Self::Not,
            "or" => Self::Or,
            "print" => Self::Print,
            "printf" => Self::Printf,
            "println" => Self::Println,
            "slice" => Self::Slice,
            "urlquery" => Self::UrlQuery,
            _ => return None,
        })
    }

    pub(crate) fn signature(self) -> Signature {
        let (fixed, rest): (&'static [Param], _) = match self {
            Self::And | Self::Or | Self::Call | Self::Eq | Self::Index | Self::Slice => {
                (&[Param::Any], true)
            }
            Self::Ge | Self::Gt | Self::Le | Self::Lt | Self::Ne => {
                (&[Param::Any, Param::Any], false)
            }
            Self::Html | Self::Js | Self::Print | Self::Println | Self::UrlQuery => (&[], true),
            Self::Len | Self::Not => (&[Param::Any], false),
            Self::Printf => (&[Param::String], true),
        };
        Signature {
            fixed: Cow::Borrowed(fixed),
            rest: rest.then_some(Param::Any),
        }
    }

    /// Runs the function; the number of arguments was checked.
    pub(crate) fn run(self, args: &[Operand], texts: &mut Texts) -> Result<Operand, Stop> {
        let value = match self {
            Self::And | Self::Or => return Ok(args.last().cloned().flatten()),
            Self::Call => call::call(args)?,
            Self::Eq => Value::Bool(compare::eq(&args[0], &args[1..])?),
            Self::Ne => Value::Bool(!compare::eq(&args[0], &args[1..])?),
            Self::Lt => Value::Bool(compare::lt(&args[0], &args[1])?),
            Self::Le => Value::Bool(compare::le(&args[0], &args[1])?),
            Self::Gt => Value::Bool(!compare::le(&args[0], &args[1])?),
            Self::Ge => Value::Bool(!compare::lt(&args[0], &args[1])?),
            Self::Html => escape::html(args, texts)?,
            Self::Js => escape::js(args, texts)?,
            Self::UrlQuery => escape::url_query(args, texts)?,
            Self::Index => return index::index(&args[0], &args[1..]).map_err(Stop::Failed),
            Self::Slice => index::slice(&args[0], &args[1..])?,
            Self::Len => index::len(&args[0])?,
            Self::Not => Value::Bool(!args[0].as_ref().is_some_and(Value::is_true)),
            Self::Print => texts.write(|out| fmt::print(out, &values(args)))?,
            Self::Println => texts.write(|out| fmt::println(out, &values(args)))?,
            Self::Printf => printf(args, texts)?,
        };
        Ok(Some(value))
    }
}

fn printf(args: &[Operand], texts: &mut Texts) -> Result<Value, Stop> {
    match &args[0] {
        Some(Value::String(format)) => {
            texts.write(|out| fmt::printf(out, format.as_bytes(), &values(&args[1..])))
        }
        _ => Err(Stop::Failed(
            "wrong type for value; expected string".to_owned(),
        )),
    }
}

/// The arguments as functions see them: a missing value is nil.
pub(crate) fn values(args: &[Operand]) -> Vec<Value> {
    args.iter()
        .map(|arg| arg.clone().unwrap_or_default())
        .collect()
}

/// The value inside, if it is neither missing nor nil.
fn concrete(arg: &Operand) -> Option<&Value> {
    arg.as_ref().filter(|value| !value.is_nil())
}
