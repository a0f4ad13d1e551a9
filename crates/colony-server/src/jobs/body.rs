//! Reading bodies: within limits of size and time, as text or JSON.

use std::time::Duration;

use axum::body::Bytes;
use axum::extract::Request;
use serde::de::DeserializeOwned;

use colony_api::jobs::ErrorDetail;

use crate::edge::body::{self, BodyError, Bounds};
use crate::edge::budget::Share;
use crate::jobs::error::{ApiError, Class};
use crate::state::ServerState;

/// Largest body of a definition, in bytes (`formicary-api` 7.1).
pub(super) const DEFINITION_BYTES_MAX: usize = 1024 * 1024;
/// Largest JSON body of other calls: a few parameters of a million characters fit.
pub(super) const JSON_BYTES_MAX: usize = 16 * 1024 * 1024;
/// How long a body may take to arrive.
const BODY_TIMEOUT: Duration = Duration::from_secs(60);
/// How much memory each byte of a body is expected to take: its text, that of the values made of
/// it, and that of the row.
const EXPANSION: usize = 4;
/// What each value takes beside its text, and each object, however small: it is a tree.
const VALUE_BYTES: usize = 64;
const OBJECT_BYTES: usize = 640;

/// A body, and the memory that it and what is made of it may take: keep it until the answer.
pub(super) struct Whole {
    pub(super) bytes: Bytes,
    _share: Share,
}

/// The whole body, at most `limit` bytes; a longer one is an error of class `too_large`.
pub(super) async fn read(
    state: &ServerState,
    request: Request,
    limit: usize,
    too_large: Class,
) -> Result<Whole, ApiError> {
    let mut share = state.edge.share();
    let bounds = Bounds {
        bytes: limit,
        time: BODY_TIMEOUT,
        expansion: EXPANSION,
    };
    let (head, body) = request.into_parts();
    let bytes = body::read(&mut share, &head.headers, body, bounds).await;
    let bytes = bytes.map_err(|error| refusal(error, limit, too_large))?;
    // Many small values take far more memory than their text.
    let expected = EXPANSION * bytes.len() + values(&bytes);
    (share.grow_to(expected)).map_err(|error| refusal(error.into(), limit, too_large))?;
    Ok(Whole {
        bytes,
        _share: share,
    })
}

fn refusal(error: BodyError, limit: usize, too_large: Class) -> ApiError {
    match error {
        BodyError::TooLarge => too_large_error(limit, too_large),
        BodyError::TooSlow => ApiError::invalid(
            "body",
            format!(
                "the body did not arrive within {} s",
                BODY_TIMEOUT.as_secs()
            ),
        ),
        BodyError::Broken => {
            ApiError::invalid("body", "the connection broke before the body was complete")
        }
        BodyError::Encoding => ApiError::invalid(
            "body",
            "its content encoding is not known: send it as it is, or with gzip",
        ),
        BodyError::Packing => {
            ApiError::invalid("body", "it is not gzip, as its content encoding says")
        }
        BodyError::NoRoom => ApiError::new(
            Class::Unavailable,
            "the bodies of other calls take all memory for them at the moment; try again",
        ),
    }
}

/// About how much memory the values of a text take beside their text.
fn values(text: &[u8]) -> usize {
    let sizes = text.iter().map(|byte| match byte {
        b'{' => OBJECT_BYTES,
        b',' | b':' | b'[' | b'\n' => VALUE_BYTES,
        _ => 0,
    });
    sizes.sum()
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
pub(super) fn text(bytes: &[u8]) -> Result<&str, ApiError> {
    std::str::from_utf8(bytes).map_err(|error| {
        let place = error.valid_up_to();
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
