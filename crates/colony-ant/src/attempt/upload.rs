//! Artifacts out: the archive of what the rules of the task name and of the commands' stdout.

use colony_core::text::with_causes;
use std::path::PathBuf;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use bytes::Bytes;
use colony_core::id::ArtifactId;
use colony_wire::{Failure, Outcome, StoredObject, UploadWhen};

use super::want::{Patience, is_want};
use super::{Attempt, Trouble, shown, stage};
use crate::artifacts::{self, Content, Extra, PackError, Packed};
use crate::objects::ObjectError;
use crate::porter::Packing;
use tokio::time::error::Elapsed;

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
    /// Stores what there is to store. A failure of this changes only a good outcome.
    ///
    /// # Errors
    /// What the host is short of, when work that succeeded cannot be kept for want of it.
    pub(super) async fn store_artifacts(
        &mut self,
        outcome: &mut Outcome,
    ) -> Result<Option<StoredObject>, Trouble> {
        let wanted = match self.order.artifacts.when {
            UploadWhen::Always => true,
            UploadWhen::OnSuccess => *outcome == Outcome::Completed,
            UploadWhen::OnFailure => *outcome != Outcome::Completed,
            UploadWhen::Never => false,
        };
        let nothing = self.order.artifacts.paths.is_empty() && self.record.stdout_files.is_empty();
        if !wanted || nothing {
            return Ok(None);
        }
        let uploaded = self.upload_patiently().await;
        let (stored, failure) = match uploaded {
            Ok(Err(error)) if is_want(&error) => {
                let why = with_causes(&error);
                if *outcome == Outcome::Completed && !self.order.artifacts.paths.is_empty() {
                    return Err(Trouble::Want(why));
                }
                // Nobody asked for more than the log has.
                self.record.warn(format!("not stored: {why}"));
                (None, None)
            }
            Ok(Ok(Uploaded { stored, missing })) => (stored, missing_failure(&missing)),
            Ok(Err(error)) => (None, Some(artifacts_failure(&with_causes(&error)))),
            Err(_) => (None, Some(self.upload_timeout())),
        };
        self.record.timings.artifacts_uploaded_at = Some(self.crew.clock.now());
        if let Some(failure) = failure {
            self.blame(failure, outcome);
        }
        Ok(stored)
    }

    /// Tries again while the host is short of something. An end that needs no other try is the
    /// answer.
    async fn upload_patiently(&mut self) -> Result<Result<Uploaded, UploadError>, Elapsed> {
        let limit = Duration::from_millis(self.order.timeout_ms);
        let extras = std::mem::take(&mut self.record.stdout_files);
        let id = self.crew.artifact_id();
        let mut patience = Patience::new(&self.crew.config.periods);
        let mut is_first = true;
        loop {
            let uploaded = tokio::time::timeout(limit, self.upload(id, &extras)).await?;
            match uploaded {
                Err(error) if is_want(&error) => {
                    if std::mem::take(&mut is_first) {
                        let why = with_causes(&error);
                        self.log.notice(&format!("artifacts: {why}; trying again"));
                    }
                    if !patience.once_more().await {
                        return Ok(Err(error));
                    }
                }
                uploaded => return Ok(uploaded),
            }
        }
    }

    fn upload_timeout(&self) -> Failure {
        Failure::TimedOut {
            phase: "artifact upload".to_owned(),
            timeout_ms: self.order.timeout_ms,
            command: String::new(),
        }
    }

    /// Lets a failure of the upload decide the outcome, unless that is bad already.
    fn blame(&mut self, failure: Failure, outcome: &mut Outcome) {
        let failure = shown::failure(failure, self.crew.root.path());
        let text = stage::describe(&failure);
        self.log.notice(&text);
        if *outcome == Outcome::Completed {
            *outcome = Outcome::Failed(self.masked(failure));
        } else {
            self.record.warn(text);
        }
    }

    fn masked(&self, mut failure: Failure) -> Failure {
        if let Failure::Artifacts { message } = &mut failure {
            self.redactor.mask_string(message);
        }
        failure
    }

    async fn upload(&mut self, id: ArtifactId, extras: &[Extra]) -> Result<Uploaded, UploadError> {
        let key = format!("artifacts/{id}");
        let packed = if self.order.artifacts.paths.is_empty() && small(extras) {
            self.upload_small(extras, &key).await?
        } else {
            self.upload_files(extras.to_vec(), &key).await?
        };
        let stored = packed.archive.map(|(archive, count)| {
            let size_bytes = archive.size_bytes;
            let files = if count == 1 { "file" } else { "files" };
            self.log.notice(&format!(
                "artifacts: {count} {files} stored, {size_bytes} bytes"
            ));
            StoredObject {
                artifact_id: id,
                object_key: key,
                name: format!("{}.zip", self.order.task_type),
                content_type: "application/zip".to_owned(),
                size_bytes,
                sha256: archive.sha256,
            }
        });
        Ok(Uploaded {
            stored,
            missing: packed.missing,
        })
    }

    /// Stores short texts, without another thread or a file.
    async fn upload_small(&self, extras: &[Extra], key: &str) -> Result<Packed, UploadError> {
        let (bytes, archive) = artifacts::pack_bytes(extras).map_err(UploadError::Pack)?;
        let put = self.crew.objects.put_bytes(key, Bytes::from(bytes)).await;
        put.map_err(UploadError::Store)?;
        Ok(Packed {
            archive: Some((archive, extras.len())),
            ..Packed::default()
        })
    }

    async fn upload_files(&mut self, extras: Vec<Extra>, key: &str) -> Result<Packed, UploadError> {
        let file = self.site.file("artifacts.zip");
        let packed = self.pack(extras, file.clone()).await?;
        for skipped in &packed.skipped {
            let warning = format!("a link leads out of the tree and was left out: {skipped}");
            self.record.warn(warning);
        }
        if packed.archive.is_some() {
            let put = self.crew.objects.put_file(key, &file).await;
            put.map_err(UploadError::Store)?;
        }
        Ok(packed)
    }

    /// Finds the files and writes the archive, on a thread that may block.
    async fn pack(&self, extras: Vec<Extra>, to: PathBuf) -> Result<Packed, UploadError> {
        let directory = self.directory();
        let paths = self.order.artifacts.paths.clone();
        if let Some(porters) = self.crew.porters.as_ref().filter(|_| !paths.is_empty()) {
            let packing = Packing {
                directory,
                paths,
                extras,
                to,
                bytes_max: self.crew.config.limits.collected_bytes,
            };
            return porters.pack(packing).await.map_err(UploadError::Pack);
        }
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
