//! How an attempt ended.

use std::collections::BTreeMap;

use colony_core::id::{ArtifactId, AttemptRef};
use colony_core::time::Timestamp;
use serde::{Deserialize, Serialize};

/// The end of an attempt, sent once and repeated until it is acknowledged.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct Report {
    /// The attempt.
    pub attempt: AttemptRef,
    /// What happened.
    pub outcome: Outcome,
    /// Exit code of the first failing command, or `0` (`job-definitions` 10.2).
    pub exit_code: String,
    /// Variables exported by `::set-output` lines (`job-definitions` 10.6), last value each.
    pub outputs: BTreeMap<String, String>,
    /// Uploaded archive of the task's artifacts, if any file matched.
    pub artifacts: Option<StoredObject>,
    /// The log.
    pub log: LogRef,
    /// Things that went wrong without changing the outcome.
    pub warnings: Vec<String>,
    /// Stdout of `script` items when asked for.
    pub stdout: Vec<String>,
    /// When the parts of the attempt were done.
    pub timings: Timings,
}

/// What happened to an attempt.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "outcome", rename_all = "snake_case")]
pub enum Outcome {
    /// Every command exited with 0.
    Completed,
    /// It did not succeed.
    Failed(Failure),
    /// It was stopped because the queen asked.
    Cancelled,
}

/// Why an attempt failed: the whole space of causes that an executor can meet.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "cause", rename_all = "snake_case")]
pub enum Failure {
    /// A command exited with another status than 0.
    Exited {
        /// Its status.
        code: i32,
        /// The command, secrets masked.
        command: String,
    },
    /// A command was ended by a signal; the exit code is 128 + the signal.
    Signalled {
        /// The signal.
        signal: i32,
        /// The command, secrets masked.
        command: String,
    },
    /// A phase took longer than the task's timeout.
    TimedOut {
        /// `before_script`, `script`, `after_script` or `artifact upload`.
        phase: String,
        /// The limit, in milliseconds.
        timeout_ms: u64,
        /// The command that was running, secrets masked.
        command: String,
    },
    /// A process could not be started, a directory not made.
    CouldNotStart {
        /// What and why.
        message: String,
    },
    /// Dependencies could not be downloaded, verified or unpacked.
    Dependencies {
        /// What and why.
        message: String,
    },
    /// Artifacts could not be collected or uploaded.
    Artifacts {
        /// What and why.
        message: String,
    },
}

/// An object that the ant has stored.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct StoredObject {
    /// Id of the artifact it becomes.
    pub artifact_id: ArtifactId,
    /// Key in the object store.
    pub object_key: String,
    /// File name to show.
    pub name: String,
    /// MIME type.
    pub content_type: String,
    /// Size, in bytes.
    pub size_bytes: u64,
    /// Lower-case hex SHA-256 of the stored bytes.
    pub sha256: String,
}

/// The whole log of an attempt, in the format of [`crate::LogChunk`].
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "log", rename_all = "snake_case")]
pub enum LogRef {
    /// Small logs travel in the report and commit together with the outcome.
    Inline {
        /// The log.
        text: String,
    },
    /// Larger ones are in the object store.
    Stored(StoredObject),
}

/// When the parts of an attempt were done, by the ant's clock.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Timings {
    /// The order arrived.
    pub received_at: Timestamp,
    /// The first command started.
    pub started_at: Option<Timestamp>,
    /// `before_script` was done.
    pub before_script_finished_at: Option<Timestamp>,
    /// Dependencies were unpacked.
    pub dependencies_downloaded_at: Option<Timestamp>,
    /// `script` was done.
    pub script_finished_at: Option<Timestamp>,
    /// `after_script` was done.
    pub after_script_finished_at: Option<Timestamp>,
    /// Artifacts were stored.
    pub artifacts_uploaded_at: Option<Timestamp>,
}
