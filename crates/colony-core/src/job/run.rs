//! The state of a run that decisions read and change.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

use crate::plan::TaskPlan;
use crate::state::{JobState, JobTaskState};
use crate::text::storable;
use crate::time::Timestamp;

/// Why a task or job did not succeed.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct JobError {
    /// An `ERR_…` word.
    pub code: String,
    /// For people.
    pub message: String,
}

impl JobError {
    /// An error of that code.
    pub fn new(code: &str, message: impl Into<String>) -> Self {
        Self {
            code: storable(code.to_owned()),
            message: storable(message.into()),
        }
    }
}

/// How the job ends, decided before its clean-up runs.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Verdict {
    /// COMPLETED, FAILED or CANCELLED.
    pub state: JobState,
    /// Set unless COMPLETED.
    pub error: Option<JobError>,
}

/// Where a run is on its way.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Phase {
    /// Follows the path of tasks.
    Walking,
    /// Waits for the delay before the next attempt of the job; no task is active.
    Retrying,
    /// The path is over, or leaves the ants for a while: running attempts are being stopped.
    Stopping,
    /// The verdict is known; `always_run` tasks run.
    Cleaning,
    /// Out of the ants' hands: paused, sent back to the queue, or waiting for a person.
    Suspended,
    /// Over.
    Ended,
}

/// Why a running attempt was told to stop.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum StopReason {
    /// A user cancelled the job.
    Cancelled,
    /// The task's attempts took longer than its timeout.
    TaskTimedOut,
    /// The job took longer than its timeout.
    JobTimedOut,
    /// Another task failed, and the job with it.
    JobFailed,
    /// Another task paused the job.
    JobPaused,
    /// Another task sent the job back to the queue.
    JobRestarted,
}

/// One task's latest record in a run.
#[derive(Debug, Clone, PartialEq)]
pub struct TaskRun {
    /// Where it is.
    pub state: JobTaskState,
    /// The pass in which it last ran or was visited.
    pub pass: u32,
    /// Number of the task run within the run: the order in which tasks were started.
    pub seq: u32,
    /// Exit code of the last attempt.
    pub exit_code: String,
    /// Set when FAILED or CANCELLED.
    pub error: Option<JobError>,
    /// Failed attempts, counted against `retry`.
    pub failed_attempts: u32,
    /// `TaskRetry`: attempts and polls done before this one.
    pub retries: u32,
    /// Attempts whose ant was lost.
    pub losses: u32,
    /// When all its attempts must be over; set when the first one starts.
    pub deadline: Option<Timestamp>,
    /// Set when its attempt was told to stop.
    pub stop: Option<StopReason>,
    /// State and error code before a route changed them (contexts `OldStatus`,
    /// `OriginalErrorCode`).
    pub overridden: Option<(String, String)>,
    /// The result was taken over from an earlier execution of the request.
    pub reused: bool,
    /// The task's control flow as rendered for this run, where it differs from the plan's.
    pub control: Option<Box<TaskPlan>>,
}

impl TaskRun {
    /// A new record, waiting for an ant.
    pub fn ready(pass: u32, seq: u32) -> Self {
        Self {
            state: JobTaskState::Ready,
            pass,
            seq,
            exit_code: String::new(),
            error: None,
            failed_attempts: 0,
            retries: 0,
            losses: 0,
            deadline: None,
            stop: None,
            overridden: None,
            reused: false,
            control: None,
        }
    }

    /// The completed record of an earlier execution, reused when the path reaches it
    /// (`job-definitions` 7.5, soft restart).
    pub fn completed_before(exit_code: String) -> Self {
        Self {
            state: JobTaskState::Completed,
            exit_code,
            reused: true,
            ..Self::ready(0, 0)
        }
    }
}

/// A run of a job.
#[derive(Debug, Clone, PartialEq)]
pub struct JobRun {
    /// Where it is.
    pub phase: Phase,
    /// Grows each time the path is walked from the first task; tasks completed in an earlier pass
    /// are skipped.
    pub pass: u32,
    /// Attempts of the job in this run, counted against its `retry`.
    pub job_retries: u32,
    /// `JobRetry`: retries, restarts and resumptions of the request, over all its runs.
    pub retried: u32,
    /// Pauses and restarts asked by tasks, over all runs of the request.
    pub paused_count: u32,
    /// Tasks started so far.
    pub task_runs: u32,
    /// When this pass and its retries must be over.
    pub deadline: Timestamp,
    /// How the run will end; set while stopping and cleaning.
    pub verdict: Option<Verdict>,
    /// A second cancel came: do not run what is left of the clean-up.
    pub skip_cleanup: bool,
    /// Latest record of each task that was reached.
    pub tasks: BTreeMap<String, TaskRun>,
}

impl JobRun {
    /// A run that was not launched yet. `earlier` are completed tasks of the request's previous
    /// execution that may be reused.
    pub fn new(retried: u32, paused_count: u32, earlier: BTreeMap<String, TaskRun>) -> Self {
        Self {
            phase: Phase::Suspended,
            pass: 0,
            job_retries: 0,
            retried,
            paused_count,
            task_runs: 0,
            deadline: Timestamp::default(),
            verdict: None,
            skip_cleanup: false,
            tasks: earlier,
        }
    }
}
