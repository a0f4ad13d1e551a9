//! Learning at once that the machine's wall clock was set, or that the machine was asleep.
//!
//! A timer that never rings tells it: the system cancels it when the clock is set. Nothing wakes up
//! otherwise.

use std::io;
use std::os::fd::OwnedFd;

use colony_engine::Engine;
use rustix::io::Errno;
use rustix::time::{
    Itimerspec, TimerfdClockId, TimerfdFlags, TimerfdTimerFlags, Timespec, timerfd_create,
    timerfd_settime,
};
use tokio::io::unix::AsyncFd;

/// In the year 2255; the system holds no time that is much later.
const NEVER: Timespec = Timespec {
    tv_sec: 9_000_000_000,
    tv_nsec: 0,
};

const NO_REPEAT: Timespec = Timespec {
    tv_sec: 0,
    tv_nsec: 0,
};

/// Tells the engine whenever the clock was set. Ends when the system offers no such timer; the
/// engine's loops notice a jump somewhat later then.
pub(crate) async fn run(engine: Engine) {
    if let Err(error) = watch(&engine).await {
        tracing::warn!("jumps of the clock are noticed late: {error}");
    }
}

async fn watch(engine: &Engine) -> io::Result<()> {
    let flags = TimerfdFlags::NONBLOCK | TimerfdFlags::CLOEXEC;
    #[expect(
        deprecated,
        reason = "its successor is unsafe for the sake of types that do not own their descriptor; this one does"
    )]
    let timer = AsyncFd::new(timerfd_create(TimerfdClockId::Realtime, flags)?)?;
    loop {
        arm(timer.get_ref())?;
        // What was set before the timer was.
        engine.follow_clock().await;
        rung(&timer).await?;
    }
}

fn arm(timer: &OwnedFd) -> io::Result<()> {
    let flags = TimerfdTimerFlags::ABSTIME | TimerfdTimerFlags::CANCEL_ON_SET;
    let never = Itimerspec {
        it_interval: NO_REPEAT,
        it_value: NEVER,
    };
    // A clock that was set between two calls shows as an error of the second: then it is armed.
    match timerfd_settime(timer, flags, &never) {
        Ok(_) | Err(Errno::CANCELED) => Ok(()),
        Err(error) => Err(error.into()),
    }
}

/// Waits until the clock is set.
async fn rung(timer: &AsyncFd<OwnedFd>) -> io::Result<()> {
    loop {
        let mut ready = timer.readable().await?;
        match rustix::io::read(timer.get_ref(), &mut [0; 8]) {
            Ok(_) | Err(Errno::CANCELED) => return Ok(()),
            Err(Errno::AGAIN | Errno::INTR) => ready.clear_ready(),
            Err(error) => return Err(error.into()),
        }
    }
}
