//! Typed calls of the Runs API.

mod error;
mod events;

use std::fmt;
use std::time::Duration;

use reqwest::{Method, RequestBuilder, Response};
use serde::Serialize;
use serde::de::DeserializeOwned;

pub use error::ClientError;
pub use events::{Event, EventKind, Events};

use crate::client::http::{build, parse_base};
use crate::runs::{
    BatchCreated, BatchRequest, ChangeRun, ChangeTags, ChangeTask, ClaimRequest, Claimed,
    ClaimedTask, DataPage, Deleted, ErrorBody, HeartbeatRequest, Leases, List, NewData, NewRun,
    NewTask, ReportRequest, Reported, Run, RunData, Task,
};

/// How long a call may take beyond the wait that it asks for.
const TIMEOUT: Duration = Duration::from_secs(30);

/// A client of the Runs API. Cheap to clone.
#[derive(Clone)]
pub struct RunsClient {
    http: reqwest::Client,
    base: String,
    key: Option<String>,
    org_id: Option<String>,
}

impl fmt::Debug for RunsClient {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "RunsClient({})", self.base)
    }
}

impl RunsClient {
    /// A client for a server such as `http://127.0.0.1:7777`.
    ///
    /// # Errors
    ///
    /// The text is not an HTTP address, or the system cannot make HTTP clients.
    pub fn new(url: &str) -> Result<Self, ClientError> {
        let base = parse_base(url).map_err(|problem| ClientError::BadUrl {
            url: url.to_owned(),
            problem,
        })?;
        Ok(Self {
            http: build(&base)?,
            base: format!("{}/api/v1", base.as_str().trim_end_matches('/')),
            key: None,
            org_id: None,
        })
    }

    /// With an API key.
    #[must_use]
    pub fn with_key(mut self, key: impl Into<String>) -> Self {
        self.key = Some(key.into());
        self
    }

    /// Acting for an organization, when the key does not say which.
    #[must_use]
    pub fn with_org(mut self, org_id: impl Into<String>) -> Self {
        self.org_id = Some(org_id.into());
        self
    }

    /// Creates a run.
    ///
    /// # Errors
    ///
    /// As every call: the server could not be reached, or refused.
    pub async fn create_run(&self, new: &NewRun) -> Result<Run, ClientError> {
        self.send(Method::POST, "/runs", Some(new)).await
    }

    /// A run.
    ///
    /// # Errors
    ///
    /// As every call.
    pub async fn run(&self, id: &str) -> Result<Run, ClientError> {
        self.get(&format!("/runs/{id}"), &[]).await
    }

    /// Changes a run.
    ///
    /// # Errors
    ///
    /// As every call.
    pub async fn change_run(&self, id: &str, change: &ChangeRun) -> Result<Run, ClientError> {
        let path = format!("/runs/{id}");
        self.send(Method::PATCH, &path, Some(change)).await
    }

    /// A page of runs; parameters as `status=running`.
    ///
    /// # Errors
    ///
    /// As every call.
    pub async fn list_runs(&self, query: &[(&str, &str)]) -> Result<List<Run>, ClientError> {
        self.get("/runs", query).await
    }

    /// Follows a run: its present state or, after the event of that id, what changed since; then
    /// every change.
    ///
    /// # Errors
    ///
    /// As every call.
    pub async fn events(&self, run: &str, after: Option<&str>) -> Result<Events, ClientError> {
        let mut request = self.http.get(format!("{}/runs/{run}/events", self.base));
        if let Some(id) = after {
            request = request.header("last-event-id", id);
        }
        Ok(Events::of(self.accepted(request).await?))
    }

    /// Creates a task.
    ///
    /// # Errors
    ///
    /// As every call.
    pub async fn create_task(&self, new: &NewTask) -> Result<Task, ClientError> {
        self.send(Method::POST, "/tasks", Some(new)).await
    }

    /// Creates tasks, all or none.
    ///
    /// # Errors
    ///
    /// As every call.
    pub async fn create_tasks(
        &self,
        tasks: Vec<NewTask>,
    ) -> Result<BatchCreated<Task>, ClientError> {
        let batch = BatchRequest { tasks };
        self.send(Method::POST, "/tasks/batch", Some(&batch)).await
    }

    /// A task; with a wait, once it has ended or the wait is over.
    ///
    /// # Errors
    ///
    /// As every call.
    pub async fn task(&self, id: &str, wait: Duration) -> Result<Task, ClientError> {
        let wait = wait.as_millis().to_string();
        self.get(&format!("/tasks/{id}"), &[("waitMs", &wait)])
            .await
    }

    /// Changes a task.
    ///
    /// # Errors
    ///
    /// As every call; 409 when the lease is over.
    pub async fn change_task(&self, id: &str, change: &ChangeTask) -> Result<Task, ClientError> {
        let path = format!("/tasks/{id}");
        self.send(Method::PATCH, &path, Some(change)).await
    }

    /// A page of tasks; parameters as `runId=…`.
    ///
    /// # Errors
    ///
    /// As every call.
    pub async fn list_tasks(&self, query: &[(&str, &str)]) -> Result<List<Task>, ClientError> {
        self.get("/tasks", query).await
    }

    /// Writes an entry of run data.
    ///
    /// # Errors
    ///
    /// As every call.
    pub async fn write_data(&self, run: &str, new: &NewData) -> Result<RunData, ClientError> {
        let path = format!("/runs/{run}/data");
        self.send(Method::POST, &path, Some(new)).await
    }

    /// Finds entries of run data; parameters as `keyStartsWith=a.`.
    ///
    /// # Errors
    ///
    /// As every call.
    pub async fn query_data(
        &self,
        run: &str,
        query: &[(&str, &str)],
    ) -> Result<DataPage<RunData>, ClientError> {
        self.get(&format!("/runs/{run}/data"), query).await
    }

    /// Changes the tags of an entry.
    ///
    /// # Errors
    ///
    /// As every call.
    pub async fn tag_data(
        &self,
        run: &str,
        id: &str,
        change: &ChangeTags,
    ) -> Result<RunData, ClientError> {
        let path = format!("/runs/{run}/data/{id}/tags");
        self.send(Method::PATCH, &path, Some(change)).await
    }

    /// Deletes entries by `key` or `id`.
    ///
    /// # Errors
    ///
    /// As every call.
    pub async fn delete_data(
        &self,
        run: &str,
        query: &[(&str, &str)],
    ) -> Result<Deleted, ClientError> {
        let url = format!("{}/runs/{run}/data", self.base);
        let request = self.http.delete(url).query(query).timeout(TIMEOUT);
        self.answer(request).await
    }

    /// Claims tasks.
    ///
    /// # Errors
    ///
    /// As every call.
    pub async fn claim(&self, claim: &ClaimRequest) -> Result<Claimed<ClaimedTask>, ClientError> {
        let wait = u64::try_from(claim.wait_ms.unwrap_or_default()).unwrap_or_default();
        let url = format!("{}/tasks/claim", self.base);
        let timeout = TIMEOUT + Duration::from_millis(wait);
        let request = self.http.post(url).json(claim).timeout(timeout);
        self.answer(request).await
    }

    /// Renews leases.
    ///
    /// # Errors
    ///
    /// As every call.
    pub async fn heartbeat(&self, beat: &HeartbeatRequest) -> Result<Leases, ClientError> {
        self.send(Method::POST, "/tasks/heartbeat", Some(beat))
            .await
    }

    /// Reports on several tasks.
    ///
    /// # Errors
    ///
    /// As every call.
    pub async fn report(&self, report: &ReportRequest) -> Result<Reported, ClientError> {
        self.send(Method::POST, "/tasks/report", Some(report)).await
    }

    async fn get<T: DeserializeOwned>(
        &self,
        path: &str,
        query: &[(&str, &str)],
    ) -> Result<T, ClientError> {
        let url = format!("{}{path}", self.base);
        // A wait for a task lasts at most a minute.
        let request = self.http.get(url).query(query).timeout(TIMEOUT * 3);
        self.answer(request).await
    }

    async fn send<B: Serialize, T: DeserializeOwned>(
        &self,
        method: Method,
        path: &str,
        body: Option<&B>,
    ) -> Result<T, ClientError> {
        let url = format!("{}{path}", self.base);
        let mut request = self.http.request(method, url).timeout(TIMEOUT);
        if let Some(body) = body {
            request = request.json(body);
        }
        self.answer(request).await
    }

    async fn answer<T: DeserializeOwned>(&self, request: RequestBuilder) -> Result<T, ClientError> {
        let bytes = self.accepted(request).await?.bytes().await?;
        parse(&bytes).map_err(ClientError::Unexpected)
    }

    /// The answer, if it is a success.
    async fn accepted(&self, mut request: RequestBuilder) -> Result<Response, ClientError> {
        if let Some(key) = &self.key {
            request = request.bearer_auth(key);
        }
        if let Some(org_id) = &self.org_id {
            request = request.header("x-org-id", org_id);
        }
        let response = request.send().await?;
        let status = response.status();
        if status.is_success() {
            return Ok(response);
        }
        let text = response.text().await?;
        let body = serde_json::from_str(&text).unwrap_or(ErrorBody {
            error: text,
            details: None,
            task: None,
        });
        Err(ClientError::Refused {
            status: status.as_u16(),
            body: Box::new(body),
        })
    }
}

/// Parses an answer. Values of users may be nested as deeply as the server lets them.
fn parse<T: DeserializeOwned>(bytes: &[u8]) -> serde_json::Result<T> {
    let mut parser = serde_json::Deserializer::from_slice(bytes);
    parser.disable_recursion_limit();
    let value = T::deserialize(&mut parser)?;
    parser.end()?;
    Ok(value)
}
