//! The ends of an attempt that move files: dependencies in, artifacts and log out, and the report.

use std::path::PathBuf;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use bytes::Bytes;
use colony_wire::{AntMessage, Failure, LogRef, Outcome, Report, StoredObject, UploadWhen};

use super::{Attempt, Ending, Trouble, stage};
use crate::artifacts::{self, Archive, Content, Extra, PackError, chain};
use crate::dependencies::Unpacker;
use crate::log::{Log, WholeLog};
use crate::objects::ObjectError;
use crate::stop::Level;

/// An archive of no more than this is made in memory, without another thread or a file.
const SMALL_ARCHIVE: usize = 64 << 10;

/// Why artifacts are not, or not all, stored.
#[derive(Debug, thiserror::Error)]
enum UploadError {
    #[error("find the files")]
    Select(#[source] artifacts::SelectError),
    #[error("make the archive")]
    Pack(#[source] PackError),
    #[error("make the archive: the work was interrupted")]
    Interrupted,
    #[error("store the archive")]
    Store(#[source] ObjectError),
}

/// What the upload came to.
#[derive(Default)]
struct Uploaded {
    stored: Option<StoredObject>,
    missing: Vec<String>,
}

impl Attempt<'_> {
    /// Downloads and unpacks what earlier tasks made.
    pub(super) async fn fetch_dependencies(&mut self) -> Result<(), Trouble> {
        if self.order.dependencies.is_empty() {
            return Ok(());
        }
        let mut stop = self.stop.clone();
        let fetched = tokio::select! {
            fetched = self.fetch_all() => fetched,
            _ = stop.above(Level::Run) => {
                return Err(match self.stop.level() {
                    Level::Abandon => Trouble::Abandoned,
                    _ => Trouble::Cancelled,
                });
            }
        };
        fetched.map_err(|message| {
            let message = self.redactor.mask(&message).into_owned();
            self.log.notice(&message);
            Trouble::Failed(Failure::Dependencies { message })
        })
    }

    async fn fetch_all(&mut self) -> Result<(), String> {
        let limits = self.crew.config.limits;
        let mut unpacker = Unpacker::new(self.directory(), limits);
        for dependency in &self.order.dependencies {
            let task = &dependency.task_type;
            let named = |message: String| format!("dependency `{task}`: {message}");
            let archive = self.site.file("dependency.zip");
            self.crew
                .objects
                .get_to_file(&dependency.object_key, &archive)
                .await
                .map_err(|error| named(chain(&error)))?;
            let sha256 = dependency.sha256.clone();
            let unpacking = tokio::task::spawn_blocking(move || {
                let files = unpacker.unpack(&archive, &sha256);
                (unpacker, files)
            });
            let (back, files) = unpacking.await.map_err(|error| named(error.to_string()))?;
            unpacker = back;
            let files = files.map_err(|error| named(chain(&error)))?;
            self.log
                .notice(&format!("dependency `{task}`: {files} files unpacked"));
        }
        Ok(())
    }

    /// Stores artifacts and log, and writes the report.
    pub(super) async fn finish(&mut self, trouble: Option<Trouble>) -> Ending {
        let mut outcome = match trouble {
            None => Outcome::Completed,
            Some(Trouble::Failed(failure)) => Outcome::Failed(failure),
            Some(Trouble::Cancelled) => Outcome::Cancelled,
            Some(Trouble::Abandoned) => return Ending::Abandoned,
        };
        let mut stop = self.stop.clone();
        let storing = async {
            let artifacts = self.store_artifacts(&mut outcome).await;
            let log = self.store_log().await;
            (artifacts, log)
        };
        let (artifacts, log) = tokio::select! {
            stored = storing => stored,
            _ = stop.above(Level::Cancel) => return Ending::Abandoned,
        };
        Ending::Report(Box::new(self.report(outcome, artifacts, log)))
    }

    fn report(&mut self, outcome: Outcome, artifacts: Option<StoredObject>, log: LogRef) -> Report {
        let mut warnings = std::mem::take(&mut self.record.warnings);
        for warning in &mut warnings {
            self.redactor.mask_string(warning);
        }
        Report {
            attempt: self.order.attempt,
            outcome,
            exit_code: self.record.exit_code.unwrap_or(0).to_string(),
            outputs: std::mem::take(&mut self.record.outputs),
            artifacts,
            log,
            warnings,
            stdout: std::mem::take(&mut self.record.stdout),
            timings: self.record.timings,
        }
    }

    /// Stores what there is to store. A failure of this changes only a good outcome.
    async fn store_artifacts(&mut self, outcome: &mut Outcome) -> Option<StoredObject> {
        let wanted = match self.order.artifacts.when {
            UploadWhen::Always => true,
            UploadWhen::OnSuccess => *outcome == Outcome::Completed,
            UploadWhen::OnFailure => *outcome != Outcome::Completed,
            UploadWhen::Never => false,
        };
        let nothing = self.order.artifacts.paths.is_empty() && self.record.stdout_files.is_empty();
        if !wanted || nothing {
            return None;
        }
        let limit = Duration::from_millis(self.order.timeout_ms);
        let uploaded = tokio::time::timeout(limit, self.upload()).await;
        let (stored, failure) = match uploaded {
            Ok(Ok(Uploaded { stored, missing })) => (stored, missing_failure(&missing)),
            Ok(Err(error)) => (None, Some(artifacts_failure(&chain(&error)))),
            Err(_) => {
                let timeout_ms = self.order.timeout_ms;
                let (phase, command) = ("artifact upload".to_owned(), String::new());
                (
                    None,
                    Some(Failure::TimedOut {
                        phase,
                        timeout_ms,
                        command,
                    }),
                )
            }
        };
        self.record.timings.artifacts_uploaded_at = Some(self.crew.clock.now());
        if let Some(failure) = failure {
            let text = self.redactor.mask(&stage::describe(&failure)).into_owned();
            self.log.notice(&text);
            if *outcome == Outcome::Completed {
                *outcome = Outcome::Failed(self.masked(failure));
            } else {
                self.record.warn(text);
            }
        }
        stored
    }

    fn masked(&self, mut failure: Failure) -> Failure {
        if let Failure::Artifacts { message } = &mut failure {
            self.redactor.mask_string(message);
        }
        failure
    }

    async fn upload(&mut self) -> Result<Uploaded, UploadError> {
        let extras = std::mem::take(&mut self.record.stdout_files);
        let id = self.crew.artifact_id();
        let key = format!("artifacts/{id}");
        let mut missing = Vec::new();
        let (archive, count) = match small(&extras) {
            true if self.order.artifacts.paths.is_empty() => {
                let (bytes, archive) = artifacts::pack_bytes(&extras).map_err(UploadError::Pack)?;
                let put = self.crew.objects.put_bytes(&key, Bytes::from(bytes)).await;
                put.map_err(UploadError::Store)?;
                (archive, extras.len())
            }
            _ => {
                let file = self.site.file("artifacts.zip");
                let packed = self.pack(extras, file.clone()).await?;
                missing = packed.missing;
                for skipped in packed.skipped {
                    let warning =
                        format!("a link leads out of the tree and was left out: {skipped}");
                    self.record.warn(warning);
                }
                let Some((archive, count)) = packed.archive else {
                    let stored = None;
                    return Ok(Uploaded { stored, missing });
                };
                let put = self.crew.objects.put_file(&key, &file).await;
                put.map_err(UploadError::Store)?;
                (archive, count)
            }
        };
        let size = archive.size_bytes;
        self.log
            .notice(&format!("artifacts: {count} files stored, {size} bytes"));
        let stored = StoredObject {
            artifact_id: id,
            object_key: key,
            name: format!("{}.zip", self.order.task_type),
            content_type: "application/zip".to_owned(),
            size_bytes: size,
            sha256: archive.sha256,
        };
        Ok(Uploaded {
            stored: Some(stored),
            missing,
        })
    }

    /// Finds the files and writes the archive, on a thread that may block.
    async fn pack(&self, extras: Vec<Extra>, to: PathBuf) -> Result<Packed, UploadError> {
        let directory = self.directory();
        let paths = self.order.artifacts.paths.clone();
        let stopped = Arc::new(AtomicBool::new(false));
        let _stop_with_me = StopOnDrop(Arc::clone(&stopped));
        let packing = tokio::task::spawn_blocking(move || {
            let selection = artifacts::select(&directory, &paths).map_err(UploadError::Select)?;
            let count = selection.entries.len() + extras.len();
            let archive = if count == 0 {
                None
            } else {
                let archive = artifacts::pack_file(&to, &selection.entries, &extras, &stopped);
                Some((archive.map_err(UploadError::Pack)?, count))
            };
            Ok(Packed {
                archive,
                missing: selection.missing,
                skipped: selection
                    .skipped
                    .iter()
                    .map(|path| path.display().to_string())
                    .collect(),
            })
        });
        packing.await.map_err(|_| UploadError::Interrupted)?
    }

    /// Sends the rest of the log and stores the whole of it.
    async fn store_log(&mut self) -> LogRef {
        while let Some(chunk) = self.log.take_chunk() {
            // Without a queen there is no one to follow the log.
            let _ = self.crew.to_queen.send(AntMessage::Log(chunk)).await;
        }
        let fresh = super::new_log(self.crew, self.order, &self.site, &self.redactor);
        let whole = std::mem::replace(&mut self.log, fresh);
        match Log::finish(whole) {
            WholeLog::Inline(text) => LogRef::Inline { text },
            WholeLog::Broken { start, error } => {
                self.record
                    .warn(format!("the log could not be kept: {error}"));
                LogRef::Inline { text: start }
            }
            WholeLog::File {
                path,
                size_bytes,
                sha256,
            } => {
                let id = self.crew.artifact_id();
                let key = format!("logs/{id}");
                if let Err(error) = self.crew.objects.put_file(&key, &path).await {
                    let why = chain(&error);
                    self.record
                        .warn(format!("the log could not be stored: {why}"));
                    return LogRef::Inline {
                        text: String::new(),
                    };
                }
                LogRef::Stored(StoredObject {
                    artifact_id: id,
                    object_key: key,
                    name: format!("{}_console.txt", self.order.task_type),
                    content_type: "text/plain".to_owned(),
                    size_bytes,
                    sha256,
                })
            }
        }
    }
}

/// What the packing thread gives back.
struct Packed {
    /// The archive and its number of files; none when there is no file.
    archive: Option<(Archive, usize)>,
    missing: Vec<String>,
    skipped: Vec<String>,
}

/// Tells the packing thread that nobody waits any more.
struct StopOnDrop(Arc<AtomicBool>);

impl Drop for StopOnDrop {
    fn drop(&mut self) {
        self.0.store(true, Ordering::Relaxed);
    }
}

fn small(extras: &[Extra]) -> bool {
    let size = extras
        .iter()
        .try_fold(0_usize, |size, extra| match &extra.content {
            Content::Memory(text) => Some(size + text.len()),
            Content::File(_) => None,
        });
    size.is_some_and(|size| size <= SMALL_ARCHIVE)
}

fn missing_failure(missing: &[String]) -> Option<Failure> {
    let named = missing.join("`, `");
    (!missing.is_empty()).then(|| artifacts_failure(&format!("there is no `{named}`")))
}

fn artifacts_failure(message: &str) -> Failure {
    Failure::Artifacts {
        message: format!("artifacts: {message}"),
    }
}
