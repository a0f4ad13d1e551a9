//! The machine that runs the code of a template: a loop over flat code, with its own stacks.

mod call;
mod control;
mod machine;
mod names;
mod range;
mod texts;

pub(crate) use self::machine::{Machine, Stop};
pub(crate) use self::texts::Texts;
use crate::value::Value;

/// A value on the stack. `None` is a missing value, which is not the same as nil: fields of a
/// missing value are missing too, while fields of nil are an error.
pub(crate) type Operand = Option<Value>;

/// What a variable or the dot holds.
#[derive(Clone, Default)]
pub(crate) struct Binding {
    value: Operand,
    /// Whether it came straight from a list or a map of `interface{}`; `slice` minds as an index.
    boxed: bool,
}

impl Binding {
    fn new(value: Operand) -> Self {
        Self {
            value,
            boxed: false,
        }
    }
}
