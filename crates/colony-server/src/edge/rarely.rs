//! Warnings that an attacker could repeat without end.

use std::sync::{Mutex, PoisonError};
use std::time::{Duration, Instant};

/// How often one warning is logged at most.
const PERIOD: Duration = Duration::from_secs(5);

/// Counts events of one kind, and says when to log them.
#[derive(Debug, Default)]
pub(crate) struct Rarely(Mutex<Seen>);

#[derive(Debug, Default)]
struct Seen {
    logged_at: Option<Instant>,
    count: u64,
}

impl Rarely {
    /// Counts an event. Gives the number of events since the last log line when the next is due.
    pub(crate) fn count(&self) -> Option<u64> {
        self.count_at(Instant::now())
    }

    fn count_at(&self, now: Instant) -> Option<u64> {
        let mut seen = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        seen.count += 1;
        if (seen.logged_at).is_some_and(|logged| now.duration_since(logged) < PERIOD) {
            return None;
        }
        seen.logged_at = Some(now);
        Some(std::mem::take(&mut seen.count))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_flood_is_one_line_now_and_then() {
        let rarely = Rarely::default();
        let start = Instant::now();
        assert_eq!(rarely.count_at(start), Some(1));
        assert_eq!(rarely.count_at(start + PERIOD / 2), None);
        assert_eq!(rarely.count_at(start + PERIOD / 2), None);
        assert_eq!(rarely.count_at(start + PERIOD), Some(3));
        assert_eq!(rarely.count_at(start + PERIOD * 3), Some(1));
    }
}
