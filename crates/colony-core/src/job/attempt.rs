//! How attempts end: outcomes, retries, polls and losses (`job-definitions` 7.1).

use std::time::Duration;

use super::ending::stopped_by_another;
use super::event::{AttemptEnd, Effect, EndStatus};
use super::route::{Outcome, outcome, overrides};
use super::run::{JobError, StopReason};
use super::walk::Walk;
use crate::error_code;
use crate::state::JobTaskState;

/// Lost ants before a task is given up; more would hide a task that kills its ants.
const LOSSES_MAX: u32 = 5;

const TASK_DELAY: (Duration, Duration) = (Duration::from_secs(1), Duration::from_secs(2));

impl Walk<'_> {
    /// An attempt has ended.
    pub(super) fn end_attempt(&mut self, name: &str, end: &AttemptEnd) {
        match self.run.tasks.get(name).and_then(|task| task.stop) {
            Some(reason) => self.attempt_stopped(name, reason, end),
            None => self.attempt_ended(name, end),
        }
    }

    /// An attempt that nobody asked to stop has ended.
    fn attempt_ended(&mut self, name: &str, end: &AttemptEnd) {
        let Some(control) = self.control(name) else {
            return;
        };
        let outcome = outcome(control, end);
        let overridden = overrides(control, end).then(|| {
            let status = if end.status == EndStatus::Completed {
                "COMPLETED"
            } else {
                "FAILED"
            };
            (
                status.to_owned(),
                end.error_code.clone().unwrap_or_default(),
            )
        });
        self.edit(name, |task| {
            end.exit_code.trim().clone_into(&mut task.exit_code);
            task.overridden = overridden;
        });
        match outcome {
            Outcome::Completed => self.task_ended(name, JobTaskState::Completed, None),
            Outcome::Failed { error, retryable } => self.attempt_failed(name, error, retryable),
            Outcome::Cancelled => {
                let error = JobError::new(error_code::JOB_CANCELLED, "attempt was stopped");
                self.task_ended(name, JobTaskState::Cancelled, Some(error));
            }
            Outcome::Poll => self.delay(name),
            Outcome::Pause => self.pause(name),
            Outcome::Approval => self.ask_review(name),
        }
    }

    fn attempt_failed(&mut self, name: &str, error: JobError, retryable: bool) {
        if error.code == error_code::RESTART_JOB {
            return self.restart_job(name, error);
        }
        let retry = self.control(name).map_or(0, |task| task.retry);
        let mut retry_left = false;
        self.edit(name, |task| {
            task.failed_attempts += 1;
            retry_left = retryable && task.failed_attempts <= retry;
            task.error = Some(error.clone());
        });
        if retry_left && !self.past_deadline(name) {
            self.delay(name);
        } else {
            self.task_ended(name, JobTaskState::Failed, Some(error));
        }
    }

    /// Waits before the next attempt or poll; the task's deadline ends the wait.
    fn delay(&mut self, name: &str) {
        let Some(wait) = self.control(name).map(|task| task.wait) else {
            return;
        };
        let retries = self.run.tasks.get(name).map_or(0, |task| task.retries);
        let mut at = self.now.after(wait.pick(retries, TASK_DELAY, self.rng));
        self.edit(name, |task| {
            task.state = JobTaskState::Delayed;
            task.retries += 1;
            at = task.deadline.map_or(at, |deadline| deadline.min(at));
        });
        self.effects.push(Effect::WakeTask {
            task: name.to_owned(),
            at,
        });
    }

    /// The delay before a task's next attempt is over.
    pub(super) fn offer_again(&mut self, name: &str) {
        if self.past_deadline(name) {
            let error = timed_out();
            return self.task_ended(name, JobTaskState::Failed, Some(error));
        }
        self.offer(name);
    }

    /// Nobody works on the attempt any more: offer it again, unless it was to stop anyway or kills
    /// every ant it meets.
    pub(super) fn attempt_lost(&mut self, name: &str, counts: bool, message: String) {
        let mut stop = None;
        let mut given_up = false;
        self.edit(name, |task| {
            stop = task.stop;
            task.losses += u32::from(counts);
            given_up = task.losses > LOSSES_MAX;
            task.state = JobTaskState::Ready;
        });
        if let Some(reason) = stop {
            let end = AttemptEnd {
                status: EndStatus::Cancelled,
                ..AttemptEnd::failed("", message)
            };
            self.attempt_stopped(name, reason, &end);
        } else if given_up {
            let error = JobError::new(error_code::ANTS_UNAVAILABLE, message);
            self.task_ended(name, JobTaskState::Failed, Some(error));
        } else {
            self.offer(name);
        }
    }

    /// An attempt that was told to stop has ended, one way or another.
    fn attempt_stopped(&mut self, name: &str, reason: StopReason, end: &AttemptEnd) {
        let finished = end.status == EndStatus::Completed;
        self.edit(name, |task| {
            task.stop = None;
            end.exit_code.trim().clone_into(&mut task.exit_code);
        });
        self.stopping = Some(reason);
        let (state, error) = match reason {
            _ if finished => (JobTaskState::Completed, None),
            StopReason::Cancelled => {
                let error = JobError::new(error_code::JOB_CANCELLED, "job cancelled by user");
                (JobTaskState::Cancelled, Some(error))
            }
            StopReason::TaskTimedOut | StopReason::JobTimedOut => {
                (JobTaskState::Failed, Some(timed_out()))
            }
            StopReason::JobFailed => (JobTaskState::Cancelled, Some(stopped_by_another())),
            StopReason::JobPaused | StopReason::JobRestarted => (JobTaskState::Paused, None),
        };
        self.task_ended(name, state, error);
    }
}

fn timed_out() -> JobError {
    let message = "task did not end within its timeout: context deadline exceeded";
    JobError::new(error_code::TASK_TIMED_OUT, message)
}
