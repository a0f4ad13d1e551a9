//! The operations of a lane in one transaction.

use std::sync::Arc;
use std::time::Instant;

use super::{Answer, Caller, Command, OPS_MAX, Stop, WEIGHT_MAX};
use crate::error::StoreError;
use crate::job::{Halves, Job, Mode, caught};
use crate::tx::Tx;

/// Operations in one transaction.
pub(super) struct Batch<C: Command> {
    stop: Arc<Stop<C>>,
    ops: Vec<C::Op>,
    callers: Vec<Caller<C>>,
    /// When the first of them was given.
    since: Instant,
    result: Result<Vec<Answer<C>>, StoreError>,
}

impl<C: Command> Batch<C> {
    pub(super) fn new(stop: &Arc<Stop<C>>) -> Self {
        Self {
            stop: Arc::clone(stop),
            ops: Vec::new(),
            callers: Vec::new(),
            since: Instant::now(),
            result: Ok(Vec::new()),
        }
    }

    fn with(stop: &Arc<Stop<C>>, ops: Vec<C::Op>, callers: Vec<Caller<C>>) -> Self {
        let since = callers
            .first()
            .map_or_else(Instant::now, |caller| caller.since);
        Self {
            ops,
            callers,
            since,
            ..Self::new(stop)
        }
    }
}

impl<C: Command> Job for Batch<C> {
    fn gather(&mut self) -> (usize, Option<Box<dyn Job>>) {
        if !self.ops.is_empty() {
            // A half of one that was refused.
            return (self.ops.len(), None);
        }
        let mut waiting = self.stop.lock();
        let mut weight = 0;
        while self.ops.len() < OPS_MAX
            && weight < WEIGHT_MAX
            && let Some((op, caller)) = waiting.ops.pop_front()
        {
            weight += self.stop.command.weight(&op);
            self.ops.push(op);
            self.callers.push(caller);
        }
        waiting.is_called = !waiting.ops.is_empty();
        let more = waiting.is_called;
        drop(waiting);
        if let Some(first) = self.callers.first() {
            self.since = first.since;
        }
        let rest = more.then(|| Box::new(Self::new(&self.stop)) as _);
        (weight, rest)
    }

    fn run(&mut self, tx: &mut Tx<'_>) -> bool {
        if self.ops.is_empty() {
            return true;
        }
        tx.count_operations(self.ops.len());
        let command = &self.stop.command;
        let ran = caught(|| command.run(tx, &self.ops)).flatten();
        self.result = match ran {
            Ok(_) if tx.has_failed() => Err(StoreError::TransactionFailed),
            Ok(outs) if outs.len() != self.ops.len() => Err(StoreError::Panicked(format!(
                "a command answered {} of {} operations",
                outs.len(),
                self.ops.len()
            ))),
            result => result,
        };
        self.result.is_ok()
    }

    fn split(mut self: Box<Self>) -> Result<Halves, Box<dyn Job>> {
        let hits_all = self.result.as_ref().is_err_and(StoreError::hits_all);
        if self.ops.len() < 2 || hits_all {
            return Err(self);
        }
        let half = self.ops.len() / 2;
        let (ops, callers) = (self.ops.split_off(half), self.callers.split_off(half));
        let second = Self::with(&self.stop, ops, callers);
        let first = Self::with(&self.stop, self.ops, self.callers);
        Ok([Box::new(first), Box::new(second)])
    }

    fn is_batch(&self) -> bool {
        true
    }

    fn mode(&self) -> Mode {
        Mode::Write
    }

    fn since(&self) -> Instant {
        self.since
    }

    fn has_succeeded(&self) -> bool {
        self.result.is_ok()
    }

    fn fail(&mut self, error: StoreError) {
        self.result = Err(error);
    }

    fn is_abandoned(&self) -> bool {
        false
    }

    fn answer(self: Box<Self>) {
        let Self {
            stop,
            callers,
            result,
            ..
        } = *self;
        match result {
            Ok(outs) => {
                for (out, caller) in outs.into_iter().zip(callers) {
                    if let Ok(out) = &out
                        && let Err(panic) = caught(|| stop.command.committed(out))
                    {
                        tracing::error!("failed to act on what was committed: {panic}");
                    }
                    // The caller may have gone away; the outcome stands all the same.
                    let _ = caller.reply.send(out);
                }
            }
            Err(error) => {
                for caller in callers {
                    let _ = caller.reply.send(Err(error.clone().into()));
                }
            }
        }
    }
}
