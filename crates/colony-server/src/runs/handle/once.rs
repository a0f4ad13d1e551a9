//! POSTs, which may carry a key so that sending them again does nothing twice.

use axum::http::{Response, StatusCode};
use colony_engine::hash_token;
use colony_engine::ledger::{Command, LedgerError, OnceKey, Outcome};
use serde_json::Value;

use super::{Answer, Call};
use crate::runs::check::{NAME, check_length};
use crate::runs::refusal::{Refusal, answer};
use crate::runs::state::RunsState;

/// The header with the key.
const HEADER: &str = "idempotency-key";

/// An answer as it is stored: status and body.
pub(super) type Stored = (u16, String);

impl Call {
    /// The key of the request, if it carries one.
    pub(super) fn once(&self) -> Result<Option<OnceKey>, Refusal> {
        let Some(value) = self.headers.get(HEADER) else {
            return Ok(None);
        };
        let key = String::from_utf8_lossy(value.as_bytes()).into_owned();
        if let Some(problem) = check_length(&[Value::from(HEADER)], &key, NAME) {
            return Err(Refusal::Invalid(vec![problem]));
        }
        let body = self.body.as_ref().map(|body| body.raw.as_ref());
        let body = String::from_utf8_lossy(body.unwrap_or_default());
        let path = self.path.trim_end_matches('/');
        Ok(Some(OnceKey {
            org_id: self.org_id.clone(),
            key,
            request_sha256: hash_token(&format!("POST {path}\n{body}")),
        }))
    }
}

/// Carries a command out, once if the request carries a key.
pub(super) async fn perform(
    state: &RunsState,
    call: &Call,
    command: Command,
    render: impl Fn(&Outcome) -> Stored + Send + Sync + 'static,
    refuse: impl Fn(LedgerError) -> Refusal,
) -> Answer {
    let stored = match call.once()? {
        Some(once) => state.ledger().perform_once(command, once, render).await,
        None => {
            let outcome = state.ledger().perform(command).await;
            outcome.map(|outcome| render(&outcome))
        }
    };
    stored.map(respond).map_err(refuse)
}

/// A stored answer as a response.
pub(super) fn respond((status, body): Stored) -> Response<axum::body::Body> {
    let status = StatusCode::from_u16(status).unwrap_or(StatusCode::OK);
    answer(status, body)
}
