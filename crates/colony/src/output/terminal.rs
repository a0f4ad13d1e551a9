//! Text for a terminal: colours may be in it, whatever else steers terminals may not.

use std::borrow::Cow;
use std::iter::Peekable;
use std::str::Chars;

use colony_core::text::is_deceptive;

/// Shown in place of a character that is not shown.
const MARK: char = '\u{fffd}';
const ESCAPE: char = '\u{1b}';
const RESET: &str = "\u{1b}[0m";

/// Names and messages of others, in one line: what could steer or deceive becomes a mark.
pub(crate) fn plain(text: &str) -> String {
    text.chars().map(harmless).collect()
}

fn harmless(character: char) -> char {
    match character {
        '\t' => '\t',
        character if is_deceptive(character) => MARK,
        character => character,
    }
}

/// A line that a task wrote. Its colours are kept when they are wanted, and end with it; moves of the
/// cursor, titles and the like are left out.
pub(crate) fn task_line(text: &str, colors: bool) -> String {
    let (mut shown, is_colored) = without_steering(text, colors);
    if is_colored {
        shown.push_str(RESET);
    }
    shown
}

/// Several lines of our own with text of others in them: line ends and colours stay.
pub(super) fn lines(text: &str) -> Cow<'_, str> {
    if !text.contains(|c| is_deceptive(c) && c != '\n' && c != '\t') {
        return Cow::Borrowed(text);
    }
    let lines = text.split('\n').map(|line| without_steering(line, true).0);
    Cow::Owned(lines.collect::<Vec<_>>().join("\n"))
}

/// The text, and whether there are colours in it.
fn without_steering(text: &str, colors: bool) -> (String, bool) {
    let mut shown = String::with_capacity(text.len());
    let mut rest = text.chars().peekable();
    let mut is_colored = false;
    while let Some(character) = rest.next() {
        if character != ESCAPE {
            shown.push(harmless(character));
        } else if let Some(sequence) = color(&mut rest)
            && colors
        {
            shown.push_str(&sequence);
            is_colored = true;
        }
    }
    (shown, is_colored)
}

/// Takes what follows an escape character, and gives it back whole when it only sets colours.
fn color(rest: &mut Peekable<Chars<'_>>) -> Option<String> {
    match rest.next()? {
        '[' => {
            let mut parameters = String::new();
            while let Some(c) = rest.next_if(|c| matches!(c, ' '..='?')) {
                parameters.push(c);
            }
            let end = rest.next_if(|c| matches!(c, '@'..='~'))?;
            let is_color = |c: char| c.is_ascii_digit() || matches!(c, ';' | ':');
            let sets_colors = end == 'm' && parameters.chars().all(is_color);
            sets_colors.then(|| format!("{ESCAPE}[{parameters}m"))
        }
        // A title, a link, or other text for the terminal itself, up to its end.
        ']' | 'P' | 'X' | '^' | '_' => {
            while let Some(c) = rest.next() {
                let ends = c == ESCAPE && rest.next_if_eq(&'\\').is_some();
                if ends || c == '\u{7}' {
                    break;
                }
            }
            None
        }
        '(' | ')' | '#' | '%' | ' ' => {
            rest.next();
            None
        }
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn foreign_text_cannot_steer_the_terminal() {
        assert_eq!(plain("a\u{1b}[31mb\tc\r"), "a\u{fffd}[31mb\tc\u{fffd}");
        assert_eq!(plain("a\nb\u{202e}c\u{9b}"), "a\u{fffd}b\u{fffd}c\u{fffd}");
    }

    #[test]
    fn of_what_tasks_write_only_colours_stay() {
        for (text, colored, uncolored) in [
            ("a\u{1b}[1;31mb", "a\u{1b}[1;31mb\u{1b}[0m", "ab"),
            ("\u{1b}[38:5:1mx", "\u{1b}[38:5:1mx\u{1b}[0m", "x"),
            ("10%\r\u{1b}[2K20%", "10%\u{fffd}20%", "10%\u{fffd}20%"),
            ("\u{1b}]0;t\u{7}x\u{1b}]8;;http://e\u{1b}\\y", "xy", "xy"),
            ("\u{1b}[?25lx\u{1b}(0y\u{1b}cz", "xyz", "xyz"),
            ("\u{1b}]never ends", "", ""),
            ("\u{1b}[31", "", ""),
            ("\u{1b}", "", ""),
            ("\u{202e}\u{9b}m", "\u{fffd}\u{fffd}m", "\u{fffd}\u{fffd}m"),
        ] {
            assert_eq!(task_line(text, true), colored, "{text:?}");
            assert_eq!(task_line(text, false), uncolored, "{text:?}");
        }
    }

    #[test]
    fn lines_of_our_own_keep_their_form() {
        let own = "a\n\tb \u{1b}[32mc\u{1b}[0m";
        assert_eq!(lines(own), own);
        assert_eq!(lines("a\u{1b}[2Jb\u{202e}\nc"), "ab\u{fffd}\nc");
    }
}
