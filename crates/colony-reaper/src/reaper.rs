//! The owner's end of a reaper.

use std::io;
use std::os::fd::BorrowedFd;
use std::os::unix::process::ExitStatusExt as _;
use std::process::ExitStatus;
use std::sync::Arc;
use std::time::Duration;

use tokio::time::Instant;

use crate::command::Command;
use crate::pool::{ReaperChild, Reapers};
use crate::wire::{Frame, Kind, Wire};

/// How long a reaper may take to answer when everything was killed. One that was itself stopped
/// never does.
const ANSWER_MAX: Duration = Duration::from_secs(5);

/// How a command ended.
#[derive(Debug)]
pub enum End {
    /// It is over.
    Exited(ExitStatus),
    /// It could not be started.
    NotStarted(io::Error),
}

/// How to stop a command.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Stop {
    /// Ask its process group to end: SIGTERM. Its end is then that of the whole group.
    Soft,
    /// Kill its process group.
    Hard,
}

/// A reaper that serves one attempt: runs its commands, one at a time. Dropping it kills everything
/// that they started.
pub struct Reaper {
    pool: Arc<Reapers>,
    /// None once the reaper is known to be gone.
    wire: Option<Wire>,
    /// None once it is buried.
    child: Option<ReaperChild>,
    /// Whether nothing can be left of what was started.
    alone: bool,
    /// When to wait no longer for an answer.
    answer_by: Option<Instant>,
}

impl Reaper {
    pub(crate) fn new(pool: Arc<Reapers>, wire: Wire, child: ReaperChild) -> Self {
        Self {
            pool,
            wire: Some(wire),
            child: Some(child),
            alone: true,
            answer_by: None,
        }
    }

    /// Has a command started, with these as standard output and error, and input where given. The
    /// one before is over. A command that cannot be started shows as its [`End`].
    ///
    /// # Errors
    /// When a part of the command holds a zero byte, or all is too large. A reaper that is gone
    /// shows as an error of [`Reaper::end`].
    pub async fn start(
        &mut self,
        command: &Command,
        outputs: [BorrowedFd<'_>; 2],
        input: Option<BorrowedFd<'_>>,
    ) -> io::Result<()> {
        let body = command.encode()?;
        let [output, errors] = outputs;
        let all = [Some(output), Some(errors), input];
        let descriptors: Vec<BorrowedFd<'_>> = all.into_iter().flatten().collect();
        let Some(wire) = &self.wire else {
            return Ok(());
        };
        self.alone = false;
        match wire.send(Kind::Start, &body, &descriptors).await {
            Err(error) if is_gone(&error) => Ok(()),
            sent => sent,
        }
    }

    /// Waits for the end of the command. May be dropped and called again.
    ///
    /// # Errors
    /// When the reaper is gone. Nothing of what it had is left then, if this process adopts.
    pub async fn end(&mut self) -> io::Result<End> {
        loop {
            let Some(frame) = self.next().await else {
                let problem = "the process that watches over it was killed";
                return Err(io::Error::other(problem));
            };
            match (frame.kind, &frame.body[..]) {
                (Kind::Exited, [a, b, c, d, alone]) => {
                    self.alone = *alone != 0;
                    let status = i32::from_le_bytes([*a, *b, *c, *d]);
                    return Ok(End::Exited(ExitStatus::from_raw(status)));
                }
                (Kind::NotStarted, [a, b, c, d]) => {
                    let number = i32::from_le_bytes([*a, *b, *c, *d]);
                    return Ok(End::NotStarted(io::Error::from_raw_os_error(number)));
                }
                _ => {}
            }
        }
    }

    /// Stops the running command.
    pub fn stop(&mut self, how: Stop) {
        let kind = match how {
            Stop::Soft => Kind::Soft,
            Stop::Hard => {
                self.answer_by = Some(Instant::now() + ANSWER_MAX);
                Kind::Hard
            }
        };
        if let Some(wire) = &self.wire {
            // One that is gone shows at the end.
            let _ = wire.send_now(kind);
        }
    }

    /// Ends all that is left of what was started, and lets others have the reaper. False when
    /// something could not be killed.
    pub async fn close(mut self) -> bool {
        if !self.alone {
            self.alone = self.close_rest().await;
        }
        let closed = self.alone;
        if closed && let (Some(wire), Some(child)) = (self.wire.take(), self.child.take()) {
            self.pool.keep(wire, child);
        }
        closed
    }

    async fn close_rest(&mut self) -> bool {
        self.answer_by = Some(Instant::now() + ANSWER_MAX);
        if let Some(wire) = &self.wire {
            let _ = wire.send(Kind::Close, &[], &[]).await;
        }
        loop {
            match self.next().await {
                Some(frame) if frame.kind == Kind::Closed => return frame.body == [1],
                Some(_) => {}
                // What it had was adopted and killed.
                None => return self.pool.adopts(),
            }
        }
    }

    /// The next frame; none when the reaper is gone, and what it had is killed.
    async fn next(&mut self) -> Option<Frame> {
        if let Some(wire) = &mut self.wire {
            let frame = match self.answer_by {
                None => wire.next().await,
                Some(at) => match tokio::time::timeout_at(at, wire.next()).await {
                    Ok(frame) => frame,
                    Err(_) => Ok(None),
                },
            };
            if let Ok(Some(frame)) = frame {
                return Some(frame);
            }
            self.wire = None;
            tracing::error!("a reaper is gone or does not answer: it is replaced");
        }
        if let Some(child) = &mut self.child {
            // Only a dead one lets go of its children.
            let _ = child.child.start_kill();
            let _ = child.child.wait().await;
            self.pool.adopt().await;
        }
        if let Some(child) = self.child.take() {
            self.pool.end(child);
        }
        None
    }
}

impl Drop for Reaper {
    fn drop(&mut self) {
        // The socket closes first: that is what the reaper waits for.
        self.wire = None;
        if let Some(child) = self.child.take() {
            self.pool.end(child);
        }
    }
}

fn is_gone(error: &io::Error) -> bool {
    matches!(
        error.kind(),
        io::ErrorKind::BrokenPipe | io::ErrorKind::ConnectionReset | io::ErrorKind::NotConnected
    )
}
