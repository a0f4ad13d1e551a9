#![doc = include_str!("../README.md")]

mod analysis;
mod builtins;
mod code;
mod error;
mod exec;
mod fmt;
mod function;
mod functions;
mod limits;
mod parse;
mod template;
mod text;
mod unicode;
mod value;

pub use crate::analysis::{Analysis, Reference, ReferenceKind};
pub use crate::error::{Error, ErrorKind};
pub use crate::function::{FromValue, Function, IntoFunction, IntoResult, Param, Rest};
pub use crate::functions::Functions;
pub use crate::limits::{Limit, Limits};
pub use crate::template::{Partial, Template};
pub use crate::text::Text;
pub use crate::value::{Element, List, Map, Value, ValueError};
