//! The owner's reapers.

use std::collections::BTreeSet;
use std::fs::File;
use std::io;
use std::os::fd::OwnedFd;
use std::os::unix::net::UnixStream;
use std::path::PathBuf;
use std::process::Stdio;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use rustix::process::{Pid, WaitOptions};
use tokio::process::{Child, Command};

use crate::descriptors;
use crate::process;
use crate::reaper::Reaper;
use crate::wire::Wire;

/// How long reapers may take to end when they are dismissed.
const DISMISS_MAX: Duration = Duration::from_secs(12);

/// How often is looked whether adopted processes are gone, and how many times.
const LOOK: Duration = Duration::from_millis(2);
const LOOKS_MAX: usize = 1000;

/// How to start a reaper.
#[derive(Debug, Clone)]
pub struct ReaperCommand {
    /// The program, usually the owner's own.
    pub program: PathBuf,
    /// Arguments that make it call [`crate::run`].
    pub args: Vec<String>,
    /// The owner has no other children than reapers: what a killed reaper leaves is taken over and
    /// killed.
    pub adopts: bool,
    /// Reapers, and so commands, have a session of their own, no terminal and no file that the owner
    /// was started with: commands of another user could type into the one and read the other.
    pub own_session: bool,
}

impl ReaperCommand {
    /// This very program, also when its file was replaced meanwhile, with the argument `reaper`; for
    /// one that has no other children.
    pub fn of_this_program() -> Self {
        Self {
            program: "/proc/self/exe".into(),
            args: vec!["reaper".to_owned()],
            adopts: true,
            own_session: false,
        }
    }
}

/// The reapers of an owner. They wait to be used again.
#[derive(Debug)]
pub struct Reapers {
    command: ReaperCommand,
    /// What every reaper holds open until its end.
    held: Option<File>,
    /// Children that this process had before: of a shell that became it.
    strangers: BTreeSet<i32>,
    state: Mutex<State>,
}

#[derive(Debug, Default)]
struct State {
    idle: Vec<(Wire, ReaperChild)>,
    /// Those that were let go and end.
    ending: Vec<ReaperChild>,
    /// Process ids of all that are not buried.
    all: BTreeSet<i32>,
}

/// The process of a reaper.
#[derive(Debug)]
pub(crate) struct ReaperChild {
    pub(crate) child: Child,
    /// Its number, also when it is buried.
    number: i32,
}

impl Reapers {
    /// No reapers yet. Each of them will hold `held` open until its end.
    ///
    /// # Errors
    /// When this process is to adopt and cannot.
    pub fn new(command: ReaperCommand, held: Option<File>) -> io::Result<Arc<Self>> {
        if command.adopts {
            rustix::process::set_child_subreaper(Some(Pid::INIT))?;
        }
        Ok(Arc::new(Self {
            command,
            held,
            strangers: process::children_of_first_thread(),
            state: Mutex::default(),
        }))
    }

    /// Has one ready for the first use.
    ///
    /// # Errors
    /// When it cannot be started.
    pub fn warm_up(&self) -> io::Result<()> {
        let (wire, child) = self.spawn()?;
        self.state().idle.push((wire, child));
        Ok(())
    }

    /// A reaper for one attempt.
    ///
    /// # Errors
    /// When none waits and another cannot be started.
    pub fn take(self: &Arc<Self>) -> io::Result<Reaper> {
        loop {
            let idle = self.state().idle.pop();
            let (wire, child) = match idle {
                Some((wire, child)) if !wire.is_quiet() => {
                    tracing::warn!("a waiting reaper was killed: it is replaced");
                    self.end(child);
                    continue;
                }
                Some(idle) => idle,
                None => self.spawn()?,
            };
            return Ok(Reaper::new(Arc::clone(self), wire, child));
        }
    }

    /// Lets all reapers end and waits until they have, and with them all that they started.
    pub async fn dismiss(&self) {
        let ending = {
            let mut state = self.state();
            let idle = std::mem::take(&mut state.idle);
            let mut ending = std::mem::take(&mut state.ending);
            // Their sockets close here.
            ending.extend(idle.into_iter().map(|(_, child)| child));
            ending
        };
        let gone = async {
            for mut ended in ending {
                let _ = ended.child.wait().await;
            }
        };
        if tokio::time::timeout(DISMISS_MAX, gone).await.is_err() {
            tracing::error!("a reaper does not end: something that it started cannot be killed");
        }
        self.adopt().await;
    }

    fn spawn(&self) -> io::Result<(Wire, ReaperChild)> {
        let (own, other) = UnixStream::pair()?;
        let held = match &self.held {
            Some(held) => Stdio::from(held.try_clone()?),
            None => Stdio::null(),
        };
        let mut command = Command::new(&self.command.program);
        command
            .args(&self.command.args)
            .current_dir("/")
            // It has no use for the owner's secrets.
            .env_clear()
            .stdin(Stdio::from(OwnedFd::from(other)))
            .stdout(held)
            .stderr(Stdio::null());
        // Who leads a group cannot begin a session, which is a group of its own as well.
        if !self.command.own_session {
            command.process_group(0);
        }
        let wire = Wire::new(own)?;
        // Held over both, so that nobody sees a child that is not in the list.
        let mut state = self.state();
        let child = command.spawn()?;
        let number = child.id().and_then(|id| i32::try_from(id).ok());
        let number = number.unwrap_or_default();
        state.all.insert(number);
        descriptors::give_back(Pid::from_raw(number));
        Ok((wire, ReaperChild { child, number }))
    }

    /// A reaper that has nothing below it waits for its next use.
    pub(crate) fn keep(&self, wire: Wire, child: ReaperChild) {
        self.state().idle.push((wire, child));
    }

    /// A reaper was let go: it ends by itself.
    pub(crate) fn end(&self, child: ReaperChild) {
        let mut state = self.state();
        let State { ending, all, .. } = &mut *state;
        ending.push(child);
        ending.retain_mut(|ending| {
            let goes_on = matches!(ending.child.try_wait(), Ok(None));
            if !goes_on {
                all.remove(&ending.number);
            }
            goes_on
        });
    }

    pub(crate) fn adopts(&self) -> bool {
        self.command.adopts
    }

    /// Kills what dead reapers left to this process.
    pub(crate) async fn adopt(&self) {
        if !self.command.adopts {
            return;
        }
        for _ in 0..LOOKS_MAX {
            if self.kill_adopted() {
                return;
            }
            tokio::time::sleep(LOOK).await;
        }
        tracing::error!("something that a killed reaper had started cannot be killed");
    }

    /// One look. True when nothing is left.
    fn kill_adopted(&self) -> bool {
        let state = self.state();
        let spared = |pid: Pid| {
            let number = pid.as_raw_nonzero().get();
            state.all.contains(&number) || self.strangers.contains(&number)
        };
        let left = process::descendants(spared);
        for process in &left {
            tracing::warn!(
                process.id = process.pid.as_raw_nonzero(),
                "killing what a killed reaper has left"
            );
            process.kill();
            // Only children can be buried; others become children when their parents are dead.
            let _ = rustix::process::waitpid(Some(process.pid), WaitOptions::NOHANG);
        }
        left.is_empty()
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
