//! Writes code: the operations of pipelines, of calls with typed arguments, and the jumps of blocks.

use std::collections::HashMap;

use super::expression::{Arena, Node, NodeId, PipeId};
use crate::analysis::{Reference, ReferenceKind};
use crate::builtins::Builtin;
use crate::code::{CallSite, Callee, Chunk, Index, Op, Program};
use crate::error::Span;
use crate::function::{Param, Signature};
use crate::functions::Functions;
use crate::text::Text;
use crate::value::Value;

/// The code that is being written.
pub(super) struct Writer {
    pub(super) program: Program,
    chunk: Chunk,
    names: HashMap<Text, Index>,
}

/// What is still to be written of a pipeline; a stack of these takes the place of recursion.
enum Task {
    Pipe(PipeId),
    Command {
        pipe: PipeId,
        index: usize,
    },
    /// An argument, for a parameter.
    Arg(NodeId, Param),
    Op(Op, Span),
    /// `and` or `or` after one of its arguments; the jumps that leave early are gathered.
    Decide(bool, Span),
    /// The end of an `and` or `or`, with its number of jumps and whether there is a piped value.
    Decided {
        jumps: usize,
        piped: bool,
        span: Span,
    },
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
        if let (Op::Field(name), Some(last @ Op::Dot)) = (op, self.chunk.code.last_mut()) {
            *last = Op::DotField(name);
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

    /// Makes a jump lead to what is written next.
    pub(super) fn jump_here(&mut self, jump: usize) {
        let here = self.here() as Index;
        match &mut self.chunk.code[jump] {
            Op::Jump(to) | Op::JumpUnless(to) | Op::WithOrJump(to) | Op::Decide(_, to) => {
                *to = here
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

    fn constant(&mut self, value: Value, span: Span) {
        self.program.constants.push(value);
        self.op(Op::Const(self.program.constants.len() as Index - 1), span);
    }

    fn fail(&mut self, message: String, span: Span) {
        self.program.faults.push(message);
        self.op(Op::Fail(self.program.faults.len() as Index - 1), span);
    }

    // Pipelines.

    /// Writes the code that leaves the value of a pipeline on the stack.
    pub(super) fn pipe(&mut self, arena: &Arena, pipe: PipeId, functions: &Functions) {
        let mut writing = PipeWriter {
            writer: self,
            arena,
            functions,
            tasks: vec![Task::Pipe(pipe)],
            jumps: Vec::new(),
        };
        while let Some(task) = writing.tasks.pop() {
            writing.run(task);
        }
    }
}

/// Writes one pipeline.
struct PipeWriter<'w, 'a> {
    writer: &'w mut Writer,
    arena: &'a Arena,
    functions: &'a Functions,
    tasks: Vec<Task>,
    /// The jumps of `and` and `or` that are not at their end yet.
    jumps: Vec<usize>,
}

impl PipeWriter<'_, '_> {
    fn run(&mut self, task: Task) {
        match task {
            Task::Pipe(pipe) => self.pipe(pipe),
            Task::Command { pipe, index } => self.command(pipe, index),
            Task::Arg(node, param) => self.arg(node, param),
            Task::Op(op, span) => {
                self.writer.op(op, span);
            }
            Task::Decide(or, span) => {
                let jump = self.writer.op(Op::Decide(or, 0), span);
                self.jumps.push(jump);
            }
            Task::Decided { jumps, piped, span } => self.decided(jumps, piped, span),
        }
    }

    /// Adds tasks that are to be done in this order, before all others.
    fn then(&mut self, tasks: impl IntoIterator<Item = Task>) {
        let from = self.tasks.len();
        self.tasks.extend(tasks);
        self.tasks[from..].reverse();
    }

    fn pipe(&mut self, id: PipeId) {
        let pipe = &self.arena.pipes[id];
        let commands = (0..pipe.commands.len()).flat_map(|index| {
            [
                Task::Command { pipe: id, index },
                Task::Op(Op::Unwrap, pipe.commands[index].span),
            ]
        });
        let variables: Vec<Task> = pipe
            .variables
            .iter()
            .map(|(name, span)| {
                let index = self.writer.name(name.as_bytes());
                Task::Op(
                    if pipe.assigns {
                        Op::Assign(index)
                    } else {
                        Op::Declare(index)
                    },
                    *span,
                )
            })
            .collect();
        self.then(commands.chain(variables));
    }

    fn command(&mut self, pipe: PipeId, index: usize) {
        let command = &self.arena.pipes[pipe].commands[index];
        let piped = index > 0;
        let first = command.args[0];
        let span = self.arena.span(first);
        let has_args = command.args.len() > 1 || piped;
        match self.arena.node(first) {
            Node::Function(name) => self.call(name, &command.args[1..], piped, command.span),
            Node::Field(names) => {
                self.writer.op(Op::Dot, span);
                self.fields(names, has_args, piped, span);
            }
            Node::Chain(base, names) => {
                let fields = self.field_tasks(names, has_args, piped, span);
                self.then([Task::Arg(*base, Param::Any)].into_iter().chain(fields));
            }
            Node::Variable(name, names) if !names.is_empty() => {
                let name = self.writer.name(name.as_bytes());
                self.writer.op(Op::Variable(name), span);
                self.fields(names, has_args, piped, span);
            }
            _ if has_args => {
                let text = "can't give argument to non-function".to_owned();
                self.writer.fail(text, span);
            }
            Node::Nil => self.writer.fail("nil is not a command".to_owned(), span),
            _ => self.then([Task::Arg(first, Param::Any)]),
        }
    }

    fn fields(&mut self, names: &[Text], has_args: bool, piped: bool, span: Span) {
        for task in self.field_tasks(names, has_args, piped, span) {
            self.run(task);
        }
    }

    /// The fields of a value that is on the stack; a piped value below it is dropped after them.
    fn field_tasks(
        &mut self,
        names: &[Text],
        has_args: bool,
        piped: bool,
        span: Span,
    ) -> Vec<Task> {
        let last = names.len() - 1;
        let fields = names.iter().enumerate().map(|(index, name)| {
            let name = self.writer.name(name.as_bytes());
            let takes_args = has_args && index == last;
            Task::Op(
                if takes_args {
                    Op::FieldWithArgs(name)
                } else {
                    Op::Field(name)
                },
                span,
            )
        });
        let mut tasks: Vec<Task> = fields.collect();
        if piped {
            tasks.push(Task::Op(Op::Nip, span));
        }
        tasks
    }

    fn call(&mut self, name: &str, args: &[NodeId], piped: bool, span: Span) {
        let (callee, signature) = self.callee(name);
        if let Some(fault) = signature.arity_fault(name, args.len() + usize::from(piped)) {
            return self.writer.fail(fault, span);
        }
        if let Callee::Builtin(builtin @ (Builtin::And | Builtin::Or)) = callee {
            return self.decide(builtin == Builtin::Or, args, piped, span);
        }
        let name = self.writer.name(name.as_bytes());
        let site = CallSite {
            name,
            callee,
            args: args.len(),
            piped: piped.then(|| signature.param(args.len())),
        };
        self.writer.program.calls.push(site);
        let call = Op::Call(self.writer.program.calls.len() as Index - 1);
        let args = args
            .iter()
            .enumerate()
            .map(|(index, arg)| Task::Arg(*arg, signature.param(index)));
        self.then(args.chain([Task::Op(call, span)]));
    }

    fn callee(&self, name: &str) -> (Callee, Signature) {
        if let Some(function) = self.functions.get(name) {
            return (Callee::Host(function.clone()), function.signature().clone());
        }
        let builtin = Builtin::named(name).expect("the parser checked that the function exists");
        (Callee::Builtin(builtin), builtin.signature())
    }

    /// `and` and `or`: the first argument that decides is the result, else the last one is.
    fn decide(&mut self, or: bool, args: &[NodeId], piped: bool, span: Span) {
        let tested = if piped { args.len() } else { args.len() - 1 };
        let tasks: Vec<Task> = args
            .iter()
            .enumerate()
            .flat_map(|(index, arg)| {
                let test = (index < tested).then_some(Task::Decide(or, span));
                [Some(Task::Arg(*arg, Param::Any)), test]
                    .into_iter()
                    .flatten()
            })
            .collect();
        self.then(tasks.into_iter().chain([Task::Decided {
            jumps: tested,
            piped,
            span,
        }]));
    }

    fn decided(&mut self, jumps: usize, piped: bool, span: Span) {
        let past = piped.then(|| self.writer.op(Op::Jump(0), span));
        for jump in self.jumps.split_off(self.jumps.len() - jumps) {
            self.writer.jump_here(jump);
        }
        if let Some(past) = past {
            self.writer.op(Op::Nip, span);
            self.writer.jump_here(past);
        }
    }

    /// Writes an argument for a parameter; a literal takes its type.
    fn arg(&mut self, id: NodeId, param: Param) {
        let span = self.arena.span(id);
        let check = (param != Param::Any).then_some(Task::Op(Op::Check(param), span));
        match self.arena.node(id) {
            Node::Nil if param.takes_nil() => {
                self.writer.op(Op::Nil, span);
            }
            Node::Nil => self
                .writer
                .fail(format!("cannot assign nil to {}", param.type_name()), span),
            Node::Bool(value) => {
                self.literal(param, Param::Bool, "bool", Some(Value::Bool(*value)), span)
            }
            Node::String(text) => self.literal(
                param,
                Param::String,
                "string",
                Some(Value::String(text.clone())),
                span,
            ),
            Node::Number(number) => {
                self.literal(param, param, "number", number.for_param(param), span)
            }
            Node::Dot => {
                self.writer.op(Op::Dot, span);
                self.then(check);
            }
            Node::Field(names) => {
                self.writer.op(Op::Dot, span);
                self.fields(names, false, false, span);
                self.then(check);
            }
            Node::Variable(name, names) => {
                let name = self.writer.name(name.as_bytes());
                self.writer.op(Op::Variable(name), span);
                let fields = if names.is_empty() {
                    Vec::new()
                } else {
                    self.field_tasks(names, false, false, span)
                };
                self.then(fields.into_iter().chain(check));
            }
            Node::Pipe(pipe) => self.then([Task::Pipe(*pipe)].into_iter().chain(check)),
            Node::Function(name) => {
                self.then(check);
                self.call(name, &[], false, span);
            }
            Node::Chain(base, names) => {
                let fields = self.field_tasks(names, false, false, span);
                self.then(
                    [Task::Arg(*base, Param::Any)]
                        .into_iter()
                        .chain(fields)
                        .chain(check),
                );
            }
        }
    }

    /// Writes a literal of the type `own`, if the parameter takes it.
    fn literal(&mut self, param: Param, own: Param, word: &str, value: Option<Value>, span: Span) {
        match value.filter(|_| param == own || param == Param::Any) {
            Some(value) => self.writer.constant(value, span),
            None if param == Param::Any => self.writer.fail(format!("{word} overflows int"), span),
            None => self.writer.fail(
                format!("expected {}; found a {word}", param.type_name()),
                span,
            ),
        }
    }
}

/// What the pipelines of an action refer to.
pub(super) fn references(arena: &Arena, in_main: bool, rooted: bool) -> Vec<Reference> {
    let scope = Scope { in_main, rooted };
    let nodes = arena
        .nodes
        .iter()
        .filter_map(|(node, span)| scope.reference(node, *span));
    let commands = arena.pipes.iter().flat_map(|pipe| &pipe.commands);
    let indexed = commands.filter_map(|command| scope.index(arena, &command.args));
    nodes.chain(indexed).collect()
}

/// Where an action stands, as far as it tells what the dot is.
struct Scope {
    in_main: bool,
    rooted: bool,
}

impl Scope {
    fn reference(&self, node: &Node, span: Span) -> Option<Reference> {
        let (kind, name, path, from_data) = match node {
            Node::Function(name) => (ReferenceKind::Function, name.as_str(), &[][..], false),
            Node::Field(path) => (ReferenceKind::Field, "", &path[..], self.rooted),
            Node::Variable(name, path) => (
                ReferenceKind::Variable,
                name.as_str(),
                &path[..],
                self.in_main && name == "$",
            ),
            _ => return None,
        };
        let path = path.iter().map(Text::to_string).collect();
        Some(Reference::new(kind, name.to_owned(), path, span, from_data))
    }

    /// `index . "a-b"` reads a field whose name is no identifier.
    fn index(&self, arena: &Arena, args: &[NodeId]) -> Option<Reference> {
        let (function, base, keys) = match args {
            [function, base, keys @ ..] => (function, base, keys),
            _ => return None,
        };
        if !matches!(arena.node(*function), Node::Function(name) if name == "index") {
            return None;
        }
        let span = arena.span(*function).to(arena.span(*keys.last()?));
        let mut found = match arena.node(*base) {
            Node::Dot => self.reference(&Node::Field(Vec::new()), span)?,
            base => self.reference(base, span)?,
        };
        for key in keys {
            match arena.node(*key) {
                Node::String(key) => found.extend(key.to_string()),
                _ => break,
            }
        }
        Some(found)
    }
}
