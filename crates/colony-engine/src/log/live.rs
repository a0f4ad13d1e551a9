//! Output of running attempts, kept in memory until it is stored.

use std::collections::HashMap;
use std::sync::{Mutex, MutexGuard, PoisonError};

use colony_core::id::AttemptRef;
use colony_wire::LogChunk;
use tokio::sync::Notify;

/// Most that is kept of one running attempt, in bytes. Of more, only the newest part can be read
/// before the attempt ends; then all of it.
const LIVE_BYTES_MAX: usize = 4 * 1024 * 1024;

/// Output of all running attempts.
#[derive(Default)]
pub(crate) struct LiveLogs {
    logs: Mutex<HashMap<AttemptRef, LiveLog>>,
    /// Called whenever something changed that a follower may wait for.
    pub(crate) changed: Notify,
}

/// The newest part of an attempt's output.
#[derive(Default)]
struct LiveLog {
    /// Offset of `text` in the attempt's whole log.
    offset: u64,
    text: String,
}

impl LiveLogs {
    fn lock(&self) -> MutexGuard<'_, HashMap<AttemptRef, LiveLog>> {
        self.logs.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Adds what an attempt wrote. A chunk that is there already changes nothing.
    pub(crate) fn append(&self, chunk: LogChunk) {
        let mut logs = self.lock();
        let log = logs.entry(chunk.attempt).or_default();
        let end = log.offset + len(&log.text);
        if chunk.offset > end {
            // Something was lost on the way; go on after the gap.
            *log = LiveLog {
                offset: chunk.offset,
                text: chunk.text,
            };
        } else if chunk.offset + len(&chunk.text) > end {
            let known = usize::try_from(end - chunk.offset).unwrap_or(0);
            log.text.push_str(chunk.text.get(known..).unwrap_or(""));
        }
        trim(log);
        drop(logs);
        self.changed.notify_waiters();
    }

    /// Whole lines of an attempt's output from `offset` on, at most `limit` bytes, and the offset
    /// of the first of them.
    pub(crate) fn read(&self, attempt: AttemptRef, offset: u64, limit: usize) -> (u64, String) {
        let logs = self.lock();
        let Some(log) = logs.get(&attempt) else {
            return (offset, String::new());
        };
        let start = offset.max(log.offset);
        let known = usize::try_from(start - log.offset).unwrap_or(usize::MAX);
        let text = log.text.get(known..).unwrap_or("");
        (start, whole_lines(text, limit).to_owned())
    }

    /// The attempt is over; its log is stored, or lost with it.
    pub(crate) fn forget(&self, attempt: AttemptRef) {
        self.lock().remove(&attempt);
        self.changed.notify_waiters();
    }
}

fn len(text: &str) -> u64 {
    u64::try_from(text.len()).unwrap_or(u64::MAX)
}

/// Drops the oldest lines of a log that has grown too long.
fn trim(log: &mut LiveLog) {
    if log.text.len() <= LIVE_BYTES_MAX {
        return;
    }
    let least = log.text.len() - LIVE_BYTES_MAX / 2;
    let bytes = log.text.as_bytes();
    let cut = bytes[least..].iter().position(|byte| *byte == b'\n');
    let cut = cut.map_or(log.text.len(), |position| least + position + 1);
    log.offset += u64::try_from(cut).unwrap_or(0);
    log.text.drain(..cut);
}

/// The first lines of a text, at most `limit` bytes but at least one line.
pub(super) fn whole_lines(text: &str, limit: usize) -> &str {
    if text.len() <= limit {
        return text;
    }
    let bytes = text.as_bytes();
    let end = bytes[..limit].iter().rposition(|byte| *byte == b'\n');
    let end = end.or_else(|| bytes.iter().position(|byte| *byte == b'\n'));
    end.map_or(text, |end| &text[..=end])
}

#[cfg(test)]
mod tests {
    use colony_core::id::{Epoch, TaskId};

    use super::*;

    fn chunk(attempt: AttemptRef, offset: u64, text: &str) -> LogChunk {
        LogChunk {
            attempt,
            offset,
            text: text.to_owned(),
        }
    }

    #[test]
    fn chunks_that_repeat_or_overlap_are_read_once() {
        let attempt = AttemptRef {
            task_id: TaskId::new(uuid::Uuid::nil()),
            epoch: Epoch(1),
        };
        let logs = LiveLogs::default();
        logs.append(chunk(attempt, 0, "one\n"));
        logs.append(chunk(attempt, 0, "one\n"));
        logs.append(chunk(attempt, 0, "one\ntwo\n"));
        assert_eq!(logs.read(attempt, 0, 100), (0, "one\ntwo\n".to_owned()));
        assert_eq!(logs.read(attempt, 4, 100), (4, "two\n".to_owned()));
        assert_eq!(logs.read(attempt, 0, 5), (0, "one\n".to_owned()));
        logs.append(chunk(attempt, 20, "late\n"));
        assert_eq!(logs.read(attempt, 0, 100), (20, "late\n".to_owned()));
        logs.forget(attempt);
        assert_eq!(logs.read(attempt, 0, 100), (0, String::new()));
    }

    #[test]
    fn a_long_log_keeps_its_newest_lines() {
        let attempt = AttemptRef {
            task_id: TaskId::new(uuid::Uuid::nil()),
            epoch: Epoch(1),
        };
        let logs = LiveLogs::default();
        let line = format!("{}\n", "x".repeat(1023));
        let mut offset = 0;
        for _ in 0..6000 {
            logs.append(chunk(attempt, offset, &line));
            offset += 1024;
        }
        let (start, text) = logs.read(attempt, 0, usize::MAX);
        assert_eq!(start % 1024, 0);
        assert_eq!(start + u64::try_from(text.len()).unwrap(), offset);
        assert!(text.len() <= LIVE_BYTES_MAX && text.len() >= LIVE_BYTES_MAX / 4);
    }
}
