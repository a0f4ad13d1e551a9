//! The control flow of a job: what decisions need to know of a definition.

use std::collections::BTreeMap;
use std::time::Duration;

use serde::{Deserialize, Serialize};

use crate::backoff::Wait;
use crate::method::Method;

/// Limit of a task without a `timeout` (`job-definitions` B, `max_task_timeout`).
pub const DEFAULT_TASK_TIMEOUT: Duration = Duration::from_secs(60 * 60);
/// Limit of a job without a `timeout` (`job-definitions` B, `max_job_timeout`).
pub const DEFAULT_JOB_TIMEOUT: Duration = Duration::from_secs(2 * 60 * 60);
/// `max_concurrency` of a definition that does not set it (`job-definitions` 2).
pub const DEFAULT_MAX_CONCURRENCY: u32 = 3;

/// A job's tasks and its own limits.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Plan {
    /// The tasks in the order of the definition; never empty.
    pub tasks: Vec<TaskPlan>,
    /// Name of the task that runs first (`job-definitions` 6.2).
    pub first: String,
    /// Extra attempts of the whole job.
    pub retry: u32,
    /// Between attempts of the job.
    pub wait: Wait,
    /// Limit of one pass of the job, all retries included.
    pub timeout: Duration,
    /// How long a paused job rests; none = a random 30 to 39 s.
    pub pause_time: Option<Duration>,
    /// Every (n + 1)-th retry runs everything again; 0 = never.
    pub hard_reset_after_retries: u32,
}

impl Plan {
    /// The task of that name.
    pub fn task(&self, name: &str) -> Option<&TaskPlan> {
        self.tasks.iter().find(|task| task.name == name)
    }
}

/// A task's place in the control flow.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct TaskPlan {
    /// `task_type`, unique in the job.
    pub name: String,
    /// Which executor does it.
    pub method: Method,
    /// What an ant must have, lower case, sorted.
    pub tags: Vec<String>,
    /// Exit code or state (upper case) to target: `on_exit_code` merged with `on_completed` and
    /// `on_failed`, which win (`job-definitions` 3.1).
    pub routes: BTreeMap<String, Target>,
    /// Extra attempts.
    pub retry: u32,
    /// Between attempts and polls.
    pub wait: Wait,
    /// Limit of all attempts and polls together.
    pub timeout: Duration,
    /// A final failure neither stops nor fails the job.
    pub allow_failure: bool,
    /// Runs even when the path did not reach it.
    pub always_run: bool,
    /// Runs again on resume and restart even if it completed.
    pub allow_start_if_completed: bool,
    /// How long its artifacts are kept; `None` as long as the server says.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub artifacts_kept: Option<Duration>,
}

/// Where a route leads (`job-definitions` 6.4).
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Target {
    /// Another task, or the same one.
    Task(String),
    /// Several tasks at once.
    Tasks(Vec<String>),
    /// The task counts as completed.
    Completed,
    /// The task counts as failed.
    Failed,
    /// Failed, without any retry.
    Fatal,
    /// Run the same task again after its delay.
    Executing,
    /// Failed; uses up one retry and runs the task again.
    RestartTask,
    /// The job goes back to the queue.
    RestartJob,
    /// The job rests for its pause time.
    PauseJob,
    /// Task and job wait for a person.
    WaitForApproval,
    /// Failed with this `ERR_…` code.
    ErrorCode(String),
}

impl Target {
    /// The tasks that it leads to; none for a reserved word.
    pub fn tasks(&self) -> &[String] {
        match self {
            Self::Task(name) => std::slice::from_ref(name),
            Self::Tasks(names) => names,
            Self::Completed
            | Self::Failed
            | Self::Fatal
            | Self::Executing
            | Self::RestartTask
            | Self::RestartJob
            | Self::PauseJob
            | Self::WaitForApproval
            | Self::ErrorCode(_) => &[],
        }
    }

    /// Reads a target word. `is_task` tells whether a task of that name exists: it wins over
    /// `ERR_…`, no other reserved word may name a task.
    pub fn parse(word: &str, is_task: bool) -> Option<Self> {
        match word {
            "COMPLETED" => Some(Self::Completed),
            "FAILED" => Some(Self::Failed),
            "FATAL" => Some(Self::Fatal),
            "EXECUTING" => Some(Self::Executing),
            "RESTART_TASK" => Some(Self::RestartTask),
            "RESTART_JOB" => Some(Self::RestartJob),
            "PAUSE_JOB" | "PAUSED" => Some(Self::PauseJob),
            "WAIT_FOR_APPROVAL" => Some(Self::WaitForApproval),
            _ if is_task => Some(Self::Task(word.to_owned())),
            _ if word.starts_with("ERR_") => Some(Self::ErrorCode(word.to_owned())),
            _ => None,
        }
    }
}
