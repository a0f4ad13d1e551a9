//! Process groups: every command has one, and at the end of an attempt none may be left.
//!
//! A group's id is free for others once its last process is reaped, so a group is forgotten as soon
//! as its command is over and nobody else is in it.

use std::sync::Arc;

use rustix::process::{Pid, Signal};

use crate::reaper::Ledger;
use crate::sweep;

/// Sends a signal to every process of a group; a group that is gone is fine.
pub(crate) fn signal(group: Pid, signal: Signal) {
    if let Err(error) = rustix::process::kill_process_group(group, signal)
        && error != rustix::io::Errno::SRCH
    {
        tracing::warn!(group = group.as_raw_nonzero(), %error, "cannot signal process group");
    }
}

/// Whether any process, dead and unburied ones included, is in the group.
fn exists(group: Pid) -> bool {
    rustix::process::test_kill_process_group(group).is_ok()
}

/// Whether any process of the group can still do something. Slow: looks at every process.
pub(crate) fn is_alive(group: Pid) -> bool {
    exists(group) && sweep::has_live_member(group)
}

/// The groups of one attempt. Dropping it kills them.
#[derive(Debug)]
pub(crate) struct Groups {
    members: Vec<Pid>,
    ledger: Arc<Ledger>,
}

impl Groups {
    /// No groups yet. The ledger is told of every one.
    pub(crate) fn new(ledger: Arc<Ledger>) -> Self {
        Self {
            members: Vec::new(),
            ledger,
        }
    }

    /// A command was started with this group.
    pub(crate) fn add(&mut self, group: Pid) {
        self.ledger.add(group);
        self.members.push(group);
    }

    /// The command of this group is over; the group is kept while others are in it.
    pub(crate) fn settle(&mut self, group: Pid) {
        if !exists(group) {
            self.members.retain(|member| *member != group);
            self.ledger.remove(group);
        }
    }

    /// Kills every group that is left, and says which ones there were.
    pub(crate) fn kill_all(&mut self) -> Vec<Pid> {
        let killed = std::mem::take(&mut self.members);
        for group in &killed {
            signal(*group, Signal::KILL);
            self.ledger.remove(*group);
        }
        killed
    }
}

impl Drop for Groups {
    fn drop(&mut self) {
        self.kill_all();
    }
}
