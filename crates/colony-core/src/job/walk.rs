//! Moving a run along its path of tasks (`job-definitions` 6 and 7).

use std::time::Duration;

use rand::Rng;

use super::event::{AttemptEnd, Effect, EndStatus};
use super::route::{Next, Outcome, outcome, overrides, successor};
use super::run::{JobError, JobRun, Phase, StopReason, TaskRun, Verdict};
use crate::backoff::between;
use crate::error_code;
use crate::method::Method;
use crate::plan::{Plan, TaskPlan};
use crate::state::{JobState, JobTaskState};
use crate::time::Timestamp;

/// Task runs in one execution, loops included (`job-definitions` 6.5).
const TASK_RUNS_MAX: u32 = 10_000;
/// Pauses and restarts of one request (`job-definitions` 7.2, 7.6).
const SUSPENSIONS_MAX: u32 = 100;
/// Lost ants before a task is given up; more would hide a task that kills its ants.
const LOSSES_MAX: u32 = 5;

const TASK_DELAY: (Duration, Duration) = (Duration::from_secs(1), Duration::from_secs(2));
const JOB_DELAY: (Duration, Duration) = (Duration::from_secs(5), Duration::from_secs(14));
const PAUSE_TIME: (Duration, Duration) = (Duration::from_secs(30), Duration::from_secs(39));

/// A run being moved by one event.
pub(super) struct Walk<'a> {
    plan: &'a Plan,
    run: JobRun,
    now: Timestamp,
    rng: &'a mut dyn Rng,
    effects: Vec<Effect>,
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

    pub(super) fn run(&self) -> &JobRun {
        &self.run
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

    fn hard_reset_due(&self) -> bool {
        let every = self.plan.hard_reset_after_retries;
        every > 0 && self.run.retried > 0 && self.run.retried.is_multiple_of(every + 1)
    }

    /// The path arrives at a task: skip it when an earlier pass completed it, else run it.
    fn reach(&mut self, name: String) {
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
    fn skip(&mut self, name: &str) -> Option<String> {
        let repeat = self.plan.task(name)?.allow_start_if_completed;
        let pass = self.run.pass;
        let task = self.run.tasks.get_mut(name)?;
        let stands = task.state == JobTaskState::Completed && task.pass < pass && !repeat;
        stands.then(|| {
            task.pass = pass;
            task.exit_code.clone()
        })
    }

    fn start(&mut self, name: String) {
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

    /// An attempt that nobody asked to stop has ended.
    pub(super) fn attempt_ended(&mut self, name: &str, end: &AttemptEnd) {
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
            Outcome::Approval => self.await_approval(name),
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
        self.edit(name, |task| task.state = JobTaskState::Ready);
        self.effects.push(Effect::Offer {
            task: name.to_owned(),
        });
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
            self.effects.push(Effect::Offer {
                task: name.to_owned(),
            });
        }
    }

    /// An attempt that was told to stop has ended, one way or another.
    pub(super) fn attempt_stopped(&mut self, name: &str, reason: StopReason, end: &AttemptEnd) {
        let finished = end.status == EndStatus::Completed;
        self.edit(name, |task| {
            task.stop = None;
            end.exit_code.trim().clone_into(&mut task.exit_code);
        });
        let (state, error) = match reason {
            _ if finished => (JobTaskState::Completed, None),
            StopReason::Cancelled => {
                let error = JobError::new(error_code::JOB_CANCELLED, "job cancelled by user");
                (JobTaskState::Cancelled, Some(error))
            }
            StopReason::TaskTimedOut | StopReason::JobTimedOut => {
                (JobTaskState::Failed, Some(timed_out()))
            }
        };
        self.task_ended(name, state, error);
    }

    /// A task's attempts are over: go where its state and exit code lead.
    fn task_ended(&mut self, name: &str, state: JobTaskState, error: Option<JobError>) {
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

    fn follow(&mut self, name: &str, next: Next) {
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
    fn path_ended(&mut self) {
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

    fn first_failure(&self) -> Option<JobError> {
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

    /// The verdict stands; clean up, then end.
    fn conclude(&mut self, verdict: Verdict) {
        self.run.verdict = Some(verdict);
        self.clean();
    }

    /// Runs the next `always_run` task that this pass did not reach (6.7), or ends the run.
    fn clean(&mut self) {
        self.run.phase = Phase::Cleaning;
        let pass = self.run.pass;
        let ran = |name: &str| {
            self.run
                .tasks
                .get(name)
                .is_some_and(|task| task.pass == pass)
        };
        let next = self
            .plan
            .tasks
            .iter()
            .find(|task| task.always_run && !ran(&task.name));
        match next {
            Some(task) if !self.run.skip_cleanup && self.run.task_runs < TASK_RUNS_MAX => {
                self.start(task.name.clone());
            }
            _ => self.end_run(),
        }
    }

    fn end_run(&mut self) {
        self.run.phase = Phase::Ended;
        self.run.current = None;
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

    /// The path ends before its time: stop what runs, take back what waits, clean up.
    pub(super) fn end_early(&mut self, verdict: Verdict, reason: StopReason) {
        self.run.verdict = Some(verdict);
        let current = self.run.current.clone();
        match (current, self.current_state()) {
            (Some(name), Some(JobTaskState::Executing)) => {
                self.run.phase = Phase::Stopping;
                self.stop_attempt(&name, reason);
            }
            (Some(name), Some(state)) if !state.is_terminal() => {
                self.effects.push(Effect::Withdraw { task: name.clone() });
                let verdict = self.run.verdict.as_ref();
                let error = verdict.and_then(|verdict| verdict.error.clone());
                self.edit(&name, |task| {
                    task.state = JobTaskState::Cancelled;
                    task.error = error;
                });
                self.clean();
            }
            _ => self.clean(),
        }
    }

    pub(super) fn stop_attempt(&mut self, name: &str, reason: StopReason) {
        self.edit(name, |task| task.stop = Some(reason));
        self.effects.push(Effect::Stop {
            task: name.to_owned(),
            reason,
        });
    }

    /// A second cancel: what is left of the clean-up does not run.
    pub(super) fn skip_cleanup(&mut self) {
        self.run.skip_cleanup = true;
        if let Some(verdict) = self.run.verdict.clone() {
            self.end_early(verdict, StopReason::Cancelled);
        }
    }

    fn restart_job(&mut self, name: &str, error: JobError) {
        let used_up = self.plan.retry > 0 && self.run.retried >= self.plan.retry;
        let delay = self.plan.wait.pick(self.run.retried, JOB_DELAY, self.rng);
        self.suspend(name, error, used_up, JobState::Pending, delay);
    }

    fn pause(&mut self, name: &str) {
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
    fn suspend(
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

    fn await_approval(&mut self, name: &str) {
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

    fn past_deadline(&self, name: &str) -> bool {
        let deadline = self.run.tasks.get(name).and_then(|task| task.deadline);
        deadline.is_some_and(|deadline| self.now >= deadline)
    }

    /// The task's control flow: as rendered for this run, else as in the plan.
    fn control(&self, name: &str) -> Option<&TaskPlan> {
        let rendered = self
            .run
            .tasks
            .get(name)
            .and_then(|task| task.control.as_deref());
        rendered.or_else(|| self.plan.task(name))
    }

    fn edit(&mut self, name: &str, change: impl FnOnce(&mut TaskRun)) {
        if let Some(task) = self.run.tasks.get_mut(name) {
            change(task);
        }
    }
}

fn timed_out() -> JobError {
    let message = "task did not end within its timeout: context deadline exceeded";
    JobError::new(error_code::TASK_TIMED_OUT, message)
}
