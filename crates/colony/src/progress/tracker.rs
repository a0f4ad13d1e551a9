//! From the engine's events to notices: a pure state machine.

use std::collections::{BTreeMap, HashMap, VecDeque};
use std::time::Duration;

use colony_core::id::{AttemptRef, RequestId};
use colony_core::job::JobError;
use colony_core::state::JobTaskState;
use colony_core::time::Timestamp;
use colony_engine::{RunEvent, RunEventKind};

use super::cri;
use super::notice::{Notice, NoticeKind, TaskEnd};

/// Lines of output kept for a task that fails.
const TAIL_LINES: usize = 10;

/// A wait shorter than this is not worth a word: the next event ends it.
const WAIT_WORTH_A_WORD: Duration = Duration::from_secs(1);

/// Follows one request.
#[derive(Debug)]
pub(crate) struct Tracker {
    request_id: RequestId,
    attempts: HashMap<AttemptRef, (String, u32)>,
    active: BTreeMap<String, Active>,
    waiting: Option<(Timestamp, String)>,
}

/// A task that has begun and not ended.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Active {
    /// Number of the attempt, from 1.
    pub(crate) attempt: u32,
    /// When the first attempt began.
    pub(crate) since: Timestamp,
    /// Whether it waits for its next attempt.
    pub(crate) delayed: bool,
    /// The last lines of its output.
    pub(crate) tail: VecDeque<String>,
}

impl Tracker {
    pub(crate) fn new(request_id: RequestId) -> Self {
        Self {
            request_id,
            attempts: HashMap::new(),
            active: BTreeMap::new(),
            waiting: None,
        }
    }

    /// Tasks that have begun and not ended, by name.
    pub(crate) fn active(&self) -> &BTreeMap<String, Active> {
        &self.active
    }

    /// What an event means to the watcher of this request.
    pub(crate) fn hear(&mut self, event: RunEvent) -> Vec<Notice> {
        if event.request_id != self.request_id {
            return Vec::new();
        }
        let at = event.at;
        let kinds = match event.kind {
            RunEventKind::Waiting { reason } => {
                self.wait(at, reason);
                Vec::new()
            }
            RunEventKind::TaskStarted {
                task,
                attempt,
                retry,
            } => vec![self.task_started(at, task, attempt, retry + 1)],
            RunEventKind::Output { attempt, text } => self.output(attempt, &text),
            RunEventKind::TaskChanged {
                task,
                state,
                exit_code,
                error,
            } => self
                .task_changed(at, task, state, exit_code, error)
                .into_iter()
                .collect(),
            RunEventKind::RunEnded { state, error } => {
                self.waiting = None;
                vec![NoticeKind::Ended { state, error }]
            }
        };
        kinds.into_iter().map(|kind| Notice { at, kind }).collect()
    }

    /// What there is to say because time has passed.
    pub(crate) fn tick(&mut self, now: Timestamp) -> Option<Notice> {
        let due = |(since, _): &mut (Timestamp, String)| now.since(*since) >= WAIT_WORTH_A_WORD;
        let (at, reason) = self.waiting.take_if(due)?;
        Some(Notice {
            at,
            kind: NoticeKind::Waiting { reason },
        })
    }

    fn wait(&mut self, at: Timestamp, reason: String) {
        let since = match &self.waiting {
            Some((since, _)) => *since,
            None => at,
        };
        self.waiting = Some((since, reason));
    }

    fn task_started(
        &mut self,
        at: Timestamp,
        task: String,
        attempt_ref: AttemptRef,
        attempt: u32,
    ) -> NoticeKind {
        self.waiting = None;
        self.attempts.insert(attempt_ref, (task.clone(), attempt));
        let active = self.active.entry(task.clone()).or_insert_with(|| Active {
            attempt,
            since: at,
            delayed: false,
            tail: VecDeque::new(),
        });
        active.attempt = attempt;
        active.delayed = false;
        active.tail.clear();
        NoticeKind::TaskStarted { task, attempt }
    }

    fn output(&mut self, attempt_ref: AttemptRef, text: &str) -> Vec<NoticeKind> {
        let Some((task, attempt)) = self.attempts.get(&attempt_ref) else {
            return Vec::new();
        };
        let mut active = self.active.get_mut(task);
        let lines = text.lines().filter_map(cri::parse).map(|line| {
            if let Some(active) = &mut active {
                active.tail.push_back(line.text.clone());
                if active.tail.len() > TAIL_LINES {
                    active.tail.pop_front();
                }
            }
            NoticeKind::Output {
                task: task.clone(),
                attempt: *attempt,
                line,
            }
        });
        lines.collect()
    }

    fn task_changed(
        &mut self,
        at: Timestamp,
        task: String,
        state: JobTaskState,
        exit_code: String,
        error: Option<JobError>,
    ) -> Option<NoticeKind> {
        match state {
            JobTaskState::Delayed => {
                let active = self.active.get_mut(&task)?;
                active.delayed = true;
                Some(NoticeKind::TaskRetries {
                    attempt: active.attempt,
                    task,
                    exit_code,
                    error,
                })
            }
            JobTaskState::Completed | JobTaskState::Failed | JobTaskState::Cancelled => {
                let active = self.active.remove(&task);
                Some(NoticeKind::TaskEnded(TaskEnd {
                    task,
                    state,
                    attempts: active.as_ref().map_or(0, |active| active.attempt),
                    exit_code,
                    took: active.as_ref().map(|active| at.since(active.since)),
                    error,
                    tail: active.map(|active| active.tail.into()).unwrap_or_default(),
                }))
            }
            JobTaskState::Ready
            | JobTaskState::Executing
            | JobTaskState::Paused
            | JobTaskState::ManualApprovalRequired => None,
        }
    }
}

#[cfg(test)]
mod tests;
