//! Exit codes to outcomes, and outcomes to successors (`job-definitions` 6.4 and 6.5).

use super::event::{AttemptEnd, EndStatus};
use super::run::JobError;
use crate::error_code;
use crate::plan::{Target, TaskPlan};
use crate::state::JobTaskState;

/// An attempt's outcome after the routes of its exit code were applied.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Outcome {
    /// Final.
    Completed,
    /// Final, unless a retry is left and `retryable`.
    Failed { error: JobError, retryable: bool },
    /// Stopped as asked.
    Cancelled,
    /// Call again.
    Poll,
    /// Rest, then run this task again.
    Pause,
    /// Wait for a person.
    Approval,
}

/// Where the path goes after a task.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Next {
    /// To these tasks, at least one.
    Tasks(Vec<String>),
    /// Nowhere: the path is at its end.
    End,
    /// The job goes back to the queue.
    RestartJob,
    /// The job rests.
    Pause,
    /// The job waits for a person.
    Approval,
    /// The task counts as failed after all.
    Fail(JobError),
}

/// The override algorithm of 6.4.
pub(super) fn outcome(task: &TaskPlan, end: &AttemptEnd) -> Outcome {
    let exit = normalise(&end.exit_code);
    let target = match end.status {
        EndStatus::Cancelled => return Outcome::Cancelled,
        EndStatus::Executing => return Outcome::Poll,
        EndStatus::Completed | EndStatus::Failed => task.routes.get(&exit),
    };
    match target {
        Some(Target::Completed) => Outcome::Completed,
        Some(Target::Failed) => failed(end, None, end.retryable),
        Some(Target::Fatal) => failed(end, Some(error_code::FATAL), false),
        Some(Target::RestartTask) => failed(end, Some(error_code::RESTART_TASK), true),
        Some(Target::RestartJob) => failed(end, Some(error_code::RESTART_JOB), false),
        Some(Target::ErrorCode(code)) => failed(end, Some(code), end.retryable),
        Some(Target::Executing) => Outcome::Poll,
        Some(Target::PauseJob) => Outcome::Pause,
        Some(Target::WaitForApproval) => Outcome::Approval,
        Some(Target::Task(_) | Target::Tasks(_)) | None => match end.status {
            EndStatus::Completed => Outcome::Completed,
            EndStatus::Failed | EndStatus::Cancelled | EndStatus::Executing => {
                failed(end, None, end.retryable)
            }
        },
    }
}

/// Whether the target of the exit code changed what the executor said.
pub(super) fn overrides(task: &TaskPlan, end: &AttemptEnd) -> bool {
    matches!(
        task.routes.get(&normalise(&end.exit_code)),
        Some(target) if target.tasks().is_empty()
    )
}

/// Exit codes and keys are compared trimmed and in upper case.
fn normalise(exit_code: &str) -> String {
    exit_code.trim().to_uppercase()
}

fn failed(end: &AttemptEnd, code: Option<&str>, retryable: bool) -> Outcome {
    let own = end
        .error_code
        .as_deref()
        .filter(|code| code.starts_with("ERR_") && *code != error_code::TASK_EXECUTE);
    let code = code.or(own).unwrap_or_else(|| {
        if end.message.contains("context deadline") {
            error_code::TASK_TIMED_OUT
        } else {
            error_code::TASK_EXECUTE
        }
    });
    let message = if end.message.is_empty() {
        format!("task ended with exit code {}", end.exit_code)
    } else {
        end.message.clone()
    };
    let retryable = retryable && code != error_code::FATAL;
    Outcome::Failed {
        error: JobError::new(code, message),
        retryable,
    }
}

/// The successor algorithm of 6.5, for a task whose attempts are over.
pub(super) fn successor(task: &TaskPlan, state: JobTaskState, exit_code: &str) -> Next {
    let completed = task.routes.get("COMPLETED");
    let failed = match task.routes.get("FAILED") {
        None if task.allow_failure => completed,
        route => route,
    };
    let by_code = match task.routes.get(&normalise(exit_code)) {
        Some(Target::Completed) => completed,
        Some(Target::Failed | Target::Fatal) => failed,
        Some(Target::PauseJob) => return Next::Pause,
        Some(Target::RestartJob) => return Next::RestartJob,
        other => other,
    };
    let by_state = match state {
        JobTaskState::Completed => completed,
        JobTaskState::Failed => failed,
        JobTaskState::Ready
        | JobTaskState::Delayed
        | JobTaskState::Executing
        | JobTaskState::Paused
        | JobTaskState::ManualApprovalRequired
        | JobTaskState::Cancelled => None,
    };
    let fallback = completed.filter(|_| task.allow_failure);
    for target in [by_code, by_state, fallback] {
        let tasks = target.map_or(&[][..], Target::tasks);
        if !tasks.is_empty() {
            return Next::Tasks(tasks.to_vec());
        }
    }
    by_state.map_or(Next::End, |target| reserved(task, state, target))
}

/// A reserved word as the target of a state (6.5, step 5).
fn reserved(task: &TaskPlan, state: JobTaskState, target: &Target) -> Next {
    let error = |code: &str| {
        Next::Fail(JobError::new(
            code,
            format!("task {} ended {state}", task.name),
        ))
    };
    match target {
        Target::RestartJob => Next::RestartJob,
        Target::PauseJob => Next::Pause,
        Target::WaitForApproval => Next::Approval,
        Target::Fatal => error(error_code::FATAL),
        Target::ErrorCode(code) => error(code),
        Target::Failed if state == JobTaskState::Completed => error(error_code::TASK_EXECUTE),
        Target::Failed
        | Target::Completed
        | Target::Executing
        | Target::RestartTask
        | Target::Task(_)
        | Target::Tasks(_) => Next::End,
    }
}
