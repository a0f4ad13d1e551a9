//! Looks at the processes of this machine, and kills the very one that was looked at.

use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::path::PathBuf;

use rustix::io::Errno;
use rustix::process::{Pid, PidfdFlags, Signal};

/// A process as its line in `/proc` showed it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Process {
    /// Its number, which others may have later.
    pub pid: Pid,
    /// When it began, in ticks since the machine started; with the number this names one process.
    pub started: u64,
    /// Number of its parent.
    pub parent: i32,
    /// Number of its process group.
    pub group: i32,
    /// Number of its terminal, or 0.
    pub terminal: i32,
    /// Dead, and only waits to be buried.
    pub is_dead: bool,
}

impl Process {
    /// Looks at a process.
    pub fn read(pid: Pid) -> Option<Self> {
        Self::parse(pid, &fs::read_to_string(file(pid, "stat")).ok()?)
    }

    /// The name before the last parenthesis may hold anything, so fields are counted after it:
    /// state, parent, group, session, terminal, …, start time.
    fn parse(pid: Pid, text: &str) -> Option<Self> {
        let mut fields = text.rsplit_once(')')?.1.split_ascii_whitespace();
        let state = *fields.next()?.as_bytes().first()?;
        Some(Self {
            pid,
            parent: fields.next()?.parse().ok()?,
            group: fields.next()?.parse().ok()?,
            terminal: fields.nth(1)?.parse().ok()?,
            started: fields.nth(14)?.parse().ok()?,
            is_dead: matches!(state, b'Z' | b'X' | b'x'),
        })
    }

    /// Kills it. Another process that has its number by now is left alone.
    pub fn kill(&self) {
        let handle = match rustix::process::pidfd_open(self.pid, PidfdFlags::empty()) {
            Ok(handle) => handle,
            // A kernel without such handles: what remains is to look right before.
            Err(Errno::NOSYS) if self.is_there() => {
                let _ = rustix::process::kill_process(self.pid, Signal::KILL);
                return;
            }
            Err(_) => return,
        };
        if self.is_there()
            && let Err(error) = rustix::process::pidfd_send_signal(handle, Signal::KILL)
            && error != Errno::SRCH
        {
            let pid = self.pid.as_raw_nonzero();
            tracing::warn!(process.id = pid, %error, "failed to kill a process");
        }
    }

    /// Whether the number still belongs to the same process.
    fn is_there(&self) -> bool {
        Self::read(self.pid).is_some_and(|now| now.started == self.started)
    }
}

/// All processes of this machine.
pub fn all() -> impl Iterator<Item = Process> {
    fs::read_dir("/proc")
        .into_iter()
        .flatten()
        .flatten()
        .filter_map(|entry| Pid::from_raw(entry.file_name().to_str()?.parse().ok()?))
        .filter_map(Process::read)
}

/// A file of what the kernel tells about a process.
pub fn file(pid: Pid, name: &str) -> PathBuf {
    PathBuf::from(format!("/proc/{}/{name}", pid.as_raw_nonzero()))
}

/// Everything that descends from this process, but what `spared` names and its descendants.
pub(crate) fn descendants(spared: impl Fn(Pid) -> bool) -> Vec<Process> {
    let mut children = BTreeMap::<i32, Vec<Process>>::new();
    for process in all() {
        children.entry(process.parent).or_default().push(process);
    }
    let own = rustix::process::getpid().as_raw_nonzero().get();
    let mut parents = vec![own];
    let mut found = Vec::new();
    while let Some(parent) = parents.pop() {
        for process in children.remove(&parent).into_iter().flatten() {
            if !spared(process.pid) {
                parents.push(process.pid.as_raw_nonzero().get());
                found.push(process);
            }
        }
    }
    found
}

/// The children of this process's first thread, where the kernel tells. A program that was started
/// in place of another has only these.
pub(crate) fn children_of_first_thread() -> BTreeSet<i32> {
    let own = rustix::process::getpid();
    let path = file(own, &format!("task/{}/children", own.as_raw_nonzero()));
    let text = fs::read_to_string(path).unwrap_or_default();
    let numbers = text.split_ascii_whitespace();
    numbers.filter_map(|number| number.parse().ok()).collect()
}

/// Whether anybody who is not dead is in the process group.
pub(crate) fn group_lives(group: Pid) -> bool {
    rustix::process::test_kill_process_group(group).is_ok()
        && all().any(|process| process.group == group.as_raw_nonzero().get() && !process.is_dead)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_line_is_read_past_a_hostile_name() {
        let line = "12 (a) Z 1 2) S 1 77 88 34816 -1 0 0 0 0 0 0 0 0 0 20 0 1 0 4711 0 0";
        let process = Process::parse(Pid::INIT, line).unwrap();
        let expected = Process {
            pid: Pid::INIT,
            started: 4711,
            parent: 1,
            group: 77,
            terminal: 34816,
            is_dead: false,
        };
        assert_eq!(process, expected);
    }

    #[test]
    fn only_the_process_that_was_seen_is_killed() {
        let mut child = std::process::Command::new("sleep")
            .arg("1000")
            .spawn()
            .unwrap();
        let pid = Pid::from_child(&child);
        let process = Process::read(pid).unwrap();
        assert!(descendants(|_| false).contains(&process));
        assert!(!descendants(|other| other == pid).contains(&process));
        let earlier = Process {
            started: process.started - 1,
            ..process
        };
        earlier.kill();
        assert!(child.try_wait().unwrap().is_none(), "it is another process");
        process.kill();
        assert!(!child.wait().unwrap().success());
    }
}
