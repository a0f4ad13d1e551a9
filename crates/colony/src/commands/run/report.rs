//! What a run left behind: the summary, and the logs as files.

use std::path::{Path, PathBuf};

use anyhow::Context as _;
use colony_core::id::RequestId;
use colony_core::time::Timestamp;
use colony_engine::{Caller, Engine, ExecutionView, LogLine, LogQuery, TaskView};
use colony_store::artifact::{ArtifactRow, Content};

use crate::data_dir::DataDir;
use crate::progress::{Artifact, Summary, TaskSummary};

/// Writes the logs and sums up.
pub(super) async fn summarize(
    engine: &Engine,
    id: RequestId,
    data_dir: &DataDir,
) -> anyhow::Result<Summary> {
    let (request, view) = engine
        .find_request(&Caller::anonymous(), &id.to_string())
        .await?;
    let logs = Logs {
        engine,
        id,
        directory: data_dir.logs().join(id.to_string()),
    };
    let mut tasks = Vec::new();
    for task in view.iter().flat_map(|view| &view.tasks) {
        let log = logs.write(&task.row.task_type).await?;
        tasks.push(task_summary(task, data_dir, log));
    }
    let span = |view: &ExecutionView| took(Some(view.row.started_at), view.row.ended_at);
    Ok(Summary {
        request_id: id.to_string(),
        job: request.job_type,
        state: request.job_state,
        at: request.updated_at.to_string(),
        took: view.as_ref().and_then(span),
        error: Some(request.error_message).filter(|message| !message.is_empty()),
        logs: (!tasks.is_empty()).then(|| logs.directory.display().to_string()),
        tasks,
    })
}

fn task_summary(task: &TaskView, data_dir: &DataDir, log: Option<PathBuf>) -> TaskSummary {
    let row = &task.row;
    let last = task
        .artifacts
        .iter()
        .filter_map(|artifact| artifact.attempt)
        .map(|it| it.epoch)
        .max();
    let of_last = |artifact: &&ArtifactRow| artifact.attempt.map(|it| it.epoch) == last;
    TaskSummary {
        task: row.task_type.clone(),
        state: row.state,
        exit_code: row.exit_code.clone(),
        attempts: if row.started_at.is_some() {
            row.retries + 1
        } else {
            0
        },
        took: took(row.started_at, row.ended_at),
        error: Some(row.error_message.clone()).filter(|message| !message.is_empty()),
        artifacts: task
            .artifacts
            .iter()
            .filter(of_last)
            .filter(|artifact| artifact.kind == "TASK_ARTIFACTS")
            .filter_map(|artifact| stored(artifact, data_dir))
            .collect(),
        log: log.map(|path| path.display().to_string()),
    }
}

fn took(start: Option<Timestamp>, end: Option<Timestamp>) -> Option<std::time::Duration> {
    Some(end?.since(start?))
}

fn stored(artifact: &ArtifactRow, data_dir: &DataDir) -> Option<Artifact> {
    let Content::Object(key) = &artifact.content else {
        return None;
    };
    Some(Artifact {
        name: artifact.name.clone(),
        size_bytes: u64::try_from(artifact.size_bytes).unwrap_or(0),
        path: data_dir.objects().join(key).display().to_string(),
    })
}

/// The logs of a request as files.
struct Logs<'a> {
    engine: &'a Engine,
    id: RequestId,
    directory: PathBuf,
}

impl Logs<'_> {
    /// Writes the log of a task. None when it has none.
    async fn write(&self, task: &str) -> anyhow::Result<Option<PathBuf>> {
        let text = self.text(task).await?;
        if text.is_empty() {
            return Ok(None);
        }
        let path = self.directory.join(format!("{}.log", file_name(task)));
        write_file(&path, &text)
            .with_context(|| format!("failed to write the log {}", path.display()))?;
        Ok(Some(path))
    }

    async fn text(&self, task: &str) -> anyhow::Result<String> {
        let (caller, id) = (Caller::anonymous(), self.id.to_string());
        let mut text = String::new();
        let mut query = LogQuery {
            task: Some(task.to_owned()),
            ..LogQuery::default()
        };
        loop {
            let page = self.engine.read_log(&caller, &id, query.clone()).await?;
            // Without new lines there is nothing more now; an attempt that was stopped may have
            // none at all.
            if page.lines.is_empty() {
                return Ok(text);
            }
            page.lines.iter().for_each(|line| push(&mut text, line));
            query.cursor = page.cursor;
        }
    }
}

fn push(text: &mut String, line: &LogLine) {
    text.push_str(&line.time);
    text.push(' ');
    text.push_str(&line.text);
    text.push('\n');
}

fn write_file(path: &Path, text: &str) -> std::io::Result<()> {
    if let Some(directory) = path.parent() {
        std::fs::create_dir_all(directory)?;
    }
    std::fs::write(path, text)
}

/// A task's name as the name of a file.
fn file_name(task: &str) -> String {
    task.chars()
        .map(|c| match c {
            'a'..='z' | 'A'..='Z' | '0'..='9' | '.' | '_' | '-' => c,
            _ => '_',
        })
        .collect()
}
