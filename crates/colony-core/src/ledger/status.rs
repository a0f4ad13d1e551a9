//! What a status change leaves behind (`foreman-api` 8.1 to 8.3). No change is ever refused.

use crate::state::{RunStatus, TaskStatus};
use crate::time::Timestamp;

/// The times of a run or task, and how often a task was put back to be tried again.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Hash)]
pub struct Marks {
    /// First time in `queued`; tasks only.
    pub queued_at: Option<Timestamp>,
    /// First time in `running`.
    pub started_at: Option<Timestamp>,
    /// Last time that an end was reached.
    pub completed_at: Option<Timestamp>,
    /// From the start, or the creation, to that end.
    pub duration_ms: Option<i64>,
    /// Changes to `retrying`; tasks only.
    pub retry_count: i64,
}

impl Marks {
    /// A run changes to `status` (8.1). Nothing is ever cleared.
    pub fn change_run(&mut self, status: RunStatus, created_at: Timestamp, now: Timestamp) {
        match status {
            RunStatus::Pending => {}
            RunStatus::Running => self.start(now),
            RunStatus::Completed | RunStatus::Failed | RunStatus::Cancelled => {
                self.end(created_at, now);
            }
        }
    }

    /// A task changes to `status` (8.2). Nothing is ever cleared.
    pub fn change_task(&mut self, status: TaskStatus, created_at: Timestamp, now: Timestamp) {
        match status {
            TaskStatus::Pending => {}
            TaskStatus::Queued => {
                self.queued_at.get_or_insert(now);
            }
            TaskStatus::Running => self.start(now),
            TaskStatus::Retrying => self.retry_count += 1,
            TaskStatus::Completed | TaskStatus::Failed | TaskStatus::Cancelled => {
                self.end(created_at, now);
            }
        }
    }

    fn start(&mut self, now: Timestamp) {
        self.started_at.get_or_insert(now);
    }

    fn end(&mut self, created_at: Timestamp, now: Timestamp) {
        self.completed_at = Some(now);
        let begin = self.started_at.unwrap_or(created_at);
        let millis = now.since(begin).as_millis();
        self.duration_ms = Some(i64::try_from(millis).unwrap_or(i64::MAX));
    }
}

/// A counter of the run.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Counted {
    /// `completedTasks`.
    Completed,
    /// `failedTasks`.
    Failed,
}

/// Which counter moves by one when a task goes from `old` to `new` (8.3).
pub fn counted(old: TaskStatus, new: TaskStatus) -> Option<Counted> {
    match new {
        _ if old.is_terminal() => None,
        TaskStatus::Completed => Some(Counted::Completed),
        TaskStatus::Failed => Some(Counted::Failed),
        TaskStatus::Pending
        | TaskStatus::Queued
        | TaskStatus::Running
        | TaskStatus::Cancelled
        | TaskStatus::Retrying => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const CREATED: Timestamp = Timestamp::from_millis(1_000);

    fn at(millis: i64) -> Timestamp {
        Timestamp::from_millis(millis)
    }

    /// Applies changes at 2000, 3000, … and returns the marks as milliseconds.
    fn task(changes: &[TaskStatus]) -> [Option<i64>; 5] {
        let mut marks = Marks::default();
        for (step, status) in (2..).zip(changes) {
            marks.change_task(*status, CREATED, at(step * 1_000));
        }
        [
            marks.queued_at.map(Timestamp::as_millis),
            marks.started_at.map(Timestamp::as_millis),
            marks.completed_at.map(Timestamp::as_millis),
            marks.duration_ms,
            Some(marks.retry_count),
        ]
    }

    #[test]
    fn marks_of_tasks() {
        use TaskStatus::{Cancelled, Completed, Failed, Pending, Queued, Retrying, Running};
        for (changes, expected) in [
            (vec![Pending], [None, None, None, None, Some(0)]),
            (
                vec![Queued, Running, Completed],
                [Some(2000), Some(3000), Some(4000), Some(1000), Some(0)],
            ),
            (
                vec![Queued, Queued, Running, Running],
                [Some(2000), Some(4000), None, None, Some(0)],
            ),
            (
                vec![Completed, Running, Pending],
                [None, Some(3000), Some(2000), Some(1000), Some(0)],
            ),
            (
                vec![Failed, Cancelled],
                [None, None, Some(3000), Some(2000), Some(0)],
            ),
            (
                vec![Running, Retrying, Retrying, Running, Failed],
                [None, Some(2000), Some(6000), Some(4000), Some(2)],
            ),
        ] {
            assert_eq!(task(&changes), expected, "{changes:?}");
        }
    }

    #[test]
    fn marks_of_runs() {
        let mut marks = Marks::default();
        marks.change_run(RunStatus::Completed, CREATED, at(3_000));
        assert_eq!(marks.duration_ms, Some(2_000));
        marks.change_run(RunStatus::Running, CREATED, at(4_000));
        marks.change_run(RunStatus::Running, CREATED, at(5_000));
        marks.change_run(RunStatus::Pending, CREATED, at(6_000));
        assert_eq!(marks.started_at, Some(at(4_000)));
        assert_eq!(marks.completed_at, Some(at(3_000)));
        marks.change_run(RunStatus::Failed, CREATED, at(7_000));
        assert_eq!(marks.completed_at, Some(at(7_000)));
        assert_eq!(marks.duration_ms, Some(3_000));
    }

    #[test]
    fn a_clock_that_stepped_back_gives_no_negative_duration() {
        let mut marks = Marks::default();
        marks.change_run(RunStatus::Completed, CREATED, at(500));
        assert_eq!(marks.duration_ms, Some(0));
    }

    #[test]
    fn counters_of_every_pair() {
        for &old in TaskStatus::ALL {
            for &new in TaskStatus::ALL {
                let expected = match (old.is_terminal(), new) {
                    (false, TaskStatus::Completed) => Some(Counted::Completed),
                    (false, TaskStatus::Failed) => Some(Counted::Failed),
                    _ => None,
                };
                assert_eq!(counted(old, new), expected, "{old} to {new}");
            }
        }
    }
}
