//! How the program ends: the documented exit codes, and the problems that lead to them.

use std::fmt;
use std::process::ExitCode;

use colony_core::state::{JobState, RunStatus, TaskStatus};

/// The exit codes, as `--help` shows them.
pub(crate) const TABLE: &str = "\
Exit codes:
  0    done; for commands that wait for a job, run or task: it completed
  1    it failed, or something broke that is not the input's fault
  2    bad input: command line, setting, file, definition, or no such object
  3    of a queen: another one has taken over its database
  130  it was cancelled";

/// How the program ends.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Exit {
    /// Done; what was waited for completed.
    Completed,
    /// What was waited for failed.
    Failed,
    /// What the user gave cannot be used.
    BadInput,
    /// Another queen has taken over the database.
    TakenOver,
    /// What was waited for was cancelled.
    Cancelled,
}

impl From<Exit> for ExitCode {
    fn from(exit: Exit) -> Self {
        Self::from(match exit {
            Exit::Completed => 0,
            Exit::Failed => 1,
            Exit::BadInput => 2,
            Exit::TakenOver => 3,
            Exit::Cancelled => 130,
        })
    }
}

impl From<JobState> for Exit {
    /// The exit code that a finished request gives.
    fn from(state: JobState) -> Self {
        match state {
            JobState::Completed => Self::Completed,
            JobState::Cancelled => Self::Cancelled,
            _ => Self::Failed,
        }
    }
}

impl From<RunStatus> for Exit {
    /// The exit code that a run gives that has ended.
    fn from(status: RunStatus) -> Self {
        match status {
            RunStatus::Completed => Self::Completed,
            RunStatus::Cancelled => Self::Cancelled,
            RunStatus::Pending | RunStatus::Running | RunStatus::Failed => Self::Failed,
        }
    }
}

impl From<TaskStatus> for Exit {
    /// The exit code that a task gives that has ended.
    fn from(status: TaskStatus) -> Self {
        match status {
            TaskStatus::Completed => Self::Completed,
            TaskStatus::Cancelled => Self::Cancelled,
            _ => Self::Failed,
        }
    }
}

/// Why a command was not done. Shown as one paragraph with the whole chain of causes.
#[derive(Debug)]
pub(crate) struct Problem {
    exit: Exit,
    error: anyhow::Error,
}

impl Problem {
    /// The user's input is to blame, and the user can change it.
    pub(crate) fn input(error: impl Into<anyhow::Error>) -> Self {
        Self {
            exit: Exit::BadInput,
            error: error.into(),
        }
    }

    /// Another queen has taken over the database of this one.
    pub(crate) fn taken_over(reason: &str) -> Self {
        Self {
            exit: Exit::TakenOver,
            error: anyhow::anyhow!(
                "this queen has lost its database: {reason}; it has stopped its tasks, which the \
                 other one starts again; only one queen may use a database"
            ),
        }
    }

    pub(crate) fn exit(&self) -> Exit {
        self.exit
    }
}

impl From<anyhow::Error> for Problem {
    fn from(error: anyhow::Error) -> Self {
        Self {
            exit: Exit::Failed,
            error,
        }
    }
}

impl fmt::Display for Problem {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "error: {:#}", self.error)
    }
}

/// Marks errors as the input's fault.
pub(crate) trait InputResult<T> {
    /// The same result; an error of it ends the program with exit code 2.
    fn or_bad_input(self) -> Result<T, Problem>;
}

impl<T, E: Into<anyhow::Error>> InputResult<T> for Result<T, E> {
    fn or_bad_input(self) -> Result<T, Problem> {
        self.map_err(Problem::input)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_problem_is_one_paragraph_with_its_causes() {
        let error = anyhow::anyhow!("the disk is full").context("failed to write job.db");
        let problem = Problem::from(error);
        assert_eq!(
            problem.to_string(),
            "error: failed to write job.db: the disk is full"
        );
        assert_eq!(problem.exit(), Exit::Failed);
    }
}
