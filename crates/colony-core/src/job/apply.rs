//! The decision function: one event against one run.

use std::time::Duration;

use rand::Rng;

use super::event::{AttemptEnd, Effect, Event};
use super::run::{JobError, JobRun, Phase, StopReason, TaskRun, Verdict};
use super::walk::Walk;
use crate::error_code;
use crate::plan::Plan;
use crate::state::{JobState, JobTaskState};
use crate::time::Timestamp;

/// The event does not fit the run's state. Not a fault: it came late or twice.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("event {event} does not fit a run that is {phase:?}{}", task_text(.task))]
pub struct Refused {
    /// Name of the event.
    pub event: &'static str,
    /// Phase of the run.
    pub phase: Phase,
    /// The task and its state, for events about one.
    pub task: Option<(String, Option<JobTaskState>)>,
}

fn task_text(task: &Option<(String, Option<JobTaskState>)>) -> String {
    match task {
        None => String::new(),
        Some((name, None)) => format!(", with task {name} not reached"),
        Some((name, Some(state))) => format!(", with task {name} {state}"),
    }
}

/// Decides what `event` at `now` means for `run`: its next state, and what is to be done.
///
/// # Errors
///
/// [`Refused`] when the event does not fit; the run is then as it was.
pub fn apply(
    plan: &Plan,
    run: JobRun,
    event: Event,
    now: Timestamp,
    rng: &mut dyn Rng,
) -> Result<(JobRun, Vec<Effect>), Refused> {
    let mut walk = Walk::new(plan, run, now, rng);
    match event {
        Event::Launched { timeout } => launched(&mut walk, timeout)?,
        Event::AttemptEnded { task, end } => attempt_ended(&mut walk, &task, &end)?,
        Event::AttemptLost {
            task,
            counts,
            message,
        } => {
            expect_task(&walk, "AttemptLost", &task, JobTaskState::Executing)?;
            // Nobody holds an attempt that is done through children.
            if walk.child_method(&task).is_some() {
                return Err(refused_task(&walk, "AttemptLost", &task));
            }
            walk.attempt_lost(&task, counts, message);
        }
        Event::Reviewed {
            task,
            approved,
            comments,
        } => {
            let waiting = JobTaskState::ManualApprovalRequired;
            expect_task(&walk, "Reviewed", &task, waiting)?;
            walk.reviewed(&task, approved, comments);
        }
        Event::ChildEnded {
            task, left, end, ..
        } => child_ended(&mut walk, &task, left, &end)?,
        Event::TaskDue { task } => task_due(&mut walk, &task)?,
        Event::TaskTimedOut { task } => task_timed_out(&mut walk, &task)?,
        Event::JobRetryDue => {
            expect_phase(&walk, "JobRetryDue", Phase::Retrying)?;
            walk.next_pass();
        }
        Event::JobTimedOut => job_timed_out(&mut walk)?,
        Event::CancelAsked => cancel_asked(&mut walk)?,
    }
    walk.settle();
    Ok(walk.into_decision())
}

fn launched(walk: &mut Walk<'_>, timeout: Option<Duration>) -> Result<(), Refused> {
    expect_phase(walk, "Launched", Phase::Suspended)?;
    let people = walk.run.active().next().is_some();
    walk.restart_clock(timeout);
    match people {
        true if !walk.go_on_from_reviews() => Err(refused(walk, "Launched")),
        true => Ok(()),
        false => {
            walk.next_pass();
            Ok(())
        }
    }
}

fn attempt_ended(walk: &mut Walk<'_>, name: &str, end: &AttemptEnd) -> Result<(), Refused> {
    expect_task(walk, "AttemptEnded", name, JobTaskState::Executing)?;
    walk.end_attempt(name, end);
    Ok(())
}

fn child_ended(
    walk: &mut Walk<'_>,
    name: &str,
    left: u32,
    end: &AttemptEnd,
) -> Result<(), Refused> {
    expect_task(walk, "ChildEnded", name, JobTaskState::Executing)?;
    if walk.child_method(name).is_none() {
        return Err(refused_task(walk, "ChildEnded", name));
    }
    walk.child_ended(name, left, end);
    Ok(())
}

fn task_due(walk: &mut Walk<'_>, name: &str) -> Result<(), Refused> {
    if walk.children_overdue(name) {
        walk.stop_attempt(name, StopReason::TaskTimedOut);
        return Ok(());
    }
    expect_task(walk, "TaskDue", name, JobTaskState::Delayed)?;
    walk.offer_again(name);
    Ok(())
}

fn task_timed_out(walk: &mut Walk<'_>, name: &str) -> Result<(), Refused> {
    let task = expect_task(walk, "TaskTimedOut", name, JobTaskState::Executing)?;
    // It was told to stop already, maybe for another reason, which stays.
    if task.stop.is_some() {
        return Err(refused_task(walk, "TaskTimedOut", name));
    }
    walk.stop_attempt(name, StopReason::TaskTimedOut);
    Ok(())
}

fn job_timed_out(walk: &mut Walk<'_>) -> Result<(), Refused> {
    if walk.run.due_at().is_none() {
        return Err(refused(walk, "JobTimedOut"));
    }
    let mut active = walk.run.active();
    let code = if active.any(|(_, task)| task.state == JobTaskState::Executing) {
        error_code::TASK_TIMED_OUT
    } else {
        error_code::JOB_EXECUTE
    };
    drop(active);
    let message = "job did not end within its timeout: context deadline exceeded";
    let verdict = Verdict {
        state: JobState::Failed,
        error: Some(JobError::new(code, message)),
    };
    walk.end_early(Some(verdict), StopReason::JobTimedOut);
    Ok(())
}

fn cancel_asked(walk: &mut Walk<'_>) -> Result<(), Refused> {
    match walk.run.phase {
        Phase::Cleaning => {
            walk.skip_cleanup();
            return Ok(());
        }
        Phase::Stopping if walk.run.verdict.is_some() => {
            return Err(refused(walk, "CancelAsked"));
        }
        Phase::Ended => return Err(refused(walk, "CancelAsked")),
        Phase::Walking | Phase::Retrying | Phase::Suspended | Phase::Stopping => {}
    }
    let error = JobError::new(error_code::JOB_CANCELLED, "job cancelled by user");
    let verdict = Verdict {
        state: JobState::Cancelled,
        error: Some(error),
    };
    walk.end_request(&verdict);
    walk.end_early(Some(verdict), StopReason::Cancelled);
    Ok(())
}

fn expect_phase(walk: &Walk<'_>, event: &'static str, phase: Phase) -> Result<(), Refused> {
    if walk.run.phase == phase {
        Ok(())
    } else {
        Err(refused(walk, event))
    }
}

fn expect_task<'w>(
    walk: &'w Walk<'_>,
    event: &'static str,
    name: &str,
    state: JobTaskState,
) -> Result<&'w TaskRun, Refused> {
    let task = walk.run.tasks.get(name);
    task.filter(|task| task.state == state)
        .ok_or_else(|| refused_task(walk, event, name))
}

fn refused_task(walk: &Walk<'_>, event: &'static str, name: &str) -> Refused {
    let task = walk.run.tasks.get(name);
    Refused {
        task: Some((name.to_owned(), task.map(|task| task.state))),
        ..refused(walk, event)
    }
}

fn refused(walk: &Walk<'_>, event: &'static str) -> Refused {
    Refused {
        event,
        phase: walk.run.phase,
        task: None,
    }
}
