//! Runs, tasks and run data for people.

use std::time::Duration;

use colony_api::runs::{Run, RunData, Task, Time};
use colony_api::runs_client::EventKind;
use colony_core::state::TaskStatus;
use comfy_table::Table;
use comfy_table::presets::NOTHING;
use serde_json::Value;

use crate::output::plain;
use crate::progress::duration;

/// The most characters of a value in a list.
const VALUE_MAX: usize = 60;

/// A list of runs.
pub(crate) fn runs(runs: &[Run]) -> String {
    let mut table = table(["ID", "STATUS", "TASKS", "CREATED", "TIME"]);
    for run in runs {
        table.add_row([
            run.id.clone(),
            run.status.to_string(),
            progress(run),
            time(run.created_at),
            took(run.duration_ms),
        ]);
    }
    table.to_string()
}

/// A list of tasks.
pub(crate) fn tasks(tasks: &[Task]) -> String {
    let mut table = table([
        "ID", "TYPE", "STATUS", "RETRIES", "CREATED", "TIME", "ERROR",
    ]);
    for task in tasks {
        table.add_row([
            task.id.clone(),
            plain(&task.kind),
            task.status.to_string(),
            format!("{}/{}", task.retry_count, task.max_retries),
            time(task.created_at),
            took(task.duration_ms),
            task.error_data.as_ref().map_or(String::new(), reason),
        ]);
    }
    table.to_string()
}

/// A list of run data.
pub(crate) fn data(entries: &[RunData]) -> String {
    let mut table = table(["ID", "KEY", "VALUE", "TAGS", "WRITTEN"]);
    for entry in entries {
        table.add_row([
            entry.id.clone(),
            plain(&entry.key),
            short(&entry.value.to_string()),
            plain(&entry.tags.join(", ")),
            time(entry.created_at),
        ]);
    }
    table.to_string()
}

/// One run.
pub(crate) fn run(run: &Run) -> String {
    let mut lines = Lines::default();
    lines.say("run", &run.id);
    lines.say("status", run.status.as_str());
    lines.say("tasks", &progress(run));
    lines.json("input", Some(&run.input_data));
    lines.json("output", run.output_data.as_ref());
    lines.json("error", run.error_data.as_ref());
    lines.json("metadata", run.metadata.as_ref());
    lines.times(run.created_at, run.started_at, run.completed_at);
    lines.0.join("\n")
}

/// One task.
pub(crate) fn task(task: &Task) -> String {
    let mut lines = Lines::default();
    lines.say("task", &task.id);
    lines.say("run", &task.run_id);
    lines.say("parent", task.parent_task_id.as_deref().unwrap_or(""));
    lines.say("type", &task.kind);
    lines.say("status", task.status.as_str());
    let retries = format!("{} of {}", task.retry_count, task.max_retries);
    lines.say("retries", &retries);
    lines.json("input", Some(&task.input_data));
    lines.json("output", task.output_data.as_ref());
    lines.json("error", task.error_data.as_ref());
    lines.json("metadata", task.metadata.as_ref());
    lines.times(task.created_at, task.started_at, task.completed_at);
    lines.0.join("\n")
}

/// A change in one line.
pub(crate) fn event(event: &EventKind) -> String {
    match event {
        EventKind::Run(run) => {
            let (at, status) = (time(run.updated_at), run.status);
            format!("{at} run {status}, tasks {}", progress(run))
        }
        EventKind::Task(task) => {
            let (at, kind, status) = (time(task.updated_at), plain(&task.kind), task.status);
            let id = &task.id;
            // A task that is tried again keeps its error meanwhile.
            let has_failed = matches!(status, TaskStatus::Failed | TaskStatus::Retrying);
            match &task.error_data {
                Some(error) if has_failed => {
                    format!("{at} {kind} {id} {status}: {}", reason(error))
                }
                Some(_) | None => format!("{at} {kind} {id} {status}"),
            }
        }
    }
}

/// What went wrong, in a line: the message of the usual errors, else the JSON.
pub(crate) fn reason(error: &Value) -> String {
    let part = |name: &str| error.get(name).and_then(Value::as_str);
    let last_words = part("stderr").and_then(|text| text.lines().last());
    match (part("message"), last_words) {
        (Some(message), Some(words)) if !words.is_empty() => short(&format!("{message}: {words}")),
        (Some(message), _) => short(message),
        (None, _) if error.is_null() => String::new(),
        (None, _) => short(&error.to_string()),
    }
}

#[derive(Default)]
struct Lines(Vec<String>);

impl Lines {
    fn say(&mut self, name: &str, value: &str) {
        if !value.is_empty() {
            self.0.push(format!("{name:<12} {}", plain(value)));
        }
    }

    fn json(&mut self, name: &str, value: Option<&Value>) {
        if let Some(value) = value.filter(|value| !value.is_null()) {
            self.say(name, &value.to_string());
        }
    }

    fn times(&mut self, created: Time, started: Option<Time>, ended: Option<Time>) {
        self.say("created", &time(created));
        self.say("started", &started.map_or(String::new(), time));
        self.say("ended", &ended.map_or(String::new(), time));
    }
}

fn table<const N: usize>(header: [&str; N]) -> Table {
    let mut table = Table::new();
    table.load_style(NOTHING);
    table.set_header(header);
    table
}

fn time(time: Time) -> String {
    time.timestamp().to_string()
}

fn took(millis: Option<i64>) -> String {
    let millis = millis.and_then(|millis| u64::try_from(millis).ok());
    millis.map_or_else(
        || "-".to_owned(),
        |millis| duration(Duration::from_millis(millis)),
    )
}

/// Completed and failed ones of all.
fn progress(run: &Run) -> String {
    let done = format!("{}/{}", run.completed_tasks, run.total_tasks);
    match run.failed_tasks {
        0 => done,
        failed => format!("{done}, {failed} failed"),
    }
}

fn short(text: &str) -> String {
    let text = plain(text);
    match text.char_indices().nth(VALUE_MAX) {
        None => text,
        Some((end, _)) => format!("{}…", &text[..end]),
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn reasons_are_one_short_line() {
        for (error, expected) in [
            (json!({"message": "m", "stderr": "a\nb"}), "m: b"),
            (json!({"message": "m", "stderr": ""}), "m"),
            (json!({"code": 7}), "{\"code\":7}"),
            (json!("a\u{1b}b"), "\"a\\u001bb\""),
            (Value::Null, ""),
        ] {
            assert_eq!(reason(&error), expected);
        }
        assert_eq!(
            reason(&json!("x".repeat(99))).chars().count(),
            VALUE_MAX + 1
        );
    }
}
