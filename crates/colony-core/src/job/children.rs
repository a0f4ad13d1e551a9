//! Tasks that the queen does through children (`job-definitions` 9.7 to 9.9).

use super::active::works_by_children;
use super::event::{AttemptEnd, Effect};
use super::run::StopReason;
use super::walk::Walk;
use crate::method::Method;
use crate::state::JobTaskState;

impl Walk<'_> {
    /// The method of a task that is done through children.
    pub(super) fn child_method(&self, name: &str) -> Option<Method> {
        let method = self.plan.task(name)?.method;
        works_by_children(method).then_some(method)
    }

    /// Begins an attempt of a task that no ant or worker takes: it is at work at once, until its
    /// children have ended or its time is up.
    pub(super) fn begin_children(&mut self, name: &str, method: Method) {
        let Some(timeout) = self.control(name).map(|control| control.timeout) else {
            return;
        };
        let mut deadline = self.now.after(timeout);
        self.edit(name, |task| {
            task.state = JobTaskState::Executing;
            deadline = *task.deadline.get_or_insert(deadline);
        });
        let task = name.to_owned();
        self.effects.push(match method {
            Method::AwaitForkedJob => Effect::AwaitChildren { task: task.clone() },
            _ => Effect::StartChildren { task: task.clone() },
        });
        self.effects.push(Effect::WakeTask { task, at: deadline });
    }

    /// A child ended. The last one ends the attempt.
    pub(super) fn child_ended(&mut self, name: &str, left: u32, end: &AttemptEnd) {
        if left == 0 {
            self.end_attempt(name, end);
        }
    }

    /// Whether the time of a task with children is up, and nobody stopped it yet.
    pub(super) fn children_overdue(&self, name: &str) -> bool {
        let task = self.run.tasks.get(name);
        let working =
            task.is_some_and(|task| task.state == JobTaskState::Executing && task.stop.is_none());
        working && self.child_method(name).is_some() && self.past_deadline(name)
    }

    /// How whoever works on the task is told to stop.
    pub(super) fn stop_effect(&self, name: &str, reason: StopReason) -> Effect {
        let task = name.to_owned();
        match self.child_method(name) {
            Some(_) => Effect::StopChildren { task, reason },
            None => Effect::Stop { task, reason },
        }
    }
}
