//! Whether this process was there: it may have been frozen, the machine asleep, or the database
//! away. What holders of leases said meanwhile was not heard, so it is not held against them.
//!
//! A loop tells how long it means to sleep, and learns afterwards how much longer it was away. The
//! leases get that time back before any of them is ended.

use std::sync::{Mutex, PoisonError};
use std::time::Duration;

use tokio::time::Instant;

/// Being late by less is a busy machine.
const LATE: Duration = Duration::from_secs(2);

/// How long a loop sleeps at most while something is due, so that a pause of the process does not
/// hide behind a long sleep. Nothing is asked of the database then.
pub(crate) const TICK: Duration = Duration::from_secs(5);

/// How much time deadlines have left after an absence, at least: attempts that ended meanwhile
/// have their reports on the way.
pub(crate) const DEADLINE_GRACE: Duration = Duration::from_secs(5);

/// How much time leases of workers have left after an absence, at least: it may have begun before a
/// loop noticed. Workers that are not told otherwise send a heartbeat every ten seconds.
pub(crate) const LEASE_GRACE: Duration = Duration::from_secs(15);

/// When it was last told that this process stood still. Each loop notices the same pause.
static TOLD: Mutex<Option<Instant>> = Mutex::new(None);

/// Tells of a pause that began `late` ago, unless that was told already.
fn tell(told: &mut Option<Instant>, now: Instant, late: Duration) -> bool {
    let is_known = told.is_some_and(|told| now - late < told);
    if !is_known {
        *told = Some(now);
        tracing::warn!(
            late_ms = late.as_millis(),
            "this process stood still for a while"
        );
    }
    !is_known
}

/// What one loop knows of its absences.
#[derive(Debug)]
pub(crate) struct Presence {
    seen: Instant,
    missed: Duration,
}

impl Presence {
    pub(crate) fn new() -> Self {
        Self {
            seen: Instant::now(),
            missed: Duration::ZERO,
        }
    }

    /// The loop is at work again, after what should have taken `planned`.
    pub(crate) fn here(&mut self, planned: Duration) {
        self.here_at(Instant::now(), planned);
    }

    fn here_at(&mut self, now: Instant, planned: Duration) {
        let late = now.duration_since(self.seen).saturating_sub(planned);
        self.seen = now;
        if late > LATE {
            let mut told = TOLD.lock().unwrap_or_else(PoisonError::into_inner);
            tell(&mut told, now, late);
            self.missed += late;
        }
    }

    /// The database was away since the loop was last at work.
    pub(crate) fn in_vain(&mut self) {
        let now = Instant::now();
        self.missed += now.duration_since(self.seen);
        self.seen = now;
    }

    /// The time to give back, if there is any. It is owed until [`Presence::settled`].
    pub(crate) fn missed(&self) -> Option<Duration> {
        (!self.missed.is_zero()).then_some(self.missed)
    }

    /// So much was given back.
    pub(crate) fn settled(&mut self, given: Duration) {
        self.missed = self.missed.saturating_sub(given);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_what_is_late_counts_as_missed() {
        let mut presence = Presence::new();
        let start = presence.seen;
        let at = |seconds| start + Duration::from_secs(seconds);
        presence.here_at(at(5), Duration::from_secs(5));
        presence.here_at(at(11), Duration::from_secs(5));
        assert_eq!(presence.missed(), None, "one second is nothing");
        presence.here_at(at(56), Duration::from_secs(5));
        assert_eq!(presence.missed(), Some(Duration::from_secs(40)));
        presence.settled(Duration::from_secs(40));
        assert_eq!(presence.missed(), None);
    }

    #[test]
    fn a_pause_that_two_loops_notice_is_told_once() {
        let start = Instant::now() + Duration::from_secs(3600);
        let at = |millis| start + Duration::from_millis(millis);
        let late = Duration::from_secs(40);
        let mut told = None;
        assert!(tell(&mut told, at(0), late));
        // The other loop sleeps longer, so it is less late.
        assert!(!tell(&mut told, at(3000), late));
        assert!(!tell(&mut told, at(4000), Duration::from_secs(5)));
        // The next pause.
        assert!(tell(&mut told, at(60_000), late));
        assert!(!tell(&mut told, at(60_001), late));
    }
}
