//! Which tasks of a run are active: derived from the tasks' own states, so that nothing can
//! disagree with them.

use super::run::{JobRun, Phase, TaskRun};
use crate::method::Method;
use crate::plan::Plan;
use crate::state::JobTaskState;
use crate::time::Timestamp;

impl JobRun {
    /// The tasks that somebody or something works on or is waited for, by name: an offer, an
    /// attempt, a delay, children, or a person.
    pub fn active(&self) -> impl Iterator<Item = (&str, &TaskRun)> {
        let tasks = self.tasks.iter();
        let active = tasks.filter(|(_, task)| self.is_open(task) && task.state.is_active());
        active.map(|(name, task)| (name.as_str(), task))
    }

    /// The task that people are shown: the first one at work in the order of the definition, or the
    /// one to resume at; between attempts of the job the last one that started.
    pub fn current_task<'a>(&'a self, plan: &'a Plan) -> Option<&'a str> {
        if self.phase == Phase::Ended {
            return None;
        }
        let last_started = || {
            let started = self.tasks.iter().filter(|(_, task)| task.seq > 0);
            let last = started.max_by_key(|(_, task)| task.seq);
            last.map(|(name, _)| name.as_str())
        };
        self.open_in_order(plan).next().or_else(last_started)
    }

    /// When [`Event::JobTimedOut`](super::Event::JobTimedOut) is to be sent: only a run that has no
    /// verdict yet can run out of time.
    pub fn due_at(&self) -> Option<Timestamp> {
        let clocked = match self.phase {
            Phase::Walking | Phase::Retrying => true,
            Phase::Stopping => self.verdict.is_none(),
            Phase::Cleaning | Phase::Suspended | Phase::Ended => false,
        };
        clocked.then_some(self.deadline)
    }

    /// Not over in this pass: active, or paused.
    pub(super) fn is_open(&self, task: &TaskRun) -> bool {
        task.pass == self.pass && !task.state.is_terminal()
    }

    pub(super) fn open_in_order<'a>(&'a self, plan: &'a Plan) -> impl Iterator<Item = &'a str> {
        let open = plan.tasks.iter().filter(|planned| {
            let task = self.tasks.get(&planned.name);
            task.is_some_and(|task| self.is_open(task))
        });
        open.map(|planned| planned.name.as_str())
    }
}

/// Done by the queen through children, not by whoever takes an offer.
pub(super) const fn works_by_children(method: Method) -> bool {
    match method {
        Method::ForkJob | Method::AwaitForkedJob | Method::FanOutJob => true,
        Method::Kubernetes
        | Method::Docker
        | Method::Shell
        | Method::HttpGet
        | Method::HttpPostForm
        | Method::HttpPostJson
        | Method::HttpPutForm
        | Method::HttpPutJson
        | Method::HttpDelete
        | Method::Websocket
        | Method::Messaging
        | Method::Worker
        | Method::ExpireArtifacts
        | Method::Manual => false,
    }
}

impl JobTaskState {
    const fn is_active(self) -> bool {
        match self {
            Self::Ready | Self::Delayed | Self::Executing | Self::ManualApprovalRequired => true,
            Self::Paused | Self::Completed | Self::Failed | Self::Cancelled => false,
        }
    }
}
