//! Texts of others: what names may hold, and how they are shown so that they forge no lines and
//! steer no terminals.

use std::borrow::Cow;
use std::error::Error;
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

/// The same text without the character NUL, which cannot be stored everywhere.
pub fn storable(text: String) -> String {
    match text.contains('\0') {
        true => text.replace('\0', "\u{fffd}"),
        false => text,
    }
}

/// The first control character of a name. Names go into environments, paths, logs and tables,
/// where such a character changes what people and programs see.
pub fn control_in_name(name: &str) -> Option<char> {
    name.chars().find(|letter| letter.is_control())
}

/// The first control character of a text that may have several lines.
pub fn control_in_text(text: &str) -> Option<char> {
    let may_be = |letter: &char| matches!(letter, '\n' | '\r' | '\t');
    text.chars()
        .find(|letter| letter.is_control() && !may_be(letter))
}

/// How a control character is written in messages, such as `U+0000`.
pub fn code_point(letter: char) -> String {
    format!("U+{:04X}", u32::from(letter))
}

/// An error with its causes, in one line. A cause that its effect has told already is left out.
pub fn with_causes(error: &dyn Error) -> String {
    let mut text = error.to_string();
    let mut cause = error.source();
    while let Some(error) = cause {
        let more = error.to_string();
        if !text.ends_with(&more) {
            text.push_str(": ");
            text.push_str(&more);
        }
        cause = error.source();
    }
    text
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

    #[test]
    fn control_characters_are_found() {
        for (text, in_name, in_text) in [
            ("plain-name_1.ö", None, None),
            ("", None, None),
            ("two\nlines\tand more\r\n", Some('\n'), None),
            ("a\0b", Some('\0'), Some('\0')),
            ("esc\u{1b}[31m", Some('\u{1b}'), Some('\u{1b}')),
            ("del\u{7f}", Some('\u{7f}'), Some('\u{7f}')),
            ("next\u{85}", Some('\u{85}'), Some('\u{85}')),
        ] {
            assert_eq!(control_in_name(text), in_name, "{text:?}");
            assert_eq!(control_in_text(text), in_text, "{text:?}");
        }
        assert_eq!(code_point('\0'), "U+0000");
        assert_eq!(storable("a\0".to_owned()), "a\u{fffd}");
    }

    #[derive(Debug, thiserror::Error)]
    #[error("{text}")]
    struct Told {
        text: &'static str,
        #[source]
        cause: Option<Box<Told>>,
    }

    #[test]
    fn causes_are_told_once() {
        let told = |text, cause: Option<Told>| Told {
            text,
            cause: cause.map(Box::new),
        };
        let disk = told("disk full", None);
        let error = told("failed to write", Some(told("write", Some(disk))));
        assert_eq!(with_causes(&error), "failed to write: disk full");
    }
}
