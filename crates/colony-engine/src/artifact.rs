//! Looking at artifacts (`formicary-api` 7.3).

use std::sync::Arc;

use colony_store::artifact::{self, ArtifactRow, Content};
use colony_store::{ListQuery, Page, Tx};
use object_store::path::Path;
use object_store::{ObjectStore, ObjectStoreExt as _};

use crate::engine::{Caller, Engine};
use crate::error::EngineError;

/// The bytes of an artifact.
pub enum ArtifactContent {
    /// Small ones, kept in the database.
    Text(String),
    /// Others, as they come from the object store.
    Stream(ObjectBytes),
}

/// Bytes from the object store.
pub type ObjectBytes = futures_util::stream::BoxStream<'static, object_store::Result<bytes::Bytes>>;

impl Engine {
    /// One page of artifacts.
    ///
    /// # Errors
    ///
    /// [`EngineError::Invalid`] for unknown fields.
    pub async fn list_artifacts(
        &self,
        caller: &Caller,
        mut query: ListQuery,
    ) -> Result<Page<ArtifactRow>, EngineError> {
        query.org_id = Some(caller.org_id.clone());
        self.store
            .read(move |tx| Ok(artifact::list_artifacts(tx, &query)?))
            .await
    }

    /// The artifact of that id or SHA-256, and its bytes.
    ///
    /// # Errors
    ///
    /// [`EngineError::NotFound`] when there is none within the caller's scope, or its bytes are
    /// gone.
    pub async fn open_artifact(
        &self,
        caller: &Caller,
        name: &str,
    ) -> Result<(ArtifactRow, ArtifactContent), EngineError> {
        let (caller, wanted) = (caller.clone(), name.to_owned());
        let row = self
            .store
            .read(move |tx| own_artifact(tx, &caller, &wanted))
            .await?;
        let content = match &row.content {
            Content::Inline(text) => ArtifactContent::Text(text.clone()),
            Content::Object(key) => self.open_object(key, name).await?,
        };
        Ok((row, content))
    }

    async fn open_object(&self, key: &str, name: &str) -> Result<ArtifactContent, EngineError> {
        let objects: &Arc<dyn ObjectStore> = &self.objects;
        match objects.get(&Path::from(key)).await {
            Ok(object) => Ok(ArtifactContent::Stream(object.into_stream())),
            Err(object_store::Error::NotFound { .. }) => {
                Err(EngineError::not_found("content of artifact", name))
            }
            Err(error) => Err(error.into()),
        }
    }
}

/// An id when there is one, else a SHA-256.
fn own_artifact(tx: &mut Tx<'_>, caller: &Caller, name: &str) -> Result<ArtifactRow, EngineError> {
    let by_id = match name.parse() {
        Ok(id) => artifact::find_artifact(tx, id)?,
        Err(_) => None,
    };
    if let Some(row) = by_id.filter(|row| row.org_id == caller.org_id) {
        return Ok(row);
    }
    let by_hash = match is_sha256(name) {
        true => artifact::find_artifact_by_sha256(tx, &caller.org_id, &name.to_ascii_lowercase())?,
        false => None,
    };
    by_hash.ok_or_else(|| EngineError::not_found("artifact", name))
}

fn is_sha256(text: &str) -> bool {
    text.len() == 64 && text.bytes().all(|byte| byte.is_ascii_hexdigit())
}
