//! Why a call failed.

use crate::jobs::ErrorDetail;

/// Why a call failed. Messages read after "failed to …"-less sentences: they stand alone.
#[derive(Debug, thiserror::Error)]
pub enum ClientError {
    /// The address is none.
    #[error("`{url}` is not the address of a queen: {problem}; write it as http://127.0.0.1:7777")]
    BadUrl {
        /// As given.
        url: String,
        /// What is wrong with it.
        problem: String,
    },
    /// The client could not be made.
    #[error("the HTTP client cannot be set up")]
    Setup(#[source] reqwest::Error),
    /// Nobody answered.
    #[error(
        "cannot connect to the queen at {url}; start one with `colony queen`, or set COLONY_URL to \
         the address of a running one"
    )]
    Connect {
        /// Where.
        url: String,
        /// Why.
        #[source]
        source: reqwest::Error,
    },
    /// The connection broke, or the answer took too long.
    #[error("the connection to the queen at {url} broke before the answer was complete")]
    Transport {
        /// Where.
        url: String,
        /// Why.
        #[source]
        source: reqwest::Error,
    },
    /// The queen answered with an error.
    #[error("{0}")]
    Api(Box<ApiFailure>),
    /// The answer is not what this client understands.
    #[error("the answer of {url} is not understood; is it a colony queen of this version?")]
    Unexpected {
        /// Where.
        url: String,
        /// What is wrong.
        #[source]
        source: serde_json::Error,
    },
}

/// An error that the queen answered with.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{message}")]
pub struct ApiFailure {
    /// HTTP status.
    pub status: u16,
    /// The class, such as `NotFound`; may be empty.
    pub code: String,
    /// For people.
    pub message: String,
    /// What is wrong in particular.
    pub details: Vec<ErrorDetail>,
}

impl ClientError {
    /// What the queen answered, when it answered with an error.
    pub fn failure(&self) -> Option<&ApiFailure> {
        match self {
            Self::Api(failure) => Some(failure),
            Self::BadUrl { .. }
            | Self::Setup(_)
            | Self::Connect { .. }
            | Self::Transport { .. }
            | Self::Unexpected { .. } => None,
        }
    }

    /// HTTP status, when the queen answered with an error.
    pub fn status(&self) -> Option<u16> {
        self.failure().map(|failure| failure.status)
    }

    /// The same call may succeed later without any change: nobody answered, or 503.
    pub fn is_retryable(&self) -> bool {
        match self {
            Self::Connect { .. } | Self::Transport { .. } => true,
            Self::Api(failure) => failure.status == 503,
            Self::BadUrl { .. } | Self::Setup(_) | Self::Unexpected { .. } => false,
        }
    }
}
