//! Finds processes that belong to attempts by looking at every process of the machine: what is left
//! when an ant and its reapers were all killed at once.
//!
//! A command carries the private `TMPDIR` of its attempt in its environment, and so does what it
//! starts, whatever group, session or parent that has by now, unless it does not want to be found.

use std::ffi::OsStr;
use std::fs;
use std::os::unix::ffi::OsStrExt as _;
use std::path::Path;

use colony_reaper::process::{self, Process};

/// A process that belongs to an attempt.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Stray {
    process: Process,
    /// Name of the attempt's directory.
    attempt: String,
}

impl Stray {
    /// Kills the process, unless another has its number by now.
    pub(crate) fn kill(&self) {
        tracing::warn!(process.id = self.process.pid.as_raw_nonzero(), attempt = %self.attempt, "killing a process that a dead ant has left");
        self.process.kill();
    }
}

/// Every process of this machine that belongs to an attempt in `root`, but this one.
pub(crate) fn find(root: &Path) -> Vec<Stray> {
    let own = rustix::process::getpid();
    process::all()
        .filter(|process| process.pid != own && !process.is_dead)
        .filter_map(|process| {
            let attempt = attempt_of(&process, root)?;
            Some(Stray { process, attempt })
        })
        .collect()
}

/// The attempt that a process belongs to: by its temp directory, or, where the order named another,
/// by its working directory. The latter does not count for a process at a terminal, which is a
/// person who looks around.
fn attempt_of(process: &Process, root: &Path) -> Option<String> {
    let environ = fs::read(process::file(process.pid, "environ")).ok()?;
    let temp = environ
        .split(|byte| *byte == 0)
        .find_map(|variable| variable.strip_prefix(b"TMPDIR="))
        .map(|value| Path::new(OsStr::from_bytes(value)));
    temp.and_then(|temp| attempt_in(temp, root)).or_else(|| {
        let directory = fs::read_link(process::file(process.pid, "cwd")).ok()?;
        attempt_in(&directory, root).filter(|_| process.terminal == 0)
    })
}

/// The first part of `path` below `root`.
fn attempt_in(path: &Path, root: &Path) -> Option<String> {
    let below = path.strip_prefix(root).ok()?;
    let first = below.components().next()?;
    Some(first.as_os_str().to_string_lossy().into_owned())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_path_belongs_to_the_attempt_below_the_root() {
        let root = Path::new("/w");
        assert_eq!(
            attempt_in(Path::new("/w/a.1/tmp"), root).as_deref(),
            Some("a.1")
        );
        assert_eq!(attempt_in(Path::new("/w"), root), None);
        assert_eq!(attempt_in(Path::new("/wa/x"), root), None);
    }
}
