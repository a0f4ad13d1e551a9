//! `colony tasks`.

use clap::builder::{PossibleValuesParser, TypedValueParser};
use clap::{Args, Subcommand};
use colony_core::id::{RunId, TaskId};
use colony_core::state::TaskStatus;

use super::runs::{PageArgs, ResultArgs, RunsClientArgs, SortBy};
use crate::exit;

/// Tasks of the Runs API. A task waits until a worker claims it.
#[derive(Debug, Subcommand)]
pub(crate) enum TasksCommand {
    /// List tasks, the newest first.
    #[command(after_help = "Example:\n  colony tasks list RUN --status failed --json")]
    List(TasksListArgs),
    /// Show a task, or wait for its end.
    #[command(after_help = get_help())]
    Get(TasksGetArgs),
    /// Create a task and print its id.
    #[command(after_help = CREATE_HELP)]
    Create(TasksCreateArgs),
    /// Create tasks from JSON lines on stdin and print their ids.
    #[command(after_help = BATCH_HELP)]
    Batch(TasksBatchArgs),
    /// Change a task, whatever it does; its worker, if it has one, stops unless it is `running`.
    #[command(
        after_help = "Examples:\n  colony tasks update ID --status cancelled\n  \
                            colony tasks update ID --status completed --output '{\"sum\": 6}'"
    )]
    Update(TasksUpdateArgs),
}

const CREATE_HELP: &str = "\
Examples:
  colony tasks create RUN --type resize --input '{\"image\": \"a.png\"}'
  colony tasks create RUN --type resize --input @task.json --wait --json";

const BATCH_HELP: &str = "\
A line is a task as the API takes it: type, inputData and, if wanted, runId, parentTaskId, metadata,
maxRetries, priority, delayMs, dedupeKey. All lines are read before the first task is made; they are
stored a thousand at a time, all of them or none.

Example:
  seq 3 | jq -c '{type: \"resize\", inputData: {page: .}}' | colony tasks batch RUN";

#[derive(Debug, Args)]
pub(crate) struct TasksListArgs {
    /// Only tasks of this run.
    pub(crate) run: Option<RunId>,
    /// Only tasks with this status.
    #[arg(long, value_parser = task_status())]
    pub(crate) status: Option<TaskStatus>,
    /// At most this many.
    #[arg(long, value_name = "N", default_value_t = 20, value_parser = clap::value_parser!(u32).range(1..=100))]
    pub(crate) limit: u32,
    /// The time to sort by.
    #[arg(long, value_enum, default_value_t = SortBy::Created)]
    pub(crate) sort_by: SortBy,
    #[command(flatten)]
    pub(crate) page: PageArgs,
}

fn get_help() -> String {
    let example = "colony tasks get 01a20a66-7f62-74c4-9e2f-314116050f90 --wait";
    format!("Example:\n  {example}\n\n{}", exit::TABLE)
}

#[derive(Debug, Args)]
pub(crate) struct TasksGetArgs {
    /// Id of the task.
    pub(crate) id: TaskId,
    /// Wait for the end; the exit code tells how it was.
    #[arg(long)]
    pub(crate) wait: bool,
    /// Print JSON as the API gives it.
    #[arg(long)]
    pub(crate) json: bool,
    #[command(flatten)]
    pub(crate) client: RunsClientArgs,
}

#[derive(Debug, Args)]
pub(crate) struct TasksCreateArgs {
    /// Id of its run.
    pub(crate) run: RunId,
    /// What kind of work it is: workers claim tasks by type.
    #[arg(long = "type", value_name = "TYPE")]
    pub(crate) kind: String,
    /// Its input: JSON, @FILE, or - for stdin.
    #[arg(
        long,
        value_name = "JSON",
        default_value = "{}",
        allow_negative_numbers = true
    )]
    pub(crate) input: String,
    /// Its metadata: a JSON object, @FILE, or - for stdin.
    #[arg(long, value_name = "JSON")]
    pub(crate) metadata: Option<String>,
    /// The task of the same run that it belongs to.
    #[arg(long, value_name = "TASK")]
    pub(crate) parent: Option<TaskId>,
    /// How often it is tried again, from 0 to 10 [default: 3].
    #[arg(long, value_name = "N")]
    pub(crate) max_retries: Option<i64>,
    /// Lower is claimed first [default: 0].
    #[arg(long, value_name = "N")]
    pub(crate) priority: Option<i64>,
    /// How long it is kept from workers, such as 10m.
    #[arg(long, value_name = "DURATION", value_parser = super::duration)]
    pub(crate) delay: Option<std::time::Duration>,
    /// A second task of the run with the same key is not made: the first one is shown.
    #[arg(long, value_name = "KEY")]
    pub(crate) dedupe_key: Option<String>,
    /// Wait for the end; the exit code tells how it was.
    #[arg(long)]
    pub(crate) wait: bool,
    /// Print JSON as the API gives it.
    #[arg(long)]
    pub(crate) json: bool,
    #[command(flatten)]
    pub(crate) client: RunsClientArgs,
}

#[derive(Debug, Args)]
pub(crate) struct TasksBatchArgs {
    /// Run of the lines without `runId`.
    pub(crate) run: Option<RunId>,
    /// Print the tasks as JSON, one a line.
    #[arg(long)]
    pub(crate) json: bool,
    #[command(flatten)]
    pub(crate) client: RunsClientArgs,
}

#[derive(Debug, Args)]
pub(crate) struct TasksUpdateArgs {
    /// Id of the task.
    pub(crate) id: TaskId,
    /// The new status.
    #[arg(long, value_parser = task_status())]
    pub(crate) status: Option<TaskStatus>,
    #[command(flatten)]
    pub(crate) results: ResultArgs,
    /// With a status that waits: how long it is kept from workers, such as 10m.
    #[arg(long, value_name = "DURATION", value_parser = super::duration)]
    pub(crate) delay: Option<std::time::Duration>,
    /// Print JSON as the API gives it.
    #[arg(long)]
    pub(crate) json: bool,
    #[command(flatten)]
    pub(crate) client: RunsClientArgs,
}

fn task_status() -> impl TypedValueParser<Value = TaskStatus> {
    let words = TaskStatus::ALL.iter().map(|status| status.as_str());
    PossibleValuesParser::new(words).try_map(|word| word.parse())
}
