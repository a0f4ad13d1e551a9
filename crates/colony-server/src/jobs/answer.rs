//! What handlers answer with (`formicary-api` 1.1).

use axum::http::StatusCode;
use axum::http::header::{CONTENT_TYPE, HeaderValue};
use axum::response::{IntoResponse, Response};
use serde::Serialize;

use crate::jobs::error::ApiError;

/// Content type of JSON answers.
pub(super) const JSON: HeaderValue = HeaderValue::from_static("application/json");
/// Content type of text answers.
const TEXT: HeaderValue = HeaderValue::from_static("text/plain; charset=UTF-8");

/// What a handler gives.
pub(super) type Answer = Result<Response, ApiError>;

/// One JSON value and a newline.
pub(super) fn json(status: StatusCode, value: &impl Serialize) -> Response {
    match serde_json::to_vec(value) {
        Ok(mut body) => {
            body.push(b'\n');
            (status, [(CONTENT_TYPE, JSON)], body).into_response()
        }
        Err(error) => {
            tracing::error!("failed to write an answer as JSON: {error}");
            StatusCode::INTERNAL_SERVER_ERROR.into_response()
        }
    }
}

/// 200 with a JSON value.
pub(super) fn ok(value: &impl Serialize) -> Answer {
    Ok(json(StatusCode::OK, value))
}

/// 200 without a body.
pub(super) fn empty() -> Answer {
    Ok(StatusCode::OK.into_response())
}

/// 200 with a text.
pub(super) fn text(text: String) -> Answer {
    Ok(([(CONTENT_TYPE, TEXT)], text).into_response())
}
