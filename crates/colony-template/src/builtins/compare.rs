//! `eq`, `lt` and their kin: only values of the same basic kind compare, integers across signs.

use crate::exec::Operand;
use crate::value::Value;

/// A value of a kind that compares.
enum Basic<'a> {
    Bool(bool),
    Integer(i128),
    Float(f64),
    Complex(f64, f64),
    String(&'a [u8]),
}

fn basic(value: &Value) -> Option<Basic<'_>> {
    if let Some(number) = value.integer() {
        return Some(Basic::Integer(number));
    }
    match value {
        Value::Bool(value) => Some(Basic::Bool(*value)),
        Value::Float(value) => Some(Basic::Float(*value)),
        Value::Complex(real, imaginary) => Some(Basic::Complex(*real, *imaginary)),
        Value::String(value) => Some(Basic::String(value.as_bytes())),
        _ => None,
    }
}

/// Whether the first value equals any of the others.
pub(super) fn eq(first: &Operand, others: &[Operand]) -> Result<bool, String> {
    if others.is_empty() {
        return Err("missing argument for comparison".to_owned());
    }
    for other in others {
        if equal(super::concrete(first), super::concrete(other))? {
            return Ok(true);
        }
    }
    Ok(false)
}

fn equal(left: Option<&Value>, right: Option<&Value>) -> Result<bool, String> {
    let (Some(left), Some(right)) = (left, right) else {
        return Ok(left.is_none() && right.is_none());
    };
    match (basic(left), basic(right)) {
        (Some(Basic::Bool(left)), Some(Basic::Bool(right))) => Ok(left == right),
        (Some(Basic::Integer(left)), Some(Basic::Integer(right))) => Ok(left == right),
        (Some(Basic::Float(left)), Some(Basic::Float(right))) => Ok(left == right),
        (Some(Basic::Complex(r1, i1)), Some(Basic::Complex(r2, i2))) => Ok(r1 == r2 && i1 == i2),
        (Some(Basic::String(left)), Some(Basic::String(right))) => Ok(left == right),
        (None, None) => Err(format!("non-comparable type {}", right.type_name())),
        _ => Err(incompatible(left, right)),
    }
}

fn incompatible(left: &Value, right: &Value) -> String {
    format!(
        "incompatible types for comparison: {} and {}",
        left.type_name(),
        right.type_name()
    )
}

pub(super) fn lt(left: &Operand, right: &Operand) -> Result<bool, String> {
    const BAD: &str = "invalid type for comparison";
    let (Some(left), Some(right)) = (super::concrete(left), super::concrete(right)) else {
        return Err(BAD.to_owned());
    };
    match (basic(left).ok_or(BAD)?, basic(right).ok_or(BAD)?) {
        (Basic::Integer(left), Basic::Integer(right)) => Ok(left < right),
        (Basic::Float(left), Basic::Float(right)) => Ok(left < right),
        (Basic::String(left), Basic::String(right)) => Ok(left < right),
        (Basic::Bool(_), Basic::Bool(_)) | (Basic::Complex(..), Basic::Complex(..)) => {
            Err(BAD.to_owned())
        }
        _ => Err(incompatible(left, right)),
    }
}

/// Less or equal, in two questions as in Go, which shows for NaN.
pub(super) fn le(left: &Operand, right: &Operand) -> Result<bool, String> {
    Ok(lt(left, right)? || eq(left, std::slice::from_ref(right))?)
}
