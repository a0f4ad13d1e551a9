//! Why a use-case did not happen.

use colony_core::id::RequestId;
use colony_spec::Diagnostic;
use colony_store::{ListError, StoreError};

/// Why a use-case did not happen. Each kind is one that callers treat differently.
#[derive(Debug, thiserror::Error)]
pub enum EngineError {
    /// There is no such object within the caller's scope.
    #[error("there is no {kind} `{name}`")]
    NotFound {
        /// What was looked for.
        kind: &'static str,
        /// As the caller named it.
        name: String,
    },
    /// The caller's input breaks a rule.
    #[error("{0}")]
    Invalid(String),
    /// A definition breaks rules of the language.
    #[error("{}", first_message(.0))]
    InvalidDefinition(Vec<Diagnostic>),
    /// The object is in a state that does not allow the call.
    #[error("{0}")]
    Conflict(String),
    /// An unfinished request holds the `user_key`.
    #[error("user_key is held by the unfinished request {by}")]
    KeyTaken {
        /// That request.
        by: RequestId,
    },
    /// A row that it is about makes no sense.
    #[error("{0}")]
    Unreadable(String),
    /// The database failed.
    #[error("failed to {0}")]
    Store(#[from] StoreError),
    /// The object store failed.
    #[error("failed to read a stored object")]
    Objects(#[from] object_store::Error),
}

impl EngineError {
    /// Whether the rows at hand are to blame, not the database as a whole: others can be served.
    pub(crate) fn is_about_rows(&self) -> bool {
        match self {
            Self::Store(error) => error.is_about_rows(),
            Self::Objects(_) => false,
            Self::NotFound { .. }
            | Self::Invalid(_)
            | Self::InvalidDefinition(_)
            | Self::Conflict(_)
            | Self::KeyTaken { .. }
            | Self::Unreadable(_) => true,
        }
    }

    /// Whether the database as a whole is to blame: the same call may succeed later.
    pub fn is_unavailable(&self) -> bool {
        matches!(self, Self::Store(error) if error.is_unavailable())
    }

    pub(crate) fn not_found(kind: &'static str, name: impl std::fmt::Display) -> Self {
        Self::NotFound {
            kind,
            name: name.to_string(),
        }
    }
}

impl From<ListError> for EngineError {
    fn from(error: ListError) -> Self {
        match error {
            ListError::Invalid(message) => Self::Invalid(message),
            ListError::Store(error) => Self::Store(error),
        }
    }
}

fn first_message(diagnostics: &[Diagnostic]) -> String {
    diagnostics
        .first()
        .map_or_else(String::new, |first| first.message.clone())
}
