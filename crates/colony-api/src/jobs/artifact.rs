//! Artifacts (`formicary-api` 6.7).

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

use crate::jobs::Time;

/// A stored output.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Artifact {
    /// Its id.
    pub id: String,
    /// Bucket of the object store; may be empty.
    pub bucket: String,
    /// File name.
    pub name: String,
    /// For grouping; may be empty.
    pub artifact_group: String,
    /// The object store's tag; may be empty.
    pub etag: String,
    /// Owner.
    pub organization_id: String,
    /// Who submitted the job.
    pub user_id: String,
    /// `LOGS`, `TASK_ARTIFACTS`, `CACHE` or `USER_UPLOADED`.
    pub kind: String,
    /// Place among the task's artifacts.
    pub artifact_order: i64,
    /// Unused.
    pub permissions: i64,
    /// The request; empty for uploads.
    pub job_request_id: String,
    /// The execution; empty for uploads.
    pub job_execution_id: String,
    /// The task execution; empty for uploads.
    pub task_execution_id: String,
    /// Name of the task; empty for uploads.
    pub task_type: String,
    /// 64 lower-case hex digits.
    pub sha256: String,
    /// MIME type; may be empty.
    pub content_type: String,
    /// Bytes.
    pub content_length: i64,
    /// When it may be deleted.
    pub expires_at: Time,
    /// When it was stored.
    pub created_at: Time,
    /// Last change.
    pub updated_at: Time,
    /// Free form.
    pub metadata: BTreeMap<String, String>,
    /// Free form.
    pub tags: BTreeMap<String, String>,
    /// Where to fetch it.
    pub url: String,
}
