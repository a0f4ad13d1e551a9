//! Integers: `%d %b %o %O %x %X %c %q %U`.

use super::{Printer, quote};
use crate::unicode;
use crate::value::Value;

/// An integer on its way to be printed: its 64 bits, and whether they carry a sign.
#[derive(Clone, Copy)]
pub(super) struct Integer {
    bits: u64,
    signed: bool,
}

impl Integer {
    pub(super) fn signed(value: i64) -> Self {
        Self {
            bits: value as u64,
            signed: true,
        }
    }

    pub(super) fn unsigned(bits: u64) -> Self {
        Self {
            bits,
            signed: false,
        }
    }

    fn is_negative(self) -> bool {
        self.signed && (self.bits as i64) < 0
    }

    fn magnitude(self) -> u64 {
        if self.is_negative() {
            self.bits.wrapping_neg()
        } else {
            self.bits
        }
    }

    /// The character with this number; U+FFFD when there is none.
    fn character(self) -> char {
        u32::try_from(self.bits)
            .ok()
            .and_then(char::from_u32)
            .unwrap_or(char::REPLACEMENT_CHARACTER)
    }
}

impl Printer<'_> {
    pub(super) fn integer(&mut self, value: &Value, number: Integer, verb: char) {
        match verb {
            'v' if self.flags.sharp_v && !number.signed => self.hex_word(number.bits, true),
            'v' | 'd' => self.digits(number, 10, verb),
            'b' => self.digits(number, 2, verb),
            'o' | 'O' => self.digits(number, 8, verb),
            'x' | 'X' => self.digits(number, 16, verb),
            'c' => self.pad(number.character().encode_utf8(&mut [0; 4]).as_bytes()),
            'q' => {
                let text = quote::character(number.character(), self.flags.plus);
                self.pad(&text);
            }
            'U' => self.code_point(number),
            _ => self.bad_verb(value, verb),
        }
    }

    /// A number in hexadecimal, with `0x` or without, whatever the flag `#` says.
    pub(super) fn hex_word(&mut self, bits: u64, prefix: bool) {
        let sharp = std::mem::replace(&mut self.flags.sharp, prefix);
        self.digits(Integer::unsigned(bits), 16, 'v');
        self.flags.sharp = sharp;
    }

    fn digits(&mut self, number: Integer, base: u64, verb: char) {
        if self.flags.width.is_none()
            && self.flags.precision.is_none()
            && base == 10
            && !self.flags.plus
        {
            return self.plain_decimal(number);
        }
        if self.flags.precision == Some(0) && number.bits == 0 {
            let zero = std::mem::take(&mut self.flags.zero);
            self.fill(self.flags.width.unwrap_or(0));
            self.flags.zero = zero;
            return;
        }
        let digits = digits_of(number.magnitude(), base, verb == 'X');
        let zeros = self.digits_min(number).saturating_sub(digits.len());
        let mut text = self.sign_of(number).to_vec();
        text.extend_from_slice(self.prefix(base, verb, zeros > 0 || digits[0] == b'0'));
        text.resize(text.len() + zeros, b'0');
        text.extend_from_slice(&digits);
        self.pad_blank(&text);
    }

    /// The common case: no width, no precision, base ten.
    fn plain_decimal(&mut self, number: Integer) {
        self.out.push(self.sign_of(number));
        self.out.push(&digits_of(number.magnitude(), 10, false));
    }

    /// How many digits the precision, or the width under the flag `0`, asks for.
    fn digits_min(&self, number: Integer) -> usize {
        match (self.flags.precision, self.flags.width) {
            (Some(precision), _) => precision,
            (None, Some(width)) if self.flags.zero && !self.flags.minus => {
                let sign = number.is_negative() || self.flags.plus || self.flags.space;
                width - usize::from(sign && width > 0)
            }
            _ => 0,
        }
    }

    fn sign_of(&self, number: Integer) -> &'static [u8] {
        match (number.is_negative(), self.flags.plus, self.flags.space) {
            (true, _, _) => b"-",
            (false, true, _) => b"+",
            (false, false, true) => b" ",
            (false, false, false) => b"",
        }
    }

    fn prefix(&self, base: u64, verb: char, leads_with_zero: bool) -> &'static [u8] {
        match (base, verb) {
            (8, 'O') if self.flags.sharp && !leads_with_zero => b"0o0",
            (8, 'O') => b"0o",
            _ if !self.flags.sharp => b"",
            (2, _) => b"0b",
            (8, _) if !leads_with_zero => b"0",
            (16, 'X') => b"0X",
            (16, _) => b"0x",
            _ => b"",
        }
    }

    /// `U+0041`, and with the flag `#` also the character.
    fn code_point(&mut self, number: Integer) {
        let digits_min = self.flags.precision.unwrap_or(0).max(4);
        let digits = digits_of(number.bits, 16, true);
        let mut text = b"U+".to_vec();
        text.resize(text.len() + digits_min.saturating_sub(digits.len()), b'0');
        text.extend_from_slice(&digits);
        let shown = u32::try_from(number.bits)
            .ok()
            .and_then(char::from_u32)
            .filter(|c| unicode::is_print(*c));
        if let Some(c) = shown.filter(|_| self.flags.sharp) {
            text.extend_from_slice(format!(" '{c}'").as_bytes());
        }
        self.pad_blank(&text);
    }
}

/// The digits of a number, in a buffer that holds 64 of them.
struct Digits {
    buffer: [u8; 64],
    start: usize,
}

impl std::ops::Deref for Digits {
    type Target = [u8];

    fn deref(&self) -> &[u8] {
        &self.buffer[self.start..]
    }
}

fn digits_of(mut number: u64, base: u64, upper: bool) -> Digits {
    let alphabet: &[u8; 16] = if upper {
        b"0123456789ABCDEF"
    } else {
        b"0123456789abcdef"
    };
    let mut digits = Digits {
        buffer: [b'0'; 64],
        start: 64,
    };
    loop {
        digits.start -= 1;
        digits.buffer[digits.start] = alphabet[(number % base) as usize];
        number /= base;
        if number == 0 {
            return digits;
        }
    }
}
