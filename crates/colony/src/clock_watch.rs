//! Learning at once that the machine's wall clock was set, or that the machine was asleep.
//!
//! A timer that never rings tells it: the system cancels it when the clock is set. A thread sleeps
//! on it for as long as the program runs; nothing wakes up otherwise.

use std::os::fd::OwnedFd;
use std::sync::Arc;

use colony_engine::Engine;
use rustix::io::{Errno, Result};
use rustix::time::{
    Itimerspec, TimerfdClockId, TimerfdFlags, TimerfdTimerFlags, Timespec, timerfd_create,
    timerfd_settime,
};
use tokio::sync::Notify;

/// In the year 2255; the system holds no time that is much later.
const NEVER: Timespec = Timespec {
    tv_sec: 9_000_000_000,
    tv_nsec: 0,
};

const NO_REPEAT: Timespec = Timespec {
    tv_sec: 0,
    tv_nsec: 0,
};

/// Tells the engine whenever the clock was set. Where the system offers no such timer, the engine's
/// loops notice a jump somewhat later.
pub(crate) async fn run(engine: Engine) {
    let was_set = Arc::new(Notify::new());
    let tell = Arc::clone(&was_set);
    let thread = std::thread::Builder::new().name("clock-watch".to_owned());
    let started = thread.spawn(move || {
        if let Err(error) = watch(&tell) {
            tracing::warn!("jumps of the clock are noticed late: {error}");
        }
    });
    if let Err(error) = started {
        tracing::warn!("jumps of the clock are noticed late: {error}");
    }
    loop {
        was_set.notified().await;
        engine.follow_clock().await;
    }
}

fn watch(was_set: &Notify) -> Result<()> {
    let timer = timerfd_create(TimerfdClockId::Realtime, TimerfdFlags::CLOEXEC)?;
    loop {
        arm(&timer)?;
        // What was set before the timer was.
        was_set.notify_one();
        while let Err(error) = rustix::io::read(&timer, &mut [0; 8]) {
            match error {
                Errno::CANCELED => break,
                Errno::INTR => {}
                error => return Err(error),
            }
        }
    }
}

fn arm(timer: &OwnedFd) -> Result<()> {
    let flags = TimerfdTimerFlags::ABSTIME | TimerfdTimerFlags::CANCEL_ON_SET;
    let never = Itimerspec {
        it_interval: NO_REPEAT,
        it_value: NEVER,
    };
    match timerfd_settime(timer, flags, &never) {
        // A clock that was set between two calls shows as an error of the second, which has armed
        // the timer all the same.
        Ok(_) | Err(Errno::CANCELED) => Ok(()),
        Err(error) => Err(error),
    }
}
