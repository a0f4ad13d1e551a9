//! What the database and the object store know of a request's log.

use std::ops::Range;

use colony_core::id::{AttemptRef, RunId};
use colony_store::attempt::{self, AttemptLog, LogPlace};
use colony_store::{Tx, request::RequestRow};
use object_store::ObjectStoreExt as _;
use object_store::path::Path;

use super::cursor::LogCursor;
use super::spool::{LINE_BYTES_MAX, Lines, lines_of_bytes, whole_lines};
use crate::engine::{Caller, Engine};
use crate::error::EngineError;
use crate::query::own_request;

/// The logs of a request's current run, from some place on.
pub(super) struct RequestLogs {
    pub(super) run_id: RunId,
    /// Nothing will be added any more.
    pub(super) ended: bool,
    /// Those from the place on.
    pub(super) logs: Vec<StoredLog>,
    /// The place in the first of them.
    pub(super) offset: u64,
}

/// The log of an attempt, with its text where that is small.
pub(super) struct StoredLog {
    pub(super) log: AttemptLog,
    text: Option<String>,
}

impl StoredLog {
    /// Whether it is to be read from what the queen keeps of running attempts.
    pub(super) fn is_live(&self) -> bool {
        self.log.place == LogPlace::Running
    }
}

impl Engine {
    /// The logs from a place on. Texts in rows come along until they are `limit` bytes; the rest
    /// of the logs is left out then.
    pub(super) async fn request_logs(
        &self,
        caller: &Caller,
        id: &str,
        (task, cursor): (Option<String>, Option<LogCursor>),
        limit: usize,
    ) -> Result<RequestLogs, EngineError> {
        let (caller, name) = (caller.clone(), id.to_owned());
        self.store
            .read(move |tx| {
                let request = own_request(tx, &caller, &name)?;
                load(tx, &request, task.as_deref(), cursor, limit)
            })
            .await
    }

    /// Whole lines of a log that is stored.
    pub(super) async fn read_stored(
        &self,
        stored: &StoredLog,
        offset: u64,
        limit: usize,
    ) -> Result<Lines, EngineError> {
        let text = match (&stored.log.place, &stored.text) {
            (LogPlace::Object(key), _) => {
                let size = stored.log.size_bytes;
                self.read_object(key, offset, size, limit).await?
            }
            (_, Some(text)) => {
                let start = usize::try_from(offset).unwrap_or(usize::MAX);
                whole_lines(text.get(start..).unwrap_or(""), limit).to_owned()
            }
            (_, None) => String::new(),
        };
        Ok(Lines {
            end: offset + u64::try_from(text.len()).unwrap_or(0),
            text,
            stopped: None,
        })
    }

    async fn read_object(
        &self,
        key: &str,
        offset: u64,
        size: u64,
        limit: usize,
    ) -> Result<String, EngineError> {
        // Room for a line, or a page that is almost full would end inside of one.
        let room = u64::try_from(limit.max(LINE_BYTES_MAX)).unwrap_or(u64::MAX);
        let range: Range<u64> = offset..size.min(offset.saturating_add(room));
        if range.is_empty() {
            return Ok(String::new());
        }
        let are_last = range.end == size;
        let bytes = self.objects.get_range(&Path::from(key), range).await?;
        Ok(lines_of_bytes(bytes.into(), are_last))
    }
}

fn load(
    tx: &mut Tx<'_>,
    request: &RequestRow,
    task: Option<&str>,
    cursor: Option<LogCursor>,
    limit: usize,
) -> Result<RequestLogs, EngineError> {
    let no_run = RunId::new(request.id.uuid());
    let run_id = request.run_id.or(request.last_run_id);
    let (mut attempts, at_rest) = match run_id {
        Some(run_id) => (
            attempt::logs_of_run(tx, run_id)?,
            attempt::run_is_at_rest(tx, run_id)?,
        ),
        None => (Vec::new(), true),
    };
    if let Some(task) = task {
        attempts.retain(|log| log.task_type == task);
    }
    let run_id = run_id.unwrap_or(no_run);
    let cursor = cursor.filter(|cursor| cursor.run_id == run_id);
    let (skipped, offset) = cursor.map_or((0, 0), |cursor| place(&attempts, cursor));
    let mut logs = Vec::new();
    let mut room = limit;
    for log in attempts.into_iter().skip(skipped) {
        let text = match log.place {
            LogPlace::Row(id) if room > 0 => Some(attempt::inline_log(tx, id)?),
            LogPlace::Row(_) => break,
            LogPlace::Running | LogPlace::Nowhere | LogPlace::Object(_) => None,
        };
        room = room.saturating_sub(text.as_ref().map_or(0, String::len));
        logs.push(StoredLog { log, text });
    }
    Ok(RequestLogs {
        run_id,
        ended: request.job_state.is_terminal() && at_rest,
        logs,
        offset,
    })
}

/// How many logs come before a place, and where in the next one it is.
fn place(attempts: &[AttemptLog], cursor: LogCursor) -> (usize, u64) {
    let is_there = |attempt: AttemptRef| attempt == cursor.attempt;
    let index = attempts.iter().position(|log| is_there(log.attempt));
    index.map_or((0, 0), |index| (index, cursor.offset))
}
