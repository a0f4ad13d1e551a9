//! Why a use-case of the ledger did not happen.

use std::sync::Arc;

use colony_store::StoreError;
use colony_store::ledger::TaskRow;

use crate::error::EngineError;

/// What was not found.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Missing {
    /// The run.
    Run,
    /// The task.
    Task,
    /// The parent task.
    Parent,
    /// The entry of run data.
    Data,
    /// Anything to delete.
    Match,
}

/// Why a use-case of the ledger did not happen. Messages read after "failed to …".
#[derive(Debug, thiserror::Error)]
pub enum LedgerError {
    /// It is not there, or belongs to another organization.
    #[error("find the {what:?} of item {item}")]
    Missing {
        /// What was not found.
        what: Missing,
        /// Which of several items asked for it.
        item: usize,
    },
    /// The caller's lease is over.
    #[error("report on a lease that is over")]
    LeaseLost(Box<TaskRow>),
    /// A job owns the task; only the holder of its lease may change it.
    #[error("change a task that a job owns")]
    OwnedByJob(Box<TaskRow>),
    /// A job owns the run.
    #[error("change a run that a job owns")]
    RunOwnedByJob,
    /// The key for idempotency was used for another request.
    #[error("use an idempotency key again for another request")]
    KeyReused,
    /// The key of the caller is over.
    #[error("go on for a caller whose key is over")]
    KeyRevoked,
    /// The database failed.
    #[error(transparent)]
    Store(#[from] StoreError),
    /// The database failed, for several callers together.
    #[error(transparent)]
    Shared(Arc<StoreError>),
    /// The engine failed.
    #[error(transparent)]
    Engine(Box<EngineError>),
    /// The ledger is shut down.
    #[error("use the ledger: it is shut down")]
    Closed,
}

impl From<EngineError> for LedgerError {
    fn from(error: EngineError) -> Self {
        match error {
            EngineError::Store(error) => Self::Store(error),
            other => Self::Engine(Box::new(other)),
        }
    }
}

impl LedgerError {
    /// Whether the database as a whole is to blame, or the ledger's end: the same request may
    /// succeed later.
    pub fn is_unavailable(&self) -> bool {
        match self {
            Self::Store(error) => error.is_unavailable(),
            Self::Shared(error) => error.is_unavailable(),
            Self::Engine(error) => error.is_unavailable(),
            Self::Closed => true,
            Self::Missing { .. }
            | Self::LeaseLost(_)
            | Self::OwnedByJob(_)
            | Self::RunOwnedByJob
            | Self::KeyReused
            | Self::KeyRevoked => false,
        }
    }

    /// Whether the rows at hand are to blame, not the database as a whole.
    pub(super) fn is_about_rows(&self) -> bool {
        match self {
            Self::Store(error) => error.is_about_rows(),
            Self::Shared(error) => error.is_about_rows(),
            Self::Engine(error) => error.is_about_rows(),
            Self::Missing { .. }
            | Self::LeaseLost(_)
            | Self::OwnedByJob(_)
            | Self::RunOwnedByJob
            | Self::KeyReused
            | Self::KeyRevoked
            | Self::Closed => false,
        }
    }

    pub(crate) fn missing(what: Missing) -> Self {
        Self::Missing { what, item: 0 }
    }
}
