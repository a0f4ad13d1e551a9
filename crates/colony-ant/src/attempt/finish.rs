//! What surrounds the commands of an attempt: dependencies before `script`, log and report at the end.

use std::error::Error;
use std::path::Path;
use std::time::Duration;

use colony_wire::{AntMessage, Failure, LogRef, Outcome, Report, StoredObject};

use super::want::{Patience, is_want};
use super::{Attempt, Ending, Trouble, shown};
use crate::dependencies::Unpacker;
use crate::log::{Log, WholeLog};
use crate::stop::Level;
use colony_core::text::with_causes;

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
        fetched.map_err(|(message, is_want)| {
            let message = shown::message(&message, self.crew.root.path());
            let message = self.redactor.mask(&message).into_owned();
            self.log.notice(&message);
            match is_want {
                true => Trouble::Want(message),
                false => Trouble::Failed(Failure::Dependencies { message }),
            }
        })
    }

    /// An error is what to say, and whether the host is short of something.
    async fn fetch_all(&mut self) -> Result<(), (String, bool)> {
        let limits = self.crew.config.limits;
        let mut unpacker = Unpacker::new(self.directory(), limits);
        for dependency in &self.order.dependencies {
            let task = &dependency.task_type;
            let named = |error: &(dyn Error + 'static)| {
                (
                    format!("dependency `{task}`: {}", with_causes(error)),
                    is_want(error),
                )
            };
            let archive = self.site.file("dependency.zip");
            self.crew
                .objects
                .get_to_file(&dependency.object_key, &archive)
                .await
                .map_err(|error| named(&error))?;
            let sha256 = dependency.sha256.clone();
            let files = if let Some(porters) = &self.crew.porters {
                let limit = Duration::from_millis(self.order.timeout_ms);
                porters.unpack(&mut unpacker, archive, sha256, limit).await
            } else {
                let unpacking = tokio::task::spawn_blocking(move || {
                    let files = unpacker.unpack(&archive, &sha256);
                    (unpacker, files)
                });
                let (back, files) = unpacking.await.map_err(|error| named(&error))?;
                unpacker = back;
                files
            };
            let files = files.map_err(|error| named(&error))?;
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
            Some(Trouble::Want(_)) => return Ending::GiveBack,
        };
        let mut stop = self.stop.clone();
        let storing = async {
            let artifacts = self.store_artifacts(&mut outcome).await?;
            let log = self.store_log().await;
            Ok((artifacts, log))
        };
        let stored = tokio::select! {
            stored = storing => stored,
            _ = stop.above(Level::Cancel) => return Ending::Abandoned,
        };
        let (artifacts, log) = match stored {
            Ok(stored) => stored,
            Err(Trouble::Want(why)) => return Box::pin(self.give_back(&why)).await,
            Err(_) => return Ending::Abandoned,
        };
        Ending::Report(Box::new(self.report(outcome, artifacts, log)))
    }

    fn report(&mut self, outcome: Outcome, artifacts: Option<StoredObject>, log: LogRef) -> Report {
        let mut warnings = std::mem::take(&mut self.record.warnings);
        let root = self.crew.root.path();
        for warning in &mut warnings {
            self.redactor.mask_string(warning);
            *warning = shown::message(warning, root);
        }
        let outcome = match outcome {
            Outcome::Failed(failure) => Outcome::Failed(shown::failure(failure, root)),
            outcome => outcome,
        };
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
                let log = self.upload_log(&path, size_bytes, sha256).await;
                log.unwrap_or_else(|why| {
                    self.record
                        .warn(format!("the log could not be stored: {why}"));
                    LogRef::Inline {
                        text: String::new(),
                    }
                })
            }
        }
    }

    async fn upload_log(
        &self,
        path: &Path,
        size_bytes: u64,
        sha256: String,
    ) -> Result<LogRef, String> {
        let artifact_id = self.crew.artifact_id();
        let object_key = format!("logs/{artifact_id}");
        let mut patience = Patience::new(&self.crew.config.periods);
        loop {
            match self.crew.objects.put_file(&object_key, path).await {
                Ok(()) => break,
                Err(error) if is_want(&error) && patience.once_more().await => {}
                Err(error) => return Err(with_causes(&error)),
            }
        }
        Ok(LogRef::Stored(StoredObject {
            artifact_id,
            object_key,
            name: format!("{}_console.txt", self.order.task_type),
            content_type: "text/plain".to_owned(),
            size_bytes,
            sha256,
        }))
    }
}
