//! What an ant is asked to run.

use std::collections::BTreeMap;

use colony_core::id::{ArtifactId, AttemptRef, RequestId};
use colony_core::method::Method;
use serde::{Deserialize, Serialize};

/// One attempt to run: everything that an executor needs, rendered and checked.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct Order {
    /// The attempt.
    pub attempt: AttemptRef,
    /// The request that it is part of.
    pub request_id: RequestId,
    /// Name of the job, for logs and file names.
    pub job_type: String,
    /// Name of the task in the job.
    pub task_type: String,
    /// Which executor.
    pub method: Method,
    /// The commands.
    pub phases: Phases,
    /// Variables of the processes.
    pub environment: Environment,
    /// Directory of the commands; none = the attempt's own directory.
    pub working_dir: Option<String>,
    /// Limit of each phase, in milliseconds (`job-definitions` 7.3).
    pub timeout_ms: u64,
    /// What to upload at the end.
    pub artifacts: ArtifactRules,
    /// What to unpack before `script`.
    pub dependencies: Vec<Dependency>,
    /// Return the stdout of `script` items with the report.
    pub report_stdout: bool,
    /// Texts that must not appear in any output (`job-definitions` 10.8).
    pub secrets: Vec<String>,
    /// What the log and the report are to say about the order itself.
    #[serde(default)]
    pub warnings: Vec<String>,
}

/// The commands of a task, one shell each (`job-definitions` 10.1).
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Phases {
    /// Run first, before dependencies are there.
    pub before_script: Vec<String>,
    /// The work.
    pub script: Vec<String>,
    /// Run always, at the end.
    pub after_script: Vec<String>,
}

/// Name and value of each variable; later sources were already merged in.
pub type Environment = BTreeMap<String, String>;

/// What an attempt uploads (`job-definitions` 4.4, 11.2).
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct ArtifactRules {
    /// Files, directories or globs, relative to the working directory.
    pub paths: Vec<String>,
    /// In which case.
    pub when: UploadWhen,
}

/// When artifacts are uploaded.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum UploadWhen {
    /// In any end state.
    #[default]
    Always,
    /// Only when the scripts succeeded.
    OnSuccess,
    /// Only when they did not.
    OnFailure,
    /// Not at all.
    Never,
}

/// An archive to unpack into the working directory (`job-definitions` 11.4).
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Dependency {
    /// The artifact.
    pub artifact_id: ArtifactId,
    /// Task that made it, for messages.
    pub task_type: String,
    /// Key of the ZIP in the object store.
    pub object_key: String,
    /// Hex SHA-256 of the ZIP, verified on download.
    pub sha256: String,
}
