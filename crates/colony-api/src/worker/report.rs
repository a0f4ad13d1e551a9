//! What a command's end means for its task.

use colony_core::state::TaskStatus;
use serde_json::{Value, json};

use super::command::Output;
use super::options::WorkerOptions;
use crate::runs::{ChangeTask, Task};
use crate::runs_client::ClientError;

/// The command ran to its end.
pub(super) fn of_output(task: &Task, options: &WorkerOptions, output: &Output) -> ChangeTask {
    if !output.status.success() {
        let error = json!({
            "message": format!("the command ended with {}", output.status),
            "exitCode": output.status.code(),
            "stderr": text_of(&output.stderr),
        });
        return failed(task, options, error);
    }
    if let Some(max) = output.stdout_cut_at {
        let message = format!("the command wrote more than {max} bytes to stdout");
        return failed(task, options, json!({ "message": message }));
    }
    ChangeTask {
        status: Some(TaskStatus::Completed),
        output_data: Some(json_or_text(&output.stdout)),
        ..ChangeTask::default()
    }
}

/// The command could not be started, or was lost.
pub(super) fn of_failure(
    task: &Task,
    options: &WorkerOptions,
    error: &std::io::Error,
) -> ChangeTask {
    let message = format!("the command could not be run: {error}");
    failed(task, options, json!({ "message": message }))
}

/// The server does not take the output; another attempt would have the same.
pub(super) fn of_refusal(error: &ClientError) -> ChangeTask {
    let message = format!("the output was not stored: failed to {error}");
    ChangeTask {
        status: Some(TaskStatus::Failed),
        error_data: Some(json!({ "message": message })),
        ..ChangeTask::default()
    }
}

/// The task waits for another worker; no retry is used up.
pub(super) fn give_back() -> ChangeTask {
    ChangeTask {
        status: Some(TaskStatus::Queued),
        ..ChangeTask::default()
    }
}

/// Why an attempt failed, in a line.
pub(super) fn reason_of(change: &ChangeTask) -> Option<String> {
    let error = change.error_data.as_ref()?;
    let part = |name: &str| error.get(name).and_then(Value::as_str);
    let message = part("message").unwrap_or_default();
    let last_words = part("stderr").and_then(|text| text.lines().last());
    Some(match last_words {
        Some(words) => format!("{message}: {words}"),
        None => message.to_owned(),
    })
}

fn failed(task: &Task, options: &WorkerOptions, error: Value) -> ChangeTask {
    let again = task.retry_count < task.max_retries;
    let delay_ms = i64::try_from(options.retry_delay.as_millis()).ok();
    ChangeTask {
        status: Some(if again {
            TaskStatus::Retrying
        } else {
            TaskStatus::Failed
        }),
        error_data: Some(error),
        delay_ms: delay_ms.filter(|_| again),
        ..ChangeTask::default()
    }
}

fn json_or_text(stdout: &[u8]) -> Value {
    serde_json::from_slice(stdout).unwrap_or_else(|_| match text_of(stdout) {
        text if text.is_empty() => Value::Null,
        text => Value::String(text),
    })
}

/// Bytes as text, without the line ends at its end.
fn text_of(bytes: &[u8]) -> String {
    let text = String::from_utf8_lossy(bytes);
    // The API stores no such character.
    text.trim_end_matches('\n').replace('\0', "\u{fffd}")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn output_is_json_or_text() {
        for (stdout, expected) in [
            ("{\"a\":1}\n", json!({ "a": 1 })),
            ("42", json!(42)),
            ("hello\nworld\n", json!("hello\nworld")),
            ("a\0b", json!("a\u{fffd}b")),
            ("{\"a\":1} and more", json!("{\"a\":1} and more")),
            ("", Value::Null),
        ] {
            assert_eq!(json_or_text(stdout.as_bytes()), expected, "{stdout:?}");
        }
    }
}
