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
            walk.attempt_lost(&task, counts, message);
        }
        Event::TaskDue { task } => {
            expect_task(&walk, "TaskDue", &task, JobTaskState::Delayed)?;
            walk.offer_again(&task);
        }
        Event::TaskTimedOut { task } => {
            expect_task(&walk, "TaskTimedOut", &task, JobTaskState::Executing)?;
            walk.stop_attempt(&task, StopReason::TaskTimedOut);
        }
        Event::JobRetryDue => {
            expect_phase(&walk, "JobRetryDue", Phase::Retrying)?;
            walk.next_pass();
        }
        Event::JobTimedOut => job_timed_out(&mut walk)?,
        Event::CancelAsked => cancel_asked(&mut walk)?,
    }
    Ok(walk.into_decision())
}

fn launched(walk: &mut Walk<'_>, timeout: Option<Duration>) -> Result<(), Refused> {
    expect_phase(walk, "Launched", Phase::Suspended)?;
    walk.restart_clock(timeout);
    walk.next_pass();
    Ok(())
}

fn attempt_ended(walk: &mut Walk<'_>, name: &str, end: &AttemptEnd) -> Result<(), Refused> {
    let task = expect_task(walk, "AttemptEnded", name, JobTaskState::Executing)?;
    match task.stop {
        Some(reason) => walk.attempt_stopped(name, reason, end),
        None => walk.attempt_ended(name, end),
    }
    Ok(())
}

fn job_timed_out(walk: &mut Walk<'_>) -> Result<(), Refused> {
    let running = walk.current_state() == Some(JobTaskState::Executing);
    let code = if running {
        error_code::TASK_TIMED_OUT
    } else {
        error_code::JOB_EXECUTE
    };
    let error = JobError::new(
        code,
        "job did not end within its timeout: context deadline exceeded",
    );
    match walk.run.phase {
        Phase::Walking | Phase::Retrying => {
            let verdict = Verdict {
                state: JobState::Failed,
                error: Some(error),
            };
            walk.end_early(verdict, StopReason::JobTimedOut);
            Ok(())
        }
        Phase::Stopping | Phase::Cleaning | Phase::Suspended | Phase::Ended => {
            Err(refused(walk, "JobTimedOut"))
        }
    }
}

fn cancel_asked(walk: &mut Walk<'_>) -> Result<(), Refused> {
    let error = JobError::new(error_code::JOB_CANCELLED, "job cancelled by user");
    let verdict = Verdict {
        state: JobState::Cancelled,
        error: Some(error),
    };
    match walk.run.phase {
        Phase::Walking | Phase::Retrying | Phase::Suspended => {
            walk.end_request(&verdict);
            walk.end_early(verdict, StopReason::Cancelled);
            Ok(())
        }
        Phase::Cleaning => {
            walk.skip_cleanup();
            Ok(())
        }
        Phase::Stopping | Phase::Ended => Err(refused(walk, "CancelAsked")),
    }
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
        .ok_or_else(|| Refused {
            task: Some((name.to_owned(), task.map(|task| task.state))),
            ..refused(walk, event)
        })
}

fn refused(walk: &Walk<'_>, event: &'static str) -> Refused {
    Refused {
        event,
        phase: walk.run.phase,
        task: None,
    }
}
