//! Artifacts (`formicary-api` 6.7).

use std::collections::BTreeMap;

use colony_api::jobs::{Artifact, Time};
use colony_store::artifact::ArtifactRow;

use super::{id_text, organization};
use crate::state::ServerState;

pub(in crate::jobs) fn artifact(row: &ArtifactRow, state: &ServerState) -> Artifact {
    let base = state.external_url.as_deref().unwrap_or("");
    let base = base.trim_end_matches('/');
    Artifact {
        id: row.id.to_string(),
        bucket: String::new(),
        name: row.name.clone(),
        artifact_group: String::new(),
        etag: String::new(),
        organization_id: organization(&row.org_id, &row.user_id),
        user_id: row.user_id.clone(),
        kind: row.kind.clone(),
        artifact_order: row.order,
        permissions: 0,
        job_request_id: id_text(row.request_id),
        job_execution_id: id_text(row.run_id),
        task_execution_id: id_text(row.attempt.map(|attempt| attempt.task_id)),
        task_type: row.task_type.clone(),
        sha256: row.sha256.clone(),
        content_type: row.content_type.clone(),
        content_length: row.size_bytes,
        expires_at: Time(row.expires_at),
        created_at: Time(row.created_at),
        updated_at: Time(row.created_at),
        metadata: BTreeMap::new(),
        tags: BTreeMap::new(),
        url: format!("{base}/api/artifacts/{}/download", row.sha256),
    }
}
