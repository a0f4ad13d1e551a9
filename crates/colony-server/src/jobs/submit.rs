//! Checking what is submitted (`formicary-api` 7.2, 8.5).

use std::time::Duration;

use colony_api::jobs::{DurationInput, SubmitRequest, Time};
use colony_core::id::RequestId;
use colony_core::text::{code_point, control_in_name, control_in_text};
use colony_engine::Submit;
use colony_spec::duration::parse_duration;
use serde_json::Value;

use crate::jobs::error::ApiError;

/// The engine's form of a submitted body.
pub(super) fn checked(body: SubmitRequest) -> Result<Submit, ApiError> {
    let params = body.params.unwrap_or_default();
    for (name, value) in &params {
        if let Some(letter) = control_in_name(name) {
            let (name, letter) = (name.escape_debug(), code_point(letter));
            let message = format!("the name of parameter `{name}` holds the character {letter}");
            return Err(ApiError::invalid("params", message));
        }
        if has_nul(value) {
            let message = format!("parameter `{name}` holds the character NUL");
            return Err(ApiError::invalid("params", message));
        }
    }
    Ok(Submit {
        job_type: text("job_type", Some(body.job_type))?,
        job_version: text("job_version", body.job_version)?,
        params,
        description: described(body.description)?,
        platform: text("platform", body.platform)?,
        job_group: text("job_group", body.job_group)?,
        job_priority: body.job_priority.unwrap_or(0),
        timeout_ms: timeout_ms(body.timeout)?,
        user_key: body
            .user_key
            .filter(|key| !key.is_empty())
            .map(|key| text("user_key", Some(key)))
            .transpose()?,
        parent_id: body
            .parent_id
            .filter(|id| !id.is_empty())
            .map(|id| parent_id(&id))
            .transpose()?,
        scheduled_at: body.scheduled_at.and_then(Time::get),
    })
}

fn text(path: &str, text: Option<String>) -> Result<String, ApiError> {
    let text = text.unwrap_or_default();
    match control_in_name(&text) {
        Some(letter) => Err(holds(path, letter)),
        None => Ok(text),
    }
}

fn described(text: Option<String>) -> Result<String, ApiError> {
    let text = text.unwrap_or_default();
    match control_in_text(&text) {
        Some(letter) => Err(holds("description", letter)),
        None => Ok(text),
    }
}

fn holds(path: &str, letter: char) -> ApiError {
    let letter = code_point(letter);
    let message = format!("`{path}` holds the control character {letter}; remove it");
    ApiError::invalid(path, message)
}

fn parent_id(id: &str) -> Result<RequestId, ApiError> {
    let parsed = id.parse();
    parsed.map_err(|error| ApiError::invalid("parent_id", format!("{error}")))
}

fn timeout_ms(timeout: Option<DurationInput>) -> Result<i64, ApiError> {
    let timeout = match timeout {
        None => Duration::ZERO,
        Some(DurationInput::Nanos(nanos)) => {
            let nanos = u64::try_from(nanos);
            Duration::from_nanos(
                nanos.map_err(|_| ApiError::invalid("timeout", "`timeout` is less than 0"))?,
            )
        }
        Some(DurationInput::Text(text)) => parse_duration(&text)
            .map_err(|error| ApiError::invalid("timeout", error.to_string()))?,
    };
    // Rounded up: a limit that was set stays one.
    let millis = timeout.as_nanos().div_ceil(1_000_000);
    Ok(i64::try_from(millis).unwrap_or(i64::MAX))
}

/// PostgreSQL cannot store NUL, wherever it is.
fn has_nul(value: &Value) -> bool {
    match value {
        Value::Null | Value::Bool(_) | Value::Number(_) => false,
        Value::String(text) => text.contains('\0'),
        Value::Array(items) => items.iter().any(has_nul),
        Value::Object(members) => members
            .iter()
            .any(|(name, value)| name.contains('\0') || has_nul(value)),
    }
}
