//! What an operation is, and how it gets into a batch.

use std::collections::BTreeSet;
use std::sync::{Arc, Mutex, PoisonError};

use colony_core::id::{DefinitionId, RequestId, RunId, TaskId};
use colony_core::time::Timestamp;

use super::stage::Stage;
use crate::ant::AntRoom;
use crate::error::EngineError;

/// Something that is done to runs of jobs.
pub(crate) trait Operation: Send + Sync + 'static {
    /// What its caller learns.
    type Output: Send + 'static;

    /// Names the rows that it decides on.
    fn needs(&self, needs: &mut Needs);

    /// Decides. Nothing of it is kept when it fails. It may be asked again.
    fn decide(&self, stage: &mut Stage<'_>) -> Result<Self::Output, EngineError>;
}

/// The rows that operations decide on.
#[derive(Debug, Default)]
pub(crate) struct Needs {
    /// Runs of jobs.
    pub(crate) runs: BTreeSet<RunId>,
    /// Tasks of jobs whose runs are not known.
    pub(crate) tasks: BTreeSet<TaskId>,
    /// Tasks as the Runs API shows them.
    pub(crate) shown: BTreeSet<TaskId>,
    /// Requests.
    pub(crate) requests: BTreeSet<RequestId>,
    /// Requests with the runs that they have.
    pub(crate) with_run: BTreeSet<RequestId>,
    /// Schedule keys: the slots in use.
    pub(crate) slots: BTreeSet<String>,
    /// Schedule keys: whether requests are due under them.
    pub(crate) in_use: BTreeSet<String>,
    /// Keys of users.
    pub(crate) user_keys: BTreeSet<String>,
    /// Versions of definitions: their flags.
    pub(crate) definitions: BTreeSet<DefinitionId>,
}

/// An operation on its way into a batch. Cheap to clone.
#[derive(Clone)]
pub(crate) struct Ask {
    operation: Arc<dyn Erased>,
    /// When it was asked for.
    pub(crate) now: Timestamp,
    /// Seed of what it draws.
    pub(crate) seed: u64,
    /// Room at ants that is kept for it, or for what it makes ready.
    pub(crate) room: Arc<Vec<AntRoom>>,
}

/// Where the output of an operation will be.
pub(crate) struct Promised<O: Operation>(Arc<WithOutput<O>>);

struct WithOutput<O: Operation> {
    operation: O,
    output: Mutex<Option<O::Output>>,
}

/// An operation whose output has found its place.
trait Erased: Send + Sync {
    fn needs(&self, needs: &mut Needs);
    fn decide(&self, stage: &mut Stage<'_>) -> Result<(), EngineError>;
}

impl<O: Operation> Erased for WithOutput<O> {
    fn needs(&self, needs: &mut Needs) {
        self.operation.needs(needs);
    }

    fn decide(&self, stage: &mut Stage<'_>) -> Result<(), EngineError> {
        let output = self.operation.decide(stage)?;
        *self.output.lock().unwrap_or_else(PoisonError::into_inner) = Some(output);
        Ok(())
    }
}

impl Ask {
    /// Packs an operation; its output will be in what is promised.
    pub(crate) fn new<O: Operation>(
        operation: O,
        (now, seed): (Timestamp, u64),
        room: Vec<AntRoom>,
    ) -> (Self, Promised<O>) {
        let operation = Arc::new(WithOutput {
            operation,
            output: Mutex::new(None),
        });
        let promised = Promised(Arc::clone(&operation));
        let ask = Self {
            operation,
            now,
            seed,
            room: Arc::new(room),
        };
        (ask, promised)
    }

    pub(super) fn needs(&self, needs: &mut Needs) {
        self.operation.needs(needs);
    }

    pub(super) fn decide(&self, stage: &mut Stage<'_>) -> Result<(), EngineError> {
        self.operation.decide(stage)
    }

    /// Operations on the same run have the same number.
    pub(crate) fn key(&self) -> u64 {
        let mut needs = Needs::default();
        self.needs(&mut needs);
        let run = needs.runs.first().map(|id| id.uuid());
        let id = run.or_else(|| needs.tasks.first().map(|id| id.uuid()));
        // The last bytes of a time-ordered id are random.
        id.map_or(0, |id| id.as_u64_pair().1)
    }
}

impl<O: Operation> Promised<O> {
    /// The output of an operation that was stored.
    pub(crate) fn take(self) -> Option<O::Output> {
        let mut output = self.0.output.lock().unwrap_or_else(PoisonError::into_inner);
        output.take()
    }
}
