//! Wake-up calls for the loops.

use std::sync::atomic::{AtomicBool, AtomicI64, Ordering};

use colony_core::time::Timestamp;
use tokio::sync::Notify;

/// One wake-up call for each loop. A call that comes while the loop is at work is kept; several
/// are one.
#[derive(Debug)]
pub(crate) struct Nudges {
    pub(crate) scheduler: Notify,
    pub(crate) dispatcher: Notify,
    pub(crate) offers: Notify,
    timers: Notify,
    /// When the timers loop looks next, in milliseconds since 1970: never later than the next due
    /// time in the database.
    timers_wake_at: AtomicI64,
    /// Whether the scheduler may have passed something over for want of a slot.
    short_of_slots: AtomicBool,
}

impl Nudges {
    /// At the start everything is due: what an earlier process left is unknown.
    pub(crate) fn new() -> Self {
        Self {
            scheduler: Notify::new(),
            dispatcher: Notify::new(),
            offers: Notify::new(),
            timers: Notify::new(),
            timers_wake_at: AtomicI64::new(0),
            short_of_slots: AtomicBool::new(true),
        }
    }

    /// Something is due at `at`: wakes the timers loop if it would sleep longer.
    pub(crate) fn due_at(&self, at: Timestamp) {
        let before = self
            .timers_wake_at
            .fetch_min(at.as_millis(), Ordering::SeqCst);
        if at.as_millis() < before {
            self.timers.notify_one();
        }
    }

    /// When the timers loop is to look next; none = when it is called.
    pub(crate) fn timers_wake_at(&self) -> Option<Timestamp> {
        let millis = self.timers_wake_at.load(Ordering::SeqCst);
        (millis < i64::MAX).then_some(Timestamp::from_millis(millis))
    }

    /// The timers loop is about to look: what becomes due from now on is noted anew.
    pub(crate) fn timers_look(&self) {
        self.timers_wake_at.store(i64::MAX, Ordering::SeqCst);
    }

    /// Waits for the next earlier due time.
    pub(crate) async fn timers_called(&self) {
        self.timers.notified().await;
    }

    /// A run gave back its slot: wakes the scheduler if somebody may wait for one.
    pub(crate) fn slot_freed(&self) {
        if self.short_of_slots.load(Ordering::SeqCst) {
            self.scheduler.notify_one();
        }
    }

    /// Set before the scheduler looks, and afterwards to what it found: a slot that is freed in
    /// between wakes it again.
    pub(crate) fn set_short_of_slots(&self, short: bool) {
        self.short_of_slots.store(short, Ordering::SeqCst);
    }
}
