//! Numbers, lists of numbers, and maps.

use std::sync::Arc;

use colony_template::{Function, Functions, List, Map, Param, Rest, Value};

use crate::host::Session;

/// Longest result of `Iterate`.
const ITERATE_MAX: u64 = 1_000_000;

pub(super) fn add(functions: &mut Functions, session: &Arc<Session>) {
    let two_counts = |compute: fn(u64, u64) -> Result<Value, String>| {
        Function::new([Param::Any, Param::Any], None, move |args| {
            compute(count(&args[0])?, count(&args[1])?)
        })
    };
    functions.add("Add", two_counts(sum));
    functions.add("Sub", two_counts(difference));
    functions.add("Iterate", |n: Value| iterate(&n));
    functions.add("Percent100", |received: Value, required: Value| {
        percent(&received, &required)
    });
    functions.add("atoi", |text: Value| atoi(&text));
    functions.add("atof", |text: Value| atof(&text));
    functions.add("Dict", |pairs: Rest<Value>| dict(&pairs.0));
    let session = Arc::clone(session);
    functions.add("Random", move |min: Value, max: Value| {
        random(&session, integer(&min)?, integer(&max)?)
    });
}

/// A whole number: of any integer kind, an integral float, or decimal text (F98).
fn integer(value: &Value) -> Result<i64, String> {
    let number = match value {
        Value::Int(number) | Value::Int64(number) => Some(*number),
        Value::Uint(number) => i64::try_from(*number).ok(),
        Value::Byte(number) => Some(i64::from(*number)),
        Value::Float(number) => integral(*number),
        Value::String(text) => text.to_str().trim().parse().ok(),
        _ => None,
    };
    number.ok_or_else(|| format!("expected a whole number, got {}", value.type_name()))
}

fn integral(number: f64) -> Option<i64> {
    // 2^53: every smaller whole number is exact.
    let fits = number.fract() == 0.0 && number.abs() <= 9_007_199_254_740_992.0;
    #[expect(clippy::cast_possible_truncation, reason = "bounded just above")]
    fits.then_some(number as i64)
}

/// A whole number that is not negative.
fn count(value: &Value) -> Result<u64, String> {
    if let Value::Uint(number) = value {
        return Ok(*number);
    }
    let number = integer(value)?;
    u64::try_from(number).map_err(|_| format!("{number} is negative"))
}

fn sum(a: u64, b: u64) -> Result<Value, String> {
    let sum = a.checked_add(b).ok_or("the sum is too large")?;
    Ok(Value::Uint(sum))
}

fn difference(a: u64, b: u64) -> Result<Value, String> {
    let difference = a.checked_sub(b).ok_or("the difference is negative")?;
    Ok(Value::Uint(difference))
}

fn iterate(n: &Value) -> Result<List, String> {
    let n = count(n)?;
    if n > ITERATE_MAX {
        return Err(format!("Iterate takes at most {ITERATE_MAX}, got {n}"));
    }
    Ok(List::new((0..n).map(Value::Uint).collect()))
}

fn percent(received: &Value, required: &Value) -> Result<i64, String> {
    let (received, required) = (integer(received)?, integer(required)?);
    if required <= 0 {
        return Ok(100);
    }
    let percent = i128::from(received) * 100 / i128::from(required);
    Ok(i64::try_from(percent.clamp(0, 100)).unwrap_or(100))
}

/// Text to a whole number; a fraction is cut.
fn atoi(value: &Value) -> Result<i64, String> {
    if let Ok(number) = integer(value) {
        return Ok(number);
    }
    integral(atof(value)?.trunc()).ok_or_else(|| format!("`{value}` is too large"))
}

fn atof(value: &Value) -> Result<f64, String> {
    let text = value.to_string();
    text.trim()
        .parse()
        .ok()
        .filter(|number: &f64| number.is_finite())
        .ok_or_else(|| format!("`{text}` is not a number"))
}

fn dict(pairs: &[Value]) -> Result<Map, String> {
    if !pairs.len().is_multiple_of(2) {
        return Err("invalid dict call".to_owned());
    }
    let mut map = Map::default();
    for pair in pairs.chunks_exact(2) {
        let key = pair[0].as_str().ok_or("dict keys must be strings")?;
        map.insert(key.as_ref(), pair[1].clone());
    }
    Ok(map)
}

/// A whole number from `min` up to, but not, `max`.
fn random(session: &Session, min: i64, max: i64) -> Result<i64, String> {
    let width = i128::from(max) - i128::from(min);
    if width <= 0 {
        return Ok(min);
    }
    let offset = i128::from(session.random()) % width;
    i64::try_from(i128::from(min) + offset).map_err(|_| "the range is too large".to_owned())
}
