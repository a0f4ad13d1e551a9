//! Job requests (`formicary-api` 6.4).

use colony_core::state::JobState;
use serde::{Deserialize, Serialize};
use serde_json::{Map, Value};

use crate::jobs::{DurationInput, JobExecution, Nanos, Time};

/// A wish to run a definition, and what became of it.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct JobRequest {
    /// Its id.
    pub id: String,
    /// Request that forked this one; may be empty.
    pub parent_id: String,
    /// Unique among unfinished requests.
    pub user_key: String,
    /// The version that it is pinned to.
    pub job_definition_id: String,
    /// Current execution; empty before the first one.
    pub job_execution_id: String,
    /// Previous execution; may be empty.
    pub last_job_execution_id: String,
    /// Owner.
    pub organization_id: String,
    /// Who submitted it.
    pub user_id: String,
    /// Unused.
    pub permissions: i64,
    /// For people.
    pub description: String,
    /// For filtering.
    pub platform: String,
    /// Name of the job.
    pub job_type: String,
    /// Wanted `sem_version`; empty = the newest.
    pub job_version: String,
    /// Where it is.
    pub job_state: JobState,
    /// For filtering.
    pub job_group: String,
    /// Higher first.
    pub job_priority: i64,
    /// Limit of the job; 0 = the definition's.
    pub timeout: Nanos,
    /// How often the scheduler looked at it.
    pub schedule_attempts: u32,
    /// Retries and restarts of the job.
    pub retried: u32,
    /// Pauses.
    pub paused_count: u32,
    /// Made by cron.
    pub cron_triggered: bool,
    /// Text for free searches.
    pub quick_search: String,
    /// Why it failed; may be empty.
    pub error_code: String,
    /// Why it failed, or what it waits for.
    pub error_message: String,
    /// Task that waits for approval, or resume point.
    pub current_task: String,
    /// Not before this time.
    pub scheduled_at: Time,
    /// When it was submitted.
    pub created_at: Time,
    /// Last change.
    pub updated_at: Time,
    /// The next run repeats every task.
    pub hard_restart: bool,
    /// Cancelled with its parent.
    pub cascade_cancel: bool,
    /// Only when one request is read, and only once it runs.
    pub execution: Option<JobExecution>,
    /// Parameters.
    pub params: Map<String, Value>,
}

/// Body of `POST /api/jobs/requests`.
#[derive(Debug, Clone, PartialEq, Default, Serialize, Deserialize)]
#[serde(default)]
pub struct SubmitRequest {
    /// Name of the job. Required.
    pub job_type: String,
    /// Wanted `sem_version`.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub job_version: Option<String>,
    /// Parameters: strings, numbers, booleans, lists and objects.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub params: Option<Map<String, Value>>,
    /// Not before this time.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub scheduled_at: Option<Time>,
    /// For people.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub description: Option<String>,
    /// For filtering.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub platform: Option<String>,
    /// For filtering.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub job_group: Option<String>,
    /// Higher first.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub job_priority: Option<i64>,
    /// Limit of the job.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub timeout: Option<DurationInput>,
    /// Unique among unfinished requests.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub user_key: Option<String>,
    /// Request that this one belongs to.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub parent_id: Option<String>,
}
