//! Writes code: chunks, operations, names, constants, and jumps.

use std::collections::HashMap;

use super::compile::Task;
use crate::code::{Chunk, Index, Op, Program};
use crate::error::Span;
use crate::text::Text;
use crate::value::Value;

/// The code that is being written.
pub(super) struct Writer {
    pub(super) program: Program,
    chunk: Chunk,
    names: HashMap<Text, Index>,
    /// An empty list that is kept for its memory.
    pub(super) tasks: Vec<Task>,
}

impl Writer {
    pub(super) fn new(name: &str) -> Self {
        let chunk = Chunk {
            name: name.to_owned(),
            blank: true,
            ..Chunk::default()
        };
        let mut writer = Self {
            program: Program::default(),
            chunk,
            names: HashMap::new(),
            tasks: Vec::new(),
        };
        writer.name(b"$");
        writer
    }

    // Chunks.

    /// Begins the code of another template; gives the one that was being written.
    pub(super) fn begin_chunk(&mut self, name: String) -> Chunk {
        std::mem::replace(
            &mut self.chunk,
            Chunk {
                name,
                blank: true,
                ..Chunk::default()
            },
        )
    }

    /// Ends a template and goes on with the outer one. A name may be defined twice only if one is blank.
    pub(super) fn finish_chunk(&mut self, outer: Chunk) -> Result<(), String> {
        self.op(Op::Return, Span::default());
        let chunk = std::mem::replace(&mut self.chunk, outer);
        let chunks = &mut self.program.chunks;
        match self.program.templates.get(&chunk.name) {
            Some(earlier) if !chunks[*earlier].blank => {
                if !chunk.blank {
                    return Err(format!(
                        "template: multiple definition of template {:?}",
                        chunk.name
                    ));
                }
            }
            _ => {
                self.program
                    .templates
                    .insert(chunk.name.clone(), chunks.len());
                chunks.push(chunk);
            }
        }
        Ok(())
    }

    // Operations.

    pub(super) fn here(&self) -> usize {
        self.chunk.code.len()
    }

    pub(super) fn op(&mut self, op: Op, span: Span) -> usize {
        self.chunk.blank &= matches!(op, Op::Text | Op::Return);
        if let Some(last) = self.chunk.code.last_mut()
            && let Some(both) = fused(*last, op)
        {
            *last = both;
            self.chunk.spans[self.chunk.code.len() - 1] = span;
            return self.chunk.code.len() - 1;
        }
        self.chunk.code.push(op);
        self.chunk.spans.push(span);
        self.chunk.code.len() - 1
    }

    pub(super) fn text(&mut self, source: &str, span: Span) {
        let blank = self.chunk.blank && source[span.range()].trim().is_empty();
        self.op(Op::Text, span);
        self.chunk.blank = blank;
    }

    /// Makes an operation do nothing.
    pub(super) fn skip(&mut self, at: usize) {
        self.chunk.code[at] = Op::Jump(at as Index + 1);
    }

    /// Makes a jump lead to what is written next.
    pub(super) fn jump_here(&mut self, jump: usize) {
        let here = self.here() as Index;
        match &mut self.chunk.code[jump] {
            Op::Jump(to) | Op::JumpUnless(to) | Op::WithOrJump(to) | Op::Decide(_, to) => {
                *to = here;
            }
            _ => {}
        }
    }

    pub(super) fn name(&mut self, name: &[u8]) -> Index {
        if let Some(index) = self.names.get(name) {
            return *index;
        }
        let index = self.program.names.len() as Index;
        let name = Text::from(name);
        self.program.names.push(name.clone());
        self.names.insert(name, index);
        index
    }

    pub(super) fn constant(&mut self, value: Value, span: Span) {
        self.program.constants.push(value);
        self.op(Op::Const(self.program.constants.len() as Index - 1), span);
    }

    pub(super) fn fault(&mut self, message: String) -> Index {
        self.program.faults.push(message);
        self.program.faults.len() as Index - 1
    }

    pub(super) fn fail(&mut self, message: String, span: Span) {
        let fault = self.fault(message);
        self.op(Op::Fail(fault), span);
    }
}

/// One operation that does the work of two. Only where no jump can lead between them: a jump leads
/// to the end of an operand, and what is fused here is one operand, or what must follow its end.
fn fused(last: Op, op: Op) -> Option<Op> {
    match (last, op) {
        (Op::Dot, Op::Field(name)) => Some(Op::DotField(name)),
        (Op::Variable(variable), Op::Field(name)) => Some(Op::VariableField(variable, name)),
        // These treat nil as they treat a missing value.
        (
            Op::Unwrap,
            Op::Print | Op::Drop | Op::JumpUnless(_) | Op::WithOrJump(_) | Op::RangeStart(_),
        ) => Some(op),
        _ => None,
    }
}
