//! What clients send (`foreman-api` 7).

use colony_core::state::{RunStatus, TaskStatus};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use serde_json::{Map, Value};

use super::object::{RunWord, TaskWord};

/// A run to be created.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct NewRun {
    /// Any JSON.
    pub input_data: Value,
    /// An object.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(with = "Map<String, Value>")]
    pub metadata: Option<Map<String, Value>>,
}

/// A change of a run. Members that are absent stay as they are.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct ChangeRun {
    /// The new status.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(with = "RunWord")]
    pub status: Option<RunStatus>,
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
}

/// A task to be created.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct NewTask {
    /// Its run.
    #[schemars(with = "String", extend("format" = "uuid"))]
    pub run_id: String,
    /// A task of the same run.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(with = "String", extend("format" = "uuid"))]
    pub parent_task_id: Option<String>,
    /// What kind of work it is.
    #[serde(rename = "type")]
    #[schemars(length(min = 1, max = 255))]
    pub kind: String,
    /// Any JSON.
    pub input_data: Value,
    /// An object.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(with = "Map<String, Value>")]
    pub metadata: Option<Map<String, Value>>,
    /// How often it should be tried again; 3 unless given.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(with = "i64", range(min = 0, max = 10))]
    pub max_retries: Option<i64>,
    /// Lower is claimed first; 0 unless given.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(with = "i64", range(min = 0, max = 2_097_152))]
    pub priority: Option<i64>,
    /// How long it is kept from workers.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(with = "i64", range(min = 0, max = 31_536_000_000_i64))]
    pub delay_ms: Option<i64>,
    /// At most one task of a run has a given key: the second request gets the first one's task.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(with = "String", length(min = 1, max = 255))]
    pub dedupe_key: Option<String>,
}

/// A change of a task. Members that are absent stay as they are.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct ChangeTask {
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
    /// Id of the job in an external queue. Our queue no longer offers the task then.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(with = "String", length(max = 255))]
    pub queue_job_id: Option<String>,
    /// The lease under which the change is asked for; refused when it is over.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(with = "String")]
    pub lease_token: Option<String>,
    /// With `retrying`: how long the task is kept from workers.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(with = "i64", range(min = 0, max = 31_536_000_000_i64))]
    pub delay_ms: Option<i64>,
}

/// An entry of run data to be written.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct NewData {
    /// Its name.
    #[schemars(length(min = 1, max = 255))]
    pub key: String,
    /// Any JSON.
    pub value: Value,
    /// A task of the run.
    #[schemars(with = "String", extend("format" = "uuid"))]
    pub task_id: String,
    /// Stored as given.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub tags: Vec<String>,
    /// An object.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(with = "Map<String, Value>")]
    pub metadata: Option<Map<String, Value>>,
}

/// A change of the tags of an entry.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct ChangeTags {
    /// Appended unless they are there.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub add: Vec<String>,
    /// Dropped, before any is added.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub remove: Vec<String>,
}
