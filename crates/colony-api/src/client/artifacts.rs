//! Calls of artifacts.

use bytes::Bytes;
use futures_util::{Stream, TryStreamExt as _};
use reqwest::Method;

use crate::client::{Client, ClientError};
use crate::jobs::{Artifact, Page};

impl Client {
    /// One page of artifacts; `query` holds filters such as `job_request_id`, `page`, `page_size`
    /// and `order`.
    ///
    /// # Errors
    ///
    /// See [`ClientError`].
    pub async fn artifacts(
        &self,
        query: &[(String, String)],
    ) -> Result<Page<Artifact>, ClientError> {
        self.get(&["artifacts"], query).await
    }

    /// The content of an artifact by its id or SHA-256, piece by piece.
    ///
    /// # Errors
    ///
    /// See [`ClientError`].
    pub async fn download_artifact(
        &self,
        id: &str,
    ) -> Result<impl Stream<Item = Result<Bytes, ClientError>> + Unpin + Send, ClientError> {
        let request = self.request(Method::GET, &["artifacts", id, "download"]);
        let response = self.success(request).await?;
        let client = self.clone();
        Ok(Box::pin(
            response
                .bytes_stream()
                .map_err(move |source| client.transport(source)),
        ))
    }
}
