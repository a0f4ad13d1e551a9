//! Counters that show what the store has done.

use std::sync::atomic::{AtomicU64, Ordering};

/// What the store has done since it was opened. An idle store leaves all of it unchanged.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Stats {
    /// Statements run by closures, migrations not counted.
    pub statements: u64,
    /// Transactions committed, those of reads too.
    pub commits: u64,
    /// Closures run, each re-run counted.
    pub closures: u64,
    /// Operations of lanes run, each re-run counted.
    pub operations: u64,
}

/// The live counters behind [`Stats`].
#[derive(Debug, Default)]
pub(crate) struct Counters {
    statements: AtomicU64,
    commits: AtomicU64,
    closures: AtomicU64,
    operations: AtomicU64,
}

impl Counters {
    pub(crate) fn statement(&self) {
        self.statements.fetch_add(1, Ordering::Relaxed);
    }

    pub(crate) fn commit(&self) {
        self.commits.fetch_add(1, Ordering::Relaxed);
    }

    pub(crate) fn closure(&self) {
        self.closures.fetch_add(1, Ordering::Relaxed);
    }

    pub(crate) fn operations(&self, number: usize) {
        let number = u64::try_from(number).unwrap_or(u64::MAX);
        self.operations.fetch_add(number, Ordering::Relaxed);
    }

    pub(crate) fn snapshot(&self) -> Stats {
        Stats {
            statements: self.statements.load(Ordering::Relaxed),
            commits: self.commits.load(Ordering::Relaxed),
            closures: self.closures.load(Ordering::Relaxed),
            operations: self.operations.load(Ordering::Relaxed),
        }
    }
}
