//! One command: its process group, its input, and what it writes.

use std::io;
use std::pin::pin;
use std::process::{ExitStatus, Stdio};
use std::time::Duration;

use futures_util::future::maybe_done;
use rustix::process::{Pid, Signal, kill_process_group};
use tokio::io::{AsyncRead, AsyncReadExt as _, AsyncWriteExt as _};
use tokio::process::{Child, ChildStdin, Command};

use super::options::{GroupChange, GroupWatch, WorkerOptions};
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

/// Runs the command of a task to its end, or until `stop` gives a reason to stop it. Nothing of its
/// process group is left then, also when this is dropped.
pub(super) async fn run<W>(
    options: &WorkerOptions,
    task: &Task,
    stop: impl Future<Output = W>,
) -> io::Result<End<W>> {
    let mut child = start(options, task)?;
    let mut group = Group::of(&child, options.groups.clone());
    let input = task.input_data.to_string();
    let (mut stdout, mut stderr) = (Kept::start(STDOUT_MAX), Kept::end(STDERR_MAX));
    let ended = {
        let pipes = (child.stdin.take(), child.stdout.take(), child.stderr.take());
        let mut talk = pin!(maybe_done(async {
            let (stdin, out, err) = pipes;
            tokio::join!(feed(stdin, &input), stdout.read(out), stderr.read(err));
        }));
        let mut life = pin!(live(&mut child, &mut group, stop));
        let ended = tokio::select! {
            ended = &mut life => ended,
            // A command may go on without its pipes.
            () = &mut talk => life.await,
        };
        // Who left the group may hold the pipes open for ever.
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

fn start(options: &WorkerOptions, task: &Task) -> io::Result<Child> {
    let (program, arguments) =
        (options.command.split_first()).ok_or_else(|| io::Error::other("there is no command"))?;
    let given = options.environment.iter();
    Command::new(program)
        .args(arguments)
        .envs(given.map(|(name, value)| (name, value)))
        .env("COLONY_TASK_ID", &task.id)
        .env("COLONY_RUN_ID", &task.run_id)
        .env("COLONY_TASK_TYPE", &task.kind)
        .env("COLONY_ATTEMPT", (task.retry_count + 1).to_string())
        .env("COLONY_WORKER_ID", &options.worker_id)
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .process_group(0)
        .spawn()
}

enum Life<W> {
    Ended(ExitStatus),
    Stopped(W),
}

/// Waits for the command's own process, then kills what it left running. On the wish to stop the
/// group is asked first.
async fn live<W>(
    child: &mut Child,
    group: &mut Group,
    stop: impl Future<Output = W>,
) -> io::Result<Life<W>> {
    let life = tokio::select! {
        status = child.wait() => Life::Ended(status?),
        why = stop => {
            group.signal(Signal::TERM);
            // It is killed below when it takes longer.
            let _ = tokio::time::timeout(SOFT_STOP, child.wait()).await;
            Life::Stopped(why)
        }
    };
    group.kill();
    child.wait().await?;
    Ok(life)
}

/// The process group of a command. Dropping it kills what is left in it.
struct Group {
    id: Option<Pid>,
    watch: Option<GroupWatch>,
}

impl Group {
    fn of(child: &Child, watch: Option<GroupWatch>) -> Self {
        let id = child.id().and_then(|id| i32::try_from(id).ok());
        let group = Self {
            id: id.and_then(Pid::from_raw),
            watch,
        };
        group.tell(GroupChange::Started);
        group
    }

    fn tell(&self, change: fn(i32) -> GroupChange) {
        if let (Some(id), Some(watch)) = (self.id, &self.watch) {
            watch.tell(change(id.as_raw_nonzero().get()));
        }
    }

    fn signal(&self, signal: Signal) {
        if let Some(id) = self.id {
            // It fails when nobody is left, which is fine.
            let _ = kill_process_group(id, signal);
        }
    }

    /// Once only: its number may belong to others later.
    fn kill(&mut self) {
        self.signal(Signal::KILL);
        self.tell(GroupChange::Ended);
        self.id = None;
    }
}

impl Drop for Group {
    fn drop(&mut self) {
        self.kill();
    }
}

async fn feed(stdin: Option<ChildStdin>, input: &str) {
    if let Some(mut stdin) = stdin {
        // A command need not read its input.
        let _ = stdin.write_all(input.as_bytes()).await;
    }
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
    async fn read(&mut self, stream: Option<impl AsyncRead + Unpin>) {
        let Some(mut stream) = stream else { return };
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
