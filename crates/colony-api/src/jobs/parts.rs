//! Parts of definitions (`formicary-api` 6.1, 6.2, 6.3, 6.11).

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

use crate::jobs::{Nanos, Time};

/// Growing delays between attempts. Active when `min` is not zero.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Backoff {
    /// First delay.
    pub min: Nanos,
    /// Longest delay.
    pub max: Nanos,
    /// Growth per attempt.
    pub factor: f64,
    /// Whether the delay is drawn at random.
    pub jitter: bool,
}

/// Recipients of a notification channel.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
pub struct Notify {
    /// Addresses or channel names.
    pub recipients: Vec<String>,
    /// In which case; omitted when empty.
    #[serde(default, skip_serializing_if = "String::is_empty")]
    pub when: String,
}

/// A mutex or semaphore that a job or task needs.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
pub struct Resource {
    /// Kind of resource; empty = none is needed.
    pub resource_type: String,
    /// For people.
    pub description: String,
    /// Only resources of this platform.
    pub platform: String,
    /// Only resources of this category.
    pub category: String,
    /// Only resources with these tags.
    pub tags: Vec<String>,
    /// Units needed.
    pub value: i64,
    /// What to export from the resource.
    pub extract_config: ExtractConfig,
}

/// Configs of a resource that become contexts.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
pub struct ExtractConfig {
    /// Names of the configs.
    pub properties: Vec<String>,
    /// Prefix of the context names.
    pub context_prefix: String,
}

/// Where lifecycle events are posted.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
pub struct Webhook {
    /// Target.
    pub url: String,
    /// HTTP headers.
    pub headers: BTreeMap<String, String>,
    /// Query parameters.
    pub query: BTreeMap<String, String>,
}

/// A name and a value.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
pub struct NameValue {
    /// Name.
    pub name: String,
    /// Value or template.
    pub value: String,
}

/// Data that goes to and comes from a child job.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
pub struct SubWorkflow {
    /// To the child.
    pub input_params: Vec<NameValue>,
    /// From the child.
    pub output_variables: Vec<NameValue>,
    /// Whether the fork task waits for its child.
    pub wait_for_completion: bool,
}

/// One child per element of a list.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
pub struct FanOut {
    /// Variable that holds the list.
    pub source: String,
    /// Name given to the element.
    pub item_var: String,
    /// Children that may run at once; 0 = no limit.
    pub max_parallel: u32,
    /// Whether the first failure stops the others.
    pub fail_fast: bool,
    /// Method of each element's work.
    pub execution_method: String,
    /// Job of the children; empty = the task itself.
    pub fork_job_type: String,
    /// Version of that job.
    pub fork_job_version: String,
}

/// Who may approve a MANUAL task and how many must.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct ApprovalPolicy {
    /// Its id.
    pub id: String,
    /// The task.
    pub task_definition_id: String,
    /// Approvals needed.
    pub min_approvals: i64,
    /// Roles, comma-joined.
    pub allowed_roles: String,
    /// Users, comma-joined.
    pub allowed_users: String,
    /// Whether everyone listed must approve.
    pub require_unanimous: bool,
    /// Time until `timeout_action`.
    pub sla_deadline: Nanos,
    /// `AUTO_APPROVE`, `AUTO_REJECT` or `ESCALATE`.
    pub timeout_action: String,
    /// Who is told by `ESCALATE`, comma-joined.
    pub escalation_recipients: String,
    /// What they are told.
    pub escalation_message: String,
    /// As of the definition.
    pub created_at: Time,
    /// As of the definition.
    pub updated_at: Time,
}

/// An outside event that makes requests. All but type and name are omitted when empty.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(default)]
pub struct Trigger {
    /// `webhook`, `s3` or `queue`.
    #[serde(rename = "type")]
    pub kind: String,
    /// Unique in the job.
    pub name: String,
    /// Path of a webhook.
    #[serde(skip_serializing_if = "String::is_empty")]
    pub path: String,
    /// How a webhook proves who sent it.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub auth: Option<TriggerAuth>,
    /// `poll` or `notification`.
    #[serde(skip_serializing_if = "String::is_empty")]
    pub mode: String,
    /// Bucket to watch.
    #[serde(skip_serializing_if = "String::is_empty")]
    pub bucket: String,
    /// Prefix of keys.
    #[serde(skip_serializing_if = "String::is_empty")]
    pub prefix: String,
    /// Suffix of keys.
    #[serde(skip_serializing_if = "String::is_empty")]
    pub suffix: String,
    /// Time between polls.
    #[serde(skip_serializing_if = "is_unset")]
    pub poll_interval: Nanos,
    /// Topic of events.
    #[serde(skip_serializing_if = "String::is_empty")]
    pub topic: String,
    /// Consumer group.
    #[serde(skip_serializing_if = "String::is_empty")]
    pub group: String,
    /// Shared subscription.
    #[serde(skip_serializing_if = "std::ops::Not::not")]
    pub shared: bool,
    /// Request parameters as templates.
    #[serde(skip_serializing_if = "BTreeMap::is_empty")]
    pub params: BTreeMap<String, String>,
    /// Template that must render to `true`.
    #[serde(skip_serializing_if = "String::is_empty")]
    pub filter: String,
    /// Template of the key that makes events unique.
    #[serde(skip_serializing_if = "String::is_empty")]
    pub dedup_key: String,
    /// Most events in a window.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub rate_limit: Option<RateLimit>,
}

fn is_unset(duration: &Nanos) -> bool {
    duration.0 == 0
}

/// Authentication of a webhook trigger.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(default)]
pub struct TriggerAuth {
    /// `hmac_sha256`, `bearer_token` or `api_key_header`.
    pub method: String,
    /// Config that holds the secret.
    pub secret_config: String,
    /// Header to look at.
    pub header: String,
}

/// Most events of a trigger in a window of time.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
pub struct RateLimit {
    /// Number of events.
    pub max: i64,
    /// Length of the window.
    pub window: Nanos,
}
