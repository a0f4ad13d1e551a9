//! The state of a running template, and one arm per operation.

use super::range::Loop;
use super::{Operand, Texts};
use crate::code::{CallSite, Callee, Chunk, Index, Op, Program};
use crate::error::{Error, Fault};
use crate::fmt::{Printer, Sink};
use crate::function::Param;
use crate::limits::{Limit, Limits};
use crate::value::Value;

/// How many steps pass between two looks at the caller's check.
const STEPS_PER_CHECK: u64 = 256;

/// How many variables are looked through for the price of one step.
const VARIABLES_PER_STEP: usize = 16;

/// Why a template does not go on.
#[derive(Debug)]
pub(crate) enum Stop {
    Failed(String),
    Limit(Limit, String),
}

impl From<String> for Stop {
    fn from(message: String) -> Self {
        Self::Failed(message)
    }
}

/// What a block, a loop, or a call leaves behind to be restored at its end.
pub(super) enum Frame<'p> {
    Scope {
        variables: usize,
        dot: Operand,
    },
    Loop(Loop),
    Call {
        chunk: &'p Chunk,
        at: usize,
        base: usize,
        dot: Operand,
    },
}

pub(crate) struct Machine<'p> {
    pub(super) program: &'p Program,
    pub(super) limits: &'p Limits,
    stop: &'p dyn Fn() -> bool,
    pub(super) chunk: &'p Chunk,
    /// The next operation.
    pub(super) at: usize,
    stack: Vec<Operand>,
    pub(super) variables: Vec<(Index, Operand)>,
    /// Where the variables of the running template begin.
    pub(super) base: usize,
    pub(super) dot: Operand,
    pub(super) frames: Vec<Frame<'p>>,
    pub(super) depth: usize,
    output: Sink,
    texts: Texts,
    steps: u64,
}

impl<'p> Machine<'p> {
    pub(crate) fn new(
        program: &'p Program,
        limits: &'p Limits,
        data: &Value,
        stop: &'p dyn Fn() -> bool,
    ) -> Self {
        let main = program.templates.get(&program.name).copied().unwrap_or(0);
        let dot = Some(data.clone()).filter(|data| !data.is_nil());
        Self {
            program,
            limits,
            stop,
            chunk: &program.chunks[main],
            at: 0,
            stack: Vec::new(),
            variables: vec![(0, dot.clone())],
            base: 0,
            dot,
            frames: Vec::new(),
            depth: 0,
            output: Sink::new(limits.output_bytes),
            texts: Texts::new(limits.text_bytes),
            steps: 0,
        }
    }

    /// Runs to the end; gives the output so far and the error, if there was one.
    pub(crate) fn run(mut self) -> (Vec<u8>, Option<Error>) {
        let stopped = self.run_steps().err();
        let error = stopped.map(|stop| self.locate(stop));
        (self.output.into_bytes(), error)
    }

    fn run_steps(&mut self) -> Result<(), Stop> {
        self.check_time()?;
        loop {
            let op = self.chunk.code[self.at];
            self.at += 1;
            self.charge(1)?;
            if matches!(op, Op::Return) && !self.return_to_caller() {
                return Ok(());
            }
            self.step(op)?;
        }
    }

    fn locate(&self, stop: Stop) -> Error {
        let span = self.chunk.spans[self.at.saturating_sub(1)];
        let fault = match stop {
            Stop::Failed(message) => Fault::exec(span, message),
            Stop::Limit(limit, message) => Fault::limit(span, limit, message),
        };
        fault.locate(
            &self.program.name,
            &self.program.source,
            Some(&self.chunk.name),
        )
    }

    /// Counts steps; looks at the caller's check from time to time.
    pub(super) fn charge(&mut self, steps: u64) -> Result<(), Stop> {
        let before = self.steps;
        self.steps += steps;
        if self.steps > self.limits.steps {
            return Err(Stop::Limit(
                Limit::Steps,
                format!("more than {} steps", self.limits.steps),
            ));
        }
        if before / STEPS_PER_CHECK != self.steps / STEPS_PER_CHECK {
            self.check_time()?;
        }
        Ok(())
    }

    fn check_time(&self) -> Result<(), Stop> {
        if (self.stop)() {
            return Err(Stop::Limit(
                Limit::Stopped,
                "stopped by the caller".to_owned(),
            ));
        }
        Ok(())
    }

    fn step(&mut self, op: Op) -> Result<(), Stop> {
        match op {
            Op::Text => self.text()?,
            Op::Const(index) => self.push(Some(self.program.constants[index as usize].clone())),
            Op::Nil => self.push(None),
            Op::Dot => self.push(self.dot.clone()),
            Op::DotField(name) => {
                let value = self.field(self.dot.as_ref(), name)?;
                self.push(value);
            }
            Op::Variable(name) => {
                let slot = self.variable(name)?;
                self.push(self.variables[slot].1.clone());
            }
            Op::Field(name) => {
                let receiver = self.pop();
                let value = self.field(receiver.as_ref(), name)?;
                self.push(value);
            }
            Op::FieldWithArgs(name) => self.field_with_args(name)?,
            Op::Unwrap => {
                if let Some(top) = self
                    .stack
                    .last_mut()
                    .filter(|top| matches!(top, Some(Value::Nil)))
                {
                    *top = None;
                }
            }
            Op::Check(param) => check(self.stack.last().and_then(Option::as_ref), param)?,
            Op::Call(site) => self.call(site)?,
            Op::Decide(or, to) => self.decide(or, to),
            Op::Nip => {
                let top = self.pop();
                self.stack.pop();
                self.push(top);
            }
            Op::Fail(index) => {
                return Err(Stop::Failed(self.program.faults[index as usize].clone()));
            }
            Op::Declare(name) => {
                let value = self.stack.last().cloned().flatten();
                self.variables.push((name, value));
            }
            Op::Assign(name) => {
                let value = self.stack.last().cloned().flatten();
                self.assign(name, value)?;
            }
            Op::Print => self.print()?,
            Op::Drop => drop(self.pop()),
            Op::Jump(to) => self.at = to as usize,
            Op::JumpUnless(to) => {
                if !is_true(&self.pop()) {
                    self.at = to as usize;
                }
            }
            Op::WithOrJump(to) => {
                let value = self.pop();
                if is_true(&value) {
                    self.dot = value;
                } else {
                    self.at = to as usize;
                }
            }
            Op::Enter => self.enter(),
            Op::Leave => self.leave(),
            Op::RangeStart(site) => self.range_start(site)?,
            Op::RangeNext => self.range_next()?,
            Op::Break => self.break_loop(),
            Op::Continue => self.continue_loop(),
            Op::FindTemplate(name) => self.find_template(name)?,
            Op::RunTemplate(name) => self.run_template(name),
            Op::Return => {}
        }
        Ok(())
    }

    pub(super) fn push(&mut self, value: Operand) {
        self.stack.push(value);
    }

    pub(super) fn pop(&mut self) -> Operand {
        self.stack.pop().flatten()
    }

    fn text(&mut self) -> Result<(), Stop> {
        let span = self.chunk.spans[self.at - 1];
        self.output
            .push(&self.program.source.as_bytes()[span.range()]);
        self.check_output()
    }

    fn print(&mut self) -> Result<(), Stop> {
        match self.pop() {
            None | Some(Value::Nil) => self.output.push(b"<no value>"),
            Some(Value::String(text)) => self.output.push(text.as_bytes()),
            Some(value @ Value::Function(_)) => {
                return Err(Stop::Failed(format!(
                    "can't print a value of type {}",
                    value.type_name()
                )));
            }
            Some(value) => Printer::new(&mut self.output).value(&value, 'v'),
        }
        self.check_output()
    }

    fn check_output(&self) -> Result<(), Stop> {
        if self.output.is_full() {
            let message = format!(
                "the output is longer than {} bytes",
                self.limits.output_bytes
            );
            return Err(Stop::Limit(Limit::OutputBytes, message));
        }
        Ok(())
    }

    /// The slot of the innermost variable with a name.
    fn variable(&mut self, name: Index) -> Result<usize, Stop> {
        let own = &self.variables[self.base..];
        let back = own.iter().rev().position(|(declared, _)| *declared == name);
        let slot = back.map(|back| self.variables.len() - 1 - back);
        self.charge((back.unwrap_or(own.len()) / VARIABLES_PER_STEP) as u64)?;
        slot.ok_or_else(|| {
            Stop::Failed(format!(
                "undefined variable: {}",
                self.program.names[name as usize]
            ))
        })
    }

    pub(super) fn assign(&mut self, name: Index, value: Operand) -> Result<(), Stop> {
        let slot = self.variable(name)?;
        self.variables[slot].1 = value;
        Ok(())
    }

    fn field(&self, receiver: Option<&Value>, name: Index) -> Result<Operand, Stop> {
        let name = &self.program.names[name as usize];
        match receiver {
            None => Ok(None),
            Some(Value::Map(map)) => Ok(map.get_bytes(name.as_bytes()).cloned()),
            Some(Value::Nil) => Err(Stop::Failed(format!(
                "nil pointer evaluating interface {{}}.{name}"
            ))),
            Some(other) => Err(Stop::Failed(format!(
                "can't evaluate field {name} in type {}",
                other.type_name()
            ))),
        }
    }

    fn field_with_args(&mut self, name: Index) -> Result<(), Stop> {
        match self.pop() {
            Some(Value::Map(_)) => {
                let name = &self.program.names[name as usize];
                Err(Stop::Failed(format!(
                    "{name} is not a method but has arguments"
                )))
            }
            receiver => {
                let value = self.field(receiver.as_ref(), name)?;
                self.push(value);
                Ok(())
            }
        }
    }

    fn decide(&mut self, or: bool, to: Index) {
        if self.stack.last().is_some_and(|top| is_true(top) == or) {
            self.at = to as usize;
        } else {
            self.stack.pop();
        }
    }

    fn call(&mut self, site: Index) -> Result<(), Stop> {
        let program = self.program;
        let CallSite {
            name,
            callee,
            args,
            piped,
        } = &program.calls[site as usize];
        let mut from = self.stack.len() - args;
        if let Some(param) = *piped {
            from -= 1;
            self.stack[from..].rotate_left(1);
            check(self.stack.last().and_then(Option::as_ref), param)?;
        }
        let result = match callee {
            Callee::Builtin(builtin) => builtin.run(&self.stack[from..], &mut self.texts),
            Callee::Host(function) => {
                let args: Vec<Value> = self
                    .stack
                    .drain(from..)
                    .map(Option::unwrap_or_default)
                    .collect();
                let result = function.run(&args).map_err(Stop::Failed);
                result.and_then(|value| self.texts.charge(&value).map(|()| Some(value)))
            }
        };
        self.stack.truncate(from);
        let named = |stop| match stop {
            Stop::Failed(message) => Stop::Failed(format!(
                "error calling {}: {message}",
                program.names[*name as usize]
            )),
            limit @ Stop::Limit(..) => limit,
        };
        self.push(result.map_err(named)?);
        if matches!(callee, Callee::Host(_)) {
            self.check_time()?;
        }
        Ok(())
    }
}

pub(super) fn is_true(value: &Operand) -> bool {
    value.as_ref().is_some_and(Value::is_true)
}

/// Whether a value may be passed for a parameter.
fn check(value: Option<&Value>, param: Param) -> Result<(), Stop> {
    let name = param.type_name();
    match value {
        None if param.takes_nil() => Ok(()),
        None => Err(Stop::Failed(format!("invalid value; expected {name}"))),
        Some(value) if param.accepts(value) => Ok(()),
        Some(value) => {
            let found = if value.is_nil() {
                "interface {}".into()
            } else {
                value.type_name()
            };
            Err(Stop::Failed(format!(
                "wrong type for value; expected {name}; got {found}"
            )))
        }
    }
}
