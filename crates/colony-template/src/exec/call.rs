//! Calls, and the types of their arguments.

use super::machine::{Machine, Stop};
use crate::code::{CallSite, Callee, Index};
use crate::function::Param;
use crate::value::Value;

impl Machine<'_> {
    pub(super) fn call(&mut self, site: Index) -> Result<(), Stop> {
        let program = self.program;
        let CallSite {
            name,
            callee,
            args,
            piped,
        } = &program.calls[site as usize];
        let mut from = self.stack.len() - args;
        if let Some(param) = *piped {
            from -= 1;
            self.stack[from..].rotate_left(1);
            check(self.stack.last().and_then(Option::as_ref), param)?;
        }
        let result = match callee {
            Callee::Builtin(builtin) => builtin.run(&self.stack[from..], &mut self.texts),
            Callee::Host(function) => {
                let args: Vec<Value> = self
                    .stack
                    .drain(from..)
                    .map(Option::unwrap_or_default)
                    .collect();
                let result = function.run(&args).map_err(Stop::Failed);
                result.and_then(|value| self.texts.charge(&value).map(|()| Some(value)))
            }
        };
        self.stack.truncate(from);
        let named = |stop| match stop {
            Stop::Failed(message) => Stop::Failed(format!(
                "error calling {}: {message}",
                program.names[*name as usize]
            )),
            limit @ Stop::Limit(..) => limit,
        };
        self.push(result.map_err(named)?);
        if matches!(callee, Callee::Host(_)) {
            self.check_time()?;
        }
        Ok(())
    }
}

/// Whether a value may be passed for a parameter.
pub(super) fn check(value: Option<&Value>, param: Param) -> Result<(), Stop> {
    let name = param.type_name();
    match value {
        None if param.takes_nil() => Ok(()),
        None => Err(Stop::Failed(format!("invalid value; expected {name}"))),
        Some(value) if param.accepts(value) => Ok(()),
        Some(value) => {
            let found = if value.is_nil() {
                "interface {}".into()
            } else {
                value.type_name()
            };
            Err(Stop::Failed(format!(
                "wrong type for value; expected {name}; got {found}"
            )))
        }
    }
}
