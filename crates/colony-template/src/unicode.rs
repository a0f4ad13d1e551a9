//! Characters as Go sees them: decoding of bytes, letters, digits, and what is printable.

use unicode_properties::{GeneralCategory as Category, UnicodeGeneralCategory};

/// The first character of some bytes and its width; `None` when the first byte starts no character.
#[inline]
pub(crate) fn decode(bytes: &[u8]) -> (Option<char>, usize) {
    match bytes.first() {
        None => (None, 0),
        Some(&byte) if byte < 0x80 => (Some(char::from(byte)), 1),
        Some(_) => decode_wide(bytes),
    }
}

fn decode_wide(bytes: &[u8]) -> (Option<char>, usize) {
    let head = &bytes[..bytes.len().min(4)];
    let valid = match std::str::from_utf8(head) {
        Ok(text) => text,
        Err(error) => std::str::from_utf8(&head[..error.valid_up_to()]).unwrap_or(""),
    };
    valid
        .chars()
        .next()
        .map_or((None, 1), |c| (Some(c), c.len_utf8()))
}

/// The number of characters; each byte outside of a character counts as one.
pub(crate) fn count(bytes: &[u8]) -> usize {
    if bytes.is_ascii() {
        return bytes.len();
    }
    bytes
        .utf8_chunks()
        .map(|chunk| chunk.valid().chars().count() + chunk.invalid().len())
        .sum()
}

/// Whether a character may be part of a name: a letter, a digit, or an underscore.
pub(crate) fn is_alphanumeric(c: char) -> bool {
    if c.is_ascii() {
        return c == '_' || c.is_ascii_alphanumeric();
    }
    is_letter(c) || c.general_category() == Category::DecimalNumber
}

/// Whether a character is a letter, as Go's `unicode.IsLetter`.
pub(crate) fn is_letter(c: char) -> bool {
    matches!(
        c.general_category(),
        Category::UppercaseLetter
            | Category::LowercaseLetter
            | Category::TitlecaseLetter
            | Category::ModifierLetter
            | Category::OtherLetter
    )
}

/// Whether a character is shown as it is in a quoted string, as Go's `strconv.IsPrint`.
pub(crate) fn is_print(c: char) -> bool {
    if c.is_ascii() {
        return (' '..='~').contains(&c);
    }
    !matches!(
        c.general_category(),
        Category::Control
            | Category::Format
            | Category::Surrogate
            | Category::PrivateUse
            | Category::Unassigned
            | Category::SpaceSeparator
            | Category::LineSeparator
            | Category::ParagraphSeparator
    )
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn decodes_one_character_or_one_bad_byte() {
        assert_eq!(decode(b""), (None, 0));
        assert_eq!(decode(b"ab"), (Some('a'), 1));
        assert_eq!(decode("é!".as_bytes()), (Some('é'), 2));
        assert_eq!(decode(b"\xc3"), (None, 1));
        assert_eq!(decode(b"\xffa"), (None, 1));
    }

    #[test]
    fn counts_bad_bytes_one_by_one() {
        assert_eq!(count(b"a\xe2\x82z"), 4);
        assert_eq!(count("héé".as_bytes()), 3);
    }
}
