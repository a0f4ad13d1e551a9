//! Calls of definitions.

use reqwest::{Method, StatusCode};

use crate::client::http::yaml;
use crate::client::{Client, ClientError};
use crate::jobs::{JobDefinition, Page};

/// What became of a saved definition.
#[derive(Debug, Clone, PartialEq)]
pub struct SavedDefinition {
    /// The active version from now on, with warnings.
    pub definition: JobDefinition,
    /// It is the first version of its type.
    pub created: bool,
}

impl Client {
    /// Saves a definition from its YAML text.
    ///
    /// # Errors
    ///
    /// See [`ClientError`].
    pub async fn save_definition(&self, text: String) -> Result<SavedDefinition, ClientError> {
        let request = self.request(Method::POST, &["jobs", "definitions"]);
        let response = self.success(yaml(request, text)).await?;
        let created = response.status() == StatusCode::CREATED;
        Ok(SavedDefinition {
            definition: self.json(response).await?,
            created,
        })
    }

    /// The definition of that id, or the newest of that type.
    ///
    /// # Errors
    ///
    /// See [`ClientError`].
    pub async fn definition(&self, name: &str) -> Result<JobDefinition, ClientError> {
        self.get(&["jobs", "definitions", name], &[]).await
    }

    /// The text of a definition as it was saved.
    ///
    /// # Errors
    ///
    /// See [`ClientError`].
    pub async fn definition_yaml(&self, name: &str) -> Result<String, ClientError> {
        let path = ["jobs", "definitions", name, "yaml"];
        let response = self.success(self.request(Method::GET, &path)).await?;
        self.text(response).await
    }

    /// One page of definitions; `query` holds filters, `page`, `page_size` and `order`.
    ///
    /// # Errors
    ///
    /// See [`ClientError`].
    pub async fn definitions(
        &self,
        query: &[(String, String)],
    ) -> Result<Page<JobDefinition>, ClientError> {
        self.get(&["jobs", "definitions"], query).await
    }

    /// Deletes the definition of that id.
    ///
    /// # Errors
    ///
    /// See [`ClientError`].
    pub async fn delete_definition(&self, id: &str) -> Result<(), ClientError> {
        let request = self.request(Method::DELETE, &["jobs", "definitions", id]);
        self.success(request).await.map(drop)
    }

    /// Lets the definition of that id be scheduled again.
    ///
    /// # Errors
    ///
    /// See [`ClientError`].
    pub async fn enable_definition(&self, id: &str) -> Result<(), ClientError> {
        self.post_empty(&["jobs", "definitions", id, "enable"], &[])
            .await
    }

    /// Stops scheduling the definition of that id.
    ///
    /// # Errors
    ///
    /// See [`ClientError`].
    pub async fn disable_definition(&self, id: &str) -> Result<(), ClientError> {
        self.post_empty(&["jobs", "definitions", id, "disable"], &[])
            .await
    }
}
