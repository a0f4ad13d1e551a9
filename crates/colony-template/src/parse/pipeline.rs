//! Reads a pipeline. Open parentheses are a stack of half-read pipelines, not recursion.

use super::block::Parser;
use super::expression::{Command, Node, NodeId, Pipe, PipeId};
use super::literal;
use super::number::Number;
use super::token::{Token, TokenKind};
use crate::code::Index;
use crate::error::{Fault, Span};
use crate::limits::Limit;
use crate::text::Text;

/// Go's own bound on parentheses inside of each other.
const PARENS_MAX: usize = 10_000;

/// A pipeline that is being read.
struct OpenPipe {
    pipe: Pipe,
    /// The command that is being read, if one has begun.
    command: Option<Command>,
    context: &'static str,
    end: TokenKind,
    start: Span,
}

impl Parser<'_> {
    /// Reads a pipeline up to the end of the action.
    pub(super) fn pipeline(&mut self, context: &'static str) -> Result<PipeId, Fault> {
        let start = self.peek_non_space()?.span;
        let mut open = vec![self.open_pipe(context, TokenKind::RightDelim, start)?];
        while let Some(top) = open.last_mut() {
            let token = self.next_non_space()?;
            if top.command.is_some() {
                self.operand(token, &mut open)?;
            } else if token.kind == top.end {
                if let Some(pipe) = self.close_pipe(token, &mut open)? {
                    return Ok(pipe);
                }
            } else if token.kind.starts_operand() {
                top.command = Some(Command {
                    args: Vec::new(),
                    span: token.span,
                });
                self.push_back(token);
            } else {
                return Err(self.unexpected(token, top.context));
            }
        }
        Err(Fault::parse(start, "unexpected end of pipeline"))
    }

    fn open_pipe(
        &mut self,
        context: &'static str,
        end: TokenKind,
        start: Span,
    ) -> Result<OpenPipe, Fault> {
        let mut pipe = Pipe {
            span: self.peek_non_space()?.span,
            ..Pipe::default()
        };
        while self.variable_of_pipe(&mut pipe, context)? {}
        Ok(OpenPipe {
            pipe,
            command: None,
            context,
            end,
            start,
        })
    }

    /// Reads `$x :=`, `$x =`, or `$x,` of a range; true if another variable may follow.
    fn variable_of_pipe(&mut self, pipe: &mut Pipe, context: &'static str) -> Result<bool, Fault> {
        let variable = self.next_non_space()?;
        if variable.kind != TokenKind::Variable {
            self.push_back(variable);
            return Ok(false);
        }
        let after = self.next()?;
        let mark = if after.kind == TokenKind::Space {
            self.next_non_space()?
        } else {
            after
        };
        let comma = mark.kind == TokenKind::Char && mark.text(self.source) == ",";
        if !comma && !matches!(mark.kind, TokenKind::Assign | TokenKind::Declare) {
            self.push_back(mark);
            if after.kind == TokenKind::Space {
                self.push_back(after);
            }
            self.push_back(variable);
            return Ok(false);
        }
        let name = self.name(variable.text(self.source));
        pipe.variables.push((name, variable.span));
        self.declare(name);
        if !comma {
            pipe.assigns = mark.kind == TokenKind::Assign;
            return Ok(false);
        }
        if context != "range" || pipe.variables.len() > 1 {
            return Err(Fault::parse(
                variable.span,
                format!("too many declarations in {context}"),
            ));
        }
        match self.peek_non_space()?.kind {
            TokenKind::Variable | TokenKind::RightDelim | TokenKind::RightParen => Ok(true),
            _ => Err(Fault::parse(
                mark.span,
                "range can only initialize variables",
            )),
        }
    }

    /// Ends the innermost pipeline. The outermost is returned; another is an operand of its command.
    fn close_pipe(
        &mut self,
        token: Token,
        open: &mut Vec<OpenPipe>,
    ) -> Result<Option<PipeId>, Fault> {
        let Some(OpenPipe {
            mut pipe,
            context,
            start,
            ..
        }) = open.pop()
        else {
            return Ok(None);
        };
        if pipe.commands.is_empty() {
            return Err(Fault::parse(
                token.span,
                format!("missing value for {context}"),
            ));
        }
        for (index, command) in pipe.commands.iter().enumerate().skip(1) {
            if self.arena.node(command.args[0]).is_literal() {
                let message = format!("non executable command in pipeline stage {}", index + 1);
                return Err(Fault::parse(command.span, message));
            }
        }
        pipe.span = pipe
            .commands
            .iter()
            .fold(pipe.span, |span, command| span.to(command.span));
        self.arena.pipes.push(pipe);
        let id = self.arena.pipes.len() - 1;
        if open.is_empty() {
            return Ok(Some(id));
        }
        let node = self.arena.add(Node::Pipe(id), start.to(token.span));
        self.after_term(node, open)?;
        Ok(None)
    }

    /// Reads one operand of the command on top, or finds that it ends.
    fn operand(&mut self, token: Token, open: &mut Vec<OpenPipe>) -> Result<(), Fault> {
        if token.kind == TokenKind::LeftParen {
            if open.len() > PARENS_MAX.min(self.nesting_left()) {
                let message = "max expression depth exceeded";
                return Err(Fault::limit(token.span, Limit::Nesting, message));
            }
            let inner =
                self.open_pipe("parenthesized pipeline", TokenKind::RightParen, token.span)?;
            open.push(inner);
            return Ok(());
        }
        match self.term(token)? {
            Some(node) => {
                let node = self.arena.add(node, token.span);
                self.after_term(node, open)
            }
            None => {
                self.push_back(token);
                self.after_operand(open)
            }
        }
    }

    /// Reads a term that is one token; `None` if it is no term.
    fn term(&mut self, token: Token) -> Result<Option<Node>, Fault> {
        let text = token.text(self.source);
        let fault = |message: String| Fault::parse(token.span, message);
        Ok(Some(match token.kind {
            TokenKind::Identifier => {
                self.check_function(text, token.span)?;
                Node::Function(self.name(text))
            }
            TokenKind::Dot => Node::Dot,
            TokenKind::Nil => Node::Nil,
            TokenKind::Bool => Node::Bool(text == "true"),
            TokenKind::Variable => {
                let name = self.name(text);
                self.check_variable(name, token)?;
                Node::Variable(name, Vec::new())
            }
            TokenKind::Field => Node::Field(vec![self.name(&text[1..])]),
            TokenKind::Number => Node::Number(Number::parse(text).map_err(fault)?),
            TokenKind::Complex => Node::Number(Number::parse_complex(text).map_err(fault)?),
            TokenKind::CharConstant => {
                Node::Number(Number::character(literal::character(text).map_err(fault)?))
            }
            TokenKind::String | TokenKind::RawString => {
                let bytes = literal::unquote(text).map_err(|message| fault(message.to_owned()))?;
                Node::String(Text::from(bytes))
            }
            _ => return Ok(None),
        }))
    }

    /// Takes the fields that follow a term, and adds the operand to its command.
    fn after_term(&mut self, term: NodeId, open: &mut [OpenPipe]) -> Result<(), Fault> {
        let mut fields = Vec::new();
        let mut span = self.arena.span(term);
        let mut token = self.next()?;
        while token.kind == TokenKind::Field {
            fields.push(self.name(&token.text(self.source)[1..]));
            span = span.to(token.span);
            token = self.next()?;
        }
        self.push_back(token);
        let node = if fields.is_empty() {
            term
        } else {
            self.chain(term, fields, span)?
        };
        if let Some(command) = open.last_mut().and_then(|top| top.command.as_mut()) {
            command.args.push(node);
            command.span = command.span.to(span);
        }
        self.after_operand(open)
    }

    /// Adds fields to a term: to its own fields if it has any, else as a chain around it.
    fn chain(&mut self, term: NodeId, fields: Vec<Index>, span: Span) -> Result<NodeId, Fault> {
        match &mut self.arena.nodes[term].0 {
            Node::Field(names) => names.extend(fields),
            Node::Variable(_, names) => *names = fields,
            node if node.is_literal() => {
                let text = &self.source[self.arena.span(term).range()];
                return Err(Fault::parse(
                    span,
                    format!("unexpected . after term {text:?}"),
                ));
            }
            _ => return Ok(self.arena.add(Node::Chain(term, fields), span)),
        }
        self.arena.nodes[term].1 = span;
        Ok(term)
    }

    /// What follows an operand: a blank and another one, or the end of the command.
    fn after_operand(&mut self, open: &mut [OpenPipe]) -> Result<(), Fault> {
        let token = self.next()?;
        match token.kind {
            TokenKind::Space => return Ok(()),
            TokenKind::RightDelim | TokenKind::RightParen => self.push_back(token),
            TokenKind::Pipe => {}
            _ => return Err(self.unexpected(token, "operand")),
        }
        let Some(top) = open.last_mut() else {
            return Ok(());
        };
        let command = top
            .command
            .take()
            .filter(|command| !command.args.is_empty());
        top.pipe
            .commands
            .push(command.ok_or_else(|| Fault::parse(token.span, "empty command"))?);
        Ok(())
    }
}
