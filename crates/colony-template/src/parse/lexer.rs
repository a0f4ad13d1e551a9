//! The lexer: cuts the source into tokens, on demand, and trims the text around `{{-` and `-}}`.

use super::token::{Token, TokenKind};
use crate::error::{Fault, Span};
use crate::unicode;

const LEFT: &str = "{{";
const RIGHT: &str = "}}";
const SPACES: [char; 4] = [' ', '\t', '\r', '\n'];

/// `-` and the blank that must stand with it.
const TRIM_LEN: usize = 2;

pub(super) struct Lexer<'s> {
    source: &'s str,
    at: usize,
    inside_action: bool,
    open_parens: usize,
    /// Whether `break` and `continue` are keywords, and not functions of the host.
    loop_words: (bool, bool),
}

impl<'s> Lexer<'s> {
    pub(super) fn new(source: &'s str, loop_words: (bool, bool)) -> Self {
        Self {
            source,
            at: 0,
            inside_action: false,
            open_parens: 0,
            loop_words,
        }
    }

    pub(super) fn next(&mut self) -> Result<Token, Fault> {
        if self.inside_action {
            self.action()
        } else {
            self.text()
        }
    }

    fn rest(&self) -> &'s str {
        &self.source[self.at..]
    }

    fn peek(&self) -> Option<char> {
        self.rest().chars().next()
    }

    fn take_while(&mut self, accept: impl Fn(char) -> bool) {
        let rest = self.rest();
        self.at += rest.find(|c| !accept(c)).unwrap_or(rest.len());
    }

    fn take_any(&mut self, accept: &str) -> bool {
        let found = self.peek().filter(|c| accept.contains(*c));
        self.at += found.map_or(0, char::len_utf8);
        found.is_some()
    }

    fn token(&self, kind: TokenKind, start: usize) -> Token {
        Token {
            kind,
            span: Span::new(start, self.at),
        }
    }

    fn fault(&self, start: usize, message: impl Into<String>) -> Fault {
        Fault::parse(Span::new(start, self.at.max(start)), message)
    }

    /// Text up to the next action; comments are skipped.
    fn text(&mut self) -> Result<Token, Fault> {
        loop {
            let start = self.at;
            let Some(found) = self.rest().find(LEFT) else {
                self.at = self.source.len();
                let kind = if start < self.at {
                    TokenKind::Text
                } else {
                    TokenKind::Eof
                };
                return Ok(self.token(kind, start));
            };
            let delim = start + found;
            let trim = starts_trim(&self.source[delim + LEFT.len()..]);
            let mut text = &self.source[start..delim];
            if trim {
                text = text.trim_end_matches(SPACES);
            }
            self.at = delim;
            if !text.is_empty() {
                return Ok(Token {
                    kind: TokenKind::Text,
                    span: Span::new(start, start + text.len()),
                });
            }
            self.at += LEFT.len() + if trim { TRIM_LEN } else { 0 };
            if !self.rest().starts_with("/*") {
                self.inside_action = true;
                self.open_parens = 0;
                return Ok(Token {
                    kind: TokenKind::LeftDelim,
                    span: Span::new(delim, delim + LEFT.len()),
                });
            }
            self.comment()?;
        }
    }

    fn comment(&mut self) -> Result<(), Fault> {
        let start = self.at;
        let Some(len) = self.rest()[2..].find("*/") else {
            return Err(self.fault(start, "unclosed comment"));
        };
        self.at += 2 + len + 2;
        match self.right_delim() {
            Some(trim) => self.pass_right_delim(trim),
            None => return Err(self.fault(start, "comment ends before closing delimiter")),
        }
        Ok(())
    }

    /// Whether the action ends here, and whether with a trim marker.
    fn right_delim(&self) -> Option<bool> {
        let rest = self.rest();
        if ends_trim(rest) && rest[TRIM_LEN..].starts_with(RIGHT) {
            return Some(true);
        }
        rest.starts_with(RIGHT).then_some(false)
    }

    fn pass_right_delim(&mut self, trim: bool) {
        if trim {
            self.at += TRIM_LEN + RIGHT.len();
            self.take_while(|c| SPACES.contains(&c));
        } else {
            self.at += RIGHT.len();
        }
    }

    fn end_action(&mut self, trim: bool) -> Token {
        let start = self.at + if trim { TRIM_LEN } else { 0 };
        self.pass_right_delim(trim);
        self.inside_action = false;
        Token {
            kind: TokenKind::RightDelim,
            span: Span::new(start, start + RIGHT.len()),
        }
    }

    fn action(&mut self) -> Result<Token, Fault> {
        let start = self.at;
        if let Some(trim) = self.right_delim() {
            if self.open_parens > 0 {
                return Err(self.fault(start, "unclosed left paren"));
            }
            return Ok(self.end_action(trim));
        }
        let Some(c) = self.peek() else {
            return Err(self.fault(start, "unclosed action"));
        };
        if SPACES.contains(&c) {
            return Ok(self.space());
        }
        if matches!(c, '+' | '-' | '0'..='9') || (c == '.' && self.number_follows()) {
            return self.number();
        }
        if unicode::is_alphanumeric(c) {
            return self.identifier();
        }
        self.at += c.len_utf8();
        self.mark(c, start)
    }

    /// A `.` starts a number before a digit, and at the very end, where Go reads one too.
    fn number_follows(&self) -> bool {
        self.rest()[1..]
            .bytes()
            .next()
            .is_none_or(|byte| byte.is_ascii_digit())
    }

    /// A token that its first character tells; that character is passed already.
    fn mark(&mut self, c: char, start: usize) -> Result<Token, Fault> {
        let kind = match c {
            '=' => TokenKind::Assign,
            ':' if self.take_any("=") => TokenKind::Declare,
            ':' => return Err(self.fault(start, "expected :=")),
            '|' => TokenKind::Pipe,
            '"' => return self.quoted('"', TokenKind::String, start, "unterminated quoted string"),
            '\'' => {
                return self.quoted(
                    '\'',
                    TokenKind::CharConstant,
                    start,
                    "unterminated character constant",
                );
            }
            '`' => return self.raw_string(start),
            '$' => return self.name(TokenKind::Variable, TokenKind::Variable, start),
            '.' => return self.name(TokenKind::Field, TokenKind::Dot, start),
            '(' => {
                self.open_parens += 1;
                TokenKind::LeftParen
            }
            ')' if self.open_parens == 0 => return Err(self.fault(start, "unexpected right paren")),
            ')' => {
                self.open_parens -= 1;
                TokenKind::RightParen
            }
            ' '..='~' => TokenKind::Char,
            _ => {
                let code = c as u32;
                return Err(self.fault(
                    start,
                    format!("unrecognized character in action: U+{code:04X} {c:?}"),
                ));
            }
        };
        Ok(self.token(kind, start))
    }

    /// Blanks, but not the one that belongs to ` -}}`.
    fn space(&mut self) -> Token {
        let start = self.at;
        self.take_while(|c| SPACES.contains(&c));
        self.at -= 1;
        if self.right_delim() == Some(true) {
            if self.at == start {
                return self.end_action(true);
            }
        } else {
            self.at += 1;
        }
        self.token(TokenKind::Space, start)
    }

    /// Whether a name may end here.
    fn at_terminator(&self) -> bool {
        match self.peek() {
            None | Some('.' | ',' | '|' | ':' | ')' | '(') => true,
            Some(c) => SPACES.contains(&c) || self.rest().starts_with(RIGHT),
        }
    }

    fn check_terminator(&self, start: usize) -> Result<(), Fault> {
        if self.at_terminator() {
            return Ok(());
        }
        let c = self.peek().unwrap_or('\0');
        Err(self.fault(start, format!("bad character U+{:04X} {c:?}", c as u32)))
    }

    /// `.name` or `$name`; `alone` when nothing follows the mark.
    fn name(&mut self, named: TokenKind, alone: TokenKind, start: usize) -> Result<Token, Fault> {
        if self.at_terminator() {
            return Ok(self.token(alone, start));
        }
        self.take_while(unicode::is_alphanumeric);
        self.check_terminator(start)?;
        Ok(self.token(named, start))
    }

    fn identifier(&mut self) -> Result<Token, Fault> {
        let start = self.at;
        self.take_while(unicode::is_alphanumeric);
        self.check_terminator(start)?;
        let word = &self.source[start..self.at];
        let kind = match TokenKind::keyword(word) {
            Some(TokenKind::Break) if !self.loop_words.0 => TokenKind::Identifier,
            Some(TokenKind::Continue) if !self.loop_words.1 => TokenKind::Identifier,
            Some(keyword) => keyword,
            None if word == "true" || word == "false" => TokenKind::Bool,
            None => TokenKind::Identifier,
        };
        Ok(self.token(kind, start))
    }

    fn quoted(
        &mut self,
        quote: char,
        kind: TokenKind,
        start: usize,
        fault: &str,
    ) -> Result<Token, Fault> {
        let mut escaped = false;
        for (offset, c) in self.rest().char_indices() {
            match c {
                '\n' => break,
                _ if escaped => escaped = false,
                '\\' => escaped = true,
                c if c == quote => {
                    self.at += offset + 1;
                    return Ok(self.token(kind, start));
                }
                _ => {}
            }
        }
        Err(self.fault(start, fault))
    }

    fn raw_string(&mut self, start: usize) -> Result<Token, Fault> {
        let Some(len) = self.rest().find('`') else {
            return Err(self.fault(start, "unterminated raw quoted string"));
        };
        self.at += len + 1;
        Ok(self.token(TokenKind::RawString, start))
    }

    /// A number, or two that make a complex one. Whether it is well formed is for the parser to say.
    fn number(&mut self) -> Result<Token, Fault> {
        let start = self.at;
        let mut kind = TokenKind::Number;
        let mut good = self.scan_number();
        if good && matches!(self.peek(), Some('+' | '-')) {
            kind = TokenKind::Complex;
            good = self.scan_number() && self.source[..self.at].ends_with('i');
        }
        if !good {
            return Err(self.fault(
                start,
                format!("bad number syntax: {:?}", &self.source[start..self.at]),
            ));
        }
        Ok(self.token(kind, start))
    }

    fn scan_number(&mut self) -> bool {
        self.take_any("+-");
        let mut digits = "0123456789_";
        if self.take_any("0") {
            if self.take_any("xX") {
                digits = "0123456789abcdefABCDEF_";
            } else if self.take_any("oO") {
                digits = "01234567_";
            } else if self.take_any("bB") {
                digits = "01_";
            }
        }
        self.take_while(|c| digits.contains(c));
        if self.take_any(".") {
            self.take_while(|c| digits.contains(c));
        }
        let exponent = match digits.len() {
            11 => "eE",
            23 => "pP",
            _ => "",
        };
        if self.take_any(exponent) {
            self.take_any("+-");
            self.take_while(|c| c.is_ascii_digit() || c == '_');
        }
        self.take_any("i");
        match self.peek().filter(|c| unicode::is_alphanumeric(*c)) {
            Some(c) => {
                self.at += c.len_utf8();
                false
            }
            None => true,
        }
    }
}

/// Whether an action that starts here trims the text before it.
fn starts_trim(rest: &str) -> bool {
    matches!(rest.as_bytes(), [b'-', b' ' | b'\t' | b'\r' | b'\n', ..])
}

/// Whether ` -` stands here.
fn ends_trim(rest: &str) -> bool {
    matches!(rest.as_bytes(), [b' ' | b'\t' | b'\r' | b'\n', b'-', ..])
}
