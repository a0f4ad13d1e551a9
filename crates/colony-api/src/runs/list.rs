//! Envelopes of lists, and errors.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use serde_json::{Map, Value};

/// Where a page is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct Pagination {
    /// Matching rows over all pages.
    pub total: u64,
    /// Rows a page.
    pub limit: u64,
    /// Rows before this page.
    pub offset: u64,
}

/// A page of runs or tasks (`foreman-api` 7.4, 11.2). Which members appear depends on the dialect.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct List<T> {
    /// The rows.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub items: Option<Vec<T>>,
    /// Matching rows over all pages.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub total: Option<u64>,
    /// Rows a page.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub limit: Option<u64>,
    /// Rows before this page.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub offset: Option<u64>,
    /// The rows again, for clients of the other generation.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub data: Option<Vec<T>>,
    /// Where the page is, for clients of the other generation.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub pagination: Option<Pagination>,
}

impl<T> List<T> {
    /// The rows, wherever they are, and how many there are over all pages.
    pub fn into_rows(self) -> (Vec<T>, u64) {
        let pagination = self.pagination.map(|pagination| pagination.total);
        let total = self.total.or(pagination).unwrap_or_default();
        (self.items.or(self.data).unwrap_or_default(), total)
    }
}

/// A page of run data (`foreman-api` 9.5).
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct DataPage<T> {
    /// The entries.
    pub data: Vec<T>,
    /// Where the page is.
    pub pagination: Pagination,
}

/// How many entries were deleted.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct Deleted {
    /// At least one.
    pub deleted: u64,
}

/// Every answer that is no success (`foreman-api` 5.1).
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct ErrorBody {
    /// What went wrong.
    pub error: String,
    /// The problems of an invalid request.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub details: Option<Vec<ErrorItem>>,
    /// The task as it is, when a change of it was refused.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub task: Option<Value>,
}

/// One problem of an invalid request (`foreman-api` 5.3).
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct ErrorItem {
    /// What kind of problem.
    pub code: String,
    /// Names of members and positions in arrays.
    pub path: Vec<Value>,
    /// For people.
    pub message: String,
    /// What was expected, received, or the bounds.
    #[serde(flatten)]
    pub more: Map<String, Value>,
}
