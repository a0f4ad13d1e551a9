//! Requests per caller, in fixed windows (`foreman-api` 4).

use std::collections::HashMap;
use std::sync::{Mutex, PoisonError};
use std::time::Duration;

use axum::http::{HeaderMap, HeaderValue};
use colony_core::time::Timestamp;

use super::settings::RateLimitSettings;

/// How many callers are counted before windows that are over are forgotten.
const CALLERS_SWEEP: usize = 10_000;

/// Counts requests.
pub(super) struct Limiter {
    settings: RateLimitSettings,
    windows: Mutex<HashMap<String, Window>>,
}

#[derive(Clone, Copy)]
struct Window {
    ends_at: Timestamp,
    count: u64,
}

/// Where a caller stands.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Standing {
    limit: u64,
    remaining: u64,
    ends_at: Timestamp,
    now: Timestamp,
    /// Whether the request is one too many.
    pub(super) is_over: bool,
}

impl Limiter {
    pub(super) fn new(settings: RateLimitSettings) -> Self {
        Self {
            settings,
            windows: Mutex::default(),
        }
    }

    /// Counts a request. None when there is no limit.
    pub(super) fn count(&self, caller: String, now: Timestamp) -> Option<Standing> {
        let limit = self.settings.requests;
        if limit == 0 {
            return None;
        }
        let mut windows = self.windows.lock().unwrap_or_else(PoisonError::into_inner);
        if windows.len() >= CALLERS_SWEEP {
            windows.retain(|_, window| window.ends_at > now);
        }
        let ends_at = now.after(Duration::from_millis(self.settings.window_ms));
        let new = Window { ends_at, count: 0 };
        let window = windows.entry(caller).or_insert(new);
        if window.ends_at <= now {
            *window = new;
        }
        window.count += 1;
        Some(Standing {
            limit,
            remaining: limit.saturating_sub(window.count),
            ends_at: window.ends_at,
            now,
            is_over: window.count > limit,
        })
    }
}

impl Standing {
    /// Tells the caller where it stands.
    pub(super) fn write(self, headers: &mut HeaderMap) {
        let reset = (self.ends_at.as_millis() + 999) / 1000;
        headers.insert("x-ratelimit-limit", HeaderValue::from(self.limit));
        headers.insert("x-ratelimit-remaining", HeaderValue::from(self.remaining));
        headers.insert("x-ratelimit-reset", HeaderValue::from(reset));
        if self.is_over {
            let wait = self.ends_at.since(self.now).as_millis().div_ceil(1000);
            let wait = u64::try_from(wait).unwrap_or(u64::MAX);
            headers.insert("retry-after", HeaderValue::from(wait));
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_window_begins_with_the_first_request() {
        let limiter = Limiter::new(RateLimitSettings {
            requests: 2,
            window_ms: 1_000,
        });
        let count = |caller: &str, millis| {
            let now = Timestamp::from_millis(millis);
            let standing = limiter.count(caller.to_owned(), now).unwrap();
            (standing.remaining, standing.is_over)
        };
        assert_eq!(count("a", 500), (1, false));
        assert_eq!(count("a", 900), (0, false));
        assert_eq!(count("a", 1_499), (0, true));
        assert_eq!(count("b", 1_499), (1, false));
        assert_eq!(count("a", 1_500), (1, false));
    }

    #[test]
    fn zero_is_no_limit() {
        let limiter = Limiter::new(RateLimitSettings {
            requests: 0,
            window_ms: 1_000,
        });
        let now = Timestamp::from_millis(0);
        assert_eq!(limiter.count("a".to_owned(), now), None);
    }
}
