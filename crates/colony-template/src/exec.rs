//! The machine that runs the code of a template: a loop over flat code, with its own stacks.

mod control;
mod machine;
mod range;
mod texts;

pub(crate) use self::machine::{Machine, Stop};
pub(crate) use self::texts::Texts;
use crate::value::Value;

/// A value on the stack. `None` is a missing value, which is not the same as nil: fields of a
/// missing value are missing too, while fields of nil are an error.
pub(crate) type Operand = Option<Value>;
