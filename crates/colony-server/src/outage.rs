//! While the database is away: what callers are told, and how often the log.

use std::error::Error;
use std::sync::{Mutex, PoisonError};
use std::time::{Duration, Instant};

use axum::http::HeaderValue;

/// When to try again, in seconds.
pub(crate) const RETRY_AFTER: HeaderValue = HeaderValue::from_static("1");

/// Every request fails meanwhile: one line in a while tells it.
const LOG_EVERY: Duration = Duration::from_secs(5);

/// Logs why requests are refused, with the causes, unless that was done a moment ago.
pub(crate) fn log(error: &(dyn Error + 'static)) {
    static LAST: Mutex<Option<Instant>> = Mutex::new(None);
    let mut last = LAST.lock().unwrap_or_else(PoisonError::into_inner);
    if last.is_none_or(|last| last.elapsed() >= LOG_EVERY) {
        *last = Some(Instant::now());
        tracing::error!(error, "requests are refused: the database is not available");
    }
}
