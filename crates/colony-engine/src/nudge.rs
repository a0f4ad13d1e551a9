//! Wake-up calls for the loops.

use std::sync::atomic::{AtomicI64, Ordering};

use colony_core::time::Timestamp;
use tokio::sync::Notify;

/// One wake-up call for each loop. A call that comes while the loop is at work is kept; several
/// are one.
#[derive(Debug)]
pub(crate) struct Nudges {
    pub(crate) scheduler: Notify,
    pub(crate) dispatcher: Notify,
    pub(crate) timers: Notify,
    /// When the timers loop will wake by itself, in milliseconds since 1970.
    timers_wake_at: AtomicI64,
}

impl Nudges {
    pub(crate) fn new() -> Self {
        Self {
            scheduler: Notify::new(),
            dispatcher: Notify::new(),
            timers: Notify::new(),
            timers_wake_at: AtomicI64::new(i64::MAX),
        }
    }

    /// Something is due at `at`: wakes the timers loop if it would sleep longer.
    pub(crate) fn due_at(&self, at: Timestamp) {
        if at.as_millis() < self.timers_wake_at.load(Ordering::SeqCst) {
            self.timers.notify_one();
        }
    }

    /// The timers loop goes to sleep until `at`, or until it is woken.
    pub(crate) fn timers_sleep_until(&self, at: Option<Timestamp>) {
        let millis = at.map_or(i64::MAX, Timestamp::as_millis);
        self.timers_wake_at.store(millis, Ordering::SeqCst);
    }
}
