//! How many files processes may open at once.
//!
//! The soft limit is often 1024, for the sake of programs that cannot deal with more. The server can, so
//! it raises its own; commands have what the server was started with.

use std::sync::OnceLock;

use rustix::process::{Pid, Resource, Rlimit, getrlimit, setrlimit};

/// What this process was started with, once it has more.
static STARTED_WITH: OnceLock<Rlimit> = OnceLock::new();

/// Lets this process open as many files as it may. Commands of ants in it do not get more.
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

/// Gives a command that was started a moment ago the limit that this process had. The command may have seen
/// the other one by then, which does it no harm: setting it before the start would fork the server.
#[cfg(target_os = "linux")]
pub(crate) fn give_back(command: Pid) {
    if let Some(limit) = STARTED_WITH.get() {
        // It may have ended already.
        let _ = rustix::process::prlimit(Some(command), Resource::Nofile, *limit);
    }
}

/// There is no way to change the limits of another process.
#[cfg(not(target_os = "linux"))]
pub(crate) fn give_back(_: Pid) {}
