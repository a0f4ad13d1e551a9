//! Reading the log of a request page by page.

use std::time::Duration;

use colony_core::id::RequestId;
use colony_store::attempt::AttemptLog;
use serde::{Deserialize, Serialize};

use super::cursor::LogCursor;
use super::spool::Lines;
use super::stored::{RequestLogs, StoredLog};
use crate::engine::{Caller, Engine};
use crate::error::EngineError;

/// About how much one page holds, in bytes of stored log.
const PAGE_BYTES: usize = 256 * 1024;

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
    /// The request is finished, nothing of it is at work, and this page ends its log.
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
        // From before the first look, so that nothing is missed between.
        let mut waiter = id.parse::<RequestId>().ok().map(|id| self.waiters.add(id));
        loop {
            let page = self.log_page(caller, id, &query).await?;
            if !page.lines.is_empty() || page.done || query.wait.is_zero() {
                return Ok(page);
            }
            let Some(waiter) = &mut waiter else {
                return Ok(page);
            };
            if tokio::time::timeout_at(deadline, waiter.woken())
                .await
                .is_err()
            {
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
        let place = (query.task.clone(), query.cursor);
        let logs = self
            .request_logs(caller, id, place.clone(), PAGE_BYTES)
            .await?;
        if let Some(page) = self.fill_page(logs, query.cursor).await? {
            return Ok(page);
        }
        // An attempt of which nothing is known has written nothing, or ended after the look.
        let logs = self.request_logs(caller, id, place, PAGE_BYTES).await?;
        let empty = LogPage {
            cursor: query.cursor,
            ..LogPage::default()
        };
        Ok(self.fill_page(logs, query.cursor).await?.unwrap_or(empty))
    }

    /// None when there is nothing yet but an attempt of which nothing is known.
    async fn fill_page(
        &self,
        logs: RequestLogs,
        cursor: Option<LogCursor>,
    ) -> Result<Option<LogPage>, EngineError> {
        let mut page = LogPage {
            cursor,
            ..LogPage::default()
        };
        let (mut room, mut offset) = (PAGE_BYTES, logs.offset);
        for stored in &logs.logs {
            let Some(lines) = self.read_attempt(stored, offset, room).await? else {
                return Ok(Some(page).filter(|page| !page.lines.is_empty()));
            };
            page.add(&stored.log, &lines);
            page.cursor = Some(LogCursor {
                run_id: logs.run_id,
                attempt: stored.log.attempt,
                offset: lines.end,
            });
            room = room.saturating_sub(lines.text.len());
            // What comes after a log that is not whole comes with a later page.
            let more = lines.end < stored.log.size_bytes && !lines.text.is_empty();
            if stored.is_live() || more || room == 0 {
                return Ok(Some(page));
            }
            offset = 0;
        }
        page.done = logs.ended && page.lines.is_empty();
        Ok(Some(page))
    }

    async fn read_attempt(
        &self,
        stored: &StoredLog,
        offset: u64,
        limit: usize,
    ) -> Result<Option<Lines>, EngineError> {
        match stored.is_live() {
            true => Ok(self.live_logs.read(stored.log.attempt, offset, limit)),
            false => Ok(Some(self.read_stored(stored, offset, limit).await?)),
        }
    }
}

impl LogPage {
    fn add(&mut self, log: &AttemptLog, lines: &Lines) {
        let parsed = lines.text.lines().filter_map(|line| parse_line(log, line));
        self.lines.extend(parsed);
        if let (Some(why), Some(last)) = (&lines.stopped, self.lines.last().cloned()) {
            self.lines.push(LogLine {
                stream: "system".to_owned(),
                text: format!(
                    "the live log ends here: {why}; its rest follows when the task has ended"
                ),
                partial: false,
                ..last
            });
        }
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
