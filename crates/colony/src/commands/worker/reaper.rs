//! The process that ends what a killed worker leaves behind: `colony reaper`, as ants have it.

use std::io::Write as _;
use std::os::unix::process::CommandExt as _;
use std::process::{Child, ChildStdin, Command, Stdio};
use std::sync::{Arc, Mutex, PoisonError};

use anyhow::Context as _;
use colony_api::worker::{GroupChange, GroupWatch};

/// A reaper that listens.
pub(super) struct Reaper {
    child: Child,
    stdin: Arc<Mutex<ChildStdin>>,
}

impl Reaper {
    pub(super) fn start() -> anyhow::Result<Self> {
        let failed = "failed to start the process that watches over this worker";
        let mut child = Command::new(std::env::current_exe().context(failed)?)
            .arg("reaper")
            .stdin(Stdio::piped())
            .stdout(Stdio::null())
            // Ctrl-C is not meant for it.
            .process_group(0)
            .spawn()
            .context(failed)?;
        let stdin = child.stdin.take().context(failed)?;
        Ok(Self {
            child,
            stdin: Arc::new(Mutex::new(stdin)),
        })
    }

    /// Tells it of groups.
    pub(super) fn watch(&self) -> GroupWatch {
        let stdin = Arc::clone(&self.stdin);
        GroupWatch::new(move |change| {
            let line = match change {
                GroupChange::Started(group) => format!("+{group}\n"),
                GroupChange::Ended(group) => format!("-{group}\n"),
            };
            say(&stdin, &line);
        })
    }

    /// The worker ends in good order.
    pub(super) fn farewell(mut self) {
        say(&self.stdin, ".\n");
        // It has nothing left to do.
        let _ = self.child.wait();
    }
}

/// Without its reaper a worker works on.
fn say(stdin: &Mutex<ChildStdin>, line: &str) {
    let mut stdin = stdin.lock().unwrap_or_else(PoisonError::into_inner);
    if let Err(error) = stdin.write_all(line.as_bytes()) {
        tracing::debug!("the reaper is gone: {error}");
    }
}
