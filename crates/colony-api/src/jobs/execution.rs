//! Job executions and their tasks (`formicary-api` 6.5, 6.6).

use colony_core::state::JobState;
use serde::{Deserialize, Serialize};

use crate::jobs::{Artifact, Time};

/// One execution of a job.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct JobExecution {
    /// Its id; that of its run in the ledger.
    pub id: String,
    /// Its request.
    pub job_request_id: String,
    /// Name of the job.
    pub job_type: String,
    /// `sem_version` of the definition.
    pub job_version: String,
    /// Where it is.
    pub job_state: JobState,
    /// Owner.
    pub organization_id: String,
    /// Who submitted the job.
    pub user_id: String,
    /// Task at work; may be empty.
    pub current_task: String,
    /// Exit code of the task that decided the end.
    pub exit_code: String,
    /// What that task said.
    pub exit_message: String,
    /// Why it failed; may be empty.
    pub error_code: String,
    /// Why it failed.
    pub error_message: String,
    /// Values that tasks exported, by name.
    pub contexts: Vec<Context>,
    /// Tasks in the order in which they were started.
    pub tasks: Vec<TaskExecution>,
    /// When it started.
    pub started_at: Time,
    /// When it ended.
    pub ended_at: Option<Time>,
    /// Last change.
    pub updated_at: Time,
    /// Billed seconds.
    pub cpu_secs: i64,
}

/// A task of a job execution.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct TaskExecution {
    /// Its id; that of its task in the ledger.
    pub id: String,
    /// The execution.
    pub job_execution_id: String,
    /// Name of the task.
    pub task_type: String,
    /// Which executor did it.
    pub method: String,
    /// Where it is.
    pub task_state: JobState,
    /// Its failure does not fail the job.
    pub allow_failure: bool,
    /// Exit code of its last attempt.
    pub exit_code: String,
    /// Free text.
    pub exit_message: String,
    /// Why it failed; may be empty.
    pub error_code: String,
    /// Why it failed.
    pub error_message: String,
    /// The command that failed.
    pub failed_command: String,
    /// The reviewer's.
    pub comments: String,
    /// Ant of its last attempt.
    pub ant_id: String,
    /// Host of that ant.
    pub ant_host: String,
    /// Attempts before the last one.
    pub retried: u32,
    /// Values that it exported.
    pub contexts: Vec<Context>,
    /// Its artifacts, logs included.
    pub artifacts: Vec<Artifact>,
    /// Place in the definition, from 0.
    pub task_order: i64,
    /// Service containers beside it.
    pub count_services: usize,
    /// Weight in billing.
    pub cost_factor: f64,
    /// When its first attempt started.
    pub started_at: Time,
    /// When it ended.
    pub ended_at: Option<Time>,
    /// Last change.
    pub updated_at: Time,
    /// Always null: its output is in its log.
    pub stdout: Option<Vec<String>>,
}

/// A named value of an execution or of a task.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Context {
    /// Its name.
    pub name: String,
    /// Type of the original value, such as `string` or `float64`.
    pub kind: String,
    /// The text itself, or JSON.
    pub value: String,
    /// Not to be shown.
    pub secret: bool,
    /// Its id.
    pub id: String,
    /// The execution, for values of executions.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub job_execution_id: Option<String>,
    /// The task, for values of tasks.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub task_execution_id: Option<String>,
    /// When it was written.
    pub created_at: Time,
}
