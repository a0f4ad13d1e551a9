//! One command: its start and its end, its input, and what it writes.

use std::collections::BTreeMap;
use std::ffi::OsString;
use std::io;
use std::os::fd::AsFd as _;
use std::pin::pin;
use std::process::ExitStatus;
use std::time::Duration;

use colony_reaper::{self as reaper, Command, Reaper};
use futures_util::future::maybe_done;
use tokio::io::{AsyncRead, AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::unix::pipe;

use super::options::WorkerOptions;
use crate::runs::Task;

/// The most of stdout that becomes an output: less than the server takes, as JSON may grow on the way.
const STDOUT_MAX: usize = 8 * 1024 * 1024;

/// The end of stderr that an error shows.
const STDERR_MAX: usize = 4096;

/// How long a command may take to end when it is asked to.
const SOFT_STOP: Duration = Duration::from_secs(5);

/// How long to read what the processes of an ended command still had to say.
const LAST_WORDS: Duration = Duration::from_secs(1);

/// How much is read at once.
const CHUNK: usize = 16 * 1024;

/// How a command ended.
#[derive(Debug)]
pub(super) enum End<W> {
    /// By itself.
    Ended(Output),
    /// It was stopped.
    Stopped(W),
}

/// What a command left that ended by itself.
#[derive(Debug)]
pub(super) struct Output {
    pub(super) status: ExitStatus,
    pub(super) stdout: Vec<u8>,
    /// The bound, when there was more.
    pub(super) stdout_cut_at: Option<usize>,
    /// The end of it.
    pub(super) stderr: Vec<u8>,
}

/// Runs the command of a task to its end, or until `stop` gives a reason to stop it. Nothing that it
/// started is left then; when this is dropped, it is killed.
pub(super) async fn run<W>(
    options: &WorkerOptions,
    task: &Task,
    stop: impl Future<Output = W>,
) -> io::Result<End<W>> {
    let command = command(options, task)?;
    let mut reaper = options.reapers.take()?;
    let Pipes {
        stdin,
        stdout: out,
        stderr: err,
    } = start(&mut reaper, &command).await?;
    let input = task.input_data.to_string();
    let (mut stdout, mut stderr) = (Kept::start(STDOUT_MAX), Kept::end(STDERR_MAX));
    let ended = {
        let mut talk = pin!(maybe_done(async {
            tokio::join!(feed(stdin, &input), stdout.read(out), stderr.read(err));
        }));
        let mut life = pin!(live(reaper, stop));
        let ended = tokio::select! {
            ended = &mut life => ended,
            // A command may go on without its pipes.
            () = &mut talk => life.await,
        };
        // Who was given the pipes from outside may hold them open for ever.
        let _ = tokio::time::timeout(LAST_WORDS, talk).await;
        ended?
    };
    Ok(match ended {
        Life::Stopped(why) => End::Stopped(why),
        Life::Ended(status) => End::Ended(Output {
            status,
            stdout_cut_at: stdout.dropped.then_some(STDOUT_MAX),
            stdout: stdout.bytes,
            stderr: stderr.bytes,
        }),
    })
}

/// The command with its environment: that of this process, the worker's, and the task's.
fn command(options: &WorkerOptions, task: &Task) -> io::Result<Command> {
    let (program, arguments) =
        (options.command.split_first()).ok_or_else(|| io::Error::other("there is no command"))?;
    let mut environment: BTreeMap<OsString, OsString> = std::env::vars_os().collect();
    let attempt = (task.retry_count + 1).to_string();
    let given = options.environment.iter();
    let given = given.map(|(name, value)| (&name[..], &value[..]));
    let of_task = [
        ("COLONY_TASK_ID", &task.id[..]),
        ("COLONY_RUN_ID", &task.run_id),
        ("COLONY_TASK_TYPE", &task.kind),
        ("COLONY_ATTEMPT", &attempt),
        ("COLONY_WORKER_ID", &options.worker_id),
    ];
    environment.extend(
        given
            .chain(of_task)
            .map(|(name, value)| (name.into(), value.into())),
    );
    Ok(Command {
        program: program.into(),
        arguments: arguments.iter().map(Into::into).collect(),
        directory: std::env::current_dir()?,
        environment: environment.into_iter().collect(),
        user: None,
    })
}

/// The worker's ends of a command's pipes.
struct Pipes {
    stdin: pipe::Sender,
    stdout: pipe::Receiver,
    stderr: pipe::Receiver,
}

async fn start(reaper: &mut Reaper, command: &Command) -> io::Result<Pipes> {
    let (stdin, input) = pipe::pipe()?;
    let (output, stdout) = pipe::pipe()?;
    let (errors, stderr) = pipe::pipe()?;
    let input = input.into_blocking_fd()?;
    let (output, errors) = (output.into_blocking_fd()?, errors.into_blocking_fd()?);
    let outputs = [output.as_fd(), errors.as_fd()];
    let started = reaper.start(command, outputs, Some(input.as_fd())).await;
    started.map(|()| Pipes {
        stdin,
        stdout,
        stderr,
    })
}

enum Life<W> {
    Ended(ExitStatus),
    Stopped(W),
}

/// Waits for the command's own process, then kills what it left running. On the wish to stop the
/// group is asked first.
async fn live<W>(mut reaper: Reaper, stop: impl Future<Output = W>) -> io::Result<Life<W>> {
    let life = tokio::select! {
        end = reaper.end() => match end? {
            reaper::End::Exited(status) => Ok(Life::Ended(status)),
            reaper::End::NotStarted(error) => Err(error),
        },
        why = stop => {
            reaper.stop(reaper::Stop::Soft);
            // It is killed below when it takes longer.
            let _ = tokio::time::timeout(SOFT_STOP, reaper.end()).await;
            Ok(Life::Stopped(why))
        }
    };
    if !reaper.close().await {
        tracing::error!("something that a command has started cannot be killed");
    }
    life
}

async fn feed(mut stdin: pipe::Sender, input: &str) {
    // A command need not read its input.
    let _ = stdin.write_all(input.as_bytes()).await;
}

/// What is kept of a stream: its start or its end.
struct Kept {
    bytes: Vec<u8>,
    max: usize,
    keeps_end: bool,
    dropped: bool,
}

impl Kept {
    fn start(max: usize) -> Self {
        Self {
            bytes: Vec::new(),
            max,
            keeps_end: false,
            dropped: false,
        }
    }

    fn end(max: usize) -> Self {
        Self {
            keeps_end: true,
            ..Self::start(max)
        }
    }

    /// Reads until nobody writes any more; bytes that are read are kept when this is dropped.
    async fn read(&mut self, mut stream: impl AsyncRead + Unpin) {
        let mut chunk = vec![0; CHUNK];
        while let Ok(count @ 1..) = stream.read(&mut chunk).await {
            self.add(&chunk[..count]);
        }
    }

    fn add(&mut self, more: &[u8]) {
        self.bytes.extend_from_slice(more);
        let excess = self.bytes.len().saturating_sub(self.max);
        self.dropped |= excess > 0;
        if self.keeps_end {
            self.bytes.drain(..excess);
        } else {
            self.bytes.truncate(self.max);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_start_or_the_end_is_kept() {
        for (mut kept, expected) in [(Kept::start(4), "abcd"), (Kept::end(4), "cdef")] {
            kept.add(b"abc");
            assert!(!kept.dropped);
            kept.add(b"def");
            assert!(kept.dropped);
            assert_eq!(kept.bytes, expected.as_bytes());
        }
    }
}
