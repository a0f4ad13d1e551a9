//! Stored outputs: archives and logs.

use std::collections::BTreeMap;

use colony_core::id::{ArtifactId, AttemptRef, RequestId, RunId, TaskId};
use colony_core::time::Timestamp;

use crate::error::StoreError;
use crate::list::{self, Column, Kind, ListError, ListQuery, Listing, Page};
use crate::params;
use crate::row::Row;
use crate::tx::Tx;
use crate::value::Param;

/// Where the bytes of an artifact are.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Content {
    /// In the object store, under this key.
    Object(String),
    /// In the row itself: small logs.
    Inline(String),
}

/// A stored output.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ArtifactRow {
    /// Its id.
    pub id: ArtifactId,
    /// Owner.
    pub org_id: String,
    /// Who submitted the job; may be empty.
    pub user_id: String,
    /// The request; none for uploads.
    pub request_id: Option<RequestId>,
    /// The run; none for uploads.
    pub run_id: Option<RunId>,
    /// The attempt that made it; none for uploads.
    pub attempt: Option<AttemptRef>,
    /// Name of the task; empty for uploads.
    pub task_type: String,
    /// `TASK_ARTIFACTS`, `LOGS`, `USER_UPLOADED` or `CACHE`.
    pub kind: String,
    /// File name.
    pub name: String,
    /// The bytes.
    pub content: Content,
    /// MIME type.
    pub content_type: String,
    /// Size of the bytes.
    pub size_bytes: i64,
    /// Lower-case hex SHA-256 of the bytes.
    pub sha256: String,
    /// Place among the task's artifacts, from 0.
    pub order: i64,
    /// When it may be deleted.
    pub expires_at: Timestamp,
    /// When it was stored.
    pub created_at: Timestamp,
}

const COLUMNS: &str = "id, org_id, user_id, request_id, run_id, task_id, epoch, task_type, kind, \
    name, object_key, inline_text, content_type, size_bytes, sha256, artifact_order, expires_at, \
    created_at";

impl ArtifactRow {
    fn from_row(row: &Row) -> Result<Self, StoreError> {
        let task_id: Option<TaskId> = row.get(5)?;
        let epoch = row.get::<Option<_>>(6)?;
        let content = match (row.get(10)?, row.get(11)?) {
            (Some(key), None) => Content::Object(key),
            (None, Some(text)) => Content::Inline(text),
            _ => return Err(row.misfit("object_key", "neither or both contents".to_owned())),
        };
        Ok(Self {
            id: row.get(0)?,
            org_id: row.get(1)?,
            user_id: row.get(2)?,
            request_id: row.get(3)?,
            run_id: row.get(4)?,
            attempt: task_id
                .zip(epoch)
                .map(|(task_id, epoch)| AttemptRef { task_id, epoch }),
            task_type: row.get(7)?,
            kind: row.get(8)?,
            name: row.get(9)?,
            content,
            content_type: row.get(12)?,
            size_bytes: row.get(13)?,
            sha256: row.get(14)?,
            order: row.get(15)?,
            expires_at: row.get(16)?,
            created_at: row.get(17)?,
        })
    }
}

/// Stores the rows of artifacts whose bytes are in place. Without a user they belong to the one who
/// submitted the request.
///
/// # Errors
///
/// The database refused it.
pub fn insert(tx: &mut Tx<'_>, artifacts: &[ArtifactRow]) -> Result<(), StoreError> {
    tx.send_rows(
        "WITH new (id, org_id, user_id, request_id, run_id, task_id, epoch, task_type, kind, name, \
         object_key, inline_text, content_type, size_bytes, sha256, artifact_order, expires_at, \
         created_at) AS (VALUES {rows: id, text, text, id, id, id, int, text, text, text, text, \
         text, text, int, text, int, int, int}) \
         INSERT INTO artifacts (id, org_id, user_id, request_id, run_id, task_id, epoch, task_type, \
         kind, name, object_key, inline_text, content_type, size_bytes, sha256, artifact_order, \
         expires_at, created_at, artifact_group, deleted, updated_at) \
         SELECT new.id, new.org_id, COALESCE(NULLIF(new.user_id, ''), requests.user_id, ''), \
         new.request_id, new.run_id, new.task_id, new.epoch, new.task_type, new.kind, new.name, \
         new.object_key, new.inline_text, new.content_type, new.size_bytes, new.sha256, \
         new.artifact_order, new.expires_at, new.created_at, '', FALSE, new.created_at \
         FROM new LEFT JOIN requests ON requests.id = new.request_id",
        &[],
        artifacts,
        |new| {
            let (key, text) = match &new.content {
                Content::Object(key) => (Param::from(key), Param::Null),
                Content::Inline(text) => (Param::Null, Param::from(text)),
            };
            params![
                &new.id,
                &new.org_id,
                &new.user_id,
                &new.request_id,
                &new.run_id,
                Param::from(&new.attempt.map(|attempt| attempt.task_id)).into_owned(),
                Param::from(&new.attempt.map(|attempt| attempt.epoch)).into_owned(),
                &new.task_type,
                &new.kind,
                &new.name,
                key,
                text,
                &new.content_type,
                &new.size_bytes,
                &new.sha256,
                &new.order,
                &new.expires_at,
                &new.created_at,
            ]
        },
    )
}

/// The artifacts of a run, in the order in which they were stored.
///
/// # Errors
///
/// The database's.
pub fn artifacts_of_run(tx: &mut Tx<'_>, run_id: RunId) -> Result<Vec<ArtifactRow>, StoreError> {
    let sql =
        format!("SELECT {COLUMNS} FROM artifacts WHERE run_id = $1 AND NOT deleted ORDER BY id");
    tx.query(&sql, &[&run_id])?
        .iter()
        .map(ArtifactRow::from_row)
        .collect()
}

/// The artifact of that id, unless deleted.
///
/// # Errors
///
/// The database's.
pub fn find_artifact(tx: &mut Tx<'_>, id: ArtifactId) -> Result<Option<ArtifactRow>, StoreError> {
    let sql = format!("SELECT {COLUMNS} FROM artifacts WHERE id = $1 AND NOT deleted");
    let row = tx.query_opt(&sql, &[&id])?;
    row.as_ref().map(ArtifactRow::from_row).transpose()
}

/// The artifacts of some runs, in the order in which they were stored. Rows that cannot be read end
/// only what needs them: each run has its own result.
///
/// # Errors
///
/// The database's.
pub fn artifacts_of_runs(
    tx: &mut Tx<'_>,
    ids: &[RunId],
) -> Result<BTreeMap<RunId, Result<Vec<ArtifactRow>, StoreError>>, StoreError> {
    let sql = format!(
        "SELECT {COLUMNS} FROM artifacts WHERE run_id IN ({{list}}) AND NOT deleted ORDER BY id"
    );
    let mut found = BTreeMap::new();
    for row in &tx.query_list(&sql, &[], ids)? {
        let of_run = found.entry(row.get(4)?).or_insert(Ok(Vec::new()));
        match (ArtifactRow::from_row(row), &mut *of_run) {
            (Ok(artifact), Ok(artifacts)) => artifacts.push(artifact),
            (Err(error), _) => *of_run = Err(error),
            (Ok(_), Err(_)) => {}
        }
    }
    Ok(found)
}

/// What a task of an earlier run stored.
///
/// # Errors
///
/// The database's.
pub fn artifacts_of_task(tx: &mut Tx<'_>, id: TaskId) -> Result<Vec<ArtifactRow>, StoreError> {
    let sql =
        format!("SELECT {COLUMNS} FROM artifacts WHERE task_id = $1 AND NOT deleted ORDER BY id");
    tx.query(&sql, &[&id])?
        .iter()
        .map(ArtifactRow::from_row)
        .collect()
}

/// The artifact with that hash and the smallest id, unless deleted. Hashes of logs are not indexed,
/// so they are looked for last.
///
/// # Errors
///
/// The database's.
pub fn find_artifact_by_sha256(
    tx: &mut Tx<'_>,
    org_id: &str,
    sha256: &str,
) -> Result<Option<ArtifactRow>, StoreError> {
    for kind in ["kind <> 'LOGS'", "kind = 'LOGS'"] {
        let sql = format!(
            "SELECT {COLUMNS} FROM artifacts WHERE sha256 = $1 AND {kind} AND org_id = $2 \
             AND NOT deleted ORDER BY id LIMIT 1"
        );
        if let Some(row) = tx.query_opt(&sql, &[&sha256, &org_id])? {
            return ArtifactRow::from_row(&row).map(Some);
        }
    }
    Ok(None)
}

/// One page of artifacts.
///
/// # Errors
///
/// The query names what is not there, or the database failed.
pub fn list_artifacts(tx: &mut Tx<'_>, query: &ListQuery) -> Result<Page<ArtifactRow>, ListError> {
    list::list(tx, &LISTING, query, ArtifactRow::from_row)
}

/// `GET /api/artifacts` (`formicary-api` 7.3).
const LISTING: Listing = Listing {
    table: "artifacts",
    columns: COLUMNS,
    only: "NOT deleted",
    fields: &[
        Column {
            name: "id",
            kind: Kind::Id,
        },
        Column {
            name: "job_request_id",
            kind: Kind::Id,
        },
        Column {
            name: "job_execution_id",
            kind: Kind::Id,
        },
        Column {
            name: "task_execution_id",
            kind: Kind::Id,
        },
        Column {
            name: "task_type",
            kind: Kind::Text,
        },
        Column {
            name: "name",
            kind: Kind::Text,
        },
        Column {
            name: "kind",
            kind: Kind::Text,
        },
        Column {
            name: "artifact_group",
            kind: Kind::Text,
        },
        Column {
            name: "sha256",
            kind: Kind::Text,
        },
        Column {
            name: "content_type",
            kind: Kind::Text,
        },
        Column {
            name: "content_length",
            kind: Kind::Int,
        },
        Column {
            name: "user_id",
            kind: Kind::Text,
        },
        Column {
            name: "organization_id",
            kind: Kind::Text,
        },
        Column {
            name: "expires_at",
            kind: Kind::Time,
        },
        Column {
            name: "created_at",
            kind: Kind::Time,
        },
        Column {
            name: "updated_at",
            kind: Kind::Time,
        },
    ],
    search_contains: &["name", "user_id", "org_id"],
    search_equals: &["kind", "task_type"],
    search_latest: None,
};
