//! Closures and batches on their way to a database thread, and answers on their way back.

use std::any::Any;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::time::Instant;

use tokio::sync::oneshot;

use crate::error::StoreError;
use crate::line::Place;
use crate::tx::Tx;

/// Whether a closure looks or changes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Mode {
    Read,
    Write,
}

/// What a refused job is tried as next.
pub(crate) type Halves = [Box<dyn Job>; 2];

/// What waits for a database thread: a closure of any result type, or a batch of operations.
pub(crate) trait Job: Send {
    /// Takes in what has come meanwhile, once, before the first run. Gives its weight, and what
    /// is left for another transaction.
    fn gather(&mut self) -> (usize, Option<Box<dyn Job>>);

    /// Runs it once and keeps its result for [`Job::answer`]. True when it succeeded and its
    /// changes are to be kept. May be called again; the last result counts. A closure that
    /// panicked is not run again.
    fn run(&mut self, tx: &mut Tx<'_>) -> bool;

    /// Two jobs that do the same, when it has several parts and the failure may be that of one;
    /// else itself.
    fn split(self: Box<Self>) -> Result<Halves, Box<dyn Job>>;

    /// Whether it is a batch of operations.
    fn is_batch(&self) -> bool;

    /// Whether it may change something.
    fn mode(&self) -> Mode;

    /// When it was given to the store.
    fn since(&self) -> Instant;

    /// Whether its last run succeeded.
    fn has_succeeded(&self) -> bool;

    /// Replaces the result by an error.
    fn fail(&mut self, error: StoreError);

    /// Whether nobody waits for the answer any more.
    fn is_abandoned(&self) -> bool;

    /// Sends the result to the caller.
    fn answer(self: Box<Self>);
}

/// What a closure that shares its transaction weighs: 256 of them fill one.
pub(crate) const CLOSURE_WEIGHT: usize = 16;

struct Work<F, T, E> {
    mode: Mode,
    since: Instant,
    closure: F,
    panicked: bool,
    result: Option<Result<T, E>>,
    reply: oneshot::Sender<Result<T, E>>,
    _place: Place,
}

/// Packs a closure; the receiver gets its result.
pub(crate) fn pack<F, T, E>(
    mode: Mode,
    closure: F,
    place: Place,
) -> (Box<dyn Job>, oneshot::Receiver<Result<T, E>>)
where
    F: FnMut(&mut Tx<'_>) -> Result<T, E> + Send + 'static,
    T: Send + 'static,
    E: From<StoreError> + Send + 'static,
{
    let (reply, receiver) = oneshot::channel();
    let work = Work {
        mode,
        since: Instant::now(),
        closure,
        panicked: false,
        result: None,
        reply,
        _place: place,
    };
    (Box::new(work), receiver)
}

impl<F, T, E> Job for Work<F, T, E>
where
    F: FnMut(&mut Tx<'_>) -> Result<T, E> + Send + 'static,
    T: Send + 'static,
    E: From<StoreError> + Send + 'static,
{
    fn gather(&mut self) -> (usize, Option<Box<dyn Job>>) {
        (CLOSURE_WEIGHT, None)
    }

    fn run(&mut self, tx: &mut Tx<'_>) -> bool {
        if self.panicked {
            return false;
        }
        tx.count_closure();
        // What a panic may leave half-done is either in the transaction, which is rolled back, or
        // captured by the closure, which is not called again.
        let result = match caught(|| (self.closure)(tx)) {
            Ok(Ok(_)) if tx.has_failed() => Err(StoreError::TransactionFailed.into()),
            Ok(result) => result,
            Err(panic) => {
                self.panicked = true;
                Err(panic.into())
            }
        };
        let succeeded = result.is_ok();
        self.result = Some(result);
        succeeded
    }

    fn split(self: Box<Self>) -> Result<Halves, Box<dyn Job>> {
        Err(self)
    }

    fn is_batch(&self) -> bool {
        false
    }

    fn mode(&self) -> Mode {
        self.mode
    }

    fn since(&self) -> Instant {
        self.since
    }

    fn has_succeeded(&self) -> bool {
        matches!(self.result, Some(Ok(_)))
    }

    fn fail(&mut self, error: StoreError) {
        self.result = Some(Err(error.into()));
    }

    fn is_abandoned(&self) -> bool {
        self.reply.is_closed()
    }

    fn answer(self: Box<Self>) {
        if let Some(result) = self.result {
            // The caller may have gone away; the outcome stands all the same.
            let _ = self.reply.send(result);
        }
    }
}

/// Runs foreign code; a panic becomes an error.
pub(crate) fn caught<T>(code: impl FnOnce() -> T) -> Result<T, StoreError> {
    catch_unwind(AssertUnwindSafe(code))
        .map_err(|panic| StoreError::Panicked(panic_text(panic.as_ref())))
}

fn panic_text(panic: &(dyn Any + Send)) -> String {
    panic
        .downcast_ref::<&str>()
        .map(|text| (*text).to_owned())
        .or_else(|| panic.downcast_ref::<String>().cloned())
        .unwrap_or_else(|| "with a value that is not text".to_owned())
}
