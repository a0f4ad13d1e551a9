//! The ant's side: sends porters on errands.

use std::ffi::OsString;
use std::fs::File;
use std::io::{self, PipeReader};
use std::os::fd::AsFd as _;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use colony_reaper::{Command, End, Reaper, Reapers};

use super::PorterError;
use super::collect::{Bounds, collect, told};
use super::note::Note;
use crate::artifacts::{Extra, PackError, Packed};
use crate::dependencies::{self, UnpackError, Unpacker};
use crate::run_as::RunAs;

/// How long looking at directories may take.
const LOOK_MAX: Duration = Duration::from_secs(30);

/// Sends porters. Dropping an errand ends its porter.
#[derive(Debug)]
pub(crate) struct Porters {
    reapers: Arc<Reapers>,
    run_as: RunAs,
}

impl Porters {
    pub(crate) fn new(reapers: Arc<Reapers>, run_as: RunAs) -> Self {
        Self { reapers, run_as }
    }

    /// Whether the user can pass to a directory, and not look at what is closed to it.
    pub(crate) async fn reach(&self, directory: &Path) -> Result<(), PorterError> {
        let mut words = vec!["reach".into(), directory.into()];
        for path in &self.run_as.closed {
            // A porter starts elsewhere.
            let whole = std::path::absolute(path).map_err(PorterError::Hear)?;
            words.push(whole.into());
        }
        self.do_simply(words, None, LOOK_MAX).await.map(drop)
    }

    /// Makes a directory, and those above it.
    pub(crate) async fn make(&self, directory: &Path, limit: Duration) -> Result<(), PorterError> {
        let words = vec!["make".into(), directory.into()];
        self.do_simply(words, None, limit).await.map(drop)
    }

    /// Checks an archive of the ant's, and has it unpacked. Gives the number of files.
    pub(crate) async fn unpack(
        &self,
        unpacker: &mut Unpacker,
        archive: PathBuf,
        sha256: String,
        limit: Duration,
    ) -> Result<usize, UnpackError> {
        let checking =
            tokio::task::spawn_blocking(move || dependencies::checked(&archive, &sha256));
        let interrupted = |_| UnpackError::Open(io::ErrorKind::Interrupted.into());
        let archive = checking.await.map_err(interrupted)??;
        let (bytes, files) = unpacker.left();
        let words = vec![
            "unpack".into(),
            unpacker.directory().into(),
            bytes.to_string().into(),
            files.to_string().into(),
        ];
        let (files, bytes) = self.do_simply(words, Some(archive), limit).await?;
        Ok(unpacker.count(files, bytes))
    }

    /// Writes an archive of the files that paths mean, and of the extras. Whoever waits for it has to
    /// end that.
    pub(crate) async fn pack(&self, task: Packing) -> Result<Packed, PackError> {
        let input = task.list().map_err(|source| PackError::Create {
            path: task.list_file(),
            source,
        })?;
        let words = vec!["pack".into(), task.directory.clone().into()];
        let bounds = Bounds {
            bytes: task.bytes_max,
            paths: task.paths.len(),
        };
        let hear = move |from| collect(from, &task.to, &task.extras, bounds);
        self.send(words, Some(input), Duration::MAX, hear).await
    }

    /// An errand that ends with one note: files and bytes.
    async fn do_simply(
        &self,
        words: Vec<OsString>,
        input: Option<File>,
        limit: Duration,
    ) -> Result<(u64, u64), PorterError> {
        let hear = |mut from: PipeReader| match Note::read(&mut from)? {
            Some(Note::Done { files, bytes }) => Ok(Some((files, bytes))),
            Some(Note::Failed { number, text }) => Err(told(number, text)),
            Some(_) => Err(PorterError::Nonsense("a note out of place")),
            None => Ok(None),
        };
        self.send(words, input, limit, hear).await
    }

    /// Sends a porter and hears it to its end, on a thread that may block. `hear` gives nothing when
    /// the porter ended without its last note.
    async fn send<T, E>(
        &self,
        words: Vec<OsString>,
        input: Option<File>,
        limit: Duration,
        hear: impl FnOnce(PipeReader) -> Result<Option<T>, E> + Send + 'static,
    ) -> Result<T, E>
    where
        T: Send + 'static,
        E: From<PorterError> + Send + 'static,
    {
        let sent = async {
            let (mut reaper, from) = self.start(words, input).await?;
            let hearing = tokio::task::spawn_blocking(move || hear(from));
            let heard = match hearing.await {
                Ok(Ok(None)) => Err(self.why_silent(&mut reaper).await.into()),
                Ok(Ok(Some(done))) => Ok(done),
                Ok(Err(error)) => Err(error),
                Err(_) => Err(self.broken(io::ErrorKind::Interrupted.into()).into()),
            };
            // Its last note is all that counts: it need not end by itself.
            reaper.close().await;
            heard
        };
        let late = |_| PorterError::Late {
            user: self.user(),
            limit_ms: limit.as_millis(),
        };
        tokio::time::timeout(limit, sent).await.map_err(late)?
    }

    /// Starts a porter; gives where it is heard.
    async fn start(
        &self,
        words: Vec<OsString>,
        input: Option<File>,
    ) -> Result<(Reaper, PipeReader), PorterError> {
        let start = async {
            let mut reaper = self.reapers.take()?;
            let (reader, writer) = io::pipe()?;
            let nothing = File::options().write(true).open("/dev/null")?;
            let command = self.command(words)?;
            let outputs = [writer.as_fd(), nothing.as_fd()];
            let input = input.as_ref().map(File::as_fd);
            reaper.start(&command, outputs, input).await?;
            Ok((reaper, reader))
        };
        start.await.map_err(|source| self.not_started(source))
    }

    async fn why_silent(&self, reaper: &mut Reaper) -> PorterError {
        match reaper.end().await {
            Ok(End::NotStarted(error)) => self.not_started(error),
            Ok(End::Exited(status)) => PorterError::Ended {
                user: self.user(),
                status,
            },
            Err(error) => self.broken(error),
        }
    }

    fn not_started(&self, source: io::Error) -> PorterError {
        let user = self.user();
        PorterError::Start { user, source }
    }

    fn broken(&self, source: io::Error) -> PorterError {
        let user = self.user();
        PorterError::Broken { user, source }
    }

    fn user(&self) -> String {
        self.run_as.name.clone()
    }

    fn command(&self, words: Vec<OsString>) -> io::Result<Command> {
        let (program, arguments) = self
            .run_as
            .porter
            .split_first()
            .ok_or(io::ErrorKind::NotFound)?;
        Ok(Command {
            program: program.clone(),
            arguments: arguments.iter().cloned().chain(words).collect(),
            directory: "/".into(),
            environment: Vec::new(),
            user: Some(self.run_as.user),
        })
    }
}

/// An archive to be made.
pub(crate) struct Packing {
    /// Where relative paths start.
    pub(crate) directory: PathBuf,
    pub(crate) paths: Vec<String>,
    pub(crate) extras: Vec<Extra>,
    /// A file in a directory of the ant's own.
    pub(crate) to: PathBuf,
    pub(crate) bytes_max: u64,
}

impl Packing {
    fn list_file(&self) -> PathBuf {
        self.to.with_extension("paths")
    }

    /// The paths, as a porter reads them.
    fn list(&self) -> io::Result<File> {
        let mut text = self.paths.join("\0");
        text.push('\0');
        let path = self.list_file();
        std::fs::write(&path, text)?;
        File::open(&path)
    }
}
