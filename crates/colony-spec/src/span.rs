//! Places in a source text: byte ranges, lines and columns.

use serde::Serialize;

/// A half-open range of bytes of the source text.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize)]
pub struct Span {
    /// First byte.
    pub start: usize,
    /// One past the last byte.
    pub end: usize,
}

impl Span {
    /// The range from `start` to `end`.
    pub const fn new(start: usize, end: usize) -> Self {
        Self { start, end }
    }

    /// The text of this range; empty when the range is not inside `source`.
    pub fn slice(self, source: &str) -> &str {
        source.get(self.start..self.end).unwrap_or("")
    }
}

/// Line and column of a byte, both counted from 1; columns count characters.
pub(crate) fn line_and_column(source: &str, offset: usize) -> (usize, usize) {
    let before = before(source, offset);
    let line = before.matches('\n').count() + 1;
    let line_start = before.rfind('\n').map_or(0, |newline| newline + 1);
    (line, before[line_start..].chars().count() + 1)
}

/// The line that holds a byte, without its line break.
pub(crate) fn line_at(source: &str, offset: usize) -> &str {
    let start = before(source, offset).rfind('\n').map_or(0, |at| at + 1);
    source[start..].lines().next().unwrap_or("")
}

/// The source up to `offset`, moved back to a character boundary when needed.
fn before(source: &str, offset: usize) -> &str {
    let mut offset = offset.min(source.len());
    while !source.is_char_boundary(offset) {
        offset -= 1;
    }
    &source[..offset]
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn lines_and_columns_count_from_one_in_characters() {
        let source = "añb\ncd\n";
        for (offset, expected) in [(0, (1, 1)), (3, (1, 3)), (5, (2, 1)), (99, (3, 1))] {
            assert_eq!(line_and_column(source, offset), expected, "at {offset}");
        }
        assert_eq!(line_at(source, 6), "cd");
        assert_eq!(line_at(source, 8), "");
    }
}
