//! Reading the log of a request page by page.

use std::ops::Range;
use std::time::Duration;

use colony_core::id::{AttemptRef, RunId};
use colony_store::artifact::Content;
use colony_store::attempt::{self, AttemptLog};
use object_store::ObjectStoreExt as _;
use object_store::path::Path;
use serde::{Deserialize, Serialize};

use super::live::whole_lines;
use crate::engine::{Caller, Engine};
use crate::error::EngineError;
use crate::query::own_request;

/// Most that one page holds, in bytes of stored log.
const PAGE_BYTES_MAX: usize = 256 * 1024;

/// Which part of a request's log.
#[derive(Debug, Clone, Default)]
pub struct LogQuery {
    /// Only this task.
    pub task: Option<String>,
    /// Where the last page ended.
    pub cursor: Option<LogCursor>,
    /// How long to wait for something new when there is nothing yet.
    pub wait: Duration,
}

/// A place in the log of a request.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct LogCursor {
    run_id: RunId,
    attempt: AttemptRef,
    offset: u64,
}

/// A line of a log.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct LogLine {
    /// The task.
    pub task: String,
    /// Number of the attempt, from 0.
    pub retry: u32,
    /// RFC 3339.
    pub time: String,
    /// `stdout`, `stderr` or `system`.
    pub stream: String,
    /// The text. A line that was cut because of its length goes on in the next one.
    pub text: String,
    /// The line goes on.
    pub partial: bool,
}

/// A part of a request's log.
#[derive(Debug, Clone, Default)]
pub struct LogPage {
    /// The lines.
    pub lines: Vec<LogLine>,
    /// Where to go on; none before the first output.
    pub cursor: Option<LogCursor>,
    /// The request is finished and this page ends its log.
    pub done: bool,
}

impl Engine {
    /// The next part of a request's log. With `wait` it answers as soon as there is something.
    ///
    /// # Errors
    ///
    /// [`EngineError::NotFound`].
    pub async fn read_log(
        &self,
        caller: &Caller,
        id: &str,
        query: LogQuery,
    ) -> Result<LogPage, EngineError> {
        let deadline = tokio::time::Instant::now() + query.wait;
        loop {
            let changed = self.live_logs.changed.notified();
            tokio::pin!(changed);
            // Registered before looking, so that nothing is missed between.
            changed.as_mut().enable();
            let page = self.log_page(caller, id, &query).await?;
            if !page.lines.is_empty() || page.done || query.wait.is_zero() {
                return Ok(page);
            }
            if tokio::time::timeout_at(deadline, changed).await.is_err() {
                return Ok(page);
            }
        }
    }

    async fn log_page(
        &self,
        caller: &Caller,
        id: &str,
        query: &LogQuery,
    ) -> Result<LogPage, EngineError> {
        let logs = self.attempt_logs(caller, id, query.task.clone()).await?;
        let mut page = LogPage {
            cursor: query.cursor,
            ..LogPage::default()
        };
        let mut room = PAGE_BYTES_MAX;
        let at = logs.position(query.cursor);
        for (index, log) in logs.attempts.iter().enumerate().skip(at.index) {
            let offset = if index == at.index { at.offset } else { 0 };
            let (start, text) = self.read_attempt(log, offset, room).await?;
            let end = start + u64::try_from(text.len()).unwrap_or(0);
            page.lines
                .extend(text.lines().filter_map(|line| parse_line(log, line)));
            page.cursor = Some(LogCursor {
                run_id: logs.run_id,
                attempt: log.attempt,
                offset: end,
            });
            room = room.saturating_sub(text.len());
            let more = log.content.is_some() && end < log.size_bytes;
            if room == 0 || more {
                return Ok(page);
            }
        }
        page.done = logs.ended && page.lines.is_empty();
        Ok(page)
    }

    async fn attempt_logs(
        &self,
        caller: &Caller,
        id: &str,
        task: Option<String>,
    ) -> Result<RequestLogs, EngineError> {
        let (caller, name) = (caller.clone(), id.to_owned());
        self.store
            .read(move |tx| {
                let request = own_request(tx, &caller, &name)?;
                let run_id = request.run_id.or(request.last_run_id);
                let mut attempts = match run_id {
                    Some(run_id) => attempt::logs_of_run(tx, run_id)?,
                    None => Vec::new(),
                };
                if let Some(task) = &task {
                    attempts.retain(|log| log.task_type == *task);
                }
                let live = attempts.iter().any(|log| log.content.is_none());
                Ok::<_, EngineError>(RequestLogs {
                    run_id: run_id.unwrap_or_else(|| RunId::new(request.id.uuid())),
                    ended: request.job_state.is_terminal() && !live,
                    attempts,
                })
            })
            .await
    }

    /// Text of an attempt's log from `offset` on, and the offset at which it starts.
    async fn read_attempt(
        &self,
        log: &AttemptLog,
        offset: u64,
        limit: usize,
    ) -> Result<(u64, String), EngineError> {
        match &log.content {
            None => Ok(self.live_logs.read(log.attempt, offset, limit)),
            Some(Content::Inline(text)) => {
                let start = usize::try_from(offset).unwrap_or(usize::MAX);
                let rest = text.get(start..).unwrap_or("");
                Ok((offset, whole_lines(rest, limit).to_owned()))
            }
            Some(Content::Object(key)) => {
                let limit = u64::try_from(limit).unwrap_or(u64::MAX);
                let range: Range<u64> = offset..log.size_bytes.min(offset.saturating_add(limit));
                if range.is_empty() {
                    return Ok((offset, String::new()));
                }
                let whole = range.end == log.size_bytes;
                let bytes = self
                    .objects
                    .get_range(&Path::from(key.as_str()), range)
                    .await?;
                // A page ends with a line; the rest comes with the next page.
                let end = bytes
                    .iter()
                    .rposition(|byte| *byte == b'\n')
                    .map_or(0, |end| end + 1);
                let end = if whole || end == 0 { bytes.len() } else { end };
                Ok((offset, String::from_utf8_lossy(&bytes[..end]).into_owned()))
            }
        }
    }
}

/// The logs of a request's current run.
struct RequestLogs {
    run_id: RunId,
    ended: bool,
    attempts: Vec<AttemptLog>,
}

struct Position {
    index: usize,
    offset: u64,
}

impl RequestLogs {
    /// Where to go on. A cursor into another run, or to an attempt that is gone, means the start.
    fn position(&self, cursor: Option<LogCursor>) -> Position {
        let known = cursor
            .filter(|cursor| cursor.run_id == self.run_id)
            .and_then(|cursor| {
                let index = self
                    .attempts
                    .iter()
                    .position(|log| log.attempt == cursor.attempt)?;
                Some(Position {
                    index,
                    offset: cursor.offset,
                })
            });
        known.unwrap_or(Position {
            index: 0,
            offset: 0,
        })
    }
}

fn parse_line(log: &AttemptLog, line: &str) -> Option<LogLine> {
    let mut parts = line.splitn(4, ' ');
    let (time, stream, tag) = (parts.next()?, parts.next()?, parts.next()?);
    Some(LogLine {
        task: log.task_type.clone(),
        retry: log.retry,
        time: time.to_owned(),
        stream: stream.to_owned(),
        text: parts.next().unwrap_or("").to_owned(),
        partial: tag == "P",
    })
}

impl LogCursor {
    /// As text for an URL.
    pub fn to_text(self) -> String {
        format!(
            "{}/{}/{}/{}",
            self.run_id, self.attempt.task_id, self.attempt.epoch, self.offset
        )
    }

    /// From [`LogCursor::to_text`].
    pub fn parse(text: &str) -> Option<Self> {
        let mut parts = text.split('/');
        let run_id = parts.next()?.parse().ok()?;
        let task_id = parts.next()?.parse().ok()?;
        let epoch = colony_core::id::Epoch(parts.next()?.parse().ok()?);
        let offset = parts.next()?.parse().ok()?;
        Some(Self {
            run_id,
            attempt: AttemptRef { task_id, epoch },
            offset,
        })
    }
}
