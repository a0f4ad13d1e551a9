//! Go string and character literals from bytes, as `strconv.Quote` writes them.

use crate::unicode;

/// A double-quoted literal; with `ascii` everything beyond ASCII is escaped.
pub(crate) fn string(bytes: &[u8], ascii: bool) -> Vec<u8> {
    let mut out = Vec::with_capacity(bytes.len() + 2);
    out.push(b'"');
    let mut rest = bytes;
    while !rest.is_empty() {
        let (c, width) = unicode::decode(rest);
        match c {
            Some(c) => escaped(&mut out, c, '"', ascii),
            None => {
                out.extend_from_slice(b"\\x");
                out.extend_from_slice(&hex_pair(rest[0], false));
            }
        }
        rest = &rest[width..];
    }
    out.push(b'"');
    out
}

/// A single-quoted literal.
pub(super) fn character(c: char, ascii: bool) -> Vec<u8> {
    let mut out = vec![b'\''];
    escaped(&mut out, c, '\'', ascii);
    out.push(b'\'');
    out
}

fn escaped(out: &mut Vec<u8>, c: char, quote: char, ascii: bool) {
    if c == quote || c == '\\' {
        out.push(b'\\');
        out.extend_from_slice(c.encode_utf8(&mut [0; 4]).as_bytes());
        return;
    }
    if unicode::is_print(c) && (c.is_ascii() || !ascii) {
        out.extend_from_slice(c.encode_utf8(&mut [0; 4]).as_bytes());
        return;
    }
    let text = match c {
        '\x07' => r"\a".to_owned(),
        '\x08' => r"\b".to_owned(),
        '\x0c' => r"\f".to_owned(),
        '\n' => r"\n".to_owned(),
        '\r' => r"\r".to_owned(),
        '\t' => r"\t".to_owned(),
        '\x0b' => r"\v".to_owned(),
        c if c < ' ' || c == '\x7f' => format!(r"\x{:02x}", c as u32),
        c if (c as u32) < 0x10000 => format!(r"\u{:04x}", c as u32),
        c => format!(r"\U{:08x}", c as u32),
    };
    out.extend_from_slice(text.as_bytes());
}

/// Whether the bytes can stand between backquotes as they are.
pub(super) fn fits_backquotes(bytes: &[u8]) -> bool {
    let fits = |c| c == '\t' || !matches!(c, '\0'..' ' | '`' | '\x7f' | '\u{feff}');
    std::str::from_utf8(bytes).is_ok_and(|text| text.chars().all(fits))
}

/// Two hexadecimal digits.
pub(crate) fn hex_pair(byte: u8, upper: bool) -> [u8; 2] {
    let alphabet: &[u8; 16] = if upper {
        b"0123456789ABCDEF"
    } else {
        b"0123456789abcdef"
    };
    [
        alphabet[usize::from(byte >> 4)],
        alphabet[usize::from(byte & 15)],
    ]
}
