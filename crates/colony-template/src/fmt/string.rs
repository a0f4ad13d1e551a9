//! Strings: `%s %q %x %X` and `%v`.

use std::borrow::Cow;

use super::{Printer, quote};
use crate::unicode;
use crate::value::Value;

impl Printer<'_> {
    pub(super) fn string(&mut self, value: &Value, bytes: &[u8], verb: char) {
        match verb {
            'v' if self.flags.sharp_v => self.string_quoted(bytes),
            'v' | 's' => self.string_plain(bytes),
            'x' | 'X' => self.string_hex(bytes, verb == 'X'),
            'q' => self.string_quoted(bytes),
            _ => self.bad_verb(value, verb),
        }
    }

    pub(super) fn string_plain(&mut self, bytes: &[u8]) {
        let cut = self.cut(bytes);
        self.pad(cut);
    }

    fn string_quoted(&mut self, bytes: &[u8]) {
        let bytes = self.cut(bytes);
        if self.flags.sharp && quote::fits_backquotes(bytes) {
            return self.pad(&[b"`", bytes, b"`"].concat());
        }
        let text = quote::string(bytes, self.flags.plus);
        self.pad(&text);
    }

    /// The first characters, as many as the precision says.
    fn cut<'b>(&self, bytes: &'b [u8]) -> &'b [u8] {
        let Some(count) = self.flags.precision else {
            return bytes;
        };
        let mut end = 0;
        for _ in 0..count {
            if end >= bytes.len() {
                break;
            }
            end += unicode::decode(&bytes[end..]).1;
        }
        &bytes[..end]
    }

    fn string_hex(&mut self, bytes: &[u8], upper: bool) {
        let count = self.flags.precision.unwrap_or(usize::MAX).min(bytes.len());
        if count == 0 {
            return self.fill(self.flags.width.unwrap_or(0));
        }
        let prefix: &[u8] = match (self.flags.sharp, upper) {
            (false, _) => b"",
            (true, false) => b"0x",
            (true, true) => b"0X",
        };
        let mut text = Cow::Borrowed(prefix);
        for (index, byte) in bytes[..count].iter().enumerate() {
            let text = text.to_mut();
            if self.flags.space && index > 0 {
                text.push(b' ');
                text.extend_from_slice(prefix);
            }
            text.extend_from_slice(&quote::hex_pair(*byte, upper));
        }
        self.pad(&text);
    }
}
