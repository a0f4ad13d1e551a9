//! How runs leave the ants for a while: paused, back to the queue, or waiting for a person
//! (`job-definitions` 7.2, 7.6, 14.6).

use std::time::Duration;

use super::event::Effect;
use super::run::{JobError, Phase, Verdict};
use super::walk::{JOB_DELAY, Walk};
use crate::backoff::between;
use crate::error_code;
use crate::state::{JobState, JobTaskState};

/// Pauses and restarts of one request.
const SUSPENSIONS_MAX: u32 = 100;

const PAUSE_TIME: (Duration, Duration) = (Duration::from_secs(30), Duration::from_secs(39));

impl Walk<'_> {
    pub(super) fn restart_job(&mut self, name: &str, error: JobError) {
        let used_up = self.plan.retry > 0 && self.run.retried >= self.plan.retry;
        let delay = self.plan.wait.pick(self.run.retried, JOB_DELAY, self.rng);
        self.suspend(name, error, used_up, JobState::Pending, delay);
    }

    pub(super) fn pause(&mut self, name: &str) {
        let message = format!("task {name} paused the job too often");
        let error = JobError::new(error_code::PAUSE_JOB, message);
        let rest = self
            .plan
            .pause_time
            .unwrap_or_else(|| between(PAUSE_TIME.0, PAUSE_TIME.1, self.rng));
        self.suspend(name, error, false, JobState::Paused, rest);
    }

    /// Leaves the ants and comes back later at the same task; fails with `error` when that
    /// happened too often.
    pub(super) fn suspend(
        &mut self,
        name: &str,
        error: JobError,
        used_up: bool,
        state: JobState,
        delay: Duration,
    ) {
        if self.run.phase != Phase::Walking {
            return self.task_ended(name, JobTaskState::Failed, Some(error));
        }
        if used_up || self.run.paused_count >= SUSPENSIONS_MAX {
            self.edit(name, |task| {
                task.state = JobTaskState::Failed;
                task.error = Some(error.clone());
            });
            return self.conclude(Verdict {
                state: JobState::Failed,
                error: Some(error),
            });
        }
        self.edit(name, |task| {
            task.state = JobTaskState::Paused;
            task.error = None;
        });
        self.run.retried += 1;
        self.run.paused_count += 1;
        self.run.phase = Phase::Suspended;
        self.effects.push(Effect::Requeue {
            state,
            at: self.now.after(delay),
        });
    }

    pub(super) fn await_approval(&mut self, name: &str) {
        if self.run.phase != Phase::Walking {
            let error = JobError::new(
                error_code::TASK_EXECUTE,
                "clean-up cannot wait for approval",
            );
            return self.task_ended(name, JobTaskState::Failed, Some(error));
        }
        self.edit(name, |task| {
            task.state = JobTaskState::ManualApprovalRequired;
        });
        self.run.phase = Phase::Suspended;
        self.effects.push(Effect::AwaitApproval {
            task: name.to_owned(),
        });
    }
}
