//! Floats and complex numbers: `%e %E %f %F %g %G %b %x %X` and `%v`.

use super::Printer;

/// No `f64` has more decimals than this; what is asked beyond is zeros.
const DECIMALS_MAX: usize = 1100;

impl Printer<'_> {
    pub(super) fn float(&mut self, value: f64, verb: char) {
        if !value.is_finite() {
            return self.not_finite(value);
        }
        let precision = self.flags.precision.or(match verb {
            'e' | 'E' | 'f' | 'F' => Some(6),
            _ => None,
        });
        let (verb, upper) = match verb {
            'v' => ('g', false),
            'F' => ('f', false),
            'E' | 'G' | 'X' => (verb.to_ascii_lowercase(), true),
            _ => (verb, false),
        };
        let mut text = unsigned_text(value.abs(), verb, precision);
        if self.flags.sharp && verb != 'b' {
            text = with_point(&text, verb, upper, precision);
        }
        if upper {
            text.make_ascii_uppercase();
        }
        self.signed(value.is_sign_negative(), &text);
    }

    pub(super) fn complex(&mut self, real: f64, imaginary: f64, verb: char) {
        self.out.push(b"(");
        self.float(real, verb);
        let plus = std::mem::replace(&mut self.flags.plus, true);
        self.float(imaginary, verb);
        self.flags.plus = plus;
        self.out.push(b"i)");
    }

    fn signed(&mut self, negative: bool, digits: &str) {
        let sign = match (negative, self.flags.plus, self.flags.space) {
            (true, _, _) => "-",
            (false, true, _) => "+",
            (false, false, true) => " ",
            (false, false, false) => "",
        };
        let len = sign.len() + digits.len();
        match self.flags.width {
            Some(width)
                if !sign.is_empty() && self.flags.zero && !self.flags.minus && width > len =>
            {
                self.out.push(sign.as_bytes());
                self.fill(width - len);
                self.out.push(digits.as_bytes());
            }
            None => {
                self.out.push(sign.as_bytes());
                self.out.push(digits.as_bytes());
            }
            Some(_) => self.pad(format!("{sign}{digits}").as_bytes()),
        }
    }

    fn not_finite(&mut self, value: f64) {
        let text = match (
            value.is_nan(),
            value < 0.0,
            self.flags.plus,
            self.flags.space,
        ) {
            (false, true, _, _) => "-Inf",
            (false, false, true, _) => "+Inf",
            (false, false, false, true) => " Inf",
            (false, false, false, false) => "+Inf",
            (true, _, true, _) => "+NaN",
            (true, _, false, true) => " NaN",
            (true, _, false, false) => "NaN",
        };
        self.pad_blank(text.as_bytes());
    }
}

/// The digits of a number, and where its decimal point is: `0.DIGITS × 10^point`.
struct Decimal {
    digits: String,
    point: i32,
}

impl Decimal {
    /// Reads Rust's `{:e}` form.
    fn new(text: &str) -> Self {
        let (mantissa, exponent) = text.split_once('e').unwrap_or((text, "0"));
        let digits: String = mantissa.chars().filter(char::is_ascii_digit).collect();
        let digits = digits.trim_end_matches('0').to_owned();
        let point = if digits.is_empty() {
            0
        } else {
            exponent.parse::<i32>().unwrap_or(0) + 1
        };
        Self { digits, point }
    }

    fn exponent(&self) -> i32 {
        if self.digits.is_empty() {
            0
        } else {
            self.point - 1
        }
    }
}

/// A positive number under a lower-case verb.
fn unsigned_text(value: f64, verb: char, precision: Option<usize>) -> String {
    match (verb, precision) {
        ('e', Some(precision)) => {
            let decimals = precision.min(DECIMALS_MAX);
            scientific(&Decimal::new(&format!("{value:.decimals$e}")), precision)
        }
        ('f', Some(precision)) => {
            let decimals = precision.min(DECIMALS_MAX);
            let mut text = format!("{value:.decimals$}");
            text.extend(std::iter::repeat_n('0', precision - decimals));
            text
        }
        ('b', _) => binary(value),
        ('x', _) => hexadecimal(value, precision),
        _ => general(value, precision),
    }
}

/// `%g`: the shortest form that reads back, or as many digits as the precision says.
fn general(value: f64, precision: Option<usize>) -> String {
    let (decimal, exponent_max) = match precision {
        None => (Decimal::new(&format!("{value:e}")), 6),
        Some(precision) => {
            let digits = precision.max(1);
            let decimals = (digits - 1).min(DECIMALS_MAX);
            (Decimal::new(&format!("{value:.decimals$e}")), digits as i32)
        }
    };
    if decimal.exponent() < -4 || decimal.exponent() >= exponent_max {
        return scientific(&decimal, decimal.digits.len().saturating_sub(1));
    }
    positional(&decimal)
}

/// `d.ddde±dd` with as many decimals as the precision says.
fn scientific(decimal: &Decimal, precision: usize) -> String {
    let mut digits = decimal.digits.chars();
    let mut text = String::from(digits.next().unwrap_or('0'));
    if precision > 0 {
        text.push('.');
        text.extend(digits.chain(std::iter::repeat('0')).take(precision));
    }
    let exponent = decimal.exponent();
    let sign = if exponent < 0 { '-' } else { '+' };
    text.push_str(&format!("e{sign}{:02}", exponent.abs()));
    text
}

/// All digits, with the point where it belongs and no more zeros than needed.
fn positional(decimal: &Decimal) -> String {
    let mut text = String::new();
    let whole = usize::try_from(decimal.point).unwrap_or(0);
    let (before, after) = decimal.digits.split_at(whole.min(decimal.digits.len()));
    text.push_str(if before.is_empty() { "0" } else { before });
    if !before.is_empty() {
        text.extend(std::iter::repeat_n('0', whole - before.len()));
    }
    if !after.is_empty() {
        text.push('.');
        text.extend(std::iter::repeat_n(
            '0',
            usize::try_from(-decimal.point).unwrap_or(0),
        ));
        text.push_str(after);
    }
    text
}

/// The 53 bits of the mantissa and the exponent of its lowest bit.
fn mantissa_of(value: f64) -> (u64, i32) {
    let bits = value.to_bits();
    let fraction = bits & ((1 << 52) - 1);
    match ((bits >> 52) & 0x7ff) as i32 {
        0 => (fraction, -1074),
        exponent => (fraction | (1 << 52), exponent - 1075),
    }
}

fn binary(value: f64) -> String {
    let (mantissa, exponent) = mantissa_of(value);
    format!("{mantissa}p{exponent:+}")
}

fn hexadecimal(value: f64, precision: Option<usize>) -> String {
    let (mantissa, lowest) = mantissa_of(value);
    let (mut mantissa, mut exponent) = (mantissa << 8, lowest + 52);
    if mantissa == 0 {
        exponent = 0;
    } else {
        let shift = mantissa.leading_zeros() - 3;
        mantissa <<= shift;
        exponent -= shift as i32;
    }
    if let Some(precision) = precision.filter(|precision| *precision < 15) {
        mantissa = rounded(mantissa, precision);
        if mantissa & (1 << 61) != 0 {
            mantissa >>= 1;
            exponent += 1;
        }
    }
    let fraction = format!("{:015x}", mantissa & ((1 << 60) - 1));
    let fraction = match precision {
        None => fraction.trim_end_matches('0').to_owned(),
        Some(precision) => fraction
            .chars()
            .chain(std::iter::repeat('0'))
            .take(precision)
            .collect(),
    };
    let point = if fraction.is_empty() { "" } else { "." };
    let sign = if exponent < 0 { '-' } else { '+' };
    format!(
        "0x{}{point}{fraction}p{sign}{:02}",
        mantissa >> 60,
        exponent.abs()
    )
}

/// Rounds a mantissa whose leading digit is bit 60 to some hexadecimal digits, ties to even.
fn rounded(mantissa: u64, precision: usize) -> u64 {
    let shift = 60 - 4 * precision as u32;
    let dropped = mantissa & ((1 << shift) - 1);
    let half = 1u64 << (shift - 1);
    let kept = mantissa >> shift;
    let up = dropped > half || (dropped == half && kept & 1 == 1);
    (kept + u64::from(up)) << shift
}

/// The flag `#`: always a point, and the trailing zeros that `%g` would drop.
fn with_point(text: &str, verb: char, upper: bool, precision: Option<usize>) -> String {
    let tail_at = match verb {
        'x' => text.find('p'),
        _ => text.find('e'),
    };
    let (number, tail) = text.split_at(tail_at.unwrap_or(text.len()));
    let mut missing = match verb {
        'g' => precision.unwrap_or(6) as i64,
        'x' if !upper => precision.map_or(6, |precision| precision as i64),
        _ => 0,
    };
    let significant = number
        .chars()
        .filter(|c| *c != '.')
        .skip_while(|c| *c == '0')
        .count();
    missing -= significant as i64;
    let mut number = number.to_owned();
    if !number.contains('.') {
        missing -= i64::from(number == "0");
        number.push('.');
    }
    number.extend(std::iter::repeat_n(
        '0',
        usize::try_from(missing).unwrap_or(0),
    ));
    number + tail
}
