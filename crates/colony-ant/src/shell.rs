//! SHELL: each command is `/bin/sh -c <command>` in a process group of its own.
//!
//! All commands of an attempt write into the same two pipes, and the ant keeps both ends. So a
//! background process of one command may go on writing while the next one runs, a command is over
//! when its main process is over, whoever still holds the pipe, and what that process wrote before
//! its end is in the pipe by then.

use std::os::fd::{AsFd, OwnedFd};
use std::process::{ExitStatus, Stdio};
use std::sync::Arc;
use std::time::Duration;

use colony_core::method::Method;
use colony_wire::Environment;
use futures_util::FutureExt as _;
use futures_util::future::BoxFuture;
use rustix::process::{Pid, Signal};
use std::io::{self, PipeWriter};
use tokio::net::unix::pipe::Receiver;
use tokio::process::{Child, Command};

use crate::descriptors;
use crate::executor::{Description, Event, Executor, Place, Session, StartError, Stop, Stream};
use crate::groups::{self, Groups};
use crate::reaper::Ledger;

const SHELL: &str = "/bin/sh";

/// Read at once from a pipe: at first, and what a pipe holds by default.
const READ_MIN: usize = 4 << 10;
const READ_MAX: usize = 64 << 10;

/// Read after the end of a command, should a background process write without a pause.
const DRAIN_MAX: usize = 1 << 20;

/// How often a group that was asked to end is looked at.
const GROUP_POLL: Duration = Duration::from_millis(20);

/// How long killed processes may take to be gone at the end of an attempt.
const KILL_PATIENCE: Duration = Duration::from_secs(2);

/// Runs commands as processes on this host.
#[derive(Debug, Default)]
pub struct ShellExecutor {
    ledger: Arc<Ledger>,
}

impl ShellExecutor {
    /// An executor whose process groups are entered into the ledger of the reaper.
    pub(crate) fn with_ledger(ledger: Arc<Ledger>) -> Self {
        Self { ledger }
    }
}

impl Executor for ShellExecutor {
    fn describe(&self) -> Description {
        Description {
            methods: &[Method::Shell],
        }
    }

    fn open(&self, place: Place) -> BoxFuture<'_, Result<Box<dyn Session>, StartError>> {
        let session = ShellSession::open(place, Groups::new(Arc::clone(&self.ledger)));
        std::future::ready(session.map(|session| Box::new(session) as Box<dyn Session>)).boxed()
    }
}

/// The commands of one attempt.
struct ShellSession {
    place: Place,
    stdout: Channel,
    stderr: Channel,
    groups: Groups,
    running: Option<Running>,
}

/// A command that was started and whose end was not told yet.
struct Running {
    child: Child,
    group: Option<Pid>,
    /// Whether it was asked to end, so that its end is that of its whole group.
    stopping: bool,
    exited: Option<ExitStatus>,
    /// Bytes that may still be read after the exit.
    drain_left: usize,
}

impl ShellSession {
    fn open(place: Place, groups: Groups) -> Result<Self, StartError> {
        Ok(Self {
            place,
            stdout: Channel::open().map_err(StartError::Pipes)?,
            stderr: Channel::open().map_err(StartError::Pipes)?,
            groups,
            running: None,
        })
    }

    fn spawn(&mut self, command: &str, environment: &Environment) -> Result<(), StartError> {
        let output = self.stdout.writer().map_err(StartError::Pipes)?;
        let errors = self.stderr.writer().map_err(StartError::Pipes)?;
        // Whatever is set here has to stay within what `posix_spawn` can do: the other way forks
        // the whole server.
        let child = Command::new(SHELL)
            .arg("-c")
            .arg(command)
            .current_dir(&self.place.directory)
            .env_clear()
            .envs(environment)
            .stdin(Stdio::null())
            .stdout(output)
            .stderr(errors)
            .process_group(0)
            .kill_on_drop(true)
            .spawn()
            .map_err(|source| StartError::Spawn {
                program: SHELL.to_owned(),
                source,
            })?;
        let group = child
            .id()
            .and_then(|id| Pid::from_raw(i32::try_from(id).ok()?));
        if let Some(group) = group {
            descriptors::give_back(group);
            self.groups.add(group);
        }
        self.running = Some(Running {
            child,
            group,
            stopping: false,
            exited: None,
            drain_left: DRAIN_MAX,
        });
        Ok(())
    }

    async fn next(&mut self, buffer: &mut Vec<u8>) -> Event {
        buffer.clear();
        loop {
            let Some(running) = &mut self.running else {
                return Event::Lost(io::ErrorKind::NotFound.into());
            };
            let stream = match running.exited {
                None => tokio::select! {
                    ready = self.stdout.ready() => ready.map(|()| Stream::Stdout),
                    ready = self.stderr.ready() => ready.map(|()| Stream::Stderr),
                    status = running.child.wait() => match status {
                        Ok(status) => {
                            running.exited = Some(status);
                            continue;
                        }
                        Err(error) => Err(error),
                    },
                },
                Some(_) if running.group_goes_on() => tokio::select! {
                    ready = self.stdout.ready() => ready.map(|()| Stream::Stdout),
                    ready = self.stderr.ready() => ready.map(|()| Stream::Stderr),
                    () = tokio::time::sleep(GROUP_POLL) => continue,
                },
                Some(status) => {
                    let stream = self.drain(buffer);
                    return stream.map_or_else(|| self.end(status), Event::Output);
                }
            };
            match stream.and_then(|stream| self.channel(stream).read(buffer).map(|()| stream)) {
                Ok(stream) => return Event::Output(stream),
                // The runtime's word may be older than an earlier read.
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => {}
                Err(error) => return Event::Lost(error),
            }
        }
    }

    fn channel(&mut self, stream: Stream) -> &mut Channel {
        match stream {
            Stream::Stdout => &mut self.stdout,
            Stream::Stderr => &mut self.stderr,
        }
    }

    /// Takes what is in the pipes without waiting for more.
    fn drain(&mut self, buffer: &mut Vec<u8>) -> Option<Stream> {
        let running = self.running.as_mut()?;
        let stream = if running.drain_left == 0 {
            None
        } else if self.stdout.take(buffer) {
            Some(Stream::Stdout)
        } else {
            self.stderr.take(buffer).then_some(Stream::Stderr)
        };
        running.drain_left = running.drain_left.saturating_sub(buffer.len());
        stream
    }

    fn end(&mut self, status: ExitStatus) -> Event {
        if let Some(group) = self.running.take().and_then(|running| running.group) {
            self.groups.settle(group);
        }
        Event::Exited(status)
    }

    async fn close(&mut self) {
        self.running = None;
        let killed = self.groups.kill_all();
        let gone = async {
            while killed.iter().any(|group| groups::is_alive(*group)) {
                tokio::time::sleep(GROUP_POLL).await;
            }
        };
        if tokio::time::timeout(KILL_PATIENCE, gone).await.is_err() {
            tracing::error!(?killed, "killed process groups do not go away");
        }
    }
}

impl Running {
    /// Whether others of a group that was asked to end still do their last things.
    fn group_goes_on(&self) -> bool {
        self.stopping && self.group.is_some_and(groups::is_alive)
    }
}

impl Session for ShellSession {
    fn start<'a>(
        &'a mut self,
        command: &'a str,
        environment: &'a Environment,
    ) -> BoxFuture<'a, Result<(), StartError>> {
        std::future::ready(self.spawn(command, environment)).boxed()
    }

    fn next<'a>(&'a mut self, buffer: &'a mut Vec<u8>) -> BoxFuture<'a, Event> {
        Self::next(self, buffer).boxed()
    }

    fn stop(&mut self, how: Stop) {
        let Some(running) = &mut self.running else {
            return;
        };
        running.stopping = true;
        if let Some(group) = running.group {
            groups::signal(
                group,
                match how {
                    Stop::Soft => Signal::TERM,
                    Stop::Hard => Signal::KILL,
                },
            );
        }
    }

    fn close(&mut self) -> BoxFuture<'_, ()> {
        Self::close(self).boxed()
    }
}

/// A pipe with both ends in the ant's hands.
struct Channel {
    reader: Receiver,
    writer: PipeWriter,
    /// Bytes read at once.
    read_size: usize,
}

impl Channel {
    fn open() -> io::Result<Self> {
        let (reader, writer) = io::pipe()?;
        rustix::io::ioctl_fionbio(&reader, true)?;
        Ok(Self {
            reader: Receiver::from_owned_fd_unchecked(OwnedFd::from(reader))?,
            writer,
            read_size: READ_MIN,
        })
    }

    /// An end for a process.
    fn writer(&self) -> io::Result<PipeWriter> {
        self.writer.try_clone()
    }

    /// Waits until there seems to be output.
    async fn ready(&self) -> io::Result<()> {
        self.reader.readable().await
    }

    /// Reads what the runtime says is there.
    fn read(&mut self, buffer: &mut Vec<u8>) -> io::Result<()> {
        buffer.reserve(self.read_size);
        self.reader.try_read_buf(buffer)?;
        self.adapt(buffer.len());
        Ok(())
    }

    /// Takes output that is there. Asks the kernel, as the runtime may not have heard of it yet.
    fn take(&mut self, buffer: &mut Vec<u8>) -> bool {
        buffer.clear();
        buffer.reserve(self.read_size);
        let count = rustix::io::read(self.reader.as_fd(), rustix::buffer::spare_capacity(buffer));
        self.adapt(buffer.len());
        matches!(count, Ok(1..))
    }

    /// Who writes much is read in large pieces.
    fn adapt(&mut self, count: usize) {
        if count >= self.read_size {
            self.read_size = READ_MAX;
        }
    }
}
