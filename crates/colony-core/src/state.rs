//! The states of requests, runs and tasks, in the words of both APIs.

use std::fmt;
use std::str::FromStr;

use serde::{Deserialize, Serialize};

/// A word that is not one of an enumeration.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("`{word}` is not a {kind}")]
pub struct UnknownWord {
    kind: &'static str,
    word: String,
}

/// Declares an enumeration with its words, for text, storage and JSON alike.
macro_rules! words {
    ($(#[$doc:meta])* $name:ident as $kind:literal { $($(#[$vdoc:meta])* $variant:ident = $word:literal),* $(,)? }) => {
        $(#[$doc])*
        #[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
        pub enum $name {$(
            $(#[$vdoc])*
            #[serde(rename = $word)]
            $variant,
        )*}

        impl $name {
            /// Every word, in the order of the specification.
            pub const ALL: &'static [Self] = &[$(Self::$variant),*];

            /// The word itself.
            pub const fn as_str(self) -> &'static str {
                match self {$(Self::$variant => $word,)*}
            }
        }

        impl fmt::Display for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.pad(self.as_str())
            }
        }

        impl FromStr for $name {
            type Err = UnknownWord;

            fn from_str(word: &str) -> Result<Self, UnknownWord> {
                Self::ALL
                    .iter()
                    .copied()
                    .find(|state| state.as_str() == word)
                    .ok_or_else(|| UnknownWord { kind: $kind, word: word.to_owned() })
            }
        }
    };
}

words! {
    /// State of a request and of a job execution (`formicary-api` 5.1).
    JobState as "job state" {
        /// Waits for the scheduler.
        Pending = "PENDING",
        /// Picked up, about to run.
        Ready = "READY",
        /// Historical; behaves as executing.
        Started = "STARTED",
        /// Running.
        Executing = "EXECUTING",
        /// Stopped for a while; the scheduler resumes it.
        Paused = "PAUSED",
        /// Waits for a person.
        ManualApprovalRequired = "MANUAL_APPROVAL_REQUIRED",
        /// Succeeded.
        Completed = "COMPLETED",
        /// Did not succeed.
        Failed = "FAILED",
        /// Stopped by a user.
        Cancelled = "CANCELLED",
    }
}

impl JobState {
    /// Nothing more happens without a restart.
    pub const fn is_terminal(self) -> bool {
        matches!(self, Self::Completed | Self::Failed | Self::Cancelled)
    }

    /// Holds one of the slots of its definition's `max_concurrency`.
    pub const fn is_running(self) -> bool {
        matches!(self, Self::Ready | Self::Started | Self::Executing)
    }
}

words! {
    /// Status of a run in the ledger (`foreman-api` 6.1).
    RunStatus as "run status" {
        /// Created.
        Pending = "pending",
        /// At work.
        Running = "running",
        /// Succeeded.
        Completed = "completed",
        /// Did not succeed.
        Failed = "failed",
        /// Stopped.
        Cancelled = "cancelled",
    }
}

impl RunStatus {
    /// `completed`, `failed` or `cancelled`.
    pub const fn is_terminal(self) -> bool {
        matches!(self, Self::Completed | Self::Failed | Self::Cancelled)
    }
}

impl From<JobState> for RunStatus {
    /// How a job execution shows in the ledger.
    fn from(state: JobState) -> Self {
        match state {
            JobState::Pending => Self::Pending,
            JobState::Ready
            | JobState::Started
            | JobState::Executing
            | JobState::Paused
            | JobState::ManualApprovalRequired => Self::Running,
            JobState::Completed => Self::Completed,
            JobState::Failed => Self::Failed,
            JobState::Cancelled => Self::Cancelled,
        }
    }
}

words! {
    /// Status of a task in the ledger (`foreman-api` 6.2).
    TaskStatus as "task status" {
        /// Created.
        Pending = "pending",
        /// Offered to whoever may do it.
        Queued = "queued",
        /// At work.
        Running = "running",
        /// Succeeded.
        Completed = "completed",
        /// Did not succeed.
        Failed = "failed",
        /// Stopped.
        Cancelled = "cancelled",
        /// Failed and waits to be tried again.
        Retrying = "retrying",
    }
}

impl TaskStatus {
    /// `completed`, `failed` or `cancelled`.
    pub const fn is_terminal(self) -> bool {
        matches!(self, Self::Completed | Self::Failed | Self::Cancelled)
    }
}

words! {
    /// State of a job's task (`job-definitions` 6.1), with the two kinds of waiting told apart.
    JobTaskState as "task state" {
        /// Waits for an ant or worker.
        Ready = "READY",
        /// Waits for the delay before its next attempt or poll.
        Delayed = "DELAYED",
        /// An attempt holds a lease.
        Executing = "EXECUTING",
        /// Interrupted by a pause of the job.
        Paused = "PAUSED",
        /// Waits for a person.
        ManualApprovalRequired = "MANUAL_APPROVAL_REQUIRED",
        /// Succeeded.
        Completed = "COMPLETED",
        /// Did not succeed.
        Failed = "FAILED",
        /// Stopped.
        Cancelled = "CANCELLED",
    }
}

impl JobTaskState {
    /// The task's attempts are over, for this pass through the job.
    pub const fn is_terminal(self) -> bool {
        matches!(self, Self::Completed | Self::Failed | Self::Cancelled)
    }

    /// The word that the Jobs API shows: it knows no delay between attempts.
    pub const fn api_str(self) -> &'static str {
        match self {
            Self::Delayed => "EXECUTING",
            Self::Ready
            | Self::Executing
            | Self::Paused
            | Self::ManualApprovalRequired
            | Self::Completed
            | Self::Failed
            | Self::Cancelled => self.as_str(),
        }
    }
}

impl From<JobTaskState> for TaskStatus {
    /// How a job's task shows in the ledger.
    fn from(state: JobTaskState) -> Self {
        match state {
            JobTaskState::Ready => Self::Queued,
            JobTaskState::Delayed => Self::Retrying,
            JobTaskState::Executing => Self::Running,
            JobTaskState::Paused | JobTaskState::ManualApprovalRequired => Self::Pending,
            JobTaskState::Completed => Self::Completed,
            JobTaskState::Failed => Self::Failed,
            JobTaskState::Cancelled => Self::Cancelled,
        }
    }
}
