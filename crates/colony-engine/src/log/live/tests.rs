//! Live logs without an engine.

use colony_core::id::{Epoch, TaskId};

use super::*;

fn attempt(number: u128) -> AttemptRef {
    AttemptRef {
        task_id: TaskId::new(uuid::Uuid::from_u128(number)),
        epoch: Epoch(1),
    }
}

fn chunk(attempt: AttemptRef, offset: usize, text: &str) -> LogChunk {
    LogChunk {
        attempt,
        offset: u64::try_from(offset).unwrap(),
        text: text.to_owned(),
    }
}

fn logs(limits: Limits) -> LiveLogs {
    LiveLogs {
        limits,
        ..LiveLogs::new(std::env::temp_dir())
    }
}

/// All that can be read, page by page.
fn read_all(logs: &LiveLogs, attempt: AttemptRef, limit: usize) -> (String, Vec<String>) {
    let (mut text, mut stopped) = (String::new(), Vec::new());
    loop {
        let offset = u64::try_from(text.len()).unwrap();
        let lines = logs.read(attempt, offset, limit).unwrap();
        assert!(lines.text.is_empty() || lines.text.ends_with('\n'));
        stopped.extend(lines.stopped);
        if lines.text.is_empty() {
            return (text, stopped);
        }
        text.push_str(&lines.text);
        assert_eq!(lines.end, u64::try_from(text.len()).unwrap());
    }
}

fn used(logs: &LiveLogs) -> (u64, u64) {
    let of = |sum: &AtomicU64| sum.load(Ordering::Relaxed);
    (of(&logs.memory), of(&logs.files))
}

#[test]
fn chunks_that_repeat_or_overlap_are_read_once() {
    let (logs, one) = (logs(LIMITS), attempt(1));
    assert_eq!(logs.read(one, 0, 100), None);
    logs.append(&chunk(one, 0, "one\n"));
    logs.append(&chunk(one, 0, "one\n"));
    logs.append(&chunk(one, 0, "one\ntwo\n"));
    let text = |offset, limit| logs.read(one, offset, limit).unwrap().text;
    assert_eq!(text(0, 100), "one\ntwo\n");
    assert_eq!(text(4, 100), "two\n");
    assert_eq!(text(0, 5), "one\n");
    assert_eq!(text(100, 5), "");
    logs.forget(one);
    assert_eq!(logs.read(one, 0, 100), None);
    assert_eq!(used(&logs), (0, 0));
}

/// Lines after a gap would be read in the place of those that are missing.
#[test]
fn nothing_is_read_beyond_a_gap() {
    let (logs, one) = (logs(LIMITS), attempt(1));
    logs.append(&chunk(one, 0, "one\n"));
    logs.append(&chunk(one, 20, "late\n"));
    logs.append(&chunk(one, 4, "two\n"));
    let (text, stopped) = read_all(&logs, one, 100);
    assert_eq!((text.as_str(), stopped.len()), ("one\n", 1));
    let behind = logs.read(one, 4, 100).unwrap();
    assert_eq!((behind.text.as_str(), behind.stopped), ("", None));
}

#[test]
fn a_long_log_is_whole_and_takes_little_memory() {
    let (logs, one) = (logs(LIMITS), attempt(1));
    let mut all = String::new();
    for number in 0..100_000 {
        let line = format!("2026-01-05T09:00:00.000Z stdout F zeile {number} äöü\n");
        logs.append(&chunk(one, all.len(), &line));
        all.push_str(&line);
    }
    let (memory, files) = used(&logs);
    assert!(memory <= LIMITS.tail, "{memory}");
    assert_eq!(memory + files, u64::try_from(all.len()).unwrap());
    for limit in [1, 1000, 256 << 10, usize::MAX] {
        assert_eq!(read_all(&logs, one, limit), (all.clone(), Vec::new()));
    }
    logs.forget(one);
    assert_eq!(used(&logs), (0, 0));
}

#[test]
fn many_logs_have_a_bound_together() {
    let limits = Limits {
        memory: 10_000,
        ..LIMITS
    };
    let logs = logs(limits);
    let line = format!("{}\n", "x".repeat(999));
    for number in 0..100 {
        logs.append(&chunk(attempt(number), 0, &line));
        logs.append(&chunk(attempt(number), line.len(), &line));
        assert!(used(&logs).0 <= limits.memory);
    }
    for number in 0..100 {
        assert_eq!(read_all(&logs, attempt(number), 1).0, line.repeat(2));
    }
}

#[test]
fn a_log_beyond_its_bound_ends_and_says_so_once() {
    let limits = Limits {
        tail: 100,
        log: 5_000,
        ..LIMITS
    };
    let logs = logs(limits);
    let line = format!("{}\n", "x".repeat(999));
    for number in 0..20 {
        logs.append(&chunk(attempt(1), number * line.len(), &line));
    }
    let (text, stopped) = read_all(&logs, attempt(1), 1000);
    assert_eq!(text, line.repeat(6));
    assert_eq!(stopped, ["only its first 6000 bytes are kept"]);
}

#[test]
fn a_log_that_cannot_be_kept_ends_with_what_there_is() {
    let logs = LiveLogs {
        limits: Limits {
            tail: 100,
            ..LIMITS
        },
        ..LiveLogs::new(PathBuf::from("/nowhere/at/all"))
    };
    let line = format!("{}\n", "x".repeat(999));
    logs.append(&chunk(attempt(1), 0, &line));
    logs.append(&chunk(attempt(1), line.len(), &line));
    let (text, stopped) = read_all(&logs, attempt(1), 1000);
    assert_eq!((text, stopped.len()), (line, 1));
}
