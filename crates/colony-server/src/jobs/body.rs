//! Reading bodies: within limits of size and time, as text or JSON.

use std::time::Duration;

use axum::body::{Body, Bytes};
use axum::extract::Request;
use futures_util::StreamExt as _;
use serde::de::DeserializeOwned;

use colony_api::jobs::ErrorDetail;

use crate::jobs::error::{ApiError, Class};

/// Largest body of a definition, in bytes (`formicary-api` 7.1).
pub(super) const DEFINITION_BYTES_MAX: usize = 1024 * 1024;
/// Largest JSON body of other calls: a few parameters of a million characters fit.
pub(super) const JSON_BYTES_MAX: usize = 16 * 1024 * 1024;
/// How long a body may take to arrive.
const BODY_TIMEOUT: Duration = Duration::from_secs(60);

/// The whole body, at most `limit` bytes; a longer one is an error of class `too_large`.
pub(super) async fn read(
    request: Request,
    limit: usize,
    too_large: Class,
) -> Result<Vec<u8>, ApiError> {
    let collected = tokio::time::timeout(BODY_TIMEOUT, collect(request.into_body(), limit)).await;
    match collected {
        Ok(Ok(bytes)) => Ok(bytes),
        Ok(Err(ReadError::TooLarge)) => Err(too_large_error(limit, too_large)),
        Ok(Err(ReadError::Broken)) => Err(ApiError::invalid(
            "body",
            "the connection broke before the body was complete",
        )),
        Err(_) => Err(ApiError::invalid(
            "body",
            format!(
                "the body did not arrive within {} s",
                BODY_TIMEOUT.as_secs()
            ),
        )),
    }
}

enum ReadError {
    TooLarge,
    Broken,
}

async fn collect(body: Body, limit: usize) -> Result<Vec<u8>, ReadError> {
    let mut whole = Vec::new();
    let mut chunks = body.into_data_stream();
    while let Some(chunk) = chunks.next().await {
        let chunk: Bytes = chunk.map_err(|_| ReadError::Broken)?;
        if whole.len() + chunk.len() > limit {
            return Err(ReadError::TooLarge);
        }
        whole.extend_from_slice(&chunk);
    }
    Ok(whole)
}

fn too_large_error(limit: usize, class: Class) -> ApiError {
    let message = format!("the body is larger than the limit of {limit} bytes");
    let detail = ErrorDetail {
        path: "body".to_owned(),
        message: message.clone(),
        ..ErrorDetail::default()
    };
    ApiError::new(class, message).with(vec![detail])
}

/// A body as text.
pub(super) fn text(bytes: Vec<u8>) -> Result<String, ApiError> {
    String::from_utf8(bytes).map_err(|error| {
        let place = error.utf8_error().valid_up_to();
        let message = format!("the body is not UTF-8 text: byte {} is not", place + 1);
        ApiError::invalid("body", message)
    })
}

/// A body as JSON. The error says where it is wrong.
pub(super) fn json<T: DeserializeOwned>(bytes: &[u8]) -> Result<T, ApiError> {
    serde_json::from_slice(bytes).map_err(|error| {
        let place = format!(" at line {} column {}", error.line(), error.column());
        let text = error.to_string();
        let problem = text.strip_suffix(&place).unwrap_or(&text);
        let detail = ErrorDetail {
            path: "body".to_owned(),
            message: problem.to_owned(),
            line: (error.line() > 0).then_some(error.line()),
            column: (error.line() > 0).then_some(error.column()),
        };
        let what = match error.classify() {
            serde_json::error::Category::Data => "the body does not fit",
            serde_json::error::Category::Io
            | serde_json::error::Category::Syntax
            | serde_json::error::Category::Eof => "the body is not JSON",
        };
        ApiError::new(Class::InvalidRequest, format!("{what}: {text}")).with(vec![detail])
    })
}
