//! What time and people do to runs: timers, deadlines, cancels.

use colony_core::error_code;
use colony_core::id::{AttemptRef, RequestId, RunId};
use colony_core::job::{Event, JobError};
use colony_core::plan::TaskPlan;
use colony_core::state::{JobState, JobTaskState};
use colony_core::time::Timestamp;
use colony_store::lease::Lease;
use colony_store::request::Ended;
use colony_store::timer::{Timer, TimerKind};

use super::operation::{Needs, Operation};
use super::stage::Stage;
use crate::error::EngineError;
use crate::event::RunEventKind;

/// A timer of a run is due.
pub(crate) struct Fire {
    pub(crate) timer: Timer,
}

impl Operation for Fire {
    type Output = ();

    fn needs(&self, needs: &mut Needs) {
        needs.runs.insert(RunId::new(self.timer.subject));
    }

    fn decide(&self, stage: &mut Stage<'_>) -> Result<(), EngineError> {
        stage.writes().take_timer_back(self.timer.clone());
        let task = self.timer.detail.clone();
        let event = match self.timer.kind {
            TimerKind::TaskDue => Event::TaskDue { task },
            TimerKind::JobRetryDue => Event::JobRetryDue,
            TimerKind::RequestDue | TimerKind::OfferDue => return Ok(()),
        };
        stage.advance(RunId::new(self.timer.subject), event)?;
        Ok(())
    }
}

/// The attempts of a leased task have run out of time.
pub(crate) struct Overdue {
    pub(crate) lease: Lease,
}

impl Operation for Overdue {
    type Output = ();

    fn needs(&self, needs: &mut Needs) {
        needs.runs.insert(self.lease.run_id);
    }

    fn decide(&self, stage: &mut Stage<'_>) -> Result<(), EngineError> {
        let id = self.lease.attempt.task_id;
        let run = stage.expect_run(self.lease.run_id)?;
        let task = run.row.task_name(id).map(str::to_owned);
        let lease = (task.as_ref()).and_then(|task| run.row.tasks.get(task)?.lease.as_ref());
        let is_overdue = lease.is_some_and(|lease| {
            let late = lease.deadline_at.is_some_and(|at| at <= stage.now);
            lease.attempt == self.lease.attempt && late
        });
        // Meanwhile another attempt may have begun, with time of its own.
        let Some(task) = task.filter(|_| is_overdue) else {
            return Ok(());
        };
        // Said once.
        stage.writes().deadlines.push((id, None));
        stage.advance(self.lease.run_id, Event::TaskTimedOut { task })?;
        Ok(())
    }
}

/// A job has run out of time.
pub(crate) struct JobOverdue {
    pub(crate) run_id: RunId,
}

impl Operation for JobOverdue {
    type Output = ();

    fn needs(&self, needs: &mut Needs) {
        needs.runs.insert(self.run_id);
    }

    fn decide(&self, stage: &mut Stage<'_>) -> Result<(), EngineError> {
        let run = stage.run(self.run_id)?;
        // It may have been suspended and launched meanwhile, with time of its own.
        if run.is_some_and(|run| run.row.run.due_at().is_some_and(|at| at > stage.now)) {
            return Ok(());
        }
        if !stage.advance(self.run_id, Event::JobTimedOut)? && stage.run(self.run_id)?.is_some() {
            // Its row says that it can run out of time: that is not true.
            stage.edit(self.run_id, |entry| entry.forced = true)?;
        }
        Ok(())
    }
}

/// Somebody wants a request cancelled.
pub(crate) struct Cancel {
    pub(crate) org_id: String,
    pub(crate) id: RequestId,
}

/// What became of a wish to cancel.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Cancelled {
    /// It is cancelled, or had ended.
    Done,
    /// There is no such request of the caller's.
    NotFound,
    /// It was launched in this very moment: ask again.
    Again,
}

impl Operation for Cancel {
    type Output = Cancelled;

    fn needs(&self, needs: &mut Needs) {
        needs.with_run.insert(self.id);
    }

    fn decide(&self, stage: &mut Stage<'_>) -> Result<Cancelled, EngineError> {
        let Some(request) = stage.request(self.id)? else {
            return Ok(Cancelled::NotFound);
        };
        if request.org_id != self.org_id {
            return Ok(Cancelled::NotFound);
        }
        match (request.job_state.is_terminal(), request.run_id) {
            (true, _) => {}
            (false, Some(run_id)) if !stage.was_looked_for(run_id) => {
                return Ok(Cancelled::Again);
            }
            (false, Some(run_id)) => {
                stage.advance(run_id, Event::CancelAsked)?;
            }
            // A request that was restarted waits for a run that it does not have yet.
            (false, None) => self.cancel_waiting(stage),
        }
        Ok(Cancelled::Done)
    }
}

impl Cancel {
    fn cancel_waiting(&self, stage: &mut Stage<'_>) {
        let error = JobError::new(error_code::JOB_CANCELLED, "job cancelled by user");
        let (state, error) = (JobState::Cancelled, Some(error));
        stage.writes().clear_timers(self.id.uuid());
        let ended = Ended {
            state,
            error: error.clone(),
            retried: None,
        };
        stage.end_request(self.id, ended);
        let event = RunEventKind::RunEnded { state, error };
        stage.effects().events.push((self.id, event));
    }
}

/// A task's fields, as rendered for its run, change its control flow. Output: whether the attempt is
/// still current.
pub(crate) struct Control {
    pub(crate) run_id: RunId,
    pub(crate) attempt: AttemptRef,
    pub(crate) control: TaskPlan,
    /// Until when all its attempts may last.
    pub(crate) deadline: Timestamp,
}

impl Operation for Control {
    type Output = bool;

    fn needs(&self, needs: &mut Needs) {
        needs.runs.insert(self.run_id);
    }

    fn decide(&self, stage: &mut Stage<'_>) -> Result<bool, EngineError> {
        let run = stage.expect_run(self.run_id)?;
        let name = &self.control.name;
        let lease = run.row.tasks.get(name).and_then(|row| row.lease.as_ref());
        let current = lease.is_some_and(|lease| lease.attempt == self.attempt);
        let runs = run.row.run.tasks.get(name).map(|task| task.state);
        if !current || runs != Some(JobTaskState::Executing) {
            return Ok(false);
        }
        let deadline = Some(self.deadline);
        stage.edit(self.run_id, |entry| {
            if let Some(task) = entry.row.run.tasks.get_mut(name) {
                task.control = Some(Box::new(self.control.clone()));
                task.deadline = deadline;
            }
            let row = entry.row.tasks.get_mut(name);
            if let Some(lease) = row.and_then(|row| row.lease.as_mut()) {
                lease.deadline_at = deadline;
            }
        })?;
        let id = self.attempt.task_id;
        stage.writes().deadlines.push((id, deadline));
        stage.effects().due(self.deadline);
        Ok(true)
    }
}
