//! A clock that runs evenly while the machine's wall clock is set.

use std::fmt;
use std::sync::atomic::{AtomicI64, Ordering};
use std::time::{Duration, Instant};

use super::{Clock, SystemClock, Timestamp};

/// The wall clock is a little off the monotonic one now and then; by so much it was set.
const JUMP_MIN_MS: u64 = 2000;

/// Two looks at both clocks that differ by more were interrupted: they tell nothing.
const LOOK_MAX_MS: u64 = 500;

/// By how much a clock was set, forward or back.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct TimeShift(i64);

impl TimeShift {
    /// From milliseconds; less than zero is back.
    pub const fn from_millis(millis: i64) -> Self {
        Self(millis)
    }

    /// Milliseconds; less than zero is back.
    pub const fn as_millis(self) -> i64 {
        self.0
    }
}

impl fmt::Display for TimeShift {
    /// As `+3600.000 s`.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let sign = if self.0 < 0 { '-' } else { '+' };
        let millis = self.0.unsigned_abs();
        write!(f, "{sign}{}.{:03} s", millis / 1000, millis % 1000)
    }
}

/// What the clocks of a machine show.
pub trait TimeSource: Send + Sync {
    /// The wall clock, which may be set at any moment.
    fn wall(&self) -> Timestamp;

    /// A clock that nobody can set, from some moment on.
    fn monotonic(&self) -> Duration;
}

/// The clocks of this machine.
#[derive(Debug, Clone, Copy)]
pub struct MachineTime {
    start: Instant,
}

impl MachineTime {
    /// Counting from now.
    pub fn new() -> Self {
        Self {
            start: Instant::now(),
        }
    }
}

impl Default for MachineTime {
    fn default() -> Self {
        Self::new()
    }
}

impl TimeSource for MachineTime {
    fn wall(&self) -> Timestamp {
        SystemClock.now()
    }

    fn monotonic(&self) -> Duration {
        self.start.elapsed()
    }
}

/// Shows what the wall clock showed at first, and what the monotonic clock has counted since: the
/// time between two moments is right, whatever happens to the wall clock. Follows it when told.
#[derive(Debug)]
pub struct SteadyClock<S = MachineTime> {
    source: S,
    /// Wall time at the zero of the monotonic clock.
    origin: AtomicI64,
}

impl SteadyClock {
    /// By the clocks of this machine.
    pub fn new() -> Self {
        Self::of(MachineTime::new())
    }
}

impl Default for SteadyClock {
    fn default() -> Self {
        Self::new()
    }
}

impl<S: TimeSource> SteadyClock<S> {
    /// By the clocks of a source.
    pub fn of(source: S) -> Self {
        let origin = source.wall().as_millis() - millis(source.monotonic());
        Self {
            source,
            origin: AtomicI64::new(origin),
        }
    }

    /// How far the wall clock is ahead of this one.
    fn drift(&self) -> i64 {
        let wall = self.source.wall().as_millis();
        wall.saturating_sub(self.now().as_millis())
    }
}

impl<S: TimeSource> Clock for SteadyClock<S> {
    fn now(&self) -> Timestamp {
        let origin = self.origin.load(Ordering::SeqCst);
        Timestamp::from_millis(origin.saturating_add(millis(self.source.monotonic())))
    }

    fn look_at_wall(&self) -> Option<TimeShift> {
        let drift = self.drift();
        if drift.unsigned_abs() >= JUMP_MIN_MS {
            // Between the looks at two clocks the process may have stood still.
            let again = self.drift();
            let is_sure = again.abs_diff(drift) <= LOOK_MAX_MS;
            return is_sure.then_some(TimeShift(drift));
        }
        // Nobody minds so little, and it must not add up.
        self.follow(TimeShift(drift));
        None
    }

    fn follow(&self, shift: TimeShift) {
        self.origin.fetch_add(shift.0, Ordering::SeqCst);
    }
}

fn millis(duration: Duration) -> i64 {
    i64::try_from(duration.as_millis()).unwrap_or(i64::MAX)
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use super::*;
    use crate::time::ManualClock;

    /// Two clocks in the hands of a test.
    #[derive(Clone)]
    struct Hands {
        wall: ManualClock,
        monotonic: ManualClock,
    }

    impl Hands {
        fn at(wall: i64) -> Self {
            Self {
                wall: ManualClock::at_millis(wall),
                monotonic: ManualClock::at_millis(77),
            }
        }

        fn pass(&self, millis: u64) {
            self.wall.advance(Duration::from_millis(millis));
            self.monotonic.advance(Duration::from_millis(millis));
        }

        fn set(&self, by: i64) {
            self.wall.set_millis(self.wall.now().as_millis() + by);
        }
    }

    impl TimeSource for Hands {
        fn wall(&self) -> Timestamp {
            self.wall.now()
        }

        fn monotonic(&self) -> Duration {
            Duration::from_millis(u64::try_from(self.monotonic.now().as_millis()).unwrap())
        }
    }

    #[test]
    fn a_jump_changes_nothing_until_it_is_followed() {
        for jump in [3_600_000, -3_600_000] {
            let hands = Hands::at(1_000_000_000);
            let clock = Arc::new(SteadyClock::of(hands.clone()));
            hands.pass(5000);
            assert_eq!(clock.look_at_wall(), None);
            hands.set(jump);
            hands.pass(1000);
            assert_eq!(clock.now().as_millis(), 1_000_006_000);
            let shift = clock.look_at_wall().unwrap();
            assert_eq!(shift.as_millis(), jump);
            clock.follow(shift);
            assert_eq!(clock.now(), hands.wall());
            assert_eq!(clock.look_at_wall(), None);
        }
    }

    #[test]
    fn a_small_difference_is_followed_at_once() {
        let hands = Hands::at(1_000_000_000);
        let clock = SteadyClock::of(hands.clone());
        for _ in 0..10 {
            hands.set(-900);
            hands.pass(1000);
            assert_eq!(clock.look_at_wall(), None);
            assert_eq!(clock.now(), hands.wall());
        }
    }

    #[test]
    fn shifts_are_shown_with_their_sign() {
        assert_eq!(TimeShift::from_millis(3_600_000).to_string(), "+3600.000 s");
        assert_eq!(TimeShift::from_millis(-1_005).to_string(), "-1.005 s");
    }
}
