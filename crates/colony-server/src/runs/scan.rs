//! Where values begin and end in JSON that was checked before.

use std::ops::Range;

/// A place in a text that is known to be JSON. In anything else it finds nonsense, and an end.
pub(super) struct Scan<'t> {
    text: &'t [u8],
    at: usize,
}

impl<'t> Scan<'t> {
    pub(super) fn new(text: &'t [u8]) -> Self {
        Self::at_place(text, 0)
    }

    /// At a place where a value begins.
    pub(super) fn at_place(text: &'t [u8], at: usize) -> Self {
        Self { text, at }
    }

    pub(super) fn at(&self) -> usize {
        self.at
    }

    /// Calls `take` at each item of the array or object that begins here. It has to go past the
    /// item.
    pub(super) fn each(&mut self, take: impl FnMut(&mut Self)) {
        self.space();
        self.at += 1;
        self.members(take);
    }

    /// The same behind the opening bracket.
    pub(super) fn members(&mut self, mut take: impl FnMut(&mut Self)) {
        loop {
            self.space();
            match self.peek() {
                None | Some(b']' | b'}') => return,
                Some(b',') => self.at += 1,
                Some(_) => take(self),
            }
        }
    }

    /// Goes past a value.
    pub(super) fn value(&mut self) -> Range<usize> {
        self.space();
        let start = self.at;
        match self.peek() {
            Some(b'"') => self.string(),
            Some(b'[' | b'{') => self.nested(),
            Some(_) | None => self.word(),
        }
        start..self.at
    }

    /// Goes past the colon and the value of a member whose name it is behind.
    pub(super) fn member(&mut self) -> Range<usize> {
        self.space();
        self.at += 1;
        self.value()
    }

    fn peek(&self) -> Option<u8> {
        self.text.get(self.at).copied()
    }

    fn space(&mut self) {
        while let Some(b' ' | b'\t' | b'\n' | b'\r') = self.peek() {
            self.at += 1;
        }
    }

    fn string(&mut self) {
        self.at += 1;
        while let Some(byte) = self.peek() {
            self.at += match byte {
                b'\\' => 2,
                _ => 1,
            };
            if byte == b'"' {
                return;
            }
        }
        self.at = self.text.len();
    }

    fn nested(&mut self) {
        let mut depth = 0_usize;
        while let Some(byte) = self.peek() {
            match byte {
                b'"' => {
                    self.string();
                    continue;
                }
                b'[' | b'{' => depth += 1,
                b']' | b'}' => depth = depth.saturating_sub(1),
                _ => {}
            }
            self.at += 1;
            if depth == 0 {
                return;
            }
        }
    }

    /// A number or a word.
    fn word(&mut self) {
        let start = self.at;
        while let Some(byte) = self.peek()
            && !matches!(
                byte,
                b',' | b']' | b'}' | b':' | b' ' | b'\t' | b'\n' | b'\r'
            )
        {
            self.at += 1;
        }
        // Whatever it is, it is passed.
        if self.at == start && self.at < self.text.len() {
            self.at += 1;
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn items(text: &str) -> Vec<&str> {
        let mut items = Vec::new();
        let mut scan = Scan::new(text.as_bytes());
        scan.each(|scan| items.push(scan.value()));
        items.into_iter().map(|range| &text[range]).collect()
    }

    #[test]
    fn items_are_found_where_they_begin_and_end() {
        for (text, expected) in [
            ("[]", vec![]),
            (" [ ] ", vec![]),
            ("[1]", vec!["1"]),
            ("[ -1.5e3 , true,null]", vec!["-1.5e3", "true", "null"]),
            (
                r#"["a,b","\"]","\\",""]"#,
                vec![r#""a,b""#, r#""\"]""#, r#""\\""#, r#""""#],
            ),
            (
                r#"[[1,[2]],{"a":"}"} ,[]]"#,
                vec!["[1,[2]]", r#"{"a":"}"}"#, "[]"],
            ),
        ] {
            assert_eq!(items(text), expected, "{text}");
        }
    }

    #[test]
    fn what_is_no_json_ends_too() {
        for text in [
            "", "[", "[1", "[\"", "[\"\\", "[[", "x", "[:", "[}", "[1 2 :",
        ] {
            items(text);
        }
    }
}
