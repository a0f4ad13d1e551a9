//! SHELL: each command is `/bin/sh -c <command>` in a process group of its own, started by a reaper
//! that nothing of the attempt can escape from.
//!
//! All commands of an attempt write into the same two pipes, and the ant keeps both ends. So a
//! background process of one command may go on writing while the next one runs, a command is over
//! when its main process is over, whoever still holds the pipe, and what that process wrote before
//! its end is in the pipe by then.

use std::io::{self, PipeWriter};
use std::os::fd::{AsFd, OwnedFd};
use std::process::ExitStatus;
use std::sync::Arc;

use colony_core::method::Method;
use colony_reaper::{Command, End, Reaper, Reapers, User};
use colony_wire::Environment;
use futures_util::FutureExt as _;
use futures_util::future::BoxFuture;
use tokio::net::unix::pipe::Receiver;

use crate::executor::{Description, Event, Executor, Place, Session, StartError, Stop, Stream};

const SHELL: &str = "/bin/sh";

/// Read at once from a pipe: at first, and what a pipe holds by default.
const READ_MIN: usize = 4 << 10;
const READ_MAX: usize = 64 << 10;

/// Read after the end of a command, should a background process write without a pause.
const DRAIN_MAX: usize = 1 << 20;

/// Runs commands as processes on this host.
#[derive(Debug)]
pub struct ShellExecutor {
    reapers: Arc<Reapers>,
    user: Option<User>,
}

impl ShellExecutor {
    /// An executor whose processes are started by these reapers; as this user, if one is given.
    pub(crate) fn new(reapers: Arc<Reapers>, user: Option<User>) -> Self {
        Self { reapers, user }
    }
}

impl Executor for ShellExecutor {
    fn describe(&self) -> Description {
        Description {
            methods: &[Method::Shell],
        }
    }

    fn open(&self, place: Place) -> BoxFuture<'_, Result<Box<dyn Session>, StartError>> {
        let session = ShellSession::open(place, &self.reapers, self.user);
        std::future::ready(session.map(|session| Box::new(session) as Box<dyn Session>)).boxed()
    }
}

/// The commands of one attempt.
struct ShellSession {
    place: Place,
    user: Option<User>,
    stdout: Channel,
    stderr: Channel,
    /// None once the session is closed.
    reaper: Option<Reaper>,
    running: Option<Running>,
}

/// A command that was started and whose end was not told yet.
struct Running {
    exited: Option<ExitStatus>,
    /// Bytes that may still be read after the exit.
    drain_left: usize,
}

impl ShellSession {
    fn open(place: Place, reapers: &Arc<Reapers>, user: Option<User>) -> Result<Self, StartError> {
        Ok(Self {
            place,
            user,
            stdout: Channel::open(user).map_err(StartError::Pipes)?,
            stderr: Channel::open(user).map_err(StartError::Pipes)?,
            reaper: Some(reapers.take().map_err(StartError::Reaper)?),
            running: None,
        })
    }

    async fn start(&mut self, command: &str, environment: &Environment) -> Result<(), StartError> {
        let variables = environment.iter();
        let command = Command {
            program: SHELL.into(),
            arguments: vec!["-c".into(), command.into()],
            directory: self.place.directory.clone(),
            environment: variables.map(|(k, v)| (k.into(), v.into())).collect(),
            user: self.user,
        };
        let outputs = [self.stdout.writer.as_fd(), self.stderr.writer.as_fd()];
        if let Some(reaper) = &mut self.reaper {
            let started = reaper.start(&command, outputs, None).await;
            started.map_err(not_started)?;
        }
        self.running = Some(Running {
            exited: None,
            drain_left: DRAIN_MAX,
        });
        Ok(())
    }

    async fn next(&mut self, buffer: &mut Vec<u8>) -> Event {
        buffer.clear();
        loop {
            let (Some(running), Some(reaper)) = (&mut self.running, &mut self.reaper) else {
                return Event::Lost(io::ErrorKind::NotFound.into());
            };
            if let Some(status) = running.exited {
                if let Some(stream) = self.drain(buffer) {
                    return Event::Output(stream);
                }
                self.running = None;
                return Event::Exited(status);
            }
            let stream = tokio::select! {
                ready = self.stdout.ready() => ready.map(|()| Stream::Stdout),
                ready = self.stderr.ready() => ready.map(|()| Stream::Stderr),
                end = reaper.end() => match end {
                    Ok(End::Exited(status)) => {
                        running.exited = Some(status);
                        continue;
                    }
                    Ok(End::NotStarted(error)) => {
                        self.running = None;
                        return Event::NotStarted(not_started(error));
                    }
                    Err(error) => Err(error),
                },
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

    async fn close(&mut self) -> bool {
        self.running = None;
        match self.reaper.take() {
            Some(reaper) => reaper.close().await,
            None => true,
        }
    }
}

fn not_started(source: io::Error) -> StartError {
    StartError::Spawn {
        program: SHELL.to_owned(),
        source,
    }
}

impl Session for ShellSession {
    fn start<'a>(
        &'a mut self,
        command: &'a str,
        environment: &'a Environment,
    ) -> BoxFuture<'a, Result<(), StartError>> {
        Self::start(self, command, environment).boxed()
    }

    fn next<'a>(&'a mut self, buffer: &'a mut Vec<u8>) -> BoxFuture<'a, Event> {
        Self::next(self, buffer).boxed()
    }

    fn stop(&mut self, how: Stop) {
        if let (Some(_), Some(reaper)) = (&self.running, &mut self.reaper) {
            reaper.stop(how);
        }
    }

    fn close(&mut self) -> BoxFuture<'_, bool> {
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
    /// One that a user may also open by a name such as `/dev/stdout`.
    fn open(user: Option<User>) -> io::Result<Self> {
        let (reader, writer) = io::pipe()?;
        if let Some(User { uid, gid }) = user {
            std::os::unix::fs::fchown(&writer, Some(uid), Some(gid))?;
        }
        rustix::io::ioctl_fionbio(&reader, true)?;
        Ok(Self {
            reader: Receiver::from_owned_fd_unchecked(OwnedFd::from(reader))?,
            writer,
            read_size: READ_MIN,
        })
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
