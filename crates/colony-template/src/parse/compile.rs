//! Writes the code of pipelines: operands, fields, and calls with typed arguments.

use super::expression::{Arena, Node, NodeId, PipeId};
use super::writer::Writer;
use crate::builtins::Builtin;
use crate::builtins::index::BOXED;
use crate::code::{CallSite, Callee, Index, Op};
use crate::error::Span;
use crate::function::{Param, Signature};
use crate::functions::Functions;
use crate::value::Value;

/// What is still to be written of a pipeline; a stack of these takes the place of recursion.
#[derive(Clone, Copy)]
pub(super) enum Task {
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
    /// Writes the code that leaves the value of a pipeline on the stack.
    pub(super) fn pipe(&mut self, arena: &Arena, pipe: PipeId, functions: &Functions) {
        let mut tasks = std::mem::take(&mut self.tasks);
        tasks.push(Task::Pipe(pipe));
        let mut writing = PipeWriter {
            writer: self,
            arena,
            functions,
            tasks,
            jumps: Vec::new(),
        };
        while let Some(task) = writing.tasks.pop() {
            writing.run(task);
        }
        self.tasks = writing.tasks;
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
        let commands = pipe
            .commands
            .iter()
            .enumerate()
            .flat_map(|(index, command)| {
                [
                    Task::Command { pipe: id, index },
                    Task::Op(Op::Unwrap, command.span),
                ]
            });
        let set = if pipe.assigns {
            Op::Assign
        } else {
            Op::Declare
        };
        let variables = pipe
            .variables
            .iter()
            .map(|(name, span)| Task::Op(set(*name), *span));
        self.then(commands.chain(variables));
    }

    fn command(&mut self, pipe: PipeId, index: usize) {
        let command = &self.arena.pipes[pipe].commands[index];
        let piped = index > 0;
        let first = command.args[0];
        let span = self.arena.span(first);
        let has_args = command.args.len() > 1 || piped;
        match self.arena.node(first) {
            Node::Function(name) => self.call(*name, &command.args[1..], piped, command.span),
            Node::Field(names) => {
                self.writer.op(Op::Dot, span);
                self.fields(names, has_args, piped, span);
            }
            Node::Chain(base, names) => {
                let fields = field_tasks(names, has_args, piped, span);
                self.then([Task::Arg(*base, Param::Any)].into_iter().chain(fields));
            }
            Node::Variable(name, names) if !names.is_empty() => {
                self.writer.op(Op::Variable(*name), span);
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

    /// Writes the fields of a value that is on the stack.
    fn fields(&mut self, names: &[Index], has_args: bool, piped: bool, span: Span) {
        for task in field_tasks(names, has_args, piped, span) {
            self.run(task);
        }
    }

    fn call(&mut self, name: Index, args: &[NodeId], piped: bool, span: Span) {
        let text = self.writer.program.names[name as usize].to_str();
        let (callee, signature) = callee(&text, self.functions);
        if let Some(fault) = signature.arity_fault(&text, args.len() + usize::from(piped)) {
            return self.writer.fail(fault, span);
        }
        if let Callee::Builtin(builtin @ (Builtin::And | Builtin::Or)) = callee {
            return self.decide(builtin == Builtin::Or, args, piped, span);
        }
        let slices = matches!(callee, Callee::Builtin(Builtin::Slice));
        let site = CallSite {
            name,
            callee,
            args: args.len(),
            piped: piped.then(|| signature.param(args.len())),
        };
        self.writer.program.calls.push(site);
        let call = Op::Call(self.writer.program.calls.len() as Index - 1);
        let mut tasks = Vec::with_capacity(args.len() + 1);
        for (index, arg) in args.iter().enumerate() {
            tasks.push(Task::Arg(*arg, signature.param(index)));
            if slices && index > 0 {
                tasks.extend(self.refuse_boxed(*arg));
            }
        }
        tasks.push(Task::Op(call, span));
        self.then(tasks);
    }

    /// Go's `slice` does not unpack its indexes: a field can be none, nor an item of a list.
    fn refuse_boxed(&mut self, arg: NodeId) -> Option<Task> {
        let op = match self.arena.node(arg) {
            Node::Dot => Op::RefuseBoxedDot,
            Node::Variable(name, fields) if fields.is_empty() => Op::RefuseBoxed(*name),
            Node::Field(_) | Node::Variable(..) | Node::Chain(..) => {
                Op::Fail(self.writer.fault(format!("error calling slice: {BOXED}")))
            }
            _ => return None,
        };
        Some(Task::Op(op, self.arena.span(arg)))
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

    /// Writes an argument for a parameter; a literal takes its type, another value must have it.
    fn arg(&mut self, id: NodeId, param: Param) {
        let span = self.arena.span(id);
        match self.arena.node(id) {
            Node::Nil if param.takes_nil() => {
                self.writer.op(Op::Nil, span);
            }
            Node::Nil => {
                let message = format!("cannot assign nil to {}", param.type_name());
                self.writer.fail(message, span);
            }
            Node::Bool(value) => {
                let value = Some(Value::Bool(*value));
                self.literal(param, Param::Bool, "bool", value, span);
            }
            Node::String(text) => {
                let value = Some(Value::String(text.clone()));
                self.literal(param, Param::String, "string", value, span);
            }
            Node::Number(number) => {
                self.literal(param, param, "number", number.for_param(param), span);
            }
            _ => {
                self.then((param != Param::Any).then_some(Task::Op(Op::Check(param), span)));
                self.value(id);
            }
        }
    }

    /// Writes an operand that is no literal and that has no arguments.
    fn value(&mut self, id: NodeId) {
        let span = self.arena.span(id);
        match self.arena.node(id) {
            Node::Field(names) => {
                self.writer.op(Op::Dot, span);
                self.fields(names, false, false, span);
            }
            Node::Variable(name, names) => {
                self.writer.op(Op::Variable(*name), span);
                self.fields(names, false, false, span);
            }
            Node::Pipe(pipe) => self.then([Task::Pipe(*pipe)]),
            Node::Function(name) => self.call(*name, &[], false, span),
            Node::Chain(base, names) => {
                let fields = field_tasks(names, false, false, span);
                self.then([Task::Arg(*base, Param::Any)].into_iter().chain(fields));
            }
            _ => {
                self.writer.op(Op::Dot, span);
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

/// The fields of a value that is on the stack; a piped value below it is dropped after them.
fn field_tasks(
    names: &[Index],
    has_args: bool,
    piped: bool,
    span: Span,
) -> impl Iterator<Item = Task> {
    let fields = names.iter().enumerate().map(move |(index, name)| {
        let takes_args = has_args && index + 1 == names.len();
        let op = if takes_args {
            Op::FieldWithArgs(*name)
        } else {
            Op::Field(*name)
        };
        Task::Op(op, span)
    });
    fields.chain(piped.then_some(Task::Op(Op::Nip, span)))
}

/// What a name calls, and what that takes.
fn callee(name: &str, functions: &Functions) -> (Callee, Signature) {
    if let Some(function) = functions.get(name) {
        return (Callee::Host(function.clone()), function.signature().clone());
    }
    let builtin = Builtin::named(name).expect("the parser checked that the function exists");
    (Callee::Builtin(builtin), builtin.signature())
}
