//! The actions: `if`, `with`, `range`, `else`, `end`, `break`, `continue`, `define`, `template`, `block`.

use super::{
    Block, Fault, Index, Limit, Op, Open, Outer, Parser, PipeId, RangeSite, RawReference, Span,
    Token, TokenKind, literal,
};
use crate::analysis::ReferenceKind;

impl Parser<'_> {
    /// Reads one action; its left delimiter is past.
    pub(super) fn action(&mut self) -> Result<(), Fault> {
        let token = self.next_non_space()?;
        match token.kind {
            TokenKind::If => self.open_if(token.span),
            TokenKind::With => self.open_with(token.span),
            TokenKind::Range => self.open_range(token.span),
            TokenKind::Else => self.reach_else(token.span),
            TokenKind::End => self.end(token.span),
            TokenKind::Break => self.leave_turn(token, Op::Break, "break"),
            TokenKind::Continue => self.leave_turn(token, Op::Continue, "continue"),
            TokenKind::Define if self.open.is_empty() => self.define(token.span),
            TokenKind::Template => self.template(),
            TokenKind::Block => self.block(token.span),
            _ => {
                self.push_back(token);
                self.plain_action()
            }
        }
    }

    fn plain_action(&mut self) -> Result<(), Fault> {
        let pipe = self.pipeline("command")?;
        let (prints, span) = (
            self.arena.pipes[pipe].variables.is_empty(),
            self.arena.pipes[pipe].span,
        );
        self.emit(pipe);
        self.writer
            .op(if prints { Op::Print } else { Op::Drop }, span);
        Ok(())
    }

    fn open(
        &mut self,
        kind: Block,
        span: Span,
        (enter, variables): (usize, usize),
        to_else: Option<usize>,
    ) {
        let open = Open {
            kind,
            span,
            enter,
            variables,
            has_else: false,
            to_end: Vec::new(),
            to_else,
        };
        self.dots_moved += usize::from(open.changes_dot());
        self.open.push(open);
    }

    fn check_nesting(&self, span: Span) -> Result<(), Fault> {
        if self.nesting_left() > 0 {
            return Ok(());
        }
        let message = format!("more than {} blocks inside of each other", self.nesting_max);
        Err(Fault::limit(span, Limit::Nesting, message))
    }

    /// Begins a scope: where its code begins, and how many variables there are.
    fn enter(&mut self, span: Span) -> (usize, usize) {
        (self.writer.op(Op::Enter, span), self.variables.len())
    }

    fn open_if(&mut self, span: Span) -> Result<(), Fault> {
        self.check_nesting(span)?;
        let scope = self.enter(span);
        let jump = self.condition("if", Op::JumpUnless(0))?;
        self.open(Block::If, span, scope, Some(jump));
        Ok(())
    }

    fn open_with(&mut self, span: Span) -> Result<(), Fault> {
        self.check_nesting(span)?;
        let scope = self.enter(span);
        let jump = self.condition("with", Op::WithOrJump(0))?;
        self.open(Block::With, span, scope, Some(jump));
        Ok(())
    }

    /// The pipeline of `if` or `with`, and the jump that depends on it.
    fn condition(&mut self, context: &'static str, jump: Op) -> Result<usize, Fault> {
        let pipe = self.pipeline(context)?;
        let span = self.arena.pipes[pipe].span;
        self.emit(pipe);
        Ok(self.writer.op(jump, span))
    }

    fn open_range(&mut self, span: Span) -> Result<(), Fault> {
        self.check_nesting(span)?;
        let scope = self.enter(span);
        let pipe = self.pipeline("range")?;
        let site = self.range_site(pipe);
        let pipe_span = self.arena.pipes[pipe].span;
        self.emit(pipe);
        self.writer.op(Op::RangeStart(site as Index), pipe_span);
        let next = self.writer.op(Op::RangeNext, pipe_span);
        self.loops += 1;
        self.open(Block::Range { next, site }, span, scope, None);
        Ok(())
    }

    fn range_site(&mut self, pipe: PipeId) -> usize {
        let pipe = &self.arena.pipes[pipe];
        let variables = pipe.variables.iter().map(|(name, _)| *name).collect();
        let assigns = pipe.assigns;
        let ranges = &mut self.writer.program.ranges;
        ranges.push(RangeSite {
            variables,
            assigns,
            otherwise: 0,
            exit: 0,
        });
        ranges.len() - 1
    }

    fn reach_else(&mut self, span: Span) -> Result<(), Fault> {
        let after = self.next_non_space()?;
        let Some(open) = self.open.last_mut() else {
            return Err(Fault::parse(span, "unexpected {{else}}"));
        };
        match (&open.kind, after.kind) {
            (Block::Body { outer }, _) => {
                let message = format!("unexpected {{{{else}}}} in {}", outer.context);
                return Err(Fault::parse(span, message));
            }
            _ if open.has_else => return Err(Fault::parse(span, "expected end; found {{else}}")),
            (Block::If, TokenKind::If) => return self.else_condition("if", Op::JumpUnless(0)),
            (Block::With, TokenKind::With) => {
                return self.else_condition("with", Op::WithOrJump(0));
            }
            (_, TokenKind::RightDelim) => {
                self.dots_moved -= usize::from(open.changes_dot());
                open.has_else = true;
            }
            _ => return Err(self.unexpected(after, "else")),
        }
        if let Block::Range { next, site } = open.kind {
            self.loops -= 1;
            self.writer.op(Op::Jump(next as Index), span);
            let here = self.writer.here() as Index;
            self.writer.program.ranges[site].otherwise = here;
        } else {
            self.jump_to_end(span);
        }
        Ok(())
    }

    /// `else if` and `else with` go on in the same block: a chain of them is not nested.
    fn else_condition(&mut self, context: &'static str, jump: Op) -> Result<(), Fault> {
        let span = self.open.last().map_or(Span::default(), |open| open.span);
        self.jump_to_end(span);
        let jump = self.condition(context, jump)?;
        if let Some(open) = self.open.last_mut() {
            open.to_else = Some(jump);
        }
        Ok(())
    }

    /// Ends the part before an `else`: it jumps to the end, and the condition jumps to here.
    fn jump_to_end(&mut self, span: Span) {
        let jump = self.writer.op(Op::Jump(0), span);
        if let Some(open) = self.open.last_mut() {
            open.to_end.push(jump);
            if let Some(to_else) = open.to_else.take() {
                self.writer.jump_here(to_else);
            }
        }
    }

    fn end(&mut self, span: Span) -> Result<(), Fault> {
        self.expect(TokenKind::RightDelim, "end")?;
        let Some(open) = self.open.pop() else {
            return Err(Fault::parse(span, "unexpected {{end}}"));
        };
        self.dots_moved -= usize::from(open.changes_dot());
        match open.kind {
            Block::Body { outer } => return self.end_body(*outer, open.span),
            Block::Range { next, site } => self.end_range(next, site, open.has_else, span),
            Block::If | Block::With => {}
        }
        for jump in open.to_end.into_iter().chain(open.to_else) {
            self.writer.jump_here(jump);
        }
        if matches!(open.kind, Block::If) && self.variables.len() == open.variables {
            self.writer.skip(open.enter);
        } else {
            self.writer.op(Op::Leave, span);
        }
        self.variables.truncate(open.variables);
        Ok(())
    }

    fn end_range(&mut self, next: usize, site: usize, has_else: bool, span: Span) {
        if !has_else {
            self.loops -= 1;
            self.writer.op(Op::Jump(next as Index), span);
        }
        let here = self.writer.here() as Index;
        let site = &mut self.writer.program.ranges[site];
        site.exit = here;
        if !has_else {
            site.otherwise = here;
        }
    }

    fn end_body(&mut self, outer: Outer, span: Span) -> Result<(), Fault> {
        self.variables = outer.variables;
        self.loops = outer.loops;
        self.in_main = outer.in_main;
        self.dots_moved = outer.dots_moved;
        self.writer
            .finish_chunk(outer.chunk)
            .map_err(|message| Fault::parse(span, message))
    }

    fn leave_turn(&mut self, token: Token, op: Op, word: &str) -> Result<(), Fault> {
        self.expect(TokenKind::RightDelim, &format!("{{{{{word}}}}}"))?;
        if self.loops == 0 {
            return Err(Fault::parse(
                token.span,
                format!("{{{{{word}}}}} outside {{{{range}}}}"),
            ));
        }
        self.writer.op(op, token.span);
        Ok(())
    }

    fn template_name(&mut self, context: &str) -> Result<(String, Span), Fault> {
        let token = self.next_non_space()?;
        if !matches!(token.kind, TokenKind::String | TokenKind::RawString) {
            return Err(self.unexpected(token, context));
        }
        let bytes = literal::unquote(token.text(self.source))
            .map_err(|message| Fault::parse(token.span, message))?;
        Ok((crate::text::to_utf8(&bytes).into_owned(), token.span))
    }

    fn define(&mut self, span: Span) -> Result<(), Fault> {
        let (name, _) = self.template_name("define clause")?;
        self.expect(TokenKind::RightDelim, "define clause")?;
        self.open_body(name, span, "define clause");
        Ok(())
    }

    fn open_body(&mut self, name: String, span: Span, context: &'static str) {
        let outer = Outer {
            chunk: self.writer.begin_chunk(name),
            variables: std::mem::take(&mut self.variables),
            loops: std::mem::take(&mut self.loops),
            context,
            in_main: std::mem::take(&mut self.in_main),
            dots_moved: std::mem::take(&mut self.dots_moved),
        };
        self.open(
            Block::Body {
                outer: Box::new(outer),
            },
            span,
            (0, 0),
            None,
        );
    }

    fn template(&mut self) -> Result<(), Fault> {
        let (name, span) = self.template_name("template clause")?;
        let index = self.find_template(&name, span);
        let token = self.next_non_space()?;
        if token.kind == TokenKind::RightDelim {
            self.writer.op(Op::Nil, span);
        } else {
            self.push_back(token);
            let pipe = self.pipeline("template clause")?;
            self.emit(pipe);
        }
        self.writer.op(Op::RunTemplate(index), span);
        Ok(())
    }

    fn find_template(&mut self, name: &str, span: Span) -> Index {
        let name_text = crate::text::Text::from(name);
        self.references.push(RawReference {
            kind: ReferenceKind::Template,
            span,
            base: span,
            keys: vec![name_text],
            from_data: false,
        });
        let index = self.writer.name(name.as_bytes());
        self.writer.op(Op::FindTemplate(index), span);
        index
    }

    fn block(&mut self, span: Span) -> Result<(), Fault> {
        self.check_nesting(span)?;
        let (name, name_span) = self.template_name("block clause")?;
        let index = self.find_template(&name, name_span);
        let pipe = self.pipeline("block clause")?;
        self.emit(pipe);
        self.writer.op(Op::RunTemplate(index), name_span);
        self.open_body(name, span, "block clause");
        Ok(())
    }
}
