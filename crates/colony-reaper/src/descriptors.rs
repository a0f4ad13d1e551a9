//! How many files processes may open at once, and which are open from the start.
//!
//! The soft limit is often 1024, for the sake of programs that cannot deal with more. The server can, so
//! it raises its own; commands have what the server was started with.

use std::sync::OnceLock;

use rustix::process::{Pid, Resource, Rlimit, getrlimit, setrlimit};

/// What this process was started with, once it has more.
static STARTED_WITH: OnceLock<Rlimit> = OnceLock::new();

/// Lets this process open as many files as it may. Commands of its reapers do not get more.
///
/// # Errors
///
/// The system does not let it; it goes on with what it has.
pub fn raise() -> std::io::Result<()> {
    let before = getrlimit(Resource::Nofile);
    if before.current == before.maximum {
        return Ok(());
    }
    let raised = Rlimit {
        current: before.maximum,
        maximum: before.maximum,
    };
    setrlimit(Resource::Nofile, raised)?;
    // Whoever was first knows what it was.
    let _ = STARTED_WITH.set(before);
    Ok(())
}

/// Closes what this process has open beside standard input, output and error, since it was started
/// with them: by whoever started its owner, for whom commands of another user need not be meant.
pub(crate) fn close_inherited() {
    let Ok(open) = std::fs::read_dir("/proc/self/fd") else {
        return;
    };
    let numbers = open.filter_map(|entry| entry.ok()?.file_name().to_str()?.parse().ok());
    let numbers: Vec<i32> = numbers.filter(|number| *number > 2).collect();
    for number in numbers {
        // One of them was that of the list.
        let _ = nix::unistd::close(number);
    }
}

/// Gives a reaper that was started a moment ago the limit that this process had: its commands inherit
/// it. Setting it before the start would fork the whole owner.
#[cfg(target_os = "linux")]
pub(crate) fn give_back(reaper: Option<Pid>) {
    if let (Some(limit), Some(reaper)) = (STARTED_WITH.get(), reaper) {
        // It may have ended already.
        let _ = rustix::process::prlimit(Some(reaper), Resource::Nofile, *limit);
    }
}

/// There is no way to change the limits of another process.
#[cfg(not(target_os = "linux"))]
pub(crate) fn give_back(_: Option<Pid>) {}
