//! Cuts a stream of bytes into lines, and lines that do not end into pieces.

use crate::redact::Redactor;

/// A line longer than this is handed on in pieces.
const LINE_MAX: usize = 64 << 10;

/// A line, or a piece of a long one.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Line {
    /// Without the end of the line.
    pub(super) bytes: Vec<u8>,
    /// Whether this is how the line begins.
    pub(super) begins: bool,
    /// Whether this is how the line ends.
    pub(super) ends: bool,
    /// Whether there was a newline.
    pub(super) newline: bool,
}

/// What came since the last newline.
#[derive(Debug, Default)]
pub(super) struct Lines {
    bytes: Vec<u8>,
    /// How much of `bytes` was handed on.
    taken: usize,
    /// How much of `bytes` is known to hold no newline.
    searched: usize,
    /// Whether pieces of the current line were handed on.
    inside: bool,
}

impl Lines {
    pub(super) fn push(&mut self, bytes: &[u8]) {
        if self.taken > 0 {
            self.bytes.drain(..self.taken);
            self.searched -= self.taken;
            self.taken = 0;
        }
        self.bytes.extend_from_slice(bytes);
    }

    /// The next line that is whole, or piece of a line that is too long to wait for its end.
    pub(super) fn next(&mut self, redactor: &Redactor) -> Option<Line> {
        let unsearched = self.bytes.get(self.searched..)?;
        if let Some(at) = memchr::memchr(b'\n', unsearched) {
            let end = self.searched + at;
            let line = self.take(end, true, true);
            self.taken = end + 1;
            self.searched = self.taken;
            return Some(line);
        }
        self.searched = self.bytes.len();
        let rest = self.bytes.get(self.taken..)?;
        // Longer by more than a secret has, or there would be no place to cut.
        if rest.len() <= LINE_MAX {
            return None;
        }
        let cut = char_start(rest, redactor.safe_cut(rest));
        (cut > 0).then(|| self.take(self.taken + cut, false, false))
    }

    /// What is left when no more comes.
    pub(super) fn finish(&mut self) -> Option<Line> {
        let line = (self.taken < self.bytes.len() || self.inside)
            .then(|| self.take(self.bytes.len(), true, false));
        *self = Self::default();
        line
    }

    fn take(&mut self, end: usize, ends: bool, newline: bool) -> Line {
        let mut bytes = self.bytes.get(self.taken..end).unwrap_or(&[]).to_vec();
        if newline && bytes.last() == Some(&b'\r') {
            bytes.pop();
        }
        self.taken = end;
        Line {
            bytes,
            begins: !std::mem::replace(&mut self.inside, !ends),
            ends,
            newline,
        }
    }
}

/// The start of the character that a cut at `at` would split, if it would.
fn char_start(bytes: &[u8], at: usize) -> usize {
    let is_inside = |at: usize| bytes.get(at).is_some_and(|byte| byte & 0xC0 == 0x80);
    let back = (0..4).find(|back| *back <= at && !is_inside(at - back));
    // Bytes that are no UTF-8 are cut anywhere.
    match back {
        Some(back) if at > back && at < bytes.len() => at - back,
        Some(_) | None => at,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn all(pushes: &[&[u8]]) -> Vec<(String, bool, bool)> {
        let redactor = Redactor::default();
        let mut lines = Lines::default();
        let mut found = Vec::new();
        for push in pushes {
            lines.push(push);
            found.extend(std::iter::from_fn(|| lines.next(&redactor)));
        }
        found.extend(lines.finish());
        let text = |line: Line| String::from_utf8(line.bytes).unwrap();
        found
            .into_iter()
            .map(|line| (line.ends, line.newline, text(line)))
            .map(|(ends, newline, text)| (text, ends, newline))
            .collect()
    }

    #[test]
    fn lines_are_whole_however_they_arrive() {
        let expected = [("a", true), ("", true), ("b", true), ("c", false)]
            .map(|(text, newline)| (text.to_owned(), true, newline));
        assert_eq!(all(&[b"a\n\nb\r\nc"]), expected);
        assert_eq!(all(&[b"a", b"\n", b"\nb\r", b"\n", b"c"]), expected);
        assert_eq!(all(&[b""]), []);
        assert_eq!(all(&[b"\n"]), [(String::new(), true, true)]);
    }

    #[test]
    fn a_long_line_comes_in_pieces_of_whole_characters() {
        let long = "ä".repeat(LINE_MAX);
        let (first, rest) = long.as_bytes().split_at(LINE_MAX + 1);
        let pieces = all(&[first, rest, b"\nnext\n"]);
        let joined: String = pieces.iter().map(|piece| piece.0.as_str()).collect();
        assert_eq!(joined, format!("{long}next"));
        assert!(pieces.len() > 2);
        let ends: Vec<bool> = pieces.iter().map(|piece| piece.1).collect();
        assert_eq!(ends.iter().filter(|ends| **ends).count(), 2);
    }
}
