//! The directives of `printf`: flags, argument indexes, width, precision, verb.

use super::{Flags, Printer, Sink};
use crate::unicode;
use crate::value::Value;

/// Go takes no width or precision beyond this.
const NUMBER_MAX: i128 = 1_000_000;

/// Writes `format` with its directives replaced by `values`.
pub(crate) fn printf(out: &mut Sink, format: &[u8], values: &[Value]) {
    let mut formatter = Formatter {
        printer: Printer::new(out),
        format,
        at: 0,
        values,
        next: 0,
        reordered: false,
        index_good: true,
        after_index: false,
    };
    formatter.run();
}

struct Formatter<'a, 'o> {
    printer: Printer<'o>,
    format: &'a [u8],
    at: usize,
    values: &'a [Value],
    /// The next value to print.
    next: usize,
    /// Whether any argument index was given; then left-over values are no error.
    reordered: bool,
    /// Whether the indexes of this directive were good.
    index_good: bool,
    /// Whether an index came directly before.
    after_index: bool,
}

impl Formatter<'_, '_> {
    fn run(&mut self) {
        while self.at < self.format.len() && !self.printer.out.is_full() {
            self.literal();
            if self.at < self.format.len() {
                self.at += 1;
                self.directive();
            }
        }
        self.extra();
    }

    fn peek(&self) -> Option<u8> {
        self.format.get(self.at).copied()
    }

    fn literal(&mut self) {
        let rest = &self.format[self.at..];
        let len = rest
            .iter()
            .position(|byte| *byte == b'%')
            .unwrap_or(rest.len());
        self.printer.out.push(&rest[..len]);
        self.at += len;
    }

    fn directive(&mut self) {
        self.printer.flags = Flags::default();
        self.index_good = true;
        self.after_index = false;
        self.flags();
        self.argument_index();
        self.width();
        self.precision();
        if !self.after_index {
            self.argument_index();
        }
        if self.at >= self.format.len() {
            return self.printer.out.push(b"%!(NOVERB)");
        }
        let (verb, width) = unicode::decode(&self.format[self.at..]);
        self.at += width;
        self.verb(verb.unwrap_or(char::REPLACEMENT_CHARACTER));
    }

    fn flags(&mut self) {
        let flags = &mut self.printer.flags;
        while let Some(byte) = self.format.get(self.at) {
            match byte {
                b'#' => flags.sharp = true,
                b'0' => flags.zero = true,
                b'+' => flags.plus = true,
                b'-' => flags.minus = true,
                b' ' => flags.space = true,
                _ => return,
            }
            self.at += 1;
        }
    }

    /// `[3]`: takes the third value next.
    fn argument_index(&mut self) {
        self.after_index = false;
        if self.peek() != Some(b'[') {
            return;
        }
        self.reordered = true;
        let rest = &self.format[self.at..];
        let Some(close) = rest
            .iter()
            .position(|byte| *byte == b']')
            .filter(|_| rest.len() >= 3)
        else {
            self.index_good = false;
            self.at += 1;
            return;
        };
        let index = number_in(&rest[1..close]);
        self.at += close + 1;
        self.after_index = index.is_some();
        match index
            .and_then(|index| index.checked_sub(1))
            .filter(|index| *index < self.values.len())
        {
            Some(index) => self.next = index,
            None => self.index_good = false,
        }
    }

    fn width(&mut self) {
        if self.peek() == Some(b'*') {
            self.at += 1;
            match self.number_from_value() {
                None => self.printer.out.push(b"%!(BADWIDTH)"),
                Some(width) => {
                    let flags = &mut self.printer.flags;
                    flags.width = Some(width.unsigned_abs() as usize);
                    flags.minus |= width < 0;
                    flags.zero &= width >= 0;
                }
            }
            self.after_index = false;
        } else {
            self.printer.flags.width = self.number();
            self.index_good &= !(self.after_index && self.printer.flags.width.is_some());
        }
    }

    fn precision(&mut self) {
        if self.peek() != Some(b'.') || self.at + 1 >= self.format.len() {
            return;
        }
        self.at += 1;
        self.index_good &= !self.after_index;
        self.argument_index();
        if self.peek() == Some(b'*') {
            self.at += 1;
            let number = self.number_from_value();
            self.printer.flags.precision = number.and_then(|number| usize::try_from(number).ok());
            if self.printer.flags.precision.is_none() {
                self.printer.out.push(b"%!(BADPREC)");
            }
            self.after_index = false;
        } else {
            self.printer.flags.precision = Some(self.number().unwrap_or(0));
        }
    }

    /// A decimal number in the format; one that is too large swallows the rest, as in Go.
    fn number(&mut self) -> Option<usize> {
        let start = self.at;
        let mut number = 0i128;
        while let Some(digit) = self.peek().filter(u8::is_ascii_digit) {
            if number > NUMBER_MAX {
                self.at = self.format.len();
                return None;
            }
            number = number * 10 + i128::from(digit - b'0');
            self.at += 1;
        }
        usize::try_from(number).ok().filter(|_| self.at > start)
    }

    /// The value for a `*`.
    fn number_from_value(&mut self) -> Option<i64> {
        let number = self.values.get(self.next)?.integer();
        self.next += 1;
        number
            .filter(|number| (-NUMBER_MAX..=NUMBER_MAX).contains(number))
            .map(|number| number as i64)
    }

    fn verb(&mut self, verb: char) {
        if verb == '%' {
            return self.printer.out.push(b"%");
        }
        if !self.index_good {
            return self.complain(verb, b"(BADINDEX)");
        }
        let Some(value) = self.values.get(self.next) else {
            return self.complain(verb, b"(MISSING)");
        };
        if matches!(verb, 'v' | 'w') {
            let flags = &mut self.printer.flags;
            flags.sharp_v = std::mem::take(&mut flags.sharp);
            flags.plus = false;
        }
        self.printer.value(value, verb);
        self.next += 1;
    }

    fn complain(&mut self, verb: char, what: &[u8]) {
        self.printer.out.push(b"%!");
        self.printer.out.push_char(verb);
        self.printer.out.push(what);
    }

    /// `%!(EXTRA int=1)`: values that no directive took.
    fn extra(&mut self) {
        if self.reordered || self.next >= self.values.len() {
            return;
        }
        self.printer.flags = Flags::default();
        self.printer.out.push(b"%!(EXTRA ");
        for (index, value) in self.values[self.next..].iter().enumerate() {
            if index > 0 {
                self.printer.out.push(b", ");
            }
            self.printer.with_type(value);
        }
        self.printer.out.push(b")");
    }
}

/// The number that makes up all of some bytes.
fn number_in(bytes: &[u8]) -> Option<usize> {
    let digits = std::str::from_utf8(bytes)
        .ok()
        .filter(|text| text.bytes().all(|byte| byte.is_ascii_digit()))?;
    digits
        .parse()
        .ok()
        .filter(|number: &usize| *number as i128 <= NUMBER_MAX * 10 + 9)
}
