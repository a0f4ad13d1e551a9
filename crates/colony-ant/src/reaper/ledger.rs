//! The ant's side: keeps the reaper informed, without a write for every short command.

use std::collections::BTreeSet;
use std::fmt::Write as _;
use std::fs::File;
use std::io;
use std::path::Path;
use std::process::Stdio;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use rustix::process::Pid;
use tokio::io::AsyncWriteExt as _;
use tokio::process::{Child, ChildStdin, Command};
use tokio::sync::Notify;
use tokio::task::JoinHandle;

use crate::config::ReaperCommand;

/// Groups that live shorter than this are never told. They are not lost if the ant is killed: the
/// reaper's look at all processes finds them.
const SETTLE: Duration = Duration::from_millis(10);

/// Which groups live, and what of it the reaper does not know yet.
#[derive(Debug, Default)]
pub(crate) struct Ledger {
    changes: Mutex<Changes>,
    nudge: Notify,
    /// Whether there is a reaper that wants to know.
    read: bool,
}

#[derive(Debug, Default)]
struct Changes {
    started: BTreeSet<i32>,
    ended: BTreeSet<i32>,
}

impl Ledger {
    pub(crate) fn add(&self, group: Pid) {
        if self.read {
            self.changes().started.insert(group.as_raw_nonzero().get());
            self.nudge.notify_one();
        }
    }

    pub(crate) fn remove(&self, group: Pid) {
        let group = group.as_raw_nonzero().get();
        if self.read && !self.changes().started.remove(&group) {
            self.changes().ended.insert(group);
            self.nudge.notify_one();
        }
    }

    fn changes(&self) -> MutexGuard<'_, Changes> {
        self.changes.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// The lines that tell the reaper what has changed. Ends go first: a group's number may have
    /// been given out again.
    fn take_lines(&self) -> String {
        let Changes { started, ended } = std::mem::take(&mut *self.changes());
        let mut lines = String::new();
        let ended = ended.iter().map(|group| ('-', group));
        for (sign, group) in ended.chain(started.iter().map(|group| ('+', group))) {
            let _ = writeln!(lines, "{sign}{group}");
        }
        lines
    }
}

/// A running reaper.
pub(crate) struct Reaper {
    child: Child,
    writer: JoinHandle<Option<ChildStdin>>,
    farewell: Arc<Notify>,
}

impl Reaper {
    /// Starts the process, and the ledger that it reads.
    pub(crate) async fn start(
        command: &ReaperCommand,
        root: &Path,
        lock: File,
    ) -> io::Result<(Self, Arc<Ledger>)> {
        let mut child = Command::new(&command.program)
            .args(&command.args)
            .current_dir("/")
            .stdin(Stdio::piped())
            .stdout(lock)
            .stderr(Stdio::null())
            .process_group(0)
            .spawn()?;
        let mut stdin = child.stdin.take().ok_or(io::ErrorKind::BrokenPipe)?;
        stdin
            .write_all(format!("={}\n", root.display()).as_bytes())
            .await?;
        let ledger = Arc::new(Ledger {
            read: true,
            ..Ledger::default()
        });
        let farewell = Arc::new(Notify::new());
        let writer = tokio::spawn(write_all(Arc::clone(&ledger), stdin, Arc::clone(&farewell)));
        let reaper = Self {
            child,
            writer,
            farewell,
        };
        Ok((reaper, ledger))
    }

    /// Tells the reaper that all is well, and waits for its end.
    pub(crate) async fn dismiss(mut self) {
        self.farewell.notify_one();
        if let Ok(Some(mut stdin)) = self.writer.await {
            // A reaper that is gone needs no farewell.
            let _ = stdin.write_all(b".\n").await;
        }
        let _ = self.child.wait().await;
    }
}

/// Passes the ledger's changes on until the farewell. Gives the pipe back if it still works.
async fn write_all(
    ledger: Arc<Ledger>,
    mut stdin: ChildStdin,
    farewell: Arc<Notify>,
) -> Option<ChildStdin> {
    loop {
        tokio::select! {
            () = ledger.nudge.notified() => {}
            () = farewell.notified() => return Some(stdin),
        }
        tokio::select! {
            () = tokio::time::sleep(SETTLE) => {}
            () = farewell.notified() => return Some(stdin),
        }
        let lines = ledger.take_lines();
        if let Err(error) = stdin.write_all(lines.as_bytes()).await {
            tracing::error!(%error, "the reaper is gone: processes may outlive this ant if it is killed");
            return None;
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_what_lasts_is_told() {
        let ledger = Ledger {
            read: true,
            ..Ledger::default()
        };
        let group = |number| Pid::from_raw(number).unwrap();
        ledger.add(group(10));
        ledger.add(group(11));
        ledger.remove(group(10));
        assert_eq!(ledger.take_lines(), "+11\n");
        ledger.remove(group(11));
        ledger.add(group(11));
        assert_eq!(ledger.take_lines(), "-11\n+11\n");
        assert_eq!(ledger.take_lines(), "");
    }
}
