//! Why a call failed.

use crate::runs::ErrorBody;

/// Why a call failed. Messages read after "failed to …".
#[derive(Debug, thiserror::Error)]
pub enum ClientError {
    /// The address is none.
    #[error("use `{url}` as the address of a server: {problem}; write it as http://127.0.0.1:7777")]
    BadUrl {
        /// As given.
        url: String,
        /// What is wrong with it.
        problem: String,
    },
    /// The server could not be reached, or its answer broke off.
    #[error("call the server")]
    Transport(#[from] reqwest::Error),
    /// The answer is not what this client understands.
    #[error("understand the answer of the server; is it a colony queen of this version?")]
    Unexpected(#[source] serde_json::Error),
    /// The server refused.
    #[error("have the server do it: it answered {status}: {}", body.error)]
    Refused {
        /// HTTP status.
        status: u16,
        /// What it said.
        body: Box<ErrorBody>,
    },
}

impl ClientError {
    /// The HTTP status with which the server refused.
    pub fn status(&self) -> Option<u16> {
        match self {
            Self::Refused { status, .. } => Some(*status),
            Self::BadUrl { .. } | Self::Transport(_) | Self::Unexpected(_) => None,
        }
    }

    /// Whether the same call may succeed a little later.
    pub fn is_retryable(&self) -> bool {
        match self {
            Self::Transport(error) => !error.is_builder(),
            Self::Refused { status, .. } => *status == 429 || *status >= 500,
            Self::BadUrl { .. } | Self::Unexpected(_) => false,
        }
    }
}
