//! What texts of users may hold.

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

#[cfg(test)]
mod tests {
    use super::*;

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
}
