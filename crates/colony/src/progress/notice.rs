//! What there is to say about a run.

use std::time::Duration;

use colony_core::job::JobError;
use colony_core::state::{JobState, JobTaskState};
use colony_core::time::Timestamp;

/// Something that a person or program is told.
#[derive(Debug, Clone, PartialEq)]
pub(crate) struct Notice {
    /// When it happened.
    pub(crate) at: Timestamp,
    /// What happened.
    pub(crate) kind: NoticeKind,
}

/// What happened.
#[derive(Debug, Clone, PartialEq)]
pub(crate) enum NoticeKind {
    /// The request was stored.
    Submitted { request_id: String, job: String },
    /// The request waits for a reason that has lasted a while.
    Waiting { reason: String },
    /// An attempt began.
    TaskStarted { task: String, attempt: u32 },
    /// An attempt wrote a line.
    Output {
        task: String,
        attempt: u32,
        line: Line,
    },
    /// An attempt failed; another one follows.
    TaskRetries {
        task: String,
        attempt: u32,
        exit_code: String,
        error: Option<JobError>,
    },
    /// A task is over.
    TaskEnded(TaskEnd),
    /// Some events were lost on the way to the display.
    Missed { events: u64 },
    /// The program does something that is not part of the job.
    Remark { text: String },
    /// The run is over.
    Ended {
        state: JobState,
        error: Option<JobError>,
    },
}

/// How a task ended.
#[derive(Debug, Clone, PartialEq)]
pub(crate) struct TaskEnd {
    pub(crate) task: String,
    pub(crate) state: JobTaskState,
    /// Attempts that were seen.
    pub(crate) attempts: u32,
    pub(crate) exit_code: String,
    /// From the first attempt on; none when there was no attempt.
    pub(crate) took: Option<Duration>,
    pub(crate) error: Option<JobError>,
    /// The last lines of its output.
    pub(crate) tail: Vec<String>,
}

/// A line of output.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Line {
    /// RFC 3339.
    pub(crate) time: String,
    /// `stdout`, `stderr` or `system`.
    pub(crate) stream: String,
    /// The text.
    pub(crate) text: String,
    /// The line was cut because of its length and goes on in the next one.
    pub(crate) partial: bool,
}
