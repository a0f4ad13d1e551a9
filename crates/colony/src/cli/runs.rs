//! `colony runs`, and what the commands of the Runs API share.

use std::path::PathBuf;

use clap::builder::{PossibleValuesParser, TypedValueParser};
use clap::{Args, Subcommand, ValueEnum};
use colony_core::id::RunId;
use colony_core::state::RunStatus;

use super::ClientArgs;
use crate::exit;
use crate::settings::Flags;

/// Runs of the Runs API. Executions of jobs are runs, too.
#[derive(Debug, Subcommand)]
pub(crate) enum RunsCommand {
    /// List runs, the newest first.
    #[command(after_help = "Example:\n  colony runs list --status failed --limit 5")]
    List(RunsListArgs),
    /// Show a run.
    Get(RunsGetArgs),
    /// Create a run and print its id.
    #[command(
        after_help = "Examples:\n  colony runs create --input '{\"order\": 4711}'\n  \
                            colony runs create --input @order.json --metadata '{\"by\": \"ada\"}'"
    )]
    Create(RunsCreateArgs),
    /// Change a run. Its tasks stay as they are.
    #[command(
        after_help = "Example:\n  colony runs update ID --status completed --output '{\"sum\": 6}'"
    )]
    Update(RunsUpdateArgs),
    /// Cancel a run and all of its tasks that have not ended; workers stop what they do for it.
    Cancel(RunsCancelArgs),
    /// Show each change of a run and its tasks until the run ends; goes on after a break.
    #[command(after_help = events_help())]
    Events(RunsEventsArgs),
}

/// Which queen a command of the Runs API talks to, and for whom.
#[derive(Debug, Default, Args)]
pub(crate) struct RunsClientArgs {
    #[command(flatten)]
    client: ClientArgs,
    /// File with the key that `colony key create` printed [default: the variable COLONY_API_KEY].
    #[arg(long, value_name = "FILE")]
    pub(crate) key_file: Option<PathBuf>,
    /// Organization to act for, where the key does not tell.
    #[arg(long, value_name = "ORG")]
    pub(crate) org: Option<String>,
}

/// Which part of a list, and how it is shown.
#[derive(Debug, Args)]
pub(crate) struct PageArgs {
    /// How many to leave out before.
    #[arg(long, value_name = "N", default_value_t = 0)]
    pub(crate) offset: u64,
    /// Which come first.
    #[arg(long, value_enum, default_value_t = Order::Desc)]
    pub(crate) order: Order,
    /// Print a JSON list.
    #[arg(long)]
    pub(crate) json: bool,
    #[command(flatten)]
    pub(crate) client: RunsClientArgs,
}

/// A direction of sorting.
#[derive(Debug, Clone, Copy, ValueEnum)]
pub(crate) enum Order {
    /// The earliest or least.
    Asc,
    /// The latest or greatest.
    Desc,
}

/// What runs and tasks can be sorted by.
#[derive(Debug, Clone, Copy, ValueEnum)]
pub(crate) enum SortBy {
    Created,
    Started,
    Completed,
}

#[derive(Debug, Args)]
pub(crate) struct RunsListArgs {
    /// Only runs with this status.
    #[arg(long, value_parser = run_status())]
    pub(crate) status: Option<RunStatus>,
    /// At most this many.
    #[arg(long, value_name = "N", default_value_t = 20, value_parser = clap::value_parser!(u32).range(1..=100))]
    pub(crate) limit: u32,
    /// The time to sort by.
    #[arg(long, value_enum, default_value_t = SortBy::Created)]
    pub(crate) sort_by: SortBy,
    #[command(flatten)]
    pub(crate) page: PageArgs,
}

#[derive(Debug, Args)]
#[command(after_help = "Example:\n  colony runs get 01a20a66-7f62-74c4-9e2f-314116050f90 --json")]
pub(crate) struct RunsGetArgs {
    /// Id of the run.
    pub(crate) id: RunId,
    /// Print JSON as the API gives it.
    #[arg(long)]
    pub(crate) json: bool,
    #[command(flatten)]
    pub(crate) client: RunsClientArgs,
}

#[derive(Debug, Args)]
pub(crate) struct RunsCreateArgs {
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
    /// Print JSON as the API gives it.
    #[arg(long)]
    pub(crate) json: bool,
    #[command(flatten)]
    pub(crate) client: RunsClientArgs,
}

#[derive(Debug, Args)]
pub(crate) struct RunsUpdateArgs {
    /// Id of the run.
    pub(crate) id: RunId,
    /// The new status.
    #[arg(long, value_parser = run_status())]
    pub(crate) status: Option<RunStatus>,
    #[command(flatten)]
    pub(crate) results: ResultArgs,
    /// Print JSON as the API gives it.
    #[arg(long)]
    pub(crate) json: bool,
    #[command(flatten)]
    pub(crate) client: RunsClientArgs,
}

/// What a change of a run or task may set beside its status.
#[derive(Debug, Args)]
pub(crate) struct ResultArgs {
    /// Its output: JSON, @FILE, or - for stdin; null clears.
    #[arg(long, value_name = "JSON", allow_negative_numbers = true)]
    pub(crate) output: Option<String>,
    /// Its error: JSON, @FILE, or - for stdin; null clears.
    #[arg(long, value_name = "JSON", allow_negative_numbers = true)]
    pub(crate) error: Option<String>,
    /// Its metadata: a JSON object, @FILE, or - for stdin.
    #[arg(long, value_name = "JSON")]
    pub(crate) metadata: Option<String>,
}

fn events_help() -> String {
    let example = "colony runs events 01a20a66-7f62-74c4-9e2f-314116050f90 --json";
    format!("Example:\n  {example}\n\n{}", exit::TABLE)
}

#[derive(Debug, Args)]
#[command(after_help = "Example:\n  colony runs cancel 01a20a66-7f62-74c4-9e2f-314116050f90")]
pub(crate) struct RunsCancelArgs {
    /// Id of the run.
    pub(crate) id: RunId,
    #[command(flatten)]
    pub(crate) client: RunsClientArgs,
}

#[derive(Debug, Args)]
pub(crate) struct RunsEventsArgs {
    /// Id of the run.
    pub(crate) id: RunId,
    /// Print one JSON object a line: event, id, data.
    #[arg(long)]
    pub(crate) json: bool,
    #[command(flatten)]
    pub(crate) client: RunsClientArgs,
}

impl RunsClientArgs {
    pub(crate) fn flags(&self) -> Flags {
        self.client.flags()
    }
}

impl Order {
    pub(crate) fn as_str(self) -> &'static str {
        match self {
            Self::Asc => "asc",
            Self::Desc => "desc",
        }
    }
}

impl SortBy {
    /// As the API calls it.
    pub(crate) fn as_str(self) -> &'static str {
        match self {
            Self::Created => "created_at",
            Self::Started => "started_at",
            Self::Completed => "completed_at",
        }
    }
}

fn run_status() -> impl TypedValueParser<Value = RunStatus> {
    let words = RunStatus::ALL.iter().map(|status| status.as_str());
    PossibleValuesParser::new(words).try_map(|word| word.parse())
}
