//! How runs end: the verdict, the clean-up, and being stopped early (`job-definitions` 6.6, 6.7).

use super::event::Effect;
use super::run::{JobError, Phase, StopReason, TaskRun, Verdict};
use super::walk::{TASK_RUNS_MAX, Walk};
use crate::error_code;
use crate::method::Method;
use crate::plan::TaskPlan;
use crate::state::{JobState, JobTaskState};

impl Walk<'_> {
    /// The verdict stands; clean up, then end.
    pub(super) fn conclude(&mut self, verdict: Verdict) {
        self.run.verdict = Some(verdict);
        self.run.phase = Phase::Cleaning;
    }

    /// Runs the next `always_run` task that this pass did not reach (6.7), or ends the run.
    pub(super) fn clean(&mut self) {
        self.run.phase = Phase::Cleaning;
        let next = self
            .plan
            .tasks
            .iter()
            .find(|task| task.always_run && !self.has_run(task));
        match next {
            Some(task) if !self.run.skip_cleanup && self.run.task_runs < TASK_RUNS_MAX => {
                self.start(&task.name);
            }
            _ => self.end_run(),
        }
    }

    /// Whether this pass ran the task. One that was taken back before anybody started it did not
    /// run.
    fn has_run(&self, planned: &TaskPlan) -> bool {
        let never_started = |task: &TaskRun| {
            let offered = planned.method != Method::Manual;
            offered && task.state == JobTaskState::Cancelled && task.deadline.is_none()
        };
        let task = self.run.tasks.get(&planned.name);
        task.is_some_and(|task| task.pass == self.run.pass && !never_started(task))
    }

    pub(super) fn end_run(&mut self) {
        self.run.phase = Phase::Ended;
        let completed = Verdict {
            state: JobState::Completed,
            error: None,
        };
        let verdict = self.run.verdict.get_or_insert(completed).clone();
        if verdict.state != JobState::Cancelled {
            self.end_request(&verdict);
        }
        self.effects.push(Effect::EndRun {
            state: verdict.state,
            error: verdict.error,
        });
    }

    pub(super) fn end_request(&mut self, verdict: &Verdict) {
        let (state, error) = (verdict.state, verdict.error.clone());
        self.effects.push(Effect::EndRequest { state, error });
    }

    /// The path ends before its time: stop all that runs, take back all that waits. What comes
    /// next comes when nothing is active any more ([`Walk::stopped`]).
    pub(super) fn end_early(&mut self, verdict: Option<Verdict>, reason: StopReason) {
        let error = match &verdict {
            Some(verdict) => verdict.error.clone(),
            None => Some(stopped_by_another()),
        };
        self.run.verdict = verdict;
        self.run.phase = Phase::Stopping;
        self.stopping = Some(reason);
        let open = self.run.open_in_order(self.plan).map(str::to_owned);
        for name in open.collect::<Vec<_>>() {
            let task = self.run.tasks.get(&name);
            if task.is_some_and(|task| task.state == JobTaskState::Executing) {
                self.stop_attempt(&name, reason);
            } else {
                self.take_back(&name, reason, error.clone());
            }
        }
    }

    fn take_back(&mut self, name: &str, reason: StopReason, error: Option<JobError>) {
        let (state, error) = match reason {
            StopReason::JobPaused | StopReason::JobRestarted => (JobTaskState::Paused, None),
            StopReason::Cancelled
            | StopReason::TaskTimedOut
            | StopReason::JobTimedOut
            | StopReason::JobFailed => (JobTaskState::Cancelled, error),
        };
        let mut was = state;
        self.edit(name, |task| {
            was = task.state;
            task.state = state;
            task.error = error;
        });
        if was != state {
            self.effects.push(Effect::Withdraw {
                task: name.to_owned(),
            });
        }
    }

    pub(super) fn stop_attempt(&mut self, name: &str, reason: StopReason) {
        self.edit(name, |task| task.stop = Some(reason));
        let effect = self.stop_effect(name, reason);
        self.effects.push(effect);
    }

    /// Nothing is active any more of a run that was stopped for that reason.
    pub(super) fn stopped(&mut self, reason: StopReason) {
        match reason {
            _ if self.run.verdict.is_some() => self.run.phase = Phase::Cleaning,
            StopReason::JobPaused => self.requeue(JobState::Paused),
            StopReason::JobRestarted => self.requeue(JobState::Pending),
            StopReason::JobFailed
            | StopReason::Cancelled
            | StopReason::TaskTimedOut
            | StopReason::JobTimedOut => self.path_ended(),
        }
    }

    /// A second cancel: what is left of the clean-up does not run.
    pub(super) fn skip_cleanup(&mut self) {
        self.run.skip_cleanup = true;
        let verdict = self.run.verdict.clone();
        self.end_early(verdict, StopReason::Cancelled);
    }
}

/// Why a task is over that did nothing wrong itself.
pub(super) fn stopped_by_another() -> JobError {
    JobError::new(
        error_code::JOB_CANCELLED,
        "stopped because another task of the job failed",
    )
}
