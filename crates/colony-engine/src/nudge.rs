//! Wake-up calls for the loops.

use std::collections::BTreeSet;
use std::sync::atomic::{AtomicBool, AtomicI64, Ordering};
use std::sync::{Mutex, MutexGuard, PoisonError};

use colony_core::time::Timestamp;
use tokio::sync::Notify;

/// What the scheduler is to look at.
#[derive(Debug, Default, PartialEq, Eq)]
pub(crate) struct Wanted {
    /// Everything: what is due is not known.
    pub(crate) everything: bool,
    /// These schedule keys.
    pub(crate) keys: BTreeSet<String>,
    /// Requests that wait for ants: an ant has come, or they have just begun to wait.
    pub(crate) unserved: bool,
}

impl Wanted {
    fn is_empty(&self) -> bool {
        *self == Self::default()
    }
}

/// Wake-up calls for each loop. A call that comes while the loop is at work is kept; several are one.
#[derive(Debug)]
pub(crate) struct Nudges {
    pub(crate) dispatcher: Notify,
    pub(crate) render: Notify,
    scheduler: Notify,
    wanted: Mutex<Wanted>,
    /// Schedule keys with requests that were passed over for want of a slot.
    short: Mutex<BTreeSet<String>>,
    /// Whether the dispatcher may have found no room for something.
    short_of_room: AtomicBool,
    timers: Notify,
    /// When the timers loop looks next, in milliseconds since 1970: never later than the next due
    /// time in the database.
    timers_wake_at: AtomicI64,
}

impl Nudges {
    /// At the start everything is due: what an earlier process left is unknown.
    pub(crate) fn new() -> Self {
        let nudges = Self {
            dispatcher: Notify::new(),
            render: Notify::new(),
            scheduler: Notify::new(),
            wanted: Mutex::default(),
            short: Mutex::default(),
            short_of_room: AtomicBool::new(false),
            timers: Notify::new(),
            timers_wake_at: AtomicI64::new(0),
        };
        nudges.schedule_everything();
        nudges
    }

    /// Something may be due under these keys.
    pub(crate) fn schedule(&self, keys: impl IntoIterator<Item = String>) {
        self.want(|wanted| wanted.keys.extend(keys));
    }

    /// Something may be due under any key.
    pub(crate) fn schedule_everything(&self) {
        self.want(|wanted| wanted.everything = true);
    }

    /// Ants may serve requests that wait for them.
    pub(crate) fn look_for_ants(&self) {
        self.want(|wanted| wanted.unserved = true);
    }

    fn want(&self, change: impl FnOnce(&mut Wanted)) {
        change(&mut lock(&self.wanted));
        self.scheduler.notify_one();
    }

    /// Takes what there is to look at by now.
    pub(crate) fn wanted(&self) -> Wanted {
        std::mem::take(&mut *lock(&self.wanted))
    }

    /// Waits until there is something to look at, and takes it.
    pub(crate) async fn scheduler_called(&self) -> Wanted {
        loop {
            let wanted = self.wanted();
            if !wanted.is_empty() {
                return wanted;
            }
            self.scheduler.notified().await;
        }
    }

    /// A run gave back its slot: the scheduler looks if somebody may wait for one.
    pub(crate) fn slot_freed(&self, key: String) {
        if lock(&self.short).contains(&key) {
            self.schedule([key]);
        }
    }

    /// Set before the scheduler looks at a key, and taken back when nobody waits for a slot of it: a
    /// slot that is freed in between wakes it again.
    pub(crate) fn set_short(&self, key: &str, short: bool) {
        let mut keys = lock(&self.short);
        match short {
            true => keys.insert(key.to_owned()),
            false => keys.remove(key),
        };
    }

    /// What was wanted could not be looked at.
    pub(crate) fn want_again(&self, again: Wanted) {
        self.want(|wanted| {
            wanted.everything |= again.everything;
            wanted.unserved |= again.unserved;
            wanted.keys.extend(again.keys);
        });
    }

    /// Set before the dispatcher looks for room, and taken back when it found some: a place that is
    /// freed in between wakes it again.
    pub(crate) fn set_short_of_room(&self, short: bool) {
        self.short_of_room.store(short, Ordering::SeqCst);
    }

    /// Places at ants are free again: wakes the dispatcher if it may have looked for one.
    pub(crate) fn room_freed(&self) {
        if self.short_of_room.load(Ordering::SeqCst) {
            self.dispatcher.notify_one();
        }
    }

    /// Every loop looks at everything: what was stored is unknown.
    pub(crate) fn wake_all(&self) {
        self.schedule_everything();
        self.look_for_ants();
        self.dispatcher.notify_one();
        self.render.notify_one();
        self.due_at(Timestamp::from_millis(0));
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
}

/// A panic elsewhere leaves what is wanted as usable as before.
fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}
