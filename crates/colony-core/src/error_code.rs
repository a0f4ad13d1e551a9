//! Error codes of jobs and tasks (`job-definitions` 13.3).

/// A job failed without a better code.
pub const JOB_EXECUTE: &str = "ERR_JOB_EXECUTE";
/// A task failed without a better code.
pub const TASK_EXECUTE: &str = "ERR_TASK_EXECUTE";
/// A task took longer than its timeout.
pub const TASK_TIMED_OUT: &str = "ERR_TASK_TIMED_OUT";
/// A user cancelled the job.
pub const JOB_CANCELLED: &str = "ERR_JOB_CANCELLED";
/// Failed for good: no retry of task or job.
pub const FATAL: &str = "ERR_FATAL";
/// A task asked to run the job again.
pub const RESTART_JOB: &str = "ERR_RESTART_JOB";
/// A task asked to run itself again.
pub const RESTART_TASK: &str = "ERR_RESTART_TASK";
/// A task asked to pause the job.
pub const PAUSE_JOB: &str = "ERR_PAUSE_JOB";
/// A person refused.
pub const MANUAL_REJECTION: &str = "ERR_MANUAL_REJECTION";
/// The ants that worked on a task were lost.
pub const ANTS_UNAVAILABLE: &str = "ERR_ANTS_UNAVAILABLE";
/// The ant could not execute the task at all.
pub const ANT_EXECUTION_FAILED: &str = "ERR_ANT_EXECUTION_FAILED";
/// The request or its definition is not valid.
pub const VALIDATION: &str = "ERR_VALIDATION";
/// `skip_if` was true.
pub const FILTERED_JOB: &str = "ERR_FILTERED_JOB";
