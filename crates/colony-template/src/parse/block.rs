//! The parser: reads text and actions, keeps the open blocks on a stack, and writes code as it goes.

use super::expression::{Arena, PipeId};
use super::lexer::Lexer;
use super::literal;
use super::references::references;
use super::token::{Token, TokenKind};
use super::writer::Writer;
use crate::analysis::RawReference;
use crate::builtins::Builtin;
use crate::code::{Chunk, DOLLAR, Index, Op, Program, RangeSite};
use crate::error::{Error, Fault, Span};
use crate::functions::Functions;
use crate::limits::{Limit, Limits};

mod control;

/// Parses a source into code, and lists what it refers to.
pub(crate) fn parse(
    name: &str,
    source: &str,
    functions: &Functions,
    limits: &Limits,
) -> Result<(Program, Vec<RawReference>), Error> {
    let located = |fault: Fault| fault.locate(name, source, None);
    let source_max = limits.source_bytes.min(u32::MAX as usize);
    if source.len() > source_max {
        let message = format!("the source is longer than {source_max} bytes");
        return Err(located(Fault::limit(
            Span::default(),
            Limit::SourceBytes,
            message,
        )));
    }
    let mut parser = Parser::new(name, source, functions, limits);
    parser.run().map_err(located)?;
    let references = std::mem::take(&mut parser.references);
    let mut program = parser.writer.program;
    program.name = name.to_owned();
    program.source = source.to_owned();
    Ok((program, references))
}

/// A block whose `{{end}}` is not reached.
struct Open {
    kind: Block,
    span: Span,
    /// Where its `Enter` is.
    enter: usize,
    /// How many variables there were before it.
    variables: usize,
    has_else: bool,
    /// Jumps to the end of the block.
    to_end: Vec<usize>,
    /// The jump that is taken when the condition is not true.
    to_else: Option<usize>,
}

enum Block {
    If,
    With,
    /// A loop; where its turns begin, and its number.
    Range {
        next: usize,
        site: usize,
    },
    /// `define`, or the body of `block`: a template of its own, and what to return to.
    Body {
        outer: Box<Outer>,
    },
}

/// The template around a body.
struct Outer {
    chunk: Chunk,
    variables: Variables,
    loops: usize,
    context: &'static str,
    in_main: bool,
    dots_moved: usize,
}

/// Reads one source.
pub(super) struct Parser<'s> {
    pub(super) source: &'s str,
    pub(super) arena: Arena,
    pub(super) functions: &'s Functions,
    pub(super) references: Vec<RawReference>,
    lexer: Lexer<'s>,
    /// Tokens that were read and given back, the next one last.
    given_back: Vec<Token>,
    variables: Variables,
    writer: Writer,
    open: Vec<Open>,
    loops: usize,
    nesting_max: usize,
    /// Whether this is the main template, where `$` is the data.
    in_main: bool,
    /// How many open blocks have changed the dot.
    dots_moved: usize,
}

impl<'s> Parser<'s> {
    fn new(name: &str, source: &'s str, functions: &'s Functions, limits: &Limits) -> Self {
        let loop_words = (
            functions.get("break").is_none(),
            functions.get("continue").is_none(),
        );
        Self {
            source,
            arena: Arena::default(),
            functions,
            references: Vec::new(),
            lexer: Lexer::new(source, loop_words),
            given_back: Vec::new(),
            variables: Variables::default(),
            writer: Writer::new(name),
            open: Vec::new(),
            loops: 0,
            nesting_max: limits.nesting,
            in_main: true,
            dots_moved: 0,
        }
    }

    fn run(&mut self) -> Result<(), Fault> {
        loop {
            let token = self.next_non_space()?;
            match token.kind {
                TokenKind::Eof => break,
                TokenKind::Text => self.text(token),
                TokenKind::LeftDelim => self.action()?,
                _ => return Err(self.unexpected(token, "input")),
            }
        }
        if let Some(open) = self.open.last() {
            return Err(Fault::parse(
                open.span,
                "unexpected EOF: no {{end}} for this block",
            ));
        }
        self.writer
            .finish_chunk(Chunk::default())
            .map_err(|message| Fault::parse(Span::default(), message))
    }

    fn text(&mut self, token: Token) {
        self.writer.text(self.source, token.span);
    }

    // Tokens.

    pub(super) fn next(&mut self) -> Result<Token, Fault> {
        match self.given_back.pop() {
            Some(token) => Ok(token),
            None => self.lexer.next(),
        }
    }

    pub(super) fn push_back(&mut self, token: Token) {
        self.given_back.push(token);
    }

    pub(super) fn next_non_space(&mut self) -> Result<Token, Fault> {
        loop {
            let token = self.next()?;
            if token.kind != TokenKind::Space {
                return Ok(token);
            }
        }
    }

    pub(super) fn peek_non_space(&mut self) -> Result<Token, Fault> {
        let token = self.next_non_space()?;
        self.push_back(token);
        Ok(token)
    }

    fn expect(&mut self, kind: TokenKind, context: &str) -> Result<Token, Fault> {
        let token = self.next_non_space()?;
        if token.kind == kind {
            Ok(token)
        } else {
            Err(self.unexpected(token, context))
        }
    }

    pub(super) fn unexpected(&self, token: Token, context: &str) -> Fault {
        Fault::parse(
            token.span,
            format!("unexpected {} in {context}", token.describe(self.source)),
        )
    }

    // Names.

    /// The number of a name.
    pub(super) fn name(&mut self, name: &str) -> Index {
        self.writer.name(name.as_bytes())
    }

    pub(super) fn declare(&mut self, name: Index) {
        self.variables.declare(name);
    }

    pub(super) fn check_variable(&self, name: Index, token: Token) -> Result<(), Fault> {
        if self.variables.has(name) {
            return Ok(());
        }
        let text = token.text(self.source);
        Err(Fault::parse(
            token.span,
            format!("undefined variable {text:?}"),
        ))
    }

    pub(super) fn check_function(&self, name: &str, span: Span) -> Result<(), Fault> {
        if self.functions.get(name).is_some() || Builtin::named(name).is_some() {
            return Ok(());
        }
        Err(Fault::parse(span, format!("function {name:?} not defined")))
    }

    /// How many more blocks or parentheses may be opened here.
    pub(super) fn nesting_left(&self) -> usize {
        self.nesting_max.saturating_sub(self.open.len())
    }

    /// Writes the code of a pipeline that was just read, and notes what it refers to.
    fn emit(&mut self, pipe: PipeId) {
        let rooted = self.in_main && self.dots_moved == 0;
        let found = references(
            &self.arena,
            &self.writer.program.names,
            self.in_main,
            rooted,
        );
        self.references.extend(found);
        self.writer.pipe(&self.arena, pipe, self.functions);
        self.arena.nodes.clear();
        self.arena.pipes.clear();
    }
}

impl Open {
    /// Whether the dot inside may be another than outside.
    fn changes_dot(&self) -> bool {
        match self.kind {
            Block::If => false,
            Block::With | Block::Range { .. } => !self.has_else,
            Block::Body { .. } => false,
        }
    }
}

/// The variables that may be named at a place, the innermost last. `$` always may.
#[derive(Default)]
struct Variables {
    stack: Vec<Index>,
    /// How often each name is on the stack.
    counts: Vec<u32>,
}

impl Variables {
    fn declare(&mut self, name: Index) {
        let slot = name as usize;
        if self.counts.len() <= slot {
            self.counts.resize(slot + 1, 0);
        }
        self.counts[slot] += 1;
        self.stack.push(name);
    }

    fn has(&self, name: Index) -> bool {
        name == DOLLAR
            || self
                .counts
                .get(name as usize)
                .is_some_and(|count| *count > 0)
    }

    fn len(&self) -> usize {
        self.stack.len()
    }

    fn truncate(&mut self, len: usize) {
        for name in self.stack.drain(len..) {
            self.counts[name as usize] -= 1;
        }
    }
}
