//! Tasks of definitions (`formicary-api` 6.2).

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};
use serde_json::{Map, Value};

use crate::jobs::{ApprovalPolicy, Backoff, FanOut, Nanos, Resource, SubWorkflow, Time, Webhook};

/// A task of a definition.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct TaskDefinition {
    /// Its id, the same in every answer.
    pub id: String,
    /// The definition.
    pub job_definition_id: String,
    /// Name, unique in the job.
    pub task_type: String,
    /// Which executor does it.
    pub method: String,
    /// For people.
    pub description: String,
    /// `true` or `false` as text; omitted when empty.
    #[serde(default, skip_serializing_if = "String::is_empty")]
    pub host_network: String,
    /// Failure does not fail the job.
    pub allow_failure: bool,
    /// A restart runs it again although it completed.
    pub allow_start_if_completed: bool,
    /// Run even after the job failed.
    pub always_run: bool,
    /// Time limit.
    pub timeout: Nanos,
    /// Delay between attempts.
    pub delay_between_retries: Nanos,
    /// Extra attempts.
    pub retry: u32,
    /// Growing delay between attempts.
    pub retry_backoff_policy: Option<Backoff>,
    /// Where lifecycle events are posted.
    pub webhook: Option<Webhook>,
    /// Exit code or state to the next task; holds the next two as well.
    pub on_exit_code: BTreeMap<String, String>,
    /// Next task after success.
    pub on_completed: String,
    /// Next task after failure.
    pub on_failed: String,
    /// Who must approve a MANUAL task.
    pub approval_policy: Option<ApprovalPolicy>,
    /// As of the definition.
    pub created_at: Time,
    /// As of the definition.
    pub updated_at: Time,
    /// Send stdout in notifications.
    pub report_stdout: bool,
    /// Variables of the task.
    pub variables: Map<String, Value>,
    /// HTTP headers.
    pub headers: BTreeMap<String, String>,
    /// Commands before `script`.
    pub before_script: Vec<String>,
    /// Commands, or URLs for HTTP methods.
    pub script: Vec<String>,
    /// Commands after `script`, in any case.
    pub after_script: Vec<String>,
    /// Resource held while it runs.
    pub resources: Resource,
    /// What an ant must offer.
    pub tags: Vec<String>,
    /// Skip when it renders to text containing `true`.
    pub except: String,
    /// Version of the forked job.
    pub job_version: String,
    /// Tasks whose artifacts are downloaded first; omitted when empty.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub dependencies: Vec<String>,
    /// Artifacts that are downloaded first; omitted when empty.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub artifact_ids: Vec<String>,
    /// Fork tasks to wait for; omitted when empty.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub await_forked_tasks: Vec<String>,
    /// Job to start; omitted when empty.
    #[serde(default, skip_serializing_if = "String::is_empty")]
    pub fork_job_type: String,
    /// The single script item; omitted when empty.
    #[serde(default, skip_serializing_if = "String::is_empty")]
    pub url: String,
    /// Queue of requests; omitted when empty.
    #[serde(default, skip_serializing_if = "String::is_empty")]
    pub messaging_request_queue: String,
    /// Queue of replies; omitted when empty.
    #[serde(default, skip_serializing_if = "String::is_empty")]
    pub messaging_reply_queue: String,
    /// Data to and from a child; omitted when null.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub sub_workflow: Option<SubWorkflow>,
    /// One child per element; omitted when null.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub fan_out: Option<FanOut>,
    /// Settings of the executor as written (`container`, `environment`, `artifacts`, …): each a
    /// member of the task, absent when not set.
    #[serde(flatten)]
    pub executor: Map<String, Value>,
}
