//! The work queue: claiming, renewing, reporting. An addition to the reference API.

use colony_core::state::TaskStatus;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use serde_json::{Map, Value};

use super::object::{Task, TaskWord, Time};
use super::request::NewTask;

/// A worker asks for tasks.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct ClaimRequest {
    /// Types that it can do.
    #[schemars(length(min = 1, max = 100))]
    pub types: Vec<String>,
    /// What it is called.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(with = "String", length(min = 1, max = 255))]
    pub worker_id: Option<String>,
    /// At most so many; 1 unless given, clamped to 1–1000.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(with = "i64")]
    pub limit: Option<i64>,
    /// How long to wait for the first task; 0 unless given, clamped to 0–60000.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(with = "i64")]
    pub wait_ms: Option<i64>,
    /// How long the leases last; 30000 unless given, clamped to 100–3600000.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(with = "i64")]
    pub lease_ms: Option<i64>,
}

/// A task and the right to work on it for a while.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
#[schemars(rename = "ClaimedTask", bound = "J: JsonSchema")]
pub struct ClaimedTask<J = Value> {
    /// The task.
    #[serde(flatten)]
    pub task: Task<J>,
    /// Shown with every report and heartbeat.
    pub lease_token: String,
    /// When the lease ends unless it is renewed.
    pub lease_expires_at: Time,
}

/// Tasks that a worker got, and the numbers that were used.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct Claimed<T> {
    /// Empty when the wait ended.
    pub tasks: Vec<T>,
    /// The limit that was used.
    pub limit: i64,
    /// The wait that was used.
    pub wait_ms: i64,
    /// The length of the leases.
    pub lease_ms: i64,
    /// Names of members whose value was out of bounds.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub clamped: Vec<String>,
}

/// A worker renews its leases.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct HeartbeatRequest {
    /// The leases.
    #[schemars(length(max = 1000))]
    pub lease_tokens: Vec<String>,
    /// How long they last from now on; as in a claim.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(with = "i64")]
    pub lease_ms: Option<i64>,
}

/// What became of a lease.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct Held {
    /// The lease.
    pub lease_token: String,
    /// Whether it was renewed.
    pub renewed: bool,
    /// When it ends. Also given for a job task whose worker is to stop: what is left of the lease
    /// is not renewed any more.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub lease_expires_at: Option<Time>,
    /// Where the task is, if it is known.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(with = "TaskWord")]
    pub status: Option<TaskStatus>,
    /// The worker should stop: someone asked for it, or the lease is over.
    pub stop: bool,
}

/// What became of several leases, in the order of the request.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct Leases {
    /// One for each token.
    pub leases: Vec<Held>,
}

/// Several tasks to be created, all or none.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct BatchRequest {
    /// The tasks.
    #[schemars(length(min = 1, max = 1000))]
    pub tasks: Vec<NewTask>,
}

/// Tasks that were created, in the order of the request.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct BatchCreated<T> {
    /// The tasks.
    pub tasks: Vec<T>,
}

/// A report on one task.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct ReportItem {
    /// The task.
    #[schemars(with = "String", extend("format" = "uuid"))]
    pub task_id: String,
    /// The lease under which it was done.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(with = "String")]
    pub lease_token: Option<String>,
    /// The new status.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(with = "TaskWord")]
    pub status: Option<TaskStatus>,
    /// Any JSON; null clears.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub output_data: Option<Value>,
    /// Any JSON; null clears.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub error_data: Option<Value>,
    /// Replaces the old object.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(with = "Map<String, Value>")]
    pub metadata: Option<Map<String, Value>>,
    /// With `retrying`: how long the task is kept from workers.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(with = "i64", range(min = 0, max = 31_536_000_000_i64))]
    pub delay_ms: Option<i64>,
}

/// Reports on several tasks, each with an outcome of its own.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct ReportRequest {
    /// The reports.
    #[schemars(length(min = 1, max = 1000))]
    pub reports: Vec<ReportItem>,
}

/// What became of a report.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct ReportResult {
    /// The task.
    pub task_id: String,
    /// Whether it was stored.
    pub accepted: bool,
    /// Where the task is now, if it is known.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(with = "TaskWord")]
    pub status: Option<TaskStatus>,
    /// Why it was not stored.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub error: Option<String>,
}

/// What became of several reports, in the order of the request.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct Reported {
    /// One for each report.
    pub results: Vec<ReportResult>,
}
