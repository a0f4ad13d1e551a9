//! Requests per caller, in fixed windows (`foreman-api` 4).

use std::collections::HashMap;
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use axum::http::{HeaderMap, HeaderValue};
use colony_core::time::Timestamp;

use super::settings::RateLimitSettings;

/// How many callers are counted one by one in a window; further ones are counted as one, so that a
/// flood from many addresses does not take the memory.
const CALLERS_MAX: usize = 100_000;
/// The name of all further ones.
const FURTHER: &str = "";

/// Counts requests.
pub(super) struct Limiter {
    settings: RateLimitSettings,
    windows: Mutex<Windows>,
}

/// Windows of callers in two generations. A new generation begins once a window's length has passed;
/// the one before the last has no window left that goes on, and is forgotten as a whole.
#[derive(Default)]
struct Windows {
    young: HashMap<String, Window>,
    old: HashMap<String, Window>,
    young_since: Timestamp,
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
    pub(super) fn count(&self, caller: &str, now: Timestamp) -> Option<Standing> {
        let limit = self.settings.requests;
        if limit == 0 {
            return None;
        }
        let length = Duration::from_millis(self.settings.window_ms);
        let mut windows = self.windows();
        windows.turn(now, length);
        let window = windows.of(caller, now, length);
        window.count += 1;
        Some(Standing {
            limit,
            remaining: limit.saturating_sub(window.count),
            ends_at: window.ends_at,
            now,
            is_over: window.count > limit,
        })
    }

    /// Takes back a request that is not to be counted after all.
    pub(super) fn forget(&self, caller: &str) {
        let mut windows = self.windows();
        if let Some(window) = windows.find(caller) {
            window.count = window.count.saturating_sub(1);
        }
    }

    fn windows(&self) -> MutexGuard<'_, Windows> {
        self.windows.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Windows {
    /// Begins a new generation when it is time to, also when the clock was set back.
    fn turn(&mut self, now: Timestamp, length: Duration) {
        if now >= self.young_since.after(length) || now < self.young_since {
            self.old = std::mem::take(&mut self.young);
            self.young_since = now;
        }
    }

    fn find(&mut self, caller: &str) -> Option<&mut Window> {
        let name = self.name(caller);
        match self.young.get_mut(name) {
            Some(window) => Some(window),
            None => self.old.get_mut(name),
        }
    }

    /// The window of a caller that goes on; a new one when there is none.
    fn of(&mut self, caller: &str, now: Timestamp, length: Duration) -> &mut Window {
        let name = self.name(caller);
        let ends_at = now.after(length);
        let new = Window { ends_at, count: 0 };
        // The name is copied once a window.
        if !self.young.contains_key(name) {
            let kept = self.old.remove(name).unwrap_or(new);
            self.young.insert(name.to_owned(), kept);
        }
        let window = self.young.get_mut(name).expect("it was put there");
        if window.ends_at <= now || window.ends_at > ends_at {
            *window = new;
        }
        window
    }

    /// Under which name a caller is counted.
    fn name<'n>(&self, caller: &'n str) -> &'n str {
        let is_full = self.young.len() >= CALLERS_MAX;
        match is_full && !self.young.contains_key(caller) && !self.old.contains_key(caller) {
            true => FURTHER,
            false => caller,
        }
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
            let standing = limiter.count(caller, now).unwrap();
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
        assert_eq!(limiter.count("a", now), None);
    }

    fn limiter(requests: u64) -> Limiter {
        Limiter::new(RateLimitSettings {
            requests,
            window_ms: 1_000,
        })
    }

    fn used(limiter: &Limiter, caller: &str, millis: i64) -> u64 {
        let now = Timestamp::from_millis(millis);
        1_000_000 - limiter.count(caller, now).unwrap().remaining
    }

    #[test]
    fn windows_outlive_a_generation_and_are_forgotten_after() {
        let limiter = limiter(1_000_000);
        assert_eq!(used(&limiter, "a", 1_000), 1);
        // A new generation begins at 2000; this window goes on to 2900.
        assert_eq!(used(&limiter, "b", 1_900), 1);
        assert_eq!(used(&limiter, "a", 2_000), 1);
        assert_eq!(used(&limiter, "b", 2_899), 2);
        assert_eq!(used(&limiter, "b", 2_900), 1);
        for millis in [3_900, 4_900] {
            used(&limiter, "c", millis);
        }
        let windows = limiter.windows();
        assert_eq!(windows.young.len() + windows.old.len(), 1);
    }

    #[test]
    fn a_clock_that_was_set_back_holds_nobody_up() {
        let limiter = limiter(1);
        let over = |millis| {
            let now = Timestamp::from_millis(millis);
            limiter.count("a", now).unwrap().is_over
        };
        assert!(!over(3_600_000) && over(3_600_001));
        assert!(!over(0) && over(1));
    }

    #[test]
    fn a_request_can_be_taken_back() {
        let limiter = limiter(1_000_000);
        assert_eq!(used(&limiter, "a", 0), 1);
        limiter.forget("a");
        limiter.forget("nobody");
        assert_eq!(used(&limiter, "a", 1), 1);
    }

    /// Callers beyond the bound are one; those who were counted before stay themselves.
    #[test]
    fn a_flood_of_callers_takes_no_memory() {
        let limiter = limiter(1_000_000);
        for caller in 0..CALLERS_MAX {
            used(&limiter, &caller.to_string(), 0);
        }
        assert_eq!(used(&limiter, "x", 0), 1);
        assert_eq!(used(&limiter, "y", 0), 2);
        assert_eq!(used(&limiter, "7", 0), 2);
        assert_eq!(limiter.windows().young.len(), CALLERS_MAX + 1);
    }
}
