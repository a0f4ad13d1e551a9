//! Answers that are no success (`foreman-api` 5).

use axum::body::Body;
use axum::http::{HeaderValue, Response, StatusCode, header};
use colony_api::runs::Task;
use colony_engine::ledger::LedgerError;
use serde::Serialize;
use serde_json::{Value, json};

use super::render::{View, text};
use super::splice::Raw;
use crate::edge::names::Foreign;
use crate::outage;

/// The type of every answer.
pub(super) const JSON: HeaderValue = HeaderValue::from_static("application/json; charset=utf-8");

/// Why a request is refused.
#[derive(Debug)]
pub(super) enum Refusal {
    /// 400: no JSON, or a scalar.
    MalformedJson,
    /// 400: the body is compressed in a way that is not known.
    Encoding,
    /// 400: the path cannot be decoded.
    BadPath,
    /// 400: a body or query breaks rules.
    Invalid(Vec<Value>),
    /// 400: the query of run data breaks rules (K-9).
    InvalidQuery(Vec<Value>),
    /// 401: nothing usable was shown.
    NoKey,
    /// 401: what was shown is malformed, unknown or revoked.
    BadKey,
    /// 403: a key of another organization.
    WrongOrganization,
    /// 403: asked for another server, or caused by a page of another origin.
    Foreign(&'static str),
    /// 404, with its text.
    NotFound(String),
    /// 408: the body did not arrive in time.
    TooSlow,
    /// 409, with the task as it is.
    Conflict(&'static str, Option<Box<Task<Raw>>>),
    /// 413.
    TooLarge,
    /// 503: the bodies of others take all memory for them.
    NoRoom,
    /// 503: the database is away, or the server is about to end. The same request may succeed
    /// later.
    Unavailable,
    /// 500: the cause is in the log.
    Internal,
}

impl Refusal {
    /// An unknown route.
    pub(super) fn unknown_route() -> Self {
        Self::NotFound("Not found".to_owned())
    }

    /// A failure of the ledger that no caller can help.
    pub(super) fn internal(error: &LedgerError) -> Self {
        if error.is_unavailable() {
            outage::log(error);
            return Self::Unavailable;
        }
        let error: &dyn std::error::Error = error;
        tracing::error!(error, "failed to serve a request");
        Self::Internal
    }

    /// A failure that has the same meaning for every endpoint.
    pub(super) fn of(error: LedgerError, view: View, not_found: impl Fn() -> String) -> Self {
        match error {
            LedgerError::Missing { .. } => Self::NotFound(not_found()),
            LedgerError::LeaseLost(row) => {
                Self::Conflict("Lease is not current", Some(Box::new(view.task(*row))))
            }
            LedgerError::OwnedByJob(row) => Self::Conflict(
                "Task belongs to a job: only the holder of its lease may change it",
                Some(Box::new(view.task(*row))),
            ),
            LedgerError::RunOwnedByJob => Self::Conflict("Run belongs to a job", None),
            LedgerError::KeyReused => {
                Self::Conflict("Idempotency-Key was used for another request", None)
            }
            LedgerError::KeyRevoked => Self::BadKey,
            error @ (LedgerError::Store(_)
            | LedgerError::Shared(_)
            | LedgerError::Engine(_)
            | LedgerError::Closed) => Self::internal(&error),
        }
    }

    fn status(&self) -> StatusCode {
        match self {
            Self::MalformedJson
            | Self::Encoding
            | Self::BadPath
            | Self::Invalid(_)
            | Self::InvalidQuery(_) => StatusCode::BAD_REQUEST,
            Self::NoKey | Self::BadKey => StatusCode::UNAUTHORIZED,
            Self::WrongOrganization | Self::Foreign(_) => StatusCode::FORBIDDEN,
            Self::NotFound(_) => StatusCode::NOT_FOUND,
            Self::TooSlow => StatusCode::REQUEST_TIMEOUT,
            Self::Conflict(..) => StatusCode::CONFLICT,
            Self::TooLarge => StatusCode::PAYLOAD_TOO_LARGE,
            Self::NoRoom | Self::Unavailable => StatusCode::SERVICE_UNAVAILABLE,
            Self::Internal => StatusCode::INTERNAL_SERVER_ERROR,
        }
    }

    fn body(self) -> String {
        let body = match self {
            Self::Conflict(error, Some(task)) => return text(&Conflict { error, task }),
            Self::Encoding => json!({ "error": "Content-Encoding must be gzip or identity" }),
            Self::MalformedJson => json!({ "error": "Invalid JSON in request body" }),
            Self::BadPath => json!({ "error": "Invalid path" }),
            Self::Invalid(items) => json!({ "error": "Invalid request", "details": items }),
            Self::InvalidQuery(items) => {
                json!({ "error": "Invalid query parameters", "details": items })
            }
            Self::NoKey => json!({ "error": "Bearer token required but not provided" }),
            Self::BadKey => json!({ "error": "Invalid Bearer token" }),
            Self::WrongOrganization => {
                json!({ "error": "Key does not belong to this organization" })
            }
            Self::Foreign(text) => json!({ "error": text }),
            Self::NotFound(text) => json!({ "error": text }),
            Self::TooSlow => json!({ "error": "Request body did not arrive in time" }),
            Self::Conflict(text, None) => json!({ "error": text }),
            Self::NoRoom => json!({ "error": "Too many large requests, please try again later." }),
            Self::TooLarge => json!({ "error": "Request body too large" }),
            Self::Unavailable => json!({ "error": "Service is not available, try again" }),
            Self::Internal => json!({ "error": "Internal server error" }),
        };
        body.to_string()
    }

    /// The whole answer.
    pub(super) fn response(self) -> Response<Body> {
        let status = self.status();
        let challenge = matches!(self, Self::NoKey | Self::BadKey);
        let later = matches!(self, Self::NoRoom | Self::Unavailable);
        // What a client still sends is not read.
        let close = matches!(self, Self::TooLarge | Self::TooSlow);
        let mut response = answer(status, self.body());
        let headers = response.headers_mut();
        if challenge {
            let value = HeaderValue::from_static("Bearer");
            headers.insert(header::WWW_AUTHENTICATE, value);
        }
        if later {
            headers.insert(header::RETRY_AFTER, outage::RETRY_AFTER);
        }
        if close {
            headers.insert(header::CONNECTION, HeaderValue::from_static("close"));
        }
        response
    }
}

impl From<Foreign> for Refusal {
    fn from(foreign: Foreign) -> Self {
        match foreign {
            Foreign::Host | Foreign::Origin => Self::Foreign(foreign.message()),
            Foreign::Content => Self::MalformedJson,
        }
    }
}

/// Why a change is refused, and the task as it is.
#[derive(Serialize)]
struct Conflict {
    error: &'static str,
    task: Box<Task<Raw>>,
}

/// A JSON answer.
pub(super) fn answer(status: StatusCode, body: impl Into<Body>) -> Response<Body> {
    let mut response = Response::new(body.into());
    *response.status_mut() = status;
    response.headers_mut().insert(header::CONTENT_TYPE, JSON);
    response
}
