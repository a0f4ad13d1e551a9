//! Variables and fields.

use super::machine::{Machine, Stop};
use super::{Binding, Operand};
use crate::builtins::index;
use crate::code::Index;
use crate::value::Value;

/// How many variables are looked through for the price of one step.
const VARIABLES_PER_STEP: usize = 16;

impl Machine<'_> {
    /// The slot of the innermost variable with a name.
    pub(super) fn variable(&mut self, name: Index) -> Result<usize, Stop> {
        let own = &self.variables[self.base..];
        let back = own.iter().rev().position(|(declared, _)| *declared == name);
        let slot = back.map(|back| self.variables.len() - 1 - back);
        self.charge((back.unwrap_or(own.len()) / VARIABLES_PER_STEP) as u64)?;
        slot.ok_or_else(|| {
            Stop::Failed(format!(
                "undefined variable: {}",
                self.program.names[name as usize]
            ))
        })
    }

    pub(super) fn assign(&mut self, name: Index, value: Binding) -> Result<(), Stop> {
        let slot = self.variable(name)?;
        self.variables[slot].1 = value;
        Ok(())
    }

    #[inline]
    pub(super) fn field(&self, receiver: Option<&Value>, name: Index) -> Result<Operand, Stop> {
        let name = &self.program.names[name as usize];
        match receiver {
            None => Ok(None),
            Some(Value::Map(map)) => Ok(map.get_bytes(name.as_bytes()).cloned()),
            Some(Value::Nil) => Err(Stop::Failed(format!(
                "nil pointer evaluating interface {{}}.{name}"
            ))),
            Some(other) => Err(Stop::Failed(format!(
                "can't evaluate field {name} in type {}",
                other.type_name()
            ))),
        }
    }

    pub(super) fn field_with_args(&mut self, name: Index) -> Result<(), Stop> {
        match self.pop() {
            Some(Value::Map(_)) => {
                let name = &self.program.names[name as usize];
                Err(Stop::Failed(format!(
                    "{name} is not a method but has arguments"
                )))
            }
            receiver => {
                let value = self.field(receiver.as_ref(), name)?;
                self.push(value);
                Ok(())
            }
        }
    }
}

/// `slice` takes no index that is still inside of an `interface{}`.
pub(super) fn refuse_boxed(binding: &Binding) -> Result<(), Stop> {
    if binding.boxed {
        return Err(Stop::Failed(format!(
            "error calling slice: {}",
            index::BOXED
        )));
    }
    Ok(())
}
