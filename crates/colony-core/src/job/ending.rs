//! How runs end: the verdict, the clean-up, and being stopped early (`job-definitions` 6.6, 6.7).

use super::event::Effect;
use super::run::{Phase, StopReason, Verdict};
use super::walk::{TASK_RUNS_MAX, Walk};
use crate::state::{JobState, JobTaskState};

impl Walk<'_> {
    /// The verdict stands; clean up, then end.
    pub(super) fn conclude(&mut self, verdict: Verdict) {
        self.run.verdict = Some(verdict);
        self.clean();
    }

    /// Runs the next `always_run` task that this pass did not reach (6.7), or ends the run.
    pub(super) fn clean(&mut self) {
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

    pub(super) fn end_run(&mut self) {
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
}
