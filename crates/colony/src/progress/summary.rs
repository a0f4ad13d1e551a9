//! What is left to say when the run is over.

use std::time::Duration;

use colony_core::state::{JobState, JobTaskState};
use comfy_table::presets::NOTHING;
use comfy_table::{CellAlignment, ContentArrangement, Table};
use serde::Serialize;

use super::text;
use crate::output::plain;

/// A finished request.
#[derive(Debug, Clone)]
pub(crate) struct Summary {
    pub(crate) request_id: String,
    pub(crate) job: String,
    pub(crate) state: JobState,
    /// RFC 3339.
    pub(crate) at: String,
    pub(crate) took: Option<Duration>,
    pub(crate) error: Option<String>,
    pub(crate) tasks: Vec<TaskSummary>,
    /// Directory of the tasks' logs.
    pub(crate) logs: Option<String>,
}

/// One of its tasks.
#[derive(Debug, Clone)]
pub(crate) struct TaskSummary {
    pub(crate) task: String,
    pub(crate) state: JobTaskState,
    pub(crate) exit_code: String,
    pub(crate) attempts: u32,
    pub(crate) took: Option<Duration>,
    pub(crate) error: Option<String>,
    pub(crate) artifacts: Vec<Artifact>,
    /// File with its log.
    pub(crate) log: Option<String>,
}

/// Something that a task stored.
#[derive(Debug, Clone, Serialize)]
pub(crate) struct Artifact {
    pub(crate) name: String,
    pub(crate) size_bytes: u64,
    /// Where it is on this machine.
    pub(crate) path: String,
}

impl Summary {
    /// A table of the tasks and lines about the rest.
    pub(crate) fn to_text(&self, color: bool) -> String {
        let mut lines = vec![String::new(), self.table().to_string(), String::new()];
        for (task, artifact) in self.artifacts() {
            let (name, size) = (plain(&artifact.name), text::bytes(artifact.size_bytes));
            let task = plain(task);
            lines.push(format!(
                "artifact of {task}: {} ({name}, {size})",
                artifact.path
            ));
        }
        if let Some(logs) = &self.logs {
            lines.push(format!("logs: {logs}"));
        }
        let time = self.took.map_or(String::new(), |took| {
            format!(" in {}", text::duration(took))
        });
        let state = text::state(self.state, color);
        lines.push(format!("{} {state}{time}", plain(&self.job)));
        if let Some(error) = &self.error {
            lines.push(format!("error: {}", plain(error)));
        }
        lines.join("\n")
    }

    fn artifacts(&self) -> impl Iterator<Item = (&str, &Artifact)> {
        self.tasks.iter().flat_map(|task| {
            task.artifacts
                .iter()
                .map(|artifact| (&*task.task, artifact))
        })
    }

    fn table(&self) -> Table {
        let mut table = Table::new();
        table
            .load_style(NOTHING)
            .set_content_arrangement(ContentArrangement::Disabled)
            .set_header(["TASK", "STATE", "EXIT", "ATTEMPTS", "TIME"]);
        for task in &self.tasks {
            table.add_row([
                plain(&task.task),
                task.state.api_str().to_owned(),
                plain(&task.exit_code),
                task.attempts.to_string(),
                task.took.map_or("-".to_owned(), text::duration),
            ]);
        }
        for column in 2..5 {
            if let Some(column) = table.column_mut(column) {
                column.set_cell_alignment(CellAlignment::Right);
            }
        }
        table
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_summary_names_tasks_artifacts_logs_and_the_end() {
        let task = TaskSummary {
            task: "build".to_owned(),
            state: JobTaskState::Completed,
            exit_code: "0".to_owned(),
            attempts: 2,
            took: Some(Duration::from_millis(1500)),
            error: None,
            artifacts: vec![Artifact {
                name: "build.zip".to_owned(),
                size_bytes: 2_000,
                path: "d/objects/x".to_owned(),
            }],
            log: None,
        };
        let summary = Summary {
            request_id: "id".to_owned(),
            job: "j".to_owned(),
            state: JobState::Completed,
            at: String::new(),
            took: Some(Duration::from_secs(2)),
            error: None,
            tasks: vec![task],
            logs: Some("d/logs/id".to_owned()),
        };
        let text = summary.to_text(false);
        let words: Vec<&str> = text.split_whitespace().collect();
        let expected = "TASK STATE EXIT ATTEMPTS TIME build COMPLETED 0 2 1.5 s artifact of build: \
                        d/objects/x (build.zip, 2.0 kB) logs: d/logs/id j COMPLETED in 2.0 s";
        assert_eq!(words.join(" "), expected);
    }
}
