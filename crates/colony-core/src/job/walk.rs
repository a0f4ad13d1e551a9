//! Moving a run along its path of tasks (`job-definitions` 6 and 7).

use std::time::Duration;

use rand::Rng;

use super::event::Effect;
use super::route::{Next, successor};
use super::run::{JobError, JobRun, Phase, TaskRun, Verdict};
use crate::error_code;
use crate::method::Method;
use crate::plan::{Plan, TaskPlan};
use crate::state::{JobState, JobTaskState};
use crate::time::Timestamp;

/// Task runs in one execution, loops included (`job-definitions` 6.5).
pub(super) const TASK_RUNS_MAX: u32 = 10_000;

pub(super) const JOB_DELAY: (Duration, Duration) =
    (Duration::from_secs(5), Duration::from_secs(14));

/// A run being moved by one event.
pub(super) struct Walk<'a> {
    pub(super) plan: &'a Plan,
    pub(super) run: JobRun,
    pub(super) now: Timestamp,
    pub(super) rng: &'a mut dyn Rng,
    pub(super) effects: Vec<Effect>,
}

impl<'a> Walk<'a> {
    pub(super) fn new(plan: &'a Plan, run: JobRun, now: Timestamp, rng: &'a mut dyn Rng) -> Self {
        Self {
            plan,
            run,
            now,
            rng,
            effects: Vec::new(),
        }
    }

    pub(super) fn into_decision(self) -> (JobRun, Vec<Effect>) {
        (self.run, self.effects)
    }

    pub(super) fn current_state(&self) -> Option<JobTaskState> {
        let name = self.run.current.as_deref()?;
        self.run.tasks.get(name).map(|task| task.state)
    }

    /// The job's timeout counts from now; time spent paused does not count.
    pub(super) fn restart_clock(&mut self, timeout: Option<Duration>) {
        self.run.deadline = self.now.after(timeout.unwrap_or(self.plan.timeout));
    }

    /// Walks from the first task; what completed in earlier passes is skipped.
    pub(super) fn next_pass(&mut self) {
        if self.hard_reset_due() {
            self.run.tasks.clear();
        }
        self.run.pass += 1;
        self.run.phase = Phase::Walking;
        self.reach(self.plan.first.clone());
    }

    pub(super) fn hard_reset_due(&self) -> bool {
        let every = self.plan.hard_reset_after_retries;
        every > 0 && self.run.retried > 0 && self.run.retried.is_multiple_of(every + 1)
    }

    /// The path arrives at a task: skip it when an earlier pass completed it, else run it.
    pub(super) fn reach(&mut self, name: String) {
        let mut name = name;
        while let Some(exit_code) = self.skip(&name) {
            let Some(task) = self.control(&name) else {
                return;
            };
            match successor(task, JobTaskState::Completed, &exit_code) {
                Next::Task(next) => name = next,
                next => return self.follow(&name, next),
            }
        }
        self.start(name);
    }

    /// Marks a task as visited if its earlier result stands, and gives its exit code.
    pub(super) fn skip(&mut self, name: &str) -> Option<String> {
        let repeat = self.plan.task(name)?.allow_start_if_completed;
        let pass = self.run.pass;
        let task = self.run.tasks.get_mut(name)?;
        let stands = task.state == JobTaskState::Completed && task.pass < pass && !repeat;
        stands.then(|| {
            task.pass = pass;
            task.exit_code.clone()
        })
    }

    pub(super) fn start(&mut self, name: String) {
        if self.run.task_runs >= TASK_RUNS_MAX {
            let message = format!("more than {TASK_RUNS_MAX} task runs in one execution");
            let error = JobError::new(error_code::JOB_EXECUTE, message);
            return self.conclude(Verdict {
                state: JobState::Failed,
                error: Some(error),
            });
        }
        self.run.task_runs += 1;
        let mut task = TaskRun::ready(self.run.pass, self.run.task_runs);
        self.run.current = Some(name.clone());
        let manual = self
            .plan
            .task(&name)
            .is_some_and(|task| task.method == Method::Manual);
        if manual {
            task.state = JobTaskState::ManualApprovalRequired;
            "AWAITING_APPROVAL".clone_into(&mut task.exit_code);
            self.run.phase = Phase::Suspended;
            self.effects
                .push(Effect::AwaitApproval { task: name.clone() });
        } else {
            self.effects.push(Effect::Offer { task: name.clone() });
        }
        self.run.tasks.insert(name, task);
    }

    /// A task's attempts are over: go where its state and exit code lead.
    pub(super) fn task_ended(&mut self, name: &str, state: JobTaskState, error: Option<JobError>) {
        self.edit(name, |task| {
            task.state = state;
            task.error = error;
        });
        match self.run.phase {
            Phase::Stopping | Phase::Cleaning => self.clean(),
            Phase::Walking | Phase::Retrying | Phase::Suspended | Phase::Ended => {
                let exit_code = self.run.tasks.get(name).map(|task| task.exit_code.clone());
                let Some(control) = self.control(name) else {
                    return;
                };
                let next = successor(control, state, &exit_code.unwrap_or_default());
                self.follow(name, next);
            }
        }
    }

    pub(super) fn follow(&mut self, name: &str, next: Next) {
        match next {
            Next::Task(next) => self.reach(next),
            Next::End => self.path_ended(),
            Next::RestartJob => {
                let message = format!("task {name} asked to restart the job");
                self.restart_job(name, JobError::new(error_code::RESTART_JOB, message));
            }
            Next::Pause => self.pause(name),
            Next::Approval => self.await_approval(name),
            Next::Fail(error) => {
                self.edit(name, |task| {
                    task.state = JobTaskState::Failed;
                    task.error = Some(error);
                });
                self.path_ended();
            }
        }
    }

    /// The job's result is that of the first task that failed in this pass (6.6), after the job's
    /// own retries (7.2).
    pub(super) fn path_ended(&mut self) {
        let Some(error) = self.first_failure() else {
            return self.conclude(Verdict {
                state: JobState::Completed,
                error: None,
            });
        };
        if error.code == error_code::FATAL || self.run.job_retries >= self.plan.retry {
            return self.conclude(Verdict {
                state: JobState::Failed,
                error: Some(error),
            });
        }
        let delay = self
            .plan
            .wait
            .pick(self.run.job_retries, JOB_DELAY, self.rng);
        self.run.job_retries += 1;
        self.run.retried += 1;
        self.run.phase = Phase::Retrying;
        self.effects.push(Effect::WakeJob {
            at: self.now.after(delay),
        });
    }

    pub(super) fn first_failure(&self) -> Option<JobError> {
        let failed = self.run.tasks.iter().filter(|(name, task)| {
            let excused = self
                .control(name)
                .is_some_and(|control| control.allow_failure);
            let failed = matches!(task.state, JobTaskState::Failed | JobTaskState::Cancelled);
            failed && !excused && task.pass == self.run.pass
        });
        let (name, first) = failed.min_by_key(|(_, task)| task.seq)?;
        let unknown = || JobError::new(error_code::TASK_EXECUTE, format!("task {name} failed"));
        Some(first.error.clone().unwrap_or_else(unknown))
    }

    pub(super) fn past_deadline(&self, name: &str) -> bool {
        let deadline = self.run.tasks.get(name).and_then(|task| task.deadline);
        deadline.is_some_and(|deadline| self.now >= deadline)
    }

    /// The task's control flow: as rendered for this run, else as in the plan.
    pub(super) fn control(&self, name: &str) -> Option<&TaskPlan> {
        let rendered = self
            .run
            .tasks
            .get(name)
            .and_then(|task| task.control.as_deref());
        rendered.or_else(|| self.plan.task(name))
    }

    pub(super) fn edit(&mut self, name: &str, change: impl FnOnce(&mut TaskRun)) {
        if let Some(task) = self.run.tasks.get_mut(name) {
            change(task);
        }
    }
}
