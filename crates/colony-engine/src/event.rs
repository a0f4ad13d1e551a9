//! What watchers in this process hear of runs: after the commit, best effort.

use colony_core::id::{AttemptRef, RequestId};
use colony_core::job::JobError;
use colony_core::state::{JobState, JobTaskState};
use colony_core::time::Timestamp;

/// Something that happened to a run of a job.
#[derive(Debug, Clone)]
pub struct RunEvent {
    /// The request.
    pub request_id: RequestId,
    /// When.
    pub at: Timestamp,
    /// What.
    pub kind: RunEventKind,
}

/// What happened.
#[derive(Debug, Clone)]
pub enum RunEventKind {
    /// An attempt of a task was sent to an ant.
    TaskStarted {
        /// The task.
        task: String,
        /// The attempt.
        attempt: AttemptRef,
        /// Number of the attempt, from 0.
        retry: u32,
    },
    /// A running attempt wrote output: lines in the CRI log format.
    Output {
        /// The attempt.
        attempt: AttemptRef,
        /// Whole lines.
        text: String,
    },
    /// A task reached a state in which its attempts are over, or waits before the next one.
    TaskChanged {
        /// The task.
        task: String,
        /// Its state.
        state: JobTaskState,
        /// Exit code of its last attempt.
        exit_code: String,
        /// Why it failed.
        error: Option<JobError>,
    },
    /// The request waits for the reason given.
    Waiting {
        /// Why.
        reason: String,
    },
    /// The run is over.
    RunEnded {
        /// COMPLETED, FAILED or CANCELLED.
        state: JobState,
        /// Why it failed.
        error: Option<JobError>,
    },
}
