//! `call`: runs a function that is a value.

use crate::exec::Operand;
use crate::function::Param;
use crate::value::Value;

pub(super) fn call(args: &[Operand]) -> Result<Value, String> {
    let function = match super::concrete(&args[0]) {
        None => return Err("call of nil".to_owned()),
        Some(Value::Function(function)) => function,
        Some(other) => return Err(format!("non-function of type {}", other.type_name())),
    };
    let given = &args[1..];
    let signature = function.signature();
    if let Some(fault) = signature.arity_fault("call", given.len()) {
        return Err(fault);
    }
    let prepared = given.iter().enumerate().map(|(index, arg)| {
        prepare(super::concrete(arg), signature.param(index))
            .map_err(|fault| format!("arg {index}: {fault}"))
    });
    function.run(&prepared.collect::<Result<Vec<_>, _>>()?)
}

/// Unlike a direct call, `call` converts between integer types.
fn prepare(arg: Option<&Value>, param: Param) -> Result<Value, String> {
    let Some(arg) = arg else {
        let fault = || format!("value is nil; should be of type {}", param.type_name());
        return if param.takes_nil() {
            Ok(Value::Nil)
        } else {
            Err(fault())
        };
    };
    if param.accepts(arg) {
        return Ok(arg.clone());
    }
    match (param, arg.integer()) {
        (Param::Int, Some(number)) => Ok(Value::Int(number as i64)),
        (Param::Uint, Some(number)) => Ok(Value::Uint(number as u64)),
        _ => Err(format!(
            "value has type {}; should be {}",
            arg.type_name(),
            param.type_name()
        )),
    }
}
