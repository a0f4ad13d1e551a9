//! Calls of requests.

use std::time::Duration;

use crate::client::{Client, ClientError};
use crate::jobs::{JobRequest, LogPage, Page, SubmitRequest};

/// Which requests to list. Empty = all.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct ListRequests {
    /// Only of this type.
    pub job_type: Option<String>,
    /// Only in this state, or one of the groups `RUNNING`, `WAITING`, `DONE`.
    pub job_state: Option<String>,
    /// Free text.
    pub search: Option<String>,
    /// Further filters, as in the API: `field`, `field:like`, `field:>`, ….
    pub filters: Vec<(String, String)>,
    /// Such as `created_at desc`.
    pub order: Vec<String>,
    /// Page, from 0.
    pub page: u32,
    /// Rows a page; 0 = the server's default.
    pub page_size: u32,
}

impl ListRequests {
    fn query(&self) -> Vec<(String, String)> {
        let mut query = self.filters.clone();
        let named = [
            ("job_type", &self.job_type),
            ("job_state", &self.job_state),
            ("q", &self.search),
        ];
        for (name, value) in named {
            if let Some(value) = value {
                query.push((name.to_owned(), value.clone()));
            }
        }
        for order in &self.order {
            query.push(("order".to_owned(), order.clone()));
        }
        query.push(("page".to_owned(), self.page.to_string()));
        query.push(("page_size".to_owned(), self.page_size.to_string()));
        query
    }
}

/// Which part of a request's log.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct LogsQuery {
    /// Only this task.
    pub task: Option<String>,
    /// Where the last page ended.
    pub cursor: Option<String>,
    /// How long the queen may wait for something new, at most 30 s.
    pub wait: Duration,
}

impl Client {
    /// Submits a request.
    ///
    /// # Errors
    ///
    /// See [`ClientError`].
    pub async fn submit(&self, submit: &SubmitRequest) -> Result<JobRequest, ClientError> {
        self.post(&["jobs", "requests"], submit).await
    }

    /// A request with its current execution.
    ///
    /// # Errors
    ///
    /// See [`ClientError`].
    pub async fn job_request(&self, id: &str) -> Result<JobRequest, ClientError> {
        self.get(&["jobs", "requests", id], &[]).await
    }

    /// As [`Client::job_request`], but answers when the request is finished or after `wait`, at
    /// most 30 s.
    ///
    /// # Errors
    ///
    /// See [`ClientError`].
    pub async fn wait_for_request(
        &self,
        id: &str,
        wait: Duration,
    ) -> Result<JobRequest, ClientError> {
        self.get(&["jobs", "requests", id], &[wait_ms(wait)]).await
    }

    /// One page of requests.
    ///
    /// # Errors
    ///
    /// See [`ClientError`].
    pub async fn job_requests(&self, list: &ListRequests) -> Result<Page<JobRequest>, ClientError> {
        self.get(&["jobs", "requests"], &list.query()).await
    }

    /// Cancels a request; a finished one stays as it is.
    ///
    /// # Errors
    ///
    /// See [`ClientError`].
    pub async fn cancel(&self, id: &str) -> Result<(), ClientError> {
        self.post_empty(&["jobs", "requests", id, "cancel"], &[])
            .await
    }

    /// Restarts a request. `hard` repeats every task; `version` chooses another version of the
    /// definition, the default one when empty.
    ///
    /// # Errors
    ///
    /// See [`ClientError`].
    pub async fn restart(&self, id: &str, hard: bool, version: &str) -> Result<(), ClientError> {
        let query = [
            ("hard".to_owned(), hard.to_string()),
            ("version".to_owned(), version.to_owned()),
        ];
        self.post_empty(&["jobs", "requests", id, "restart"], &query)
            .await
    }

    /// The next part of a request's log.
    ///
    /// # Errors
    ///
    /// See [`ClientError`].
    pub async fn log_page(&self, id: &str, logs: &LogsQuery) -> Result<LogPage, ClientError> {
        let mut query = vec![wait_ms(logs.wait)];
        if let Some(task) = &logs.task {
            query.push(("task".to_owned(), task.clone()));
        }
        if let Some(cursor) = &logs.cursor {
            query.push(("cursor".to_owned(), cursor.clone()));
        }
        self.get(&["jobs", "requests", id, "logs"], &query).await
    }
}

fn wait_ms(wait: Duration) -> (String, String) {
    ("wait_ms".to_owned(), wait.as_millis().to_string())
}
