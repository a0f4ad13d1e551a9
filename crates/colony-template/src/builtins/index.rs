//! `index`, `slice` and `len`.

use crate::exec::Operand;
use crate::text::Text;
use crate::value::Value;

/// What Go's `slice` says of an index that it took from a map or a list and did not unpack.
pub(crate) const BOXED: &str = "cannot index slice/array with type interface {}";

/// The item under a row of indexes and keys; a key that is not there gives nil.
pub(super) fn index(item: &Operand, indexes: &[Operand]) -> Result<Operand, String> {
    let mut item = super::concrete(item).ok_or("index of untyped nil")?.clone();
    for index in indexes {
        let index = super::concrete(index);
        item = match &item {
            Value::Nil => return Err("index of nil pointer".to_owned()),
            Value::List(list) => list.as_slice()[position(index, list.len(), false)?].clone(),
            Value::String(text) => {
                Value::Byte(text.as_bytes()[position(index, text.len(), false)?])
            }
            Value::Map(map) => match index {
                Some(Value::String(key)) => {
                    map.get_bytes(key.as_bytes()).cloned().unwrap_or_default()
                }
                Some(other) => {
                    return Err(format!(
                        "value has type {}; should be string",
                        other.type_name()
                    ));
                }
                None => return Err("value is nil; should be of type string".to_owned()),
            },
            other => return Err(format!("can't index item of type {}", other.type_name())),
        };
    }
    Ok(Some(item))
}

/// An index as a number: below `bound`, or at most `bound` where the end may be named.
fn position(index: Option<&Value>, bound: usize, end_fits: bool) -> Result<usize, String> {
    let index = index.ok_or("cannot index slice/array with nil")?;
    let number = index
        .integer()
        .ok_or_else(|| format!("cannot index slice/array with type {}", index.type_name()))?;
    usize::try_from(number)
        .ok()
        .filter(|number| *number < bound || (end_fits && *number == bound))
        .ok_or_else(|| format!("index out of range: {number}"))
}

/// `item[a:b:c]`.
pub(super) fn slice(item: &Operand, indexes: &[Operand]) -> Result<Value, String> {
    let item = super::concrete(item).ok_or("slice of untyped nil")?;
    if indexes.len() > 3 {
        return Err(format!("too many slice indexes: {}", indexes.len()));
    }
    let (len, capacity) = match item {
        Value::String(_) if indexes.len() == 3 => {
            return Err("cannot 3-index slice a string".to_owned());
        }
        Value::String(text) => (text.len(), text.len()),
        Value::List(list) => (list.len(), list.capacity()),
        other => return Err(format!("can't slice item of type {}", other.type_name())),
    };
    let mut bounds = [0, len, capacity];
    for (bound, index) in bounds.iter_mut().zip(indexes) {
        *bound = position(super::concrete(index), capacity, true)?;
    }
    let [low, high, max] = bounds;
    if low > high {
        return Err(format!("invalid slice index: {low} > {high}"));
    }
    if high > max {
        return Err(format!("invalid slice index: {high} > {max}"));
    }
    Ok(match item {
        Value::List(list) => Value::List(list.window(low, high, max)),
        Value::String(text) => Value::String(Text::from(&text.as_bytes()[low..high])),
        _ => Value::Nil,
    })
}

pub(super) fn len(item: &Operand) -> Result<Value, String> {
    let len = match item {
        Some(Value::String(text)) => text.len(),
        Some(Value::List(list)) => list.len(),
        Some(Value::Map(map)) => map.len(),
        None | Some(Value::Nil) => return Err("len of nil pointer".to_owned()),
        Some(other) => return Err(format!("len of type {}", other.type_name())),
    };
    Ok(Value::Int(len as i64))
}
