//! The state of a running template, and one arm per operation.

use super::call::check;
use super::names::refuse_boxed;
use super::range::Loop;
use super::{Binding, Operand, Texts};
use crate::code::{Chunk, DOLLAR, Index, Op, Program};
use crate::error::{Error, Fault};
use crate::fmt::{Printer, Sink};
use crate::limits::{Limit, Limits};
use crate::value::Value;

/// How many steps pass between two looks at the caller's check.
const STEPS_PER_CHECK: u64 = 256;

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
        dot: Binding,
    },
    Loop(Loop),
    Call {
        chunk: &'p Chunk,
        at: usize,
        base: usize,
        dot: Binding,
    },
}

pub(crate) struct Machine<'p> {
    pub(super) program: &'p Program,
    pub(super) limits: &'p Limits,
    stop: &'p dyn Fn() -> bool,
    pub(super) chunk: &'p Chunk,
    /// The next operation.
    pub(super) at: usize,
    pub(super) stack: Vec<Operand>,
    pub(super) variables: Vec<(Index, Binding)>,
    /// Where the variables of the running template begin.
    pub(super) base: usize,
    pub(super) dot: Binding,
    pub(super) frames: Vec<Frame<'p>>,
    pub(super) depth: usize,
    output: Sink,
    pub(super) texts: Texts,
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
        let dot = Binding::new(Some(data.clone()).filter(|data| !data.is_nil()));
        Self {
            program,
            limits,
            stop,
            chunk: &program.chunks[main],
            at: 0,
            stack: Vec::new(),
            variables: vec![(DOLLAR, dot.clone())],
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
    #[inline]
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

    pub(super) fn check_time(&self) -> Result<(), Stop> {
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
            Op::Dot => self.push(self.dot.value.clone()),
            Op::DotField(name) => {
                let value = self.field(self.dot.value.as_ref(), name)?;
                self.push(value);
            }
            Op::Variable(name) => {
                let slot = self.variable(name)?;
                self.push(self.variables[slot].1.value.clone());
            }
            Op::VariableField(variable, name) => {
                let slot = self.variable(variable)?;
                let value = self.field(self.variables[slot].1.value.as_ref(), name)?;
                self.push(value);
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
            Op::RefuseBoxedDot => refuse_boxed(&self.dot)?,
            Op::RefuseBoxed(name) => {
                let slot = self.variable(name)?;
                refuse_boxed(&self.variables[slot].1)?;
            }
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
                self.variables.push((name, Binding::new(value)));
            }
            Op::Assign(name) => {
                let value = self.stack.last().cloned().flatten();
                self.assign(name, Binding::new(value))?;
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
                    self.dot = Binding::new(value);
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

    #[inline]
    pub(super) fn push(&mut self, value: Operand) {
        self.stack.push(value);
    }

    #[inline]
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

    #[inline]
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

    fn decide(&mut self, or: bool, to: Index) {
        if self.stack.last().is_some_and(|top| is_true(top) == or) {
            self.at = to as usize;
        } else {
            self.stack.pop();
        }
    }
}

#[inline]
pub(super) fn is_true(value: &Operand) -> bool {
    value.as_ref().is_some_and(Value::is_true)
}
