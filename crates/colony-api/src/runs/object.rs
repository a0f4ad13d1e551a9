//! Runs, tasks and entries of run data.

use std::borrow::Cow;

use colony_core::state::{RunStatus, TaskStatus};
use colony_core::time::Timestamp;
use schemars::{JsonSchema, Schema, SchemaGenerator, json_schema};
use serde::{Deserialize, Deserializer, Serialize, Serializer};
use serde_json::Value;

/// A point in time in the words of a dialect (`foreman-api` 11.1).
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Time {
    /// RFC 3339 text in UTC with three fractional digits.
    Iso(Timestamp),
    /// Milliseconds since 1970.
    Millis(Timestamp),
}

impl Time {
    /// The point in time.
    pub const fn timestamp(self) -> Timestamp {
        match self {
            Self::Iso(time) | Self::Millis(time) => time,
        }
    }
}

impl Serialize for Time {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        match self {
            Self::Iso(time) => time.serialize(serializer),
            Self::Millis(time) => serializer.serialize_i64(time.as_millis()),
        }
    }
}

impl<'de> Deserialize<'de> for Time {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        #[derive(Deserialize)]
        #[serde(untagged)]
        enum Either {
            Millis(i64),
            Iso(Timestamp),
        }
        Ok(match Either::deserialize(deserializer)? {
            Either::Millis(millis) => Self::Millis(Timestamp::from_millis(millis)),
            Either::Iso(time) => Self::Iso(time),
        })
    }
}

impl JsonSchema for Time {
    fn schema_name() -> Cow<'static, str> {
        "Time".into()
    }

    fn json_schema(_: &mut SchemaGenerator) -> Schema {
        json_schema!({
            "description": "A point in time: RFC 3339 text, or milliseconds since 1970 in the dialect `current`.",
            "oneOf": [{ "type": "string", "format": "date-time" }, { "type": "integer" }]
        })
    }
}

/// A run.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
#[schemars(rename = "Run", bound = "J: JsonSchema")]
pub struct Run<J = Value> {
    /// Its id.
    pub id: String,
    /// Organization that owns it.
    pub org_id: String,
    /// Where it is.
    #[schemars(with = "RunWord")]
    pub status: RunStatus,
    /// What it was created with.
    pub input_data: J,
    /// What came out.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub output_data: Option<J>,
    /// What went wrong.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub error_data: Option<J>,
    /// An object, or null when never set.
    pub metadata: Option<J>,
    /// Tasks ever created in it.
    pub total_tasks: i64,
    /// Tasks that completed.
    pub completed_tasks: i64,
    /// Tasks that failed.
    pub failed_tasks: i64,
    /// When it was created.
    pub created_at: Time,
    /// Last change, counters included.
    pub updated_at: Time,
    /// First time in `running`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub started_at: Option<Time>,
    /// Last time that an end was reached.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub completed_at: Option<Time>,
    /// From start to end.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub duration_ms: Option<i64>,
}

/// A task.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
#[schemars(rename = "Task", bound = "J: JsonSchema")]
pub struct Task<J = Value> {
    /// Its id.
    pub id: String,
    /// Its run.
    pub run_id: String,
    /// A task of the same run.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub parent_task_id: Option<String>,
    /// Organization that owns it.
    pub org_id: String,
    /// What kind of work it is.
    #[serde(rename = "type")]
    pub kind: String,
    /// Where it is.
    #[schemars(with = "TaskWord")]
    pub status: TaskStatus,
    /// What it was created with.
    pub input_data: J,
    /// What came out.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub output_data: Option<J>,
    /// What went wrong.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub error_data: Option<J>,
    /// An object, or null when never set.
    pub metadata: Option<J>,
    /// Changes to `retrying`.
    pub retry_count: i64,
    /// How often it should be tried again.
    pub max_retries: i64,
    /// When it was created.
    pub created_at: Time,
    /// Last change.
    pub updated_at: Time,
    /// First time in `queued`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub queued_at: Option<Time>,
    /// First time in `running`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub started_at: Option<Time>,
    /// Last time that an end was reached.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub completed_at: Option<Time>,
    /// From start to end.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub duration_ms: Option<i64>,
    /// Id of the job in an external queue.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub queue_job_id: Option<String>,
}

/// An entry of run data.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
#[schemars(rename = "RunData", bound = "J: JsonSchema")]
pub struct RunData<J = Value> {
    /// Its id.
    pub id: String,
    /// Its run.
    pub run_id: String,
    /// The task that wrote it.
    pub task_id: String,
    /// Organization that owns it.
    pub org_id: String,
    /// Its name; several entries may share it.
    pub key: String,
    /// Its value.
    pub value: J,
    /// In the order in which they were given.
    pub tags: Vec<String>,
    /// An object, or null when never set.
    pub metadata: Option<J>,
    /// When it was written.
    pub created_at: Time,
    /// Last change of its tags.
    pub updated_at: Time,
}

/// The words of [`RunStatus`] for the schema.
#[derive(JsonSchema)]
#[schemars(rename = "RunStatus", rename_all = "lowercase")]
#[expect(dead_code, reason = "describes the words of a type of another crate")]
pub(super) enum RunWord {
    Pending,
    Running,
    Completed,
    Failed,
    Cancelled,
}

/// The words of [`TaskStatus`] for the schema.
#[derive(JsonSchema)]
#[schemars(rename = "TaskStatus", rename_all = "lowercase")]
#[expect(dead_code, reason = "describes the words of a type of another crate")]
pub(super) enum TaskWord {
    Pending,
    Queued,
    Running,
    Completed,
    Failed,
    Cancelled,
    Retrying,
}
