//! Number literals. Go keeps what a literal can be (int, uint, float) until a parameter decides.

use crate::function::Param;
use crate::value::Value;

/// The first whole number that an int does not hold.
const TWO_TO_63: f64 = (1u64 << 63) as f64;

/// A number literal under all the types that can hold it.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub(super) struct Number {
    int: Option<i64>,
    uint: Option<u64>,
    float: Option<f64>,
    complex: Option<(f64, f64)>,
    /// Written with a point or an exponent, so a float where nothing else is asked for.
    float_form: bool,
}

impl Number {
    /// A character constant.
    pub(super) fn character(code: i64) -> Self {
        Self {
            int: Some(code),
            uint: u64::try_from(code).ok(),
            float: Some(code as f64),
            ..Self::default()
        }
    }

    /// Reads an integer, a float, or an imaginary number.
    pub(super) fn parse(text: &str) -> Result<Self, String> {
        if let Some(imaginary) = text.strip_suffix('i').and_then(float) {
            return Ok(Self::complex(0.0, imaginary));
        }
        let mut number = Self {
            int: int(text),
            uint: uint(text),
            ..Self::default()
        };
        if number.int == Some(0) {
            number.uint = Some(0);
        }
        number.float = number
            .int
            .map(|int| int as f64)
            .or(number.uint.map(|uint| uint as f64));
        number.float_form = text.contains(['.', 'e', 'E', 'p', 'P']) && !is_hex_int(text);
        if number.float.is_none() {
            let value = float(text).ok_or_else(|| format!("illegal number syntax: {text:?}"))?;
            if !text.contains(['.', 'e', 'E', 'p', 'P']) {
                return Err(format!("integer overflow: {text:?}"));
            }
            number.set_float(value);
        }
        Ok(number)
    }

    /// Reads a real and an imaginary part, such as `1+2i`.
    pub(super) fn parse_complex(text: &str) -> Result<Self, String> {
        let parts = text.strip_suffix('i').and_then(|text| {
            text.char_indices()
                .skip(1)
                .filter(|(_, c)| matches!(c, '+' | '-'))
                .find_map(|(at, _)| {
                    let (real, imaginary) = text.split_at(at);
                    Some((float(real)?, float(imaginary)?))
                })
        });
        let (real, imaginary) = parts.ok_or_else(|| format!("illegal number syntax: {text:?}"))?;
        Ok(Self::complex(real, imaginary))
    }

    fn complex(real: f64, imaginary: f64) -> Self {
        let mut number = Self {
            complex: Some((real, imaginary)),
            ..Self::default()
        };
        if imaginary == 0.0 {
            number.set_float(real);
        }
        number
    }

    fn set_float(&mut self, value: f64) {
        self.float = Some(value);
        let whole = value.trunc() == value;
        self.int = (whole && (-TWO_TO_63..TWO_TO_63).contains(&value)).then_some(value as i64);
        self.uint = (whole && (0.0..2.0 * TWO_TO_63).contains(&value)).then_some(value as u64);
    }

    /// The value for a parameter; `None` when the literal cannot be of its type.
    pub(super) fn for_param(&self, param: Param) -> Option<Value> {
        match param {
            Param::Any => self.ideal(),
            Param::Int => self.int.map(Value::Int),
            Param::Uint => self.uint.map(Value::Uint),
            Param::Float => self.float.map(Value::Float),
            _ => None,
        }
    }

    /// The value where no type is asked for; `None` when it overflows an int.
    pub(super) fn ideal(&self) -> Option<Value> {
        if let Some((real, imaginary)) = self.complex {
            return Some(Value::Complex(real, imaginary));
        }
        match self.float {
            Some(float) if self.float_form => Some(Value::Float(float)),
            _ => self.int.map(Value::Int),
        }
    }
}

fn is_hex_int(text: &str) -> bool {
    text.len() > 2
        && (text.starts_with("0x") || text.starts_with("0X"))
        && !text.contains(['p', 'P'])
}

fn int(text: &str) -> Option<i64> {
    let (negative, digits) = match text.strip_prefix('-') {
        Some(digits) => (true, digits),
        None => (false, text.strip_prefix('+').unwrap_or(text)),
    };
    let value = i128::from(uint(digits)?);
    i64::try_from(if negative { -value } else { value }).ok()
}

/// An unsigned integer with the prefixes and the underscores of Go.
fn uint(text: &str) -> Option<u64> {
    if !underscores_fit(text) {
        return None;
    }
    let lower = text.to_ascii_lowercase();
    let (digits, base) = match lower.as_bytes() {
        [b'0', b'x', ..] => (&lower[2..], 16),
        [b'0', b'b', ..] => (&lower[2..], 2),
        [b'0', b'o', ..] => (&lower[2..], 8),
        [b'0', _, ..] => (&lower[1..], 8),
        _ => (&lower[..], 10),
    };
    let digits = digits.replace('_', "");
    if digits.starts_with('+') {
        return None;
    }
    u64::from_str_radix(&digits, base).ok()
}

/// A float, decimal or hexadecimal; `None` when malformed or out of range.
fn float(text: &str) -> Option<f64> {
    let (negative, digits) = match text.strip_prefix('-') {
        Some(digits) => (true, digits),
        None => (false, text.strip_prefix('+').unwrap_or(text)),
    };
    if !underscores_fit(digits)
        || !digits.starts_with(|c: char| c.is_ascii_digit() || c == '.' || c == '_')
    {
        return None;
    }
    let plain = digits.replace('_', "").to_ascii_lowercase();
    let value = match plain.strip_prefix("0x") {
        Some(hex) => hex_float(hex)?,
        None => plain.parse().ok()?,
    };
    Some(if negative { -value } else { value }).filter(|value| value.is_finite())
}

/// Underscores stand between digits, or between a prefix and a digit.
fn underscores_fit(text: &str) -> bool {
    if !text.contains('_') {
        return true;
    }
    let text = text
        .strip_prefix(['+', '-'])
        .unwrap_or(text)
        .to_ascii_lowercase();
    let prefixed = ["0x", "0b", "0o"]
        .iter()
        .any(|prefix| text.starts_with(prefix));
    let hex = text.starts_with("0x");
    let mut before = if prefixed { '0' } else { '^' };
    for c in text.chars().skip(if prefixed { 2 } else { 0 }) {
        let digit = c.is_ascii_digit() || (hex && matches!(c, 'a'..='f'));
        if (c == '_' && before != '0') || (c != '_' && !digit && before == '_') {
            return false;
        }
        before = match c {
            '_' => '_',
            _ if digit => '0',
            _ => '!',
        };
    }
    before != '_'
}

/// `1.8p3` after its `0x`: the exponent is required.
fn hex_float(text: &str) -> Option<f64> {
    let (mantissa, exponent) = text.split_once('p')?;
    let (whole, fraction) = mantissa.split_once('.').unwrap_or((mantissa, ""));
    let mut exponent = exponent.parse::<i32>().ok()?.clamp(-100_000, 100_000);
    exponent -= 4 * i32::try_from(fraction.len()).ok()?;
    let mut bits = 0u64;
    let mut seen = false;
    for c in whole.chars().chain(fraction.chars()) {
        let digit = u64::from(c.to_digit(16)?);
        seen = true;
        if bits >> 58 == 0 {
            bits = bits << 4 | digit;
        } else {
            bits |= u64::from(digit != 0);
            exponent = exponent.saturating_add(4);
        }
    }
    seen.then(|| scale(bits as f64, exponent))
}

/// `value × 2^exponent`, in two steps so that neither power overflows by itself.
fn scale(value: f64, exponent: i32) -> f64 {
    let half = (exponent / 2).clamp(-1000, 1000);
    let rest = (exponent - half).clamp(-1000, 1000);
    value * 2f64.powi(half) * 2f64.powi(rest)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn check(text: &str, expected: Option<&str>) {
        let shown = Number::parse(text)
            .ok()
            .and_then(|number| number.ideal())
            .map(|value| format!("{value:?}"));
        assert_eq!(shown.as_deref(), expected, "{text}");
    }

    #[test]
    fn reads_integers_and_floats() {
        for (text, expected) in [
            ("1_000", Some("1000")),
            ("0x1F", Some("31")),
            ("0b101", Some("5")),
            ("0o17", Some("15")),
            ("07", Some("7")),
            ("08", None),
            ("-5", Some("-5")),
            ("+5", Some("5")),
            ("1e3", Some("1000")),
            (".5", Some("0.5")),
            ("1.", Some("1")),
            ("0x1p-2", Some("0.25")),
            ("0x1.8p1", Some("3")),
            ("1__0", None),
            ("1_", None),
            ("0x_1", Some("1")),
            ("9223372036854775807", Some("9223372036854775807")),
            ("9223372036854775808", None),
            ("99999999999999999999", None),
            ("1e400", None),
            ("2i", Some("(0+2i)")),
            (".", None),
        ] {
            check(text, expected);
        }
    }

    #[test]
    fn a_parameter_decides() {
        let two = Number::parse("2.0").unwrap();
        assert_eq!(two.for_param(Param::Uint), Some(Value::Uint(2)));
        assert_eq!(two.for_param(Param::Int), Some(Value::Int(2)));
        assert_eq!(two.for_param(Param::String), None);
        assert_eq!(Number::parse("2.5").unwrap().for_param(Param::Int), None);
        assert_eq!(Number::parse("-1").unwrap().for_param(Param::Uint), None);
        assert_eq!(
            Number::parse("1").unwrap().for_param(Param::Float),
            Some(Value::Float(1.0))
        );
    }
}
