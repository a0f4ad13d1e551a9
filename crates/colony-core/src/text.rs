//! Text of others made safe to show: names, paths and messages cannot forge lines or steer terminals.

use std::borrow::Cow;
use std::fmt::Write as _;

/// Whether a character may change how what is around it is read: control characters, line ends of
/// any kind, marks that turn the direction of text, and marks that nobody sees.
pub fn is_deceptive(character: char) -> bool {
    character.is_control()
        || matches!(
            character,
            '\u{061c}'
                | '\u{200b}'
                | '\u{200e}'
                | '\u{200f}'
                | '\u{2028}'..='\u{202e}'
                | '\u{2060}'..='\u{206f}'
                | '\u{feff}'
                | '\u{fff9}'..='\u{fffb}'
                | '\u{e0000}'..='\u{e007f}'
        )
}

/// The text in one line, with deceptive characters as escapes: `\n`, `\t`, `\u{1b}`.
pub fn escape(text: &str) -> Cow<'_, str> {
    if !text.contains(is_deceptive) {
        return Cow::Borrowed(text);
    }
    let mut escaped = String::with_capacity(text.len() + 16);
    for character in text.chars() {
        match character {
            '\n' => escaped.push_str("\\n"),
            '\r' => escaped.push_str("\\r"),
            '\t' => escaped.push_str("\\t"),
            character if is_deceptive(character) => {
                // Writing to a String cannot fail.
                let _ = write!(escaped, "\\u{{{:x}}}", u32::from(character));
            }
            character => escaped.push(character),
        }
    }
    Cow::Owned(escaped)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn escapes_are_seen_and_in_one_line() {
        for (text, expected) in [
            ("plain — ünï 👩‍👩‍👧 नी", "plain — ünï 👩‍👩‍👧 नी"),
            ("a\nb\r\tc", "a\\nb\\r\\tc"),
            (
                "\u{1b}[31m\u{7f}\u{9b}\0",
                "\\u{1b}[31m\\u{7f}\\u{9b}\\u{0}",
            ),
            (
                "a\u{202e}b\u{2066}\u{200f}\u{feff}",
                "a\\u{202e}b\\u{2066}\\u{200f}\\u{feff}",
            ),
            ("\u{2028}\u{85}\u{e0041}", "\\u{2028}\\u{85}\\u{e0041}"),
        ] {
            assert_eq!(escape(text), expected);
        }
    }
}
