//! Finds processes that belong to attempts by looking at every process of the machine.
//!
//! A command carries the private `TMPDIR` of its attempt in its environment, and so does what it
//! starts, whatever group, session or parent that has by now. This finds what escaped from its
//! process group, and what an ant left behind that was killed.

use std::ffi::OsStr;
use std::fs;
use std::os::unix::ffi::OsStrExt as _;
use std::path::{Path, PathBuf};

use rustix::process::{Pid, Signal};

use crate::groups;

/// A process that belongs to an attempt.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Stray {
    pid: Pid,
    /// Name of the attempt's directory.
    pub(crate) attempt: String,
}

impl Stray {
    /// Kills the process and its group.
    pub(crate) fn kill(&self) {
        tracing::warn!(process.id = self.pid.as_raw_nonzero(), attempt = %self.attempt, "killing a process that outlived its attempt");
        let own_group = rustix::process::getpgrp();
        match rustix::process::getpgid(Some(self.pid)) {
            Ok(group) if group != own_group && group != Pid::INIT => {
                groups::signal(group, Signal::KILL);
            }
            _ => {}
        }
        // Already dead is what is wanted.
        let _ = rustix::process::kill_process(self.pid, Signal::KILL);
    }
}

/// Every process of this machine that belongs to an attempt in `root`, but this one.
pub(crate) fn find(root: &Path) -> Vec<Stray> {
    let own = rustix::process::getpid();
    processes()
        .filter(|pid| *pid != own)
        .filter_map(|pid| {
            let attempt = attempt_of(pid, root)?;
            Some(Stray { pid, attempt })
        })
        .collect()
}

/// Whether a process that is not dead yet is in the group.
pub(crate) fn has_live_member(group: Pid) -> bool {
    processes()
        .filter_map(Stat::read)
        .any(|stat| stat.group == group.as_raw_nonzero().get() && !stat.is_dead())
}

fn processes() -> impl Iterator<Item = Pid> {
    fs::read_dir("/proc")
        .into_iter()
        .flatten()
        .flatten()
        .filter_map(|entry| Pid::from_raw(entry.file_name().to_str()?.parse().ok()?))
}

fn proc_file(pid: Pid, name: &str) -> PathBuf {
    PathBuf::from(format!("/proc/{}/{name}", pid.as_raw_nonzero()))
}

/// The attempt that a process belongs to: by its temp directory, or, where the order named another,
/// by its working directory. The latter does not count for a process at a terminal, which is a
/// person who looks around.
fn attempt_of(pid: Pid, root: &Path) -> Option<String> {
    let environ = fs::read(proc_file(pid, "environ")).ok()?;
    let temp = environ
        .split(|byte| *byte == 0)
        .find_map(|variable| variable.strip_prefix(b"TMPDIR="))
        .map(|value| Path::new(OsStr::from_bytes(value)));
    temp.and_then(|temp| attempt_in(temp, root)).or_else(|| {
        let directory = fs::read_link(proc_file(pid, "cwd")).ok()?;
        let attempt = attempt_in(&directory, root)?;
        let stat = Stat::read(pid)?;
        (stat.terminal == 0).then_some(attempt)
    })
}

/// The first part of `path` below `root`.
fn attempt_in(path: &Path, root: &Path) -> Option<String> {
    let below = path.strip_prefix(root).ok()?;
    let first = below.components().next()?;
    Some(first.as_os_str().to_string_lossy().into_owned())
}

/// The parts of `/proc/<pid>/stat` that matter here.
struct Stat {
    state: u8,
    group: i32,
    terminal: i32,
}

impl Stat {
    fn read(pid: Pid) -> Option<Self> {
        Self::parse(&fs::read_to_string(proc_file(pid, "stat")).ok()?)
    }

    /// The name before the last parenthesis may hold anything, so fields are counted after it:
    /// state, parent, group, session, terminal.
    fn parse(text: &str) -> Option<Self> {
        let mut fields = text.rsplit_once(')')?.1.split_ascii_whitespace();
        Some(Self {
            state: *fields.next()?.as_bytes().first()?,
            group: fields.nth(1)?.parse().ok()?,
            terminal: fields.nth(1)?.parse().ok()?,
        })
    }

    fn is_dead(&self) -> bool {
        matches!(self.state, b'Z' | b'X' | b'x')
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn stat_is_read_past_a_hostile_name() {
        let stat = Stat::parse("12 (a) Z 1 2) S 1 77 88 34816 -1 0").unwrap();
        assert_eq!((stat.state, stat.group, stat.terminal), (b'S', 77, 34816));
        assert!(!stat.is_dead());
    }

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
