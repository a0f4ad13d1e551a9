//! What happens to a run, and what it wants done.

use std::time::Duration;

use super::run::{JobError, StopReason};
use crate::id::RequestId;
use crate::state::JobState;
use crate::text::storable;
use crate::time::Timestamp;

/// Something that happened.
#[derive(Debug, Clone, PartialEq)]
pub enum Event {
    /// The scheduler picked the request: start, or go on after a suspension.
    Launched {
        /// Limit of the job that the request sets in place of the definition's.
        timeout: Option<Duration>,
    },
    /// The current attempt of a task ended.
    AttemptEnded {
        /// The task.
        task: String,
        /// How.
        end: AttemptEnd,
    },
    /// Nobody works on the attempt any more.
    AttemptLost {
        /// The task.
        task: String,
        /// False when nobody is to blame (given back, queen restarted): not counted.
        counts: bool,
        /// What is known of it.
        message: String,
    },
    /// A person decided about a task that waits for one.
    Reviewed {
        /// The task.
        task: String,
        /// Whether it may pass.
        approved: bool,
        /// What the person says; the reason of a rejection.
        comments: String,
    },
    /// A child that a task waits for ended.
    ChildEnded {
        /// The task.
        task: String,
        /// The child.
        child: RequestId,
        /// How many children of the task are still at work.
        left: u32,
        /// What the task's children come to: the end of the first one that failed, in their order,
        /// else a success. Counts once none is left.
        end: AttemptEnd,
    },
    /// The time that a [`Effect::WakeTask`] asked for has come.
    TaskDue {
        /// The task.
        task: String,
    },
    /// A task's attempts took longer than its timeout.
    TaskTimedOut {
        /// The task.
        task: String,
    },
    /// The delay before the job's next attempt is over.
    JobRetryDue,
    /// The job's deadline passed.
    JobTimedOut,
    /// A user wants it stopped.
    CancelAsked,
}

/// How an attempt ended, as reported.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct AttemptEnd {
    /// What the executor says.
    pub status: EndStatus,
    /// Exit code, any text.
    pub exit_code: String,
    /// The executor's own code, if any.
    pub error_code: Option<String>,
    /// Why it failed.
    pub message: String,
    /// The cause will not go away by trying again (a template error, say).
    pub retryable: bool,
}

impl AttemptEnd {
    /// A success with that exit code.
    pub fn completed(exit_code: impl Into<String>) -> Self {
        Self {
            status: EndStatus::Completed,
            exit_code: storable(exit_code.into()),
            error_code: None,
            message: String::new(),
            retryable: true,
        }
    }

    /// A failure with that exit code.
    pub fn failed(exit_code: impl Into<String>, message: impl Into<String>) -> Self {
        Self {
            status: EndStatus::Failed,
            message: storable(message.into()),
            ..Self::completed(exit_code)
        }
    }

    /// The same, with the executor's own error code.
    #[must_use]
    pub fn with_code(self, code: &str) -> Self {
        Self {
            error_code: Some(storable(code.to_owned())),
            ..self
        }
    }
}

/// What an executor says of an attempt.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum EndStatus {
    /// It succeeded.
    Completed,
    /// It did not.
    Failed,
    /// It was stopped, as asked.
    Cancelled,
    /// Not done yet: call again after the task's delay.
    Executing,
}

/// Something to be done once the decision is stored; safe to repeat.
#[derive(Debug, Clone, PartialEq)]
pub enum Effect {
    /// Offer the task to ants.
    Offer {
        /// The task.
        task: String,
    },
    /// Send [`Event::TaskDue`] at that time.
    WakeTask {
        /// The task.
        task: String,
        /// When.
        at: Timestamp,
    },
    /// Tell the ant of the task's attempt to stop.
    Stop {
        /// The task.
        task: String,
        /// Why.
        reason: StopReason,
    },
    /// Make the task's children, and send [`Event::ChildEnded`] for each one that it waits for. What
    /// waits for none, or cannot make them, ends the attempt ([`Event::AttemptEnded`]).
    StartChildren {
        /// The task.
        task: String,
    },
    /// Send [`Event::ChildEnded`] for each child of other tasks that the task waits for, also if
    /// they have ended already. A task that can wait for none ends the attempt.
    AwaitChildren {
        /// The task.
        task: String,
    },
    /// Cancel the children that the task waits for; their ends are still to be told. A task that
    /// has none left ends the attempt.
    StopChildren {
        /// The task.
        task: String,
        /// Why.
        reason: StopReason,
    },
    /// Ask for a person's decision about the task: [`Event::Reviewed`].
    AskReview {
        /// The task.
        task: String,
    },
    /// Take the task back: nobody is to start it or to decide about it any more.
    Withdraw {
        /// The task.
        task: String,
    },
    /// Send [`Event::JobRetryDue`] at that time.
    WakeJob {
        /// When.
        at: Timestamp,
    },
    /// The request waits in that state (PENDING or PAUSED) until that time, then the scheduler
    /// picks it again.
    Requeue {
        /// PENDING or PAUSED.
        state: JobState,
        /// When.
        at: Timestamp,
    },
    /// The request waits for a person: nothing else of its run is at work.
    AwaitApproval {
        /// The first task that waits for one.
        task: String,
    },
    /// The request's state is final from now on, though the run may still clean up.
    EndRequest {
        /// COMPLETED, FAILED or CANCELLED.
        state: JobState,
        /// Set unless COMPLETED.
        error: Option<JobError>,
    },
    /// The run is over and gives back its slot.
    EndRun {
        /// COMPLETED, FAILED or CANCELLED.
        state: JobState,
        /// Set unless COMPLETED.
        error: Option<JobError>,
    },
}
