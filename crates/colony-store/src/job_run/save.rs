//! Storing decisions: each row that changed once, all rows of a table in one statement.

use std::sync::Arc;

use colony_core::job::{JobError, JobRun, Phase, TaskRun};
use colony_core::plan::Plan;
use colony_core::state::{JobTaskState, RunStatus, TaskStatus};
use colony_core::time::Timestamp;

use super::{JobRunRow, JobTaskRow};
use crate::error::StoreError;
use crate::many::update_text;
use crate::params;
use crate::tx::{Dialect, Tx};
use crate::value::{Json, Param, ToParam as _};

/// A run as it was loaded and as it was decided.
#[derive(Debug, Clone)]
pub struct RunWrite {
    /// As it was loaded; none for a new one.
    pub before: Option<JobRunRow>,
    /// As it is to be stored.
    pub after: JobRunRow,
    /// Its definition's control flow.
    pub plan: Arc<Plan>,
    /// What the Runs API shows of it, once it has ended.
    pub result: Option<RunResult>,
    /// Its row is stored even if its record is as before.
    pub forced: bool,
    /// The time of the last decision.
    pub now: Timestamp,
}

/// What the Runs API shows of a run that ended.
#[derive(Debug, Clone, Default)]
pub struct RunResult {
    /// JSON of what its tasks exported.
    pub output: Option<String>,
    /// Why it failed.
    pub error: Option<JobError>,
}

impl RunWrite {
    fn is_new(&self) -> bool {
        self.before.is_none()
    }

    fn status(&self) -> RunStatus {
        RunStatus::from(self.after.job_state)
    }

    fn ended_at(&self) -> Option<Timestamp> {
        self.status().is_terminal().then_some(self.now)
    }

    fn record_before(&self, name: &str) -> Option<&TaskRun> {
        self.before.as_ref()?.run.tasks.get(name)
    }

    fn row_before(&self, name: &str) -> Option<&JobTaskRow> {
        self.before.as_ref()?.tasks.get(name)
    }

    /// The tasks that were reached, with their records.
    fn tasks(&self) -> impl Iterator<Item = TaskWrite<'_>> {
        self.after.tasks.iter().filter_map(|(name, row)| {
            Some(TaskWrite {
                run: self,
                name,
                row,
                record: self.after.run.tasks.get(name)?,
            })
        })
    }

    fn has_changed(&self) -> bool {
        self.forced
            || self.result.is_some()
            || self.before.as_ref().is_none_or(|before| {
                let (old, new) = (&before.run, &self.after.run);
                before.job_state != self.after.job_state
                    || without_tasks(old) != without_tasks(new)
                    || old.current_task(&self.plan) != new.current_task(&self.plan)
                    || self.counts() != Counts::default()
            })
    }

    fn counts(&self) -> Counts {
        let mut counts = Counts::default();
        for task in self.tasks() {
            counts.total += i64::from(self.row_before(task.name).is_none());
            let old = self.record_before(task.name).map(|old| old.state);
            if !old.is_some_and(JobTaskState::is_terminal) {
                counts.completed += i64::from(task.record.state == JobTaskState::Completed);
                counts.failed += i64::from(task.record.state == JobTaskState::Failed);
            }
        }
        counts
    }
}

/// What the row of a run holds of its record.
fn without_tasks(run: &JobRun) -> impl PartialEq + '_ {
    (
        (run.phase, run.pass, run.job_retries, run.retried),
        (run.paused_count, run.task_runs, run.due_at()),
        (&run.verdict, run.skip_cleanup),
    )
}

/// How a run's counters move (`foreman-api` 8.3).
#[derive(Debug, Default, PartialEq)]
struct Counts {
    total: i64,
    completed: i64,
    failed: i64,
}

/// A run in that phase holds a slot. A suspended one gives its slot to others.
pub const fn occupies_slot(phase: Phase) -> bool {
    match phase {
        Phase::Walking | Phase::Retrying | Phase::Stopping | Phase::Cleaning => true,
        Phase::Suspended | Phase::Ended => false,
    }
}

/// Stores the rows of new runs.
pub(crate) fn insert_runs(tx: &mut Tx<'_>, writes: &[RunWrite]) -> Result<(), StoreError> {
    let new: Vec<&RunWrite> = writes.iter().filter(|write| write.is_new()).collect();
    tx.send_rows(
        "INSERT INTO runs (id, org_id, status, input, metadata, total_tasks, completed_tasks, \
         failed_tasks, created_at, updated_at, started_at, completed_at, error, request_id, \
         definition_id, schedule_key, rank, job_state, phase, occupies_slot, pass, job_retries, \
         retried, paused_count, task_runs, deadline_at, current_task, verdict, skip_cleanup) \
         VALUES {rows: id, text, text, text, text, int, int, int, int, int, int, int, text, id, \
         id, text, int, text, text, bool, int, int, int, int, int, int, text, text, bool}",
        &[],
        &new,
        |write| {
            let (row, run, counts) = (&write.after, &write.after.run, write.counts());
            let fresh = row.fresh.as_ref();
            let (input, metadata) =
                fresh.map_or(("{}", "{}"), |(input, metadata)| (input, metadata));
            params![
                &row.run_id,
                &row.org_id,
                write.status().as_str(),
                input,
                metadata,
                Param::Int(counts.total),
                Param::Int(counts.completed),
                Param::Int(counts.failed),
                &row.created_at,
                &write.now,
                &row.created_at,
                time(write.ended_at()),
                text(
                    write
                        .result
                        .as_ref()
                        .and_then(|result| error_json(result.error.as_ref()))
                ),
                &row.request_id,
                &row.definition_id,
                &row.schedule_key,
                &row.rank,
                &row.job_state,
                word(run.phase),
                Param::Bool(occupies_slot(run.phase)),
                &run.pass,
                &run.job_retries,
                &run.retried,
                &run.paused_count,
                &run.task_runs,
                time(run.due_at()),
                text(run.current_task(&write.plan).map(str::to_owned)),
                json(run.verdict.as_ref()),
                &run.skip_cleanup,
            ]
        },
    )
}

/// Stores what changed of the rows of runs.
pub(crate) fn update_runs(tx: &mut Tx<'_>, writes: &[RunWrite]) -> Result<(), StoreError> {
    const COLUMNS: &[&str] = &[
        "updated_at: int",
        "job_state: text",
        "phase: text",
        "occupies_slot: bool",
        "pass: int",
        "job_retries: int",
        "retried: int",
        "paused_count: int",
        "task_runs: int",
        "deadline_at: int",
        "current_task: text",
        "verdict: text",
        "skip_cleanup: bool",
    ];
    let known = writes.iter().filter(|write| !write.is_new());
    let changed: Vec<&RunWrite> = known.filter(|write| write.has_changed()).collect();
    let sql = update_text(tx.dialect(), "runs", "id: id", COLUMNS);
    tx.send_rows(&sql, &[], &changed, |write| {
        let (row, run) = (&write.after, &write.after.run);
        params![
            &row.run_id,
            &write.now,
            &row.job_state,
            word(run.phase),
            Param::Bool(occupies_slot(run.phase)),
            &run.pass,
            &run.job_retries,
            &run.retried,
            &run.paused_count,
            &run.task_runs,
            time(run.due_at()),
            text(run.current_task(&write.plan).map(str::to_owned)),
            json(run.verdict.as_ref()),
            &run.skip_cleanup,
        ]
    })?;
    update_ledger(tx, &changed)
}

/// What the Runs API shows of runs: their status, counters and result.
fn update_ledger(tx: &mut Tx<'_>, writes: &[&RunWrite]) -> Result<(), StoreError> {
    let shown: Vec<&&RunWrite> = (writes.iter())
        .filter(|write| write.result.is_some() || write.counts() != Counts::default())
        .collect();
    let sql = match tx.dialect() {
        Dialect::Sqlite => {
            "UPDATE runs SET status = $2, total_tasks = total_tasks + $3, \
             completed_tasks = completed_tasks + $4, failed_tasks = failed_tasks + $5, \
             completed_at = COALESCE($6, completed_at), \
             duration_ms = COALESCE($6 - started_at, duration_ms), \
             output = COALESCE($7, output), error = COALESCE($8, error) WHERE id = $1"
        }
        Dialect::Postgres => {
            "WITH new (id, status, total, completed, failed, ended_at, output, error) AS \
             (VALUES {rows: id, text, int, int, int, int, text, text}) \
             UPDATE runs SET status = new.status, total_tasks = total_tasks + new.total, \
             completed_tasks = completed_tasks + new.completed, \
             failed_tasks = failed_tasks + new.failed, \
             completed_at = COALESCE(new.ended_at, completed_at), \
             duration_ms = COALESCE(new.ended_at - started_at, duration_ms), \
             output = COALESCE(new.output, runs.output), error = COALESCE(new.error, runs.error) \
             FROM new WHERE runs.id = new.id"
        }
    };
    tx.send_rows(sql, &[], &shown, |write| {
        let (counts, result) = (write.counts(), write.result.as_ref());
        params![
            &write.after.run_id,
            write.status().as_str(),
            Param::Int(counts.total),
            Param::Int(counts.completed),
            Param::Int(counts.failed),
            time(write.ended_at()),
            text(result.and_then(|result| result.output.clone())),
            text(result.and_then(|result| error_json(result.error.as_ref()))),
        ]
    })
}

/// A task's record and row, and the run that they are part of.
#[derive(Clone, Copy)]
struct TaskWrite<'a> {
    run: &'a RunWrite,
    name: &'a str,
    row: &'a JobTaskRow,
    record: &'a TaskRun,
}

impl<'a> TaskWrite<'a> {
    fn is_new(&self) -> bool {
        self.run.row_before(self.name).is_none()
    }

    fn has_changed(&self) -> bool {
        self.run.row_before(self.name) != Some(self.row)
            || self.run.record_before(self.name) != Some(self.record)
    }

    fn duration_ms(&self) -> Option<i64> {
        let start = self.row.started_at.unwrap_or(self.row.created_at);
        let end = self.row.ended_at?;
        Some(end.as_millis() - start.as_millis())
    }

    /// As the Runs API shows it; what a worker said of it wins.
    fn error(&self) -> Param<'a> {
        match self
            .row
            .shown
            .as_ref()
            .and_then(|shown| shown.error.as_ref())
        {
            Some(said) => Param::from(said),
            None => text(error_json(self.record.error.as_ref())),
        }
    }

    fn waiting(&self) -> Option<&'static str> {
        self.row.queue_key.as_ref().map(|_| "offered")
    }
}

/// Stores the rows of tasks that were reached for the first time. A task sees the parameters of its
/// run, and says what job it is part of.
pub(crate) fn insert_tasks(tx: &mut Tx<'_>, writes: &[RunWrite]) -> Result<(), StoreError> {
    let tasks = writes.iter().flat_map(RunWrite::tasks);
    let new: Vec<TaskWrite<'_>> = tasks.filter(TaskWrite::is_new).collect();
    tx.send_rows(
        "WITH new (id, run_id, org_id, name, status, retry_count, max_retries, epoch, created_at, \
         updated_at, started_at, completed_at, error, priority, waiting, queue_key, task_order, \
         method, allow_failure, job_state, pass, seq, exit_code, error_code, error_message, \
         failed_attempts, losses, deadline_at, reused, ant_id, ant_host) AS (VALUES {rows: id, id, \
         text, text, text, int, int, int, int, int, int, int, text, int, text, text, int, text, bool, \
         text, int, int, text, text, text, int, int, int, bool, text, text}) \
         INSERT INTO tasks (id, run_id, org_id, type, status, input, metadata, retry_count, \
         max_retries, epoch, created_at, updated_at, queued_at, started_at, completed_at, error, \
         priority, waiting, queue_key, job_task, task_order, method, allow_failure, job_state, pass, \
         seq, exit_code, error_code, error_message, failed_command, failed_attempts, losses, \
         deadline_at, reused, ant_id, ant_host) \
         SELECT new.id, new.run_id, new.org_id, new.name, new.status, runs.input, runs.metadata, \
         new.retry_count, new.max_retries, new.epoch, new.created_at, new.updated_at, \
         new.created_at, new.started_at, new.completed_at, new.error, new.priority, new.waiting, \
         new.queue_key, new.name, new.task_order, new.method, new.allow_failure, new.job_state, \
         new.pass, new.seq, new.exit_code, new.error_code, new.error_message, '', \
         new.failed_attempts, new.losses, new.deadline_at, new.reused, new.ant_id, new.ant_host \
         FROM new JOIN runs ON runs.id = new.run_id",
        &[],
        &new,
        |task| {
            let (run, row, record) = (&task.run.after, task.row, task.record);
            let planned = &task.run.plan.tasks;
            let order = planned.iter().position(|planned| planned.name == task.name);
            let planned = planned.get(order.unwrap_or(0));
            let error = record.error.as_ref();
            params![
                &row.id,
                &run.run_id,
                &run.org_id,
                task.name,
                TaskStatus::from(record.state).as_str(),
                &record.retries,
                Param::Int(planned.map_or(0, |planned| planned.retry.into())),
                &row.epoch,
                &row.created_at,
                &task.run.now,
                &row.started_at,
                &row.ended_at,
                text(error_json(error)),
                &run.rank,
                Param::from(&task.waiting()).into_owned(),
                &row.queue_key,
                Param::Int(order.and_then(|order| i64::try_from(order).ok()).unwrap_or(0)),
                planned.map_or("", |planned| planned.method.as_str()),
                Param::Bool(planned.is_some_and(|planned| planned.allow_failure)),
                &record.state,
                &record.pass,
                &record.seq,
                &record.exit_code,
                error.map_or("", |error| &error.code),
                error.map_or("", |error| &error.message),
                &record.failed_attempts,
                &record.losses,
                &record.deadline,
                &record.reused,
                &row.ant_id,
                &row.ant_host,
            ]
        },
    )
}

/// Stores what changed of the rows of tasks.
pub(crate) fn update_tasks(tx: &mut Tx<'_>, writes: &[RunWrite]) -> Result<(), StoreError> {
    const COLUMNS: &[&str] = &[
        "status: text",
        "retry_count: int",
        "epoch: int",
        "updated_at: int",
        "started_at: int",
        "completed_at: int",
        "duration_ms: int",
        "error: text",
        "waiting: text",
        "queue_key: text",
        "job_state: text",
        "pass: int",
        "seq: int",
        "exit_code: text",
        "error_code: text",
        "error_message: text",
        "failed_attempts: int",
        "losses: int",
        "deadline_at: int",
        "stop: text",
        "old_status: text",
        "old_error_code: text",
        "reused: bool",
        "control: text",
        "ant_id: text",
        "ant_host: text",
    ];
    let tasks = writes.iter().flat_map(RunWrite::tasks);
    let changed: Vec<TaskWrite<'_>> = tasks
        .filter(|task| !task.is_new() && task.has_changed())
        .collect();
    let sql = update_text(tx.dialect(), "tasks", "id: id", COLUMNS);
    tx.send_rows(&sql, &[], &changed, |task| {
        let (row, record) = (task.row, task.record);
        let error = record.error.as_ref();
        let overridden = record.overridden.as_ref();
        params![
            &row.id,
            TaskStatus::from(record.state).as_str(),
            &record.retries,
            &row.epoch,
            &task.run.now,
            &row.started_at,
            &row.ended_at,
            Param::from(&task.duration_ms()).into_owned(),
            task.error(),
            Param::from(&task.waiting()).into_owned(),
            &row.queue_key,
            &record.state,
            &record.pass,
            &record.seq,
            &record.exit_code,
            error.map_or("", |error| &error.code),
            error.map_or("", |error| &error.message),
            &record.failed_attempts,
            &record.losses,
            &record.deadline,
            record.stop.map_or(Param::Null, word),
            text(overridden.map(|(status, _)| status.clone())),
            text(overridden.map(|(_, code)| code.clone())),
            &record.reused,
            json(record.control.as_ref()),
            &row.ant_id,
            &row.ant_host,
        ]
    })?;
    set_details(tx, writes)?;
    set_shown(tx, writes)
}

/// What reports say of tasks beside their outcome; few say anything.
fn set_details(tx: &mut Tx<'_>, writes: &[RunWrite]) -> Result<(), StoreError> {
    let tasks = writes.iter().flat_map(RunWrite::tasks);
    let details: Vec<_> = tasks
        .filter_map(|task| Some((task.row.id, task.row.details.as_ref()?)))
        .collect();
    let columns = ["failed_command: text", "warnings: text", "stdout: text"];
    let sql = update_text(tx.dialect(), "tasks", "id: id", &columns);
    tx.send_rows(&sql, &[], &details, |(id, details)| {
        params![
            id,
            &details.failed_command,
            json(Some(&details.warnings)),
            json(Some(&details.stdout)),
        ]
    })
}

/// What workers see of tasks, and say of them.
fn set_shown(tx: &mut Tx<'_>, writes: &[RunWrite]) -> Result<(), StoreError> {
    let tasks = writes.iter().flat_map(RunWrite::tasks);
    let shown: Vec<_> = tasks
        .filter_map(|task| Some((task.row.id, task.row.shown.as_ref()?)))
        .collect();
    let sql = match tx.dialect() {
        Dialect::Sqlite => {
            "UPDATE tasks SET type = COALESCE($2, type), input = COALESCE($3, input), \
             metadata = COALESCE($4, metadata), output = CASE WHEN $5 THEN $6 ELSE output END \
             WHERE id = $1"
        }
        Dialect::Postgres => {
            "WITH new (id, type, input, metadata, said, output) AS \
             (VALUES {rows: id, text, text, text, bool, text}) UPDATE tasks SET \
             type = COALESCE(new.type, tasks.type), input = COALESCE(new.input, tasks.input), \
             metadata = COALESCE(new.metadata, tasks.metadata), \
             output = CASE WHEN new.said THEN new.output ELSE tasks.output END \
             FROM new WHERE tasks.id = new.id"
        }
    };
    tx.send_rows(sql, &[], &shown, |(id, shown)| {
        params![
            id,
            &shown.kind,
            &shown.input,
            &shown.metadata,
            Param::Bool(shown.output.is_some()),
            shown.output.as_ref().map_or(Param::Null, Param::from),
        ]
    })
}

/// An error as the Runs API shows it.
pub fn error_json(error: Option<&JobError>) -> Option<String> {
    let json = |error: &JobError| {
        serde_json::json!({ "code": error.code, "message": error.message }).to_string()
    };
    error.map(json)
}

fn time(at: Option<Timestamp>) -> Param<'static> {
    at.map_or(Param::Null, |at| Param::Int(at.as_millis()))
}

fn text(text: Option<String>) -> Param<'static> {
    text.map_or(Param::Null, |text| Param::Text(text.into()))
}

fn json<T: serde::Serialize>(value: Option<T>) -> Param<'static> {
    value.map_or(Param::Null, |value| Json(value).to_param().into_owned())
}

/// The serde word of an enumeration.
fn word<T: serde::Serialize>(value: T) -> Param<'static> {
    match serde_json::to_value(value) {
        Ok(serde_json::Value::String(word)) => Param::Text(word.into()),
        other => unreachable!("an enumeration of words serializes as text, not {other:?}"),
    }
}
