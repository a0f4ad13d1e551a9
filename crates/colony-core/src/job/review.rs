//! Waiting for people, and what they decided (`job-definitions` 14).
//!
//! A run of which nothing else is at work leaves the ants while it waits. A decision then needs the
//! scheduler: the decided task is READY, with its result, until the run is launched again and goes
//! on from it.

use super::event::Effect;
use super::route::Next;
use super::run::{JobError, Phase};
use super::walk::Walk;
use crate::error_code;
use crate::state::{JobState, JobTaskState};

impl Walk<'_> {
    /// The task waits for a person from now on. Clean-up cannot: nobody is left to ask.
    pub(super) fn ask_review(&mut self, name: &str) {
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
        self.effects.push(Effect::AskReview {
            task: name.to_owned(),
        });
    }

    /// Everything that is active waits for a person: the run gives back its slot meanwhile.
    pub(super) fn await_approval(&mut self) {
        let first = self.run.open_in_order(self.plan).next().map(str::to_owned);
        self.run.phase = Phase::Suspended;
        self.effects
            .extend(first.map(|task| Effect::AwaitApproval { task }));
    }

    /// A person decided. The run goes on at once, or when the scheduler has a slot for it.
    pub(super) fn reviewed(&mut self, name: &str, approved: bool, comments: String) {
        let error = (!approved).then(|| JobError::new(error_code::MANUAL_REJECTION, comments));
        let exit_code = if approved { "APPROVED" } else { "REJECTED" };
        let suspended = self.run.phase == Phase::Suspended;
        let queued = suspended && self.decided().next().is_some();
        self.edit(name, |task| {
            exit_code.clone_into(&mut task.exit_code);
            task.error = error;
            task.state = JobTaskState::Ready;
        });
        if !suspended {
            self.review_stands(name);
        } else if !queued {
            self.effects.push(Effect::Requeue {
                state: JobState::Pending,
                at: self.now,
            });
        }
    }

    /// Tasks that a person decided about while the run was suspended.
    fn decided(&self) -> impl Iterator<Item = &str> {
        let ready = self.run.active().map(|(name, task)| (name, task.state));
        ready
            .filter(|(_, state)| *state == JobTaskState::Ready)
            .map(|(name, _)| name)
    }

    /// Goes on from the tasks that were decided about. False when the run waits for nobody, so that
    /// its path is to be walked again.
    pub(super) fn go_on_from_reviews(&mut self) -> bool {
        let waiting = self.run.open_in_order(self.plan).map(str::to_owned);
        let mut decided: Vec<String> = waiting.collect();
        let is_decided: Vec<String> = self.decided().map(str::to_owned).collect();
        decided.retain(|name| is_decided.contains(name));
        if decided.is_empty() {
            return false;
        }
        self.run.phase = Phase::Walking;
        for name in decided {
            // The first one may have ended the path.
            if self.run.phase == Phase::Walking {
                self.review_stands(&name);
            }
        }
        true
    }

    fn review_stands(&mut self, name: &str) {
        self.edit(name, |task| {
            task.state = match task.error {
                None => JobTaskState::Completed,
                Some(_) => JobTaskState::Failed,
            };
        });
        match self.after(name) {
            // What a person decided is not asked again.
            Some(Next::Approval) => self.follow(name, Next::End),
            Some(next) => self.follow(name, next),
            None => {}
        }
    }
}
