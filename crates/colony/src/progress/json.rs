//! Notices as JSON, one object a line. The names are part of the command line's contract.

use serde_json::{Map, Value, json};

use super::notice::{Notice, NoticeKind, TaskEnd};
use super::summary::Summary;

/// A notice as an object with `event` and `at`.
pub(crate) fn notice(notice: &Notice) -> Value {
    let (event, fields) = match &notice.kind {
        NoticeKind::Submitted { request_id, job } => (
            "submitted",
            json!({"request_id": request_id, "job_type": job}),
        ),
        NoticeKind::Waiting { reason } => ("waiting", json!({"reason": reason})),
        NoticeKind::TaskStarted { task, attempt } => {
            ("task_started", json!({"task": task, "attempt": attempt}))
        }
        NoticeKind::Output {
            task,
            attempt,
            line,
        } => (
            "output",
            json!({"task": task, "attempt": attempt, "time": line.time, "stream": line.stream,
                "text": line.text, "partial": line.partial}),
        ),
        NoticeKind::TaskRetries {
            task,
            attempt,
            exit_code,
            error,
        } => (
            "task_retries",
            json!({"task": task, "attempt": attempt, "exit_code": exit_code, "error": error}),
        ),
        NoticeKind::TaskEnded(end) => ("task_ended", task_ended(end)),
        NoticeKind::Missed { events } => ("missed", json!({"events": events})),
        NoticeKind::Remark { text } => ("remark", json!({"text": text})),
        NoticeKind::Ended { state, error } => ("ended", json!({"state": state, "error": error})),
    };
    object(event, &notice.at.to_string(), fields)
}

/// The last line of all.
pub(crate) fn summary(summary: &Summary) -> Value {
    let tasks: Vec<Value> = summary
        .tasks
        .iter()
        .map(|task| {
            json!({"task": task.task, "state": task.state, "exit_code": task.exit_code,
                "attempts": task.attempts, "duration_ms": task.took.map(|took| millis(took.as_millis())),
                "artifacts": task.artifacts, "log": task.log, "error": task.error})
        })
        .collect();
    let fields = json!({"request_id": summary.request_id, "state": summary.state,
        "duration_ms": summary.took.map(|took| millis(took.as_millis())), "error": summary.error,
        "tasks": tasks});
    object("summary", &summary.at, fields)
}

fn task_ended(end: &TaskEnd) -> Value {
    json!({"task": end.task, "state": end.state, "attempts": end.attempts,
        "exit_code": end.exit_code, "duration_ms": end.took.map(|took| millis(took.as_millis())),
        "error": end.error})
}

fn millis(millis: u128) -> u64 {
    u64::try_from(millis).unwrap_or(u64::MAX)
}

fn object(event: &str, at: &str, fields: Value) -> Value {
    let mut object = Map::new();
    object.insert("event".to_owned(), event.into());
    object.insert("at".to_owned(), at.into());
    if let Value::Object(fields) = fields {
        object.extend(fields);
    }
    Value::Object(object)
}

#[cfg(test)]
mod tests {
    use colony_core::state::JobState;
    use colony_core::time::Timestamp;

    use super::*;

    #[test]
    fn every_object_says_what_and_when() {
        let kind = NoticeKind::Ended {
            state: JobState::Completed,
            error: None,
        };
        let value = notice(&Notice {
            at: Timestamp::from_millis(0),
            kind,
        });
        let expected = json!({"event": "ended", "at": "1970-01-01T00:00:00.000Z",
            "state": "COMPLETED", "error": null});
        assert_eq!(value, expected);
    }
}
