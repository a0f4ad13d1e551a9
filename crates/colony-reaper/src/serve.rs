//! The reaper's own life: starts what it is told to, buries whatever dies below it, and kills what
//! is left when it is told to or when its owner is gone.

use std::io;
use std::os::fd::{AsFd as _, OwnedFd};
use std::os::unix::process::CommandExt as _;
use std::process::{Command as Process, Stdio};
use std::time::Duration;

use rustix::io::Errno;
use rustix::process::{DumpableBehavior, Pid, Signal, WaitOptions};
use tokio::signal::unix::{SignalKind, signal};
use tokio::time::Instant;

use crate::command::Command;
use crate::descriptors;
use crate::process;
use crate::wire::{Frame, Kind, Wire};

/// How often is looked at what does not tell its end: groups that were asked to end and processes
/// that were killed.
const LOOK: Duration = Duration::from_millis(10);

/// How long killed processes may take to be gone.
const PATIENCE: Duration = Duration::from_secs(2);

/// How long they may take when the owner is gone, and nobody waits but the next one.
const LAST_PATIENCE: Duration = Duration::from_secs(10);

/// The whole life of a reaper. Standard input is the socket to its owner; whatever is standard
/// output is held open until the end.
///
/// # Errors
/// When standard input is no such socket, or the signals that must not end it cannot be caught.
pub fn run() -> io::Result<()> {
    // Refused, and not meant, where the owner has given it a group.
    if rustix::process::setsid().is_ok() {
        descriptors::close_inherited();
    }
    let input = io::stdin().as_fd().try_clone_to_owned()?;
    // Whatever a command leaves behind becomes a child of this process.
    rustix::process::set_child_subreaper(Some(Pid::INIT))?;
    // Commands cannot look into it.
    let _ = rustix::process::set_dumpable_behavior(DumpableBehavior::NotDumpable);
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()?;
    runtime.block_on(serve(input))
}

async fn serve(input: OwnedFd) -> io::Result<()> {
    // Caught and never looked at. Who stops a whole machine or service signals every process, and
    // the reaper has to be the last.
    let _caught = [
        signal(SignalKind::hangup())?,
        signal(SignalKind::interrupt())?,
        signal(SignalKind::terminate())?,
    ];
    let mut deaths = signal(SignalKind::child())?;
    let mut wire = Wire::new(input.into())?;
    let mut work = Work::default();
    loop {
        tokio::select! {
            frame = wire.next() => match frame {
                Ok(Some(frame)) => work.hear(frame, &mut wire).await?,
                Ok(None) | Err(_) => break,
            },
            _ = deaths.recv() => {}
            () = tokio::time::sleep(LOOK), if work.has_to_look() => {}
        }
        // An owner that does not listen is gone.
        if work.look(&wire).await.is_err() {
            break;
        }
    }
    end_all(LAST_PATIENCE).await;
    Ok(())
}

/// What a reaper has to do.
#[derive(Default)]
struct Work {
    running: Option<Running>,
    /// Until when what is left may take to be gone.
    closing: Option<Instant>,
}

/// A command whose end was not told yet. It leads a process group.
struct Running {
    pid: Pid,
    /// Whether it was asked to end, so that its end is that of its whole group.
    stopping: bool,
    status: Option<i32>,
}

impl Work {
    async fn hear(&mut self, frame: Frame, wire: &mut Wire) -> io::Result<()> {
        match frame.kind {
            Kind::Start => {
                let outputs = (wire.descriptor(), wire.descriptor(), wire.descriptor());
                match start(&frame.body, outputs) {
                    Ok(pid) => {
                        self.running = Some(Running {
                            pid,
                            stopping: false,
                            status: None,
                        });
                    }
                    Err(error) => {
                        let number = error
                            .raw_os_error()
                            .unwrap_or(Errno::INVAL.raw_os_error())
                            .to_le_bytes();
                        wire.send(Kind::NotStarted, &number, &[]).await?;
                    }
                }
            }
            Kind::Soft => self.signal(Signal::TERM),
            Kind::Hard => self.signal(Signal::KILL),
            Kind::Close => {
                self.running = None;
                self.closing = Some(Instant::now() + PATIENCE);
            }
            Kind::Exited | Kind::NotStarted | Kind::Closed => {}
        }
        Ok(())
    }

    fn signal(&mut self, signal: Signal) {
        let Some(running) = &mut self.running else {
            return;
        };
        running.stopping = true;
        // The group's number is its own while its leader is not buried or others are in it.
        if running.status.is_none() || process::group_lives(running.pid) {
            let _ = rustix::process::kill_process_group(running.pid, signal);
        }
    }

    fn has_to_look(&self) -> bool {
        let stopping = |running: &Running| running.stopping && running.status.is_some();
        self.closing.is_some() || self.running.as_ref().is_some_and(stopping)
    }

    /// Buries the dead, and tells the owner what is over.
    async fn look(&mut self, wire: &Wire) -> io::Result<()> {
        let alone = bury(|pid, status| {
            if let Some(running) = self.running.as_mut().filter(|running| running.pid == pid) {
                running.status = Some(status);
            }
        });
        if let Some(running) = &self.running
            && let Some(status) = running.status
            && (alone || !running.stopping || !process::group_lives(running.pid))
        {
            self.running = None;
            let body = [&status.to_le_bytes()[..], &[u8::from(alone)]].concat();
            wire.send(Kind::Exited, &body, &[]).await?;
        }
        if let Some(until) = self.closing {
            if !alone {
                kill_descendants();
            }
            if alone || until <= Instant::now() {
                self.closing = None;
                wire.send(Kind::Closed, &[u8::from(alone)], &[]).await?;
            }
        }
        Ok(())
    }
}

/// Buries every child that is dead. True when no other is left, and so no descendant at all.
fn bury(mut tell: impl FnMut(Pid, i32)) -> bool {
    loop {
        match rustix::process::wait(WaitOptions::NOHANG) {
            Ok(Some((pid, status))) => tell(pid, status.as_raw()),
            Ok(None) => return false,
            Err(Errno::INTR) => {}
            Err(_) => return true,
        }
    }
}

fn kill_descendants() {
    for process in process::descendants(|_| false) {
        if !process.is_dead {
            process.kill();
        }
    }
}

/// Kills until nothing is left or time is up.
async fn end_all(patience: Duration) {
    let until = Instant::now() + patience;
    while !bury(|_, _| ()) && Instant::now() < until {
        kill_descendants();
        tokio::time::sleep(LOOK / 5).await;
    }
}

type Outputs = (Option<OwnedFd>, Option<OwnedFd>, Option<OwnedFd>);

/// Whatever is set here, but for a user, has to stay within what `posix_spawn` can do.
fn start(body: &[u8], (output, errors, input): Outputs) -> io::Result<Pid> {
    let command = Command::decode(body).ok_or(Errno::INVAL)?;
    let mut process = Process::new(&command.program);
    process
        .args(&command.arguments)
        .current_dir(&command.directory)
        .env_clear()
        .envs(command.environment)
        .stdin(stdio(input))
        .stdout(stdio(output))
        .stderr(stdio(errors))
        .process_group(0);
    if let Some(user) = command.user {
        process.gid(user.gid).uid(user.uid);
    }
    Ok(Pid::from_child(&process.spawn()?))
}

fn stdio(descriptor: Option<OwnedFd>) -> Stdio {
    descriptor.map_or_else(Stdio::null, Stdio::from)
}
