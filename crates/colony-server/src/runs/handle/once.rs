//! POSTs, which may carry a key so that sending them again does nothing twice.

use axum::body::Body;
use axum::http::{Response, StatusCode};
use colony_engine::hash_parts;
use colony_engine::ledger::{Command, LedgerError, OnceKey, Outcome};
use serde_json::Value;

use super::{Answer, Call};
use crate::runs::check::{NAME, check_length};
use crate::runs::refusal::{Refusal, answer};
use crate::runs::splice::Spliced;
use crate::runs::state::RunsState;

/// The header with the key.
pub(super) const HEADER: &str = "idempotency-key";

/// An answer as it is stored: status and body.
pub(super) type Stored = (u16, String);

/// An answer as it is made.
pub(super) type Rendered = (u16, Spliced);

/// The hash that tells a request from others with the same key.
pub(super) fn request_hash(path: &str, body: &[u8]) -> String {
    let path = path.trim_end_matches('/');
    hash_parts(&[b"POST ", path.as_bytes(), b"\n", body])
}

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
        let request_sha256 = self.request_sha256.clone();
        Ok(Some(OnceKey {
            org_id: self.org_id.clone(),
            key,
            request_sha256: request_sha256.ok_or(Refusal::Internal)?,
        }))
    }
}

/// Carries a command out, once if the request carries a key.
pub(super) async fn perform(
    state: &RunsState,
    call: &Call,
    command: Command,
    render: impl Fn(&Outcome) -> Rendered + Send + Sync + 'static,
    refuse: impl Fn(LedgerError) -> Refusal,
) -> Answer {
    let answered = match call.once()? {
        Some(once) => {
            let render = move |outcome: &Outcome| stored(render(outcome));
            let answered = state.ledger().perform_once(command, once, render).await;
            answered.map(respond)
        }
        None => {
            let outcome = state.ledger().perform(command).await;
            outcome.map(|outcome| respond(render(&outcome)))
        }
    };
    answered.map_err(refuse)
}

/// An answer to be stored.
pub(super) fn stored((status, body): Rendered) -> Stored {
    (status, body.into_text())
}

/// An answer as a response.
pub(super) fn respond((status, body): (u16, impl Into<Body>)) -> Response<Body> {
    let status = StatusCode::from_u16(status).unwrap_or(StatusCode::OK);
    answer(status, body)
}
