//! `colony data`.

use clap::{Args, Subcommand, ValueEnum};
use colony_core::id::{RunDataId, RunId, TaskId};

use super::runs::{PageArgs, RunsClientArgs};

/// Run data: what tasks of a run share, by key and tags. A value is never changed: a key that is
/// written again has a newer entry.
#[derive(Debug, Subcommand)]
pub(crate) enum DataCommand {
    /// List the latest entry of each key, or what the filters find.
    #[command(visible_alias = "query", after_help = LIST_HELP)]
    List(DataListArgs),
    /// Write an entry and print its id.
    #[command(after_help = WRITE_HELP)]
    Write(DataWriteArgs),
    /// Change the tags of an entry.
    Tag(DataTagArgs),
    /// Delete an entry, or all entries of a key.
    Delete(DataDeleteArgs),
}

const LIST_HELP: &str = "\
Examples:
  colony data list RUN --prefix image. --tag final
  colony data list RUN --pattern 'page-?.*' --all --json";

const WRITE_HELP: &str = "\
Examples:
  colony data write RUN image.width 64 --task TASK --tag final
  echo '\"some text\"' | colony data write RUN note - --task TASK
  colony data write $COLONY_RUN_ID page @page.json --task $COLONY_TASK_ID    # in a worker's command";

#[derive(Debug, Args)]
pub(crate) struct DataListArgs {
    /// Id of the run.
    pub(crate) run: RunId,
    /// Only this key; may be repeated.
    #[arg(long, value_name = "KEY")]
    pub(crate) key: Vec<String>,
    /// Only keys that start so; may be repeated.
    #[arg(long, value_name = "TEXT")]
    pub(crate) prefix: Vec<String>,
    /// Only keys like this; `*` is any text, `?` one character.
    #[arg(long, value_name = "PATTERN")]
    pub(crate) pattern: Option<String>,
    /// Only entries with this tag; may be repeated.
    #[arg(long, value_name = "TAG")]
    pub(crate) tag: Vec<String>,
    /// Only entries with a tag that starts so; may be repeated.
    #[arg(long, value_name = "TEXT")]
    pub(crate) tag_prefix: Vec<String>,
    /// Whether one of the tags is enough.
    #[arg(long, value_enum, default_value_t = TagMode::Any)]
    pub(crate) tag_mode: TagMode,
    /// Older entries of a key, too.
    #[arg(long)]
    pub(crate) all: bool,
    /// At most this many.
    #[arg(long, value_name = "N", default_value_t = 100, value_parser = clap::value_parser!(u32).range(1..=1000))]
    pub(crate) limit: u32,
    /// What to sort by.
    #[arg(long, value_enum, default_value_t = DataSortBy::Created)]
    pub(crate) sort_by: DataSortBy,
    #[command(flatten)]
    pub(crate) page: PageArgs,
}

/// How several tags are meant.
#[derive(Debug, Clone, Copy, ValueEnum)]
pub(crate) enum TagMode {
    Any,
    All,
}

/// What entries can be sorted by.
#[derive(Debug, Clone, Copy, ValueEnum)]
pub(crate) enum DataSortBy {
    Created,
    Updated,
    Key,
}

#[derive(Debug, Args)]
pub(crate) struct DataWriteArgs {
    /// Id of the run.
    pub(crate) run: RunId,
    /// Name of the entry.
    pub(crate) key: String,
    /// JSON, @FILE, or - for stdin.
    #[arg(allow_negative_numbers = true)]
    pub(crate) value: String,
    /// The task of the run that writes it.
    #[arg(long, value_name = "TASK")]
    pub(crate) task: TaskId,
    /// A tag; may be repeated.
    #[arg(long, value_name = "TAG")]
    pub(crate) tag: Vec<String>,
    /// Its metadata: a JSON object, or @FILE.
    #[arg(long, value_name = "JSON")]
    pub(crate) metadata: Option<String>,
    /// Print JSON as the API gives it.
    #[arg(long)]
    pub(crate) json: bool,
    #[command(flatten)]
    pub(crate) client: RunsClientArgs,
}

#[derive(Debug, Args)]
#[command(
    after_help = "Example:\n  colony data tag 01a20a66-7f62-74c4-9e2f-314116050f90 01a20a66-8558-723a-972d-3272b315d065 --add final"
)]
pub(crate) struct DataTagArgs {
    /// Id of the run.
    pub(crate) run: RunId,
    /// Id of the entry.
    pub(crate) id: RunDataId,
    /// A tag that it gets; may be repeated.
    #[arg(long, value_name = "TAG")]
    pub(crate) add: Vec<String>,
    /// A tag that it loses; may be repeated.
    #[arg(long, value_name = "TAG")]
    pub(crate) remove: Vec<String>,
    /// Print JSON as the API gives it.
    #[arg(long)]
    pub(crate) json: bool,
    #[command(flatten)]
    pub(crate) client: RunsClientArgs,
}

#[derive(Debug, Args)]
#[command(
    after_help = "Example:\n  colony data delete 01a20a66-7f62-74c4-9e2f-314116050f90 --key image.width"
)]
#[group(id = "what", required = true, multiple = false, args = ["key", "id"])]
pub(crate) struct DataDeleteArgs {
    /// Id of the run.
    pub(crate) run: RunId,
    /// All entries of this key.
    #[arg(long, value_name = "KEY")]
    pub(crate) key: Option<String>,
    /// This entry.
    #[arg(long, value_name = "ID")]
    pub(crate) id: Option<RunDataId>,
    #[command(flatten)]
    pub(crate) client: RunsClientArgs,
}

impl TagMode {
    pub(crate) fn as_str(self) -> &'static str {
        match self {
            Self::Any => "any",
            Self::All => "all",
        }
    }
}

impl DataSortBy {
    /// As the API calls it.
    pub(crate) fn as_str(self) -> &'static str {
        match self {
            Self::Created => "created_at",
            Self::Updated => "updated_at",
            Self::Key => "key",
        }
    }
}
