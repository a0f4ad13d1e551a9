//! How runs leave the ants for a while: paused, or back to the queue (`job-definitions` 7.2, 7.6).

use std::time::Duration;

use super::event::Effect;
use super::run::{JobError, Phase, StopReason, Verdict};
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
        self.suspend(name, error, used_up, StopReason::JobRestarted);
    }

    pub(super) fn pause(&mut self, name: &str) {
        let message = format!("task {name} paused the job too often");
        let error = JobError::new(error_code::PAUSE_JOB, message);
        self.suspend(name, error, false, StopReason::JobPaused);
    }

    /// Leaves the ants once all has stopped, and comes back later at the same tasks; fails with
    /// `error` when that happened too often.
    fn suspend(&mut self, name: &str, error: JobError, used_up: bool, reason: StopReason) {
        if self.run.phase != Phase::Walking {
            return self.task_ended(name, JobTaskState::Failed, Some(error));
        }
        if used_up || self.run.paused_count >= SUSPENSIONS_MAX {
            self.edit(name, |task| {
                task.state = JobTaskState::Failed;
                task.error = Some(error.clone());
            });
            let verdict = Verdict {
                state: JobState::Failed,
                error: Some(error),
            };
            return self.end_early(Some(verdict), StopReason::JobFailed);
        }
        self.edit(name, |task| {
            task.state = JobTaskState::Paused;
            task.error = None;
        });
        self.end_early(None, reason);
    }

    /// The request waits, as PENDING or PAUSED, for the scheduler to pick it again.
    pub(super) fn requeue(&mut self, state: JobState) {
        let delay = match state {
            JobState::Paused => self
                .plan
                .pause_time
                .unwrap_or_else(|| between(PAUSE_TIME.0, PAUSE_TIME.1, self.rng)),
            _ => self.plan.wait.pick(self.run.retried, JOB_DELAY, self.rng),
        };
        self.run.retried += 1;
        self.run.paused_count += 1;
        self.run.phase = Phase::Suspended;
        self.effects.push(Effect::Requeue {
            state,
            at: self.now.after(delay),
        });
    }
}
