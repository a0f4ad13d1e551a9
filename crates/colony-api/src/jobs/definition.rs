//! Job definitions (`formicary-api` 6.1).

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};
use serde_json::{Map, Value};

use crate::jobs::{Backoff, Nanos, Notify, Resource, TaskDefinition, Time, Trigger};

/// A stored version of a job.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct JobDefinition {
    /// Id of this version.
    pub id: String,
    /// Name, unique per owner.
    pub job_type: String,
    /// The author's version; may be empty.
    pub sem_version: String,
    /// Informational address.
    pub url: String,
    /// Who saved it.
    pub user_id: String,
    /// Owner.
    pub organization_id: String,
    /// For people.
    pub description: String,
    /// For filtering.
    pub platform: String,
    /// When it starts by itself; may be empty.
    pub cron_trigger: String,
    /// Limit of the whole job; 0 = the server's default.
    pub timeout: Nanos,
    /// Delay before a paused job resumes.
    pub pause_time: Nanos,
    /// Extra attempts of the job.
    pub retry: u32,
    /// Every how many retries everything runs again.
    pub hard_reset_after_retries: u32,
    /// Delay between attempts.
    pub delay_between_retries: Nanos,
    /// Growing delay between attempts.
    pub retry_backoff_policy: Option<Backoff>,
    /// Requests of this type that may run at once.
    pub max_concurrency: u32,
    /// Days that failed requests are kept; 0 = default.
    pub retention_days_for_failed: i64,
    /// Days that completed requests are kept; 0 = default.
    pub retention_days_for_completed: i64,
    /// Days that cancelled requests are kept; 0 = default.
    pub retention_days_for_cancelled: i64,
    /// Not scheduled.
    pub disabled: bool,
    /// Published for all organizations.
    pub public_plugin: bool,
    /// Names that must have a value when a request is scheduled.
    pub required_params: Vec<String>,
    /// Union of the tasks' tags, comma-joined.
    pub tags: String,
    /// Union of the tasks' methods, joined by `, `.
    pub methods: String,
    /// The tasks in document order.
    pub tasks: Vec<TaskDefinition>,
    /// When this version was saved.
    pub created_at: Time,
    /// Last change of this version.
    pub updated_at: Time,
    /// Variables of the job.
    pub job_variables: Map<String, Value>,
    /// Who is told, by channel.
    pub notify: Option<BTreeMap<String, Notify>>,
    /// Resource held while the job runs.
    pub resources: Resource,
    /// Outside events that make requests.
    pub triggers: Vec<Trigger>,
    /// What its author should know; only in the answer to saving it, omitted when empty (ours).
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub warnings: Vec<Warning>,
}

/// Something in a definition that is accepted but probably not meant.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Warning {
    /// What, and what to do.
    pub message: String,
    /// Line of the text, from 1.
    pub line: usize,
    /// Column of the line, from 1.
    pub column: usize,
}
