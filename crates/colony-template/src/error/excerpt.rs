//! The source line of an error, with a mark under the place.

use super::Error;

/// How many characters of a line are shown.
const WIDTH_MAX: usize = 100;

/// How many characters before the place are kept when a line is cut.
const BEFORE_MAX: usize = 40;

pub(super) fn excerpt(error: &Error, source: &str) -> String {
    let line = source
        .split('\n')
        .nth(error.line() - 1)
        .unwrap_or("")
        .trim_end_matches('\r');
    let skipped = if line.chars().count() <= WIDTH_MAX {
        0
    } else {
        (error.column() - 1).saturating_sub(BEFORE_MAX)
    };
    let shown: String = line
        .chars()
        .skip(skipped)
        .take(WIDTH_MAX)
        .map(plain)
        .collect();
    let column = error.column() - 1 - skipped;
    let marked = source.get(error.span()).unwrap_or("");
    let marks = marked.split('\n').next().unwrap_or("").chars().count();
    let marks = marks
        .min(shown.chars().count().saturating_sub(column))
        .max(1);
    let number = error.line().to_string();
    let margin = " ".repeat(number.len());
    format!(
        "{error}\n{margin} |\n{number} | {shown}\n{margin} | {}{}\n",
        " ".repeat(column.min(WIDTH_MAX)),
        "^".repeat(marks),
    )
}

/// A character that takes one place and cannot steer a terminal.
fn plain(c: char) -> char {
    match c {
        '\t' => ' ',
        c if c.is_control() => '\u{fffd}',
        c => c,
    }
}
