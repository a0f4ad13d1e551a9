//! Moving a run along its path of tasks (`job-definitions` 6 and 7).

use std::collections::{BTreeMap, VecDeque};
use std::time::Duration;

use rand::Rng;

use super::event::Effect;
use super::route::{Next, successor};
use super::run::{JobError, JobRun, Phase, StopReason, TaskRun, Verdict};
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
    /// Why attempts were stopped, once this event stopped one or ended a stopped one.
    pub(super) stopping: Option<StopReason>,
}

impl<'a> Walk<'a> {
    pub(super) fn new(plan: &'a Plan, run: JobRun, now: Timestamp, rng: &'a mut dyn Rng) -> Self {
        Self {
            plan,
            run,
            now,
            rng,
            effects: Vec::new(),
            stopping: None,
        }
    }

    pub(super) fn into_decision(self) -> (JobRun, Vec<Effect>) {
        (self.run, self.effects)
    }

    /// What comes next when nothing is at work any more. Each step starts something, waits for
    /// something, or ends the run.
    pub(super) fn settle(&mut self) {
        loop {
            let idle = self.run.active().next().is_none();
            match (self.run.phase, self.stopping) {
                (Phase::Walking, _) if idle => self.path_ended(),
                (Phase::Walking, _) if self.waits_for_people() => self.await_approval(),
                (Phase::Stopping, Some(reason)) if idle => self.stopped(reason),
                (Phase::Cleaning, _) if idle => self.clean(),
                (
                    Phase::Walking
                    | Phase::Stopping
                    | Phase::Cleaning
                    | Phase::Retrying
                    | Phase::Suspended
                    | Phase::Ended,
                    _,
                ) => return,
            }
        }
    }

    fn waits_for_people(&self) -> bool {
        let mut active = self.run.active();
        active.all(|(_, task)| task.state == JobTaskState::ManualApprovalRequired)
    }

    /// The job's timeout counts from now; time spent paused does not count.
    pub(super) fn restart_clock(&mut self, timeout: Option<Duration>) {
        self.run.deadline = self.now.after(timeout.unwrap_or(self.plan.timeout));
    }

    /// Walks from the first task; what completed in earlier passes is skipped.
    pub(super) fn next_pass(&mut self) {
        if self.hard_reset_due() {
            self.forget_results();
        }
        self.run.pass += 1;
        self.run.phase = Phase::Walking;
        self.reach(vec![self.plan.first.clone()]);
    }

    /// Everything runs again. Records of this run stay, since their rows do: what completed must not
    /// be there again when they are loaded.
    fn forget_results(&mut self) {
        self.run.tasks.retain(|_, task| task.pass > 0);
        let tasks = self.run.tasks.values_mut();
        for task in tasks.filter(|task| task.state == JobTaskState::Completed) {
            let message = "its result does not count any more: everything runs again";
            task.state = JobTaskState::Cancelled;
            task.error = Some(JobError::new(error_code::JOB_CANCELLED, message));
        }
    }

    pub(super) fn hard_reset_due(&self) -> bool {
        let every = self.plan.hard_reset_after_retries;
        every > 0 && self.run.retried > 0 && self.run.retried.is_multiple_of(every + 1)
    }

    /// The path arrives at these tasks: those that an earlier pass completed are skipped, along the
    /// way that they led; one that is active already goes on; the others start.
    pub(super) fn reach(&mut self, frontier: Vec<String>) {
        let mut skipped: BTreeMap<String, Option<String>> = BTreeMap::new();
        let mut arrivals: VecDeque<(String, Option<String>)> =
            frontier.into_iter().map(|name| (name, None)).collect();
        while let Some((name, from)) = arrivals.pop_front() {
            // Where a skipped task led may have ended the path.
            if self.run.phase != Phase::Walking {
                return;
            }
            let active = self.run.active().any(|(active, _)| active == name);
            // Ways that meet again go on as one; a loop runs the task again.
            let met = skipped.contains_key(&name) && !leads_back(&skipped, from.as_deref(), &name);
            if active || met {
                continue;
            }
            let Some(next) = self.skip(&name) else {
                self.start(&name);
                continue;
            };
            skipped.insert(name.clone(), from);
            match next {
                Next::Tasks(next) => {
                    arrivals.extend(next.into_iter().map(|next| (next, Some(name.clone()))));
                }
                next => self.follow(&name, next),
            }
        }
    }

    /// Marks a task as visited if its earlier result stands, and tells where that leads.
    fn skip(&mut self, name: &str) -> Option<Next> {
        let repeat = self.plan.task(name)?.allow_start_if_completed;
        let pass = self.run.pass;
        let task = self.run.tasks.get_mut(name)?;
        let stands = task.state == JobTaskState::Completed && task.pass < pass && !repeat;
        if !stands {
            return None;
        }
        task.pass = pass;
        let exit_code = task.exit_code.clone();
        let control = self.control(name)?;
        Some(successor(control, JobTaskState::Completed, &exit_code))
    }

    pub(super) fn start(&mut self, name: &str) {
        if self.run.task_runs >= TASK_RUNS_MAX {
            let message = format!("more than {TASK_RUNS_MAX} task runs in one execution");
            let error = JobError::new(error_code::JOB_EXECUTE, message);
            let verdict = Verdict {
                state: JobState::Failed,
                error: Some(error),
            };
            return self.end_early(Some(verdict), StopReason::JobFailed);
        }
        self.run.task_runs += 1;
        let mut task = TaskRun::ready(self.run.pass, self.run.task_runs);
        let method = self.plan.task(name).map(|task| task.method);
        let manual = method == Some(Method::Manual);
        if manual {
            "AWAITING_APPROVAL".clone_into(&mut task.exit_code);
        }
        self.run.tasks.insert(name.to_owned(), task);
        match manual {
            true => self.ask_review(name),
            false => self.offer(name),
        }
    }

    /// The task's next attempt may begin.
    pub(super) fn offer(&mut self, name: &str) {
        if let Some(method) = self.child_method(name) {
            return self.begin_children(name, method);
        }
        self.edit(name, |task| task.state = JobTaskState::Ready);
        self.effects.push(Effect::Offer {
            task: name.to_owned(),
        });
    }

    /// A task's attempts are over: go where its state and exit code lead.
    pub(super) fn task_ended(&mut self, name: &str, state: JobTaskState, error: Option<JobError>) {
        self.edit(name, |task| {
            task.state = state;
            task.error = error;
        });
        if let Some(next) = self.after(name) {
            self.follow(name, next);
        }
    }

    /// Where the path goes from a task that is over; nowhere unless it is being walked.
    pub(super) fn after(&self, name: &str) -> Option<Next> {
        let task = self.run.tasks.get(name)?;
        let control = self.control(name)?;
        let walking = self.run.phase == Phase::Walking;
        walking.then(|| successor(control, task.state, &task.exit_code))
    }

    pub(super) fn follow(&mut self, name: &str, next: Next) {
        match next {
            Next::Tasks(next) => self.reach(next),
            Next::End if self.has_failed(name) => self.end_early(None, StopReason::JobFailed),
            // The job ends with the last of its paths.
            Next::End => {}
            Next::RestartJob => {
                let message = format!("task {name} asked to restart the job");
                self.restart_job(name, JobError::new(error_code::RESTART_JOB, message));
            }
            Next::Pause => self.pause(name),
            Next::Approval => self.ask_review(name),
            Next::Fail(error) => {
                self.edit(name, |task| {
                    task.state = JobTaskState::Failed;
                    task.error = Some(error);
                });
                self.end_early(None, StopReason::JobFailed);
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
        let for_good = [error_code::FATAL, error_code::MANUAL_REJECTION];
        if for_good.contains(&error.code.as_str()) || self.run.job_retries >= self.plan.retry {
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

    /// Failures come before tasks that were stopped because of them.
    pub(super) fn first_failure(&self) -> Option<JobError> {
        let tasks = self.run.tasks.iter();
        let failed = tasks.filter(|(name, task)| self.counts_as_failed(name, task));
        let (name, first) =
            failed.min_by_key(|(_, task)| (task.state == JobTaskState::Cancelled, task.seq))?;
        let unknown = || JobError::new(error_code::TASK_EXECUTE, format!("task {name} failed"));
        Some(first.error.clone().unwrap_or_else(unknown))
    }

    fn has_failed(&self, name: &str) -> bool {
        let task = self.run.tasks.get(name);
        task.is_some_and(|task| self.counts_as_failed(name, task))
    }

    fn counts_as_failed(&self, name: &str, task: &TaskRun) -> bool {
        let control = self.control(name);
        let excused = control.is_some_and(|control| control.allow_failure);
        let failed = matches!(task.state, JobTaskState::Failed | JobTaskState::Cancelled);
        failed && !excused && task.pass == self.run.pass
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

/// Whether following `skipped` tasks back from `from` comes to `name`.
fn leads_back(skipped: &BTreeMap<String, Option<String>>, from: Option<&str>, name: &str) -> bool {
    let mut step = from;
    while let Some(at) = step {
        if at == name {
            return true;
        }
        step = skipped.get(at).and_then(Option::as_deref);
    }
    false
}
