//! Contexts that follow from rows: they are shown and given to templates, but stored nowhere
//! (`job-definitions` 6.3).

use std::collections::BTreeMap;

use colony_core::id::TaskId;
use colony_core::state::JobTaskState;
use colony_core::time::Timestamp;
use colony_store::artifact::ArtifactRow;
use colony_store::execution::TaskExecutionRow;
use serde_json::Value;
use uuid::Uuid;

/// A value that follows from a row.
#[derive(Debug, Clone, PartialEq)]
pub struct Derived {
    /// Its name.
    pub name: String,
    /// Its value.
    pub value: Value,
    /// Id of the row.
    pub id: Uuid,
    /// When the row got it.
    pub at: Timestamp,
}

/// A task as what follows from it sees it.
pub(crate) struct SeenTask<'a> {
    pub(crate) name: &'a str,
    pub(crate) state: JobTaskState,
    pub(crate) id: TaskId,
    pub(crate) at: Timestamp,
}

impl<'a> From<&'a TaskExecutionRow> for SeenTask<'a> {
    fn from(row: &'a TaskExecutionRow) -> Self {
        Self {
            name: &row.task_type,
            state: row.state,
            id: row.id,
            at: row.ended_at.unwrap_or(row.updated_at),
        }
    }
}

/// `<task>-status` of tasks that are over, and `<task>_ArtifactURL_<n>`, with n from 1 over all
/// artifacts of the task.
pub(crate) fn of_job<'r>(
    tasks: impl IntoIterator<Item = SeenTask<'r>>,
    artifacts: impl IntoIterator<Item = &'r ArtifactRow>,
) -> Vec<Derived> {
    let over = |task: &SeenTask<'_>| task.state.is_terminal();
    let mut derived: Vec<Derived> = (tasks.into_iter().filter(over))
        .map(|task| Derived {
            name: format!("{}-status", task.name),
            value: task.state.api_str().into(),
            id: task.id.uuid(),
            at: task.at,
        })
        .collect();
    let mut count = BTreeMap::new();
    for artifact in artifacts {
        let number = count.entry(&artifact.task_type).or_insert(0);
        *number += 1;
        derived.push(Derived {
            name: format!("{}_ArtifactURL_{number}", artifact.task_type),
            value: format!("/api/artifacts/{}/download", artifact.sha256).into(),
            id: artifact.id.uuid(),
            at: artifact.created_at,
        });
    }
    derived
}

/// What the queen notes of a task. `except` is its expression as written.
pub(crate) fn of_task(
    task: &TaskExecutionRow,
    except: &str,
    earlier: Option<Uuid>,
) -> Vec<Derived> {
    let mut derived = Vec::new();
    let mut note = |name: &str, value: Value| {
        derived.push(Derived {
            name: name.to_owned(),
            value,
            id: task.id.uuid(),
            at: task.updated_at,
        });
    };
    if !task.ant_id.is_empty() {
        note("AntID", task.ant_id.as_str().into());
    }
    if task.state == JobTaskState::ManualApprovalRequired {
        note("AwaitingApprovalFor", task.task_type.as_str().into());
        note("ManualApprovalRequired", true.into());
    }
    if task.exit_code == "SKIPPED" && !except.is_empty() {
        note("Except", except.into());
    }
    if let Some((status, code)) = &task.overridden {
        note("OldStatus", status.as_str().into());
        note("OriginalErrorCode", code.as_str().into());
    }
    if let Some(earlier) = earlier {
        let earlier = earlier.to_string();
        note("ReusedPreviousResultFromTaskExecution", earlier.into());
    }
    if !task.warnings.is_empty() {
        note("Warnings", task.warnings.join("; ").into());
    }
    derived
}
