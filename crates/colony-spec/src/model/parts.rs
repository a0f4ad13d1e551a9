//! Nested objects of jobs and tasks (`job-definitions` 4).

use std::collections::BTreeMap;
use std::time::Duration;

use serde::Serialize;

use crate::duration::as_nanos;

/// Where lifecycle events are posted (4.6). Active when `url` is not empty.
#[derive(Debug, Clone, PartialEq, Default, Serialize)]
pub struct Webhook {
    /// Target.
    pub url: String,
    /// HTTP headers.
    pub headers: BTreeMap<String, String>,
    /// Query parameters.
    pub query: BTreeMap<String, String>,
}

/// A mutex or semaphore that a job or task needs (4.7).
#[derive(Debug, Clone, PartialEq, Default, Serialize)]
pub struct Resource {
    /// Kind of resource.
    pub resource_type: String,
    /// Free text.
    pub description: String,
    /// Only resources of this platform, when not empty.
    pub platform: String,
    /// Only resources of this category, when not empty.
    pub category: String,
    /// Only resources with all these tags.
    pub tags: Vec<String>,
    /// Units needed; 1 unless written.
    pub value: i64,
    /// What to export from the resource.
    pub extract_config: ExtractConfig,
}

/// Configs of a resource that become contexts (4.7).
#[derive(Debug, Clone, PartialEq, Default, Serialize)]
pub struct ExtractConfig {
    /// Names of the configs.
    pub properties: Vec<String>,
    /// Prefix of the context names.
    pub context_prefix: String,
}

/// Growing delays between attempts (4.8). Active when `min` is not zero.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct Backoff {
    /// First delay.
    #[serde(serialize_with = "as_nanos")]
    pub min: Duration,
    /// Longest delay.
    #[serde(serialize_with = "as_nanos")]
    pub max: Duration,
    /// Growth per attempt.
    pub factor: f64,
    /// Whether the delay is drawn between `min` and the computed one.
    pub jitter: bool,
}

/// A name and a value, for `sub_workflow` (4.9).
#[derive(Debug, Clone, PartialEq, Default, Serialize)]
pub struct NameValue {
    /// Name.
    pub name: String,
    /// Value or template.
    pub value: String,
}

/// Data that goes to and comes from a child job (4.9).
#[derive(Debug, Clone, PartialEq, Default, Serialize)]
pub struct SubWorkflow {
    /// Child parameter from a template over the parent's variables.
    pub input_params: Vec<NameValue>,
    /// Child context `name` to parent context `value`.
    pub output_variables: Vec<NameValue>,
    /// Whether the fork task waits for its child.
    pub wait_for_completion: bool,
}

/// One child per element of a list (4.9).
#[derive(Debug, Clone, PartialEq, Default, Serialize)]
pub struct FanOut {
    /// Variable that holds the JSON array.
    pub source: String,
    /// Name given to the element.
    pub item_var: String,
    /// Children that may run at once; 0 means no limit.
    pub max_parallel: u32,
    /// Whether the first failure stops the siblings.
    pub fail_fast: bool,
    /// Job type of the children; empty means task mode.
    pub fork_job_type: String,
    /// Version of that job.
    pub fork_job_version: String,
}

/// What happens when an approval is late (4.10).
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize)]
#[serde(rename_all = "SCREAMING_SNAKE_CASE")]
pub enum TimeoutAction {
    /// The task counts as approved.
    AutoApprove,
    /// The task counts as rejected.
    AutoReject,
    /// People are told; the task stays open.
    #[default]
    Escalate,
}

/// Who may approve a `MANUAL` task and how many must (4.10).
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct ApprovalPolicy {
    /// Approvals needed.
    pub min_approvals: i64,
    /// Roles whose holders may vote.
    pub allowed_roles: Vec<String>,
    /// Users who may vote: ids, names or e-mails.
    pub allowed_users: Vec<String>,
    /// Whether everyone listed must approve.
    pub require_unanimous: bool,
    /// Time until `timeout_action`.
    #[serde(serialize_with = "as_nanos")]
    pub sla_deadline: Duration,
    /// What happens then.
    pub timeout_action: TimeoutAction,
    /// Who is told by `ESCALATE`.
    pub escalation_recipients: Vec<String>,
    /// What they are told.
    pub escalation_message: String,
}

/// Files to upload after the scripts (4.4).
#[derive(Debug, Clone, PartialEq, Default, Serialize)]
pub struct Artifacts {
    /// Files, directories or globs.
    pub paths: Vec<String>,
    /// `always`, `onSuccess`, `onFailure`; anything else means never; empty means always.
    pub when: String,
    /// Life time; zero means the server's default.
    #[serde(serialize_with = "as_nanos")]
    pub expires_after: Duration,
}

/// Directories kept between runs (4.5).
#[derive(Debug, Clone, PartialEq, Default, Serialize)]
pub struct Cache {
    /// Files and directories to save and restore.
    pub paths: Vec<String>,
    /// Literal key.
    pub key: String,
    /// Files whose contents form the key.
    pub key_paths: Vec<String>,
    /// Life time; zero means 30 days.
    #[serde(serialize_with = "as_nanos")]
    pub expires_after: Duration,
}

/// An outside event that makes requests (4.11).
#[derive(Debug, Clone, PartialEq, Default, Serialize)]
pub struct Trigger {
    /// `webhook`, `s3` or `queue`.
    #[serde(rename = "type")]
    pub kind: String,
    /// Unique in the job.
    pub name: String,
    /// Informational path of a webhook.
    #[serde(skip_serializing_if = "String::is_empty")]
    pub path: String,
    /// How a webhook proves who sent it.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub auth: Option<TriggerAuth>,
    /// `poll` or `notification`, for `s3`.
    #[serde(skip_serializing_if = "String::is_empty")]
    pub mode: String,
    /// Bucket, for `s3`.
    #[serde(skip_serializing_if = "String::is_empty")]
    pub bucket: String,
    /// Key prefix, for `s3`.
    #[serde(skip_serializing_if = "String::is_empty")]
    pub prefix: String,
    /// Key suffix, for `s3`.
    #[serde(skip_serializing_if = "String::is_empty")]
    pub suffix: String,
    /// Time between polls; zero means the server's default.
    #[serde(serialize_with = "as_nanos", skip_serializing_if = "Duration::is_zero")]
    pub poll_interval: Duration,
    /// Topic, for `queue` and `s3` notifications.
    #[serde(skip_serializing_if = "String::is_empty")]
    pub topic: String,
    /// Consumer group, for `queue`.
    #[serde(skip_serializing_if = "String::is_empty")]
    pub group: String,
    /// Broker subscription type.
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

/// Authentication of a webhook trigger (4.11).
#[derive(Debug, Clone, PartialEq, Default, Serialize)]
pub struct TriggerAuth {
    /// `hmac_sha256`, `bearer_token` or `api_key_header`.
    pub method: String,
    /// Config that holds the secret.
    pub secret_config: String,
    /// Header to look at.
    pub header: String,
}

/// Most events of a trigger in a window of time (4.11).
#[derive(Debug, Clone, PartialEq, Default, Serialize)]
pub struct RateLimit {
    /// Number of events.
    pub max: i64,
    /// Length of the window.
    #[serde(serialize_with = "as_nanos")]
    pub window: Duration,
}
