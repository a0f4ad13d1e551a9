//! Errors of the Jobs API (`formicary-api` 1.5): one type, one map to status and code.

use std::error::Error;

use axum::http::StatusCode;
use axum::http::header::RETRY_AFTER;
use axum::response::{IntoResponse, Response};
use colony_api::jobs::{ErrorBody, ErrorDetail};
use colony_core::text::with_causes;
use colony_engine::EngineError;
use colony_spec::Diagnostic;
use colony_store::StoreError;

use crate::auth::AuthError;
use crate::edge::names::Foreign;
use crate::jobs::answer;
use crate::outage;

/// The class of an error.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Class {
    InvalidRequest,
    Unauthenticated,
    PermissionDenied,
    NotFound,
    Conflict,
    TooLarge,
    Internal,
    Unavailable,
    /// No such route. Has no code.
    NoRoute,
    /// The route has no such method. Has no code.
    NoMethod,
}

impl Class {
    const fn status(self) -> StatusCode {
        match self {
            Self::InvalidRequest => StatusCode::BAD_REQUEST,
            Self::Unauthenticated => StatusCode::UNAUTHORIZED,
            Self::PermissionDenied => StatusCode::FORBIDDEN,
            Self::NotFound | Self::NoRoute => StatusCode::NOT_FOUND,
            Self::Conflict => StatusCode::CONFLICT,
            Self::TooLarge => StatusCode::PAYLOAD_TOO_LARGE,
            Self::Internal => StatusCode::INTERNAL_SERVER_ERROR,
            Self::Unavailable => StatusCode::SERVICE_UNAVAILABLE,
            Self::NoMethod => StatusCode::METHOD_NOT_ALLOWED,
        }
    }

    const fn code(self) -> &'static str {
        match self {
            Self::InvalidRequest => "InvalidRequest",
            Self::Unauthenticated => "Unauthenticated",
            Self::PermissionDenied => "PermissionDenied",
            Self::NotFound => "NotFound",
            Self::Conflict => "Conflict",
            Self::TooLarge => "TooLarge",
            Self::Internal => "Internal",
            Self::Unavailable => "Unavailable",
            Self::NoRoute | Self::NoMethod => "",
        }
    }
}

/// An answer that is not a success. Everything in it is meant for the caller.
#[derive(Debug)]
pub(super) struct ApiError {
    class: Class,
    message: String,
    details: Vec<ErrorDetail>,
}

impl ApiError {
    pub(super) fn new(class: Class, message: impl Into<String>) -> Self {
        Self {
            class,
            message: message.into(),
            details: Vec::new(),
        }
    }

    /// The caller's input is wrong at `path`.
    pub(super) fn invalid(path: &str, message: impl Into<String>) -> Self {
        let message = message.into();
        let detail = ErrorDetail {
            path: path.to_owned(),
            message: message.clone(),
            ..ErrorDetail::default()
        };
        Self::new(Class::InvalidRequest, message).with(vec![detail])
    }

    /// A fault of ours. Nothing about it is told.
    pub(super) fn internal() -> Self {
        Self::new(
            Class::Internal,
            "internal error; the server's log has the details",
        )
    }

    pub(super) fn with(mut self, details: Vec<ErrorDetail>) -> Self {
        self.details = details;
        self
    }
}

impl IntoResponse for ApiError {
    fn into_response(self) -> Response {
        let body = ErrorBody {
            message: self.message,
            code: self.class.code().to_owned(),
            details: self.details,
        };
        let mut response = answer::json(self.class.status(), &body);
        if self.class == Class::Unavailable {
            let headers = response.headers_mut();
            headers.insert(RETRY_AFTER, outage::RETRY_AFTER);
        }
        response
    }
}

impl From<Foreign> for ApiError {
    fn from(foreign: Foreign) -> Self {
        match foreign {
            Foreign::Host | Foreign::Origin => {
                Self::new(Class::PermissionDenied, foreign.message())
            }
            Foreign::Content => Self::invalid("body", foreign.message()),
        }
    }
}

impl From<EngineError> for ApiError {
    fn from(error: EngineError) -> Self {
        match error {
            EngineError::NotFound { .. } => Self::new(Class::NotFound, error.to_string()),
            EngineError::Invalid(message) => Self::new(Class::InvalidRequest, message),
            EngineError::InvalidDefinition(diagnostics) => Self::invalid_definition(&diagnostics),
            EngineError::Conflict(message) => Self::new(Class::Conflict, message),
            EngineError::KeyTaken { .. } => Self::new(Class::Conflict, error.to_string()),
            EngineError::Store(error) => error.into(),
            EngineError::Unreadable(_) => {
                log(&error);
                Self::internal()
            }
            EngineError::Objects(error) => {
                log(&error);
                Self::internal()
            }
        }
    }
}

impl From<StoreError> for ApiError {
    fn from(error: StoreError) -> Self {
        if error.is_unavailable() {
            outage::log(&error);
            let message = format!("the database {}; try again", error.outage());
            return Self::new(Class::Unavailable, message);
        }
        log(&error);
        Self::internal()
    }
}

impl From<AuthError> for ApiError {
    fn from(error: AuthError) -> Self {
        let message = match error {
            AuthError::Missing => {
                "a token is required: send it as `Authorization: Bearer <token>`; the first one is \
                 in `admin.token` in the queen's data directory"
            }
            AuthError::Invalid => "the token is not valid: it is unknown, revoked or expired",
            AuthError::Engine(error) => return error.into(),
        };
        Self::new(Class::Unauthenticated, message)
    }
}

impl ApiError {
    fn invalid_definition(diagnostics: &[Diagnostic]) -> Self {
        let message = diagnostics
            .first()
            .map_or("the definition is not valid", |first| &first.message);
        let details = diagnostics.iter().map(|diagnostic| ErrorDetail {
            path: "body".to_owned(),
            message: with_help(diagnostic),
            line: Some(diagnostic.line),
            column: Some(diagnostic.column),
        });
        Self::new(Class::InvalidRequest, message).with(details.collect())
    }
}

/// The message of a finding and what to do about it.
pub(super) fn with_help(diagnostic: &Diagnostic) -> String {
    match &diagnostic.help {
        Some(help) => format!("{}; {help}", diagnostic.message),
        None => diagnostic.message.clone(),
    }
}

/// Logs an internal error with its causes, in the one place where it is handled.
fn log(error: &dyn Error) {
    tracing::error!("failed to {}", with_causes(error));
}
