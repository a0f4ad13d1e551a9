//! When the plans of prepared statements are made anew.
//!
//! A plan is kept with its statement, and one that was made when a table had ten rows reads all of it
//! when it has a million: a statement that took a tenth of a millisecond then takes seconds. The
//! server makes plans anew once its statistics change, which is minutes later. So a writer throws its
//! plans away itself whenever all writers together have handled as many rows again as when the plans
//! were made, since no table can have grown by more; and after a minute, for what others do. That is
//! a few milliseconds each time, and seldom.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, Instant};

/// How many rows the first plans are good for.
const FIRST: u64 = 64;

/// How long plans are good for while there is work.
const AGE_MAX: Duration = Duration::from_secs(60);

/// Words that throw plans away; they go before a transaction.
pub(super) const DISCARD: &str = "DISCARD PLANS; ";

/// How many rows the writers of a store have handled. Cheap to clone.
#[derive(Debug, Clone, Default)]
pub(super) struct RowsHandled(Arc<AtomicU64>);

impl RowsHandled {
    pub(super) fn add(&self, rows: usize) {
        let rows = u64::try_from(rows).unwrap_or(u64::MAX);
        self.0.fetch_add(rows, Ordering::Relaxed);
    }

    fn so_far(&self) -> u64 {
        self.0.load(Ordering::Relaxed)
    }
}

/// When a connection is to make its plans anew.
#[derive(Debug)]
pub(super) struct Replan {
    /// At how many rows.
    next: u64,
    since: Instant,
}

impl Replan {
    /// For a connection that has no plans yet.
    pub(super) fn new(rows: &RowsHandled) -> Self {
        Self {
            next: FIRST.max(2 * rows.so_far()),
            since: Instant::now(),
        }
    }

    /// True when plans are to be made anew by now.
    pub(super) fn is_due(&mut self, rows: &RowsHandled) -> bool {
        let due = rows.so_far() >= self.next || self.since.elapsed() >= AGE_MAX;
        if due {
            *self = Self::new(rows);
        }
        due
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn plans_are_made_anew_when_as_much_was_done_again() {
        let rows = RowsHandled::default();
        let mut replan = Replan::new(&rows);
        let mut due = Vec::new();
        for done in 1..=1000 {
            rows.add(1);
            if replan.is_due(&rows) {
                due.push(done);
            }
        }
        assert_eq!(due, [64, 128, 256, 512]);
        rows.add(1_000_000);
        assert!(replan.is_due(&rows) && !replan.is_due(&rows));
        replan.since = Instant::now().checked_sub(AGE_MAX).unwrap();
        assert!(replan.is_due(&rows) && !replan.is_due(&rows));
    }
}
