//! Requests for people.

use colony_api::jobs::{JobRequest, TaskExecution, Time};
use comfy_table::presets::NOTHING;
use comfy_table::{CellAlignment, Table};
use serde_json::Value;

use crate::output::plain;
use crate::progress::duration;

/// One request with its tasks.
pub(crate) fn details(request: &JobRequest) -> String {
    let mut lines = Vec::new();
    let mut say = |name: &str, value: &str| {
        if !value.is_empty() {
            lines.push(format!("{name:<12} {}", plain(value)));
        }
    };
    say("request", &request.id);
    say("job", &request.job_type);
    say("state", request.job_state.as_str());
    say("error", &request.error_code);
    say("message", &request.error_message);
    say("description", &request.description);
    say("submitted", &request.created_at.to_string());
    if let Some(execution) = &request.execution {
        say("started", &execution.started_at.to_string());
        let ended = execution.ended_at.filter(|ended| ended.get().is_some());
        say(
            "ended",
            &ended.map_or(String::new(), |ended| ended.to_string()),
        );
    }
    for (name, value) in &request.params {
        let value = match value {
            Value::String(text) => text.clone(),
            value => value.to_string(),
        };
        say("parameter", &format!("{name} = {value}"));
    }
    if let Some(execution) = &request.execution {
        for context in &execution.contexts {
            say("output", &format!("{} = {}", context.name, context.value));
        }
        lines.push(String::new());
        lines.push(tasks(&execution.tasks).to_string());
    }
    lines.join("\n")
}

fn tasks(tasks: &[TaskExecution]) -> Table {
    let mut table = Table::new();
    table.load_style(NOTHING);
    table.set_header(["TASK", "STATE", "EXIT", "ATTEMPTS", "TIME", "MESSAGE"]);
    for task in tasks {
        table.add_row([
            plain(&task.task_type),
            task.task_state.as_str().to_owned(),
            plain(&task.exit_code),
            (task.retried + 1).to_string(),
            took(task.started_at, task.ended_at),
            plain(task.error_message.lines().next().unwrap_or("")),
        ]);
    }
    for column in 2..5 {
        if let Some(column) = table.column_mut(column) {
            column.set_cell_alignment(CellAlignment::Right);
        }
    }
    table
}

fn took(start: Time, end: Option<Time>) -> String {
    match (start.get(), end.and_then(Time::get)) {
        (Some(start), Some(end)) => duration(end.since(start)),
        _ => "-".to_owned(),
    }
}

/// A list of requests.
pub(crate) fn requests(requests: &[JobRequest]) -> String {
    let mut table = Table::new();
    table.load_style(NOTHING);
    table.set_header(["ID", "JOB", "STATE", "SUBMITTED", "MESSAGE"]);
    for request in requests {
        table.add_row([
            request.id.clone(),
            plain(&request.job_type),
            request.job_state.as_str().to_owned(),
            request.created_at.to_string(),
            plain(request.error_message.lines().next().unwrap_or("")),
        ]);
    }
    table.to_string()
}
